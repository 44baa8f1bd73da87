/** Computes the bars of a chart of steps: runs and waits on one time scale. */

import type { IExecution, IHistory } from '../api';
import { own } from '../own';

export interface IBar {
  kind: 'run' | 'wait';
  state: string;
  /** Seconds. */
  seconds: number;
  /** Shares of the chart's width, from 0 to 1. */
  start: number;
  width: number;
}

export interface IRow {
  step: string;
  bars: IBar[];
  /** Seconds that it ran, and that it waited. */
  worked: number;
  waited: number;
  attempts: number;
  startedAt: string | null;
}

export interface IChart {
  rows: IRow[];
  /** Whether idle times are shortened. */
  isSqueezed: boolean;
}

type Span = [from: number, to: number];

/** Make the rows of all steps, also of those that have not begun. */
export function chartOf(execution: IExecution, history: IHistory, now: number): IChart {
  const names = [...new Set([...history.steps, ...Object.keys(execution.steps)])];
  const runs = history.runs.filter(run => run.started_at !== null);
  const running = execution.ended_at === null ? now : Date.parse(execution.ended_at);
  const spanOf = (from: string | null, to: string | null): Span => {
    const start = Date.parse(from as string);
    return [start, Math.max(start, to === null ? running : Date.parse(to))];
  };
  const busy = [...runs, ...execution.usage.segments]
    .filter(each => each.started_at !== null)
    .map(each => spanOf(each.started_at, each.ended_at));
  const waits = history.suspensions.map(wait => ({ ...wait, span: spanOf(wait.since, wait.settled_at) }));
  const scale = new Scale(
    busy,
    waits.map(each => each.span)
  );
  const rows = names.map(step => {
    const its = runs.filter(run => run.step === step);
    const bars = [
      ...its.map(run => scale.bar('run', run.state, spanOf(run.started_at, run.ended_at))),
      ...waits.filter(wait => wait.step === step).map(wait => scale.bar('wait', wait.state, wait.span))
    ];
    const sum = (kind: string): number =>
      bars.filter(bar => bar.kind === kind).reduce((total, bar) => total + bar.seconds, 0);
    return {
      step,
      bars,
      worked: sum('run'),
      waited: sum('wait'),
      attempts: its.reduce((total, run) => total + run.attempts, 0),
      startedAt: its[0]?.started_at ?? own(execution.steps, step)?.started_at ?? null
    };
  });
  return { rows, isSqueezed: scale.isSqueezed };
}

/** Maps times to shares of a width, in which all idle times together take no more than all work. */
class Scale {
  constructor(busy: Span[], waits: Span[]) {
    const edges = [...new Set([...busy, ...waits].flat())].sort((a, b) => a - b);
    const parts = edges.slice(1).map((to, n): Span => [edges[n] as number, to]);
    const isBusy = parts.map(([from, to]) => busy.some(span => span[0] <= from && to <= span[1]));
    const lengths = parts.map(([from, to]) => to - from);
    const worked = lengths.filter((_, n) => isBusy[n]).reduce((sum, each) => sum + each, 0);
    const idle = isBusy.filter(each => !each).length;
    const most = worked > 0 ? worked / Math.max(idle, 1) : Infinity;
    const drawn = lengths.map((length, n) => (isBusy[n] ? length : Math.min(length, most)));
    const total = drawn.reduce((sum, each) => sum + each, 0) || 1;
    this.isSqueezed = drawn.some((each, n) => each < (lengths[n] as number));
    let at = 0;
    edges.forEach((edge, n) => {
      this._places.set(edge, at / total);
      at += drawn[n] ?? 0;
    });
  }

  readonly isSqueezed: boolean;

  bar(kind: IBar['kind'], state: string, [from, to]: Span): IBar {
    const start = this._places.get(from) ?? 0;
    return { kind, state, seconds: (to - from) / 1000, start, width: (this._places.get(to) ?? start) - start };
  }

  /** Time → share. */
  private readonly _places = new Map<number, number>();
}
