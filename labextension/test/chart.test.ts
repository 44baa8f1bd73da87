import { describe, expect, it } from 'vitest';

import type { IExecution, IHistory } from '../src/api';
import { chartOf } from '../src/panel/chart';

const minute = (n: number): string => new Date(Date.UTC(2026, 10, 20, 12, n)).toISOString();
const run = { run: 1, state: 'finished', attempts: 1 };
const wait = { segment: 0, kind: 'suspend', state: 'settled', action: 'resume', settled_by: 'link' };

function execution(ended: string | null): IExecution {
  const segments = [
    { segment: 0, state: 'suspended', started_at: minute(0), ended_at: minute(2), attempts: 1, compute_seconds: 120 },
    { segment: 1, state: 'completed', started_at: minute(1002), ended_at: ended, attempts: 1, compute_seconds: 60 }
  ];
  return { steps: {}, ended_at: ended, usage: { segments } } as unknown as IExecution;
}

const history: IHistory = {
  steps: ['train', 'approve', 'publish', 'tell'],
  runs: [
    { ...run, step: 'train', started_at: minute(0), ended_at: minute(1) },
    { ...run, step: 'approve', started_at: minute(1), ended_at: minute(2), attempts: 2 },
    { ...run, step: 'publish', started_at: minute(1002), ended_at: null }
  ],
  suspensions: [{ ...wait, step: 'approve', since: minute(2), settled_at: minute(1002) }]
};

describe('a chart of steps', () => {
  it('has a row for every step in order, also for those to come', () => {
    const { rows } = chartOf(execution(null), history, Date.parse(minute(1003)));

    expect(rows.map(row => [row.step, row.bars.length])).toEqual([
      ['train', 1],
      ['approve', 2],
      ['publish', 1],
      ['tell', 0]
    ]);
  });

  it('tells how long a step ran and waited, and how often it was tried', () => {
    const { rows } = chartOf(execution(null), history, Date.parse(minute(1003)));

    expect(rows[1]).toMatchObject({ worked: 60, waited: 60000, attempts: 2, startedAt: minute(1) });
    expect(rows[2]).toMatchObject({ worked: 60, waited: 0 });
    expect(rows[3]).toMatchObject({ worked: 0, startedAt: null });
  });

  it('draws a long wait shorter, so that work is seen, and says so', () => {
    const { rows, isSqueezed } = chartOf(execution(null), history, Date.parse(minute(1003)));
    const [train, waited] = [rows[0]?.bars[0], rows[1]?.bars[1]];

    expect(isSqueezed).toBe(true);
    expect(train).toMatchObject({ start: 0, width: 1 / 6 });
    expect(waited).toMatchObject({ kind: 'wait', start: 2 / 6, width: 3 / 6 });
  });

  it('draws short waits as they were', () => {
    const short = { ...history, runs: history.runs.slice(0, 2), suspensions: [] };
    const ended = { ...execution(minute(2)), usage: { segments: [] } } as unknown as IExecution;

    expect(chartOf(ended, short, 0).isSqueezed).toBe(false);
  });

  it('ends what never ended with the execution, and not now', () => {
    const { rows } = chartOf(execution(minute(1004)), history, Date.parse(minute(5000)));

    expect(rows[2]?.worked).toBe(120);
  });

  it('is empty for an execution that has not begun', () => {
    const nothing = { steps: {}, ended_at: null, usage: { segments: [] } } as unknown as IExecution;

    expect(chartOf(nothing, { steps: ['a'], runs: [], suspensions: [] }, 0).rows[0]?.bars).toEqual([]);
  });
});
