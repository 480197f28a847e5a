import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import Dialog from '@mui/material/Dialog';
import DialogActions from '@mui/material/DialogActions';
import DialogContent from '@mui/material/DialogContent';
import DialogContentText from '@mui/material/DialogContentText';
import DialogTitle from '@mui/material/DialogTitle';
import { useMutation } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactElement, type ReactNode } from 'react';

import { direct, type EngineKind, type Verb } from '../api';
import { isReason, ReasonField } from './Reason';

/** What a dangerous button says before it does anything. */
export interface Wording {
  title: ReactNode;
  does: string[];
  confirm: string;
  colour: 'error' | 'warning' | 'success';
}

const WORDING: Record<Verb, Wording & { button: string }> = {
  halt: {
    button: 'Halt',
    title: 'Halt the engine?',
    does: [
      'No new risk is taken from now on: no new position, swap, quote or order that adds exposure.',
      'Cancels, closes and hedge orders that reduce risk still pass.',
      'Open positions stay in their pools and keep moving with the price.',
      'It stays halted until somebody resumes it.',
    ],
    confirm: 'Halt now',
    colour: 'error',
  },
  resume: {
    button: 'Resume',
    title: 'Resume the engine?',
    does: [
      'The engine may take new risk again: open, re-range, swap and hedge, within its limits.',
      'It acts on the first fresh prices; feeds that are not live stay blocked.',
      'Make sure that the cause of the halt is understood and gone.',
    ],
    confirm: 'Resume now',
    colour: 'success',
  },
};

/** Which verbs make sense in a state; an engine we know nothing of can always be halted. */
export function verbsIn(kind: EngineKind | null): Verb[] {
  // A pause ends by itself when what it waits for is back; only a halt waits for a person.
  return kind === 'halted' ? ['resume'] : ['halt'];
}

export function Directives({ kind }: { kind: EngineKind | null }): ReactElement {
  const [verb, setVerb] = useState<Verb | null>(null);
  return (
    <>
      {verbsIn(kind).map((one) => (
        <Button
          key={one}
          variant="contained"
          size="small"
          color={WORDING[one].colour}
          onClick={() => setVerb(one)}
          aria-haspopup="dialog"
        >
          {WORDING[one].button}
        </Button>
      ))}
      {verb === null ? null : (
        <ReasonDialog
          key={verb}
          wording={WORDING[verb]}
          send={(reason) => direct(verb, reason)}
          close={() => setVerb(null)}
        />
      )}
    </>
  );
}

interface ReasonDialogProps {
  wording: Wording;
  send: (reason: string) => Promise<void>;
  close: () => void;
}

/** Says what will happen, asks why, and closes once the agent has accepted. */
export function ReasonDialog({ wording, send, close }: ReasonDialogProps): ReactElement {
  const [reason, setReason] = useState('');
  const request = useMutation({ mutationFn: () => send(reason.trim()), onSuccess: close });
  const is_reason = isReason(reason);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (is_reason && !request.isPending) request.mutate();
  };
  return (
    <Dialog open onClose={close} fullWidth maxWidth="sm" aria-labelledby="directive-title">
      <form onSubmit={submit}>
        <DialogTitle id="directive-title">{wording.title}</DialogTitle>
        <DialogContent>
          <DialogContentText component="div" sx={{ mb: 2 }}>
            <ul className="does">
              {wording.does.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
          </DialogContentText>
          <ReasonField autoFocus reason={reason} change={setReason} />
          {request.isError ? (
            <Alert severity="error" sx={{ mt: 2 }}>
              Not accepted: {request.error.message}
            </Alert>
          ) : null}
        </DialogContent>
        <DialogActions sx={{ px: 3, pb: 2 }}>
          <Button onClick={close} color="inherit">
            Cancel
          </Button>
          <Button
            type="submit"
            variant="contained"
            color={wording.colour}
            disabled={!is_reason || request.isPending}
          >
            {request.isPending ? 'Sending' : wording.confirm}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
