import type { ReactElement } from 'react';

import type { Book, Snapshot } from '../api';
import { count, difference, exact, price, quantity, spreadBp } from '../format';
import { Age } from '../session';
import { allStale, type Reason } from '../stale';
import { DenseTable, type Column } from './DenseTable';
import { Foreign, Num } from './Figure';
import { Section } from './Section';
import { Dot } from './States';

export function Books({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const rule = (book: Book): Reason => (book.feed === 'live' ? null : `book is ${book.feed}`);
  return (
    <Section
      title="Order books"
      caption="kept from the venues' depth streams"
      stale={allStale(snapshot.books, rule)}
    >
      <DenseTable
        label="Order books"
        columns={columns(snapshot.numeraire)}
        rows={snapshot.books}
        rowKey={(book) => `${book.venue} ${book.market}`}
        stale={rule}
        empty="No books"
      />
    </Section>
  );
}

function columns(numeraire: string): Column<Book>[] {
  return [
    {
      head: 'Market',
      cell: (book) => (
        <>
          <Foreign text={book.market} /> <span className="unit">{book.venue}</span>
        </>
      ),
    },
    { head: 'Feed', cell: (book) => <Dot state={book.feed} /> },
    {
      head: 'Bid size',
      unit: 'base',
      align: 'right',
      cell: (book) => <Num text={quantity(book.bid_quantity)} />,
    },
    {
      head: 'Bid',
      unit: numeraire,
      align: 'right',
      cell: (book) => <Num text={price(book.bid)} title={exact(book.bid)} />,
    },
    {
      head: 'Ask',
      unit: numeraire,
      align: 'right',
      cell: (book) => <Num text={price(book.ask)} title={exact(book.ask)} />,
    },
    {
      head: 'Ask size',
      unit: 'base',
      align: 'right',
      cell: (book) => <Num text={quantity(book.ask_quantity)} />,
    },
    {
      head: 'Spread',
      unit: numeraire,
      align: 'right',
      cell: (book) => {
        const spread = difference(book.ask, book.bid);
        return (
          <>
            <Num text={price(spread)} />{' '}
            {spread === null ? null : <span className="unit">{spreadBp(book.bid, book.ask)}</span>}
          </>
        );
      },
    },
    {
      head: 'Updates',
      align: 'right',
      cell: (book) => (
        <Num text={count(book.updates)} title={`last update id ${count(book.update_id)}`} />
      ),
    },
    { head: 'Resyncs', align: 'right', cell: (book) => <Num text={count(book.resyncs)} /> },
    { head: 'Age', align: 'right', cell: (book) => <Age ms={book.age_ms} /> },
  ];
}
