import type { ReactElement } from 'react';

import type { Order, Snapshot } from '../api';
import { exact, price, quantity, short, words } from '../format';
import { AgeSince } from '../session';
import { allStale, atVenueStale } from '../stale';
import { DenseTable, type Column } from './DenseTable';
import { Foreign, Num } from './Figure';
import { Section } from './Section';
import { Dot } from './States';

export function Orders({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const rule = (order: Order) => atVenueStale(snapshot, order);
  return (
    <Section
      title="Orders"
      caption="newest first, at most 50; from the exchange's user stream"
      stale={allStale(snapshot.orders, rule)}
    >
      <DenseTable
        label="Orders"
        columns={columns(snapshot.numeraire)}
        rows={snapshot.orders}
        rowKey={(order) => order.client_order_id}
        stale={rule}
        empty="No orders sent yet"
      />
    </Section>
  );
}

function columns(numeraire: string): Column<Order>[] {
  return [
    { head: 'Age', cell: (order) => <AgeSince instant_ms={order.created_ms} /> },
    {
      head: 'Market',
      cell: (order) => (
        <>
          <Foreign text={order.market} /> <span className="unit">{order.venue}</span>
        </>
      ),
    },
    { head: 'Side', cell: (order) => <strong>{words(order.side)}</strong> },
    { head: 'Kind', cell: (order) => words(order.kind) },
    {
      head: 'Price',
      unit: numeraire,
      align: 'right',
      cell: (order) => <Num text={price(order.price)} title={exact(order.price)} />,
    },
    {
      head: 'Quantity',
      unit: 'base',
      align: 'right',
      cell: (order) => <Num text={quantity(order.quantity)} />,
    },
    {
      head: 'Filled',
      unit: 'base',
      align: 'right',
      cell: (order) => <Num text={quantity(order.filled)} />,
    },
    { head: 'State', cell: (order) => <Dot state={order.state} /> },
    { head: 'Reason', cell: (order) => <Foreign text={order.reason} /> },
    {
      head: 'Client order id',
      cell: (order) => (
        <Foreign text={short(order.client_order_id)} title={order.client_order_id} />
      ),
    },
  ];
}
