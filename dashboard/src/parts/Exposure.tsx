import type { ReactElement } from 'react';

import type { Exposure as ExposureRow, Hedge, Snapshot } from '../api';
import { amount, exact, quantity, signedMoney, toFloat, words } from '../format';
import { anyStale, atVenueStale } from '../stale';
import { Figure, Foreign, Num, StaleMark } from './Figure';
import { Section } from './Section';
import { StateChip } from './States';

export function Exposure({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { exposure, hedge, numeraire } = snapshot;
  return (
    <Section
      title="Exposure and hedge"
      caption="pools + wallet + perpetual, netted"
      stale={anyStale(snapshot)}
    >
      {exposure.length === 0 ? <p className="empty">No exposure</p> : null}
      {exposure.map((row) => (
        <Asset key={row.asset} row={row} numeraire={numeraire} />
      ))}
      {hedge === null ? (
        <p className="empty">No hedge is configured</p>
      ) : (
        <HedgeBlock hedge={hedge} numeraire={numeraire} stale={atVenueStale(snapshot, hedge)} />
      )}
    </Section>
  );
}

function Asset({ row, numeraire }: { row: ExposureRow; numeraire: string }): ReactElement {
  const unit = row.asset;
  return (
    <div className="asset">
      <div className="figures four">
        <Figure label="In positions">
          <Num
            text={amount(row.positions)}
            unit={unit}
            title={`${exact(row.positions)} ${unit}; pool state`}
          />
        </Figure>
        <Figure label="In wallet">
          <Num
            text={amount(row.wallet)}
            unit={unit}
            title={`${exact(row.wallet)} ${unit}; ledger`}
          />
        </Figure>
        <Figure label="Hedge">
          <Num
            text={amount(row.hedge)}
            unit={unit}
            title={`${exact(row.hedge)} ${unit}; exchange account`}
          />
        </Figure>
        <Figure label="Net">
          <Num
            text={amount(row.net)}
            unit={unit}
            title={`${exact(row.net)} ${unit}; sum of the three`}
          />
        </Figure>
      </div>
      <BandBar net={row.net} band={row.band} unit={unit} />
      <div className="asset-foot">
        <span>
          band ±{' '}
          <Num
            text={amount(row.band)}
            unit={unit}
            title={`${exact(row.band)} ${unit}; hedge is left alone inside`}
          />
        </span>
        <span>
          net value{' '}
          <Num
            text={signedMoney(row.net_value)}
            unit={numeraire}
            title={`${exact(row.net_value)} ${numeraire}`}
          />
        </span>
      </div>
    </div>
  );
}

/** Net exposure against the band in which no hedge is sent. */
function BandBar({
  net,
  band,
  unit,
}: {
  net: string | null;
  band: string | null;
  unit: string;
}): ReactElement {
  const value = toFloat(net);
  const limit = toFloat(band);
  if (value === null || limit === null || limit <= 0) return <p className="empty">band unknown</p>;
  const reach = Math.max(limit * 1.6, Math.abs(value) * 1.1);
  const place = (amount: number): number => 50 + (amount / reach) * 50;
  const is_inside = Math.abs(value) <= limit;
  return (
    <svg
      className="band"
      width="100%"
      height="20"
      role="img"
      aria-label={`net ${quantity(net)} ${unit}, band ± ${quantity(band)} ${unit}`}
    >
      <line x1="0" x2="100%" y1="10" y2="10" className="axis" />
      <rect
        x={`${place(-limit)}%`}
        width={`${place(limit) - place(-limit)}%`}
        y="4"
        height="12"
        rx="2"
        className={is_inside ? 'inside' : 'outside'}
      />
      <line x1="50%" x2="50%" y1="2" y2="18" className="axis" />
      <circle cx={`${place(value)}%`} cy="10" r="5" className={is_inside ? 'net' : 'net out'} />
    </svg>
  );
}

function HedgeBlock({
  hedge,
  numeraire,
  stale,
}: {
  hedge: Hedge;
  numeraire: string;
  stale: string | null;
}): ReactElement {
  return (
    <div className="hedge" data-stale={stale !== null}>
      <div className="position-head">
        <strong>
          <Foreign text={hedge.market} />
        </strong>
        <span className="tier">on {hedge.venue}</span>
        <StateChip state={hedge.state} title={words(hedge.state)} />
        <StaleMark why={stale} />
        <span className="why">
          <Foreign text={hedge.why} />
        </span>
      </div>
      <div className="figures three">
        <Figure label="Target">
          <Num
            text={amount(hedge.target)}
            unit="base"
            title={`${exact(hedge.target)} contracts in base`}
          />
        </Figure>
        <Figure label="Have">
          <Num
            text={amount(hedge.have)}
            unit="base"
            title={`${exact(hedge.have)} contracts in base; exchange account`}
          />
        </Figure>
        <Figure label="Unhedged value">
          <Num
            text={signedMoney(hedge.unhedged_value)}
            unit={numeraire}
            title={`${exact(hedge.unhedged_value)} ${numeraire}`}
          />
        </Figure>
      </div>
    </div>
  );
}
