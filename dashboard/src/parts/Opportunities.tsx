import ToggleButton from '@mui/material/ToggleButton';
import ToggleButtonGroup from '@mui/material/ToggleButtonGroup';
import type { ReactElement } from 'react';

import type { Arbitrage, Fate, Opportunity, Snapshot } from '../api';
import { chainName } from '../chains';
import { amount, count, exact, money, percent, short, signedMoney, signOf, words } from '../format';
import { AgeSince } from '../session';
import { allStale, onChainStale } from '../stale';
import { useChoice, type Choice } from '../view';
import { WORDS } from '../words';
import { DenseTable, type Column } from './DenseTable';
import { Foreign, Num, toneOf } from './Figure';
import { Section } from './Section';
import { COSTS, Split } from './Split';
import { Dot } from './States';

const FATES: Choice<'all' | Fate> = {
  name: 'fate',
  words: ['all', ...WORDS.OpportunityRow.fate],
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
      caption="newest first, at most 50 and all still open; gross is after fees; costs as estimated before"
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

/** All of one opportunity in one screen's width: what belongs together stands in two lines. */
function columns(snapshot: Snapshot): Column<Opportunity>[] {
  return [...sightColumns(snapshot), ...moneyColumns(snapshot.numeraire), WHY];
}

function sightColumns(snapshot: Snapshot): Column<Opportunity>[] {
  return [
    {
      head: 'Age',
      cell: (row) => (
        <>
          <AgeSince instant_ms={row.at_ms} />
          <span className="unit second">
            block <Num text={count(row.block)} title={`on ${chainName(snapshot, row.chain_id)}`} />
          </span>
        </>
      ),
    },
    {
      head: 'Fate',
      cell: (row) => (
        <>
          <Dot state={row.fate} title={row.why} />
          <span className="unit second">
            {row.tx_hash === null ? (
              row.fate === 'sent' ? 'not signed yet' : 'not sent'
            ) : (
              <Foreign text={short(row.tx_hash)} title={row.tx_hash} />
            )}
          </span>
        </>
      ),
    },
    {
      head: 'Kind',
      cell: (row) => (
        <>
          <span title={KIND_TITLES[row.kind]}>{words(row.kind)}</span>
          <span className="unit second">
            <Foreign text={row.strategy} />
          </span>
        </>
      ),
    },
    { head: 'Route', wraps: true, cell: (row) => <Route row={row} /> },
    {
      head: 'Amount in',
      align: 'right',
      cell: (row) => (
        <>
          <Num text={amount(row.amount_in)} title={exact(row.amount_in)} />
          <span className="unit second">
            <Foreign text={short(row.token)} title={row.token} />
          </span>
        </>
      ),
    },
  ];
}

const KIND_TITLES: Record<Opportunity['kind'], string> = {
  cycle: 'through pools of one chain and back to the first token',
  venue: 'between a pool and an exchange',
};

function moneyColumns(numeraire: string): Column<Opportunity>[] {
  return [
    {
      head: 'Gross',
      unit: numeraire,
      align: 'right',
      cell: (row) => <Num text={money(row.gross)} title={`${exact(row.gross)} ${numeraire}`} />,
    },
    {
      head: 'Where it goes',
      unit: numeraire,
      cell: (row) => (
        <span className="costs">
          <Split row={row} unit={numeraire} />
          {COSTS.map((name) => (
            <span key={name} className="unit">
              {name} <Num text={money(row[name])} title={`${exact(row[name])} ${numeraire}`} />
            </span>
          ))}
        </span>
      ),
    },
    {
      head: 'May fail',
      align: 'right',
      cell: (row) => (
        <Num text={percent(row.failure_probability)} title="estimated before sending" />
      ),
    },
    {
      head: 'Net',
      unit: numeraire,
      align: 'right',
      cell: (row) => (
        <span className="nets">
          <Net word="expected" value={row.expected_net} unit={numeraire} />
          <Net word="realised" value={row.realised_net} unit={numeraire} />
        </span>
      ),
    },
  ];
}

function Net(props: { word: string; value: string | null; unit: string }): ReactElement {
  const { word, value, unit } = props;
  return (
    <>
      <span className="unit">{word}</span>{' '}
      <Num
        text={signedMoney(value)}
        tone={toneOf(signOf(value))}
        title={`${exact(value)} ${unit}`}
      />
    </>
  );
}

const WHY: Column<Opportunity> = {
  head: 'Why',
  wraps: true,
  cell: (row) => <Foreign text={short(row.why)} title={row.why} />,
};

/** The legs on chain and, below, the one on an exchange. */
function Route({ row }: { row: Opportunity }): ReactElement {
  return (
    <span className="route">
      {row.route.length === 0 ? (
        <span className="unknown">{words(null)}</span>
      ) : (
        <Foreign text={row.route.map(short).join(' \u2192 ')} title={row.route.join(' \u2192 ')} />
      )}
      {row.hedge === null ? null : (
        <span className="unit second">
          <Foreign text={short(row.hedge)} title={row.hedge} />
        </span>
      )}
    </span>
  );
}
