import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import Dialog from '@mui/material/Dialog';
import DialogActions from '@mui/material/DialogActions';
import DialogContent from '@mui/material/DialogContent';
import DialogTitle from '@mui/material/DialogTitle';
import { useQuery } from '@tanstack/react-query';
import { useId, type FormEvent, type ReactElement } from 'react';

import { fetchParameters, type StrategyParameters } from '../api';
import { useEditor, type Editor } from '../editor';
import { AgeSince } from '../session';
import { Foreign } from './Figure';
import { ParameterField } from './ParameterField';
import { isReason, ReasonField } from './Reason';
import { Accepted, Overtaken, Tried } from './Trial';

/** Edits the parameters of one strategy: what is written is tried before it can be applied. */
export function Parameters({ id, close }: { id: string; close: () => void }): ReactElement {
  // Nothing is kept: whoever opens it again sees what is in force then.
  const held = useQuery({
    queryKey: ['parameters', id],
    queryFn: () => fetchParameters(id),
    gcTime: 0,
  });
  return (
    <Dialog
      open
      // A press beside it would throw away what was written.
      onClose={(_event, why) => (why === 'backdropClick' ? undefined : close())}
      fullWidth
      maxWidth="md"
      aria-labelledby="parameters-title"
    >
      <DialogTitle id="parameters-title">
        Parameters of <Foreign text={id} />
      </DialogTitle>
      {held.data === undefined ? (
        <>
          <DialogContent>
            {held.isError ? (
              <Alert severity="error">Not told: {held.error.message}</Alert>
            ) : (
              <p role="status">Asking the agent</p>
            )}
          </DialogContent>
          <DialogActions sx={{ px: 3, pb: 2 }}>
            <Button onClick={close} color="inherit">
              Close
            </Button>
          </DialogActions>
        </>
      ) : (
        <Loaded
          parameters={held.data}
          is_asking={held.isFetching}
          problem={held.error?.message ?? null}
          ask={() => void held.refetch()}
          close={close}
        />
      )}
    </Dialog>
  );
}

interface LoadedProps {
  /** What is in force, as far as the agent told. */
  parameters: StrategyParameters;
  is_asking: boolean;
  /** Why the agent could not be asked again. */
  problem: string | null;
  ask: () => void;
  close: () => void;
}

function Loaded({ parameters, is_asking, problem, ask, close }: LoadedProps): ReactElement {
  const editor = useEditor(parameters, is_asking, ask);
  const forms = { fields: useId(), reason: useId() };
  const { trial, change } = editor;
  if (change.data)
    return <Accepted version={change.data.version} diff={trial.data?.diff ?? []} close={close} />;
  return (
    <>
      <DialogContent className="parameters">
        <p className="caption">
          v{parameters.version}, in force for <AgeSince instant_ms={parameters.at_ms} /> ·{' '}
          <Foreign text={parameters.file} />
        </p>
        <Fields form={forms.fields} keys={parameters.keys} editor={editor} />
        {trial.error ? <Alert severity="error">Not tried: {trial.error.message}</Alert> : null}
        {editor.tried === null ? null : <Tried tried={editor.tried} keys={parameters.keys} />}
        {change.error ? <Alert severity="error">Not applied: {change.error.message}</Alert> : null}
        {editor.overtaken === null ? null : (
          <Overtaken
            before={editor.overtaken}
            now={parameters}
            is_asking={is_asking}
            problem={problem}
          />
        )}
        <form id={forms.reason} noValidate onSubmit={(event) => submit(event, editor.apply)}>
          <ReasonField reason={editor.reason} change={editor.setReason} />
        </form>
      </DialogContent>
      <DialogActions sx={{ px: 3, pb: 2 }} className="parameter-acts">
        <span role="status" className="caption hint">
          {hint(editor)}
        </span>
        <Button onClick={close} color="inherit">
          Cancel
        </Button>
        <Button type="submit" form={forms.fields} variant="outlined" disabled={!editor.tryOut}>
          {trial.isPending ? 'Trying' : 'Try'}
        </Button>
        <Button
          type="submit"
          form={forms.reason}
          variant="contained"
          color="warning"
          disabled={!editor.apply}
        >
          {change.isPending ? 'Sending' : 'Apply'}
        </Button>
      </DialogActions>
    </>
  );
}

interface FieldsProps {
  form: string;
  keys: StrategyParameters['keys'];
  editor: Editor;
}

function Fields({ form, keys, editor }: FieldsProps): ReactElement {
  return (
    <form
      id={form}
      className="parameter-fields"
      noValidate
      onSubmit={(event) => submit(event, editor.tryOut)}
    >
      {keys.map((parameter, index) => (
        <ParameterField
          key={parameter.key}
          parameter={parameter}
          draft={editor.draftOf(parameter)}
          is_changed={Object.hasOwn(editor.changes, parameter.key)}
          problem={editor.problemOf(parameter.key)}
          autoFocus={index === 0}
          write={(draft) => editor.write(parameter.key, draft)}
        />
      ))}
    </form>
  );
}

function submit(event: FormEvent, act: (() => void) | null): void {
  event.preventDefault();
  act?.();
}

/** What is still wanted before it can be applied; it is read aloud as it changes. */
function hint({ changes, tried, is_good, reason }: Editor): string {
  if (Object.keys(changes).length === 0) return 'Change a value to try it';
  if (tried === null) return 'Try these values before they can be applied';
  if (tried.problems.length > 0) return 'The agent would refuse these values';
  if (!is_good) return 'These values would change nothing';
  return isReason(reason) ? 'Ready to apply' : 'The agent would take these values; say why';
}
