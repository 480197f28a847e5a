// Which figures may no longer be believed, and why. Pure: looks at one snapshot only.
// Each rule answers with the reason, or null while the figures are current.

import type { Chain, Order, Pool, ScopedExposure, Snapshot, Strategy, Venue } from './api';

/** Running reconciliation is repeated all the time; an older result says nothing about now. */
export const RECONCILIATION_AGE_MAX_MS = 60_000;

export type Reason = string | null;

export function chainStale(chain: Chain): Reason {
  if (chain.feed !== 'live') return `chain ${chain.name} is ${chain.feed}`;
  if (chain.head_age_ms === null) return null;
  return chain.head_age_ms > chain.stale_after_ms ? `chain ${chain.name} has an old head` : null;
}

export function onChainStale(snapshot: Snapshot, at: { chain_id: number }): Reason {
  const chain = snapshot.chains.find((one) => one.chain_id === at.chain_id);
  return chain ? chainStale(chain) : `chain ${at.chain_id} is not followed`;
}

export function poolStale(snapshot: Snapshot, pool: Pool): Reason {
  return pool.state === 'live' ? onChainStale(snapshot, pool) : `pool is ${pool.state}`;
}

export function venueStale(venue: Venue): Reason {
  if (venue.feed !== 'live') return `venue ${venue.venue} is ${venue.feed}`;
  if (venue.user_stream === 'live') return null;
  return `account stream of ${venue.venue} is ${venue.user_stream}`;
}

export function atVenueStale(snapshot: Snapshot, at: { venue: string } | Order): Reason {
  const venue = snapshot.venues.find((one) => one.venue === at.venue);
  return venue ? venueStale(venue) : `venue ${at.venue} is not followed`;
}

/** Sums over everything are as old as their oldest source. */
export function anyStale(snapshot: Snapshot): Reason {
  return joined([...snapshot.chains.map(chainStale), ...snapshot.venues.map(venueStale)]);
}

/** A strategy without a chain lives on venues, and the document does not say on which. */
export function strategyStale(snapshot: Snapshot, { chain_id }: Strategy): Reason {
  return chain_id === null
    ? joined(snapshot.venues.map(venueStale))
    : onChainStale(snapshot, { chain_id });
}

/** What lies in one place is as old as that place; an asset may lie everywhere. */
export function exposureStale(snapshot: Snapshot, { scope, name }: ScopedExposure): Reason {
  const chain = snapshot.chains.find((one) => one.name === name || String(one.chain_id) === name);
  if (scope === 'chain' && chain) return chainStale(chain);
  const venue = snapshot.venues.find((one) => one.venue === name);
  return scope === 'venue' && venue ? venueStale(venue) : anyStale(snapshot);
}

function joined(reasons: Reason[]): Reason {
  const said = reasons.filter((reason) => reason !== null);
  return said.length > 0 ? said.join(', ') : null;
}

export function storeStale(snapshot: Snapshot): Reason {
  return snapshot.store.state === 'live' ? null : `store is ${snapshot.store.state}`;
}

export function reconciliationStale(snapshot: Snapshot): Reason {
  const { checked_ms } = snapshot.reconciliation;
  if (checked_ms === null) return 'not checked yet';
  return snapshot.at_ms - checked_ms > RECONCILIATION_AGE_MAX_MS ? 'last check is old' : null;
}

/** A whole list is stale only if each of its rows is; single rows carry their own marker. */
export function allStale<Row>(rows: Row[], rule: (row: Row) => Reason): Reason {
  const reasons = new Set(rows.map(rule));
  return reasons.has(null) ? null : joined([...reasons]);
}
