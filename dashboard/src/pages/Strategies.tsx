import Button from '@mui/material/Button';
import { useState, type ReactElement } from 'react';

import { directStrategy, type Snapshot, type Strategy, type StrategyVerb } from '../api';
import { short, words } from '../format';
import { levelOf } from '../loud';
import { Meter } from '../parts/Bars';
import { ChainName } from '../parts/Chain';
import { DenseTable, type Column } from '../parts/DenseTable';
import { ReasonDialog, type Wording } from '../parts/Directive';
import { Foreign } from '../parts/Figure';
import { Parameters } from '../parts/Parameters';
import { Section } from '../parts/Section';
import { StateChip } from '../parts/States';
import { Versions } from '../parts/Versions';
import { AgeSince } from '../session';
import { allStale, strategyStale } from '../stale';

/** What somebody wants of one strategy: a dialog is open for it. */
interface Ask {
  strategy: Strategy;
  verb: StrategyVerb | 'edit' | 'history';
}

/** What does each strategy want, and is it allowed to? */
export function Strategies({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const [ask, setAsk] = useState<Ask | null>(null);
  const { strategies } = snapshot;
  const rule = (strategy: Strategy) => strategyStale(snapshot, strategy);
  return (
    <main className="page">
      <Section
        title="Strategies"
        caption="configured, and as last decided by the engine; budget at current prices"
        stale={allStale(strategies, rule)}
      >
        <DenseTable
          label="Strategies"
          columns={columns(snapshot, setAsk)}
          rows={strategies}
          rowKey={(strategy) => strategy.id}
          stale={rule}
          empty="No strategies are configured"
          narrow="cards"
        />
      </Section>
      {ask === null ? null : <Asked ask={ask} snapshot={snapshot} close={() => setAsk(null)} />}
    </main>
  );
}

interface AskedProps {
  ask: Ask;
  snapshot: Snapshot;
  close: () => void;
}

function Asked({ ask: { strategy, verb }, snapshot, close }: AskedProps): ReactElement {
  if (verb === 'edit') return <Parameters id={strategy.id} close={close} />;
  if (verb === 'history') return <Versions id={strategy.id} close={close} />;
  return (
    <ReasonDialog
      wording={wordingOf(strategy, verb, snapshot)}
      send={(reason) => directStrategy(strategy.id, verb, reason)}
      close={close}
    />
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
      cell: ({ id, kind, version }) => (
        <>
          <strong>
            <Foreign text={id} />
          </strong>{' '}
          <span className="unit" title="version of its parameters">
            v{version}
          </span>
          <span className="unit second">{words(kind)}</span>
        </>
      ),
    },
    {
      head: 'Market',
      wraps: true,
      cell: ({ market, chain_id }) => (
        <>
          <Foreign text={market} />
          <span className="unit second">
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
          <Foreign text={why === '' ? 'why: unknown' : short(why)} title={why} />{' '}
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
        const verbs: Ask['verb'][] = ['history', 'edit', strategy.is_paused ? 'resume' : 'pause'];
        return (
          <span className="acts">
            {verbs.map((verb) => (
              <Button
                // One button that pauses and starts: the focus stays where it was.
                key={verb === 'resume' ? 'pause' : verb}
                size="small"
                variant="outlined"
                color={BUTTONS[verb].colour}
                aria-haspopup="dialog"
                aria-label={`${BUTTONS[verb].text} ${strategy.id}`}
                onClick={() => setAsk({ strategy, verb })}
              >
                {BUTTONS[verb].text}
              </Button>
            ))}
          </span>
        );
      },
    },
  ];
}

const BUTTONS: Record<Ask['verb'], { text: string; colour: 'inherit' | 'warning' | 'success' }> = {
  history: { text: 'History', colour: 'inherit' },
  edit: { text: 'Edit parameters', colour: 'inherit' },
  pause: { text: 'Pause', colour: 'warning' },
  resume: { text: 'Start', colour: 'success' },
};

/** To use all of its budget is what a strategy is for; only more than that is loud. */
function budgetLevel(used: string | null, budget: string) {
  const level = levelOf({ used, limit: budget });
  return level === 'loud' ? 'calm' : level;
}

function wordingOf(strategy: Strategy, verb: StrategyVerb, snapshot: Snapshot): Wording {
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
