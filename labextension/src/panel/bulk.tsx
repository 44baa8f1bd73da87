/** One answer to several executions that wait. */

import React, { useState } from 'react';

import { sentence } from '../actions';
import { IExecution } from '../api';
import { asksSomebody, nameOf } from '../words';
import { usePanel } from './context';

interface IProps {
  chosen: IExecution[];
  onDone: () => void;
}

export function Bulk({ chosen, onDone }: IProps): React.JSX.Element {
  const { actions } = usePanel();
  const [isBusy, setBusy] = useState(false);
  const [failures, setFailures] = useState<string[]>([]);
  // Not disabled, so that a button that was just pressed keeps the focus.
  const isIdle = chosen.length === 0 || isBusy;

  const each = async (act: (execution: IExecution) => Promise<unknown>): Promise<void> => {
    if (isIdle) {
      return;
    }
    setBusy(true);
    const failed: string[] = [];
    // One after the other: each is a separate transaction, and the server has other work.
    for (const execution of chosen) {
      try {
        await act(execution);
      } catch (error) {
        failed.push(`${nameOf(execution.notebook)} (${execution.id}): ${sentence(error)}`);
      }
    }
    setFailures(failed);
    setBusy(false);
    onDone();
  };
  const approve = async (execution: IExecution): Promise<void> => {
    for (const suspension of execution.suspended.filter(asksSomebody)) {
      await actions.api.resume(suspension);
    }
  };

  return (
    <div className="pf-bulk" role="group" aria-label="Answer the chosen executions">
      <span role="status">{chosen.length === 0 ? 'Choose waiting executions' : `${chosen.length} chosen`}</span>
      <button
        type="button"
        className="jp-mod-styled jp-mod-accept"
        aria-disabled={isIdle}
        onClick={() => void each(approve)}
      >
        {chosen.length > 0 ? `Approve ${chosen.length}` : 'Approve'}
      </button>
      <button
        type="button"
        className="jp-mod-styled jp-mod-warn"
        aria-disabled={isIdle}
        onClick={() => void each(execution => actions.api.cancel(execution.id))}
      >
        {chosen.length > 1 ? `Cancel ${chosen.length} runs` : 'Cancel the run'}
      </button>
      {failures.length > 0 && (
        <ul className="pf-problem" role="alert">
          {failures.map(failure => (
            <li key={failure}>{failure}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
