import type { ReactElement } from 'react';

import type { Snapshot } from '../api';
import { words } from '../format';
import { Foreign } from './Figure';
import { Section } from './Section';

const LABELS_MAX = 30;

/** What is recorded, simulated or assumed: a figure is only as real as its source. */
export function Labels({ snapshot }: { snapshot: Snapshot }): ReactElement {
  const { labels } = snapshot;
  return (
    <Section title="What is real here" caption="as labelled by the agent" stale={null}>
      {labels.length === 0 ? <p className="empty">Nothing is labelled</p> : null}
      <ul className="labels" aria-label="Labels">
        {labels.slice(0, LABELS_MAX).map((label, index) => (
          <li key={`${label.what} ${index}`}>
            <span className={`label-kind ${label.kind}`}>{words(label.kind)}</span>
            <span>
              <strong>
                <Foreign text={label.what} />
              </strong>{' '}
              <Foreign text={label.text} />
            </span>
          </li>
        ))}
      </ul>
      {labels.length > LABELS_MAX ? (
        <p className="empty">and {labels.length - LABELS_MAX} more, not shown</p>
      ) : null}
    </Section>
  );
}
