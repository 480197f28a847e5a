import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import Dialog from '@mui/material/Dialog';
import DialogActions from '@mui/material/DialogActions';
import DialogContent from '@mui/material/DialogContent';
import DialogTitle from '@mui/material/DialogTitle';
import { useQuery } from '@tanstack/react-query';
import type { ReactElement } from 'react';

import { fetchVersions, type StrategyVersion } from '../api';
import { instant } from '../format';
import { AgeSince } from '../session';
import { DiffTable } from './Diff';
import { Foreign } from './Figure';

const VERSIONS_MAX = 100;

/** How the parameters of one strategy came to be, as asked for when it is opened. */
export function Versions({ id, close }: { id: string; close: () => void }): ReactElement {
  // Nothing is kept: the next look asks again.
  const told = useQuery({
    queryKey: ['versions', id],
    queryFn: () => fetchVersions(id),
    gcTime: 0,
  });
  const versions = told.data ?? [];
  return (
    <Dialog open onClose={close} fullWidth maxWidth="md" aria-labelledby="versions-title">
      <DialogTitle id="versions-title">
        History of <Foreign text={id} />
      </DialogTitle>
      <DialogContent>
        {told.isPending ? <p role="status">Asking the agent</p> : null}
        {told.isError ? <Alert severity="error">Not told: {told.error.message}</Alert> : null}
        {told.isSuccess && versions.length === 0 ? <p className="empty">No versions</p> : null}
        <ol className="versions" aria-label="Versions, newest first">
          {versions.slice(0, VERSIONS_MAX).map((version) => (
            <Version key={version.version} version={version} />
          ))}
        </ol>
        {versions.length > VERSIONS_MAX ? (
          <p className="empty">and {versions.length - VERSIONS_MAX} more, not shown</p>
        ) : null}
      </DialogContent>
      <DialogActions sx={{ px: 3, pb: 2 }}>
        <Button onClick={close} color="inherit" autoFocus>
          Close
        </Button>
      </DialogActions>
    </Dialog>
  );
}

function Version({ version: told }: { version: StrategyVersion }): ReactElement {
  const name = `v${told.version}`;
  return (
    <li aria-label={`version ${told.version}`}>
      <div className="version-head">
        <strong>{name}</strong>
        <span className="version-reason">
          <Foreign text={told.reason} />
        </span>
        <span className="caption">
          <time>{instant(told.at_ms)}</time>, <AgeSince instant_ms={told.at_ms} /> ago
        </span>
      </div>
      <DiffTable
        label={`Changes of ${name}`}
        diff={told.diff}
        empty="Nothing differs from the version before"
      />
    </li>
  );
}
