/** All steps of an execution in order, with state, start, duration, attempts, and a bar for runs and waits. */

import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import React from 'react';

import { sentence } from '../actions';
import { IExecution, IStep } from '../api';
import { own } from '../own';
import { at, shortly, spoken, zone } from '../times';
import { ENDED, runsOf } from '../words';
import { chartOf, IBar, IRow } from './chart';
import { usePanel } from './context';
import { StateMark } from './state';

export function Steps({ execution, now }: { execution: IExecution; now: number }): React.JSX.Element {
  const history = execution.history ?? { steps: [], runs: [], suspensions: [] };
  const { rows, isSqueezed } = chartOf(execution, history, now);
  if (rows.length === 0) {
    return <p className="pf-quiet">This notebook has no steps.</p>;
  }
  return (
    <>
      <p className="pf-quiet">
        Times in {zone(execution.created_at)}.{' '}
        <span className="pf-key">
          <span className="pf-bar" data-pf-bar="run" aria-hidden="true" /> runs
        </span>{' '}
        <span className="pf-key">
          <span className="pf-bar" data-pf-bar="wait" aria-hidden="true" /> waits
          {isSqueezed && ', drawn shorter than they were'}
        </span>
      </p>
      <ol className="pf-steps">
        {rows.map(row => (
          <Row key={row.step} row={row} step={own(execution.steps, row.step)} execution={execution} />
        ))}
      </ol>
    </>
  );
}

interface IRowProps {
  row: IRow;
  /** Undefined if it has not begun. */
  step: IStep | undefined;
  execution: IExecution;
}

function Row({ row, step, execution }: IRowProps): React.JSX.Element {
  const hasEnded = ENDED.includes(execution.state);
  return (
    <li className="pf-step">
      <div className="pf-row">
        <span className="pf-code pf-step-name">{row.step}</span>
        <StateMark state={step?.state ?? (hasEnded ? 'not reached' : 'to come')} />
      </div>
      <div className="pf-row pf-foot">
        {step && row.startedAt !== null && <Facts row={row} step={step} startedAt={row.startedAt} />}
        {hasEnded && step && <RetryFrom execution={execution} step={row.step} />}
      </div>
      <div className="pf-bars" aria-hidden="true">
        {row.bars.map((bar, n) => (
          <Bar key={n} bar={bar} />
        ))}
      </div>
      {step?.notes.map(note => (
        <p key={note} className="pf-quiet">
          {note}
        </p>
      ))}
      {step && <Exports values={step.exports} />}
    </li>
  );
}

function Facts({ row, step, startedAt }: { row: IRow; step: IStep; startedAt: string }): React.JSX.Element {
  const facts = [
    `ran ${spoken(row.worked)}`,
    row.waited > 0 ? `waited ${spoken(row.waited)}` : '',
    runsOf(step),
    row.attempts > step.runs ? `${row.attempts} attempts` : ''
  ];
  return (
    <span className="pf-quiet">
      <time dateTime={startedAt} title={at(startedAt)}>
        {shortly(startedAt)}
      </time>
      {facts.filter(Boolean).map(fact => ` · ${fact}`)}
    </span>
  );
}

function Bar({ bar }: { bar: IBar }): React.JSX.Element {
  const where = { left: `${100 * bar.start}%`, width: `${100 * bar.width}%` };
  const title = `${bar.kind === 'wait' ? 'waited' : 'ran'} ${spoken(bar.seconds)}`;
  return <span className="pf-bar" data-pf-bar={bar.kind} data-pf-state={bar.state} style={where} title={title} />;
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
      onClick={() =>
        void retry().catch((error: unknown) => showErrorMessage('The step could not be run again', sentence(error)))
      }
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
