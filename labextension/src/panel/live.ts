/** Values that follow the server: requested once, and again after events about changes. */

import { useEffect, useRef, useState } from 'react';

import { sentence } from '../actions';
import { IChange, IExecutions } from '../executions';

export interface ILive<T> {
  value: T | null;
  error: string | null;
  isLoading: boolean;
  /** Request the value again. */
  again: () => void;
  /** Change the value until the next request. */
  patch: (change: (value: T) => T) => void;
}

interface IOptions<T> {
  /** Requests the value; a new function for each key. */
  ask: () => Promise<T>;
  /** Identifies the request. */
  key: string;
  isVisible: boolean;
  /** Whether the value must be requested again after these changes; the value may be patched instead. */
  concerns: (changes: IChange[], patch: ILive<T>['patch']) => boolean;
}

/** Shortest time between two requests during many changes. */
const GAP_MS = 300;

export function useLive<T>(executions: IExecutions, { ask, key, isVisible, concerns }: IOptions<T>): ILive<T> {
  const [state, setState] = useState<{ key: string; value: T | null; error: string | null; isLoading: boolean }>({
    key,
    value: null,
    error: null,
    isLoading: true
  });
  const latest = useRef({ ask, concerns });
  latest.current = { ask, concerns };
  const again = useRef<() => void>(() => undefined);
  const patch = useRef<ILive<T>['patch']>(change =>
    setState(old => (old.value === null ? old : { ...old, value: change(old.value) }))
  );

  useEffect(() => {
    if (!isVisible) {
      return undefined;
    }
    let isOver = false;
    let isAsking = false;
    let isStale = false;
    let timer = 0;
    const load = (): void => {
      if (isAsking || timer) {
        isStale = true;
        return;
      }
      isAsking = true;
      isStale = false;
      const done = (change: { value: T; error: null } | { error: string }): void => {
        isAsking = false;
        if (isOver) {
          return;
        }
        setState(old => ({ ...old, ...change, key, isLoading: false }));
        timer = window.setTimeout(() => {
          timer = 0;
          if (isStale) {
            load();
          }
        }, GAP_MS);
      };
      latest.current.ask().then(
        value => done({ value, error: null }),
        (error: unknown) => done({ error: sentence(error) })
      );
    };
    const onChanged = (_: IExecutions, changes: IChange[] | null): void => {
      if (changes === null || latest.current.concerns(changes, patch.current)) {
        load();
      }
    };
    again.current = load;
    executions.changed.connect(onChanged);
    setState(old => ({ ...old, isLoading: true }));
    load();
    return () => {
      isOver = true;
      window.clearTimeout(timer);
      executions.changed.disconnect(onChanged);
    };
  }, [executions, key, isVisible]);

  return { ...state, again: () => again.current(), patch: patch.current };
}

/** The current time, updated every second while the panel is visible. */
export function useNow(isVisible: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!isVisible) {
      return undefined;
    }
    setNow(Date.now());
    const timer = window.setInterval(() => setNow(Date.now()), 1000);
    return () => window.clearInterval(timer);
  }, [isVisible]);
  return now;
}
