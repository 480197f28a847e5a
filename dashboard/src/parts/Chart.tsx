import type { ReactElement } from 'react';

import { axis, least, most, trail, type Point } from '../axis';
import { plain, timeOfDay } from '../format';
import { Foreign, Num } from './Figure';

export interface Line {
  key: string;
  name: string;
  points: Point[];
}

interface ChartProps {
  label: string;
  unit: string;
  lines: Line[];
  /** Longer between two points, and the line is broken. */
  hole_ms: number;
}

const LINES_MAX = 10;
/** A young chart is not stretched over the whole width. */
const WIDTH_MS_MIN = 60_000;
const WIDE = 1000;
const HIGH = 100;

/** Lines over time with their units, and the same in a table below, which is also the legend. */
export function Chart({ label, unit, lines, hole_ms }: ChartProps): ReactElement {
  const shown = lines.slice(0, LINES_MAX);
  const points = shown.flatMap((line) => line.points);
  const values = points.map((point) => point.value).filter((value) => value !== null);
  const { low, high, ticks, decimals } = axis(least(values), most(values));
  const end_ms = most(points.map((point) => point.at_ms));
  const start_ms = Math.min(least(points.map((point) => point.at_ms)), end_ms - WIDTH_MS_MIN);
  const x = (at_ms: number): number => ((at_ms - start_ms) / (end_ms - start_ms)) * WIDE;
  const y = (value: number): number => HIGH - ((value - low) / (high - low)) * HIGH;
  if (values.length === 0) return <p className="empty">No points yet: nothing known to draw</p>;
  const span = `${timeOfDay(start_ms)} to ${timeOfDay(end_ms)} UTC`;
  return (
    <div className="chart">
      <div className="chart-plot">
        <div className="chart-y" aria-hidden="true">
          {ticks.map((tick) => (
            <span key={tick} style={{ top: `${y(tick)}%` }}>
              {plain(tick, decimals)}
            </span>
          ))}
        </div>
        <svg
          viewBox={`0 0 ${WIDE} ${HIGH}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${label} in ${unit}, ${span}; its figures are in the table below`}
        >
          {ticks.map((tick) => (
            <path key={tick} className="grid" d={`M0 ${y(tick)}H${WIDE}`} />
          ))}
          {shown.map((line, index) => (
            <path
              key={line.key}
              className={`line-${index}`}
              d={trail(line.points, x, y, hole_ms)}
            />
          ))}
        </svg>
        <span className="unit chart-unit">{unit}</span>
        <div className="chart-x" aria-hidden="true">
          <span>{timeOfDay(start_ms)}</span>
          <span>{timeOfDay((start_ms + end_ms) / 2)}</span>
          <span>{timeOfDay(end_ms)} UTC</span>
        </div>
      </div>
      <Legend label={label} unit={unit} lines={shown} decimals={decimals + 1} />
      {lines.length > shown.length ? (
        <p className="empty">and {lines.length - shown.length} more, not shown</p>
      ) : null}
    </div>
  );
}

interface LegendProps {
  label: string;
  unit: string;
  lines: Line[];
  decimals: number;
}

function Legend(props: LegendProps): ReactElement {
  const { label, unit, lines, decimals } = props;
  return (
    <table className="dense legend" aria-label={`${label}, figures in ${unit}`}>
      <thead>
        <tr>
          <th scope="col">Line</th>
          <th scope="col">Lowest</th>
          <th scope="col">Highest</th>
          <th scope="col">
            Last <span className="unit">{unit}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {lines.map(({ key, name, points }, index) => {
          const values = points.map((point) => point.value).filter((value) => value !== null);
          return (
            <tr key={key}>
              <th scope="row">
                <svg className="swatch" width="14" height="8" aria-hidden="true">
                  <path className={`line-${index}`} d="M0 4H14" />
                </svg>
                <Foreign text={name} />
              </th>
              {[least(values), most(values), points.at(-1)?.value].map((value, column) => (
                <td key={column}>
                  <Num text={plain(value, decimals)} />
                </td>
              ))}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
