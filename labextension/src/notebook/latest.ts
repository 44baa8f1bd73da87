/** Finds the execution of a notebook: the one that wrote it, or otherwise its latest one. */

import { NotebookPanel } from '@jupyterlab/notebook';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { IExecution } from '../api';
import { IChange, IExecutions } from '../executions';
import { onServer, rootOfServer } from '../paths';

/** Follows that execution while the notebook is open. */
export class Latest implements IDisposable {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _executions: IExecutions
  ) {
    _panel.disposed.connect(() => this.dispose());
    _executions.changed.connect(this._onChanged, this);
    _panel.context.pathChanged.connect(() => void this._find());
    void _panel.context.ready.then(() => this._find());
  }

  readonly changed: ISignal<this, IExecution | null> = new Signal<this, IExecution | null>(this);

  get execution(): IExecution | null {
    return this._execution;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      Signal.clearData(this);
    }
  }

  private _onChanged(_: IExecutions, changes: IChange[] | null): void {
    const concerns = changes === null || changes.some(each => this._concerns(each));
    if (concerns && !this._isDisposed) {
      window.clearTimeout(this._timer);
      this._timer = window.setTimeout(() => void this._find(), 100);
    }
  }

  private _concerns(change: IChange): boolean {
    // A new execution may be one of this notebook.
    return change.execution === this._execution?.id || change.what.includes('started');
  }

  private async _find(): Promise<void> {
    try {
      const found = await this._ask();
      if (!this.isDisposed) {
        this._execution = found;
        (this.changed as Signal<this, IExecution | null>).emit(found);
      }
    } catch {
      // The server does not answer, or the execution was removed: keep the last value.
    }
  }

  private async _ask(): Promise<IExecution | null> {
    const written: unknown = this._panel.context.model.getMetadata('pauseflow');
    const id = (written as { execution?: unknown } | undefined)?.execution;
    if (typeof id === 'string') {
      return this._executions.api.get(id);
    }
    const path = onServer(this._panel.context.path, rootOfServer());
    if (path === null) {
      return null;
    }
    const { executions } = await this._executions.api.list({ text: path, limit: 5 });
    return executions.find(each => each.notebook === path) ?? null;
  }

  private _execution: IExecution | null = null;
  private _isDisposed = false;
  private _timer = 0;
}
