import { describe, expect, it } from 'vitest';

import { POSITION } from './fixture';
import { POOL_DETAIL } from './fixture.pool';
import { bandAt, bandsOf, partOf, priceAlong, reachOf, shareAlong, within } from './liquidity';
import { pathOf, poolAt } from './place';

const BANDS = bandsOf(POOL_DETAIL.liquidity);
const ALL = reachOf(BANDS, 2681.1, Infinity);

describe('bands', () => {
  it('go from price to price, and keep the words of the agent', () => {
    expect(BANDS.map((band) => [band.low, band.high, band.text])).toEqual([
      [1340.5, 2600, '1000000000000000000'],
      [2600, 2750, '1500000000000000000'],
      [2750, 5362.2, '1000000000000000000'],
    ]);
    expect(BANDS[1]).toMatchObject({ lower: -197_620, upper: -197_060, low_text: '2600' });
  });

  it('of a pool whose quote is token0 rise by price, and their ticks fall', () => {
    const turned = POOL_DETAIL.liquidity.map((step) => ({
      ...step,
      price: String(1 / Number(step.price)),
    }));
    const bands = bandsOf(turned);
    expect(bands.map((band) => band.lower)).toEqual([-197_060, -197_620, -204_244]);
    for (const band of bands) expect(band.high).toBeGreaterThan(band.low);
    expect(bands[0]?.low_text).toBe(String(1 / 5362.2));
  });

  it('without a price that can be told are left out', () => {
    const [first, ...others] = POOL_DETAIL.liquidity;
    expect(first && bandsOf([{ ...first, price: null }, ...others])).toHaveLength(2);
    expect(bandsOf([])).toEqual([]);
    expect(bandsOf(POOL_DETAIL.liquidity.slice(0, 1))).toEqual([]);
  });
});

describe('what is drawn', () => {
  it('is all, or what is near the price', () => {
    expect(ALL).toEqual({ low: 1340.5, high: 5362.2 });
    const near = reachOf(BANDS, 2700, 1);
    expect(near).toEqual({ low: 2673, high: 2727 });
    expect(within(BANDS, near)).toHaveLength(1);
    expect(within(BANDS, reachOf(BANDS, 2700, 3))).toHaveLength(2);
    expect(reachOf(BANDS, null, 1)).toEqual(ALL);
  });

  it('has the root of the ends in its middle, as ticks do', () => {
    expect(shareAlong(Math.sqrt(1340.5 * 5362.2), ALL)).toBeCloseTo(0.5, 9);
    expect(priceAlong(0.5, ALL)).toBeCloseTo(Math.sqrt(1340.5 * 5362.2), 6);
    expect([shareAlong(1, ALL), shareAlong(9e9, ALL)]).toEqual([0, 1]);
  });

  it('finds the band of a price', () => {
    expect([1, 2600, 2749.9, 2750, 9e9].map((price) => bandAt(BANDS, price))).toEqual([
      0, 1, 1, 2, 2,
    ]);
  });

  it('shows of a position what is in sight', () => {
    expect(partOf(POSITION, ALL)).toEqual({ low: 2600, high: 2750 });
    expect(partOf(POSITION, { low: 2700, high: 3000 })).toEqual({ low: 2700, high: 2750 });
    expect(partOf(POSITION, { low: 2800, high: 3000 })).toBeNull();
    expect(partOf({ ...POSITION, price_lower: null }, ALL)).toBeNull();
  });
});

describe('the address of a pool', () => {
  it.each([
    [`/pools/31337/${POSITION.pool}`, { chain_id: 31337, pool: POSITION.pool }],
    [`/pools/1/0xAB/`, { chain_id: 1, pool: '0xab' }],
    [`/pools/1/0x${'c'.repeat(64)}`, { chain_id: 1, pool: `0x${'c'.repeat(64)}` }],
    ['/pools', null],
    ['/pools/demo/0xab', null],
    ['/pools/1/0xab/more', null],
    ['/pools/1/0xzz', null],
    ['/', null],
  ])('%s', (path, name) => expect(poolAt(path)).toEqual(name));

  it('is what leads back to it', () => {
    const name = { chain_id: 31337, pool: POSITION.pool };
    expect(poolAt(pathOf(name))).toEqual(name);
  });
});
