import type { ReactElement, ReactNode } from 'react';

import type { Reason } from '../stale';
import { StaleMark } from './Figure';

/** A page is no archive: more rows than this are counted, not drawn. */
const ROWS_MAX = 100;

export interface Column<Row> {
  head: string;
  unit?: string;
  align?: 'left' | 'right';
  /** Its words go on in a second line where room is short, instead of being cut. */
  wraps?: boolean;
  cell: (row: Row) => ReactNode;
}

interface DenseTableProps<Row> {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  stale?: (row: Row) => Reason;
  loud?: (row: Row) => boolean;
  empty: string;
  /** On a narrow screen each row becomes a card: for tables with something to act on. */
  narrow?: 'scroll' | 'cards';
}

export function DenseTable<Row>(props: DenseTableProps<Row>): ReactElement {
  const { label, columns, rows, rowKey, stale, loud, empty, narrow = 'scroll' } = props;
  if (rows.length === 0) return <p className="empty">{empty}</p>;
  const shown = rows.slice(0, ROWS_MAX);
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={`${label}, scrollable`}>
      <table className={`dense ${narrow}`} aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.head} className={column.align ?? 'left'} scope="col">
                {column.head}
                {column.unit ? <span className="unit"> {column.unit}</span> : null}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row, index) => {
            const why = stale ? stale(row) : null;
            return (
              <tr
                key={`${rowKey(row)} ${index}`}
                data-stale={why !== null}
                className={loud?.(row) ? 'loud' : undefined}
              >
                {columns.map((column, column_index) => (
                  <td
                    key={column.head}
                    className={`${column.align ?? 'left'}${column.wraps ? ' wraps' : ''}`}
                    data-head={column.unit ? `${column.head}, ${column.unit}` : column.head}
                  >
                    {column.cell(row)}
                    {column_index === 0 ? <StaleMark why={why} /> : null}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      {rows.length > shown.length ? (
        <p className="empty">and {rows.length - shown.length} more, not shown</p>
      ) : null}
    </div>
  );
}
