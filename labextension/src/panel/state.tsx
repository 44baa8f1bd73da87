/** The mark that tells a state by word, colour and shape, and what else is to be known of it. */

import React from 'react';

import { IExecution, State } from '../api';
import { boundOf, lossesOf } from '../words';

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

/** A state of a newer version has no word here. */
function wordOf(state: State): string {
  return (WORDS as Partial<Record<string, string>>)[state] ?? state;
}

export function StateMark({ state }: { state: State }): React.JSX.Element {
  return (
    <span className="pf-state" data-pf-state={state} title={wordOf(state)}>
      {SHORT[state] ?? wordOf(state)}
    </span>
  );
}

/** That it waits with its kernel, and what that means. */
export function Bound({ execution }: { execution: IExecution }): React.JSX.Element | null {
  const words = boundOf(execution);
  return words ? <p className="pf-bound">{words}</p> : null;
}

/** What a kernel could not bring back after a pause. */
export function Losses({ execution }: { execution: IExecution }): React.JSX.Element | null {
  const losses = lossesOf(execution);
  return losses.length === 0 ? null : (
    <ul className="pf-losses" aria-label="Not brought back">
      {losses.map(text => (
        <li key={text}>{text}</li>
      ))}
    </ul>
  );
}
