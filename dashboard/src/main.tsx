import CssBaseline from '@mui/material/CssBaseline';
import { ThemeProvider } from '@mui/material/styles';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import type { paths } from '../generated/api';
import { App } from './App';
import { startHistory } from './history';
import { startStream } from './stream';
import './style.css';
import { theme } from './theme';

// The stream keeps the data fresh; the query layer must not fetch behind its back.
const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Infinity,
      gcTime: Infinity,
      retry: false,
      refetchOnWindowFocus: false,
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
});

const address = new URL('/api/v1/stream' satisfies keyof paths, window.location.href);
address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
const history = startHistory(client);
const stream = startStream(client, address.href);

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <ThemeProvider theme={theme}>
          <CssBaseline />
          <App stream={stream} history={history} />
        </ThemeProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
