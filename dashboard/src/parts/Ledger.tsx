import type { ReactElement } from 'react';

import type { Entry, Snapshot } from '../api';
import { count, exact, short, signOf, words } from '../format';
import { AgeSince } from '../session';
import { storeStale } from '../stale';
import { LedgerName } from './Chain';
import { DenseTable, type Column } from './DenseTable';
import { Foreign, Num, toneOf } from './Figure';
import { Section } from './Section';

const POSTINGS_MAX = 12;

export function Ledger({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { ledger } = snapshot;
  const size = `${count(ledger.entries)} entries, ${count(ledger.postings)} postings`;
  return (
    <Section
      title="Ledger"
      caption={`last of ${size} in Postgres; each entry sums to 0 per unit`}
      stale={storeStale(snapshot)}
    >
      <DenseTable
        label="Ledger entries"
        columns={columns(snapshot)}
        rows={ledger.last}
        rowKey={(entry) => entry.id}
        empty="No entries yet"
      />
    </Section>
  );
}

function columns(snapshot: Snapshot): Column<Entry>[] {
  return [
    { head: 'Age', cell: (entry) => <AgeSince instant_ms={entry.at_ms} /> },
    { head: 'Kind', cell: (entry) => <strong title={entry.id}>{words(entry.kind)}</strong> },
    { head: 'Cause', cell: (entry) => <Foreign text={short(entry.cause)} title={entry.cause} /> },
    { head: 'Postings', cell: (entry) => <Postings snapshot={snapshot} entry={entry} /> },
  ];
}

function Postings({ snapshot, entry }: { snapshot: Snapshot; entry: Entry }): ReactElement {
  const shown = entry.postings.slice(0, POSTINGS_MAX);
  return (
    <table className="postings" aria-label={`postings of ${entry.kind}`}>
      <tbody>
        {shown.map((posting, line) => (
          <tr key={line}>
            <td className="right">
              <Num
                text={posting.human ?? exact(posting.amount)}
                tone={toneOf(signOf(posting.amount))}
                title={`${exact(posting.amount)} of ${posting.unit}`}
              />
            </td>
            <td>
              <LedgerName snapshot={snapshot} text={posting.account} />
            </td>
            <td className="unit">
              <LedgerName snapshot={snapshot} text={posting.unit} />
            </td>
          </tr>
        ))}
        {entry.postings.length > shown.length ? (
          <tr>
            <td colSpan={3}>and {entry.postings.length - shown.length} more</td>
          </tr>
        ) : null}
      </tbody>
    </table>
  );
}
