import type { ReactElement } from 'react';

import type { Snapshot } from '../api';
import { chainName, ledgerName } from '../chains';
import { short } from '../format';
import { Foreign, Pieces } from './Figure';

interface ChainNameProps {
  snapshot: Snapshot;
  chain_id: number;
}

/** The chain something lies on; its id is in the tooltip. */
export function ChainName({ snapshot, chain_id }: ChainNameProps): ReactElement {
  return <Foreign text={chainName(snapshot, chain_id)} title={`chain id ${chain_id}`} />;
}

interface LedgerNameProps {
  snapshot: Snapshot;
  text: string;
}

/** A place or unit of the ledger for people; the ledger's own word is in the tooltip. */
export function LedgerName({ snapshot, text }: LedgerNameProps): ReactElement {
  return <Pieces text={ledgerName(snapshot, short(text))} title={text} />;
}
