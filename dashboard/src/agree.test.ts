import { describe, expect, expectTypeOf, it } from 'vitest';

import {
  REASON_LENGTH_MAX,
  REASON_LENGTH_MIN,
  type Frame,
  type PoolDetail,
  type Snapshot,
} from './api';
import { agent, field } from './client';
import { WORDS, type Schemas } from './words';

/** The agent's description knows words only as text; this page names each. */
type Widened<T> = T extends string
  ? string
  : T extends number | boolean | null | undefined
    ? T
    : T extends readonly (infer Item)[]
      ? Widened<Item>[]
      : { [Key in keyof T]: Widened<T[Key]> };

/** Read by its path and not imported: the page alone is also built where the document is not. */
const [described] = Object.values(
  import.meta.glob<unknown>('../../api/openapi.json', { eager: true, import: 'default' }),
);
const at = (...names: string[]): unknown => names.reduce<unknown>(field, described);

// Checked by the compiler: `npm test` runs it before the tests.
describe('the types of this page', () => {
  it('are told by what the agent publishes', () =>
    expectTypeOf<Schemas['Published']>().toExtend<Widened<Snapshot>>());

  it('are told by the frames of its stream', () =>
    expectTypeOf<Schemas['Frame']>().toExtend<Widened<Frame>>());

  it('are told by what it tells of one pool', () =>
    expectTypeOf<Schemas['PoolDetail']>().toExtend<Widened<PoolDetail>>());

  it('would not agree with a field that nobody tells', () =>
    expectTypeOf<Schemas['Published']>().not.toExtend<Widened<Snapshot & { more: string }>>());
});

describe('a request', () => {
  it('that the description does not know is a type error', () => {
    const never_sent = [
      // @ts-expect-error no such path
      () => agent.GET('/api/v1/strategy'),
      // @ts-expect-error that path takes no such method
      () => agent.POST('/api/v1/snapshot'),
      // @ts-expect-error a directive needs its reason
      () => agent.POST('/api/v1/halt', { body: {} }),
      // @ts-expect-error a reason is text
      () => agent.POST('/api/v1/halt', { body: { reason: 1 } }),
      // @ts-expect-error a strategy is named
      () => agent.GET('/api/v1/strategies/{id}/versions'),
      // @ts-expect-error a pool is named with its chain
      () => agent.GET('/api/v1/pools/{chain}/{pool}', { params: { path: { pool: '0x' } } }),
    ];
    expect(never_sent).toHaveLength(6);
  });
});

/** The words at the end of a sentence: "State of the feed: syncing, live, stale or down." */
function wordsIn(sentence: unknown): string[] {
  const list = String(sentence).replaceAll('\n', ' ').replace(/\.$/, '').replace(/^.*: /, '');
  return list.split(/, | or /);
}

const SETS = Object.entries(WORDS).flatMap(([schema, fields]) =>
  Object.entries(fields).map(([name, words]): [string, string, readonly string[]] => [
    schema,
    name,
    words,
  ]),
);

describe('words', () => {
  it.each(SETS)('of %s.%s are those the description names', (schema, name, words) => {
    const text = at('components', 'schemas', schema, 'properties', name, 'description');
    expect(wordsIn(text)).toEqual(words);
  });
});

describe('a reason', () => {
  it('has the length that the agent asks for', () => {
    for (const schema of ['Reason', 'NewVersion']) {
      const reason = at('components', 'schemas', schema, 'properties', 'reason');
      expect(field(reason, 'minLength')).toBe(REASON_LENGTH_MIN);
      expect(field(reason, 'maxLength')).toBe(REASON_LENGTH_MAX);
    }
  });
});
