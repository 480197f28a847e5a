import Alert from '@mui/material/Alert';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, type ReactElement } from 'react';

import {
  fetchPool,
  STATUS_NOT_FOUND,
  type Pool,
  type PoolDetail,
  type PoolName,
  type Snapshot,
} from '../api';
import { ApiError } from '../client';
import { feeTier, words } from '../format';
import { ChainName } from '../parts/Chain';
import { Foreign } from '../parts/Figure';
import { LiquidityChart } from '../parts/LiquidityChart';
import { Depth, Prices, Standing } from '../parts/PoolFacts';
import { PoolEvents } from '../parts/PoolEvents';
import { AllPoolsLink } from '../parts/PoolLink';
import { Pools } from '../parts/Pools';
import { Section } from '../parts/Section';
import { poolAt } from '../place';
import { AgeSince } from '../session';
import { onChainStale, poolStale, type Reason } from '../stale';
import { usePath } from '../view';

/** The loop is asked again so often while somebody looks. */
const ASK_EVERY_MS = 2_000;
/** An answer this old tells of the past. */
const OLD_AFTER_MS = 10_000;

/** What does each pool hold, may it be believed, and what happened there? */
export function PoolsPage({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const name = poolAt(usePath());
  if (name !== null)
    return <OnePool key={`${name.chain_id} ${name.pool}`} snapshot={snapshot} name={name} />;
  return (
    <main className="page">
      <Pools snapshot={snapshot} />
    </main>
  );
}

function OnePool({ snapshot, name }: { snapshot: Snapshot; name: PoolName }): ReactElement {
  const asked = useQuery({
    queryKey: ['pool', name.chain_id, name.pool],
    queryFn: () => fetchPool(name),
    refetchInterval: ASK_EVERY_MS,
    gcTime: 0,
  });
  const row = snapshot.pools.find(
    (one) => one.chain_id === name.chain_id && one.pool.toLowerCase() === name.pool,
  );
  const is_unknown = asked.error instanceof ApiError && asked.error.status === STATUS_NOT_FOUND;
  return (
    <main className="page">
      <Title
        snapshot={snapshot}
        name={name}
        row={row ?? asked.data?.row}
        told_ms={asked.data?.at_ms ?? null}
      />
      {asked.error === null ? null : (
        <Alert severity="error">
          {is_unknown ? '' : 'Not told: '}
          {asked.error.message}
        </Alert>
      )}
      {asked.isPending ? <p role="status">Asking the agent</p> : null}
      {asked.data === undefined || is_unknown ? null : (
        <Told
          snapshot={snapshot}
          row={row ?? asked.data.row}
          detail={asked.data}
        />
      )}
    </main>
  );
}

interface TitleProps {
  snapshot: Snapshot;
  name: PoolName;
  row: Pool | undefined;
  told_ms: number | null;
}

function Title({ snapshot, name, row, told_ms }: TitleProps): ReactElement {
  const title = useRef<HTMLHeadingElement>(null);
  // Whoever came by the keyboard goes on from here, and not from the top of the page.
  useEffect(() => title.current?.focus({ preventScroll: true }), []);
  return (
    <div className="pool-title">
      <h1 ref={title} tabIndex={-1}>
        {row === undefined ? (
          'A pool'
        ) : (
          <>
            <Foreign text={row.pair} /> <span className="unit">{feeTier(row.fee_pips)}</span>
          </>
        )}
      </h1>
      <span className="caption">
        {row === undefined ? '' : `${words(row.dex)} `}on{' '}
        <ChainName snapshot={snapshot} chain_id={name.chain_id} /> · <Foreign text={name.pool} />
      </span>
      <span className="caption">
        asked every {ASK_EVERY_MS / 1000} s,{' '}
        {told_ms === null ? (
          'not told yet'
        ) : (
          <>
            told <AgeSince instant_ms={told_ms} /> ago
          </>
        )}
      </span>
      <AllPoolsLink />
    </div>
  );
}

interface ToldProps {
  snapshot: Snapshot;
  row: Pool;
  detail: PoolDetail;
}

function Told({ snapshot, row, detail }: ToldProps): ReactElement {
  const is_old = snapshot.at_ms - detail.at_ms > OLD_AFTER_MS;
  const late: Reason = is_old ? `not told for over ${OLD_AFTER_MS / 1000} s` : null;
  const stale = poolStale(snapshot, row) ?? late;
  const is_own = (one: PoolName): boolean =>
    one.chain_id === row.chain_id && one.pool === row.pool;
  const positions = snapshot.positions.filter((one) => one.state === 'open' && is_own(one));
  return (
    <>
      <div className="halves">
        {/* That a pool is not trusted is known, whatever its figures are worth. */}
        <Standing detail={detail} row={row} stale={onChainStale(snapshot, row) ?? late} />
        <Prices detail={detail} row={row} stale={stale} />
      </div>
      <Section
        title="Liquidity by tick"
        caption={
          positions.length === 0
            ? 'in range at each price, from the initialized ticks'
            : 'in range at each price, from the initialized ticks; our own ranges are shaded'
        }
        stale={stale}
      >
        <LiquidityChart detail={detail} positions={positions} />
      </Section>
      <Depth detail={detail} row={row} stale={stale} />
      <PoolEvents detail={detail} stale={stale} />
    </>
  );
}
