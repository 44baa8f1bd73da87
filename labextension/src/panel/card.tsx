/** One execution in the list: where it stands, what it waits for, what can be done. */

import React from 'react';

import { IExecution } from '../api';
import { ago, at } from '../times';
import { ASKING, ENDED, keyOf, nameOf, progressOf, reasonOf, summary, usageOf } from '../words';
import { Buttons } from './buttons';
import { usePanel } from './context';
import { Bound, Losses, StateMark } from './state';
import { Waiting } from './waiting';

interface IProps {
  execution: IExecution;
  now: number;
  /** Null: it cannot be chosen now. */
  choice: { isChosen: boolean; toggle: () => void } | null;
}

export function Card({ execution, now, choice }: IProps): React.JSX.Element {
  const { show } = usePanel();
  const { id, notebook, state, parameters, suspended } = execution;
  const name = nameOf(notebook);
  const reason = reasonOf(execution);
  const isAsking = ASKING.includes(state);
  return (
    <li className={`pf-card ${isAsking ? 'pf-mod-asking' : ''}`} data-pf-id={id} data-pf-state={state}>
      <div className="pf-row">
        {choice && (
          <input
            type="checkbox"
            aria-label={`Choose ${name} ${id}`}
            checked={choice.isChosen}
            onChange={choice.toggle}
          />
        )}
        <button type="button" className="pf-name" title={`${notebook}\nDetails`} onClick={() => show(id)}>
          {name}
        </button>
        <StateMark state={state} />
      </div>
      {suspended.length === 0 && Object.keys(parameters).length > 0 && (
        <p className="pf-quiet pf-line" title={summary(parameters)}>
          {summary(parameters)}
        </p>
      )}
      {!ENDED.includes(state) && <Progress execution={execution} />}
      {reason && (
        <p className={`pf-reason ${state === 'failed' || execution.problem ? 'pf-mod-failed' : ''}`}>{reason}</p>
      )}
      <Bound execution={execution} />
      <Losses execution={execution} />
      {suspended.map(suspension => (
        <Waiting key={keyOf(suspension)} suspension={suspension} execution={execution} now={now} />
      ))}
      <p className="pf-quiet">{usageOf(execution)}</p>
      <div className="pf-row pf-foot">
        <time className="pf-quiet pf-line" dateTime={execution.created_at} title={at(execution.created_at)}>
          {ago(execution.created_at, now)}
        </time>
        <Buttons execution={execution} />
      </div>
    </li>
  );
}

function Progress({ execution }: { execution: IExecution }): React.JSX.Element {
  const { done, total } = execution.cells;
  const step = Object.entries(execution.steps).find(([, each]) => each.state === 'running')?.[0];
  const words = step ? `${progressOf(execution)} · step ${step}` : progressOf(execution);
  return (
    <div className="pf-progress">
      <progress value={done} max={Math.max(total, 1)} aria-label={words} />
      <span className="pf-quiet">{words}</span>
    </div>
  );
}
