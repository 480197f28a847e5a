import { cleanup, fireEvent, screen, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Snapshot } from '../api';
import { section, show, staleness } from '../door';
import { CHAIN, SNAPSHOT, TWO_CHAINS } from '../fixture';
import { record, type Sample } from '../history';

beforeEach(() => window.history.replaceState(null, '', '/?page=analytics'));

afterEach(() => {
  cleanup();
  window.history.replaceState(null, '', '/');
});

function after(seconds: number, change: Partial<Snapshot> = {}): Snapshot {
  return { ...SNAPSHOT, at_ms: SNAPSHOT.at_ms + seconds * 1000, ...change };
}

function recorded(...snapshots: Snapshot[]): readonly Sample[] {
  return snapshots.reduce<readonly Sample[]>(record, []);
}

const figures = (chart: string, unit: string): (string | null)[] =>
  within(screen.getByRole('table', { name: `${chart}, figures in ${unit}` }))
    .getAllByRole('row')
    .slice(1)
    .map((row) => row.textContent);

describe('analytics', () => {
  it('draws each chart with unit and span, and says the same in a table', () => {
    const pool = { ...SNAPSHOT.pools[0]!, price: '2691.1' };
    const last = after(90, { pools: [pool] });
    show(last, recorded(SNAPSHOT, last));
    expect(
      screen.getByRole('img', {
        name: /^Price ETHUSDT in USDT, 22:15:00 to 22:16:30 UTC/,
      }),
    ).toBeTruthy();
    expect(figures('Price ETHUSDT', 'USDT')).toEqual([
      'WETH/USDT 0.05 % uniswap v3 on demo2,681.12,691.12,691.1',
      'ETHUSDT-PERP mid on hedge2,681.72,681.72,681.7',
    ]);
    expect(figures('Book spread', 'bp')).toHaveLength(1);
    expect(figures('Net delta', 'USDT')[0]).toMatch(/^ETH268/);
    expect(figures('Inventory ETH', 'ETH')).toHaveLength(4);
  });

  it('draws a line for each chain, and measures each chain in a chart of its own', () => {
    show(TWO_CHAINS, recorded(TWO_CHAINS));
    const [first, second] = figures('Price ETHUSDT', 'USDT');
    expect(first).toMatch(/^WETH\/USDT 0\.05 % uniswap v3 on demo2,681\./);
    expect(second).toMatch(/^WETH\/USDT 0\.05 % uniswap v3 on demo-two2,681\./);
    for (const chain of ['demo', 'demo-two']) {
      const gaps = figures(`Pool against book ETHUSDT on ${chain}`, 'bp');
      expect(gaps).toHaveLength(1);
      expect(gaps[0]).toContain(`v3 on ${chain} against ETHUSDT-PERP on hedge`);
    }
  });

  it('says since when it knows', () => {
    show(after(5), recorded(SNAPSHOT, after(5)));
    expect(screen.getByRole('main').textContent).toContain('Since this page was opened');
    expect(screen.getByRole('main').textContent).toContain('22:15:00 UTC');
  });

  it('leaves what is unknown unknown', () => {
    show(after(5), recorded(SNAPSHOT, after(5)));
    expect(figures('Profit and loss', 'USDT')[2]).toBe('Gasunknownunknownunknown');
  });

  it('shows no last value for what is stale now, though it draws the past', () => {
    const stale = after(5, { chains: [{ ...CHAIN, feed: 'stale' }] });
    show(stale, recorded(SNAPSHOT, after(2), stale));
    expect(figures('Net delta', 'USDT')[0]).toMatch(/unknown$/);
    expect(staleness(section('Net delta'))).toBe('true');
    expect(staleness(section('Book spread'))).toBe('false');
  });

  it('without points says so and draws nothing', () => {
    show(SNAPSHOT);
    expect(screen.getAllByText('No points yet: nothing known to draw').length).toBeGreaterThan(3);
    expect(screen.getByRole('main').textContent).toContain('not recorded yet');
  });

  it('survives an agent with nothing to draw', () => {
    show({
      ...SNAPSHOT,
      pools: [],
      books: [],
      exposure: [],
      pnl: { total: null, parts: [] },
    });
    expect(section('Profit and loss')).toBeTruthy();
    expect(screen.queryByRole('region', { name: 'Book spread' })).toBeNull();
  });
});

describe('tabs', () => {
  it('show one page at a time and live in the address', () => {
    window.history.replaceState(null, '', '/?tab=orders');
    show(SNAPSHOT);
    expect(screen.getByRole('tab', { name: 'Overview', selected: true })).toBeTruthy();
    fireEvent.click(screen.getByRole('tab', { name: 'Strategies' }));
    expect(window.location.search).toBe('?tab=orders&page=strategies');
    expect(section('Strategies')).toBeTruthy();
    expect(screen.queryByRole('region', { name: 'Pools' })).toBeNull();
    expect(screen.getByRole('tabpanel', { name: 'Strategies' })).toBeTruthy();
  });

  it('that are not known fall back to the overview', () => {
    window.history.replaceState(null, '', '/?page=__proto__');
    show(SNAPSHOT);
    expect(screen.getByRole('tab', { name: 'Overview', selected: true })).toBeTruthy();
  });

  it.each(['overview', 'strategies', 'arbitrage', 'risk', 'analytics'])(
    '%s keeps the halt in sight',
    (page) => {
      window.history.replaceState(null, '', `/?page=${page}`);
      show({ ...SNAPSHOT, state: { kind: 'halted', reason: 'asked', since_ms: 0 } });
      expect(screen.getByRole('alert').textContent).toContain('HALTED');
      expect(screen.getByRole('button', { name: 'Resume' })).toBeTruthy();
    },
  );
});
