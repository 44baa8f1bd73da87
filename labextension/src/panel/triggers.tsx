/** The triggers, each with its next time and the result of the last one. */

import React, { useState } from 'react';

import { sentence } from '../actions';
import { ITrigger } from '../api';
import { at, countdown } from '../times';
import { lastOf, nameOf, stateWord, timingOf } from '../words';
import { usePanel } from './context';
import { useLive } from './live';

export function Triggers({ isVisible, now }: { isVisible: boolean; now: number }): React.JSX.Element | null {
  const { executions } = usePanel();
  const live = useLive<ITrigger[]>(executions, {
    key: 'triggers',
    isVisible,
    ask: () => executions.api.listTriggers(),
    // A trigger's view changes when an execution is queued, and when the execution that it waits for ends.
    concerns: changes => changes.some(each => each.what.length > 0)
  });
  const triggers = live.value ?? [];
  if (triggers.length === 0) {
    return null;
  }
  return (
    <details className="pf-triggers">
      <summary>
        Triggers <span className="pf-quiet">{triggers.length}</span>
      </summary>
      <ul aria-label="Triggers, the oldest first">
        {triggers.map(each => (
          <Trigger key={each.id} trigger={each} now={now} again={live.again} />
        ))}
      </ul>
    </details>
  );
}

interface IProps {
  trigger: ITrigger;
  now: number;
  again: () => void;
}

function Trigger({ trigger, now, again }: IProps): React.JSX.Element {
  const { actions, executions, show } = usePanel();
  const [error, setError] = useState<string | null>(null);
  const { id, notebook, state, next_at: next, url } = trigger;
  const execution = trigger.last?.execution ?? null;
  const act = (what: () => Promise<unknown>): void => {
    what().then(
      () => {
        setError(null);
        again();
      },
      (problem: unknown) => setError(sentence(problem))
    );
  };
  return (
    <li className="pf-trigger" data-pf-trigger={id}>
      <div className="pf-row">
        <span className="pf-name" title={notebook}>
          {nameOf(notebook)}
        </span>
        {state !== 'active' && <span className="pf-quiet">{stateWord(state)}</span>}
      </div>
      <p>{timingOf(trigger)}</p>
      {next !== null && <p className="pf-quiet">{nextOf(next, now)}</p>}
      <p className="pf-quiet">
        {lastOf(trigger, now)}
        {execution !== null && (
          <button type="button" className="pf-text-button" onClick={() => show(execution)}>
            Show
          </button>
        )}
      </p>
      {error !== null && (
        <p className="pf-reason pf-mod-failed" role="alert">
          {error}
        </p>
      )}
      <div className="pf-row pf-foot">
        <button type="button" className="pf-text-button" onClick={() => act(() => executions.api.runTrigger(id))}>
          Run now
        </button>
        {state !== 'ended' && (
          <button
            type="button"
            className="pf-text-button"
            onClick={() => act(() => executions.api.changeTrigger(id, state === 'active' ? 'pause' : 'resume'))}
          >
            {state === 'active' ? 'Pause' : 'Resume'}
          </button>
        )}
        {url !== null && (
          <button type="button" className="pf-text-button" onClick={() => void actions.copyUrl(url)}>
            Copy URL
          </button>
        )}
      </div>
    </li>
  );
}

function nextOf(moment: string, now: number): string {
  return Date.parse(moment) > now ? `Next: ${at(moment)} (${countdown(moment, now)})` : 'Next: due now';
}
