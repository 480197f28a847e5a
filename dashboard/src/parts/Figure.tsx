import type { ReactElement, ReactNode } from 'react';

import { UNKNOWN } from '../format';

export type Tone = 'plain' | 'good' | 'bad' | 'warn';

interface NumProps {
  /** Text from format.ts. */
  text: string;
  unit?: string;
  /** Where the figure comes from, and its exact value if the text is cut. */
  title?: string;
  tone?: Tone | undefined;
}

/** One number with its unit; "unknown" is said in words and never has a unit. */
export function Num({ text, unit, title, tone = 'plain' }: NumProps): ReactElement {
  const is_known = text !== UNKNOWN;
  return (
    <span className={is_known ? `num ${tone}` : 'unknown'} title={title}>
      {text}
      {is_known && unit ? <span className="unit"> {unit}</span> : null}
    </span>
  );
}

/** A number under its name. */
export function Figure({ label, children }: { label: string; children: ReactNode }): ReactElement {
  return (
    <div className="figure">
      <div className="figure-label">{label}</div>
      <div className="figure-value">{children}</div>
    </div>
  );
}

/** Text of a third party or an id: isolated, so that it cannot turn the text around it. */
export function Foreign({ text, title }: { text: string; title?: string | null }): ReactElement {
  return (
    <bdi className="foreign" title={title ?? text}>
      {text}
    </bdi>
  );
}

/** Foreign text which, where it may wrap, does so between its words only: an address stays whole. */
export function Pieces({ text, title }: { text: string; title: string | null }): ReactElement {
  return (
    <bdi className="foreign" title={title ?? text}>
      {text.split(/(?<=[:/ ])/).map((piece, index) => (
        <span key={index} className="piece">
          {piece}
        </span>
      ))}
    </bdi>
  );
}

export function StaleMark({ why }: { why: string | null }): ReactElement | null {
  if (why === null) return null;
  return (
    <span className="stale-mark" title={why}>
      stale
    </span>
  );
}

export function toneOf(sign: -1 | 0 | 1 | null): Tone {
  if (sign === 1) return 'good';
  return sign === -1 ? 'bad' : 'plain';
}
