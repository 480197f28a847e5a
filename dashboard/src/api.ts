// The agent's HTTP API as this page sees it: types and the three calls.
// Decimals are strings, ages are milliseconds measured at `at_ms`, instants are unix milliseconds.

/** A decimal number as text; null is "not known". */
export type Amount = string | null;
/** Milliseconds; null is "not known". */
export type Millis = number | null;

export type Mode = 'observe' | 'paper' | 'live' | 'demo';
export type EngineKind = 'recovering' | 'running' | 'paused' | 'reduce_only' | 'halted';
export type Feed = 'syncing' | 'live' | 'stale' | 'down';

export interface EngineState {
  kind: EngineKind;
  reason: string | null;
  since_ms: Millis;
}

export interface Store {
  state: 'live' | 'stalled';
  commit_ms_p99: Amount;
}

export interface Chain {
  chain_id: number;
  name: string;
  head: number | null;
  head_hash: string | null;
  head_age_ms: Millis;
  stale_after_ms: Millis;
  feed: Feed;
  feed_since_ms: Millis;
  base_fee_gwei: Amount;
  pools_live: number | null;
  pools_quarantined: number | null;
  native_balance: Amount;
  block_time_ms: Millis;
}

export interface Venue {
  venue: string;
  kind: string;
  feed: Feed;
  user_stream: Feed | null;
  age_ms: Millis;
  resyncs: number | null;
}

export interface Book {
  venue: string;
  market: string;
  feed: Feed;
  bid: Amount;
  bid_quantity: Amount;
  ask: Amount;
  ask_quantity: Amount;
  age_ms: Millis;
  update_id: number | null;
  updates: number | null;
  resyncs: number | null;
}

export interface Pool {
  chain_id: number;
  pool: string;
  dex: string;
  pair: string;
  fee_pips: number | null;
  state: 'syncing' | 'live' | 'quarantined';
  reason: string | null;
  price: Amount;
  tick: number | null;
  liquidity: Amount;
  block: number | null;
  age_ms: Millis;
  audited_block: number | null;
  audits: number | null;
  events: number | null;
}

export interface Position {
  chain_id: number;
  pool: string;
  pair: string;
  fee_pips: number | null;
  strategy: string;
  token_id: string | null;
  state: 'opening' | 'open' | 'closing' | 'closed';
  price_lower: Amount;
  price_upper: Amount;
  price: Amount;
  in_range: boolean | null;
  in_range_share: Amount;
  base: Amount;
  quote: Amount;
  fees_base: Amount;
  fees_quote: Amount;
  fees: Amount;
  value: Amount;
  value_hold: Amount;
  impermanent_loss: Amount;
  gas: Amount;
  opened_ms: Millis;
  why: string | null;
}

export interface Exposure {
  asset: string;
  positions: Amount;
  wallet: Amount;
  hedge: Amount;
  net: Amount;
  band: Amount;
  net_value: Amount;
}

export interface Hedge {
  venue: string;
  market: string;
  target: Amount;
  have: Amount;
  unhedged_value: Amount;
  state: string;
  why: string | null;
}

export interface PnlPart {
  name: string;
  value: Amount;
  source: string | null;
}

export interface Pnl {
  total: Amount;
  parts: PnlPart[];
}

export interface Order {
  client_order_id: string;
  venue: string;
  market: string;
  side: 'buy' | 'sell';
  kind: 'limit' | 'limit ioc' | 'limit post-only' | 'market';
  price: Amount;
  quantity: Amount;
  filled: Amount;
  state: string;
  created_ms: Millis;
  reason: string | null;
}

export interface Transaction {
  chain_id: number;
  nonce: number | null;
  hash: string | null;
  purpose: string;
  state: string;
  block: number | null;
  gas_used: string | number | null;
  cost_native: Amount;
  created_ms: Millis;
}

export interface Posting {
  account: string;
  unit: string;
  amount: Amount;
  human: string | null;
}

export interface Entry {
  id: string;
  at_ms: Millis;
  kind: string;
  cause: string | null;
  postings: Posting[];
}

export interface Ledger {
  entries: number | null;
  postings: number | null;
  last: Entry[];
}

export interface ReconciliationRow {
  place: string;
  unit: string;
  ledger: Amount;
  actual: Amount;
  difference: Amount;
  at: string | null;
}

export interface Reconciliation {
  ok: boolean | null;
  checked_ms: Millis;
  rows: ReconciliationRow[];
}

export interface Label {
  what: string;
  kind: 'recorded' | 'simulated' | 'assumed' | 'real';
  text: string;
}

export type Fate = 'skipped' | 'found' | 'sent' | 'landed' | 'lost' | 'reverted';

/**
 * One chance for arbitrage. Costs are above 0. The pools' fees are already paid in `gross`; gas and
 * slippage are not.
 */
export interface Opportunity {
  id: string;
  chain_id: number;
  strategy: string;
  block: number;
  at_ms: number;
  route: string[];
  token: string;
  amount_in: string;
  gross: Amount;
  gas: Amount;
  fees: Amount;
  slippage: Amount;
  failure_probability: Amount;
  expected_net: Amount;
  realised_net: Amount;
  fate: Fate;
  why: string;
  tx_hash: string | null;
}

export interface Arbitrage {
  found: number;
  sent: number;
  landed: number;
  lost: number;
  reverted: number;
  expected_net: Amount;
  realised_net: Amount;
  opportunities: Opportunity[];
}

export interface Strategy {
  id: string;
  kind: 'liquidity' | 'arbitrage' | 'market_making';
  chain_id: number | null;
  market: string;
  sends: boolean;
  is_paused: boolean;
  budget: string;
  used: Amount;
  why: string;
  decided_ms: Millis;
}

export interface Limit {
  name: string;
  used: Amount;
  limit: string;
  unit: string;
}

export interface ScopedExposure {
  scope: 'asset' | 'venue' | 'chain';
  name: string;
  value: Amount;
  net_delta: Amount;
}

export interface Fuel {
  chain_id: number;
  signer: string;
  native: Amount;
  minimum: string;
  exit_reserve: string;
  runway_h: Amount;
}

export interface Snapshot {
  seq: number;
  at_ms: number;
  keeper: string;
  version: string;
  mode: Mode;
  started_ms: Millis;
  numeraire: string;
  state: EngineState;
  store: Store;
  chains: Chain[];
  venues: Venue[];
  books: Book[];
  pools: Pool[];
  positions: Position[];
  exposure: Exposure[];
  hedge: Hedge | null;
  pnl: Pnl;
  orders: Order[];
  transactions: Transaction[];
  ledger: Ledger;
  reconciliation: Reconciliation;
  labels: Label[];
  /** Absent in the documents of older agents, as all below: then nothing is known of it. */
  arbitrage?: Arbitrage | null;
  strategies?: Strategy[] | null;
  limits?: Limit[] | null;
  exposures?: ScopedExposure[] | null;
  fuel?: Fuel[] | null;
}

/** One message of the stream; `seq` grows by 1 per connection. */
export interface Frame {
  seq: number;
  topic: 'snapshot';
  ts_ms: number;
  body: Snapshot;
}

export type Verb = 'halt' | 'resume';
export type StrategyVerb = 'pause' | 'resume';

export const REASON_LENGTH_MIN = 3;
export const REASON_LENGTH_MAX = 200;
const REQUEST_TIMEOUT_MS = 10_000;

/** The agent answered, but not with what was asked; `message` is for the operator. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

const LISTS = [
  'chains',
  'venues',
  'books',
  'pools',
  'positions',
  'exposure',
  'orders',
  'transactions',
  'labels',
];
const LATER_LISTS = ['strategies', 'limits', 'exposures', 'fuel'];

/** The value of a field of something that came from outside. */
function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** A list, or not told at all. */
function isListIfTold(value: unknown): boolean {
  return value === undefined || value === null || Array.isArray(value);
}

/** Checks the outline, so that a wrong answer is refused at the door and not while drawing. */
export function isSnapshot(value: unknown): value is Snapshot {
  const arbitrage = field(value, 'arbitrage') ?? null;
  return (
    typeof field(value, 'at_ms') === 'number' &&
    typeof field(field(value, 'state'), 'kind') === 'string' &&
    typeof field(field(value, 'store'), 'state') === 'string' &&
    LISTS.every((name) => Array.isArray(field(value, name))) &&
    LATER_LISTS.every((name) => isListIfTold(field(value, name))) &&
    (arbitrage === null || Array.isArray(field(arbitrage, 'opportunities'))) &&
    Array.isArray(field(field(value, 'pnl'), 'parts')) &&
    Array.isArray(field(field(value, 'ledger'), 'last')) &&
    Array.isArray(field(field(value, 'reconciliation'), 'rows'))
  );
}

export function isFrame(value: unknown): value is Frame {
  return (
    Number.isSafeInteger(field(value, 'seq')) &&
    field(value, 'topic') === 'snapshot' &&
    isSnapshot(field(value, 'body'))
  );
}

export async function fetchSnapshot(): Promise<Snapshot> {
  const response = await fetch('/api/v1/snapshot', {
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  if (!response.ok) throw await refusal(response);
  const body: unknown = await response.json();
  if (!isSnapshot(body)) throw new ApiError(response.status, 'the snapshot has an unknown shape');
  return body;
}

/** Asks the engine to halt or to resume; accepted is not yet done. */
export async function direct(verb: Verb, reason: string): Promise<void> {
  await post(`/api/v1/${verb}`, reason);
}

/** Asks that one strategy pauses or goes on; accepted is not yet done. */
export async function directStrategy(
  id: string,
  verb: StrategyVerb,
  reason: string,
): Promise<void> {
  // As a part of an address "." and ".." would name something else, and no escape prevents it.
  if (/^\.{0,2}$/.test(id)) throw new ApiError(0, `"${id}" cannot be addressed`);
  await post(`/api/v1/strategies/${encodeURIComponent(id)}/${verb}`, reason);
}

async function post(path: string, reason: string): Promise<void> {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ reason }),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  if (!response.ok) throw await refusal(response);
}

/** Reads problem+json if there is one. */
async function refusal(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const texts = [field(body, 'title'), field(body, 'detail')].filter(
    (text) => typeof text === 'string' && text !== '',
  );
  return new ApiError(
    response.status,
    texts.length > 0 ? texts.join(': ') : `status ${response.status}`,
  );
}
