// View state lives in the address, so that a link shows what its sender saw.

import { useSyncExternalStore } from 'react';

const CHANGED = 'tidekeeper:view';

/** One thing a viewer may choose: its name in the address and the words it may have. */
export interface Choice<Word extends string> {
  name: string;
  words: readonly [Word, ...Word[]];
  /** Whether the browser's back button returns to the word before. */
  history: 'step' | 'replace';
}

function subscribe(changed: () => void): () => void {
  window.addEventListener('popstate', changed);
  window.addEventListener(CHANGED, changed);
  return () => {
    window.removeEventListener('popstate', changed);
    window.removeEventListener(CHANGED, changed);
  };
}

function read<Word extends string>({ name, words }: Choice<Word>): Word {
  const said = new URLSearchParams(window.location.search).get(name);
  return words.find((word) => word === said) ?? words[0];
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
  address.searchParams.set(choice.name, word);
  if (choice.history === 'replace') window.history.replaceState(null, '', address);
  else if (word !== read(choice)) window.history.pushState(null, '', address);
  window.dispatchEvent(new Event(CHANGED));
}
