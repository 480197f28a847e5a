// The closed sets of words: the agent's description knows them as text and names them in its
// sentences only. `agree.test.ts` compares both, so a word is added or dropped here and there.

import type { components } from '../generated/api';

export type Schemas = components['schemas'];

/** Words of some text fields of some schemas. */
type Sets = {
  [Name in keyof Schemas]?: { [Field in keyof Schemas[Name]]?: readonly string[] };
};

function closed<const Told extends Sets>(sets: Told): Told {
  return sets;
}

export const WORDS = closed({
  BookRow: { feed: ['syncing', 'live', 'stale', 'down'] },
  ChainRow: { feed: ['syncing', 'live', 'stale', 'down'] },
  ExposureBy: { scope: ['asset', 'venue', 'chain'] },
  Label: { kind: ['recorded', 'simulated', 'assumed', 'real'] },
  OpportunityRow: {
    fate: ['skipped', 'found', 'sent', 'landed', 'lost', 'reverted'],
    kind: ['cycle', 'venue'],
  },
  OrderRow: { kind: ['limit', 'limit ioc', 'limit post-only'], side: ['buy', 'sell'] },
  PoolEventRow: {
    kind: [
      'initialized',
      'swap',
      'added',
      'removed',
      'collected',
      'flash',
      'donated',
      'synced',
      'protocol_fee',
      'protocol_collected',
    ],
  },
  PoolRow: { state: ['syncing', 'live', 'quarantined'] },
  PositionRow: { state: ['open', 'closed'] },
  Snapshot: { mode: ['observe', 'paper', 'live', 'demo'] },
  StateView: { kind: ['recovering', 'running', 'paused', 'reduce_only', 'halted'] },
  StoreView: { state: ['live', 'stalled'] },
  StrategyRow: { kind: ['liquidity', 'arbitrage', 'cex_dex', 'market_making'] },
  VenueRow: { feed: ['syncing', 'live', 'stale', 'down'], user_stream: ['live', 'down'] },
});

type Known = typeof WORDS;

type WordsOf<Fields> = {
  [Field in keyof Fields]: Fields[Field] extends readonly (infer Word)[] ? Word : never;
};

/** A schema as the agent describes it, its closed words named. */
export type Told<Name extends keyof Known & keyof Schemas> = Schemas[Name] & WordsOf<Known[Name]>;
