// A pool's liquidity as a chart draws it: from price to price, on a logarithmic axis as ticks are.
// Floats are for drawing only; what is told of a band keeps the agent's own text. Pure.

import type { LiquidityStep, Position } from './api';
import { toFloat } from './format';

/** The same liquidity from one price to the next. */
export interface Band {
  /** First tick inside. */
  lower: number;
  /** First tick above. */
  upper: number;
  /** Lowest and highest price; where the quote is token0, the highest is at the lower tick. */
  low: number;
  high: number;
  low_text: string;
  high_text: string;
  liquidity: number;
  text: string;
}

export interface Reach {
  low: number;
  high: number;
}

/** From the lowest price to the highest; what has no price that can be told is not drawn. */
export function bandsOf(steps: readonly LiquidityStep[]): Band[] {
  const bands = steps.flatMap((step, index) => {
    const next = steps[index + 1];
    const band = next === undefined ? null : bandOf(step, next);
    return band === null ? [] : [band];
  });
  return bands.sort((one, other) => one.low - other.low);
}

function bandOf(step: LiquidityStep, next: LiquidityStep): Band | null {
  const { price: first } = step;
  const { price: last } = next;
  const [from, to, liquidity] = [toFloat(first), toFloat(last), toFloat(step.liquidity)];
  if (first === null || last === null || from === null || to === null || liquidity === null)
    return null;
  if (from <= 0 || to <= 0 || from === to) return null;
  const is_rising = from < to;
  return {
    lower: step.tick,
    upper: next.tick,
    low: is_rising ? from : to,
    high: is_rising ? to : from,
    low_text: is_rising ? first : last,
    high_text: is_rising ? last : first,
    liquidity,
    text: step.liquidity,
  };
}

/** What is drawn: all bands, or those within some per cent of the price. */
export function reachOf(bands: readonly Band[], price: number | null, percent: number): Reach {
  const low = bands[0]?.low ?? 0;
  const high = bands.at(-1)?.high ?? 0;
  if (price === null) return { low, high };
  const near = { low: price * (1 - percent / 100), high: price * (1 + percent / 100) };
  return { low: Math.max(low, near.low), high: Math.min(high, near.high) };
}

export function within(bands: readonly Band[], { low, high }: Reach): Band[] {
  return bands.filter((band) => band.high > low && band.low < high);
}

/** Where a price stands between the ends, 0 to 1; what is beyond stops at the end. */
export function shareAlong(price: number, { low, high }: Reach): number {
  const share = Math.log(price / low) / Math.log(high / low);
  return Math.min(Math.max(share, 0), 1);
}

/** The band a price is in, or the nearest one. */
export function bandAt(bands: readonly Band[], price: number): number {
  const index = bands.findIndex((band) => price < band.high);
  return index < 0 ? bands.length - 1 : index;
}

/** The price at a share of the way from end to end. */
export function priceAlong(share: number, { low, high }: Reach): number {
  return low * (high / low) ** Math.min(Math.max(share, 0), 1);
}

/** The part of a position's range that is drawn; null where it ends beside. */
export function partOf(position: Position, reach: Reach): Reach | null {
  const low = toFloat(position.price_lower);
  const high = toFloat(position.price_upper);
  if (low === null || high === null || low <= 0 || high <= low) return null;
  if (high <= reach.low || low >= reach.high) return null;
  return { low: Math.max(low, reach.low), high: Math.min(high, reach.high) };
}
