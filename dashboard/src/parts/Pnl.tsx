import type { ReactElement } from 'react';

import type { PnlPart, Snapshot } from '../api';
import { exact, named, signedMoney, signOf, toFloat } from '../format';
import { AgeSince } from '../session';
import { anyStale } from '../stale';
import { SignedBar } from './Bars';
import { Foreign, Num, toneOf } from './Figure';
import { Section } from './Section';

const NAMES: Record<string, string> = {
  fees: 'Pool fees earned',
  inventory: 'Inventory',
  hedge: 'Hedge',
  funding: 'Funding',
  gas: 'Gas',
  venue_fees: 'Exchange fees',
  arbitrage: 'Cycles of pools',
  cex_dex: 'Pools against exchanges',
  quotes: 'Quotes',
};

/** Name of a part for people. */
export function partName(name: string): string {
  return named(NAMES, name);
}

function answer(total: string | null): string {
  const sign = signOf(total);
  if (sign === null) return 'Not known yet';
  if (sign === 0) return 'Neither gain nor loss';
  return sign > 0 ? 'Yes, up' : 'No, down';
}

export function Pnl({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { pnl, numeraire } = snapshot;
  const largest = Math.max(0, ...pnl.parts.map((part) => Math.abs(toFloat(part.value) ?? 0)));
  return (
    <Section
      title="Did we make money?"
      caption={
        <>
          ledger at current prices · run <AgeSince instant_ms={snapshot.started_ms} />
        </>
      }
      stale={anyStale(snapshot)}
    >
      <div className="pnl-total">
        <span className="pnl-answer">{answer(pnl.total)}</span>
        <span className="pnl-number">
          <Num
            text={signedMoney(pnl.total)}
            unit={numeraire}
            tone={toneOf(signOf(pnl.total))}
            title={`${exact(pnl.total)} ${numeraire}; sum of the parts below`}
          />
        </span>
      </div>
      <ul className="pnl" aria-label="Profit and loss by part">
        {pnl.parts.map((part) => (
          <Part key={part.name} part={part} largest={largest} numeraire={numeraire} />
        ))}
      </ul>
      {pnl.parts.length === 0 ? <p className="empty">No parts booked yet</p> : null}
    </Section>
  );
}

function Part({
  part,
  largest,
  numeraire,
}: {
  part: PnlPart;
  largest: number;
  numeraire: string;
}): ReactElement {
  const label = partName(part.name);
  const { source } = part;
  return (
    <li>
      <span>{label}</span>
      <SignedBar value={toFloat(part.value)} largest={largest} />
      <Num
        text={signedMoney(part.value)}
        unit={numeraire}
        tone={toneOf(signOf(part.value))}
        title={`${exact(part.value)} ${numeraire}; ${source}`}
      />
      <span className="caption">
        <Foreign text={source} />
      </span>
    </li>
  );
}
