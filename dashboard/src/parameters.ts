// What somebody wrote over the parameters of a strategy. Pure: compares, decides nothing.

import type { Changes, ParameterDiff, ParameterKey } from './api';

/** What differs from what is in force; spaces around a number are nobody's wish. */
export function changesOf(keys: ParameterKey[], drafts: ReadonlyMap<string, string>): Changes {
  const wished = keys.map(({ key, value }) => ({ key, value, wish: drafts.get(key)?.trim() }));
  return Object.fromEntries(
    wished.flatMap(({ key, value, wish = value }) => (wish === value ? [] : [[key, wish]])),
  );
}

export function isSame(one: Changes, other: Changes): boolean {
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && one[key] === other[key])
  );
}

/** What became of the keys that both have. */
export function diffOf(before: ParameterKey[], after: ParameterKey[]): ParameterDiff[] {
  const held = new Map(before.map(({ key, value }) => [key, value]));
  return after.flatMap(({ key, value }) => {
    const was = held.get(key);
    return was === undefined || was === value ? [] : [{ key, before: was, after: value }];
  });
}
