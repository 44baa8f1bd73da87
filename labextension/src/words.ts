/** What people read: states, questions, and what happened. */

import type { Action, IAuditLine, IExecution, IStep, ISuspension, ITrigger, State } from './api';
import { ago, at, countdown, spoken } from './times';

/** States in which a person is waited for. */
export const ASKING: readonly State[] = ['suspended', 'paused'];

/** States that an execution leaves only by a retry. */
export const ENDED: readonly State[] = ['completed', 'failed', 'cancelled'];

export interface IFilter {
  label: string;
  states: readonly State[];
}

export const FILTERS: Record<string, IFilter> = {
  all: { label: 'All states', states: [] },
  asking: { label: 'Suspended or paused', states: ASKING },
  waiting: { label: 'Waiting', states: ['waiting'] },
  active: { label: 'Queued or running', states: ['queued', 'running'] },
  completed: { label: 'Completed', states: ['completed'] },
  failed: { label: 'Failed', states: ['failed'] },
  cancelled: { label: 'Cancelled', states: ['cancelled'] }
};

/** A state with a capital: the same word in panel, page, notebook and commands. */
export function stateWord(state: string): string {
  return state.charAt(0).toUpperCase() + state.slice(1);
}

/** The last part of a path. */
export function nameOf(path: string): string {
  return path.split('/').filter(Boolean).pop() ?? path;
}

/** What happens if nobody answers, and when. */
export function silence(suspension: ISuspension, now: number): string {
  const { deadline, kind } = suspension;
  if (deadline === null) {
    return kind === 'notebook' ? '' : 'It waits until somebody answers; there is no deadline.';
  }
  const when = `${countdown(deadline, now)} (${at(deadline)})`;
  if (kind === 'rerun') {
    return `It runs again by itself: ${when}.`;
  }
  if (kind === 'delay') {
    return `It continues by itself: ${when}.`;
  }
  return `Without an answer ${ON_TIMEOUT[suspension.on_timeout] ?? 'it ends'}: ${when}.`;
}

const ON_TIMEOUT: Record<string, string> = {
  cancel: 'the run is cancelled',
  resume: 'the run continues',
  fail: 'the run fails'
};

/** What the buttons do. */
export function consequences(suspension: ISuspension): string {
  const { labels, allow } = suspension;
  const does: Record<Action, string> = {
    resume: suspension.kind === 'rerun' ? 'runs the step again' : 'lets the run continue',
    send_back: 'runs the step again with your comment',
    cancel: 'ends it'
  };
  return allow.map(action => `“${labels[action]}” ${does[action]}.`).join(' ');
}

/** Who started it, when, and with which parameters. */
export function startOf(execution: IExecution, now: number): string {
  const values = summary(execution.parameters);
  return `Started by ${starterOf(execution)} ${ago(execution.created_at, now)}${values && `, with ${values}`}`;
}

/** Who started it, and by which trigger: `HTTP trigger 3f2a… of ada`. */
export function starterOf({ created_by: by, trigger }: IExecution): string {
  const name = trigger && `${trigger.kind === 'http' ? 'HTTP trigger' : 'schedule'} ${trigger.id} of `;
  return `${name ?? ''}${who(by)}`;
}

/** What a suspension asks. */
export function question(suspension: ISuspension): string {
  if (suspension.title) {
    return suspension.title;
  }
  const step = suspension.path.length > 0 ? `Step ${suspension.path.join(' › ')}` : 'It';
  const waits: Record<string, string> = {
    rerun: 'will run again',
    delay: 'waits for the clock',
    notebook: 'waits for another notebook',
    operator: 'was suspended from outside'
  };
  return `${step} ${waits[suspension.kind] ?? 'waits for an answer'}`;
}

/** Whether a person is asked, and not only the clock awaited. */
export function asksSomebody(suspension: ISuspension): boolean {
  return !['rerun', 'delay', 'notebook'].includes(suspension.kind);
}

/** Whether an answer can be given at all: a notebook's end cannot. */
export function canBeAnswered(suspension: ISuspension): boolean {
  return suspension.kind !== 'notebook';
}

/** What tells one open suspension of an execution from another. */
export function keyOf(suspension: ISuspension): string {
  return [suspension.execution, ...suspension.path, suspension.since].join('/');
}

/** Who did it, without the words of the store. */
export function who(by: string | null): string {
  if (!by) {
    return 'unknown';
  }
  const known: Record<string, string> = {
    clock: 'the clock',
    link: 'someone with the link',
    notebook: 'the notebook',
    notebooks: 'the end of its notebooks'
  };
  if (by.startsWith('user:')) {
    return by.slice(5);
  }
  if (by.startsWith('step:')) {
    return `step ${by.slice(5)}`;
  }
  // Workers and attached runs are named host:pid:number.
  return known[by] ?? (by.includes(':') ? 'a worker' : by);
}

/** How it is known who it was: ` (login)`; empty where it is not said, or the word itself says it. */
function known(line: IAuditLine): string {
  const facts = [line.known_by === 'link' ? null : line.known_by, line.via ? `via ${line.via}` : null].filter(Boolean);
  return facts.length > 0 ? ` (${facts.join(', ')})` : '';
}

/** One line of the audit trail. */
export function happened(line: IAuditLine): string {
  const { decision, comment } = line.details;
  // The server has one word for each decision; earlier versions noted none.
  const did = typeof decision === 'string' ? decision : stateWord(line.what);
  const where = line.step === null || line.by === `step:${line.step}` ? '' : `${line.step}: `;
  return `${where}${did} by ${who(line.by)}${known(line)}${typeof comment === 'string' ? `: “${comment}”` : ''}`;
}

/** Which run of a step this is: `run 2 of 4`; empty if one is all there is. */
export function runsOf(step: IStep): string {
  if (step.most_runs === null) {
    return step.runs > 1 ? `run ${step.runs}` : '';
  }
  return `run ${step.runs} of ${step.most_runs}`;
}

/** How far it is: `3 of 9 cells`, with the step that runs. */
export function progressOf(execution: IExecution): string {
  const step = Object.entries(execution.steps).find(([, each]) => each.state === 'running')?.[0];
  return `${execution.cells.done} of ${execution.cells.total} cells${step === undefined ? '' : ` · step ${step}`}`;
}

/** The open question that has to be answered first: one that asks somebody, and of those the one with least time. */
function firstOf(execution: IExecution): ISuspension | undefined {
  const time = (each: ISuspension): number => (each.deadline === null ? Infinity : Date.parse(each.deadline));
  const rank = (each: ISuspension): number => (asksSomebody(each) ? 0 : 1);
  return [...execution.suspended].sort((a, b) => rank(a) - rank(b) || time(a) - time(b))[0];
}

/** What a row says of an execution: what it waits for, how far it is, or why it ended. */
export function aboutOf(execution: IExecution): string {
  const first = firstOf(execution);
  if (execution.problem) {
    return execution.problem;
  }
  if (first !== undefined) {
    const others = execution.suspended.length - 1;
    return question(first) + (others > 0 ? ` (and ${others} more)` : '');
  }
  return ENDED.includes(execution.state) ? reasonOf(execution) : (execution.no_worker ?? progressOf(execution));
}

/** Until when it waits; null if it does not wait, or has no deadline. */
export function deadlineOf(execution: IExecution): string | null {
  return firstOf(execution)?.deadline ?? null;
}

/** What it cost: `3.2 s of compute, waited 4 min, woken once`. */
export function usageOf(execution: IExecution): string {
  const { compute_seconds, suspended_seconds, wakeups } = execution.usage;
  const parts = [`${spoken(compute_seconds)} of compute`];
  if (suspended_seconds > 0) {
    parts.push(`waited ${spoken(suspended_seconds)}`);
  }
  if (wakeups > 0) {
    parts.push(wakeups === 1 ? 'woken once' : `woken ${wakeups} times`);
  }
  return parts.join(', ');
}

/** Why it ended, or why it cannot be shown, if that needs saying. */
export function reasonOf(execution: IExecution): string {
  if (execution.problem) {
    return execution.problem;
  }
  if (execution.error) {
    const where = execution.error.step ? `Step ${execution.error.step}: ` : '';
    return `${where}${execution.error.type}: ${execution.error.message}`;
  }
  const reason = execution.reason;
  if (!reason || execution.state === 'completed') {
    return reason?.text ?? '';
  }
  return reason.text ?? `${execution.state} by ${who(reason.by)}`;
}

/** What it means that it keeps its kernel while it waits; empty if it does not. */
export function boundOf(execution: IExecution): string {
  const names = execution.kernel_bound.join(', ');
  return (
    names && `It keeps its kernel: later cells need ${names}, which cannot be saved. If the worker restarts, it fails.`
  );
}

/** What could not be restored, each once; what a cell needs comes first. */
export function lossesOf(execution: IExecution): string[] {
  // Where it failed for them, the error names them.
  const losses = execution.losses.filter(loss => !execution.error?.message.includes(loss.text));
  const needed = losses.filter(loss => loss.needed_by.length > 0);
  const others = losses.filter(loss => loss.needed_by.length === 0);
  return [...new Set([...needed, ...others].map(loss => loss.text))];
}

/** Values on one line. */
export function summary(values: Record<string, unknown>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
    .join(', ');
}

/** When a trigger starts executions. */
export function timingOf({ schedule }: ITrigger): string {
  if (schedule === null) {
    return 'By HTTP';
  }
  if (schedule.every_seconds !== null) {
    return `Every ${spoken(schedule.every_seconds)}`;
  }
  return schedule.cron !== null ? `${schedule.cron} (${schedule.zone ?? 'UTC'})` : 'Once';
}

/** What became of the last due time or request of a trigger. */
export function lastOf({ last }: ITrigger, now: number): string {
  if (last === null) {
    return 'Nothing started yet';
  }
  const words = {
    started: 'started',
    skipped: 'skipped, because the previous execution had not ended',
    queued: 'waits for the previous execution to end',
    missed: 'missed, because no worker was alive',
    failed: `failed: ${last.text ?? ''}`
  };
  return `Last: ${words[last.what]} ${last.what === 'failed' ? `(${ago(last.at, now)})` : ago(last.at, now)}`;
}
