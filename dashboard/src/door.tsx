// The page as the unit tests enter it: one snapshot in, no network.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';

import type { Snapshot } from './api';
import { App } from './App';
import type { History, Sample } from './history';
import { SNAPSHOT_KEY, type Link, type Received, type Stream } from './stream';

const LINK: Link = { state: 'open', n_gaps: 0, n_connects: 1 };
const STREAM: Stream = {
  link: () => LINK,
  subscribe: () => () => undefined,
  stop: () => undefined,
};

/** Without a snapshot the page asks the agent for one. */
export function show(snapshot: Snapshot | null, samples: readonly Sample[] = []): void {
  const client = new QueryClient({
    defaultOptions: { queries: { staleTime: Infinity, retry: false } },
  });
  const history: History = {
    samples: () => samples,
    subscribe: () => () => undefined,
    stop: () => undefined,
  };
  if (snapshot !== null)
    client.setQueryData<Received>(SNAPSHOT_KEY, { snapshot, received_ms: performance.now() });
  render(
    <QueryClientProvider client={client}>
      <App stream={STREAM} history={history} />
    </QueryClientProvider>,
  );
}

/** What a request that was not really sent asks for. */
export async function asked(
  request: Request | undefined,
): Promise<{ method: string; path: string; body: string }> {
  const { method, url } = request ?? new Request('/nothing-was-asked');
  return { method, path: new URL(url).pathname, body: (await request?.clone().text()) ?? '' };
}

export const section = (name: string): HTMLElement => screen.getByRole('region', { name });
export const staleness = (element: HTMLElement): string | null =>
  element.getAttribute('data-stale');
