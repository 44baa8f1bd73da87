/** Changes of executions for the whole front end, as events from the server instead of polling. */

import { Event } from '@jupyterlab/services';
import { Token } from '@lumino/coreutils';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, IExecution, State } from './api';
import { ASKING, asksSomebody } from './words';

/** `server/api/changes.v1.yaml` */
export const SCHEMA = 'https://schema.pauseflow-nb.org/changes/v1';

export interface IChange {
  execution: string;
  state: State;
  cells: { done: number; total: number };
  /** New lines of the audit trail; empty for progress. */
  what: string[];
  steps: string[];
}

interface IEmission {
  schema_id: string;
  after?: string;
  tip?: string;
  changes?: IChange[];
}

export interface IExecutions {
  readonly api: Api;
  /** Changes as they arrive; null if some were missed, so that anything may have changed. */
  readonly changed: ISignal<IExecutions, IChange[] | null>;
  /** Executions that have begun to wait for a person. */
  readonly began: ISignal<IExecutions, IExecution>;
  /** How many wait for a person; at most `MOST`. */
  readonly asking: number;
  readonly askingChanged: ISignal<IExecutions, number>;
  /** Whether events arrive from the server. */
  readonly isHeard: boolean;
  readonly heardChanged: ISignal<IExecutions, boolean>;
}

export const IExecutions = new Token<IExecutions>(
  'pauseflow-nb:IExecutions',
  'Executions of notebooks that pause, and what happens to them.'
);

/** More waiting executions than this are shown as "99+". */
export const MOST = 100;

/** The server sends an event every two seconds, even without changes. */
const SILENCE_MS = 7000;

export class Executions implements IExecutions, IDisposable {
  constructor(
    readonly api: Api,
    private readonly _events: Event.IManager
  ) {
    this._events.stream.connect(this._onEvent, this);
    this._listenAgain();
    this._recount();
  }

  readonly changed = new Signal<this, IChange[] | null>(this);
  readonly began = new Signal<this, IExecution>(this);
  readonly askingChanged = new Signal<this, number>(this);
  readonly heardChanged = new Signal<this, boolean>(this);

  get asking(): number {
    return this._asking.size;
  }

  get isHeard(): boolean {
    return this._isHeard;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    window.clearTimeout(this._silence);
    Signal.clearData(this);
  }

  private _onEvent(_: Event.IManager, emission: Event.Emission): void {
    const event = emission as unknown as IEmission;
    if (event.schema_id !== SCHEMA || this._isDisposed) {
      return;
    }
    // Also at the first one: the connection opens some time after the page was loaded.
    const hasMissed = event.after !== this._tip;
    this._tip = event.tip ?? '';
    this._hear(true);
    this._listenAgain();
    const changes = event.changes ?? [];
    if (hasMissed) {
      this.changed.emit(null);
      this._recount();
      return;
    }
    if (changes.length > 0) {
      this.changed.emit(changes);
      this._count(changes);
    }
  }

  /** Follow the number of waiting executions, and announce new ones. */
  private _count(changes: IChange[]): void {
    const before = this._asking.size;
    for (const change of changes) {
      if (ASKING.includes(change.state)) {
        const isNew = !this._asking.has(change.execution) || change.what.includes(change.state);
        this._asking.add(change.execution);
        if (isNew) {
          void this._tell(change.execution);
        }
      } else {
        this._asking.delete(change.execution);
      }
    }
    if (this._asking.size !== before) {
      this.askingChanged.emit(this._asking.size);
    }
  }

  private async _tell(id: string): Promise<void> {
    try {
      const execution = await this.api.get(id);
      if (ASKING.includes(execution.state) && execution.suspended.some(asksSomebody)) {
        this.began.emit(execution);
      }
    } catch {
      // It was removed, or the server does not answer: there is nothing to announce.
    }
  }

  /** Count again, one count after the other; executions that already wait when the page opens are not announced. */
  private _recount(): void {
    this._counting = this._counting.then(async () => {
      try {
        const { executions } = await this.api.list({ states: ASKING, limit: MOST });
        const known = this._known;
        this._known = this._asking = new Set(executions.map(each => each.id));
        this.askingChanged.emit(this._asking.size);
        if (known !== null) {
          executions.filter(each => !known.has(each.id)).forEach(each => this.began.emit(each));
        }
      } catch {
        // The server does not answer; the next event counts again.
        this._tip = '';
      }
    });
  }

  private _listenAgain(): void {
    window.clearTimeout(this._silence);
    this._silence = window.setTimeout(() => this._hear(false), SILENCE_MS);
  }

  private _hear(isHeard: boolean): void {
    if (isHeard !== this._isHeard) {
      this._isHeard = isHeard;
      this.heardChanged.emit(isHeard);
    }
  }

  private _asking = new Set<string>();
  /** The set of executions after the first count. */
  private _known: Set<string> | null = null;
  private _counting = Promise.resolve();
  private _tip = '';
  private _isHeard = true;
  private _isDisposed = false;
  private _silence = 0;
}
