import { describe, expect, it } from 'vitest';

import type { IAuditLine, IExecution, ISuspension } from '../src/api';
import {
  afterwards,
  ago,
  boundOf,
  countdown,
  happened,
  lossesOf,
  nameOf,
  question,
  reasonOf,
  runsOf,
  spoken,
  summary,
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
  data: null,
  schema: null,
  approvals: { needed: 1, given: [] },
  approval_url: null
};

describe('spoken', () => {
  it.each([
    [0.04, '0 s'],
    [0.44, '0.4 s'],
    [59, '59 s'],
    [60, '1 min'],
    [3601, '1 h'],
    [3660, '1 h 1 min'],
    [86399, '23 h 59 min'],
    [86400, '1 d'],
    [190800, '2 d 5 h']
  ])('%d seconds are %s', (seconds, words) => {
    expect(spoken(seconds)).toBe(words);
  });
});

describe('times', () => {
  it('count down in whole seconds at the end', () => {
    expect(countdown('2026-11-20T12:00:03.200Z', NOON)).toBe('4 s left');
    expect(countdown('2026-11-21T12:00:00Z', NOON)).toBe('1 d left');
  });

  it('say that they are over', () => {
    expect(countdown('2026-11-20T11:59:59Z', NOON)).toBe('time is over');
  });

  it('are told as seen from now', () => {
    expect(ago('2026-11-20T11:59:55Z', NOON)).toBe('just now');
    expect(ago('2026-11-20T11:59:15Z', NOON)).toBe('40 s ago');
    expect(ago('2026-11-20T11:55:10Z', NOON)).toBe('4 min ago');
    expect(ago('2026-11-20T09:30:00Z', NOON)).toBe('2 h ago');
  });
});

describe('sentences', () => {
  it('name people, and hide the names of processes', () => {
    expect(who('user:ada')).toBe('ada');
    expect(who('link')).toBe('a link');
    expect(who('host:4711:2')).toBe('a worker');
  });

  it('say what happened', () => {
    const line: IAuditLine = {
      at: '',
      what: 'settled',
      by: 'link',
      segment: 0,
      step: 'approve',
      details: { action: 'resume' }
    };

    expect(happened(line)).toBe('approve resumed by a link');
    expect(happened({ ...line, details: { action: 'cancel', comment: 'too dear' } })).toBe(
      'approve cancelled by a link: “too dear”'
    );
    expect(happened({ ...line, what: 'suspended', by: 'step:approve', details: {} })).toBe('suspended by step approve');
  });

  it('say what the clock will do', () => {
    expect(afterwards(suspension)).toBe('then it is cancelled');
    expect(afterwards({ ...suspension, kind: 'rerun' })).toBe('then it runs again');
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
      'started by root (account, via sudo by bob)'
    );
    expect(happened({ ...line, by: 'link', known_by: 'link' })).toBe('started by a link');
  });

  it('say what a kept kernel means', () => {
    const execution = { kernel_bound: ['lock', 'file'] } as unknown as IExecution;

    expect(boundOf(execution)).toBe(
      'It keeps its kernel: later cells need lock, file, which cannot be saved. If the worker restarts, it fails.'
    );
    expect(boundOf({ ...execution, kernel_bound: [] })).toBe('');
  });

  it('name what did not come back, first what a cell needs', () => {
    const losses = [
      { needed_by: [], text: 'figure did not come back: gone. No later cell needs it.' },
      { needed_by: [3], text: 'budget did not come back: gone. Cell 4 needs it.' },
      { needed_by: [3], text: 'budget did not come back: gone. Cell 4 needs it.' }
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
