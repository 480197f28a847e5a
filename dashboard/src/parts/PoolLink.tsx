import type { MouseEvent, ReactElement, ReactNode } from 'react';

import type { PoolName } from '../api';
import { pathOf, POOLS_PATH } from '../place';
import { go } from '../view';

interface PoolLinkProps {
  name: PoolName;
  /** Two links of the same words are told apart by it. */
  label: string;
  children: ReactNode;
}

/** Leads to the page of one pool. */
export function PoolLink({ name, label, children }: PoolLinkProps): ReactElement {
  return (
    <a href={pathOf(name)} aria-label={label} className="link" onClick={follow}>
      {children}
    </a>
  );
}

export function AllPoolsLink(): ReactElement {
  return (
    <a href={POOLS_PATH} className="link" onClick={follow}>
      All pools
    </a>
  );
}

/** A plain press stays in this page, which goes on hearing the stream; others are the browser's. */
function follow(event: MouseEvent<HTMLAnchorElement>): void {
  const is_plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey);
  if (!is_plain || event.altKey) return;
  event.preventDefault();
  go(event.currentTarget.pathname);
}
