// Which figures need an eye tonight, and why. Pure: looks at one snapshot only.

import type { Fuel, Limit, Snapshot } from './api';
import { difference, shareOf, signOf, toFloat } from './format';

/** From this share on, a limit is about to stop us. */
export const LOUD_SHARE = 0.8;
/** A signer that cannot pay for a night needs somebody before the night. */
export const RUNWAY_H_MIN = 12;

export type Level = 'calm' | 'loud' | 'over' | 'unknown';

export function levelOf({ used, limit }: Pick<Limit, 'used' | 'limit'>): Level {
  const share = shareOf(used, limit);
  if (share === null) return 'unknown';
  if (share > 1) return 'over';
  return share >= LOUD_SHARE ? 'loud' : 'calm';
}

/** Why a signer's native coin needs an eye; null while it is enough. */
export function fuelWant(fuel: Fuel): string | null {
  if (signOf(difference(fuel.native, fuel.exit_reserve)) === -1) return 'below exit reserve';
  if (signOf(difference(fuel.native, fuel.minimum)) === -1) return 'below minimum';
  const runway_h = toFloat(fuel.runway_h);
  return runway_h !== null && runway_h < RUNWAY_H_MIN ? `less than ${RUNWAY_H_MIN} h left` : null;
}

export function isLoud(limit: Limit): boolean {
  const level = levelOf(limit);
  return level === 'loud' || level === 'over';
}

/** How many limits and signers ask for an eye. */
export function countLoud(snapshot: Snapshot): number {
  const limits = snapshot.limits.filter(isLoud);
  const fuel = snapshot.fuel.filter((one) => fuelWant(one) !== null);
  return limits.length + fuel.length;
}
