// One pool in the page, as an operator would look at it: from the table to its own address, its
// figures, its liquidity by keyboard, and back.

const ONE = /^\/pools\/\d+\/0x[0-9a-f]{40,64}$/;
const PHONE = { width: 380, height: 800 };
/** The pool is asked for every 2 s, and the world trades in it. */
const TOLD_WITHIN_MS = 30_000;

/** `tools` are those of run.mjs. */
export async function checkPools(page, tools) {
  const { check, assert, until, openTab, rowsOf, picture, assertNoSideways } = tools;
  const path = () => new URL(page.url()).pathname;
  const slider = page.getByRole('slider', { name: /^Liquidity by tick/ });

  const is_open = await check('a pool has a page of its own, one press from the table', async () => {
    await openTab(page, 'Pools');
    assert(path() === '/pools', path());
    await rowsOf(page, 'Pools').getByRole('link', { name: /uniswap v3/ }).first().click();
    await slider.waitFor();
    assert(ONE.test(path()), path());
  });
  if (!is_open) return;
  await check('it tells its price and state with their units', async () => {
    const card = page.getByRole('region', { name: 'Price and fee', exact: true });
    await card.getByText(/^[\d,.]+ \w+ per \w+$/).waitFor();
    await page.getByRole('region', { name: 'State', exact: true }).getByText('live').waitFor();
    const rows = await rowsOf(page, 'Near the price').allInnerTexts();
    assert(rows.length === 3 && rows.every((row) => !row.includes('unknown')), rows.join(' / '));
  });
  await check('its newest events come in while somebody looks', () =>
    until('an event with its price', TOLD_WITHIN_MS, async () => {
      const rows = await rowsOf(page, 'Newest events').allInnerTexts();
      return rows.some((row) => /[+\u2212][\d,.]+\s+[+\u2212][\d,.]+\s+[\d,.]+$/.test(row.trim()));
    }),
  );
  await check('its liquidity is told band by band by the arrow keys', async () => {
    await slider.focus();
    await page.keyboard.press('Home');
    const first = await slider.getAttribute('aria-valuetext');
    await page.keyboard.press('ArrowRight');
    const second = await slider.getAttribute('aria-valuetext');
    assert(/ticks .* to .*: [\d.,e]+ L$/.test(second ?? ''), second);
    assert(first !== second, 'the arrow key tells nothing else');
  });
  await check('its address opens it anew, and it fits 380 wide', async () => {
    await picture(page, 'pool-1440', { fullPage: true });
    await page.reload({ waitUntil: 'load' });
    await slider.waitFor();
    const before = page.viewportSize();
    await page.setViewportSize(PHONE);
    await picture(page, 'pool-380', { fullPage: true });
    await assertNoSideways(page);
    await page.setViewportSize(before);
  });
  await check('the back button returns to the table', async () => {
    await page.goBack();
    await rowsOf(page, 'Pools').first().waitFor();
    assert(path() === '/pools', path());
  });
}
