import type { ReactElement } from 'react';

import type { Opportunity } from '../api';
import { difference, money, toFloat, UNKNOWN } from '../format';

export const COSTS: readonly ('fees' | 'gas' | 'slippage')[] = ['fees', 'gas', 'slippage'];

/**
 * Where the money of one chance goes: the pools took their fees before the gross was left, gas and
 * slippage come out of it. Costs above what there is reach beyond its mark.
 */
export function Split({ row, unit }: { row: Opportunity; unit: string }): ReactElement {
  const gross = toFloat(row.gross);
  const costs = COSTS.map((name) => ({ name, value: toFloat(row[name]) }));
  if (gross === null || costs.some(({ value }) => value === null))
    return <span className="unknown">{UNKNOWN}</span>;
  const fees = Math.max(0, toFloat(row.fees) ?? 0);
  const there = gross + fees;
  const paid = costs.reduce((sum, { value }) => sum + Math.max(0, value ?? 0), 0);
  const whole = Math.max(there, paid);
  if (!(whole > 0)) return <span className="unit">nothing to split</span>;
  const rest = difference(difference(row.gross, row.gas), row.slippage);
  const parts = [...costs, { name: 'left', value: there - paid }];
  let from = 0;
  const said = COSTS.map((name) => `${name} ${money(row[name])}`).join(', ');
  const mark = `${Math.max(0, (there / whole) * 100)}%`;
  return (
    <svg
      className="split"
      width="100%"
      height="12"
      role="img"
      aria-label={`gross ${money(row.gross)} ${unit} after fees: ${said}, left ${money(rest)}`}
    >
      {parts.map(({ name, value }) => {
        const width = (Math.max(0, value ?? 0) / whole) * 100;
        const x = from;
        from += width;
        return <rect key={name} className={name} x={`${x}%`} width={`${width}%`} height="12" />;
      })}
      {paid > there ? <line x1={mark} x2={mark} y1="0" y2="12" /> : null}
    </svg>
  );
}
