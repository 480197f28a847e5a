import { describe, expectTypeOf, it } from 'vitest';
import type { components } from '../generated/api';
import type { Frame, Snapshot } from './api';

type Schemas = components['schemas'];

/** The agent's description knows words only as text; this page names each. */
type Widened<T> = T extends string
  ? string
  : T extends number | boolean | null | undefined
    ? T
    : T extends readonly (infer Item)[]
      ? Widened<Item>[]
      : { [Key in keyof T]: Widened<T[Key]> };

// Checked by the compiler: `npm test` runs it before the tests.
describe('the types of this page', () => {
  it('are told by what the agent publishes', () =>
    expectTypeOf<Schemas['Published']>().toExtend<Widened<Snapshot>>());

  it('are told by the frames of its stream', () =>
    expectTypeOf<Schemas['Frame']>().toExtend<Widened<Frame>>());

  it('would not agree with a field that nobody tells', () =>
    expectTypeOf<Schemas['Published']>().not.toExtend<Widened<Snapshot & { more: string }>>());

  it('would not agree with a null that this page does not expect', () =>
    expectTypeOf<Schemas['PoolRow']>().not.toExtend<{ price: string }>());
});
