// A believable pool in full for the unit tests, whose row and position are those of the snapshot.

import type { PoolDetail } from './api';
import { POSITION, SNAPSHOT } from './fixture';

const [ROW] = SNAPSHOT.pools;
if (ROW === undefined) throw new Error('the snapshot has a pool');

export const POOL_PATH = `/pools/31337/${POSITION.pool}`;

export const POOL_DETAIL: PoolDetail = {
  at_ms: SNAPSHOT.at_ms,
  name: 'demo/uniswap_v3/WETH/USDT/500',
  row: ROW,
  audit_age_blocks: 4,
  base: { symbol: 'WETH', address: `0x${'1'.repeat(40)}`, decimals: 18 },
  quote: { symbol: 'USDT', address: `0x${'2'.repeat(40)}`, decimals: 6 },
  unit: 'USDT per WETH',
  price: '2681.10123',
  sqrt_price_x96: '4102394810293847102938471029',
  tick_spacing: 10,
  protocol_pips_base: '125',
  protocol_pips_quote: '0',
  ticks: 6,
  ticks_outside: 2,
  liquidity: [
    { tick: -204_244, price: '1340.5', liquidity: '1000000000000000000', is_initialized: false },
    { tick: -197_620, price: '2600', liquidity: '1500000000000000000', is_initialized: true },
    { tick: -197_060, price: '2750', liquidity: '1000000000000000000', is_initialized: true },
    { tick: -190_380, price: '5362.2', liquidity: '1000000000000000000', is_initialized: false },
  ],
  depth: [
    { percent: 1, base: '140.25', quote: '380000.5' },
    { percent: 2, base: '270.5', quote: '750000' },
    { percent: 5, base: null, quote: '1500000.123456' },
  ],
  events: [
    {
      kind: 'swap',
      block: 1234,
      at_ms: 1_700_000_099_600,
      base: '-0.51234567',
      quote: '1373.5',
      price: '2681.10123',
    },
    {
      kind: 'protocol_fee',
      block: 1230,
      at_ms: 1_700_000_095_000,
      base: null,
      quote: null,
      price: '2680.4',
    },
    {
      kind: 'added',
      block: 1200,
      at_ms: 1_700_000_040_000,
      base: '12.5',
      quote: null,
      price: '2680.4',
    },
  ],
};
