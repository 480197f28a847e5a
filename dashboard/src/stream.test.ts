import { QueryClient } from '@tanstack/react-query';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { isFrame, isSnapshot } from './api';
import { SNAPSHOT } from './fixture';
import {
  receive,
  settle,
  SNAPSHOT_KEY,
  startStream,
  step,
  type Received,
  type Stream,
} from './stream';

describe('step', () => {
  it.each([
    [null, 7, 'first'],
    [7, 8, 'next'],
    [7, 9, 'gap'],
    [7, 7, 'old'],
    [7, 6, 'old'],
  ])('after %s, %s is %s', (seen, seq, where) => expect(step(seen, seq)).toBe(where));
});

describe('receive time', () => {
  const held: Received = { snapshot: SNAPSHOT, received_ms: 100 };
  it('is now for a new snapshot', () =>
    expect(receive(held, { ...SNAPSHOT, at_ms: SNAPSHOT.at_ms + 1 }, 900).received_ms).toBe(900));
  it('stays when the agent repeats itself', () =>
    expect(receive(held, { ...SNAPSHOT }, 900).received_ms).toBe(100));
  it('an older REST answer does not replace a newer frame', () =>
    expect(settle(held, { ...SNAPSHOT, at_ms: SNAPSHOT.at_ms - 1 }, 900)).toBe(held));
  it('a restarted agent replaces everything', () =>
    expect(settle(held, { ...SNAPSHOT, started_ms: 5, at_ms: 6 }, 900).snapshot.at_ms).toBe(6));
});

describe('outline', () => {
  it('accepts a snapshot', () => expect(isSnapshot(SNAPSHOT)).toBe(true));
  it('accepts unknown figures', () => expect(isSnapshot({ ...SNAPSHOT, hedge: null })).toBe(true));
  it.each([null, 1, 'text', [], {}, { ...SNAPSHOT, chains: null }, { ...SNAPSHOT, pnl: {} }])(
    'refuses %j',
    (value) => expect(isSnapshot(value)).toBe(false),
  );
  it.each([
    { arbitrage: {} },
    { strategies: null },
    { limits: 1 },
    { exposures: 'x' },
    { fuel: undefined },
  ])('refuses a member of another shape: %j', (change) =>
    expect(isSnapshot({ ...SNAPSHOT, ...change })).toBe(false),
  );
  it('refuses a frame of another topic', () =>
    expect(isFrame({ seq: 1, topic: 'other', body: SNAPSHOT })).toBe(false));
});

class Socket {
  static opened: Socket[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  is_closed = false;

  constructor() {
    Socket.opened.push(this);
  }

  close(): void {
    this.is_closed = true;
  }

  send(seq: number, at_ms = SNAPSHOT.at_ms + seq): void {
    const body = { ...SNAPSHOT, at_ms };
    this.onmessage?.({ data: JSON.stringify({ seq, topic: 'snapshot', ts_ms: at_ms, body }) });
  }
}

describe('stream', () => {
  let client: QueryClient;
  let stream: Stream;
  const refetch = vi.fn();

  beforeEach(() => {
    vi.useFakeTimers();
    Socket.opened = [];
    vi.stubGlobal('WebSocket', Socket);
    refetch.mockReset();
    client = new QueryClient();
    vi.spyOn(client, 'invalidateQueries').mockImplementation(refetch);
    stream = startStream(client, 'ws://agent/api/v1/stream');
    socket().onopen?.();
  });

  afterEach(() => {
    stream.stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const socket = (): Socket => Socket.opened.at(-1)!;
  const held = (): Received | undefined => client.getQueryData<Received>(SNAPSHOT_KEY);

  it('puts frames into the cache', () => {
    socket().send(1);
    expect(held()?.snapshot.at_ms).toBe(SNAPSHOT.at_ms + 1);
    expect(refetch).not.toHaveBeenCalled();
  });

  it('fetches again after a gap and keeps the newest frame', () => {
    socket().send(1);
    socket().send(3);
    expect(held()?.snapshot.at_ms).toBe(SNAPSHOT.at_ms + 3);
    expect(refetch).toHaveBeenCalledTimes(1);
    expect(stream.link().n_gaps).toBe(1);
  });

  it('ignores a frame that comes twice', () => {
    socket().send(2);
    socket().send(2, SNAPSHOT.at_ms + 99);
    expect(held()?.snapshot.at_ms).toBe(SNAPSHOT.at_ms + 2);
  });

  it('survives what is no frame', () => {
    for (const data of ['', '{', '{"seq":1}', 'null', new ArrayBuffer(4)])
      socket().onmessage?.({ data });
    expect(held()).toBeUndefined();
  });

  it('connects again after a close, later each time, and starts a new sequence', () => {
    socket().send(50);
    socket().onclose?.();
    expect(stream.link().state).toBe('closed');
    vi.advanceTimersByTime(250);
    expect(Socket.opened).toHaveLength(2);
    socket().onclose?.();
    vi.advanceTimersByTime(499);
    expect(Socket.opened).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(Socket.opened).toHaveLength(3);
    socket().send(1, SNAPSHOT.at_ms + 60);
    expect(held()?.snapshot.at_ms).toBe(SNAPSHOT.at_ms + 60);
    expect(stream.link().n_gaps).toBe(0);
  });

  it('gives up a socket that looks open and says nothing', () => {
    socket().send(1);
    vi.advanceTimersByTime(10_000);
    expect(Socket.opened[0]?.is_closed).toBe(true);
    vi.advanceTimersByTime(250);
    expect(Socket.opened).toHaveLength(2);
  });

  it('stays closed once stopped', () => {
    stream.stop();
    vi.advanceTimersByTime(60_000);
    expect(Socket.opened).toHaveLength(1);
  });
});
