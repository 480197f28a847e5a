import type { ReactElement } from 'react';

import type { Snapshot, Transaction } from '../api';
import { count, exact, short, words } from '../format';
import { AgeSince } from '../session';
import { allStale, onChainStale } from '../stale';
import { ChainName } from './Chain';
import { DenseTable, type Column } from './DenseTable';
import { Foreign, Num } from './Figure';
import { Section } from './Section';
import { Dot } from './States';

export function Transactions({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const rule = (transaction: Transaction) => onChainStale(snapshot, transaction);
  return (
    <Section
      title="Transactions"
      caption="newest first; states and costs from the chain's receipts"
      stale={allStale(snapshot.transactions, rule)}
    >
      <DenseTable
        label="Transactions"
        columns={columns(snapshot)}
        rows={snapshot.transactions}
        rowKey={(transaction) => `${transaction.chain_id} ${transaction.nonce} ${transaction.hash}`}
        stale={rule}
        empty="No transactions sent yet"
      />
    </Section>
  );
}

function columns(snapshot: Snapshot): Column<Transaction>[] {
  return [
    { head: 'Age', cell: (transaction) => <AgeSince instant_ms={transaction.created_ms} /> },
    {
      head: 'Chain',
      cell: (transaction) => <ChainName snapshot={snapshot} chain_id={transaction.chain_id} />,
    },
    ...COLUMNS,
  ];
}

const COLUMNS: Column<Transaction>[] = [
  { head: 'Nonce', align: 'right', cell: (transaction) => <Num text={count(transaction.nonce)} /> },
  { head: 'Purpose', cell: (transaction) => words(transaction.purpose) },
  { head: 'State', cell: (transaction) => <Dot state={transaction.state} /> },
  { head: 'Block', align: 'right', cell: (transaction) => <Num text={count(transaction.block)} /> },
  {
    head: 'Gas used',
    unit: 'gas',
    align: 'right',
    cell: (transaction) => <Num text={count(transaction.gas_used)} />,
  },
  {
    head: 'Cost',
    unit: 'native',
    align: 'right',
    cell: (transaction) => <Num text={exact(transaction.cost_native)} />,
  },
  {
    head: 'Hash',
    cell: (transaction) => <Foreign text={short(transaction.hash)} title={transaction.hash} />,
  },
];
