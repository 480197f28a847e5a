// What Analytics draws over time: which figures of a snapshot, named and with their units.
// Pure: one snapshot in, one value per trace out; a figure that may not be believed is a gap.

import type { Book, Pool, Snapshot } from './api';
import { chainName } from './chains';
import { feeTier, short, toFloat, words } from './format';
import { partName } from './parts/Pnl';
import { anyStale, poolStale, type Reason } from './stale';

export interface Trace {
  /** Traces of one chart share one axis, so they share one unit. */
  chart: string;
  unit: string;
  source: string;
  /** Never the same for two traces of a chart. */
  key: string;
  name: string;
  value: number | null;
  stale: Reason;
}

const PLACES: readonly ('positions' | 'wallet' | 'hedge' | 'net')[] = [
  'positions',
  'wallet',
  'hedge',
  'net',
];
const WRAPPED = /^W(?=(?:ETH|BTC|BNB|POL|AVAX|SOL)$)/;

/** What a pool's pair and a venue's symbol have in common: WETH/USDT and ETHUSDT-PERP. */
export function instrument(text: string): string {
  const plain = text.toUpperCase().replace(/[-_](?:PERP|SWAP)$/, '');
  const parts = plain.split(/[/_-]/).map((part) => part.replace(WRAPPED, ''));
  return parts.join('');
}

export function tracesOf(snapshot: Snapshot): Trace[] {
  return [
    ...prices(snapshot),
    ...gaps(snapshot),
    ...spreads(snapshot),
    ...inventory(snapshot),
    ...profit(snapshot),
  ];
}

/** The traces of each chart, in the order of the page. */
export function chartsOf(snapshot: Snapshot): [string, Trace[]][] {
  const charts = new Map<string, Trace[]>();
  for (const trace of tracesOf(snapshot))
    charts.set(trace.chart, [...(charts.get(trace.chart) ?? []), trace]);
  return [...charts];
}

function poolKey(pool: Pool): string {
  return `${pool.chain_id} ${pool.pool}`;
}

/** How to name pools, no two alike: the address is only said where all the rest is the same. */
function namePools(snapshot: Snapshot): (pool: Pool) => string {
  const plain = ({ pair, fee_pips, dex, chain_id }: Pool): string =>
    `${pair} ${feeTier(fee_pips)} ${words(dex)} on ${chainName(snapshot, chain_id)}`;
  const said = snapshot.pools.map(plain);
  return (pool) => {
    const name = plain(pool);
    const is_alone = said.indexOf(name) === said.lastIndexOf(name);
    return is_alone ? name : `${name} ${short(pool.pool)}`;
  };
}

function bookKey(book: Book): string {
  return `${book.venue} ${book.market}`;
}

function bookStale(book: Book): Reason {
  return book.feed === 'live' ? null : `book is ${book.feed}`;
}

function mid(book: Book): number | null {
  const bid = toFloat(book.bid);
  const ask = toFloat(book.ask);
  return bid === null || ask === null ? null : (bid + ask) / 2;
}

function prices(snapshot: Snapshot): Trace[] {
  const source = 'pool state kept from chain logs; middle of the venue\u2019s book';
  const nameOf = namePools(snapshot);
  const of_pools = snapshot.pools.map((pool) => ({
    chart: `Price ${instrument(pool.pair)}`,
    unit: pool.pair.split('/')[1] ?? 'quote',
    source,
    key: poolKey(pool),
    name: nameOf(pool),
    value: toFloat(pool.price),
    stale: poolStale(snapshot, pool),
  }));
  const of_books = snapshot.books.map((book) => ({
    chart: `Price ${instrument(book.market)}`,
    unit: snapshot.numeraire,
    source,
    key: bookKey(book),
    name: `${book.market} mid on ${book.venue}`,
    value: mid(book),
    stale: bookStale(book),
  }));
  return [...of_pools, ...of_books];
}

/**
 * How far each pool is from each book of the same instrument: what arbitrage lives on. A chart for
 * each chain, or the first chain's lines would leave no room for those of the next.
 */
function gaps(snapshot: Snapshot): Trace[] {
  const nameOf = namePools(snapshot);
  return snapshot.pools.flatMap((pool) =>
    snapshot.books
      .filter((book) => instrument(book.market) === instrument(pool.pair))
      .map((book) => {
        const chain = chainName(snapshot, pool.chain_id);
        const here = toFloat(pool.price);
        const there = mid(book);
        const is_known = here !== null && there !== null && there > 0;
        return {
          chart: `Pool against book ${instrument(pool.pair)} on ${chain}`,
          unit: 'bp',
          source: 'pool price over book mid, less 1; above 0 the pool is dearer',
          key: `${poolKey(pool)} ${bookKey(book)}`,
          name: `${nameOf(pool)} against ${book.market} on ${book.venue}`,
          value: is_known ? (here / there - 1) * 10_000 : null,
          stale: poolStale(snapshot, pool) ?? bookStale(book),
        };
      }),
  );
}

function spreads(snapshot: Snapshot): Trace[] {
  return snapshot.books.map((book) => {
    const middle = mid(book);
    const bid = toFloat(book.bid);
    const ask = toFloat(book.ask);
    const is_known = bid !== null && ask !== null && middle !== null && middle > 0;
    return {
      chart: 'Book spread',
      unit: 'bp',
      source: 'best ask less best bid, over their middle',
      key: bookKey(book),
      name: `${book.market} on ${book.venue}`,
      value: is_known ? ((ask - bid) / middle) * 10_000 : null,
      stale: bookStale(book),
    };
  });
}

function inventory(snapshot: Snapshot): Trace[] {
  const stale = anyStale(snapshot);
  const held = snapshot.exposure.flatMap((row) =>
    PLACES.map((place) => ({
      chart: `Inventory ${row.asset}`,
      unit: row.asset,
      source: 'pools + wallet + perpetual, netted',
      key: `${row.asset} ${place}`,
      name: words(place),
      value: toFloat(row[place]),
      stale,
    })),
  );
  const delta = snapshot.exposure.map((row) => ({
    chart: 'Net delta',
    unit: snapshot.numeraire,
    source: 'net exposure at current prices',
    key: row.asset,
    name: row.asset,
    value: toFloat(row.net_value),
    stale,
  }));
  return [...held, ...delta];
}

function profit(snapshot: Snapshot): Trace[] {
  const { pnl, numeraire } = snapshot;
  const stale = anyStale(snapshot);
  return [{ name: 'total', value: pnl.total }, ...pnl.parts].map((part) => ({
    chart: 'Profit and loss',
    unit: numeraire,
    source: 'ledger at current prices',
    key: part.name,
    name: part.name === 'total' ? 'Total' : partName(part.name),
    value: toFloat(part.value),
    stale,
  }));
}
