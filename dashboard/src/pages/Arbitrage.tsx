import type { ReactElement } from 'react';

import type { Snapshot } from '../api';
import { Funnel, Kept } from '../parts/Funnel';
import { Opportunities } from '../parts/Opportunities';

/** Where does the money of each opportunity go? */
export function Arbitrage({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { arbitrage } = snapshot;
  return (
    <main className="page">
      <div className="halves">
        <Funnel snapshot={snapshot} arbitrage={arbitrage} />
        <Kept snapshot={snapshot} arbitrage={arbitrage} />
      </div>
      <Opportunities snapshot={snapshot} arbitrage={arbitrage} />
    </main>
  );
}
