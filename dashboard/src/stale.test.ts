import { describe, expect, it } from 'vitest';

import type { Feed } from './api';
import { CHAIN, SNAPSHOT } from './fixture';
import { verdict } from './parts/Reconciliation';
import {
  allStale,
  anyStale,
  chainStale,
  onChainStale,
  reconciliationStale,
  venueStale,
} from './stale';

describe('chain', () => {
  it('is current while live and young', () => expect(chainStale(CHAIN)).toBeNull());
  it.each<Feed>(['syncing', 'stale', 'down'])('is stale while %s', (feed) =>
    expect(chainStale({ ...CHAIN, feed })).toContain(feed),
  );
  it('is stale when its head is old', () =>
    expect(chainStale({ ...CHAIN, head_age_ms: 3001 })).toContain('old head'));
  it('that nobody follows is stale', () =>
    expect(
      onChainStale({ ...SNAPSHOT, chains: [] }, { ...SNAPSHOT.positions[0]!, chain_id: 5 }),
    ).toContain('not followed'));
});

describe('venue', () => {
  const venue = SNAPSHOT.venues[0]!;
  it('is current while both streams are live', () => expect(venueStale(venue)).toBeNull());
  it('with a lost account stream is stale', () =>
    expect(venueStale({ ...venue, user_stream: 'down' })).toContain('account stream'));
});

describe('sums', () => {
  it('are as stale as one of their sources', () =>
    expect(anyStale({ ...SNAPSHOT, chains: [{ ...CHAIN, feed: 'down' }] })).toBe(
      'chain demo is down',
    ));
  it('a list is stale only if all rows are', () =>
    expect(allStale([1, 2], (row) => (row === 1 ? 'old' : null))).toBeNull());
  it('a list that is stale names each reason once', () =>
    expect(allStale([1, 2, 3], (row) => (row === 1 ? 'old' : 'down'))).toBe('old, down'));
  it('an empty list is not stale', () => expect(allStale([], () => 'old')).toBeNull());
});

describe('reconciliation', () => {
  const { reconciliation } = SNAPSHOT;
  const row = reconciliation.rows[0]!;
  it('is green when agent and rows agree', () =>
    expect(verdict(reconciliation)).toBe('reconciled'));
  it('is red if one row differs, whatever the agent says', () =>
    expect(verdict({ ...reconciliation, rows: [row, { ...row, difference: '-1' }] })).toBe(
      'differs',
    ));
  it('is red if the agent says so', () =>
    expect(verdict({ ...reconciliation, ok: false })).toBe('differs'));
  it('is not green without rows', () =>
    expect(verdict({ ...reconciliation, rows: [] })).toBe('not compared'));
  it('is not green with a difference that is no number', () =>
    expect(verdict({ ...reconciliation, rows: [{ ...row, difference: '?' }] })).toBe(
      'not compared',
    ));
  it('grows old', () =>
    expect(reconciliationStale({ ...SNAPSHOT, at_ms: SNAPSHOT.at_ms + 120_000 })).toBe(
      'last check is old',
    ));
});
