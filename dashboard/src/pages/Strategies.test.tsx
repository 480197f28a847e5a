import { cleanup, fireEvent, screen, waitFor, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { EngineKind, Snapshot } from '../api';
import { asked, section, show, staleness } from '../door';
import { CHAIN, SNAPSHOT, STRATEGY } from '../fixture';
import { statesOf } from './Strategies';

const post = vi.fn<(request: Request) => Promise<Response>>();

beforeEach(() => {
  window.history.replaceState(null, '', '/?page=strategies');
  vi.stubGlobal('fetch', post);
  post.mockReset();
  post.mockResolvedValue(new Response('{"accepted":true}', { status: 202 }));
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  window.history.replaceState(null, '', '/');
});

const inState = (kind: EngineKind): Snapshot => ({
  ...SNAPSHOT,
  state: { ...SNAPSHOT.state, kind },
});
const row = (id: string): HTMLElement => screen.getByRole('row', { name: new RegExp(id) });

function ask(button: string): HTMLElement {
  fireEvent.click(screen.getByRole('button', { name: button }));
  return screen.getByRole('dialog');
}

function answer(dialog: HTMLElement, reason: string, confirm: string): void {
  fireEvent.change(within(dialog).getByRole('textbox', { name: /Reason/ }), {
    target: { value: reason },
  });
  fireEvent.click(within(dialog).getByRole('button', { name: confirm }));
}

describe('table', () => {
  it('says what each strategy wants, how old that is, and what it used', () => {
    show(SNAPSHOT);
    const text = row('demo-lp').textContent;
    for (const part of ['v4liquidity', 'WETH/USDT 0.05 %', 'may send', '61.2 %', 'price is inside'])
      expect(text).toContain(part);
    expect(text).toMatch(/0\.[5-9] s ago/);
    expect(
      within(row('demo-lp')).getByRole('img', {
        name: 'budget of demo-lp: 61.2 % used, 61,230.1 of 100,000 USDT',
      }),
    ).toBeTruthy();
  });

  it('says unknown where nothing is known, and never 0', () => {
    show(SNAPSHOT);
    const text = row('quotes/eth').textContent;
    for (const part of ['why: unknown', 'age unknown', 'unknownlimit 2,000', 'decides only'])
      expect(text).toContain(part);
    expect(text).not.toContain('0.0 %');
  });

  it('keeps hostile text as text', () => {
    show({ ...SNAPSHOT, strategies: [{ ...STRATEGY, id: '<img src=x>', why: '<b>now</b>' }] });
    expect(screen.getByText('<img src=x>')).toBeTruthy();
    expect(screen.getByText('<b>now</b>')).toBeTruthy();
    expect(document.querySelector('img, b')).toBeNull();
  });

  it('that is empty says so', () => {
    show({ ...SNAPSHOT, strategies: [] });
    expect(screen.getByText('No strategies are configured')).toBeTruthy();
  });

  it('is stale row by row with its chain', () => {
    show({ ...SNAPSHOT, chains: [{ ...CHAIN, feed: 'down' }] });
    expect(staleness(row('demo-lp'))).toBe('true');
    expect(staleness(row('quotes/eth'))).toBe('false');
    expect(staleness(section('Strategies'))).toBe('false');
  });
});

describe('allowed', () => {
  it('names everything that holds a strategy back', () => {
    const halted = inState('halted');
    expect(statesOf(STRATEGY, SNAPSHOT)).toEqual(['may send']);
    expect(statesOf({ ...STRATEGY, sends: false, is_paused: true }, halted)).toEqual([
      'halted',
      'paused',
      'decides only',
    ]);
  });

  it('says paused once if engine and strategy are', () => {
    expect(statesOf({ ...STRATEGY, is_paused: true }, inState('paused'))).toEqual(['paused']);
  });
});

describe('pause', () => {
  it('says what will happen and needs a reason', () => {
    show(SNAPSHOT);
    const dialog = ask('Pause demo-lp');
    expect(dialog.textContent).toContain('Pause strategy demo-lp?');
    expect(dialog.textContent).toContain('no exit of its own');
    answer(dialog, ' a ', 'Pause now');
    expect(post).not.toHaveBeenCalled();
  });

  it('is posted with its reason and closes the dialog', async () => {
    show(SNAPSHOT);
    answer(ask('Pause demo-lp'), ' looks wrong ', 'Pause now');
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(await asked(post.mock.calls[0]?.[0])).toEqual({
      method: 'POST',
      path: '/api/v1/strategies/demo-lp/pause',
      body: '{"reason":"looks wrong"}',
    });
  });

  it('escapes the id in the address', async () => {
    show(SNAPSHOT);
    answer(ask('Pause quotes/eth'), 'looks wrong', 'Pause now');
    await waitFor(() => expect(post).toHaveBeenCalled());
    const { path } = await asked(post.mock.calls[0]?.[0]);
    expect(path).toBe('/api/v1/strategies/quotes%2Feth/pause');
  });

  it('of an id that would address something else is not posted', async () => {
    show({ ...SNAPSHOT, strategies: [{ ...STRATEGY, id: '..' }] });
    const dialog = ask('Pause ..');
    answer(dialog, 'looks wrong', 'Pause now');
    await within(dialog).findByText(/cannot be addressed/);
    expect(post).not.toHaveBeenCalled();
  });

  it('that is refused says why and stays open', async () => {
    post.mockResolvedValue(new Response('{"title":"no such strategy"}', { status: 404 }));
    show(SNAPSHOT);
    const dialog = ask('Pause demo-lp');
    answer(dialog, 'looks wrong', 'Pause now');
    await within(dialog).findByText(/no such strategy/);
  });
});

describe('start', () => {
  it('is posted as resume, and says that a halted engine still sends nothing', async () => {
    show(inState('halted'));
    const dialog = ask('Start demo-arb');
    expect(dialog.textContent).toContain('The engine is halted');
    answer(dialog, 'cause is gone', 'Start now');
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    const { path } = await asked(post.mock.calls[0]?.[0]);
    expect(path).toBe('/api/v1/strategies/demo-arb/resume');
  });
});
