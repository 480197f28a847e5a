import ToggleButton from '@mui/material/ToggleButton';
import ToggleButtonGroup from '@mui/material/ToggleButtonGroup';
import type { ReactElement } from 'react';

import type { Arbitrage, Fate, Opportunity, Snapshot } from '../api';
import { chainName } from '../chains';
import { amount, count, exact, money, percent, short, signedMoney, signOf, words } from '../format';
import { AgeSince } from '../session';
import { allStale, onChainStale } from '../stale';
import { useChoice, type Choice } from '../view';
import { DenseTable, type Column } from './DenseTable';
import { Foreign, Num, toneOf } from './Figure';
import { Section } from './Section';
import { COSTS, Split } from './Split';
import { Dot } from './States';

const FATES: Choice<'all' | Fate> = {
  name: 'fate',
  words: ['all', 'skipped', 'found', 'sent', 'landed', 'lost', 'reverted'],
  history: 'replace',
};

export function Opportunities(props: { snapshot: Snapshot; arbitrage: Arbitrage }): ReactElement {
  const { snapshot, arbitrage } = props;
  const { opportunities } = arbitrage;
  const [fate, choose] = useChoice(FATES);
  const rule = (row: Opportunity) => onChainStale(snapshot, row);
  const having = (word: string): Opportunity[] =>
    word === 'all' ? opportunities : opportunities.filter((row) => row.fate === word);
  return (
    <Section
      title="Opportunities"
      caption="newest first, at most 50; gross is after pool fees; costs as estimated before"
      stale={allStale(opportunities, rule)}
    >
      <div className="filter">
        <ToggleButtonGroup
          exclusive
          size="small"
          value={fate}
          aria-label="Fate"
          // The chosen one pressed again answers null and stays chosen.
          onChange={(_event, next: string | null) => (next === null ? undefined : choose(next))}
        >
          {FATES.words.map((word) => (
            <ToggleButton key={word} value={word}>
              {word} ({having(word).length})
            </ToggleButton>
          ))}
        </ToggleButtonGroup>
        <span className="split-key">
          {[...COSTS, 'left'].map((name) => (
            <span key={name}>
              <svg className="split" width="9" height="9" aria-hidden="true">
                <rect className={name} width="9" height="9" />
              </svg>{' '}
              {name}
            </span>
          ))}
        </span>
      </div>
      <DenseTable
        label="Opportunities"
        columns={columns(snapshot)}
        rows={having(fate)}
        rowKey={(row) => row.id}
        stale={rule}
        empty={
          opportunities.length === 0
            ? 'No opportunities seen yet'
            : `None of the newest ${opportunities.length} has this fate`
        }
      />
    </Section>
  );
}

function columns(snapshot: Snapshot): Column<Opportunity>[] {
  const { numeraire } = snapshot;
  const cost = (
    head: string,
    name: 'gross' | 'gas' | 'fees' | 'slippage',
  ): Column<Opportunity> => ({
    head,
    unit: numeraire,
    align: 'right',
    cell: (row) => <Num text={money(row[name])} title={`${exact(row[name])} ${numeraire}`} />,
  });
  const net = (head: string, name: 'expected_net' | 'realised_net'): Column<Opportunity> => ({
    head,
    unit: numeraire,
    align: 'right',
    cell: (row) => (
      <Num
        text={signedMoney(row[name])}
        tone={toneOf(signOf(row[name]))}
        title={`${exact(row[name])} ${numeraire}`}
      />
    ),
  });
  return [
    { head: 'Age', cell: (row) => <AgeSince instant_ms={row.at_ms} /> },
    { head: 'Fate', cell: (row) => <Dot state={row.fate} title={row.why} /> },
    { head: 'Route', cell: (row) => <Route row={row} /> },
    {
      head: 'Amount in',
      align: 'right',
      cell: (row) => (
        <>
          <Num text={amount(row.amount_in)} title={exact(row.amount_in)} />{' '}
          <span className="unit">
            <Foreign text={short(row.token)} title={row.token} />
          </span>
        </>
      ),
    },
    { head: 'Where it goes', cell: (row) => <Split row={row} unit={numeraire} /> },
    cost('Pool fees', 'fees'),
    cost('Gross', 'gross'),
    cost('Gas', 'gas'),
    cost('Slippage', 'slippage'),
    {
      head: 'May fail',
      align: 'right',
      cell: (row) => (
        <Num text={percent(row.failure_probability)} title="estimated before sending" />
      ),
    },
    net('Expected net', 'expected_net'),
    net('Realised net', 'realised_net'),
    { head: 'Why', cell: (row) => <Foreign text={row.why === '' ? 'unknown' : row.why} /> },
    { head: 'Strategy', cell: (row) => <Foreign text={row.strategy} /> },
    {
      head: 'Block',
      align: 'right',
      cell: (row) => (
        <Num text={count(row.block)} title={`on ${chainName(snapshot, row.chain_id)}`} />
      ),
    },
    {
      head: 'Hash',
      cell: (row) =>
        row.tx_hash === null ? (
          <span className="unit">not sent</span>
        ) : (
          <Foreign text={short(row.tx_hash)} title={row.tx_hash} />
        ),
    },
  ];
}

function Route({ row }: { row: Opportunity }): ReactElement {
  if (row.route.length === 0) return <span className="unknown">{words(null)}</span>;
  return (
    <span className="route">
      <Foreign text={row.route.map(short).join(' \u2192 ')} title={row.route.join(' \u2192 ')} />
    </span>
  );
}
