import TextField from '@mui/material/TextField';
import type { ReactElement } from 'react';

import type { ParameterKey, ParameterProblem } from '../api';
import { Foreign } from './Figure';

interface ParameterFieldProps {
  parameter: ParameterKey;
  draft: string;
  is_changed: boolean;
  problem: ParameterProblem | null;
  autoFocus: boolean;
  write: (draft: string) => void;
}

/** One parameter: what it does, what it was if it is changed, and what is wrong with it. */
export function ParameterField(props: ParameterFieldProps): ReactElement {
  const { parameter, draft, is_changed, problem, autoFocus, write } = props;
  return (
    <TextField
      className={is_changed ? 'parameter changed' : 'parameter'}
      fullWidth
      size="small"
      label={parameter.key}
      value={draft}
      autoFocus={autoFocus}
      error={problem !== null}
      onChange={(event) => write(event.target.value)}
      slotProps={{
        htmlInput: {
          inputMode: parameter.kind === 'integer' ? 'numeric' : 'decimal',
          autoComplete: 'off',
          spellCheck: false,
        },
      }}
      helperText={
        <>
          <span>{parameter.what}</span>
          {is_changed ? (
            <span className="was">
              changed, it is <Foreign text={parameter.value} /> now
            </span>
          ) : null}
          {problem === null ? null : (
            <span role="alert">
              <Foreign text={`${problem.problem}: ${problem.fix}`} />
            </span>
          )}
        </>
      }
    />
  );
}
