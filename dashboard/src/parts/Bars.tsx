import type { ReactElement } from 'react';

import { amount, exact, shareOf, sharePercent } from '../format';
import type { Level } from '../loud';
import { Num } from './Figure';

/** Left of the middle is a loss, right of it a gain; the longest bar is the largest part. */
export function SignedBar({
  value,
  largest,
}: {
  value: number | null;
  largest: number;
}): ReactElement {
  const width = value === null || largest === 0 ? 0 : (Math.abs(value) / largest) * 50;
  const is_loss = value !== null && value < 0;
  return (
    <svg className="bar" width="100%" height="12" aria-hidden="true">
      <line x1="50%" x2="50%" y1="0" y2="12" className="axis" />
      <rect
        x={`${is_loss ? 50 - width : 50}%`}
        width={`${width}%`}
        y="2"
        height="8"
        rx="1.5"
        className={is_loss ? 'loss' : 'gain'}
      />
    </svg>
  );
}

interface MeterProps {
  /** What is measured. */
  label: string;
  used: string | null;
  limit: string;
  unit: string;
  level: Level;
}

/** How much of a limit is used; an unknown use is a dashed frame and never an empty bar. */
export function Meter({ label, used, limit, unit, level }: MeterProps): ReactElement {
  const share = shareOf(used, limit);
  const said = sharePercent(share);
  const figures = `${exact(used)} of ${exact(limit)} ${unit}`;
  return (
    <span className={`meter ${level}`}>
      <svg width="100%" height="10" role="img" aria-label={`${label}: ${said} used, ${figures}`}>
        <rect className="frame" y="1" width="100%" height="8" rx="2" />
        {share === null ? null : (
          <rect className="fill" y="1" width={`${Math.min(share, 1) * 100}%`} height="8" rx="2" />
        )}
      </svg>
      <Num text={said} title={figures} />
      <span className="meter-text" title={figures}>
        {used === null ? 'limit' : `${amount(used)} of`} {amount(limit)}{' '}
        <span className="unit">{unit}</span>
      </span>
    </span>
  );
}
