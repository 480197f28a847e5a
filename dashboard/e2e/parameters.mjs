// One number of one strategy is changed in the page, as an operator would: written, tried, applied
// with a reason, and found again in the table and in the history.

const REASON = 'browser test of the parameters';
const VERSION = /\bv(\d+)\b/;

/** `tools` are those of run.mjs. */
export async function checkParameters(page, tools) {
  const { check, assert, openTab, rowsOf, picture } = tools;
  const dialog = page.getByRole('dialog');
  const opener = page.getByRole('button', { name: /^Edit parameters / }).first();
  const change = { id: '', key: '', after: '', version: 0 };

  const is_tried = await check('a changed number is tried and shows its difference', async () => {
    await openTab(page, 'Strategies');
    change.id = ((await opener.getAttribute('aria-label')) ?? '').replace('Edit parameters ', '');
    await opener.click();
    await dialog.getByText(VERSION).first().waitFor();
    const apply = dialog.getByRole('button', { name: 'Apply' });
    assert(await apply.isDisabled(), 'it can be applied before it was tried');
    Object.assign(change, await tryOne(dialog));
    await picture(page, 'dashboard-parameters-tried');
    assert(await apply.isDisabled(), 'it can be applied without a reason');
  });
  if (!is_tried) {
    await page.keyboard.press('Escape');
    return;
  }
  await check('an applied change is accepted as a new version, and the focus returns', async () => {
    await dialog.getByRole('textbox', { name: 'Reason' }).fill(REASON);
    await dialog.getByRole('button', { name: 'Apply' }).click();
    const said = dialog.getByText(/Accepted as version \d+/);
    await said.waitFor();
    change.version = Number(/version (\d+)/.exec(await said.innerText())?.[1]);
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'hidden' });
    assert(await opener.evaluate((button) => button === document.activeElement), 'focus is lost');
  });
  await check('the table tells the new version', async () => {
    assert(change.version > 0, 'nothing was accepted');
    await rowsOf(page, 'Strategies')
      .filter({ has: opener })
      .getByText(`v${change.version}`, { exact: true })
      .waitFor();
  });
  await check('the history tells the change with its reason', async () => {
    await page.getByRole('button', { name: `History ${change.id}`, exact: true }).click();
    const version = dialog.getByRole('listitem', {
      name: `version ${change.version}`,
      exact: true,
    });
    await version.getByText(REASON).waitFor();
    const row = version.getByRole('row').filter({ hasText: change.key });
    assert((await row.innerText()).includes(change.after), `no ${change.after} in the history`);
    await picture(page, 'dashboard-history');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
  });
}

/** Changes one field after the other by its last digit, until the agent would take one. */
async function tryOne(dialog) {
  const fields = dialog.locator('.parameter-fields input');
  await fields.first().waitFor();
  const n_fields = await fields.count();
  for (let index = 0; index < n_fields; index += 1) {
    const field = fields.nth(index);
    const before = await field.inputValue();
    const after = nudged(before);
    await field.fill(after);
    await dialog.getByRole('button', { name: 'Try' }).click();
    const trial = dialog.getByRole('region', { name: 'Trial', exact: true });
    await trial.getByText('It would say').waitFor();
    const row = trial.getByRole('row').filter({ hasText: after });
    if ((await trial.getByRole('alert').count()) === 0 && (await row.count()) === 1)
      return { key: await row.getByRole('cell').first().innerText(), after };
    await field.fill(before);
  }
  throw new Error(`none of ${n_fields} parameters can be changed by a little`);
}

/** "4.0" is "4.1", "19" is "18": near to what it was, and another number. */
function nudged(text) {
  const last = Number(text.at(-1));
  return text.slice(0, -1) + String(last === 9 ? 8 : last + 1);
}
