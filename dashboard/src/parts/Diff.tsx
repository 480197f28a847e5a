import type { ReactElement } from 'react';

import type { ParameterDiff } from '../api';
import { DenseTable, type Column } from './DenseTable';
import { Foreign } from './Figure';

interface DiffTableProps {
  label: string;
  diff: ParameterDiff[];
  empty: string;
}

/** Which parameters differ: before and after. */
export function DiffTable({ label, diff, empty }: DiffTableProps): ReactElement {
  return (
    <DenseTable
      label={label}
      columns={COLUMNS}
      rows={diff}
      rowKey={(row) => row.key}
      empty={empty}
    />
  );
}

const COLUMNS: Column<ParameterDiff>[] = [
  { head: 'Key', wraps: true, cell: ({ key }) => <Foreign text={key} /> },
  { head: 'Before', align: 'right', cell: ({ before }) => <Foreign text={before} /> },
  {
    head: 'After',
    align: 'right',
    cell: ({ after }) => (
      <strong>
        <Foreign text={after} />
      </strong>
    ),
  },
];
