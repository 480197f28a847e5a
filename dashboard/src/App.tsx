import Paper from '@mui/material/Paper';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useSyncExternalStore, type ReactElement } from 'react';

import { ApiError } from './client';
import { Boundary } from './Boundary';
import { words } from './format';
import type { History } from './history';
import { Pages } from './pages/Pages';
import { Directives } from './parts/Directive';
import { Header } from './parts/Header';
import { SessionProvider } from './session';
import { querySnapshot, SNAPSHOT_KEY, type Stream } from './stream';

const STATUS_UNAUTHORIZED = 401;

export function App({ stream, history }: { stream: Stream; history: History }): ReactElement {
  const client = useQueryClient();
  const link = useSyncExternalStore(stream.subscribe, stream.link);
  const query = useQuery({ queryKey: SNAPSHOT_KEY, queryFn: () => querySnapshot(client) });
  const is_refused = query.error instanceof ApiError && query.error.status === STATUS_UNAUTHORIZED;
  if (query.data === undefined)
    return <Waiting is_refused={is_refused} message={query.error?.message ?? null} />;
  const { snapshot } = query.data;
  const mark = snapshot.state.kind === 'halted' ? 'HALTED · ' : '';
  return (
    <SessionProvider received={query.data}>
      <title>{`${mark}${snapshot.keeper} · ${words(snapshot.mode)} · Tidekeeper`}</title>
      <Boundary attempt={snapshot}>
        <Header snapshot={snapshot} link={link} />
      </Boundary>
      {is_refused ? <Refused /> : null}
      <Boundary attempt={snapshot}>
        <Pages snapshot={snapshot} history={history} />
      </Boundary>
    </SessionProvider>
  );
}

function Refused(): ReactElement {
  return (
    <p role="alert" className="notice">
      The agent does not accept this session. Open the address with the token which the agent
      printed at its start.
    </p>
  );
}

/** Nothing is known yet; halting is possible all the same. */
function Waiting({
  is_refused,
  message,
}: {
  is_refused: boolean;
  message: string | null;
}): ReactElement {
  return (
    <main className="waiting">
      <Paper variant="outlined" className="waiting-card">
        <h1>Tidekeeper</h1>
        {is_refused ? (
          <Refused />
        ) : (
          <p role="status">Waiting for the agent{message === null ? '' : `: ${message}`}</p>
        )}
        {is_refused ? null : <Directives kind={null} />}
      </Paper>
    </main>
  );
}
