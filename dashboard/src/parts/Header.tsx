import Chip from '@mui/material/Chip';
import type { ReactElement, ReactNode } from 'react';

import type { Chain, EngineState, Mode, Snapshot, Venue } from '../api';
import { count, decimal, exact, quantity, short, words } from '../format';
import { Age, AgeSince, Clock, useSilent } from '../session';
import { chainStale, storeStale, venueStale, type Reason } from '../stale';
import type { Link } from '../stream';
import { Directives } from './Directive';
import { Foreign, Num, StaleMark } from './Figure';
import { ReconciliationChip } from './Reconciliation';
import { SILENT } from './Section';
import { Dot, StateChip } from './States';

const MODE_COLOURS: Record<Mode, 'default' | 'info' | 'primary' | 'error'> = {
  observe: 'default',
  paper: 'info',
  demo: 'primary',
  live: 'error',
};

export function Header({ snapshot, link }: { snapshot: Snapshot; link: Link }): ReactElement {
  return (
    <header className="top">
      <div className="top-row">
        <span className="brand">
          Tidekeeper{' '}
          <Foreign
            text={snapshot.keeper}
            title={`keeper ${snapshot.keeper}, version ${snapshot.version}`}
          />
        </span>
        <Chip
          label={words(snapshot.mode).toUpperCase()}
          color={MODE_COLOURS[snapshot.mode] ?? 'default'}
          variant={snapshot.mode === 'live' ? 'filled' : 'outlined'}
          title="mode"
        />
        <EngineChip state={snapshot.state} />
        <span className="top-space" />
        <StreamState link={link} />
        <Clock />
        <Directives kind={snapshot.state.kind} />
      </div>
      <div className="strip" role="region" aria-label="Feeds" tabIndex={0}>
        {snapshot.chains.map((chain) => (
          <ChainItem key={chain.chain_id} chain={chain} />
        ))}
        {snapshot.venues.map((venue) => (
          <VenueItem key={venue.venue} venue={venue} />
        ))}
        <StoreItem snapshot={snapshot} />
        <ReconciliationChip snapshot={snapshot} />
      </div>
      <Banner state={snapshot.state} />
    </header>
  );
}

function EngineChip({ state }: { state: EngineState }): ReactElement {
  return (
    <span
      role="group"
      aria-label="Engine state"
      className={state.kind === 'halted' ? 'engine loud' : 'engine'}
    >
      <StateChip state={state.kind} title={state.reason} />
      <span className="caption wide-only">
        for <AgeSince instant_ms={state.since_ms} />
      </span>
    </span>
  );
}

function Item({
  label,
  stale,
  children,
}: {
  label: string;
  stale: Reason;
  children: ReactNode;
}): ReactElement {
  const why = useSilent() ? SILENT : stale;
  return (
    <span role="group" aria-label={label} className="item" data-stale={why !== null}>
      {children}
      <StaleMark why={why} />
    </span>
  );
}

function ChainItem({ chain }: { chain: Chain }): ReactElement {
  const facts = [
    `chain id ${chain.chain_id}`,
    `block hash ${short(chain.head_hash)}`,
    `base fee ${exact(chain.base_fee_gwei)} gwei`,
    `pools live ${count(chain.pools_live)}, quarantined ${count(chain.pools_quarantined)}`,
    `signer holds ${quantity(chain.native_balance)} native`,
  ];
  return (
    <Item label={`Chain ${chain.name}`} stale={chainStale(chain)}>
      <Dot state={chain.feed} title={facts.join(' · ')} />
      <span className="item-name">
        <Foreign text={chain.name} title={facts.join(' · ')} />
      </span>
      <span className="caption">head</span>
      <span className="head-number">
        <Num
          text={count(chain.head)}
          title={`block hash ${chain.head_hash ?? 'unknown'}, from the chain's node`}
        />
      </span>
      <Age ms={chain.head_age_ms} />
      <span className="caption wide-only">
        <Num
          text={decimal(chain.base_fee_gwei, { decimals: 2, trim: true })}
          unit="gwei"
          title="base fee of the head"
        />
      </span>
    </Item>
  );
}

function VenueItem({ venue }: { venue: Venue }): ReactElement {
  const resyncs = `${count(venue.resyncs)} resyncs`;
  const title = `${words(venue.kind)}, account stream ${venue.user_stream}, ${resyncs}`;
  return (
    <Item label={`Venue ${venue.venue}`} stale={venueStale(venue)}>
      <Dot state={venue.feed} title={title} />
      <span className="item-name">
        <Foreign text={venue.venue} title={title} />
      </span>
      <Age ms={venue.age_ms} />
    </Item>
  );
}

function StoreItem({ snapshot }: { snapshot: Snapshot }): ReactElement {
  return (
    <Item label="Store" stale={storeStale(snapshot)}>
      <Dot state={snapshot.store.state} title="Postgres" />
      <span className="item-name">store</span>
      <span className="caption">commit p99</span>
      <Num
        text={decimal(snapshot.store.commit_ms_p99, { decimals: 1 })}
        unit="ms"
        title="99 of 100 commits are faster; measured by the agent"
      />
    </Item>
  );
}

function StreamState({ link }: { link: Link }): ReactElement {
  const is_silent = useSilent();
  const colour = link.state !== 'open' ? 'error' : is_silent ? 'warning' : 'success';
  const text =
    link.state === 'open' ? (is_silent ? 'stream silent' : 'stream live') : `stream ${link.state}`;
  return (
    <span
      role="status"
      aria-label="Stream"
      className={`stream dot ${colour}`}
      title={`${link.n_connects} connections, ${link.n_gaps} gaps filled from REST`}
    >
      {text}
    </span>
  );
}

const BANNERS: Record<string, string> = {
  halted: 'HALTED',
  paused: 'Paused',
  reduce_only: 'Reduce only',
  recovering: 'Recovering',
};

/** Full width: red when halted, amber when the engine holds itself back. */
function Banner({ state }: { state: EngineState }): ReactElement | null {
  const title = Object.hasOwn(BANNERS, state.kind) ? BANNERS[state.kind] : undefined;
  if (title === undefined) return null;
  const is_halted = state.kind === 'halted';
  return (
    <div role={is_halted ? 'alert' : 'note'} className={is_halted ? 'banner halted' : 'banner'}>
      <strong>{title}</strong>
      <span className="banner-reason">
        <Foreign text={state.reason ?? 'reason unknown'} />
      </span>
      <span className="banner-since">
        for <AgeSince instant_ms={state.since_ms} />
      </span>
      {is_halted ? (
        <span className="banner-note">
          No new risk is taken. Cancels, closes and hedge-down still pass.
        </span>
      ) : null}
    </div>
  );
}
