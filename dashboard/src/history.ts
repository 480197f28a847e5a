// The last minutes of the stream, kept in this browser only: the agent is not asked for them.
// Knows instants and traces; a trace without a believable value leaves no point.

import type { QueryClient } from '@tanstack/react-query';

import type { Snapshot } from './api';
import { SNAPSHOT_KEY, type Received } from './stream';
import { tracesOf, type Trace } from './traces';

export const WINDOW_MS = 900_000;
const RECORD_EVERY_MS = 1_000;
/** Longer without a point, and a line between two points would be an invention. */
export const HOLE_MS = 4_000;
const SAMPLES_MAX = WINDOW_MS / RECORD_EVERY_MS + 1;

export interface Sample {
  at_ms: number;
  values: ReadonlyMap<string, number>;
}

export interface History {
  samples: () => readonly Sample[];
  subscribe: (changed: () => void) => () => void;
  stop: () => void;
}

export function traceId(trace: Pick<Trace, 'chart' | 'key'>): string {
  return `${trace.chart}\n${trace.key}`;
}

function sampleOf(snapshot: Snapshot): Sample {
  const values = new Map<string, number>();
  for (const trace of tracesOf(snapshot))
    if (trace.value !== null && trace.stale === null) values.set(traceId(trace), trace.value);
  return { at_ms: snapshot.at_ms, values };
}

/** The samples with this snapshot, if it is time for one; the very same samples otherwise. */
export function record(held: readonly Sample[], snapshot: Snapshot): readonly Sample[] {
  const passed_ms = snapshot.at_ms - (held.at(-1)?.at_ms ?? -Infinity);
  // An agent whose clock went far back is another one: its past is not ours to draw.
  if (passed_ms < -HOLE_MS) return [sampleOf(snapshot)];
  if (passed_ms < RECORD_EVERY_MS) return held;
  const since_ms = snapshot.at_ms - WINDOW_MS;
  return [...held.filter((sample) => sample.at_ms >= since_ms), sampleOf(snapshot)].slice(
    -SAMPLES_MAX,
  );
}

/** Records whatever reaches the query cache until `stop`. */
export function startHistory(client: QueryClient): History {
  let samples: readonly Sample[] = [];
  const listeners = new Set<() => void>();
  const stop = client.getQueryCache().subscribe(({ type, query }) => {
    if (type !== 'updated' || query.queryKey[0] !== SNAPSHOT_KEY[0]) return;
    const received = client.getQueryData<Received>(SNAPSHOT_KEY);
    const next = received ? record(samples, received.snapshot) : samples;
    if (next === samples) return;
    samples = next;
    for (const changed of listeners) changed();
  });
  return {
    samples: () => samples,
    subscribe: (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    stop,
  };
}
