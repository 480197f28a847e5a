// Which chain something lies on, by name. Two chains may hold the same contracts at the same
// addresses: there an address alone says nothing. Pure: looks at one snapshot only.

import type { Snapshot } from './api';

export function chainName(snapshot: Snapshot, chain_id: number): string {
  return knownName(snapshot, chain_id) ?? `chain ${chain_id}`;
}

function knownName({ chains }: Snapshot, chain_id: number): string | null {
  return chains.find((one) => one.chain_id === chain_id)?.name ?? null;
}

/** How the ledger writes a chain: `wallet:31337:0x…` is a place, `eip155:31337/native` a unit. */
const CHAIN_ID = /^(?:(wallet:|position:|owed:)|eip155:)(\d+)(?=[:/])/;

/** A place or unit of the ledger with its chain by name; one that is not followed keeps its id. */
export function ledgerName(snapshot: Snapshot, text: string): string {
  return text.replace(CHAIN_ID, (id: string, kind: string | undefined, chain_id: string) => {
    const name = knownName(snapshot, Number(chain_id));
    return name === null ? id : `${kind ?? ''}${name}`;
  });
}
