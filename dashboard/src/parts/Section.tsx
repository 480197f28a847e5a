import Paper from '@mui/material/Paper';
import { useId, type ReactElement, type ReactNode } from 'react';

import { useSilent } from '../session';
import type { Reason } from '../stale';
import { StaleMark } from './Figure';

interface SectionProps {
  title: string;
  /** Where the figures come from and how old they are. */
  caption: ReactNode;
  stale: Reason;
  children: ReactNode;
}

export const SILENT = 'agent silent for over 3 s';

/** A card with a name, its sources, and one honest marker for all of its figures. */
export function Section({ title, caption, stale, children }: SectionProps): ReactElement {
  const id = useId();
  const why = useSilent() ? SILENT : stale;
  return (
    <Paper
      component="section"
      variant="outlined"
      aria-labelledby={id}
      data-stale={why !== null}
      className="section"
    >
      <header className="section-head">
        <h2 id={id}>{title}</h2>
        <StaleMark why={why} />
        <span className="caption">{why ?? caption}</span>
      </header>
      {children}
    </Paper>
  );
}
