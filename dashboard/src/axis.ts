// The arithmetic of a chart: round ticks, and a path which is broken where nothing is known. Pure.

export interface Point {
  at_ms: number;
  value: number | null;
}

export interface Axis {
  low: number;
  high: number;
  /** None if the numbers cannot be drawn. */
  ticks: number[];
  /** Digits after the point that tell two ticks apart. */
  decimals: number;
}

const TICKS = 4;

export const least = (values: number[]): number =>
  values.reduce((a, b) => Math.min(a, b), Infinity);
export const most = (values: number[]): number =>
  values.reduce((a, b) => Math.max(a, b), -Infinity);

/** Round ticks around the values; a flat line gets room on both sides. */
export function axis(lowest: number, highest: number): Axis {
  const width = highest - lowest || Math.abs(highest) / 1000 || 1;
  const rough = (width * 1.1) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((round) => round * power >= rough) ?? 10);
  const first = Math.floor((lowest - width * 0.05) / step);
  const last = Math.ceil((highest + width * 0.05) / step);
  const is_drawable = Number.isFinite(first) && Number.isFinite(last) && last - first <= 3 * TICKS;
  const n_ticks = is_drawable ? last - first + 1 : 0;
  const ticks = Array.from({ length: n_ticks }, (_none, index) => (first + index) * step);
  const decimals = Math.max(0, -Math.floor(Math.log10(step)));
  return { low: first * step, high: last * step, ticks, decimals };
}

/** The line as an SVG path, broken where nothing is known. */
export function trail(
  points: Point[],
  x: (at_ms: number) => number,
  y: (value: number) => number,
  hole_ms: number,
): string {
  let before_ms = -Infinity;
  let path = '';
  for (const { at_ms, value } of points) {
    if (value === null) {
      before_ms = -Infinity;
      continue;
    }
    // A line of no length is still drawn, as a dot: one point alone is seen.
    path += at_ms - before_ms > hole_ms ? `M${x(at_ms).toFixed(1)} ${y(value).toFixed(2)}h0` : '';
    path += `L${x(at_ms).toFixed(1)} ${y(value).toFixed(2)}`;
    before_ms = at_ms;
  }
  return path;
}
