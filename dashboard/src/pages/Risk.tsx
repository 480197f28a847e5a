import type { ReactElement } from 'react';

import type { Fuel, Limit, ScopedExposure, Snapshot } from '../api';
import { exact, hours, money, named, quantity, short, signedMoney, toFloat } from '../format';
import { fuelWant, isLoud, levelOf, type Level } from '../loud';
import { Meter, SignedBar } from '../parts/Bars';
import { ChainName } from '../parts/Chain';
import { DenseTable, type Column } from '../parts/DenseTable';
import { Foreign, Num } from '../parts/Figure';
import { Section } from '../parts/Section';
import { allStale, anyStale, exposureStale, onChainStale } from '../stale';
import { WORDS } from '../words';

/** What can hurt us tonight? */
export function Risk({ snapshot }: { snapshot: Snapshot }): ReactElement {
  return (
    <main className="page">
      <Answer snapshot={snapshot} />
      <Limits snapshot={snapshot} />
      <FuelTable snapshot={snapshot} />
      <Exposures snapshot={snapshot} />
    </main>
  );
}

function Answer({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { limits, fuel } = snapshot;
  const n_loud = limits.filter(isLoud).length;
  const n_unknown = limits.filter((limit) => levelOf(limit) === 'unknown').length;
  const n_short = fuel.filter((one) => fuelWant(one) !== null).length;
  const facts = [
    n_loud > 0 ? `${n_loud} of ${limits.length} limits used to 80 % or more` : null,
    n_unknown > 0 ? `${n_unknown} of ${limits.length} limits with unknown use` : null,
    n_short > 0 ? `${n_short} of ${fuel.length} signers short of fuel` : null,
  ].filter((fact) => fact !== null);
  const is_calm = facts.length === 0;
  return (
    <p role="note" aria-label="Answer" className={is_calm ? 'answer' : 'answer warn'}>
      {is_calm ? 'Nothing is near its limit' : facts.join(' \u00b7 ')}
    </p>
  );
}

const RANKS: Record<Level, number> = { over: 0, loud: 1, unknown: 2, calm: 3 };

function Limits({ snapshot }: { snapshot: Snapshot }): ReactElement {
  return (
    <Section
      title="Limits"
      caption="use as counted by the risk checks; loud from 80 %"
      stale={anyStale(snapshot)}
    >
      <DenseTable
        label="Limits"
        columns={LIMIT_COLUMNS}
        rows={snapshot.limits.toSorted((a, b) => RANKS[levelOf(a)] - RANKS[levelOf(b)])}
        rowKey={(limit) => limit.name}
        loud={isLoud}
        empty="No limits are configured"
        narrow="cards"
      />
    </Section>
  );
}

const LIMIT_WORDS: Record<Level, string> = {
  over: 'over the limit',
  loud: 'near the limit',
  unknown: 'use unknown',
  calm: 'has room',
};

/** The keys of agent.toml, whose unit stands beside the figures. */
const LIMIT_NAMES: Record<string, string> = {
  gross_exposure_usd: 'Gross exposure',
  net_delta_usd: 'Net delta',
  venue_exposure_usd: 'Venue exposure',
  daily_loss_usd: 'Daily loss',
  gas_budget_usd_per_day: 'Gas budget per day',
};

const limitName = (name: string): string => named(LIMIT_NAMES, name);

const LIMIT_COLUMNS: Column<Limit>[] = [
  { head: 'Limit', cell: ({ name }) => <Foreign text={limitName(name)} title={name} /> },
  {
    head: 'Used',
    cell: (limit) => (
      <Meter
        label={limitName(limit.name)}
        used={limit.used}
        limit={limit.limit}
        unit={limit.unit}
        level={levelOf(limit)}
      />
    ),
  },
  { head: 'State', cell: (limit) => LIMIT_WORDS[levelOf(limit)] },
];

function FuelTable({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { fuel } = snapshot;
  const rule = (row: Fuel) => onChainStale(snapshot, row);
  return (
    <Section
      title="Fuel"
      caption="native coin of each signer, from the chain; runway at the recent rate of spending"
      stale={allStale(fuel, rule)}
    >
      <DenseTable
        label="Fuel"
        columns={fuelColumns(snapshot)}
        rows={fuel}
        rowKey={(row) => `${row.chain_id} ${row.signer}`}
        stale={rule}
        loud={(row) => fuelWant(row) !== null}
        empty="No signers"
        narrow="cards"
      />
    </Section>
  );
}

function fuelColumns(snapshot: Snapshot): Column<Fuel>[] {
  const native = (head: string, name: 'native' | 'minimum' | 'exit_reserve'): Column<Fuel> => ({
    head,
    unit: 'native',
    align: 'right',
    cell: (row) => <Num text={quantity(row[name])} title={`${exact(row[name])} native coin`} />,
  });
  return [
    {
      head: 'Chain',
      cell: (row) => <ChainName snapshot={snapshot} chain_id={row.chain_id} />,
    },
    { head: 'Signer', cell: (row) => <Foreign text={short(row.signer)} title={row.signer} /> },
    native('Holds', 'native'),
    native('Minimum', 'minimum'),
    native('Exit reserve', 'exit_reserve'),
    {
      head: 'Runway',
      align: 'right',
      cell: (row) => <Num text={hours(row.runway_h)} title={`${exact(row.runway_h)} hours`} />,
    },
    {
      head: 'State',
      cell: (row) => fuelWant(row) ?? (row.native === null ? 'unknown' : 'enough'),
    },
  ];
}

function Exposures({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { exposures, numeraire } = snapshot;
  // A scope this page does not know is risk all the same.
  const scopes = new Set<string>([...WORDS.ExposureBy.scope, ...exposures.map((row) => row.scope)]);
  const rule = (row: ScopedExposure) => exposureStale(snapshot, row);
  return (
    <div className="thirds">
      {[...scopes].map((scope) => {
        const rows = exposures.filter((row) => row.scope === scope);
        const title = `Exposure by ${scope}`;
        return (
          <Section
            key={scope}
            title={title}
            caption="ledger at current prices"
            stale={allStale(rows, rule)}
          >
            <DenseTable
              label={title}
              columns={exposureColumns(rows, numeraire)}
              rows={rows}
              rowKey={(row) => row.name}
              stale={rule}
              empty={`No exposure by ${scope}`}
            />
          </Section>
        );
      })}
    </div>
  );
}

function exposureColumns(rows: ScopedExposure[], numeraire: string): Column<ScopedExposure>[] {
  const largest = Math.max(0, ...rows.map((row) => Math.abs(toFloat(row.net_delta) ?? 0)));
  return [
    { head: 'Name', cell: ({ name }) => <Foreign text={short(name)} title={name} /> },
    {
      head: 'Value',
      unit: numeraire,
      align: 'right',
      cell: ({ value }) => <Num text={money(value)} title={`${exact(value)} ${numeraire}`} />,
    },
    {
      head: 'Net delta',
      unit: numeraire,
      align: 'right',
      cell: ({ net_delta }) => (
        <Num text={signedMoney(net_delta)} title={`${exact(net_delta)} ${numeraire}`} />
      ),
    },
    {
      head: 'Direction',
      cell: ({ net_delta }) => (
        <span className="direction">
          <SignedBar value={toFloat(net_delta)} largest={largest} />
        </span>
      ),
    },
  ];
}
