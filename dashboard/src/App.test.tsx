import { act, cleanup, fireEvent, screen, waitFor, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { asked, section, show, staleness } from './door';
import { CHAIN, POSITION, SNAPSHOT } from './fixture';

const post = vi.fn<(request: Request) => Promise<Response>>();

beforeEach(() => {
  vi.stubGlobal('fetch', post);
  post.mockReset();
  post.mockResolvedValue(new Response('{"accepted":true}', { status: 202 }));
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  window.history.replaceState(null, '', '/');
});

describe('figures', () => {
  it('are shown with their units', () => {
    show(SNAPSHOT);
    expect(section('Did we make money?').textContent).toContain('+12.34 USDT');
    expect(screen.getByRole('group', { name: 'Chain demo' }).textContent).toContain('1,234');
    expect(
      screen.getByRole('img', { name: 'price 2,681.10 USDT, range 2,600.00 to 2,750.00 USDT' }),
    ).toBeTruthy();
  });

  it('of profit and loss have names for people', () => {
    show(SNAPSHOT);
    const parts = within(screen.getByRole('list', { name: 'Profit and loss by part' }));
    expect(parts.getAllByRole('listitem').map((part) => part.firstChild?.textContent)).toEqual([
      'Pool fees earned',
      'Gas',
      'Cycles of pools',
      'Quotes',
    ]);
  });

  it('that are not known say so and never read 0', () => {
    show({
      ...SNAPSHOT,
      pnl: { total: null, parts: [] },
      positions: [{ ...POSITION, value: null, gas: null }],
    });
    expect(section('Did we make money?').textContent).toContain('unknown');
    const position = screen.getByRole('listitem', { name: /^position/ });
    for (const name of ['Gas', 'Value', 'Value vs HOLD']) {
      expect(within(position).getByText(name, { exact: true }).parentElement?.textContent).toBe(
        `${name}unknown`,
      );
    }
  });

  it('of third parties stay text', () => {
    window.history.replaceState(null, '', '/?tab=orders');
    show(SNAPSHOT);
    expect(screen.getByText('<img src=x onerror="document.title=1">')).toBeTruthy();
    expect(document.querySelector('img')).toBeNull();
  });

  it('survive an agent that knows nothing yet', () => {
    const nothing = {
      chains: [],
      venues: [],
      books: [],
      pools: [],
      positions: [],
      exposure: [],
      orders: [],
      transactions: [],
      labels: [],
    };
    show({
      ...SNAPSHOT,
      ...nothing,
      hedge: null,
      reconciliation: { ok: null, checked_ms: null, rows: [] },
    });
    expect(screen.getByText('No positions')).toBeTruthy();
    expect(screen.getByText('ledger not compared')).toBeTruthy();
  });
});

describe('staleness', () => {
  it('is absent while all feeds are live', () => {
    show(SNAPSHOT);
    for (const name of ['Liquidity positions', 'Pools', 'Order books', 'Did we make money?'])
      expect(staleness(section(name))).toBe('false');
    expect(screen.queryByText('stale')).toBeNull();
  });

  it('of a chain greys its figures and leaves the books alone', () => {
    show({ ...SNAPSHOT, chains: [{ ...CHAIN, feed: 'stale' }] });
    for (const name of [
      'Liquidity positions',
      'Pools',
      'Exposure and hedge',
      'Did we make money?',
    ]) {
      expect(staleness(section(name))).toBe('true');
      expect(within(section(name)).getAllByText('stale').length).toBeGreaterThan(0);
    }
    expect(staleness(screen.getByRole('group', { name: 'Chain demo' }))).toBe('true');
    expect(staleness(section('Order books'))).toBe('false');
  });

  it('reaches everything when the stream is silent, and ages go on growing', () => {
    vi.useFakeTimers();
    show(SNAPSHOT);
    act(() => void vi.advanceTimersByTime(2_900));
    expect(staleness(section('Order books'))).toBe('false');
    act(() => void vi.advanceTimersByTime(1_000));
    for (const name of ['Order books', 'Liquidity positions', 'Pools', 'Did we make money?'])
      expect(staleness(section(name))).toBe('true');
    expect(screen.getByRole('status', { name: 'Stream' }).textContent).toBe('stream silent');
    expect(screen.getByRole('group', { name: 'Chain demo' }).textContent).toMatch(/4\.[0-9] s/);
    expect(screen.getByText('ledger reconciled (stale)')).toBeTruthy();
  });
});

describe('reconciliation', () => {
  it('that differs is loud', () => {
    const row = {
      place: 'venue:hedge',
      unit: 'venue:hedge/USDT',
      ledger: '100',
      actual: '99',
      difference: '1',
      at: 'user stream event 8',
    };
    show({ ...SNAPSHOT, reconciliation: { ok: true, checked_ms: SNAPSHOT.at_ms, rows: [row] } });
    expect(screen.getByText('ledger differs')).toBeTruthy();
    const rows = within(screen.getByRole('table', { name: 'Reconciliation' })).getAllByRole('row');
    expect(rows[1]?.className).toBe('loud');
  });
});

describe('halt', () => {
  const open = (): HTMLElement => {
    fireEvent.click(screen.getByRole('button', { name: 'Halt' }));
    return screen.getByRole('dialog');
  };
  const write = (dialog: HTMLElement, reason: string): void => {
    fireEvent.change(within(dialog).getByRole('textbox', { name: /Reason/ }), {
      target: { value: reason },
    });
  };

  it('says what will happen and needs a reason', () => {
    show(SNAPSHOT);
    const dialog = open();
    const confirm = within(dialog).getByRole('button', { name: 'Halt now' });
    expect(dialog.textContent).toContain('No new risk is taken');
    for (const [reason, is_disabled] of [
      ['', true],
      ['  a  ', true],
      ['x'.repeat(201), true],
      ['abc', false],
    ] satisfies [string, boolean][]) {
      write(dialog, reason);
      expect(confirm.hasAttribute('disabled')).toBe(is_disabled);
    }
    expect(post).not.toHaveBeenCalled();
  });

  it('is sent with its reason and closes the dialog', async () => {
    show(SNAPSHOT);
    const dialog = open();
    write(dialog, ' price feed looks wrong ');
    fireEvent.click(within(dialog).getByRole('button', { name: 'Halt now' }));
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(await asked(post.mock.calls[0]?.[0])).toEqual({
      method: 'POST',
      path: '/api/v1/halt',
      body: '{"reason":"price feed looks wrong"}',
    });
  });

  it('that is refused says why and stays open', async () => {
    post.mockResolvedValue(
      new Response('{"title":"invalid reason","detail":"too short","status":422}', { status: 422 }),
    );
    show(SNAPSHOT);
    const dialog = open();
    write(dialog, 'abc');
    fireEvent.click(within(dialog).getByRole('button', { name: 'Halt now' }));
    await within(dialog).findByText(/invalid reason: too short/);
  });

  it('shows a banner with the reason and offers resume only', () => {
    show({
      ...SNAPSHOT,
      state: { kind: 'halted', reason: 'operator asked', since_ms: SNAPSHOT.at_ms },
    });
    const banner = screen.getByRole('alert');
    expect(banner.textContent).toContain('HALTED');
    expect(banner.textContent).toContain('operator asked');
    expect(screen.queryByRole('button', { name: 'Halt' })).toBeNull();
    expect(screen.getByRole('button', { name: 'Resume' })).toBeTruthy();
  });
});

describe('session', () => {
  it('that is refused says how to get one', async () => {
    post.mockResolvedValue(new Response('{}', { status: 401 }));
    show(null);
    expect((await screen.findByRole('alert')).textContent).toContain('address with the token');
  });
});
