import { describe, expect, it } from 'vitest';

import type { IAuditLine, IExecution, ISuspension, ITrigger } from '../src/api';
import {
  boundOf,
  consequences,
  happened,
  lastOf,
  lossesOf,
  nameOf,
  question,
  reasonOf,
  runsOf,
  silence,
  starterOf,
  startOf,
  stateWord,
  summary,
  timingOf,
  who
} from '../src/words';

const NOON = Date.parse('2026-11-20T12:00:00Z');

const suspension: ISuspension = {
  execution: 'abc',
  path: ['approve'],
  step: 'approve',
  kind: 'suspend',
  since: '2026-11-20T11:00:00Z',
  deadline: null,
  on_timeout: 'cancel',
  title: null,
  message: null,
  data_as_text: { rows: [], text: null },
  shown: null,
  schema: null,
  form: null,
  approvals: { needed: 1, given: [] },
  allow: ['resume', 'cancel'],
  labels: { resume: 'Approve', cancel: 'Cancel the run' },
  drift: [],
  refusals: { resume: null, cancel: null },
  approval_url: null
};

describe('sentences', () => {
  it('name people, and hide the names of processes', () => {
    expect(who('user:ada')).toBe('ada');
    expect(who('link')).toBe('someone with the link');
    expect(who('host:4711:2')).toBe('a worker');
  });

  it('say what happened', () => {
    const line: IAuditLine = {
      at: '',
      what: 'settled',
      by: 'link',
      segment: 0,
      step: 'approve',
      details: { action: 'resume', decision: 'Approved' }
    };

    expect(happened(line)).toBe('approve: Approved by someone with the link');
    expect(happened({ ...line, details: { decision: 'Cancelled', comment: 'too dear' } })).toBe(
      'approve: Cancelled by someone with the link: “too dear”'
    );
    expect(happened({ ...line, details: { action: 'resume' } })).toBe('approve: Settled by someone with the link');
    expect(happened({ ...line, what: 'suspended', by: 'step:approve', details: {} })).toBe('Suspended by step approve');
  });

  it('say what happens without an answer, and when', () => {
    const until = { ...suspension, deadline: '2026-11-21T12:00:00Z' };

    expect(silence(suspension, NOON)).toBe('It waits until somebody answers; there is no deadline.');
    expect(silence(until, NOON)).toMatch(/^Without an answer the run is cancelled: 1 d left \(.*2026.*\)\.$/);
    expect(silence({ ...until, on_timeout: 'resume' }, NOON)).toContain('the run continues');
    expect(silence({ ...until, kind: 'rerun' }, NOON)).toContain('runs again by itself');
  });

  it('say what the buttons do, in the words of the author', () => {
    expect(consequences(suspension)).toBe('“Approve” lets the run continue. “Cancel the run” ends it.');
    expect(consequences({ ...suspension, labels: { resume: 'Ship', cancel: 'Stop' } })).toBe(
      '“Ship” lets the run continue. “Stop” ends it.'
    );
    const back: ISuspension = {
      ...suspension,
      allow: ['resume', 'send_back'],
      labels: { resume: 'Ship', cancel: 'Stop', send_back: 'Rework' }
    };
    expect(consequences(back)).toBe('“Ship” lets the run continue. “Rework” runs the step again with your comment.');
  });

  it('say who started it, with which parameters', () => {
    const execution = { created_by: 'user:ada', created_at: '2026-11-20T11:00:00Z', parameters: { trees: 7 } };

    expect(startOf(execution as unknown as IExecution, NOON)).toBe('Started by ada 1 h ago, with trees = 7');
    expect(startOf({ ...execution, parameters: {} } as unknown as IExecution, NOON)).toBe('Started by ada 1 h ago');
    const byTrigger = (kind: string) => ({ ...execution, parameters: {}, trigger: { id: '3f2a', kind } });
    expect(starterOf(byTrigger('http') as unknown as IExecution)).toBe('HTTP trigger 3f2a of ada');
    expect(startOf(byTrigger('schedule') as unknown as IExecution, NOON)).toBe(
      'Started by schedule 3f2a of ada 1 h ago'
    );
  });

  it('name a state by its own word', () => {
    expect(stateWord('suspended')).toBe('Suspended');
    expect(stateWord('hibernating')).toBe('Hibernating');
  });

  it('ask even without a title', () => {
    expect(question(suspension)).toBe('Step approve waits for an answer');
    expect(question({ ...suspension, title: 'Publish?' })).toBe('Publish?');
  });

  it('give the reason of an end', () => {
    const execution = { state: 'cancelled', error: null, reason: { kind: 'user', by: 'user:ada', text: null } };

    expect(reasonOf(execution as unknown as IExecution)).toBe('cancelled by ada');
  });

  it('say why an execution cannot be shown', () => {
    const problem = 'this execution cannot be shown: its state is unknown here';
    const execution = { state: 'hibernating', error: null, reason: null, problem };

    expect(reasonOf(execution as unknown as IExecution)).toBe(problem);
  });

  it('say how it is known who it was', () => {
    const line = { at: '', what: 'started', by: 'user:root', segment: 0, step: null, details: {} };

    expect(happened({ ...line, known_by: 'account', via: 'sudo by bob' })).toBe(
      'Started by root (account, via sudo by bob)'
    );
    expect(happened({ ...line, by: 'link', known_by: 'link' })).toBe('Started by someone with the link');
  });

  it('say what a kept kernel means', () => {
    const execution = { kernel_bound: ['lock', 'file'] } as unknown as IExecution;

    expect(boundOf(execution)).toBe(
      'It keeps its kernel: later cells need lock, file, which cannot be saved. If the worker restarts, it fails.'
    );
    expect(boundOf({ ...execution, kernel_bound: [] })).toBe('');
  });

  it('name what could not be restored, first what a cell needs', () => {
    const losses = [
      { needed_by: [], text: 'figure could not be restored: gone. No later cell needs it.' },
      { needed_by: [3], text: 'budget could not be restored: gone. Cell 4 needs it.' },
      { needed_by: [3], text: 'budget could not be restored: gone. Cell 4 needs it.' }
    ];

    expect(lossesOf({ losses } as unknown as IExecution)).toEqual([losses[1]?.text, losses[0]?.text]);
    expect(lossesOf({ losses: [] } as unknown as IExecution)).toEqual([]);
  });

  it('shorten paths and values', () => {
    expect(nameOf('/work/notebooks/report.ipynb')).toBe('report.ipynb');
    expect(summary({ trees: 200, who: 'ada' })).toBe('trees = 200, who = "ada"');
  });
});

describe('runs of a step', () => {
  it.each([
    [1, null, ''],
    [2, null, 'run 2'],
    [1, 4, 'run 1 of 4']
  ])('%s of %s', (runs, most_runs, words) => {
    const step = { state: 'suspended', runs, most_runs, started_at: null, ended_at: null, exports: {} };

    expect(runsOf(step)).toBe(words);
  });
});

describe('a trigger', () => {
  const trigger: ITrigger = {
    id: 'k3v9',
    kind: 'schedule',
    state: 'active',
    notebook: '/work/report.ipynb',
    schedule: { cron: '0 8 * * 1-5', zone: 'Europe/Berlin', every_seconds: null, at: null },
    next_at: null,
    last: null,
    url: null
  };
  const facts = { at: '2026-11-20T11:55:00Z', execution: 'abc', text: null };

  it.each([
    [trigger.schedule, '0 8 * * 1-5 (Europe/Berlin)'],
    [{ cron: null, zone: null, every_seconds: 600, at: null }, 'Every 10 min'],
    [{ cron: null, zone: null, every_seconds: null, at: '2030-01-31T08:00:00Z' }, 'Once'],
    [null, 'By HTTP']
  ])('says when it starts', (schedule, words) => {
    expect(timingOf({ ...trigger, schedule })).toBe(words);
  });

  it('says what became of the last time', () => {
    expect(lastOf(trigger, NOON)).toBe('Nothing started yet');
    expect(lastOf({ ...trigger, last: { ...facts, what: 'started' } }, NOON)).toBe('Last: started 5 min ago');
    expect(lastOf({ ...trigger, last: { ...facts, what: 'failed', text: 'no file' } }, NOON)).toBe(
      'Last: failed: no file (5 min ago)'
    );
  });
});
