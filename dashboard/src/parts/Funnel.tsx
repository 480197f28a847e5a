import type { ReactElement } from 'react';

import type { Arbitrage, Snapshot } from '../api';
import { count, difference, exact, ratio, signedMoney, signOf, toFloat } from '../format';
import { anyStale } from '../stale';
import { SignedBar } from './Bars';
import { Num, toneOf } from './Figure';
import { Section } from './Section';

const STEPS: readonly {
  name: 'found' | 'sent' | 'landed' | 'lost' | 'reverted';
  of: 'found' | 'sent' | null;
  says: string;
}[] = [
  { name: 'found', of: null, says: 'worth more than all of its costs' },
  { name: 'sent', of: 'found', says: 'signed and sent' },
  { name: 'landed', of: 'sent', says: 'mined, and it paid' },
  { name: 'reverted', of: 'sent', says: 'mined and refused: only gas was paid' },
  { name: 'lost', of: 'found', says: 'gone before anything was signed: nothing was paid' },
];

/** How many chances come through each door. */
export function Funnel(props: { snapshot: Snapshot; arbitrage: Arbitrage }): ReactElement {
  const { snapshot, arbitrage } = props;
  const most = Math.max(1, ...STEPS.map(({ name }) => toFloat(String(arbitrage[name])) ?? 0));
  return (
    <Section
      title="From found to landed"
      caption="counted over the life of the store"
      stale={anyStale(snapshot)}
    >
      <ol className="funnel" aria-label="Funnel">
        {STEPS.map(({ name, of, says }) => {
          const whole = of === null ? null : arbitrage[of];
          return (
            <li key={name} className={of === 'sent' ? 'end' : undefined} title={says}>
              <span>{name}</span>
              <svg width="100%" height="14" aria-hidden="true">
                <rect
                  className={`step ${name}`}
                  width={`${((toFloat(String(arbitrage[name])) ?? 0) / most) * 100}%`}
                  height="14"
                  rx="2"
                />
              </svg>
              <Num text={count(arbitrage[name])} title={says} />
              <span className="caption">
                {of === null ? says : `${ratio(arbitrage[name], whole)} of ${of} \u00b7 ${says}`}
                {name === 'landed' &&
                  ` \u00b7 ${count(arbitrage.venue_landed)} between a pool and an exchange`}
              </span>
            </li>
          );
        })}
      </ol>
    </Section>
  );
}

/** What was promised, and what came of it. */
export function Kept(props: { snapshot: Snapshot; arbitrage: Arbitrage }): ReactElement {
  const { snapshot, arbitrage } = props;
  const { expected_net, realised_net } = arbitrage;
  const rows: [string, string | null, string][] = [
    ['Expected net', expected_net, 'sum of all that was sent, after costs and the chance to fail'],
    ['Realised net', realised_net, 'sum of all that was mined, after gas'],
    [
      'Difference',
      difference(realised_net, expected_net),
      'realised less expected; what is still in flight is only expected',
    ],
  ];
  const largest = Math.max(0, ...rows.map(([, value]) => Math.abs(toFloat(value) ?? 0)));
  return (
    <Section
      title="Did it keep its promise?"
      caption="summed over the life of the store, at the prices of then"
      stale={anyStale(snapshot)}
    >
      <ul className="pnl" aria-label="Expected against realised">
        {rows.map(([name, value, source]) => (
          <li key={name}>
            <span>{name}</span>
            <SignedBar value={toFloat(value)} largest={largest} />
            <Num
              text={signedMoney(value)}
              unit={snapshot.numeraire}
              tone={toneOf(signOf(value))}
              title={`${exact(value)} ${snapshot.numeraire}; ${source}`}
            />
            <span className="caption">{source}</span>
          </li>
        ))}
      </ul>
    </Section>
  );
}
