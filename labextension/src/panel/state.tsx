/** The mark of a state, by word, colour and shape, and notes about an execution. */

import React from 'react';

import { IExecution } from '../api';
import { boundOf, lossesOf, stateWord } from '../words';

export function StateMark({ state }: { state: string }): React.JSX.Element {
  return (
    <span className="pf-state" data-pf-state={state}>
      {stateWord(state)}
    </span>
  );
}

/** Explains that it waits with its kernel. */
export function Bound({ execution }: { execution: IExecution }): React.JSX.Element | null {
  const words = boundOf(execution);
  return words ? <p className="pf-bound">{words}</p> : null;
}

/** The losses: what a kernel could not restore after a pause. */
export function Losses({ execution }: { execution: IExecution }): React.JSX.Element | null {
  const losses = lossesOf(execution);
  return losses.length === 0 ? null : (
    <ul className="pf-losses" aria-label="Not restored">
      {losses.map(text => (
        <li key={text}>{text}</li>
      ))}
    </ul>
  );
}
