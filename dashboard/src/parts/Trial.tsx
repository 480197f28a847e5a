// What the agent says of parameters that somebody wants: of a trial, of a change, of a conflict.

import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import DialogActions from '@mui/material/DialogActions';
import DialogContent from '@mui/material/DialogContent';
import type { ReactElement } from 'react';

import type { ParameterDiff, ParameterKey, ParameterPreview, StrategyParameters } from '../api';
import { UNKNOWN } from '../format';
import { diffOf } from '../parameters';
import { DiffTable } from './Diff';
import { Foreign } from './Figure';

interface TriedProps {
  tried: ParameterPreview;
  /** Their fields tell their own problems. */
  keys: ParameterKey[];
}

/** What would differ, and what the strategy would say. */
export function Tried({ tried, keys }: TriedProps): ReactElement {
  const { problems, diff } = tried;
  const others = problems.filter(({ key }) => !keys.some((one) => one.key === key));
  return (
    <section className="tried" aria-label="Trial">
      {problems.length > 0 ? (
        <Alert severity="error">
          {problems.length === 1 ? 'One problem' : `${problems.length} problems`}: see the fields
          {others.map(({ key, problem, fix }) => (
            <p key={key}>
              <Foreign text={`${key}: ${problem}: ${fix}`} />
            </p>
          ))}
        </Alert>
      ) : null}
      <DiffTable label="What would differ" diff={diff} empty="Nothing would differ" />
      <dl className="says">
        <dt>It says now</dt>
        <dd>
          <Said text={tried.now} />
        </dd>
        <dt>It would say</dt>
        <dd>
          <Said text={tried.then} />
        </dd>
      </dl>
    </section>
  );
}

function Said({ text }: { text: string | null }): ReactElement {
  return text === null ? <span className="unknown">{UNKNOWN}</span> : <Foreign text={text} />;
}

/** The button that was pressed cannot be pressed any more: who has no mouse goes on from here. */
function focus(element: HTMLElement | null): void {
  element?.focus();
}

interface OvertakenProps {
  before: StrategyParameters;
  now: StrategyParameters;
  is_asking: boolean;
  problem: string | null;
}

/** Somebody else was faster: what they changed, while what was written here stays. */
export function Overtaken({ before, now, is_asking, problem }: OvertakenProps): ReactElement {
  if (is_asking) return <p role="status">Asking what was changed</p>;
  if (problem !== null)
    return <Alert severity="error">What was changed is not told: {problem}</Alert>;
  return (
    <Alert severity="warning" className="overtaken" ref={focus} tabIndex={-1}>
      Somebody else was faster: v{before.version} is v{now.version} now. What you wrote is still
      there; try it again.
      <DiffTable
        label="What they changed"
        diff={diffOf(before.keys, now.keys)}
        empty="No value differs from before"
      />
    </Alert>
  );
}

interface AcceptedProps {
  version: number;
  diff: ParameterDiff[];
  close: () => void;
}

export function Accepted({ version, diff, close }: AcceptedProps): ReactElement {
  return (
    <>
      <DialogContent className="parameters">
        <Alert severity="success">
          Accepted as version {version}. The table says v{version} once the engine has taken it
          over.
        </Alert>
        <DiffTable label={`Changes of v${version}`} diff={diff} empty="Nothing differs" />
      </DialogContent>
      <DialogActions sx={{ px: 3, pb: 2 }}>
        <Button onClick={close} variant="outlined" autoFocus>
          Close
        </Button>
      </DialogActions>
    </>
  );
}
