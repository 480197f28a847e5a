// View state lives in the address, so that a link shows what its sender saw.

import { useSyncExternalStore } from 'react';

const CHANGED = 'tidekeeper:view';

/** One thing a viewer may choose: its name in the address and the words it may have. */
export interface Choice<Word extends string> {
  name: string;
  words: readonly [Word, ...Word[]];
  /** Whether the browser's back button returns to the word before. */
  history: 'step' | 'replace';
  /** Words with a path of their own, below which they are chosen; the others stand at the root. */
  paths?: ReadonlyMap<string, string>;
}

function subscribe(changed: () => void): () => void {
  window.addEventListener('popstate', changed);
  window.addEventListener(CHANGED, changed);
  return () => {
    window.removeEventListener('popstate', changed);
    window.removeEventListener(CHANGED, changed);
  };
}

function read<Word extends string>({ name, words, paths }: Choice<Word>): Word {
  const { pathname, search } = window.location;
  const isBelow = (path: string | undefined): boolean =>
    path !== undefined && `${pathname}/`.startsWith(`${path}/`);
  const said = new URLSearchParams(search).get(name);
  return (
    words.find((word) => isBelow(paths?.get(word))) ??
    words.find((word) => word === said && !paths?.has(word)) ??
    words[0]
  );
}

/** The chosen word (the first one if the address has none that is known) and how to choose. */
export function useChoice<Word extends string>(
  choice: Choice<Word>,
): [Word, (word: string) => void] {
  const word = useSyncExternalStore(subscribe, () => read(choice));
  return [word, (next) => show(choice, next)];
}

function show<Word extends string>(choice: Choice<Word>, word: string): void {
  const address = new URL(window.location.href);
  const path = choice.paths?.get(word);
  if (choice.paths !== undefined) address.pathname = path ?? '/';
  if (path === undefined) address.searchParams.set(choice.name, word);
  else address.searchParams.delete(choice.name);
  if (choice.history === 'replace') window.history.replaceState(null, '', address);
  else if (word !== read(choice)) window.history.pushState(null, '', address);
  window.dispatchEvent(new Event(CHANGED));
}

/** The address before its question mark. */
export function usePath(): string {
  return useSyncExternalStore(subscribe, () => window.location.pathname);
}

/** Goes to a path of this page; the browser's back button returns. */
export function go(path: string): void {
  window.history.pushState(null, '', path);
  window.dispatchEvent(new Event(CHANGED));
}
