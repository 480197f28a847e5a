// What the agent tells and takes, by the names of this page; all types are made from its
// description. Decimals are strings, ages are milliseconds measured at `at_ms`, instants are unix
// milliseconds, null is "not known".

import { agent, ApiError, field, told } from './client';
import type { Schemas, Told } from './words';

export type Book = Told<'BookRow'>;
export type ChangeAccepted = Schemas['NewVersionAccepted'];
export type Chain = Told<'ChainRow'>;
export type DepthRow = Schemas['DepthRow'];
export type EngineState = Told<'StateView'>;
export type Entry = Schemas['EntryRow'];
export type Exposure = Schemas['ExposureRow'];
export type Fuel = Schemas['FuelRow'];
export type Hedge = Schemas['HedgeRow'];
export type Limit = Schemas['LimitRow'];
export type LiquidityStep = Schemas['LiquidityStep'];
export type Opportunity = Told<'OpportunityRow'>;
export type Order = Told<'OrderRow'>;
export type ParameterDiff = Schemas['Difference'];
export type ParameterKey = Schemas['Parameter'];
export type ParameterPreview = Schemas['ParameterPreview'];
export type ParameterProblem = Schemas['EditProblem'];
export type PnlPart = Schemas['PnlPart'];
export type Pool = Told<'PoolRow'>;
export type PoolEvent = Told<'PoolEventRow'>;
export type Position = Told<'PositionRow'>;
export type Reconciliation = Schemas['ReconciliationView'];
export type ReconciliationRow = Schemas['ReconciliationRow'];
export type ScopedExposure = Told<'ExposureBy'>;
export type Strategy = Told<'StrategyRow'>;
export type StrategyParameters = Schemas['StrategyParameters'];
export type StrategyVersion = Schemas['StrategyVersion'];
export type Transaction = Schemas['TransactionRow'];
export type Venue = Told<'VenueRow'>;

export type EngineKind = EngineState['kind'];
export type Fate = Opportunity['fate'];
export type Feed = Chain['feed'];
export type Mode = Told<'Snapshot'>['mode'];

type ArbitrageView = Schemas['ArbitrageView'];
type FrameView = Schemas['Frame'];
type PoolDetailView = Schemas['PoolDetail'];
type Published = Schemas['Published'];

export interface Arbitrage extends ArbitrageView {
  opportunities: Opportunity[];
}

/** One pool in full. */
export interface PoolDetail extends PoolDetailView {
  row: Pool;
  events: PoolEvent[];
}

/** What names a pool: two chains may hold the same addresses. */
export type PoolName = Pick<Pool, 'chain_id' | 'pool'>;

/** The whole document, its words named. */
export interface Snapshot extends Published {
  mode: Mode;
  state: EngineState;
  store: Told<'StoreView'>;
  chains: Chain[];
  venues: Venue[];
  books: Book[];
  pools: Pool[];
  positions: Position[];
  orders: Order[];
  labels: Told<'Label'>[];
  arbitrage: Arbitrage;
  strategies: Strategy[];
  exposures: ScopedExposure[];
}

/** One message of the stream; `seq` grows by 1 per connection. */
export interface Frame extends FrameView {
  body: Snapshot;
}

export type Verb = 'halt' | 'resume';
export type StrategyVerb = 'pause' | 'resume';
/** New values by key. */
export type Changes = Schemas['ParameterChanges']['changes'];

/** Of a reason, as the agent asks for it. */
export const REASON_LENGTH_MIN = 3;
export const REASON_LENGTH_MAX = 200;
/** Nothing has that name. */
export const STATUS_NOT_FOUND = 404;
/** Somebody else was faster. */
export const STATUS_CONFLICT = 409;

const LISTS: readonly (keyof Snapshot)[] = [
  'chains',
  'venues',
  'books',
  'pools',
  'positions',
  'exposure',
  'orders',
  'transactions',
  'labels',
  'strategies',
  'limits',
  'exposures',
  'fuel',
];

/** Checks the outline, so that a wrong answer is refused at the door and not while drawing. */
export function isSnapshot(value: unknown): value is Snapshot {
  return (
    typeof field(value, 'at_ms') === 'number' &&
    typeof field(field(value, 'state'), 'kind') === 'string' &&
    typeof field(field(value, 'store'), 'state') === 'string' &&
    LISTS.every((name) => Array.isArray(field(value, name))) &&
    Array.isArray(field(field(value, 'arbitrage'), 'opportunities')) &&
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
  const body = await told(agent.GET('/api/v1/snapshot'));
  if (!isSnapshot(body)) throw new ApiError(200, 'the snapshot has an unknown shape');
  return body;
}

export function isPoolDetail(value: unknown): value is PoolDetail {
  return (
    typeof field(value, 'at_ms') === 'number' &&
    typeof field(field(value, 'row'), 'state') === 'string' &&
    typeof field(field(value, 'base'), 'symbol') === 'string' &&
    typeof field(field(value, 'quote'), 'symbol') === 'string' &&
    ['liquidity', 'depth', 'events'].every((name) => Array.isArray(field(value, name)))
  );
}

/** Asks the loop about one pool. */
export async function fetchPool({ chain_id, pool }: PoolName): Promise<PoolDetail> {
  const path = { chain: chain_id, pool };
  const body = await told(agent.GET('/api/v1/pools/{chain}/{pool}', { params: { path } }));
  if (!isPoolDetail(body)) throw new ApiError(200, 'the pool has an unknown shape');
  return body;
}

/** Asks the engine to halt or to resume; accepted is not yet done. */
export async function direct(verb: Verb, reason: string): Promise<void> {
  await told(agent.POST(`/api/v1/${verb}`, { body: { reason } }));
}

/** Asks that one strategy pauses or goes on; accepted is not yet done. */
export async function directStrategy(
  id: string,
  verb: StrategyVerb,
  reason: string,
): Promise<void> {
  await told(
    agent.POST(`/api/v1/strategies/{id}/${verb}`, { params: named(id), body: { reason } }),
  );
}

export async function fetchParameters(id: string): Promise<StrategyParameters> {
  return told(agent.GET('/api/v1/strategies/{id}/parameters', { params: named(id) }));
}

/** What other values would do; nothing is changed. */
export async function previewParameters(id: string, changes: Changes): Promise<ParameterPreview> {
  return told(
    agent.POST('/api/v1/strategies/{id}/parameters/preview', {
      params: named(id),
      body: { changes },
    }),
  );
}

/** Asks for other values; accepted is not yet done. */
export async function changeParameters(
  id: string,
  change: Schemas['NewVersion'],
): Promise<ChangeAccepted> {
  return told(
    agent.POST('/api/v1/strategies/{id}/parameters', { params: named(id), body: change }),
  );
}

export async function fetchVersions(id: string): Promise<StrategyVersion[]> {
  const { versions } = await told(
    agent.GET('/api/v1/strategies/{id}/versions', { params: named(id) }),
  );
  return versions;
}

/** A strategy as a part of an address, where "." and ".." would name something else. */
function named(id: string): { path: { id: string } } {
  if (/^\.{0,2}$/.test(id)) throw new ApiError(0, `"${id}" cannot be addressed`);
  return { path: { id } };
}
