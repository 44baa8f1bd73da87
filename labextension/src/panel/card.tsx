/** An execution in the list: a row with its state and what it waits for; expanded, also its buttons. */

import { caretRightIcon } from '@jupyterlab/ui-components';
import React, { useRef } from 'react';

import { IExecution } from '../api';
import { ago, at, left } from '../times';
import { aboutOf, ASKING, deadlineOf, ENDED, keyOf, nameOf, progressOf, reasonOf, summary, usageOf } from '../words';
import { Buttons } from './buttons';
import { Bound, Losses, StateMark } from './state';
import { Waiting } from './waiting';

export interface IChoice {
  isChosen: boolean;
  toggle: () => void;
}

interface IProps {
  execution: IExecution;
  now: number;
  /** Null if it cannot be chosen now. */
  choice: IChoice | null;
  isOpen: boolean;
  toggle: () => void;
}

export function Card({ execution, now, choice, isOpen, toggle }: IProps): React.JSX.Element {
  const { id, notebook, state } = execution;
  const name = nameOf(notebook);
  const wasOpened = useRef(false);
  wasOpened.current ||= isOpen;
  return (
    <li className={`pf-card ${ASKING.includes(state) ? 'pf-mod-asking' : ''}`} data-pf-id={id} data-pf-state={state}>
      <div className="pf-row pf-summary">
        {choice && (
          <input
            type="checkbox"
            aria-label={`Choose ${name} ${id}`}
            checked={choice.isChosen}
            onChange={choice.toggle}
          />
        )}
        <button type="button" className="pf-name" title={notebook} aria-expanded={isOpen} onClick={toggle}>
          <caretRightIcon.react tag="span" className="pf-caret" />
          <span className="pf-line">{name}</span>
        </button>
        <Summary execution={execution} now={now} toggle={toggle} />
        <StateMark state={state} />
      </div>
      {/* What was typed stays when the row is closed. */}
      {wasOpened.current && (
        <div className="pf-body" hidden={!isOpen}>
          <Body execution={execution} now={now} />
        </div>
      )}
    </li>
  );
}

/** What it waits for or why it ended, and its remaining time or its start. */
function Summary({ execution, now, toggle }: Pick<IProps, 'execution' | 'now' | 'toggle'>): React.JSX.Element {
  const words = aboutOf(execution);
  const deadline = deadlineOf(execution);
  const moment = deadline ?? execution.created_at;
  return (
    // The whole row is clickable; for the keyboard there is the button.
    <span className="pf-about" onClick={toggle}>
      <span
        className={`pf-line ${execution.state === 'failed' || execution.problem ? 'pf-mod-failed' : ''}`}
        title={words}
        dir="auto"
      >
        {words}
      </span>
      <time className="pf-quiet" dateTime={moment} title={at(moment)}>
        {deadline === null ? ago(moment, now) : left(deadline, now)}
      </time>
    </span>
  );
}

function Body({ execution, now }: { execution: IExecution; now: number }): React.JSX.Element {
  const { state, parameters, suspended } = execution;
  const reason = reasonOf(execution);
  return (
    <>
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
    </>
  );
}

function Progress({ execution }: { execution: IExecution }): React.JSX.Element {
  const { done, total } = execution.cells;
  const words = progressOf(execution);
  return (
    <div className="pf-progress">
      <progress value={done} max={Math.max(total, 1)} aria-label={words} />
      <span className="pf-quiet">{words}</span>
    </div>
  );
}
