import type { ReactElement } from 'react';

import type { PoolDetail, PoolEvent } from '../api';
import { count, decimal, exact, named, price } from '../format';
import { AgeSince } from '../session';
import type { Reason } from '../stale';
import { DenseTable, type Column } from './DenseTable';
import { Num } from './Figure';
import { Section } from './Section';

const NAMES: Record<string, string> = {
  initialized: 'first price',
  added: 'liquidity added',
  removed: 'liquidity removed',
  flash: 'flash loan',
  synced: 'reserves set',
  protocol_fee: 'protocol fee set',
  protocol_collected: 'protocol fees taken',
};
/** Logs that move no tokens: a dash is no unknown number. */
const STILL: readonly PoolEvent['kind'][] = ['initialized', 'synced', 'protocol_fee'];

/** What happened in it lately. */
export function PoolEvents({ detail, stale }: { detail: PoolDetail; stale: Reason }): ReactElement {
  return (
    <Section
      title="Newest events"
      caption="its logs, newest first, at most 50; + the pool got, − it gave or owes from then on"
      stale={stale}
    >
      <DenseTable
        label="Newest events"
        columns={columns(detail)}
        rows={detail.events}
        rowKey={(event) => `${event.block} ${event.kind}`}
        empty="No event since this agent read the pool"
      />
    </Section>
  );
}

function columns({ base, quote, unit }: PoolDetail): Column<PoolEvent>[] {
  const moved = (event: PoolEvent, text: string | null, symbol: string): ReactElement => {
    const is_still = text === null && STILL.includes(event.kind);
    const shown = decimal(text, { decimals: 6, trim: true, plus: true });
    return <Num text={is_still ? '\u2014' : shown} title={`${exact(text)} ${symbol}`} />;
  };
  return [
    { head: 'Block', align: 'right', cell: (event) => <Num text={count(event.block)} /> },
    { head: 'Age', align: 'right', cell: (event) => <AgeSince instant_ms={event.at_ms} /> },
    { head: 'What', cell: (event) => named(NAMES, event.kind) },
    {
      head: 'Base',
      unit: base.symbol,
      align: 'right',
      cell: (event) => moved(event, event.base, base.symbol),
    },
    {
      head: 'Quote',
      unit: quote.symbol,
      align: 'right',
      cell: (event) => moved(event, event.quote, quote.symbol),
    },
    {
      head: 'Price after',
      unit,
      align: 'right',
      cell: (event) => <Num text={price(event.price)} title={`${exact(event.price)} ${unit}`} />,
    },
  ];
}
