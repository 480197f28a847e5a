import type { ReactElement } from 'react';

import type { PnlPart, Snapshot } from '../api';
import { exact, signedMoney, signOf, toFloat, words } from '../format';
import { AgeSince } from '../session';
import { anyStale } from '../stale';
import { Foreign, Num, toneOf } from './Figure';
import { Section } from './Section';

const NAMES: Record<string, string> = {
  fees: 'Pool fees earned',
  inventory: 'Inventory',
  hedge: 'Hedge',
  funding: 'Funding',
  gas: 'Gas',
  venue_fees: 'Exchange fees',
};

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
  const label = NAMES[part.name] ?? words(part.name);
  const source = part.source ?? 'source unknown';
  return (
    <li>
      <span>{label}</span>
      <Bar value={toFloat(part.value)} largest={largest} />
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

/** Left of the middle is a loss, right of it a gain; the longest bar is the largest part. */
function Bar({ value, largest }: { value: number | null; largest: number }): ReactElement {
  const width = value === null || largest === 0 ? 0 : (Math.abs(value) / largest) * 50;
  const is_loss = value !== null && value < 0;
  return (
    <svg className="bar" width="100%" height="12" aria-hidden="true">
      <line x1="50%" x2="50%" y1="0" y2="12" className="axis" />
      <rect
        x={`${is_loss ? 50 - width : 50}%`}
        width={`${width}%`}
        y="2"
        height="8"
        rx="1.5"
        className={is_loss ? 'loss' : 'gain'}
      />
    </svg>
  );
}
