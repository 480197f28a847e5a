// Believable snapshots for the unit tests: of one chain, and of two that look alike.

import type {
  Arbitrage,
  Chain,
  Opportunity,
  ParameterPreview,
  Position,
  ReconciliationRow,
  Snapshot,
  Strategy,
  StrategyParameters,
  StrategyVersion,
} from './api';

const HASH = '0x9f3a4be1c0de9f3a4be1c0de9f3a4be1c0de9f3a4be1c0de9f3a4be1c0deabcd';

export const CHAIN: Chain = {
  chain_id: 31337,
  name: 'demo',
  head: 1234,
  head_hash: HASH,
  head_age_ms: 400,
  stale_after_ms: 3000,
  feed: 'live',
  feed_since_ms: 1_000,
  base_fee_gwei: '1.0',
  pools_watched: 1,
  pools_live: 1,
  pools_quarantined: 0,
  native_balance: '99.1',
  block_time_ms: 1000,
  blocks: 1234,
  pool_events: 10,
  cycles_landed: 25,
};

export const POSITION: Position = {
  chain_id: 31337,
  pool: '0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8',
  pair: 'WETH/USDT',
  fee_pips: 500,
  strategy: 'demo-lp',
  token_id: '1',
  state: 'open',
  price_lower: '2600',
  price_upper: '2750',
  price: '2681.1',
  in_range: true,
  in_range_share: '0.9312',
  base: '12.5',
  quote: '31204.123456',
  fees_base: '0.0041',
  fees_quote: '11.2',
  fees: '22.19',
  value: '61230.10',
  value_hold: '61231.30',
  impermanent_loss: '-3.48',
  gas: null,
  opened_ms: 1_700_000_000_000,
  closed_ms: null,
  why: 'in range',
};

export const OPPORTUNITY: Opportunity = {
  id: 'opp-9',
  chain_id: 31337,
  strategy: 'demo-arb',
  kind: 'cycle',
  hedge: null,
  block: 1233,
  at_ms: 1_700_000_099_000,
  route: ['WETH/USDT 0.05 %', 'WETH/USDT 0.30 %'],
  token: 'USDT',
  amount_in: '5000.123456',
  gross: '10.5',
  gas: '1.25',
  fees: '3.0',
  slippage: '0.75',
  failure_probability: '0.1',
  expected_net: '7.525',
  realised_net: '5.125',
  fate: 'landed',
  why: 'landed at index 0',
  tx_hash: HASH,
};

export const ARBITRAGE: Arbitrage = {
  found: 120,
  sent: 40,
  landed: 25,
  venue_landed: 1,
  lost: 71,
  reverted: 13,
  expected_net: '310.40',
  realised_net: '288.05',
  opportunities: [
    OPPORTUNITY,
    {
      ...OPPORTUNITY,
      id: 'opp-8',
      at_ms: 1_700_000_098_000,
      gross: '2.1',
      gas: '2.9',
      fees: '0.6',
      slippage: '0.2',
      failure_probability: '0.35',
      expected_net: '-1.665',
      realised_net: null,
      fate: 'skipped',
      why: 'costs are above the gross',
      tx_hash: null,
    },
    {
      ...OPPORTUNITY,
      id: 'opp-7',
      at_ms: 1_700_000_091_000,
      gas: null,
      failure_probability: null,
      expected_net: null,
      realised_net: '-0.41',
      fate: 'reverted',
      why: '<b>execution reverted</b>',
    },
  ],
};

export const STRATEGY: Strategy = {
  id: 'demo-lp',
  kind: 'liquidity',
  chain_id: 31337,
  market: 'WETH/USDT 0.05 %',
  sends: true,
  is_paused: false,
  version: 4,
  budget: '100000',
  used: '61230.10',
  why: 'keep: the price is inside the range',
  decided_ms: 1_700_000_099_500,
};

export const SNAPSHOT: Snapshot = {
  seq: 1,
  at_ms: 1_700_000_100_000,
  keeper: 'demo',
  version: '0.1.0',
  mode: 'demo',
  started_ms: 1_700_000_000_000,
  numeraire: 'USDT',
  state: { kind: 'running', reason: null, since_ms: 1_700_000_001_000 },
  store: { state: 'live', commit_ms_p99: '3.1' },
  chains: [CHAIN],
  venues: [
    {
      venue: 'hedge',
      kind: 'binance_usdm',
      feed: 'live',
      user_stream: 'live',
      age_ms: 12,
      resyncs: 0,
    },
  ],
  books: [
    {
      venue: 'hedge',
      market: 'ETHUSDT-PERP',
      feed: 'live',
      bid: '2681.62',
      bid_quantity: '1.2',
      ask: '2681.72',
      ask_quantity: '3',
      age_ms: 12,
      update_id: 7,
      updates: 100,
      resyncs: 0,
    },
  ],
  pools: [
    {
      chain_id: 31337,
      pool: POSITION.pool,
      dex: 'uniswap_v3',
      pair: 'WETH/USDT',
      fee_pips: 500,
      state: 'live',
      reason: null,
      since_block: 902,
      price: '2681.1',
      tick: -197_312,
      liquidity: '18446744073709551615',
      block: 1234,
      age_ms: 400,
      audited_block: 1230,
      audits: 3,
      reloads: 0,
      events: 10,
    },
  ],
  positions: [POSITION],
  exposure: [
    {
      asset: 'ETH',
      positions: '12.5',
      wallet: '0.5',
      hedge: '-12.9',
      net: '0.1',
      band: '0.6',
      net_value: '268.1',
    },
  ],
  hedge: {
    venue: 'hedge',
    market: 'ETHUSDT-PERP',
    target: '-13',
    have: '-12.9',
    unhedged_value: '268.1',
    state: 'inside band',
    why: 'net is inside the band',
  },
  pnl: {
    total: '12.34',
    parts: [
      { name: 'fees', value: '22.19', source: 'fee growth' },
      { name: 'gas', value: null, source: 'receipts' },
      { name: 'arbitrage', value: '1.5', source: 'cycles of pools' },
      { name: 'quotes', value: '-0.25', source: 'spot trades' },
    ],
  },
  orders: [
    {
      client_order_id: 'tk-1',
      venue: 'hedge',
      market: 'ETHUSDT-PERP',
      side: 'sell',
      kind: 'limit ioc',
      price: '2680.0',
      quantity: '0.5',
      filled: '0.5',
      state: 'filled',
      created_ms: 1_700_000_050_000,
      reason: '<img src=x onerror="document.title=1">',
    },
  ],
  transactions: [
    {
      chain_id: 31337,
      nonce: 0,
      hash: HASH,
      purpose: 'mint',
      state: 'final',
      block: 1200,
      gas_used: 412_331,
      cost_native: '0.000412331',
      created_ms: 1_700_000_040_000,
    },
  ],
  ledger: {
    entries: 1,
    postings: 2,
    last: [
      {
        id: '018f3c9e-0000-7000-8000-000000000001',
        at_ms: 1_700_000_050_000,
        kind: 'fill',
        cause: 'order tk-1',
        postings: [
          {
            account: 'venue:hedge',
            unit: 'venue:hedge/ETHUSDT-PERP',
            amount: '-50000000',
            human: '-0.5 ETHUSDT-PERP',
          },
          {
            account: 'trading:hedge',
            unit: 'venue:hedge/ETHUSDT-PERP',
            amount: '50000000',
            human: '0.5 ETHUSDT-PERP',
          },
        ],
      },
    ],
  },
  reconciliation: {
    ok: true,
    checked_ms: 1_700_000_099_000,
    rows: [
      {
        place: 'venue:hedge',
        unit: 'venue:hedge/USDT',
        ledger: '100',
        actual: '100',
        difference: '0',
        at: 'user stream event 8',
      },
    ],
  },
  is_quiet: true,
  orders_sent: 1,
  orders_filled: 1,
  quotes: { sent: 0, filled: 0, cancelled: 0 },
  rebalances: 0,
  labels: [{ what: 'spot book', kind: 'recorded', text: 'Binance ETHUSDT' }],
  arbitrage: ARBITRAGE,
  strategies: [
    STRATEGY,
    {
      ...STRATEGY,
      id: 'demo-arb',
      kind: 'arbitrage',
      market: 'WETH/USDT',
      version: 1,
      is_paused: true,
      budget: '5000',
      used: '0',
      why: 'wait: paused by the operator',
    },
    {
      ...STRATEGY,
      id: 'quotes/eth',
      kind: 'market_making',
      chain_id: null,
      market: 'ETHUSDT-PERP',
      sends: false,
      budget: '2000',
      used: null,
      why: '',
      decided_ms: null,
    },
  ],
  limits: [
    { name: 'gross_exposure_usd', used: '61230.1', limit: '150000', unit: 'USDT' },
    { name: 'daily_loss_usd', used: '430', limit: '500', unit: 'USDT' },
    { name: 'orders_per_minute', used: null, limit: '60', unit: 'orders' },
    { name: 'net_delta_usd', used: '-12', limit: '1500', unit: 'USDT' },
  ],
  exposures: [
    { scope: 'asset', name: 'ETH', value: '34852.11', net_delta: '268.1' },
    { scope: 'asset', name: 'USDT', value: '31204.12', net_delta: '-12.5' },
    { scope: 'venue', name: 'hedge', value: '9120.00', net_delta: null },
    { scope: 'chain', name: 'demo', value: null, net_delta: '34852.11' },
  ],
  fuel: [
    {
      chain_id: 31337,
      signer: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
      native: '99.1',
      minimum: '0.05',
      exit_reserve: '0.02',
      runway_h: '310.5',
    },
    {
      chain_id: 8453,
      signer: '0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc',
      native: '0.041',
      minimum: '0.05',
      exit_reserve: '0.02',
      runway_h: null,
    },
  ],
};

export const CHAIN_TWO: Chain = { ...CHAIN, chain_id: 31338, name: 'demo-two' };

const onTwo = <Row extends { chain_id: number }>(row: Row): Row => ({
  ...row,
  chain_id: CHAIN_TWO.chain_id,
});

const compared = (chain_id: number): ReconciliationRow => ({
  place: `wallet:${chain_id}:${POSITION.pool}`,
  unit: `eip155:${chain_id}/native`,
  ledger: '7',
  actual: '7',
  difference: '0',
  at: `block 1200 (${HASH})`,
});

/** The second chain has all that the first has, down to the addresses and the ids of tokens. */
export const TWO_CHAINS: Snapshot = {
  ...SNAPSHOT,
  chains: [CHAIN, CHAIN_TWO],
  pools: [...SNAPSHOT.pools, ...SNAPSHOT.pools.map(onTwo)],
  positions: [POSITION, onTwo(POSITION)],
  transactions: [...SNAPSHOT.transactions, ...SNAPSHOT.transactions.map(onTwo)],
  ledger: {
    entries: 1,
    postings: 2,
    last: [
      {
        id: '018f3c9e-0000-7000-8000-000000000002',
        at_ms: 1_700_000_050_000,
        kind: 'gas',
        cause: HASH,
        postings: [
          {
            account: `wallet:${CHAIN_TWO.chain_id}:${POSITION.pool}`,
            unit: `eip155:${CHAIN_TWO.chain_id}/native`,
            amount: '-7',
            human: '-0.000000000000000007 ETH',
          },
          {
            account: 'expense:gas',
            unit: `eip155:${CHAIN_TWO.chain_id}/native`,
            amount: '7',
            human: '0.000000000000000007 ETH',
          },
        ],
      },
    ],
  },
  reconciliation: {
    ...SNAPSHOT.reconciliation,
    rows: [compared(CHAIN.chain_id), compared(CHAIN_TWO.chain_id)],
  },
};

export const PARAMETERS: StrategyParameters = {
  id: STRATEGY.id,
  file: 'strategies/demo-lp.toml',
  version: 4,
  at_ms: 1_700_000_040_000,
  keys: [
    {
      key: 'range.half_width_pct',
      value: '4.0',
      kind: 'decimal',
      what: 'Half of the width of a new range, in per cent of the price.',
    },
    {
      key: 'range.move_after_blocks',
      value: '12',
      kind: 'integer',
      what: 'How long the price stays outside before the range is moved, in blocks.',
    },
    {
      key: 'budget.slippage_bp_max',
      value: '30',
      kind: 'integer',
      what: 'What a swap may lose against the price of the pool, in basis points.',
    },
  ],
};

export const PREVIEW: ParameterPreview = {
  problems: [],
  diff: [{ key: 'range.half_width_pct', before: '4.0', after: '5.0' }],
  now: 'keep: the price is inside 2,600 to 2,750',
  then: 'keep: <b>2,573</b> to 2,788 would be opened next',
};

/** Newest first. */
export const VERSIONS: StrategyVersion[] = [
  {
    version: 4,
    at_ms: 1_700_000_040_000,
    reason: 'wider while it is <i>wild</i>',
    diff: [{ key: 'range.half_width_pct', before: '3.0', after: '4.0' }],
  },
  { version: 3, at_ms: 1_700_000_020_000, reason: 'read from its file', diff: [] },
];
