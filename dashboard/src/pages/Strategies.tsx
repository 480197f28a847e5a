import Button from '@mui/material/Button';
import { useState, type ReactElement } from 'react';

import { directStrategy, type Snapshot, type Strategy, type StrategyVerb } from '../api';
import { words } from '../format';
import { levelOf } from '../loud';
import { Meter } from '../parts/Bars';
import { ChainName } from '../parts/Chain';
import { DenseTable, type Column } from '../parts/DenseTable';
import { ReasonDialog, type Wording } from '../parts/Directive';
import { Foreign } from '../parts/Figure';
import { Section, Untold } from '../parts/Section';
import { StateChip } from '../parts/States';
import { AgeSince } from '../session';
import { allStale, strategyStale } from '../stale';

interface Ask {
  strategy: Strategy;
  verb: StrategyVerb;
}

/** What does each strategy want, and is it allowed to? */
export function Strategies({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const [ask, setAsk] = useState<Ask | null>(null);
  const strategies = snapshot.strategies ?? null;
  const rule = (strategy: Strategy) => strategyStale(snapshot, strategy);
  return (
    <main className="page">
      <Section
        title="Strategies"
        caption="configured, and as last decided by the engine; budget at current prices"
        stale={allStale(strategies ?? [], rule)}
      >
        {strategies === null ? (
          <Untold what="Strategies" />
        ) : (
          <DenseTable
            label="Strategies"
            columns={columns(snapshot, setAsk)}
            rows={strategies}
            rowKey={(strategy) => strategy.id}
            stale={rule}
            empty="No strategies are configured"
            narrow="cards"
          />
        )}
      </Section>
      {ask === null ? null : (
        <ReasonDialog
          wording={wordingOf(ask, snapshot)}
          send={(reason) => directStrategy(ask.strategy.id, ask.verb, reason)}
          close={() => setAsk(null)}
        />
      )}
    </main>
  );
}

/** Everything that stands between a decision and the world; one is enough to hold it back. */
export function statesOf({ is_paused, sends }: Strategy, { state }: Snapshot): string[] {
  const held = [
    state.kind === 'running' ? null : state.kind,
    is_paused ? 'paused' : null,
    sends ? null : 'decides only',
  ].filter((word) => word !== null);
  return held.length > 0 ? [...new Set(held)] : ['may send'];
}

const STATE_TITLES: Record<string, string> = {
  'may send': 'what it decides is sent if the risk checks let it pass',
  'decides only': 'it is not configured to send: it only shows what it would do',
};

function columns(snapshot: Snapshot, setAsk: (ask: Ask) => void): Column<Strategy>[] {
  return [
    {
      head: 'Strategy',
      cell: ({ id, kind }) => (
        <>
          <strong>
            <Foreign text={id} />
          </strong>{' '}
          <span className="unit">{words(kind)}</span>
        </>
      ),
    },
    {
      head: 'Market',
      cell: ({ market, chain_id }) => (
        <>
          <Foreign text={market} />{' '}
          <span className="unit">
            {chain_id === null ? (
              'on venues'
            ) : (
              <ChainName snapshot={snapshot} chain_id={chain_id} />
            )}
          </span>
        </>
      ),
    },
    {
      head: 'Allowed',
      cell: (strategy) => (
        <span className="chips">
          {statesOf(strategy, snapshot).map((word) => (
            <StateChip key={word} state={word} title={STATE_TITLES[word] ?? null} />
          ))}
        </span>
      ),
    },
    {
      head: 'Budget used',
      cell: ({ id, used, budget }) => (
        <Meter
          label={`budget of ${id}`}
          used={used}
          limit={budget}
          unit={snapshot.numeraire}
          level={budgetLevel(used, budget)}
        />
      ),
    },
    {
      head: 'Last decision',
      wraps: true,
      cell: ({ why, decided_ms }) => (
        <span className="decision">
          <Foreign text={why === '' ? 'why: unknown' : why} />{' '}
          <span className="unit">
            {decided_ms === null ? (
              'age unknown'
            ) : (
              <>
                <AgeSince instant_ms={decided_ms} /> ago
              </>
            )}
          </span>
        </span>
      ),
    },
    {
      head: 'Act',
      align: 'right',
      cell: (strategy) => {
        const verb = strategy.is_paused ? 'resume' : 'pause';
        return (
          <Button
            size="small"
            variant="outlined"
            color={strategy.is_paused ? 'success' : 'warning'}
            aria-haspopup="dialog"
            aria-label={`${BUTTONS[verb]} ${strategy.id}`}
            onClick={() => setAsk({ strategy, verb })}
          >
            {BUTTONS[verb]}
          </Button>
        );
      },
    },
  ];
}

const BUTTONS: Record<StrategyVerb, string> = { pause: 'Pause', resume: 'Start' };

/** To use all of its budget is what a strategy is for; only more than that is loud. */
function budgetLevel(used: string | null, budget: string) {
  const level = levelOf({ used, limit: budget });
  return level === 'loud' ? 'calm' : level;
}

function wordingOf({ strategy, verb }: Ask, snapshot: Snapshot): Wording {
  const name = <Foreign text={strategy.id} />;
  if (verb === 'pause')
    return {
      title: <>Pause strategy {name}?</>,
      does: [
        'It decides nothing more from now on: no entry, no move and no exit of its own.',
        'What it has already sent runs to its end.',
        'What it holds stays where it is and keeps moving with the price.',
        'Other strategies and the hedge go on.',
        'It stays paused until somebody starts it again.',
      ],
      confirm: 'Pause now',
      colour: 'warning',
    };
  const is_halted = snapshot.state.kind === 'halted';
  return {
    title: <>Start strategy {name}?</>,
    does: [
      'It may act again on the first fresh prices, within its budget and the limits.',
      ...(strategy.sends ? [] : ['It is not configured to send, so it will only decide.']),
      ...(is_halted ? ['The engine is halted: nothing is sent until that is resumed too.'] : []),
      'Make sure that the cause of the pause is understood and gone.',
    ],
    confirm: 'Start now',
    colour: 'success',
  };
}
