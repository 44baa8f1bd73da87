/** Formats durations and times for people. */

/** Seconds in at most two units: `2 d 4 h`, `59 s`, `0.4 s`. */
export function spoken(seconds: number): string {
  if (seconds < 10) {
    return `${Math.max(0, Math.round(seconds * 10) / 10)} s`;
  }
  let rest = Math.round(seconds);
  const parts: string[] = [];
  for (const [unit, size] of [
    ['d', 86400],
    ['h', 3600],
    ['min', 60],
    ['s', 1]
  ] as const) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || parts.length > 0) {
      parts.push(count > 0 ? `${count} ${unit}` : '');
    }
    if (parts.length === 2) {
      break;
    }
  }
  return parts.filter(Boolean).join(' ');
}

/** The time left until a moment: `23 h 59 min left`, or that it is over. */
export function countdown(deadline: string, now: number): string {
  const left = (Date.parse(deadline) - now) / 1000;
  // Whole seconds, so that the last ten do not flicker.
  return left > 0 ? `${spoken(left < 10 ? Math.ceil(left) : left)} left` : 'time is over';
}

/** The time left until a moment, in one unit: `23 h left`. */
export function left(deadline: string, now: number): string {
  const words = countdown(deadline, now);
  const [count, unit] = words.split(' ');
  return words.endsWith('left') ? `${count} ${unit} left` : words;
}

/** The time since a moment, in one unit: `just now`, `5 min ago`, or the date. */
export function ago(moment: string, now: number): string {
  const seconds = (now - Date.parse(moment)) / 1000;
  if (seconds < 10) {
    return 'just now';
  }
  if (seconds < 60) {
    return `${Math.floor(seconds / 10) * 10} s ago`;
  }
  if (seconds < 86400) {
    return seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : `${Math.floor(seconds / 3600)} h ago`;
  }
  return new Date(moment).toLocaleDateString(undefined, { dateStyle: 'medium' });
}

/** Date and time with the zone, as this browser writes them. */
export function at(moment: string): string {
  return new Date(moment).toLocaleString(undefined, { ...MOMENT, year: 'numeric', timeZoneName: 'short' });
}

/** Date and time without the year and the zone, for a column with `zone` above it. */
export function shortly(moment: string): string {
  return new Date(moment).toLocaleString(undefined, MOMENT);
}

/** The zone in which this browser writes times: `Europe/Berlin (GMT+1)`. */
export function zone(moment: string): string {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const parts = new Intl.DateTimeFormat(undefined, { timeZoneName: 'short' }).formatToParts(new Date(moment));
  const short = parts.find(part => part.type === 'timeZoneName')?.value;
  return short === undefined || short === timeZone ? timeZone : `${timeZone} (${short})`;
}

const MOMENT = {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit'
} as const;
