import type { ReactElement } from 'react';

import type { Snapshot } from '../api';
import { Funnel, Kept } from '../parts/Funnel';
import { Opportunities } from '../parts/Opportunities';
import { Section, Untold } from '../parts/Section';
import { anyStale } from '../stale';

/** Where does the money of each opportunity go? */
export function Arbitrage({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const arbitrage = snapshot.arbitrage ?? null;
  return (
    <main className="page">
      {arbitrage === null ? (
        <Section title="Opportunities" caption="" stale={anyStale(snapshot)}>
          <Untold what="Arbitrage" />
        </Section>
      ) : (
        <>
          <div className="halves">
            <Funnel snapshot={snapshot} arbitrage={arbitrage} />
            <Kept snapshot={snapshot} arbitrage={arbitrage} />
          </div>
          <Opportunities snapshot={snapshot} arbitrage={arbitrage} />
        </>
      )}
    </main>
  );
}
