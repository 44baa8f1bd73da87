/** One execution in detail: steps, the timeline of its segments, and the audit trail. */

import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { caretLeftIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { sentence } from '../actions';
import { IAuditLine, IExecution } from '../api';
import { ago, at, ENDED, happened, keyOf, nameOf, progressOf, reasonOf, runsOf, usageOf, who } from '../words';
import { Buttons } from './buttons';
import { usePanel } from './context';
import { useLive, useNow } from './live';
import { Bound, Losses, StateMark } from './state';
import { Timeline } from './timeline';
import { Waiting } from './waiting';

interface IDetails {
  execution: IExecution;
  audit: IAuditLine[];
}

export function Details({ id, isVisible }: { id: string; isVisible: boolean }): React.JSX.Element {
  const { executions, show } = usePanel();
  const now = useNow(isVisible);
  const live = useLive<IDetails>(executions, {
    key: id,
    isVisible,
    ask: async () => {
      const [execution, audit] = await Promise.all([executions.api.get(id, true), executions.api.audit(id)]);
      return { execution, audit };
    },
    concerns: changes => changes.some(each => each.execution === id)
  });
  return (
    <>
      <header className="pf-header">
        <div className="pf-title">
          <button type="button" className="pf-text-button" onClick={() => show(null)}>
            <caretLeftIcon.react tag="span" /> All workflows
          </button>
        </div>
      </header>
      <div className="pf-scroll" aria-busy={live.isLoading}>
        {live.error !== null && (
          <p className="pf-banner" role="alert">
            {live.error}{' '}
            <button type="button" className="pf-text-button" onClick={live.again}>
              Try again
            </button>
          </p>
        )}
        {live.value ? <Body {...live.value} now={now} /> : live.error === null && <p className="pf-empty">Loading …</p>}
      </div>
    </>
  );
}

function Body({ execution, audit, now }: IDetails & { now: number }): React.JSX.Element {
  const { id, notebook, output, state, parameters, suspended, steps } = execution;
  const reason = reasonOf(execution);
  return (
    <article className="pf-details" data-pf-id={id} data-pf-state={state}>
      <div className="pf-row">
        <h3 title={notebook}>{nameOf(notebook)}</h3>
        <StateMark state={state} />
      </div>
      {reason && (
        <p className={`pf-reason ${state === 'failed' || execution.problem ? 'pf-mod-failed' : ''}`}>{reason}</p>
      )}
      <Bound execution={execution} />
      <Losses execution={execution} />
      {suspended.map(each => (
        <Waiting key={keyOf(each)} suspension={each} now={now} />
      ))}
      <div className="pf-row pf-foot">
        <span className="pf-quiet">{progressOf(execution)}</span>
        <Buttons execution={execution} isDetailed />
      </div>

      <dl className="pf-data">
        <dt>Id</dt>
        <dd className="pf-code">{id}</dd>
        <dt>Started</dt>
        <dd title={at(execution.created_at)}>
          {ago(execution.created_at, now)} by {who(execution.created_by)}
        </dd>
        <dt>Output</dt>
        <dd>{output ?? 'in the store only'}</dd>
        <dt>Usage</dt>
        <dd>{usageOf(execution)}</dd>
        {Object.entries(parameters).map(([name, value]) => (
          <React.Fragment key={name}>
            <dt className="pf-code">{name}</dt>
            <dd className="pf-code">{JSON.stringify(value)}</dd>
          </React.Fragment>
        ))}
      </dl>

      <Part title="Steps" isEmpty={Object.keys(steps).length === 0} empty="No step has begun.">
        <ul className="pf-steps">
          {Object.entries(steps).map(([name, step]) => (
            <li key={name} data-pf-step={step.state}>
              <span className="pf-code">{name}</span> <span className="pf-quiet">{step.state}</span>
              {runsOf(step) && <span className="pf-quiet"> · {runsOf(step)}</span>}
              {ENDED.includes(state) && <RetryFrom execution={execution} step={name} />}
              {step.notes.map(note => (
                <p key={note} className="pf-quiet">
                  {note}
                </p>
              ))}
              <Exports values={step.exports} />
            </li>
          ))}
        </ul>
      </Part>
      <Part title="Timeline" isEmpty={execution.usage.segments.length === 0} empty="No segment has begun.">
        <Timeline execution={execution} now={now} />
      </Part>
      <Part title="Audit trail" isEmpty={audit.length === 0} empty="Nothing has happened.">
        <ol className="pf-audit">
          {audit.map((line, n) => (
            <li key={n}>
              <time className="pf-quiet" dateTime={line.at} title={at(line.at)}>
                {new Date(line.at).toLocaleTimeString()}
              </time>{' '}
              {happened(line)}
            </li>
          ))}
        </ol>
      </Part>
    </article>
  );
}

function RetryFrom({ execution, step }: { execution: IExecution; step: string }): React.JSX.Element {
  const { actions } = usePanel();
  const retry = async (): Promise<void> => {
    const { button } = await showDialog({
      title: `Run again from step ${step}?`,
      body: 'This step and all after it run again, with the variables as they were before it.',
      buttons: [Dialog.cancelButton({ label: 'Go back' }), Dialog.okButton({ label: 'Run again' })]
    });
    if (button.accept) {
      await actions.api.retry(execution.id, step);
    }
  };
  return (
    <button
      type="button"
      className="pf-text-button"
      aria-label={`Retry from step ${step}`}
      onClick={() => void retry().catch((error: unknown) => showErrorMessage('It does not run again', sentence(error)))}
    >
      Retry from here
    </button>
  );
}

function Exports({ values }: { values: Record<string, unknown> }): React.JSX.Element | null {
  const shown = Object.entries(values).filter(([name]) => !name.startsWith('$'));
  if (shown.length === 0) {
    return null;
  }
  return (
    <details>
      <summary className="pf-quiet">{shown.length === 1 ? '1 export' : `${shown.length} exports`}</summary>
      <pre className="pf-code" tabIndex={0}>
        {JSON.stringify(Object.fromEntries(shown), null, 2)}
      </pre>
    </details>
  );
}

interface IPart {
  title: string;
  isEmpty: boolean;
  empty: string;
  children: React.ReactNode;
}

function Part({ title, isEmpty, empty, children }: IPart): React.JSX.Element {
  return (
    <section className="pf-part" aria-label={title}>
      <h4>{title}</h4>
      {isEmpty ? <p className="pf-quiet">{empty}</p> : children}
    </section>
  );
}
