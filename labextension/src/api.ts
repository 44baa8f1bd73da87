/** The REST API of pauseflow_nb; nothing else here asks the server. `server/openapi.yaml` describes it. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { JSONObject, PartialJSONObject } from '@lumino/coreutils';

import { Entries, IControl, Problems } from './form/draft';
import { asksSomebody } from './words';

export type State = 'queued' | 'running' | 'suspended' | 'waiting' | 'paused' | 'completed' | 'failed' | 'cancelled';

export type Action = 'resume' | 'send_back' | 'cancel';

export interface ISuspension {
  /** Whose it is: of a nested one, the child's id. */
  execution: string;
  /** The steps of the parents, and the one that waits. */
  path: string[];
  /** Null where somebody paused it from outside, between two steps. */
  step: string | null;
  kind: string;
  since: string;
  deadline: string | null;
  on_timeout: string;
  title: string | null;
  message: string | null;
  /** What the step shows with its question. */
  data_as_text: IShown;
  /** What was shown, to be sent back with the answer; null: an earlier version noted nothing. */
  shown: string | null;
  /** What has changed since the answer before, one fresh cell each; empty: nothing. */
  drift: IDrift[];
  schema: JSONObject | null;
  /** The fields that the answer has; null: any text. */
  form: IControl | null;
  approvals: { needed: number; given: unknown[] };
  /** What an answer may do, in the order of the buttons. */
  allow: Action[];
  /** The words on the buttons. */
  labels: Partial<Record<Action, string>> & { resume: string; cancel: string };
  /** Why the person who asks may not do what is allowed; null: may. */
  refusals: Partial<Record<Action, string | null>>;
  /** Null for those who may not resume. */
  approval_url: string | null;
}

/** `data` as texts: a browser would round its large numbers. */
export interface IShown {
  rows: [name: string, value: string][];
  text: string | null;
}

/** A fresh cell whose value is not the one that was shown any more. */
export interface IDrift {
  name: string;
  /** In words, what differs. */
  reason: string;
  rows: { place: string; old: string; new: string; changed: boolean }[];
  /** How many more have changed than the rows show. */
  more: number;
}

export interface IStep {
  state: string;
  runs: number;
  /** With those that `max_retries` still allows; null: it never asked to run again. */
  most_runs: number | null;
  started_at: string | null;
  ended_at: string | null;
  exports: JSONObject;
  /** What a person should know of it. */
  notes: string[];
}

export interface ISegment {
  segment: number;
  state: string;
  started_at: string | null;
  ended_at: string | null;
  attempts: number;
  compute_seconds: number;
}

export interface ILoss {
  segment: number;
  /** Null: something else than a variable, which the reason names. */
  name: string | null;
  type: string | null;
  reason: string;
  /** Indices of the cells that may need it. */
  needed_by: number[];
  /** All of it as a sentence. */
  text: string;
}

export interface IExecution {
  id: string;
  /** Whole path on the server. */
  notebook: string;
  /** Whole path on the server; null: only in the store. */
  output: string | null;
  parameters: JSONObject;
  state: State;
  reason: { kind: string | null; by: string | null; text: string | null } | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  created_by: string;
  /** What started it by itself; null: somebody did, or another execution. */
  trigger: { id: string; kind: 'http' | 'schedule' } | null;
  segment: number;
  /** That no worker would run it now, as a sentence; null: one would, or it is not queued. */
  no_worker: string | null;
  /** Variables that cannot be saved, for which it keeps its kernel while it waits. */
  kernel_bound: string[];
  /** What new kernels could not restore. */
  losses: ILoss[];
  cells: { done: number; total: number };
  steps: Record<string, IStep>;
  suspended: ISuspension[];
  usage: { compute_seconds: number; suspended_seconds: number; wakeups: number; segments: ISegment[] };
  error: { type: string; message: string; cell: number | null; step: string | null } | null;
  /** Why it cannot be shown; what could not be read of it is empty then. */
  problem?: string;
  /** Only if it was asked for. */
  history?: IHistory;
}

export interface IHistory {
  /** All steps of the notebook, in order. */
  steps: string[];
  runs: IRun[];
  suspensions: ISettled[];
}

/** One run of a step. */
export interface IRun {
  step: string;
  run: number;
  state: string;
  attempts: number;
  started_at: string | null;
  ended_at: string | null;
}

export interface ISettled {
  segment: number;
  step: string;
  kind: string;
  since: string;
  state: string;
  action: string | null;
  settled_by: string | null;
  settled_at: string | null;
}

/** A line of the audit trail. */
export interface IAuditLine {
  at: string;
  what: string;
  by: string;
  /** How it is known who it was: link, login, account. */
  known_by?: string | null;
  /** Who called sudo or doas. */
  via?: string | null;
  segment: number | null;
  step: string | null;
  details: JSONObject;
}

/** What starts executions of a notebook: requests to its URL, or a schedule. */
export interface ITrigger {
  id: string;
  kind: 'http' | 'schedule';
  state: 'active' | 'paused' | 'ended';
  /** Whole path on the server. */
  notebook: string;
  schedule: { cron: string | null; zone: string | null; every_seconds: number | null; at: string | null } | null;
  /** Null: by requests only, paused, or ended. */
  next_at: string | null;
  /** What became of the last due time or request. */
  last: {
    what: 'started' | 'skipped' | 'queued' | 'missed' | 'failed';
    at: string;
    execution: string | null;
    text: string | null;
  } | null;
  /** Null for a schedule, and for those who may not start executions. */
  url: string | null;
}

export interface IPage {
  executions: IExecution[];
  /** Null on the last page. */
  next_offset: number | null;
}

export interface IQuery {
  states?: readonly State[];
  text?: string;
  limit?: number;
  offset?: number;
}

export interface IStart {
  /** Relative to the server's root directory. */
  notebook: string;
  output: string | null;
  /** The parameters, as they stand in the form that `inspect` gave. */
  form: Entries;
}

/** What the server reads from a notebook. */
export interface IInspection {
  /** Its parameters; null: none. */
  form: IControl | null;
}

const NO_EXTENSION =
  'This Jupyter server has not loaded pauseflow_nb. Install it where the server runs ' +
  '(pip install pauseflow-nb), run "jupyter server extension enable pauseflow_nb", and restart the server.';

/** An answer that is none: what the server says, in its words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** What is wrong with a form. */
    readonly problems: Problems = {}
  ) {
    super(message);
    this.name = 'Refused';
  }
}

export class Api {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  list(query: IQuery = {}): Promise<IPage> {
    const words = new URLSearchParams();
    if (query.states?.length) {
      words.set('state', query.states.join(','));
    }
    if (query.text) {
      words.set('q', query.text);
    }
    words.set('limit', String(query.limit ?? 50));
    words.set('offset', String(query.offset ?? 0));
    return this._ask<IPage>(`executions?${words.toString()}`);
  }

  get(execution: string, withHistory = false): Promise<IExecution> {
    return this._ask<IExecution>(`${path(execution)}${withHistory ? '?history=1' : ''}`);
  }

  /** Look at the parameters of a notebook. */
  inspect(content: PartialJSONObject): Promise<IInspection> {
    return this._ask<IInspection>('inspect', { content });
  }

  start(request: IStart): Promise<IExecution> {
    return this._ask<IExecution>('executions', { ...request });
  }

  /** Answer one suspension with the texts of its form. */
  async resume(suspension: ISuspension, form: Entries = {}): Promise<void> {
    const { execution, step, shown } = suspension;
    // What the clock will wake takes no answer.
    const answer = asksSomebody(suspension) ? { step, form, shown } : { step, shown };
    await this._ask<JSONObject>(`${path(execution)}/resume`, answer);
  }

  /** Let the step run again with what is to change. */
  async sendBack(suspension: ISuspension, comment: string): Promise<void> {
    const { execution, step, shown } = suspension;
    await this._ask<JSONObject>(`${path(execution)}/send_back`, { step, shown, ...(comment && { comment }) });
  }

  cancel(execution: string, text?: string): Promise<IExecution> {
    return this._ask<IExecution>(`${path(execution)}/cancel`, text ? { text } : {});
  }

  /** Let it continue from its last checkpoint, or run again from a step. */
  retry(execution: string, step?: string): Promise<IExecution> {
    return this._ask<IExecution>(`${path(execution)}/retry`, step === undefined ? {} : { from: step });
  }

  /** Let it continue with an edited notebook: cells that were changed run again, and all after them. */
  retryWith(execution: string, notebook: string): Promise<IExecution> {
    return this._ask<IExecution>(`${path(execution)}/retry`, { notebook });
  }

  /** The executed notebook as the store has it. */
  outputs(execution: string): Promise<PartialJSONObject> {
    return this._ask<PartialJSONObject>(`${path(execution)}/outputs`);
  }

  async listTriggers(): Promise<ITrigger[]> {
    return (await this._ask<{ triggers: ITrigger[] }>('triggers')).triggers;
  }

  async changeTrigger(trigger: string, what: 'pause' | 'resume'): Promise<void> {
    await this._ask<ITrigger>(`triggers/${encodeURIComponent(trigger)}/${what}`, {});
  }

  /** Start an execution now. */
  runTrigger(trigger: string): Promise<IExecution> {
    return this._ask<IExecution>(`triggers/${encodeURIComponent(trigger)}/run`, {});
  }

  async audit(execution: string): Promise<IAuditLine[]> {
    return (await this._ask<{ events: IAuditLine[] }>(`${path(execution)}/events`)).events;
  }

  private async _ask<T>(where: string, body?: PartialJSONObject): Promise<T> {
    const url = URLExt.join(this._settings.baseUrl, 'pauseflow/api') + `/${where}`;
    const request = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, request, this._settings);
    } catch {
      throw new Refused(0, 'The server cannot be reached.');
    }
    const said: unknown = await response.json().catch(() => null);
    if (!response.ok) {
      throw refusal(response.status, said);
    }
    return said as T;
  }
}

function path(execution: string): string {
  return `executions/${encodeURIComponent(execution)}`;
}

/** What a response that is not a success says to people. */
export function refusal(status: number, said: unknown): Refused {
  const body = (said ?? {}) as { error?: unknown; message?: unknown; errors?: unknown };
  if (status === 404 && typeof body.error !== 'string') {
    // Ours has a sentence: this is Jupyter's own, for an address that it does not know.
    return new Refused(status, NO_EXTENSION);
  }
  const words = [body.error, body.message].find(each => typeof each === 'string' && each) as string | undefined;
  return new Refused(status, words ?? `The server answers ${status}.`, problemsIn(body.errors));
}

function problemsIn(errors: unknown): Problems {
  const found: Problems = {};
  for (const { input } of Array.isArray(errors) ? (errors as { input?: { name: string; message: string } }[]) : []) {
    if (input !== undefined) {
      found[input.name] = [found[input.name], input.message].filter(Boolean).join('; ');
    }
  }
  return found;
}
