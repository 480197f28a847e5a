import Chip from '@mui/material/Chip';
import type { ReactElement } from 'react';

import type { Position, Snapshot } from '../api';
import { chainName } from '../chains';
import {
  amount,
  difference,
  exact,
  feeTier,
  money,
  percent,
  short,
  signedMoney,
  signOf,
} from '../format';
import { AgeSince } from '../session';
import { allStale, onChainStale } from '../stale';
import { ChainName } from './Chain';
import { Figure, Foreign, Num, StaleMark, toneOf, type Tone } from './Figure';
import { RangeBar } from './RangeBar';
import { Section } from './Section';
import { StateChip } from './States';

const POSITIONS_MAX = 50;
const VERSUS_HOLD = 'Value vs HOLD';

export function Positions({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { positions } = snapshot;
  const rule = (position: Position) => onChainStale(snapshot, position);
  return (
    <Section
      title="Liquidity positions"
      caption="pool state kept from chain logs; value and fees computed from it"
      stale={allStale(positions, rule)}
    >
      {positions.length === 0 ? <p className="empty">No positions</p> : null}
      <ul className="positions">
        {positions.slice(0, POSITIONS_MAX).map((position) => (
          <Row
            key={`${position.chain_id} ${position.pool} ${position.token_id}`}
            snapshot={snapshot}
            position={position}
            stale={rule(position)}
          />
        ))}
      </ul>
      {positions.length > POSITIONS_MAX ? (
        <p className="empty">and {positions.length - POSITIONS_MAX} more, not shown</p>
      ) : null}
    </Section>
  );
}

interface RowProps {
  snapshot: Snapshot;
  position: Position;
  stale: string | null;
}

function Row({ snapshot, position, stale }: RowProps): ReactElement {
  const [base = 'base', quote = 'quote'] = position.pair.split('/');
  const chain = chainName(snapshot, position.chain_id);
  return (
    <li
      data-stale={stale !== null}
      aria-label={`position ${position.pair} ${position.token_id} on ${chain}`}
    >
      <div className="position-head">
        <strong>
          <Foreign text={position.pair} />
        </strong>
        <span className="tier">{feeTier(position.fee_pips)}</span>
        <RangeChip is_inside={position.in_range} />
        {position.state === 'open' ? null : <StateChip state={position.state} />}
        <StaleMark why={stale} />
        <span className="caption">
          on <ChainName snapshot={snapshot} chain_id={position.chain_id} /> · NFT{' '}
          {position.token_id} · {position.strategy} · pool{' '}
          <Foreign text={short(position.pool)} title={position.pool} /> · opened{' '}
          <AgeSince instant_ms={position.opened_ms} /> ago
        </span>
        <span className="why" title="what the strategy wants with this position, and why">
          <Foreign text={position.why} />
        </span>
      </div>
      <div className="position-body">
        <RangeBar
          lower={position.price_lower}
          upper={position.price_upper}
          current={position.price}
          unit={quote}
        />
        <Figures position={position} numeraire={snapshot.numeraire} base={base} quote={quote} />
      </div>
    </li>
  );
}

function RangeChip({ is_inside }: { is_inside: boolean | null }): ReactElement {
  if (is_inside === null) return <Chip label="range unknown" variant="outlined" />;
  const label = is_inside ? 'in range' : 'out of range';
  return <Chip label={label} color={is_inside ? 'success' : 'warning'} variant="outlined" />;
}

interface FiguresProps {
  position: Position;
  numeraire: string;
  base: string;
  quote: string;
}

function Figures({ position, numeraire, base, quote }: FiguresProps): ReactElement {
  const beyond = difference(position.value, position.value_hold);
  const holds = `${exact(position.base)} ${base} + ${exact(position.quote)} ${quote}`;
  const owed = `${exact(position.fees_base)} ${base} + ${exact(position.fees_quote)} ${quote}`;
  const priced = (
    label: string,
    value: string | null,
    source: string,
    tone?: Tone,
  ): ReactElement => (
    <Figure label={label}>
      <Num
        text={label === VERSUS_HOLD ? signedMoney(value) : money(value)}
        unit={numeraire}
        tone={tone}
        title={`${exact(value)} ${numeraire}; ${source}`}
      />
    </Figure>
  );
  const held = (label: string, value: string | null, unit: string): ReactElement => (
    <Figure label={label}>
      <Num text={amount(value)} unit={unit} title={`${exact(value)} ${unit}; at the pool price`} />
    </Figure>
  );
  return (
    <div className="figures">
      <Figure label="In range">
        <Num text={percent(position.in_range_share)} title="share of its life, earning fees" />
      </Figure>
      {priced('Fees', position.fees, `${owed}; fee growth`, toneOf(signOf(position.fees)))}
      {priced('Imp. loss', position.impermanent_loss, 'against holding what was put in')}
      {priced('Gas', position.gas, 'receipts of its transactions')}
      {priced(VERSUS_HOLD, beyond, 'value less value if held', toneOf(signOf(beyond)))}
      {priced('Value', position.value, `${holds} at the pool price`)}
      {priced('If held', position.value_hold, 'what was put in, at the same price')}
      {held('Holds base', position.base, base)}
      {held('Holds quote', position.quote, quote)}
    </div>
  );
}
