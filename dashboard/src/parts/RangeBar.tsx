import type { ReactElement } from 'react';

import { distance, price, toFloat } from '../format';

interface RangeBarProps {
  lower: string | null;
  upper: string | null;
  current: string | null;
  unit: string;
}

/** Room on both sides of the range, as a share of its width. */
const MARGIN = 0.35;

/** The position's range against the price on a logarithmic axis, as ticks are. */
export function RangeBar({ lower, upper, current, unit }: RangeBarProps): ReactElement {
  const low = toFloat(lower);
  const high = toFloat(upper);
  if (low === null || high === null || low <= 0 || high <= low)
    return <p className="empty">range unknown</p>;
  const now = toFloat(current);
  const is_inside = now !== null && now >= low && now < high;
  const place = scale(low, high, now);
  const from = place(low);
  const to = place(high);
  const at = now !== null && now > 0 ? place(now) : null;
  const label = `price ${price(current)} ${unit}, range ${price(lower)} to ${price(upper)} ${unit}`;
  return (
    <div className="range">
      <svg width="100%" height="26" role="img" aria-label={label}>
        <line x1="0" x2="100%" y1="13" y2="13" className="axis" />
        <rect
          x={`${from}%`}
          width={`${to - from}%`}
          y="7"
          height="12"
          rx="2"
          className={is_inside ? 'inside' : 'outside'}
        />
        <line x1={`${from}%`} x2={`${from}%`} y1="4" y2="22" className="edge" />
        <line x1={`${to}%`} x2={`${to}%`} y1="4" y2="22" className="edge" />
        {at === null ? null : <line x1={`${at}%`} x2={`${at}%`} y1="0" y2="26" className="price" />}
        {at === null ? null : <circle cx={`${at}%`} cy="13" r="4" className="price" />}
      </svg>
      <div className="range-text">
        <span title="lower end of the range and its distance from the price">
          {price(lower)} <span className="unit">{distance(current, lower)}</span>
        </span>
        <span className="range-price" title="price of the pool">
          {price(current)} <span className="unit">{unit}</span>
        </span>
        <span title="upper end of the range and its distance from the price">
          <span className="unit">{distance(current, upper)}</span> {price(upper)}
        </span>
      </div>
    </div>
  );
}

/** Maps a price to 0..100; a price far away stops at the edge instead of squeezing the range. */
function scale(low: number, high: number, now: number | null): (price: number) => number {
  const width = Math.log(high / low);
  const reach = now !== null && now > 0 ? Math.log(now / low) : 0;
  const start = Math.max(Math.min(-MARGIN * width, reach - 0.1 * width), -2 * width);
  const end = Math.min(Math.max((1 + MARGIN) * width, reach + 0.1 * width), 3 * width);
  return (price) => {
    const share = (Math.log(price / low) - start) / (end - start);
    return Math.round(Math.min(Math.max(share, 0.01), 0.99) * 10_000) / 100;
  };
}
