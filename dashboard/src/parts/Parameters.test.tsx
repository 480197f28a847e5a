import { cleanup, fireEvent, screen, waitFor, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { asked, show } from '../door';
import { PARAMETERS, PREVIEW, SNAPSHOT, VERSIONS } from '../fixture';

const ROOT = '/api/v1/strategies/demo-lp';
const KEY = 'range.half_width_pct';

/** What the agent answers, by method and the end of the path; each test may say otherwise. */
let answers: Record<string, () => Response>;
const agent = vi.fn<(request: Request) => Promise<Response>>();

const json = (body: unknown, status = 200): Response =>
  new Response(JSON.stringify(body), { status });

beforeEach(() => {
  window.history.replaceState(null, '', '/?page=strategies');
  answers = {
    'GET /parameters': () => json(PARAMETERS),
    'POST /parameters/preview': () => json(PREVIEW),
    'POST /parameters': () => json({ accepted: true, version: 5 }, 202),
    'GET /versions': () => json({ id: 'demo-lp', versions: VERSIONS }),
  };
  agent.mockReset();
  agent.mockImplementation((request) => {
    const path = new URL(request.url).pathname.replace(ROOT, '');
    const answer = answers[`${request.method} ${path}`];
    return Promise.resolve(answer ? answer() : json({ title: 'no such path' }, 404));
  });
  vi.stubGlobal('fetch', agent);
  show(SNAPSHOT);
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  window.history.replaceState(null, '', '/');
});

const dialog = (): HTMLElement => screen.getByRole('dialog');
const field = (name: string): HTMLElement => within(dialog()).getByRole('textbox', { name });
const button = (name: string): HTMLElement => within(dialog()).getByRole('button', { name });
const isDisabled = (name: string): boolean => button(name).hasAttribute('disabled');
const hint = (): string | null => within(dialog()).getByRole('status').textContent;

function write(name: string, value: string): void {
  fireEvent.change(field(name), { target: { value } });
}

function open(name = 'Edit parameters demo-lp'): HTMLElement {
  const opener = screen.getByRole('button', { name });
  opener.focus();
  fireEvent.click(opener);
  return opener;
}

async function edit(value = '5.0'): Promise<void> {
  open();
  await within(dialog()).findByRole('textbox', { name: KEY });
  write(KEY, value);
}

async function tryOut(): Promise<void> {
  fireEvent.click(button('Try'));
  await within(dialog()).findByRole('table', { name: 'What would differ' });
}

const rowsOf = (table: string): (string | null)[] =>
  within(within(dialog()).getByRole('table', { name: table }))
    .getAllByRole('row')
    .slice(1)
    .map((row) => row.textContent);

describe('the fields', () => {
  it('tell version, file, and each key with its sentence and its unit', async () => {
    open();
    await within(dialog()).findByRole('textbox', { name: KEY });
    expect(dialog().textContent).toContain('Parameters of demo-lp');
    expect(dialog().textContent).toContain('v4, in force for 60 s');
    expect(dialog().textContent).toContain('strategies/demo-lp.toml');
    for (const { key, value, what } of PARAMETERS.keys) {
      expect(field(key).getAttribute('value')).toBe(value);
      const told = field(key).getAttribute('aria-describedby') ?? '';
      expect(document.getElementById(told)?.textContent).toBe(what);
    }
    expect(field('range.move_after_blocks').getAttribute('inputmode')).toBe('numeric');
  });

  it('say where they are changed, and what they were', async () => {
    await edit();
    expect(within(dialog()).getByText(/changed, it is/).textContent).toBe('changed, it is 4.0 now');
    write(KEY, ' 4.0 ');
    expect(within(dialog()).queryByText(/changed, it is/)).toBeNull();
    expect(isDisabled('Try')).toBe(true);
  });

  it('that are not told leave the reason of the agent', async () => {
    answers['GET /parameters'] = () => json({ title: 'not ready', detail: '<b>wait</b>' }, 503);
    open();
    await within(dialog()).findByText('Not told: not ready: <b>wait</b>');
    expect(document.querySelector('b')).toBeNull();
  });
});

describe('a trial', () => {
  it('asks for what is changed only, and shows what would differ', async () => {
    await edit();
    await tryOut();
    const requests = await Promise.all(agent.mock.calls.map(([request]) => asked(request)));
    expect(requests.at(-1)).toEqual({
      method: 'POST',
      path: `${ROOT}/parameters/preview`,
      body: '{"changes":{"range.half_width_pct":"5.0"}}',
    });
    expect(rowsOf('What would differ')).toEqual([`${KEY}4.05.0`]);
    const text = within(dialog()).getByRole('region', { name: 'Trial' }).textContent;
    expect(text).toContain(`It says now${PREVIEW.now}`);
    expect(text).toContain(`It would say${PREVIEW.then}`);
    expect(document.querySelector('b')).toBeNull();
  });

  it('says unknown where nothing is said', async () => {
    answers['POST /parameters/preview'] = () => json({ ...PREVIEW, now: null, then: null });
    await edit();
    await tryOut();
    const text = within(dialog()).getByRole('region', { name: 'Trial' }).textContent;
    expect(text).toContain('It says nowunknownIt would sayunknown');
  });

  it('tells problems beside their fields, with what would help', async () => {
    const problems = [
      { key: KEY, problem: 'above <i>50</i>', fix: 'take 50 or less' },
      { key: 'range', problem: 'too narrow', fix: 'widen it' },
    ];
    answers['POST /parameters/preview'] = () => json({ ...PREVIEW, problems });
    await edit('80');
    await tryOut();
    const told = field(KEY).getAttribute('aria-describedby') ?? '';
    const beside = (): string => document.getElementById(told)?.textContent ?? '';
    expect(beside()).toContain('above <i>50</i>: take 50 or less');
    expect(field(KEY).getAttribute('aria-invalid')).toBe('true');
    expect(dialog().textContent).toContain('range: too narrow: widen it');
    expect(document.querySelector('i')).toBeNull();
    write('Reason', 'looks better');
    expect(isDisabled('Apply')).toBe(true);
    expect(hint()).toBe('The agent would refuse these values');
    write('budget.slippage_bp_max', '20');
    expect(beside()).toContain('above <i>50</i>');
    write(KEY, '8');
    expect(beside()).not.toContain('above');
  });

  it('that is not answered says why', async () => {
    answers['POST /parameters/preview'] = () => json({ title: 'no such strategy' }, 404);
    await edit();
    fireEvent.click(button('Try'));
    await within(dialog()).findByText('Not tried: no such strategy');
  });
});

describe('to apply', () => {
  it('needs a trial of exactly these values and a reason', async () => {
    await edit();
    write('Reason', 'wider range');
    expect(isDisabled('Apply')).toBe(true);
    await tryOut();
    expect(isDisabled('Apply')).toBe(false);
    for (const [reason, is_disabled] of [
      ['  a  ', true],
      ['x'.repeat(201), true],
      ['abc', false],
    ] satisfies [string, boolean][]) {
      write('Reason', reason);
      expect(isDisabled('Apply')).toBe(is_disabled);
    }
    write(KEY, '5.5');
    expect(isDisabled('Apply')).toBe(true);
    expect(hint()).toBe('Try these values before they can be applied');
    write(KEY, '5.0');
    expect(isDisabled('Apply')).toBe(false);
  });

  it('makes no sense if nothing would differ', async () => {
    answers['POST /parameters/preview'] = () => json({ ...PREVIEW, diff: [] });
    await edit('4');
    write('Reason', 'as it is');
    fireEvent.click(button('Try'));
    await within(dialog()).findByText('Nothing would differ');
    expect(isDisabled('Apply')).toBe(true);
  });

  it('sends version, values and reason, and says aloud what they became', async () => {
    await edit();
    await tryOut();
    write('Reason', ' wider range ');
    fireEvent.click(button('Apply'));
    const said = await within(dialog()).findByRole('alert');
    expect(said.textContent).toContain('Accepted as version 5');
    expect(rowsOf('Changes of v5')).toEqual([`${KEY}4.05.0`]);
    expect((await asked(agent.mock.lastCall?.[0])).path).toBe(`${ROOT}/parameters`);
    expect((await asked(agent.mock.lastCall?.[0])).body).toBe(
      '{"version":4,"changes":{"range.half_width_pct":"5.0"},"reason":"wider range"}',
    );
    expect(document.activeElement).toBe(button('Close'));
  });

  it.each([422, 503])('that is refused with %s says why and keeps the values', async (status) => {
    answers['POST /parameters'] = () => json({ title: 'no', detail: '<img src=x>' }, status);
    await edit();
    await tryOut();
    write('Reason', 'wider range');
    fireEvent.click(button('Apply'));
    await within(dialog()).findByText('Not applied: no: <img src=x>');
    expect(document.querySelector('img')).toBeNull();
    expect(field(KEY).getAttribute('value')).toBe('5.0');
    expect(isDisabled('Apply')).toBe(false);
  });

  it('after somebody else loads what is there, shows it, and wants another trial', async () => {
    answers['POST /parameters'] = () => json({ title: 'changed meanwhile' }, 409);
    await edit();
    await tryOut();
    write('Reason', 'wider range');
    const [first, ...rest] = PARAMETERS.keys;
    const keys = [{ ...first!, value: '6.5' }, ...rest];
    answers['GET /parameters'] = () => json({ ...PARAMETERS, version: 5, keys });
    fireEvent.click(button('Apply'));
    await within(dialog()).findByText(/Somebody else was faster: v4 is v5 now/);
    expect(dialog().textContent).toContain('Not applied: changed meanwhile');
    expect(rowsOf('What they changed')).toEqual([`${KEY}4.06.5`]);
    expect(document.activeElement?.textContent).toContain('Somebody else was faster');
    expect(field(KEY).getAttribute('value')).toBe('5.0');
    expect(dialog().textContent).toContain('changed, it is 6.5 now');
    expect(isDisabled('Apply')).toBe(true);
    await tryOut();
    answers['POST /parameters'] = () => json({ accepted: true, version: 6 }, 202);
    fireEvent.click(button('Apply'));
    await within(dialog()).findByText(/Accepted as version 6/);
    expect((await asked(agent.mock.lastCall?.[0])).body).toContain('"version":5');
  });
});

describe('the dialog', () => {
  it('gives the focus back to its button', async () => {
    const opener = open();
    await within(dialog()).findByRole('textbox', { name: KEY });
    expect(document.activeElement).toBe(field(KEY));
    fireEvent.keyDown(document.activeElement!, { key: 'Escape' });
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(document.activeElement).toBe(opener);
  });

  it('is not closed by a press beside it', async () => {
    await edit();
    fireEvent.mouseDown(document.querySelector('.MuiDialog-container')!);
    fireEvent.click(document.querySelector('.MuiDialog-container')!);
    expect(field(KEY).getAttribute('value')).toBe('5.0');
  });

  it('asks again when it is opened again', async () => {
    await edit();
    fireEvent.click(button('Cancel'));
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    answers['GET /parameters'] = () => json({ ...PARAMETERS, version: 7 });
    open();
    await within(dialog()).findByText(/v7, in force/);
    expect(field(KEY).getAttribute('value')).toBe('4.0');
  });
});

describe('the history', () => {
  it('tells versions newest first, each with time, reason and what differs', async () => {
    open('History demo-lp');
    const items = await within(dialog()).findAllByRole('listitem');
    expect(items.map((item) => item.querySelector('strong')?.textContent)).toEqual(['v4', 'v3']);
    expect(items[0]?.textContent).toContain('wider while it is <i>wild</i>');
    expect(items[0]?.textContent).toContain('2023-11-14 22:14:00 UTC, 60 s ago');
    expect(rowsOf('Changes of v4')).toEqual([`${KEY}3.04.0`]);
    expect(items[1]?.textContent).toContain('Nothing differs from the version before');
    expect(document.querySelector('i')).toBeNull();
  });

  it('that is not told says why', async () => {
    answers['GET /versions'] = () => json({ title: 'no such strategy' }, 404);
    open('History demo-lp');
    await within(dialog()).findByText('Not told: no such strategy');
  });
});
