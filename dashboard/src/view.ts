// View state lives in the address, so that a link shows what its sender saw.

import { useSyncExternalStore } from 'react';

export const TABS = ['reconciliation', 'orders', 'transactions', 'ledger'];

const CHANGED = 'tidekeeper:view';

function subscribe(changed: () => void): () => void {
  window.addEventListener('popstate', changed);
  window.addEventListener(CHANGED, changed);
  return () => {
    window.removeEventListener('popstate', changed);
    window.removeEventListener(CHANGED, changed);
  };
}

function read(): string {
  const tab = new URLSearchParams(window.location.search).get('tab') ?? '';
  return TABS.includes(tab) ? tab : 'reconciliation';
}

export function useTab(): [string, (tab: string) => void] {
  const tab = useSyncExternalStore(subscribe, read);
  return [tab, show];
}

function show(tab: string): void {
  const address = new URL(window.location.href);
  address.searchParams.set('tab', tab);
  window.history.replaceState(null, '', address);
  window.dispatchEvent(new Event(CHANGED));
}
