/** The mark that tells a state by word, colour and shape. */

import React from 'react';

import { State } from '../api';

const WORDS: Record<State, string> = {
  queued: 'Queued',
  running: 'Running',
  suspended: 'Waiting for an answer',
  waiting: 'Waiting for the clock',
  paused: 'Paused',
  completed: 'Completed',
  failed: 'Failed',
  cancelled: 'Cancelled'
};

const SHORT: Partial<Record<State, string>> = { suspended: 'Waiting', waiting: 'Waiting' };

export function StateMark({ state }: { state: State }): React.JSX.Element {
  return (
    <span className="pf-state" data-pf-state={state} title={WORDS[state]}>
      {SHORT[state] ?? WORDS[state]}
    </span>
  );
}
