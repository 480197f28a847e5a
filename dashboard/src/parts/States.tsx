import Chip from '@mui/material/Chip';
import type { ReactElement } from 'react';

import { words } from '../format';

type Colour = 'default' | 'success' | 'warning' | 'error' | 'info' | 'primary';

const COLOURS: Record<string, Colour> = {
  live: 'success',
  running: 'success',
  open: 'success',
  done: 'success',
  filled: 'success',
  confirmed: 'success',
  mined: 'success',
  final: 'success',
  'inside band': 'success',
  'may send': 'success',
  landed: 'success',
  finalized: 'success',
  syncing: 'warning',
  stale: 'warning',
  recovering: 'warning',
  paused: 'warning',
  reduce_only: 'warning',
  lost: 'warning',
  opening: 'warning',
  closing: 'warning',
  hedging: 'info',
  sent: 'info',
  found: 'info',
  pending: 'info',
  new: 'info',
  partially_filled: 'info',
  down: 'error',
  stalled: 'error',
  quarantined: 'error',
  halted: 'error',
  blocked: 'error',
  rejected: 'error',
  failed: 'error',
  reverted: 'error',
};

/** The colour of a state word; a word this page does not know stays neutral. */
export function colourOf(state: string): Colour {
  return Object.hasOwn(COLOURS, state) ? (COLOURS[state] ?? 'default') : 'default';
}

/** A state as a dot and a word: quiet when all is well. */
export function Dot({ state, title }: { state: string; title?: string | null }): ReactElement {
  return (
    <span className={`dot ${colourOf(state)}`} title={title ?? undefined}>
      {words(state)}
    </span>
  );
}

/** A state as a chip: for what an operator must see. */
export function StateChip({
  state,
  title,
}: {
  state: string;
  title?: string | null;
}): ReactElement {
  const colour = colourOf(state);
  const variant = colour === 'error' ? 'filled' : 'outlined';
  return <Chip label={words(state)} color={colour} variant={variant} title={title ?? undefined} />;
}
