import Chip from '@mui/material/Chip';
import type { ReactElement } from 'react';

import type { Reconciliation as Result, ReconciliationRow, Snapshot } from '../api';
import { exact, short, signOf } from '../format';
import { AgeSince, useSilent } from '../session';
import { reconciliationStale } from '../stale';
import { LedgerName } from './Chain';
import { DenseTable, type Column } from './DenseTable';
import { Num, Pieces } from './Figure';
import { Section, SILENT } from './Section';

export function Reconciliation({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { reconciliation } = snapshot;
  return (
    <Section
      title="Ledger against the world"
      caption={
        <>
          ledger sums against what chain and exchange hold, in smallest units · checked{' '}
          <AgeSince instant_ms={reconciliation.checked_ms} /> ago
        </>
      }
      stale={reconciliationStale(snapshot)}
    >
      <DenseTable
        label="Reconciliation"
        columns={columns(snapshot)}
        rows={reconciliation.rows}
        rowKey={(row) => `${row.place} ${row.unit}`}
        loud={(row) => signOf(row.difference) !== 0}
        empty="Nothing compared yet"
      />
    </Section>
  );
}

function columns(snapshot: Snapshot): Column<ReconciliationRow>[] {
  return [
    { head: 'Place', cell: (row) => <LedgerName snapshot={snapshot} text={row.place} /> },
    {
      head: 'Unit',
      wraps: true,
      cell: (row) => (
        <span className="unit">
          <LedgerName snapshot={snapshot} text={row.unit} />
        </span>
      ),
    },
    ...COLUMNS,
  ];
}

const COLUMNS: Column<ReconciliationRow>[] = [
  { head: 'Ledger', align: 'right', cell: (row) => <Num text={exact(row.ledger)} /> },
  { head: 'Actual', align: 'right', cell: (row) => <Num text={exact(row.actual)} /> },
  {
    head: 'Difference',
    align: 'right',
    cell: (row) => (
      <Num text={exact(row.difference)} tone={signOf(row.difference) === 0 ? 'good' : 'bad'} />
    ),
  },
  {
    head: 'True at',
    wraps: true,
    cell: (row) => (
      <span className="unit">
        <Pieces text={short(row.at)} title={row.at} />
      </span>
    ),
  },
];

export type Verdict = 'reconciled' | 'differs' | 'not compared';

/** Green needs the agent's word and every row: neither alone is believed. */
export function verdict(result: Result): Verdict {
  if (result.ok === false || result.rows.some((row) => Math.abs(signOf(row.difference) ?? 0) === 1))
    return 'differs';
  const is_whole =
    result.rows.length > 0 && result.rows.every((row) => signOf(row.difference) === 0);
  return result.ok === true && is_whole ? 'reconciled' : 'not compared';
}

const COLOURS: Record<Verdict, 'success' | 'error' | 'default'> = {
  reconciled: 'success',
  differs: 'error',
  'not compared': 'default',
};

/** The header's answer: red stays red however old it is, green does not outlive its age. */
export function ReconciliationChip({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const why = useSilent() ? SILENT : reconciliationStale(snapshot);
  const said = verdict(snapshot.reconciliation);
  const is_stale = why !== null && said === 'reconciled';
  return (
    <span role="group" aria-label="Ledger reconciliation" data-stale={is_stale}>
      <Chip
        label={is_stale ? `ledger ${said} (stale)` : `ledger ${said}`}
        color={is_stale ? 'default' : COLOURS[said]}
        variant={said === 'differs' ? 'filled' : 'outlined'}
        title={
          why ??
          `${snapshot.reconciliation.rows.length} comparisons of the ledger with chain and exchange`
        }
      />
    </span>
  );
}
