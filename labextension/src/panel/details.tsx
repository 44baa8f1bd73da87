/** One execution in detail: what it waits for, its steps, and the audit trail. */

import { caretLeftIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { IAuditLine, IExecution } from '../api';
import { at, shortly } from '../times';
import { happened, keyOf, nameOf, progressOf, reasonOf, starterOf, usageOf } from '../words';
import { Buttons } from './buttons';
import { usePanel } from './context';
import { useLive, useNow } from './live';
import { Bound, Losses, StateMark } from './state';
import { Steps } from './steps';
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
  const { id, notebook, output, state, parameters, suspended } = execution;
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
        <Waiting key={keyOf(each)} suspension={each} execution={execution} now={now} isDetailed />
      ))}
      <div className="pf-row pf-foot">
        <span className="pf-quiet">{progressOf(execution)}</span>
        <Buttons execution={execution} isDetailed />
      </div>

      <dl className="pf-data">
        <dt>Id</dt>
        <dd className="pf-code">{id}</dd>
        <dt>Started</dt>
        <dd>
          <time dateTime={execution.created_at}>{at(execution.created_at)}</time> by {starterOf(execution)}
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

      <Part title="Steps">
        <Steps execution={execution} now={now} />
      </Part>
      <Part title="Audit trail">
        <ol className="pf-audit">
          {audit.map((line, n) => (
            <li key={n}>
              <time className="pf-quiet" dateTime={line.at} title={at(line.at)}>
                {shortly(line.at)}
              </time>{' '}
              {happened(line)}
            </li>
          ))}
        </ol>
      </Part>
    </article>
  );
}

interface IPart {
  title: string;
  children: React.ReactNode;
}

function Part({ title, children }: IPart): React.JSX.Element {
  return (
    <section className="pf-part" aria-label={title}>
      <h4>{title}</h4>
      {children}
    </section>
  );
}
