import { QueryClient } from '@tanstack/react-query';
import { describe, expect, it, vi } from 'vitest';

import type { Snapshot } from './api';
import { axis, trail, type Point } from './axis';
import { CHAIN, SNAPSHOT, TWO_CHAINS } from './fixture';
import { record, startHistory, traceId, WINDOW_MS, type Sample } from './history';
import { SNAPSHOT_KEY, type Received } from './stream';
import { instrument, tracesOf } from './traces';

const at = (ms: number, change: Partial<Snapshot> = {}): Snapshot => ({
  ...SNAPSHOT,
  at_ms: SNAPSHOT.at_ms + ms,
  ...change,
});
const recorded = (...snapshots: Snapshot[]): readonly Sample[] =>
  snapshots.reduce<readonly Sample[]>(record, []);

describe('record', () => {
  it('keeps one point a second', () =>
    expect(recorded(at(0), at(250), at(999), at(1_000), at(1_500))).toHaveLength(2));
  it('answers with the very same samples if nothing is added', () => {
    const held = recorded(at(0));
    expect(record(held, at(10))).toBe(held);
  });
  it('forgets what is older than its window', () => {
    const held = recorded(at(0), at(2_000), at(WINDOW_MS + 1_000));
    expect(held.map((sample) => sample.at_ms - SNAPSHOT.at_ms)).toEqual([2_000, WINDOW_MS + 1_000]);
  });
  it('is bounded however long the page is open', () => {
    let held: readonly Sample[] = [];
    for (let second = 0; second < 1_200; second += 1) held = record(held, at(second * 1_000));
    expect(held).toHaveLength(WINDOW_MS / 1_000 + 1);
  });
  it('ignores a small step back and starts anew after a large one', () => {
    expect(recorded(at(10_000), at(9_000))).toHaveLength(1);
    expect(recorded(at(0), at(10_000), at(1_000)).map((sample) => sample.at_ms)).toEqual([
      SNAPSHOT.at_ms + 1_000,
    ]);
  });
  it('leaves out what is stale or unknown', () => {
    const [sample] = recorded(at(0, { chains: [{ ...CHAIN, feed: 'down' }] }));
    expect([...(sample?.values.keys() ?? [])].map((id) => id.split('\n')[0])).toEqual([
      'Price ETHUSDT',
      'Book spread',
    ]);
  });
});

describe('history', () => {
  it('follows the query cache and tells its listeners until it is stopped', () => {
    const client = new QueryClient();
    const history = startHistory(client);
    const changed = vi.fn();
    history.subscribe(changed);
    const put = (ms: number): void =>
      void client.setQueryData<Received>(SNAPSHOT_KEY, { snapshot: at(ms), received_ms: ms });
    put(0);
    put(100);
    client.setQueryData(['other'], 1);
    expect(changed).toHaveBeenCalledTimes(1);
    put(1_100);
    expect(history.samples()).toHaveLength(2);
    history.stop();
    put(2_200);
    expect(history.samples()).toHaveLength(2);
  });
});

describe('traces', () => {
  it.each([
    ['WETH/USDT', 'ETHUSDT'],
    ['ETHUSDT-PERP', 'ETHUSDT'],
    ['ETH-USDT-SWAP', 'ETHUSDT'],
    ['USDC/WBTC', 'USDCBTC'],
    ['WELL/USDT', 'WELLUSDT'],
    ['', ''],
  ])('%s is the instrument %s', (text, name) => expect(instrument(text)).toBe(name));
  it('have a name of their own each', () => {
    const ids = tracesOf(SNAPSHOT).map(traceId);
    expect(new Set(ids).size).toBe(ids.length);
  });
  it.each([
    ['one chain', SNAPSHOT, 0],
    ['two chains', TWO_CHAINS, 0],
    [
      'a pool that differs by its address only',
      { ...TWO_CHAINS, pools: [...TWO_CHAINS.pools, { ...SNAPSHOT.pools[0]!, pool: '0x1234' }] },
      4,
    ],
  ])('of %s are named apart, by address only if need be', (_of, snapshot, n_addresses) => {
    const names = tracesOf(snapshot).map(({ chart, name }) => `${chart}: ${name}`);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => name.includes('0x'))).toHaveLength(n_addresses);
  });
  it('measure the pool against the book in basis points', () => {
    const gap = tracesOf(SNAPSHOT).find((trace) => trace.chart.startsWith('Pool against book'));
    expect(gap?.value).toBeCloseTo((2681.1 / 2681.67 - 1) * 10_000, 6);
  });
  it('of a one-sided book are unknown', () => {
    const books = [{ ...SNAPSHOT.books[0]!, bid: null }];
    const of_book = tracesOf({ ...SNAPSHOT, books }).filter((trace) => /book/i.test(trace.chart));
    expect(of_book.map((trace) => trace.value)).toEqual([null, null]);
  });
});

describe('axis', () => {
  it.each([
    [0, 10],
    [-3, 7],
    [2681.1, 2681.1],
    [0, 0],
    [-1e-9, 1e-9],
    [5e18, 6e18],
  ])('from %s to %s holds all values between few round ticks', (lowest, highest) => {
    const { low, high, ticks } = axis(lowest, highest);
    expect(low).toBeLessThanOrEqual(lowest);
    expect(high).toBeGreaterThanOrEqual(highest);
    expect(high).toBeGreaterThan(low);
    expect(ticks.length).toBeGreaterThanOrEqual(3);
    expect(ticks.length).toBeLessThanOrEqual(8);
  });
  it('of nothing has no ticks', () => expect(axis(Infinity, -Infinity).ticks).toEqual([]));
});

describe('trail', () => {
  const path = (...points: [number, number | null][]): string =>
    trail(
      points.map(([at_ms, value]): Point => ({ at_ms, value })),
      (x) => x,
      (y) => y,
      5,
    );
  it('joins neighbours', () => expect(path([0, 1], [2, 3])).toBe('M0.0 1.00h0L0.0 1.00L2.0 3.00'));
  it('breaks at an unknown value', () =>
    expect(path([0, 1], [1, null], [2, 3]).match(/M/g)).toHaveLength(2));
  it('breaks at a hole', () => expect(path([0, 1], [6, 3]).match(/M/g)).toHaveLength(2));
  it('of unknown values is empty', () => expect(path([0, null])).toBe(''));
});
