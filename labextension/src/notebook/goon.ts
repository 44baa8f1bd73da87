/** After an answer to a step in test mode, runs the cells that *Run All* could not run because of it. */

import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Cell, CodeCell } from '@jupyterlab/cells';
import { KernelError, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:go-on',
  description: 'Runs the cells below a step that was answered by hand.',
  autoStart: true,
  activate: (): void => {
    const pauses = new WeakMap<Notebook, Pause>();
    NotebookActions.executed.connect((_, { notebook, cell, success, error }) => {
      const pause = pauses.get(notebook);
      if (isPaused(cell, error)) {
        pause?.forget();
        pauses.set(notebook, new Pause(notebook, cell));
      } else if (success) {
        pause?.leaveOut(cell);
      } else if (isAborted(error)) {
        pause?.add(cell);
      }
    });
  }
};

/** The metadata of our outputs. */
type State = 'open' | 'approved' | 'again' | 'cancelled' | 'dropped';

/** A step that stopped *Run All*, and the cells that did not run because of it. */
class Pause {
  constructor(
    private readonly _notebook: Notebook,
    private readonly _cell: CodeCell
  ) {
    this._cell.model.outputs.changed.connect(this._look, this);
  }

  add(cell: Cell): void {
    this._rest.push(cell);
  }

  leaveOut(cell: Cell): void {
    this._rest = this._rest.filter(each => each !== cell);
  }

  forget(): void {
    this._isOver = true;
    if (!this._cell.isDisposed) {
      this._cell.model.outputs.changed.disconnect(this._look, this);
    }
  }

  private _look(): void {
    const state = stateOf(this._cell);
    if (this._isOver || state === 'open') {
      return;
    }
    this.forget();
    const again = state === 'again' ? [this._cell] : [];
    if (state === 'approved' || state === 'again') {
      this._run([...again, ...this._rest].filter(cell => !cell.isDisposed));
    }
  }

  private _run(cells: Cell[]): void {
    const panel = this._notebook.parent;
    if (cells.length > 0 && panel instanceof NotebookPanel) {
      void NotebookActions.runCells(this._notebook, cells, panel.sessionContext);
    }
  }

  private _rest: Cell[] = [];
  private _isOver = false;
}

function isPaused(cell: Cell, error?: KernelError | null): cell is CodeCell {
  return error?.errorName === 'Paused' && cell instanceof CodeCell && stateOf(cell) === 'open';
}

/** Jupyter's reply for a cell that was queued behind a failed one names no error. */
function isAborted(error?: KernelError | null): boolean {
  return error !== null && error !== undefined && !error.errorName;
}

function stateOf(cell: CodeCell): State | null {
  const { outputs } = cell.model;
  for (let n = outputs.length - 1; n >= 0; n--) {
    const noted = outputs.get(n).metadata['pauseflow'] as { by_hand?: State } | undefined;
    if (noted?.by_hand) {
      return noted.by_hand;
    }
  }
  return null;
}

export default plugin;
