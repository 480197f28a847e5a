// Keeps the newest snapshot in the query cache: the WebSocket feeds it, REST fills its gaps.
// Knows sockets and sequence numbers; knows nothing of what a snapshot says.

import type { QueryClient } from '@tanstack/react-query';

import { fetchSnapshot, isFrame, type Frame, type Snapshot } from './api';

export const SNAPSHOT_KEY = ['snapshot'];

const RECONNECT_MS_MIN = 250;
const RECONNECT_MS_MAX = 5_000;
/** The agent sends about 4 frames a second: a socket this quiet is dead even if it looks open. */
const SILENCE_MS_MAX = 10_000;

/** A snapshot and when (monotonic browser time) we first saw it: ages grow from there. */
export interface Received {
  snapshot: Snapshot;
  received_ms: number;
}

export interface Link {
  state: 'connecting' | 'open' | 'closed';
  n_gaps: number;
  n_connects: number;
}

export interface Stream {
  link: () => Link;
  subscribe: (changed: () => void) => () => void;
  stop: () => void;
}

export type Step = 'first' | 'next' | 'gap' | 'old';

/** Where a frame stands in its connection. */
export function step(seen: number | null, seq: number): Step {
  if (seen === null) return 'first';
  if (seq <= seen) return 'old';
  return seq === seen + 1 ? 'next' : 'gap';
}

/**
 * The same `at_ms` again keeps its first receive time: an agent that repeats itself is not fresh.
 */
export function receive(held: Received | undefined, snapshot: Snapshot, now_ms: number): Received {
  const repeated =
    held?.snapshot.at_ms === snapshot.at_ms && held.snapshot.started_ms === snapshot.started_ms;
  return { snapshot, received_ms: repeated ? held.received_ms : now_ms };
}

/** A REST answer may be overtaken by the stream; the newer of the same agent's life wins. */
export function settle(held: Received | undefined, snapshot: Snapshot, now_ms: number): Received {
  const overtaken =
    held !== undefined &&
    held.snapshot.started_ms === snapshot.started_ms &&
    held.snapshot.at_ms > snapshot.at_ms;
  return overtaken ? held : receive(held, snapshot, now_ms);
}

export async function querySnapshot(client: QueryClient): Promise<Received> {
  const snapshot = await fetchSnapshot();
  return settle(client.getQueryData<Received>(SNAPSHOT_KEY), snapshot, performance.now());
}

function parse(text: unknown): Frame | null {
  if (typeof text !== 'string') return null;
  try {
    const value: unknown = JSON.parse(text);
    return isFrame(value) ? value : null;
  } catch {
    return null;
  }
}

/** Opens the stream and keeps it open until `stop`. */
export function startStream(client: QueryClient, url: string): Stream {
  let link: Link = { state: 'connecting', n_gaps: 0, n_connects: 0 };
  let socket: WebSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reconnect_ms = RECONNECT_MS_MIN;
  const listeners = new Set<() => void>();

  const change = (part: Partial<Link>): void => {
    link = { ...link, ...part };
    for (const changed of listeners) changed();
  };
  const refetch = (): void => void client.invalidateQueries({ queryKey: SNAPSHOT_KEY });
  const watch = (opened: WebSocket): void => {
    clearTimeout(timer);
    timer = setTimeout(() => fail(opened), SILENCE_MS_MAX);
  };
  const fail = (failed: WebSocket): void => {
    if (socket !== failed) return;
    socket = null;
    failed.close();
    clearTimeout(timer);
    timer = setTimeout(connect, reconnect_ms);
    reconnect_ms = Math.min(reconnect_ms * 2, RECONNECT_MS_MAX);
    change({ state: 'closed' });
    // A socket does not tell why it was refused; the REST answer does (401 for an ended session).
    refetch();
  };
  const connect = (): void => {
    const opened = new WebSocket(url);
    let seen: number | null = null;
    socket = opened;
    change({ state: 'connecting', n_connects: link.n_connects + 1 });
    watch(opened);
    opened.onopen = () => change({ state: 'open' });
    opened.onclose = () => fail(opened);
    opened.onmessage = (event: MessageEvent<unknown>) => {
      const frame = parse(event.data);
      if (socket !== opened || frame === null) return;
      const where = step(seen, frame.seq);
      if (where === 'old') return;
      seen = frame.seq;
      reconnect_ms = RECONNECT_MS_MIN;
      watch(opened);
      client.setQueryData<Received>(SNAPSHOT_KEY, (held) =>
        receive(held, frame.body, performance.now()),
      );
      if (where === 'gap') {
        change({ n_gaps: link.n_gaps + 1 });
        refetch();
      }
    };
  };

  connect();
  return {
    link: () => link,
    subscribe: (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    stop: () => {
      const last = socket;
      socket = null;
      clearTimeout(timer);
      last?.close();
      change({ state: 'closed' });
    },
  };
}
