// Browser test of the dashboard against the agent of a running `tidekeeper demo`.
//
// DASHBOARD_URL   address with the token, as printed by the agent (required)
// SCREENSHOT_DIR  where the pictures go (required)
// ANVIL_PID       optional: process of the chain `demo`; it is stopped and continued
// CHROMIUM        optional: path of the browser
//
// Prints one line per check and "N passed, N failed"; exit status 0 only if none failed.

import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { chromium } from 'playwright-core';

import { checkParameters } from './parameters.mjs';
import { checkPools } from './pools.mjs';

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const WIDE = { width: 1440, height: 900 };
const NARROW = { width: 390, height: 844 };
// ANVIL_PID is the first anvil which the demo started, and `demo` is the first chain it starts. Both
// chains hold the same contracts at the same addresses: only the name tells their rows apart.
const STOPPED = 'demo';
const OTHER = 'demo-two';
const TABS = ['Overview', 'Pools', 'Strategies', 'Arbitrage', 'Risk', 'Analytics'];
/** For everything to show live figures, counted once from the start. */
const LIVE_WITHIN_MS = 90_000;
const LIVE_WITHIN_MS_MIN = 5_000;
const STALE_WITHIN_MS = 15_000;
const RECOVER_WITHIN_MS = 30_000;
const ENGINE_WITHIN_MS = 10_000;
const POLL_MS = 200;

const start_ms = performance.now();
let n_passed = 0;
let n_failed = 0;

/** Runs one check and says whether it passed. */
async function check(claim, act) {
  const started_ms = performance.now();
  try {
    await act();
    n_passed += 1;
    console.log(`ok    ${claim} (${((performance.now() - started_ms) / 1000).toFixed(1)} s)`);
    return true;
  } catch (error) {
    n_failed += 1;
    console.log(
      `FAIL  ${claim}: ${String(error instanceof Error ? error.message : error).split('\n')[0]}`,
    );
    return false;
  }
}

/** Waits until `probe` answers true, at most `within_ms`. */
async function until(what, within_ms, probe) {
  const deadline_ms = performance.now() + within_ms;
  while (performance.now() < deadline_ms) {
    if (await probe()) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`${what}: not within ${(within_ms / 1000).toFixed(0)} s`);
}

/** What is left of the time for live figures; a check that comes late still gets a moment. */
function remaining_ms() {
  return Math.max(LIVE_WITHIN_MS_MIN, start_ms + LIVE_WITHIN_MS - performance.now());
}

function assert(fact, message) {
  if (!fact) throw new Error(message);
}

function required(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set; see the top of this file`);
    process.exit(2);
  }
  return value;
}

const address = required('DASHBOARD_URL');
const pictures = required('SCREENSHOT_DIR');
const anvil = process.env.ANVIL_PID ? Number(process.env.ANVIL_PID) : null;
if (anvil !== null && (!Number.isInteger(anvil) || anvil <= 1)) {
  console.error('ANVIL_PID is not a process id');
  process.exit(2);
}
const executablePath = process.env.CHROMIUM || BROWSERS.find((path) => existsSync(path));
if (!executablePath) {
  console.error(`no browser at ${BROWSERS.join(', ')}; on Debian: apt-get install -y chromium`);
  process.exit(2);
}
mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({ executablePath, args: FLAGS });
let is_anvil_stopped = false;
try {
  await run();
} finally {
  // Whatever happened, the world is left running.
  if (is_anvil_stopped) process.kill(anvil, 'SIGCONT');
  await browser.close();
}
console.log(`${n_passed} passed, ${n_failed} failed`);
process.exitCode = n_failed === 0 ? 0 : 1;

async function run() {
  const page = await browser.newPage({ viewport: WIDE });
  page.setDefaultTimeout(ENGINE_WITHIN_MS);
  const complaints = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));

  const is_open = await check('page opens with the token and hides it', async () => {
    await page.goto(address, { waitUntil: 'load' });
    await page.getByRole('banner').waitFor({ timeout: remaining_ms() });
    assert(!new URL(page.url()).searchParams.has('token'), 'the token is still in the address');
  });
  // Without a page each later check would only wait for its own timeout.
  if (!is_open) return;
  await checkLive(page);
  await checkPictures(page);
  await checkTabs(page);
  await checkPools(page, { check, assert, until, openTab, rowsOf, picture, assertNoSideways });
  await checkParameters(page, { check, assert, openTab, rowsOf, picture });
  await checkPause(page);
  if (anvil !== null) await checkStaleChain(page);
  await checkHalt(page);
  await check('no console errors', async () =>
    assert(complaints.length === 0, `${complaints.length}, first: ${complaints[0]}`),
  );
}

/** Exactly: `Chain demo` is also how `Chain demo-two` begins, and the header's order may change. */
function chain(page, name = STOPPED) {
  return page.getByRole('group', { name: `Chain ${name}`, exact: true });
}

/** All that the overview shows of one chain: its place in the header, its positions, its pools. */
function placesOf(page, name) {
  return [
    chain(page, name),
    page.getByRole('listitem', { name: new RegExp(`^position .* on ${name}$`) }),
    rowsOf(page, 'Pools').filter({ has: page.getByText(name, { exact: true }) }),
  ];
}

/** Whether each place is there and all of it is stale, in data and in words; or live, if so wished. */
async function areAll(places, wish) {
  const wished = { stale: 'true stale', live: 'false' }[wish];
  const said = await Promise.all(
    places.map((place) =>
      place.evaluateAll((rows) =>
        rows.map((row) => {
          const mark = row.querySelector('.stale-mark')?.textContent ?? '';
          return `${row.getAttribute('data-stale')} ${mark}`.trim();
        }),
      ),
    ),
  );
  return said.every((rows) => rows.length > 0 && rows.every((row) => row === wished));
}

async function isStale(place) {
  return (await place.getAttribute('data-stale')) === 'true';
}

async function head(page) {
  const text = await chain(page).locator('.head-number').innerText();
  return Number(text.replaceAll(',', ''));
}

async function checkLive(page) {
  await check('stream is live', () =>
    until('stream live', remaining_ms(), async () =>
      (await page.getByRole('status', { name: 'Stream' }).innerText()).includes('live'),
    ),
  );
  await check('chain head is live and advances within 3 s', async () => {
    await until(
      'chain live',
      remaining_ms(),
      async () => !(await isStale(chain(page))) && (await head(page)) > 0,
    );
    const before = await head(page);
    await until('head advances', 3_000, async () => (await head(page)) > before);
  });
  await check('a position shows its range and figures', async () => {
    const row = page.getByRole('listitem', { name: /^position / }).first();
    await row.waitFor({ timeout: remaining_ms() });
    await row
      .getByRole('img', { name: /^price [\d,.]+ .*range [\d,.]+ to [\d,.]+/ })
      .waitFor({ timeout: remaining_ms() });
  });
  await check('a book shows bid below ask', () =>
    until('bid below ask', remaining_ms(), async () => {
      const cells = page
        .getByRole('table', { name: 'Order books' })
        .locator('tbody tr')
        .first()
        .locator('td');
      if ((await cells.count()) < 5) return false;
      const [bid, ask] = [await cells.nth(3).innerText(), await cells.nth(4).innerText()].map(
        (text) => Number(text.replaceAll(',', '')),
      );
      return bid > 0 && ask > bid;
    }),
  );
  await check('a pool is live', () =>
    page
      .getByRole('table', { name: 'Pools' })
      .locator('tbody tr[data-stale="false"]')
      .first()
      .waitFor({ timeout: remaining_ms() }),
  );
  await check('profit and loss has a total and parts', async () => {
    const card = page.getByRole('region', { name: 'Did we make money?' });
    await until('total', remaining_ms(), async () =>
      /\d/.test(await card.locator('.pnl-number').innerText()),
    );
    assert((await card.getByRole('listitem').count()) > 0, 'no parts');
  });
  await check('reconciliation is green', () =>
    until('ledger reconciled', remaining_ms(), async () => {
      const said = page.getByRole('group', { name: 'Ledger reconciliation' });
      return (await said.innerText()).trim() === 'ledger reconciled' && !(await isStale(said));
    }),
  );
  await check('every tab of records opens', async () => {
    for (const [tab, title] of [
      [/^Orders/, 'Orders'],
      [/^Transactions/, 'Transactions'],
      [/^Ledger/, 'Ledger'],
      [/^Reconciliation/, 'Ledger against the world'],
    ]) {
      await page.getByRole('tab', { name: tab }).click();
      await page
        .getByRole('heading', { name: title, exact: true })
        .waitFor({ timeout: ENGINE_WITHIN_MS });
    }
  });
}

async function checkPictures(page) {
  await check('fits 1440 x 900', async () => {
    await picture(page, 'dashboard-1440x900');
    await picture(page, 'dashboard-1440-whole', { fullPage: true });
    await assertNoSideways(page);
    for (const table of ['Order books', 'Pools', 'Reconciliation']) await assertWhole(page, table);
  });
  await check('fits 390 wide', async () => {
    await page.setViewportSize(NARROW);
    await picture(page, 'dashboard-390');
    await picture(page, 'dashboard-390-whole', { fullPage: true });
    await assertNoSideways(page);
  });
  await page.setViewportSize(WIDE);
}

async function picture(page, name, options = {}) {
  // The header sticks to the top of the window: from further down it would cover a whole page.
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.screenshot({
    path: join(pictures, `${name}.png`),
    animations: 'disabled',
    ...options,
  });
}

async function assertNoSideways(page) {
  const [wide, shown] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    window.innerWidth,
  ]);
  assert(wide <= shown, `the page is ${wide} wide in a window of ${shown}`);
  const cut = await page
    .locator('.figure-value .num, .pnl .num, .range-text, .top-row > *')
    .evaluateAll(
      (parts) =>
        parts.filter((part) => part.getBoundingClientRect().right > window.innerWidth).length,
    );
  assert(cut === 0, `${cut} figures are cut off`);
}

/** A column that is only seen after scrolling sideways is not seen. */
async function assertWhole(page, table) {
  const [wide, shown] = await page
    .getByRole('region', { name: `${table}, scrollable`, exact: true })
    .evaluate((box) => [box.scrollWidth, box.clientWidth]);
  assert(wide <= shown, `${table} is ${wide} wide in a box of ${shown}`);
}

async function openTab(page, name) {
  // The risk tab counts what is loud behind its name.
  const tab = page.getByRole('tab', { name: new RegExp(`^${name}`) });
  await tab.click();
  await page.getByRole('tabpanel', { name: new RegExp(`^${name}`) }).waitFor();
}

function rowsOf(page, table) {
  return page.getByRole('table', { name: table, exact: true }).locator('tbody tr');
}

async function checkTabs(page) {
  await check('strategies say what they want and whether they may', async () => {
    await openTab(page, 'Strategies');
    const row = rowsOf(page, 'Strategies').first();
    await row.waitFor({ timeout: remaining_ms() });
    await row.getByText(/^(may send|decides only|paused)$/).first().waitFor();
    await row.getByRole('img', { name: /^budget of .* used/ }).waitFor();
    await assertWhole(page, 'Strategies');
  });
  await check('arbitrage counts its funnel and keeps its filter in the address', async () => {
    await openTab(page, 'Arbitrage');
    const steps = page.getByRole('list', { name: 'Funnel' }).getByRole('listitem');
    await until('counts', remaining_ms(), async () => {
      const counts = await steps.locator('.num').allInnerTexts();
      return counts.length === 5 && counts.every((text) => /^[\d,]+$/.test(text));
    });
    await page.getByRole('button', { name: /^skipped/ }).click();
    assert(new URL(page.url()).searchParams.get('fate') === 'skipped', page.url());
    await page.getByRole('button', { name: /^all/ }).click();
  });
  await check('opportunities fit 1440 wide with every cost in sight', async () => {
    const row = rowsOf(page, 'Opportunities').first();
    await row.waitFor({ timeout: remaining_ms() });
    const text = (await row.innerText()).replaceAll('\n', ' ');
    assert(/fees .*gas .*slippage .*expected .*realised /.test(text), text);
    await assertWhole(page, 'Opportunities');
  });
  await check('risk shows limits, fuel and exposure with figures', async () => {
    await openTab(page, 'Risk');
    for (const table of ['Limits', 'Fuel', 'Exposure by asset', 'Exposure by chain'])
      await rowsOf(page, table)
        .filter({ has: page.locator('.num') })
        .first()
        .waitFor({ timeout: remaining_ms() });
  });
  await check('analytics draws what came since the page was opened', async () => {
    await openTab(page, 'Analytics');
    await page.getByText(/^Since this page was opened/).waitFor();
    for (const chart of [/^Price /, /^Book spread/, /^Net delta/, /^Profit and loss/])
      await until(`line of ${chart}`, remaining_ms(), async () => {
        const drawing = page.getByRole('img', { name: chart }).first();
        if ((await drawing.count()) === 0) return false;
        const lines = await drawing
          .locator('path[class^="line-"]')
          .evaluateAll((paths) => paths.map((path) => path.getAttribute('d') ?? ''));
        return lines.some((line) => line.split('L').length > 3);
      });
  });
  await check('every tab fits 1440 and 390 wide', async () => {
    for (const [size, word] of [[WIDE, '1440'], [NARROW, '390']]) {
      await page.setViewportSize(size);
      for (const name of TABS) {
        await openTab(page, name);
        await picture(page, `tab-${name.toLowerCase()}-${word}`, { fullPage: true });
        await assertNoSideways(page);
      }
    }
    await page.setViewportSize(WIDE);
  });
  await check('a tab is an address, and the back button returns', async () => {
    await openTab(page, 'Risk');
    await page.reload({ waitUntil: 'load' });
    await page.getByRole('tabpanel', { name: /^Risk/ }).waitFor();
    await openTab(page, 'Overview');
    await page.goBack();
    await page.getByRole('tabpanel', { name: /^Risk/ }).waitFor();
    await openTab(page, 'Overview');
  });
}

async function confirm(page, button, reason) {
  const dialog = page.getByRole('dialog');
  const sure = dialog.getByRole('button', { name: button });
  assert(await sure.isDisabled(), 'it can be confirmed without a reason');
  await dialog.getByRole('textbox', { name: 'Reason' }).fill(reason);
  await sure.click();
  await dialog.waitFor({ state: 'hidden' });
}

async function checkPause(page) {
  const pause = page.getByRole('button', { name: /^Pause / }).first();
  let label = '';
  await check('a strategy pauses and says so', async () => {
    await openTab(page, 'Strategies');
    label = (await pause.getAttribute('aria-label')) ?? '';
    await pause.click();
    await page.getByRole('dialog').getByText('Other strategies and the hedge go on').waitFor();
    await picture(page, 'dashboard-pause-dialog');
    await confirm(page, 'Pause now', 'browser test of the pause button');
    await rowsOf(page, 'Strategies')
      .filter({ has: startOf(page, label) })
      .getByText('paused', { exact: true })
      .waitFor();
  });
  await check('a paused strategy starts again', async () => {
    await startOf(page, label).click();
    await confirm(page, 'Start now', 'browser test is over');
    await page.getByRole('button', { name: label, exact: true }).waitFor();
  });
  await check('the overview is one press away', async () => {
    await page.keyboard.press('Escape');
    await openTab(page, 'Overview');
  });
}

function startOf(page, label) {
  return page.getByRole('button', { name: label.replace('Pause', 'Start'), exact: true });
}

async function checkStaleChain(page) {
  const stopped = placesOf(page, STOPPED);
  const others = placesOf(page, OTHER);
  await check('both chains have live rows before one is stopped', () =>
    until('live rows', remaining_ms(), () => areAll([...stopped, ...others], 'live')),
  );
  await check('a stopped chain turns its figures stale within 15 s', async () => {
    process.kill(anvil, 'SIGSTOP');
    is_anvil_stopped = true;
    await until('stale marks', STALE_WITHIN_MS, () => areAll(stopped, 'stale'));
    await picture(page, 'dashboard-stale-chain');
  });
  await check('the other chain and the books stay live meanwhile', async () => {
    assert(await areAll(others, 'live'), `figures of ${OTHER} are stale too`);
    for (const name of ['Liquidity positions', 'Pools', 'Order books'])
      assert(
        !(await isStale(page.getByRole('region', { name, exact: true }))),
        `the whole of ${name} is stale`,
      );
  });
  await check('the chain recovers when continued', async () => {
    process.kill(anvil, 'SIGCONT');
    is_anvil_stopped = false;
    await until('live again', RECOVER_WITHIN_MS, () => areAll([...stopped, ...others], 'live'));
    const before = await head(page);
    await until('head advances', RECOVER_WITHIN_MS, async () => (await head(page)) > before);
  });
}

async function checkHalt(page) {
  const reason = 'browser test of the halt button';
  const banner = page.getByRole('alert').filter({ hasText: 'HALTED' });
  await check('halt asks for a reason and says what will happen', async () => {
    await page.getByRole('button', { name: 'Halt', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('No new risk is taken').waitFor({ timeout: ENGINE_WITHIN_MS });
    assert(
      await dialog.getByRole('button', { name: 'Halt now' }).isDisabled(),
      'it can be confirmed without a reason',
    );
    await dialog.getByRole('textbox', { name: 'Reason' }).fill(reason);
    await picture(page, 'dashboard-halt-dialog');
    await dialog.getByRole('button', { name: 'Halt now' }).click();
    await dialog.waitFor({ state: 'hidden', timeout: ENGINE_WITHIN_MS });
  });
  await check('halted shows a red banner with the reason', async () => {
    await banner.getByText(reason).waitFor({ timeout: ENGINE_WITHIN_MS });
    await picture(page, 'dashboard-halted');
  });
  await check('resume lifts the halt', async () => {
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('textbox', { name: 'Reason' }).fill('browser test is over');
    await dialog.getByRole('button', { name: 'Resume now' }).click();
    await banner.waitFor({ state: 'detached', timeout: ENGINE_WITHIN_MS });
  });
}
