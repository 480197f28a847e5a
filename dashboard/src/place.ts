// Pools have addresses of their own: `/pools` is all of them, `/pools/31337/0x…` is one.

import type { PoolName } from './api';

export const POOLS_PATH = '/pools';

const ONE = /^\/pools\/(\d{1,15})\/(0x[0-9a-f]{1,64})\/?$/i;

export function pathOf({ chain_id, pool }: PoolName): string {
  return `${POOLS_PATH}/${chain_id}/${encodeURIComponent(pool)}`;
}

/** The pool that a path names; null for every other path. */
export function poolAt(path: string): PoolName | null {
  const [, chain, pool] = ONE.exec(path) ?? [];
  return chain === undefined || pool === undefined
    ? null
    : { chain_id: Number(chain), pool: pool.toLowerCase() };
}
