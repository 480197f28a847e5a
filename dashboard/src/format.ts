// All text of numbers and times comes from here.
// Amounts arrive as decimal strings and stay strings: digits are grouped and cut, never rounded
// through a float. What is not known, or is not a number, reads "unknown" and never 0.

export const UNKNOWN = 'unknown';

const MINUS = '\u2212';
const ELLIPSIS = '\u2026';
const DECIMAL = /^([+-]?)(\d{1,200})(?:\.(\d{0,200}))?$/;

/** A decimal number taken apart; digits only, so that nothing is lost. */
interface Digits {
  negative: boolean;
  whole: string;
  fraction: string;
}

function take(text: string | null | undefined): Digits | null {
  const match = typeof text === 'string' ? DECIMAL.exec(text) : null;
  if (!match) return null;
  const whole = (match[2] ?? '0').replace(/^0+(?=\d)/, '');
  const fraction = match[3] ?? '';
  const negative = match[1] === '-' && /[1-9]/.test(whole + fraction);
  return { negative, whole, fraction };
}

function group(whole: string): string {
  return whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** How a number is shown. */
interface Shape {
  /** Digits after the point. */
  decimals: number;
  /** If the cut would show only zeros of a number that is not 0, go on to this many digits. */
  digitsOfSmall?: number;
  /** Drop zeros at the end of the fraction. */
  trim?: boolean;
  /** Write + in front of what is above 0. */
  plus?: boolean;
}

/** Cuts toward zero; a small amount that is not 0 keeps its first digits instead of reading 0. */
export function decimal(text: string | null | undefined, shape: Shape): string {
  const digits = take(text);
  if (!digits) return UNKNOWN;
  const { negative, whole, fraction } = digits;
  let places = shape.decimals;
  const first = fraction.search(/[1-9]/);
  if (whole === '0' && first >= places) places = first + (shape.digitsOfSmall ?? 2);
  let shown = fraction.slice(0, places);
  shown = shape.trim ? shown.replace(/0+$/, '') : shown.padEnd(shape.decimals, '0');
  const plus = shape.plus && !negative && /[1-9]/.test(whole + fraction);
  const sign = negative ? MINUS : plus ? '+' : '';
  return sign + group(whole) + (shown === '' ? '' : `.${shown}`);
}

/** Money in the numeraire. */
export const money = (text: string | null | undefined): string => decimal(text, { decimals: 2 });

/** Money with its sign always written. */
export const signedMoney = (text: string | null | undefined): string =>
  decimal(text, { decimals: 2, plus: true });

/** Price of one unit. */
export const price = (text: string | null | undefined): string =>
  decimal(text, { decimals: 2, digitsOfSmall: 5 });

/** Amount of an asset where room is short. */
export const amount = (text: string | null | undefined): string =>
  decimal(text, { decimals: 4, trim: true });

/** Amount of an asset. */
export const quantity = (text: string | null | undefined): string =>
  decimal(text, { decimals: 6, trim: true });

/** Exact number with grouped digits; nothing is cut. */
export const exact = (text: string | null | undefined): string =>
  decimal(text, { decimals: 200, trim: true });

/** Whole number: block, nonce, count. */
export function count(value: number | null | undefined): string {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return UNKNOWN;
  return exact(String(value));
}

/** A whole number of up to 39 digits: its first ones and the power of ten, cut and not rounded. */
export function scientific(text: string | null | undefined): string {
  const whole = exact(text).replaceAll(',', '');
  if (!/^\d{8,}$/.test(whole)) return exact(text);
  return `${whole[0]}.${whole.slice(1, 4)}e${whole.length - 1}`;
}

/** A share of 1 as per cent with one digit: "0.9312" reads "93.1 %". */
export function percent(share: string | null | undefined): string {
  const digits = take(share);
  if (!digits) return UNKNOWN;
  const fraction = digits.fraction.padEnd(2, '0');
  const shifted = `${digits.whole}${fraction.slice(0, 2)}.${fraction.slice(2)}`;
  return `${decimal((digits.negative ? '-' : '') + shifted, { decimals: 1 })} %`;
}

/** V3 fee tier in hundredths of a basis point: 500 reads "0.05 %". */
export function feeTier(pips: number | null | undefined): string {
  if (typeof pips !== 'number' || !Number.isSafeInteger(pips) || pips < 0) return UNKNOWN;
  const text = String(pips).padStart(5, '0');
  const shown = `${text.slice(0, -4)}.${text.slice(-4)}`;
  return `${decimal(shown, { decimals: 4, trim: true })} %`;
}

/** a - b without rounding; null if one of them is unknown. */
export function difference(
  a: string | null | undefined,
  b: string | null | undefined,
): string | null {
  const left = take(a);
  const right = take(b);
  if (!left || !right) return null;
  const places = Math.max(left.fraction.length, right.fraction.length);
  const raw = scaled(left, places) - scaled(right, places);
  const text = (raw < 0n ? -raw : raw).toString().padStart(places + 1, '0');
  const whole = text.slice(0, text.length - places);
  const fraction = text.slice(text.length - places);
  return (raw < 0n ? '-' : '') + whole + (places > 0 ? `.${fraction}` : '');
}

function scaled(digits: Digits, places: number): bigint {
  const raw = BigInt(digits.whole + digits.fraction.padEnd(places, '0'));
  return digits.negative ? -raw : raw;
}

/** -1, 0 or 1; null if unknown. */
export function signOf(text: string | null | undefined): -1 | 0 | 1 | null {
  const digits = take(text);
  if (!digits) return null;
  if (digits.negative) return -1;
  return /[1-9]/.test(digits.whole + digits.fraction) ? 1 : 0;
}

/** For drawing and for ratios only, never for money text. */
export function toFloat(text: string | null | undefined): number | null {
  const number = take(text) && text ? Number(text) : Number.NaN;
  return Number.isFinite(number) ? number : null;
}

/** How much of a limit is used, for drawing and for judging; below 0 counts as nothing used. */
export function shareOf(used: string | null, limit: string | null): number | null {
  const have = toFloat(used);
  const most = toFloat(limit);
  if (have === null || most === null) return null;
  if (have <= 0) return 0;
  return most > 0 ? have / most : Infinity;
}

/** A share as per cent, cut so that it never reads more than it is: 0.7999 reads "79.9 %". */
export function sharePercent(share: number | null): string {
  if (share === null) return UNKNOWN;
  return share < 10 ? percent(share.toFixed(9)) : '> 999 %';
}

/** One of some, as per cent; nothing of nothing has no share. */
export function ratio(part: number | null, whole: number | null): string {
  return part === null || whole === null || !(whole > 0) ? UNKNOWN : sharePercent(part / whole);
}

/** A number that was computed for drawing. */
export function plain(value: number | null | undefined, decimals: number): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
  const places = Math.min(Math.max(decimals, 0), 12);
  return decimal(value.toFixed(places), { decimals: places });
}

/** Hours as an age: "14.5" reads "14 h 30 m". */
export function hours(text: string | null | undefined): string {
  const number = toFloat(text);
  return number === null ? UNKNOWN : age(Math.max(0, number) * 3_600_000);
}

/** Spread in basis points of the middle. */
export function spreadBp(bid: string | null, ask: string | null): string {
  const low = toFloat(bid);
  const high = toFloat(ask);
  if (low === null || high === null || low + high <= 0) return UNKNOWN;
  return `${(((high - low) / ((high + low) / 2)) * 10_000).toFixed(2).replace('-', MINUS)} bp`;
}

/** How far `to` is from `from`, with its sign: "+2.9 %". */
export function distance(from: string | null, to: string | null): string {
  const here = toFloat(from);
  const there = toFloat(to);
  if (here === null || there === null || here <= 0) return UNKNOWN;
  const share = (there / here - 1) * 100;
  if (share >= 1000) return '> +1,000 %';
  return `${share < 0 ? MINUS : '+'}${Math.abs(share).toFixed(1)} %`;
}

/** Age for people: "<0.1 s", "0.4 s", "84 s", "12 m 04 s", "3 h 05 m", "2 d 4 h". */
export function age(ms: number | null | undefined): string {
  if (typeof ms !== 'number' || !Number.isFinite(ms)) return UNKNOWN;
  const seconds = Math.floor(ms / 1000);
  if (ms < 100) return '<0.1 s';
  const two = (n: number): string => String(n).padStart(2, '0');
  if (seconds < 10) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  if (seconds < 172_800)
    return `${Math.floor(seconds / 3_600)} h ${two(Math.floor((seconds % 3_600) / 60))} m`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}

/** Instant as "2026-01-31 09:05:07 UTC". */
export function instant(ms: number | null | undefined): string {
  if (typeof ms !== 'number' || !(Math.abs(ms) <= 8.64e15)) return UNKNOWN;
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** Time of day as "09:05:07". */
export function timeOfDay(ms: number | null | undefined): string {
  const text = instant(ms);
  return text === UNKNOWN ? text : text.slice(-12, -4);
}

/** Shortens every long hex number and id inside a text: the ends are what people compare. */
export function short(text: string | null | undefined): string {
  if (typeof text !== 'string' || text === '') return UNKNOWN;
  return text.replace(
    /0x[0-9a-f]{12,}|[0-9a-z]{24,}/gi,
    (id) => `${id.slice(0, 6)}${ELLIPSIS}${id.slice(-4)}`,
  );
}

/** A word of the API for people: "reduce_only" reads "reduce only". */
export function words(text: string | null | undefined): string {
  return typeof text === 'string' && text !== '' ? text.replaceAll('_', ' ') : UNKNOWN;
}

/** What people call a word of the API; one that has no such name reads as it is. */
export function named(names: Record<string, string>, word: string): string {
  return (Object.hasOwn(names, word) ? names[word] : undefined) ?? words(word);
}
