import { describe, expect, it } from 'vitest';

import { ago, at, countdown, spoken, zone } from '../src/times';

const NOON = Date.parse('2026-11-20T12:00:00Z');

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

  it('say date, year and zone', () => {
    expect(at('2026-11-20T11:00:00Z')).toMatch(/2026/);
    expect(at('2026-11-20T11:00:00Z')).toMatch(/[A-Z]{3}|GMT|UTC/);
    expect(zone('2026-11-20T11:00:00Z')).not.toBe('');
  });
});
