// The page's own sense of time: how old the newest snapshot is, and the time at the agent.
// Only elapsed monotonic time is taken from the browser, so a wrong browser clock changes nothing.

import { createContext, use, useSyncExternalStore, type ReactElement, type ReactNode } from 'react';

import { age, instant, timeOfDay, UNKNOWN } from './format';
import type { Received } from './stream';

const TICK_MS = 250;
/** The stream sends 4 frames a second; after this much silence nothing on the page is current. */
export const SILENT_AFTER_MS = 3_000;

let tick_ms = performance.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

/** One timer for the whole page; it runs only while something listens. */
function subscribe(changed: () => void): () => void {
  listeners.add(changed);
  tick_ms = performance.now();
  timer ??= setInterval(() => {
    tick_ms = performance.now();
    for (const listener of listeners) listener();
  }, TICK_MS);
  return () => {
    listeners.delete(changed);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

interface Session {
  at_ms: number;
  received_ms: number;
  /** Nothing new came for SILENT_AFTER_MS. */
  is_silent: boolean;
}

const SessionContext = createContext<Session>({ at_ms: 0, received_ms: 0, is_silent: true });

/** Milliseconds since the snapshot was received, growing with every tick. */
function useElapsed(): number {
  const { received_ms } = use(SessionContext);
  return useSyncExternalStore(subscribe, () => Math.max(0, tick_ms - received_ms));
}

export function SessionProvider({
  received,
  children,
}: {
  received: Received;
  children: ReactNode;
}): ReactElement {
  const { received_ms, snapshot } = received;
  const is_silent = useSyncExternalStore(subscribe, () => tick_ms - received_ms > SILENT_AFTER_MS);
  return (
    <SessionContext value={{ at_ms: snapshot.at_ms, received_ms, is_silent }}>
      {children}
    </SessionContext>
  );
}

export function useSilent(): boolean {
  return use(SessionContext).is_silent;
}

/** Age of something whose age the agent measured at `at_ms`. */
export function Age({ ms }: { ms: number | null }): ReactElement {
  const elapsed_ms = useElapsed();
  const text = age(ms === null ? null : ms + elapsed_ms);
  return <span className={text === UNKNOWN ? 'unknown' : 'age'}>{text}</span>;
}

/** Age of something that happened at an instant of the agent's clock. */
export function AgeSince({ instant_ms }: { instant_ms: number | null }): ReactElement {
  const { at_ms } = use(SessionContext);
  return (
    <span title={instant(instant_ms)}>
      <Age ms={instant_ms === null ? null : at_ms - instant_ms} />
    </span>
  );
}

/** The agent's clock, carried on by the browser between two frames. */
export function Clock(): ReactElement {
  const { at_ms } = use(SessionContext);
  const now_ms = at_ms + useElapsed();
  return (
    <time title={`${instant(now_ms)}, the agent's clock`} className="clock">
      {timeOfDay(now_ms)} UTC
    </time>
  );
}
