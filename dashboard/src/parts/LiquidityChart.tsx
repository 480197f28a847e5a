import ToggleButton from '@mui/material/ToggleButton';
import ToggleButtonGroup from '@mui/material/ToggleButtonGroup';
import { useState, type KeyboardEvent, type PointerEvent, type ReactElement } from 'react';

import type { PoolDetail, Position } from '../api';
import { axis, most } from '../axis';
import { count, plain, price, scientific, toFloat } from '../format';
import {
  bandAt,
  bandsOf,
  partOf,
  priceAlong,
  reachOf,
  shareAlong,
  within,
  type Band,
  type Reach,
} from '../liquidity';
import { useChoice, type Choice } from '../view';
import { DenseTable, type Column } from './DenseTable';
import { Num } from './Figure';

const REACHES: Choice<'all' | '10' | '2'> = {
  name: 'within',
  words: ['all', '10', '2'],
  history: 'replace',
};
const WIDE = 1000;
const HIGH = 100;
/** From here on a number is told by its power of ten. */
const POWERS_FROM = 1e8;
/** How many bands a key goes on. */
const STEPS: Record<string, number> = {
  ArrowRight: 1,
  ArrowUp: 1,
  ArrowLeft: -1,
  ArrowDown: -1,
  PageUp: 10,
  PageDown: -10,
  Home: -Infinity,
  End: Infinity,
};

interface LiquidityChartProps {
  detail: PoolDetail;
  /** Open positions of ours in this pool. */
  positions: Position[];
}

/** Where the liquidity stands, from price to price; pointer and arrow keys tell each band. */
export function LiquidityChart({ detail, positions }: LiquidityChartProps): ReactElement {
  const [word, choose] = useChoice(REACHES);
  const [picked, pick] = useState<number | null>(null);
  const all = bandsOf(detail.liquidity);
  const now = toFloat(detail.price);
  const reach = reachOf(all, now, word === 'all' ? Infinity : Number(word));
  const bands = within(all, reach);
  if (bands.length === 0 || !(reach.low > 0 && reach.high > reach.low))
    return <p className="empty">Liquidity unknown: nothing to draw</p>;
  const chosen = bands.findIndex((band) => band.lower === picked);
  const index = chosen >= 0 ? chosen : bandAt(bands, now ?? reach.low);
  const here = bands[bandAt(bands, now ?? reach.low)];
  return (
    <div className="chart">
      <div className="filter">
        <ToggleButtonGroup
          exclusive
          size="small"
          value={word}
          aria-label="How far from the price"
          // The chosen one pressed again answers null and stays chosen.
          onChange={(_event, next: string | null) => (next === null ? undefined : choose(next))}
        >
          {REACHES.words.map((one) => (
            <ToggleButton key={one} value={one}>
              {one === 'all' ? 'all told' : `\u00b1 ${one} %`}
            </ToggleButton>
          ))}
        </ToggleButtonGroup>
        <span className="unit">L, the root of token0 × token1 in raw units</span>
      </div>
      <Plot
        unit={detail.unit}
        bands={bands}
        reach={reach}
        now={now}
        index={index}
        positions={positions}
        pick={pick}
      />
      <p className="readout">{told(bands[index], here, detail.unit)}</p>
      <Ranges positions={positions} reach={reach} unit={detail.unit} />
      <details className="as-table">
        <summary>The same as a table</summary>
        <DenseTable
          label="Liquidity by tick, as a table"
          columns={columns(detail.unit)}
          rows={bands}
          rowKey={(band) => String(band.lower)}
          empty="Nothing is told"
        />
      </details>
    </div>
  );
}

interface PlotProps {
  unit: string;
  bands: Band[];
  reach: Reach;
  now: number | null;
  index: number;
  positions: Position[];
  pick: (lower: number | null) => void;
}

function Plot({ unit, bands, reach, now, index, positions, pick }: PlotProps): ReactElement {
  const { ticks, high } = axis(0, most(bands.map((band) => band.liquidity)));
  const x = (value: number): number => shareAlong(value, reach) * WIDE;
  const y = (value: number): number => HIGH - (value / high) * HIGH;
  const chosen = bands[index];
  const goTo = (next: number): void =>
    pick(bands[Math.min(Math.max(next, 0), bands.length - 1)]?.lower ?? null);
  const press = (event: KeyboardEvent): void => {
    const step = Object.hasOwn(STEPS, event.key) ? STEPS[event.key] : undefined;
    if (step === undefined) return;
    event.preventDefault();
    goTo(index + step);
  };
  const hover = (event: PointerEvent<HTMLElement>): void => {
    const box = event.currentTarget.getBoundingClientRect();
    if (box.width > 0)
      goTo(bandAt(bands, priceAlong((event.clientX - box.left) / box.width, reach)));
  };
  const is_seen = now !== null && now >= reach.low && now <= reach.high;
  return (
    <div className="chart-plot">
      <div className="chart-y" aria-hidden="true">
        {ticks
          .filter((tick) => tick >= 0)
          .map((tick) => (
            <span key={tick} style={{ top: `${y(tick)}%` }}>
              {tick < POWERS_FROM ? plain(tick, 0) : tick.toExponential(1).replace('e+', 'e')}
            </span>
          ))}
      </div>
      <div
        className="bands"
        role="slider"
        tabIndex={0}
        aria-label={`Liquidity by tick, price in ${unit}; arrow keys go from band to band`}
        aria-valuemin={1}
        aria-valuemax={bands.length}
        aria-valuenow={index + 1}
        aria-valuetext={told(chosen, undefined, unit)}
        onKeyDown={press}
        onPointerMove={hover}
        onPointerLeave={() => pick(null)}
      >
        <svg viewBox={`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" aria-hidden="true">
          {ticks
            .filter((tick) => tick >= 0)
            .map((tick) => (
              <path key={tick} className="grid" d={`M0 ${y(tick)}H${WIDE}`} />
            ))}
          {positions.map((position) => {
            const part = partOf(position, reach);
            if (part === null) return null;
            const from = x(part.low);
            const width = x(part.high) - from;
            return (
              <rect
                key={position.token_id}
                className="own"
                x={from}
                width={width}
                height={HIGH}
              />
            );
          })}
          <path className="area" d={area(bands, x, y)} />
          {chosen === undefined ? null : (
            <path className="picked" d={area([chosen], x, y)} />
          )}
          {is_seen ? <path className="price" d={`M${x(now)} 0V${HIGH}`} /> : null}
        </svg>
      </div>
      <div className="chart-x" aria-hidden="true">
        <span>{shown(reach.low)}</span>
        <span className="chart-now">{is_seen ? `price ${shown(now)} ${unit}` : unit}</span>
        <span>{shown(reach.high)}</span>
      </div>
    </div>
  );
}

/** Closed along the bottom; bands lie side by side. */
function area(
  bands: Band[],
  x: (value: number) => number,
  y: (value: number) => number,
): string {
  const tops = bands.map((band) => {
    const height = y(band.liquidity).toFixed(2);
    return `L${x(band.low).toFixed(1)} ${height}H${x(band.high).toFixed(1)}`;
  });
  const first = x(bands[0]?.low ?? 0).toFixed(1);
  return `M${first} ${HIGH}${tops.join('')}V${HIGH}Z`;
}

/** A price that was computed for drawing. */
const shown = (value: number): string => price(value.toFixed(18));

/** One band in words; of the liquidity in range it is told how many times that it is. */
function told(band: Band | undefined, here: Band | undefined, unit: string): string {
  if (band === undefined) return 'nothing is told';
  const prices = `${price(band.low_text)} to ${price(band.high_text)} ${unit}`;
  const share =
    here === undefined || here.liquidity === 0
      ? ''
      : `, ${plain(band.liquidity / here.liquidity, 2)} times what is in range now`;
  const ticks = `ticks ${count(band.lower)} to ${count(band.upper)}`;
  return `${ticks}, ${prices}: ${scientific(band.text)} L${share}`;
}

/** Ranges of ours, which the chart shades. */
function Ranges(props: { positions: Position[]; reach: Reach; unit: string }): ReactElement | null {
  const { positions, reach, unit } = props;
  if (positions.length === 0) return null;
  return (
    <ul className="own-ranges" aria-label="Our positions in this pool">
      {positions.map((position) => (
        <li key={position.token_id}>
          <svg className="swatch" width="14" height="8" aria-hidden="true">
            <rect className="own" width="14" height="8" />
          </svg>
          NFT {position.token_id} · {position.strategy} · {price(position.price_lower)} to{' '}
          {price(position.price_upper)} <span className="unit">{unit}</span>
          {partOf(position, reach) === null ? ' (not in sight)' : ''}
        </li>
      ))}
    </ul>
  );
}

function columns(unit: string): Column<Band>[] {
  return [
    { head: 'From tick', align: 'right', cell: (band) => <Num text={count(band.lower)} /> },
    { head: 'To tick', align: 'right', cell: (band) => <Num text={count(band.upper)} /> },
    {
      head: 'Lowest price',
      unit,
      align: 'right',
      cell: (band) => <Num text={price(band.low_text)} title={band.low_text} />,
    },
    {
      head: 'Highest price',
      unit,
      align: 'right',
      cell: (band) => <Num text={price(band.high_text)} title={band.high_text} />,
    },
    {
      head: 'Liquidity',
      unit: 'L',
      align: 'right',
      cell: (band) => <Num text={scientific(band.text)} title={band.text} />,
    },
  ];
}
