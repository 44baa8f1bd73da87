/** Refreshes an open output notebook from its file while its execution continues. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import { IChange, IExecutions } from '../executions';

/** Shortest time between two refreshes, each of which reads the whole notebook. */
const GAP_MS = 1000;
/** Delay after an event, because the file is written slightly later. */
const DELAY_MS = 250;

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:follow',
  description: 'Refreshes open output notebooks.',
  autoStart: true,
  requires: [IExecutions, INotebookTracker],
  activate: (_app: JupyterFrontEnd, executions: IExecutions, tracker: INotebookTracker): void => {
    const add = (panel: NotebookPanel): void => {
      const follower = new Follower(panel);
      const onChanged = (_: IExecutions, changes: IChange[] | null): void => follower.notice(changes);
      executions.changed.connect(onChanged);
      panel.disposed.connect(() => {
        executions.changed.disconnect(onChanged);
        follower.stop();
      });
    };
    tracker.widgetAdded.connect((_, panel) => add(panel));
    tracker.forEach(add);
  }
};

class Follower {
  constructor(private readonly _panel: NotebookPanel) {}

  notice(changes: IChange[] | null): void {
    if (!this._panel.context.isReady) {
      return;
    }
    const written: unknown = this._panel.context.model.getMetadata('pauseflow');
    const id = (written as { execution?: unknown } | undefined)?.execution;
    if (typeof id === 'string' && (changes === null || changes.some(each => each.execution === id))) {
      this._soon();
    }
  }

  stop(): void {
    window.clearTimeout(this._timer);
    this._isStopped = true;
  }

  private _soon(): void {
    if (!this._timer) {
      const wait = Math.max(DELAY_MS, this._readAt + GAP_MS - Date.now());
      this._timer = window.setTimeout(() => void this._read(), wait);
    }
  }

  private async _read(): Promise<void> {
    this._timer = 0;
    this._readAt = Date.now();
    const { context, content } = this._panel;
    // Changes of the user are kept.
    if (this._isStopped || context.model.dirty) {
      return;
    }
    const active = content.activeCellIndex;
    const top = content.outerNode.scrollTop;
    await context.revert();
    content.activeCellIndex = Math.min(active, content.widgets.length - 1);
    content.outerNode.scrollTop = top;
  }

  private _timer = 0;
  private _readAt = 0;
  private _isStopped = false;
}

export default plugin;
