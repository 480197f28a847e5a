import Tab from '@mui/material/Tab';
import Tabs from '@mui/material/Tabs';
import type { ReactElement } from 'react';

import type { Snapshot } from '../api';
import { count } from '../format';
import { Books } from '../parts/Books';
import { Exposure } from '../parts/Exposure';
import { Labels } from '../parts/Labels';
import { Ledger } from '../parts/Ledger';
import { Orders } from '../parts/Orders';
import { Pnl } from '../parts/Pnl';
import { Pools } from '../parts/Pools';
import { Positions } from '../parts/Positions';
import { Reconciliation, verdict } from '../parts/Reconciliation';
import { Transactions } from '../parts/Transactions';
import { useChoice, type Choice } from '../view';

const TABS: Choice<'reconciliation' | 'orders' | 'transactions' | 'ledger'> = {
  name: 'tab',
  words: ['reconciliation', 'orders', 'transactions', 'ledger'],
  history: 'replace',
};

/** Is it alive, what does it hold, did it make money, and does the ledger agree? */
export function Overview({ snapshot }: { snapshot: Snapshot }): ReactElement {
  return (
    <main className="overview">
      <div className="column side">
        <Pnl snapshot={snapshot} />
        <Exposure snapshot={snapshot} />
        <Labels snapshot={snapshot} />
      </div>
      <div className="column wide">
        <Positions snapshot={snapshot} />
        <Books snapshot={snapshot} />
        <Pools snapshot={snapshot} />
        <Records snapshot={snapshot} />
      </div>
    </main>
  );
}

function Records({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const [tab, show] = useChoice(TABS);
  const said = verdict(snapshot.reconciliation);
  return (
    <div className="records">
      <Tabs
        value={tab}
        onChange={(_event, next: string) => show(next)}
        variant="scrollable"
        scrollButtons="auto"
        allowScrollButtonsMobile
        aria-label="Records"
      >
        <Tab
          id="tab-reconciliation"
          aria-controls="records"
          value="reconciliation"
          label={`Reconciliation: ${said}`}
          className={said === 'differs' ? 'tab-loud' : ''}
        />
        <Tab
          id="tab-orders"
          aria-controls="records"
          value="orders"
          label={`Orders (${snapshot.orders.length})`}
        />
        <Tab
          id="tab-transactions"
          aria-controls="records"
          value="transactions"
          label={`Transactions (${snapshot.transactions.length})`}
        />
        <Tab
          id="tab-ledger"
          aria-controls="records"
          value="ledger"
          label={`Ledger (${count(snapshot.ledger.entries)})`}
        />
      </Tabs>
      <div id="records" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        <Panel tab={tab} snapshot={snapshot} />
      </div>
    </div>
  );
}

function Panel({ tab, snapshot }: { tab: string; snapshot: Snapshot }): ReactElement {
  if (tab === 'orders') return <Orders snapshot={snapshot} />;
  if (tab === 'transactions') return <Transactions snapshot={snapshot} />;
  if (tab === 'ledger') return <Ledger snapshot={snapshot} />;
  return <Reconciliation snapshot={snapshot} />;
}
