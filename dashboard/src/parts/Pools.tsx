import type { ReactElement } from 'react';

import type { Pool, Snapshot } from '../api';
import { chainName } from '../chains';
import { count, exact, feeTier, price, scientific, short, words } from '../format';
import { Age } from '../session';
import { allStale, poolStale } from '../stale';
import { ChainName } from './Chain';
import { DenseTable, type Column } from './DenseTable';
import { Foreign, Num, Pieces } from './Figure';
import { PoolLink } from './PoolLink';
import { Section } from './Section';
import { Dot } from './States';

export function Pools({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const rule = (pool: Pool) => poolStale(snapshot, pool);
  return (
    <Section
      title="Pools"
      caption={`kept from logs by block hash, compared with on-chain reads at the audited block${shown(snapshot)}`}
      stale={allStale(snapshot.pools, rule)}
    >
      <DenseTable
        label="Pools"
        columns={columns(snapshot)}
        rows={snapshot.pools}
        rowKey={(pool) => `${pool.chain_id} ${pool.pool}`}
        stale={rule}
        loud={(pool) => pool.state === 'quarantined'}
        empty="No pools"
      />
    </Section>
  );
}

/** What is said where there are more pools than rows. */
function shown({ chains, pools }: Snapshot): string {
  const watched = chains.reduce((sum, chain) => sum + chain.pools_watched, 0);
  if (watched <= pools.length) return '';
  const rows = `${count(pools.length)} of ${count(watched)} shown`;
  return `; ${rows}, those with liquidity of ours first, then those not in use`;
}

/** A pair has neither ticks nor liquidity in range. */
const isPair = (pool: Pool): boolean => pool.dex.endsWith('v2');

function columns(snapshot: Snapshot): Column<Pool>[] {
  return [
    {
      head: 'Chain',
      cell: (pool) => <ChainName snapshot={snapshot} chain_id={pool.chain_id} />,
    },
    {
      head: 'Pool',
      cell: (pool) => {
        const named = `${pool.pair} ${feeTier(pool.fee_pips)}`;
        const kind = `${words(pool.dex)} on ${chainName(snapshot, pool.chain_id)}`;
        return (
          <PoolLink name={pool} label={`${named}, ${kind}`}>
            <Foreign text={pool.pair} title={pool.pool} />{' '}
            <span className="unit">{feeTier(pool.fee_pips)}</span>
          </PoolLink>
        );
      },
    },
    ...COLUMNS,
  ];
}

const COLUMNS: Column<Pool>[] = [
  {
    head: 'Kind',
    wraps: true,
    cell: (pool) => (
      <span className="unit">
        {words(pool.dex)} <Pieces text={short(pool.pool)} title={pool.pool} />
      </span>
    ),
  },
  {
    head: 'State',
    cell: (pool) => (
      <>
        <Dot state={pool.state} title={pool.reason} />{' '}
        {pool.reason === null ? null : (
          <span className="pool-reason">
            <Foreign text={pool.reason} />
          </span>
        )}
      </>
    ),
  },
  {
    head: 'Price',
    align: 'right',
    cell: (pool) => (
      <Num
        text={price(pool.price)}
        unit={pool.pair.split('/')[1] ?? 'quote'}
        title={exact(pool.price)}
      />
    ),
  },
  {
    head: 'Tick',
    align: 'right',
    cell: (pool) => (
      <Num text={isPair(pool) ? '\u2014' : count(pool.tick)} />
    ),
  },
  {
    head: 'Liquidity',
    unit: 'L',
    align: 'right',
    cell: (pool) =>
      isPair(pool) ? (
        <Num text={'\u2014'} title="a pair has reserves" />
      ) : (
        <Num text={scientific(pool.liquidity)} title={`${exact(pool.liquidity)} units of L`} />
      ),
  },
  { head: 'Block', align: 'right', cell: (pool) => <Num text={count(pool.block)} /> },
  {
    head: 'Audited',
    unit: 'block',
    align: 'right',
    cell: (pool) => (
      <Num
        text={count(pool.audited_block)}
        title={`${count(pool.audits)} audits without a difference unless quarantined`}
      />
    ),
  },
  { head: 'Events', align: 'right', cell: (pool) => <Num text={count(pool.events)} /> },
  { head: 'Age', align: 'right', cell: (pool) => <Age ms={pool.age_ms} /> },
];
