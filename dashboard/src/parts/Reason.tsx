import TextField from '@mui/material/TextField';
import type { ReactElement } from 'react';

import { REASON_LENGTH_MAX, REASON_LENGTH_MIN } from '../api';

interface ReasonFieldProps {
  reason: string;
  change: (reason: string) => void;
  autoFocus?: boolean;
}

function lettersOf(reason: string): number {
  return [...reason.trim()].length;
}

/** Whether the agent would take it. */
export function isReason(reason: string): boolean {
  const n_letters = lettersOf(reason);
  return n_letters >= REASON_LENGTH_MIN && n_letters <= REASON_LENGTH_MAX;
}

/** Why somebody does something: it stands in the journal for ever. */
export function ReasonField({ reason, change, autoFocus = false }: ReasonFieldProps): ReactElement {
  const n_letters = lettersOf(reason);
  return (
    <TextField
      autoFocus={autoFocus}
      fullWidth
      required
      label="Reason"
      value={reason}
      onChange={(event) => change(event.target.value)}
      helperText={`${REASON_LENGTH_MIN} to ${REASON_LENGTH_MAX} letters (${n_letters})`}
      error={n_letters > REASON_LENGTH_MAX}
    />
  );
}
