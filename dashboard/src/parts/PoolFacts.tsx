import type { ReactElement } from 'react';

import type { DepthRow, Pool, PoolDetail } from '../api';
import { amount, count, exact, feeTier, price, scientific } from '../format';
import { Age } from '../session';
import type { Reason } from '../stale';
import { DenseTable, type Column } from './DenseTable';
import { Figure, Foreign, Num } from './Figure';
import { Section } from './Section';
import { Dot } from './States';

interface FactsProps {
  detail: PoolDetail;
  /** The newest row that is known of it. */
  row: Pool;
  stale: Reason;
}

/** May it be believed? */
export function Standing({ detail, row, stale }: FactsProps): ReactElement {
  return (
    <Section
      title="State"
      caption="kept from logs by block hash; an audit compares it with the chain at one block"
      stale={stale}
    >
      <div className="figures facts">
        <Figure label="State">
          <Dot state={row.state} />
        </Figure>
        <Figure label="Since block">
          <Num text={count(row.since_block)} title="the first block since which it is so" />
        </Figure>
        <Figure label="Last audit">
          <Num text={count(row.audited_block)} title="block at which it was compared" />
        </Figure>
        <Figure label="Audit age">
          <Num text={count(detail.audit_age_blocks)} unit="blocks" title="from there to the head" />
        </Figure>
        <Figure label="Audits">
          <Num text={count(row.audits)} title="comparisons in this run" />
        </Figure>
        <Figure label="Reloads">
          <Num text={count(row.reloads)} title="times it was read anew after trouble" />
        </Figure>
        <Figure label="Events">
          <Num text={count(row.events)} title="logs followed in this run" />
        </Figure>
        <Figure label="As of block">
          <Num text={count(row.block)} title="newest block handled" /> <Age ms={row.age_ms} />
        </Figure>
      </div>
      {row.reason === null ? null : (
        <p className="reason" role="note">
          <Foreign text={row.reason} />
        </p>
      )}
    </Section>
  );
}

/** What it costs and how it prices. */
export function Prices({ detail, row, stale }: FactsProps): ReactElement {
  const { base, quote, unit } = detail;
  const part = (symbol: string, pips: string | null): ReactElement => (
    <Figure label={`Protocol, ${symbol} in`}>
      <Num
        text={exact(pips)}
        unit="pips"
        title="of what a swap pays, its part of the swap fee; millionths"
      />
    </Figure>
  );
  const is_pair = detail.sqrt_price_x96 === null && detail.ticks === 0;
  const own = (text: string): string => (is_pair ? '\u2014' : text);
  return (
    <Section title="Price and fee" caption="computed from the pool’s own state" stale={stale}>
      <div className="figures facts">
        <Figure label="Price">
          <Num text={price(detail.price)} unit={unit} title={`${exact(detail.price)} ${unit}`} />
        </Figure>
        <Figure label="Swap fee">
          <Num text={feeTier(row.fee_pips)} title={`${count(row.fee_pips)} pips of what is paid`} />
        </Figure>
        {part(base.symbol, detail.protocol_pips_base)}
        {part(quote.symbol, detail.protocol_pips_quote)}
        <Figure label="Tick">
          <Num text={own(count(row.tick))} title="of the price" />
        </Figure>
        <Figure label="Tick spacing">
          <Num text={own(count(detail.tick_spacing))} title="grid of the ranges" />
        </Figure>
        <Figure label="Initialized ticks">
          <Num
            text={own(count(detail.ticks))}
            title={`${count(detail.ticks_outside)} of them further away than is drawn here`}
          />
        </Figure>
        <Figure label="In range">
          <Num text={scientific(inRange(detail, row))} unit="L" title="root of token0 × token1" />
        </Figure>
      </div>
      <p className="caption tokens">
        <span>sqrtPriceX96 {own(exact(detail.sqrt_price_x96))}</span>
        {[base, quote].map(({ symbol, address, decimals }) => (
          <span key={address}>
            <Foreign text={symbol} /> <Foreign text={address} />, {count(decimals)} decimals
          </span>
        ))}
      </p>
    </Section>
  );
}

/** A pair's liquidity is the same everywhere; its row does not tell it. */
function inRange(detail: PoolDetail, row: Pool): string | null {
  return row.liquidity ?? detail.liquidity[0]?.liquidity ?? null;
}

/** How much stands near the price. */
export function Depth({ detail, row, stale }: FactsProps): ReactElement {
  const is_virtual = row.dex.includes('v2');
  return (
    <Section
      title="Near the price"
      caption={
        is_virtual
          ? 'what the curve gives up to there: virtual, before fees'
          : 'exact sums of the ranges, before fees'
      }
      stale={stale}
    >
      <DenseTable
        label="Near the price"
        columns={depthColumns(detail)}
        rows={detail.depth}
        rowKey={(one) => String(one.percent)}
        empty="Nothing is told"
      />
    </Section>
  );
}

function depthColumns({ base, quote }: PoolDetail): Column<DepthRow>[] {
  const held = (text: string | null, symbol: string): ReactElement => (
    <Num text={amount(text)} title={`${exact(text)} ${symbol}`} />
  );
  return [
    { head: 'Within', cell: ({ percent }) => <Num text={`\u00b1 ${percent} %`} /> },
    {
      head: 'Below the price',
      unit: quote.symbol,
      align: 'right',
      cell: (row) => held(row.quote, quote.symbol),
    },
    {
      head: 'Above the price',
      unit: base.symbol,
      align: 'right',
      cell: (row) => held(row.base, base.symbol),
    },
  ];
}
