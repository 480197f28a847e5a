import Tab from '@mui/material/Tab';
import Tabs from '@mui/material/Tabs';
import type { ReactElement } from 'react';

import type { Snapshot } from '../api';
import { Boundary } from '../Boundary';
import type { History } from '../history';
import { countLoud } from '../loud';
import { POOLS_PATH } from '../place';
import { useChoice, type Choice } from '../view';
import { Analytics } from './Analytics';
import { Arbitrage } from './Arbitrage';
import { Overview } from './Overview';
import { PoolsPage } from './Pools';
import { Risk } from './Risk';
import { Strategies } from './Strategies';

type Page = 'overview' | 'pools' | 'strategies' | 'arbitrage' | 'risk' | 'analytics';

const PAGES: Choice<Page> = {
  name: 'page',
  words: ['overview', 'pools', 'strategies', 'arbitrage', 'risk', 'analytics'],
  history: 'step',
  paths: new Map([['pools', POOLS_PATH]]),
};

interface PagesProps {
  snapshot: Snapshot;
  history: History;
}

/** The tabs; each page answers one question. */
export function Pages({ snapshot, history }: PagesProps): ReactElement {
  const [page, show] = useChoice(PAGES);
  const n_loud = countLoud(snapshot);
  return (
    <>
      <Tabs
        value={page}
        onChange={(_event, next: string) => show(next)}
        variant="scrollable"
        scrollButtons={false}
        aria-label="Pages"
        className="pages"
      >
        {PAGES.words.map((word) => {
          const is_loud = word === 'risk' && n_loud > 0;
          const name = `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
          return (
            <Tab
              key={word}
              id={`page-${word}`}
              aria-controls="page"
              value={word}
              label={is_loud ? `${name} (${n_loud})` : name}
              title={is_loud ? `${n_loud} limits or signers ask for an eye` : ''}
              className={is_loud ? 'tab-loud' : ''}
            />
          );
        })}
      </Tabs>
      <div id="page" role="tabpanel" aria-labelledby={`page-${page}`}>
        <Boundary key={page} attempt={snapshot}>
          <Shown page={page} snapshot={snapshot} history={history} />
        </Boundary>
      </div>
    </>
  );
}

function Shown({ page, snapshot, history }: PagesProps & { page: Page }): ReactElement {
  if (page === 'pools') return <PoolsPage snapshot={snapshot} />;
  if (page === 'strategies') return <Strategies snapshot={snapshot} />;
  if (page === 'arbitrage') return <Arbitrage snapshot={snapshot} />;
  if (page === 'risk') return <Risk snapshot={snapshot} />;
  if (page === 'analytics') return <Analytics snapshot={snapshot} history={history} />;
  return <Overview snapshot={snapshot} />;
}
