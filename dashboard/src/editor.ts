// What somebody is about to change of one strategy: written, tried, applied. A hook for one dialog;
// what was tried counts only as long as exactly that is written.

import { useMutation, type UseMutationResult } from '@tanstack/react-query';
import { useState } from 'react';

import {
  changeParameters,
  previewParameters,
  STATUS_CONFLICT,
  type ChangeAccepted,
  type Changes,
  type ParameterKey,
  type ParameterPreview,
  type ParameterProblem,
  type StrategyParameters,
} from './api';
import { ApiError } from './client';
import { changesOf, isSame } from './parameters';
import { isReason } from './parts/Reason';

export interface Editor {
  changes: Changes;
  reason: string;
  setReason: (reason: string) => void;
  draftOf: (parameter: ParameterKey) => string;
  write: (key: string, draft: string) => void;
  trial: UseMutationResult<ParameterPreview, Error, Changes>;
  change: UseMutationResult<ChangeAccepted, Error, void>;
  /** What the agent says of exactly the values that are written now. */
  tried: ParameterPreview | null;
  /** The agent would take them, and something would differ. */
  is_good: boolean;
  problemOf: (key: string) => ParameterProblem | null;
  /** What was in force until somebody else was faster. */
  overtaken: StrategyParameters | null;
  /** Null where it makes no sense; while the agent is asked already, they do nothing. */
  tryOut: (() => void) | null;
  apply: (() => void) | null;
}

/** `ask` asks the agent again what is in force. */
export function useEditor(
  parameters: StrategyParameters,
  is_asking: boolean,
  ask: () => void,
): Editor {
  const { id, version, keys } = parameters;
  const [drafts, setDrafts] = useState<ReadonlyMap<string, string>>(new Map());
  const [reason, setReason] = useState('');
  const [overtaken, setOvertaken] = useState<StrategyParameters | null>(null);
  const changes = changesOf(keys, drafts);
  const trial = useMutation({
    mutationFn: (wished: Changes) => previewParameters(id, wished),
    onMutate: () => {
      setOvertaken(null);
      change.reset();
    },
  });
  const change = useMutation({
    mutationFn: () => changeParameters(id, { version, changes, reason: reason.trim() }),
    onError: (error) => {
      if (!(error instanceof ApiError && error.status === STATUS_CONFLICT)) return;
      setOvertaken(parameters);
      trial.reset();
      ask();
    },
  });
  const unlessBusy = (act: () => void) => (): void => {
    if (!is_asking && !trial.isPending && !change.isPending) act();
  };
  const tried = trial.data && isSame(trial.variables, changes) ? trial.data : null;
  const is_good = tried !== null && tried.problems.length === 0 && tried.diff.length > 0;
  return {
    changes,
    reason,
    setReason,
    draftOf: ({ key, value }) => drafts.get(key) ?? value,
    write: (key, draft) => setDrafts(new Map(drafts).set(key, draft)),
    trial,
    change,
    tried,
    is_good,
    problemOf: (key) => {
      // The other fields go on telling theirs while one is mended.
      const is_as_tried = trial.variables?.[key] === changes[key];
      const said = tried !== null || (Object.hasOwn(changes, key) && is_as_tried);
      return (said && trial.data?.problems.find((problem) => problem.key === key)) || null;
    },
    overtaken,
    tryOut: Object.keys(changes).length > 0 ? unlessBusy(() => trial.mutate(changes)) : null,
    apply: is_good && isReason(reason) ? unlessBusy(() => change.mutate()) : null,
  };
}
