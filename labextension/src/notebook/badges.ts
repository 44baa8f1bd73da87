/** Badges on `%%step` and `%%setup` cells with their states in the latest execution of the notebook. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Cell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import { IExecution } from '../api';
import { IExecutions } from '../executions';
import { own } from '../own';
import { Commands } from '../tokens';
import { runsOf } from '../words';
import { headerOf, IHeader } from './headers';
import { Latest } from './latest';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:badges',
  description: 'Badges on the cells of steps.',
  autoStart: true,
  requires: [IExecutions, INotebookTracker],
  activate: (app: JupyterFrontEnd, executions: IExecutions, tracker: INotebookTracker): void => {
    const show = (execution: string): void => {
      void app.commands.execute(Commands.show, { execution });
    };
    const add = (panel: NotebookPanel): void => {
      const latest = new Latest(panel, executions);
      const draw = (): void => {
        for (const cell of panel.content.widgets) {
          drawBadge(cell, latest.execution, show);
        }
      };
      latest.changed.connect(draw);
      panel.content.modelContentChanged.connect(draw);
      void panel.context.ready.then(draw);
    };
    tracker.widgetAdded.connect((_, panel) => add(panel));
    tracker.forEach(add);
  }
};

function drawBadge(cell: Cell, execution: IExecution | null, show: (execution: string) => void): void {
  const header = cell.model.type === 'code' ? headerOf(cell.model.sharedModel.getSource()) : null;
  const old = cell.node.querySelector<HTMLButtonElement>(':scope > .pf-badge');
  if (header === null) {
    old?.remove();
    return;
  }
  const badge = old ?? document.createElement('button');
  const { words, state, caption } = describe(header, execution);
  // Called at every keystroke, so unchanged badges are not touched.
  if (badge.textContent !== words || badge.dataset['pfState'] !== state || badge.title !== caption) {
    badge.type = 'button';
    badge.className = 'pf-badge';
    badge.textContent = words;
    badge.dataset['pfState'] = state;
    badge.title = caption;
    badge.setAttribute('aria-label', caption);
    badge.disabled = execution === null;
  }
  badge.onclick = execution === null ? null : () => show(execution.id);
  if (old === null) {
    cell.node.append(badge);
  }
}

function describe(header: IHeader, execution: IExecution | null): { words: string; state: string; caption: string } {
  if (header.kind === 'setup') {
    return { words: 'setup', state: 'setup', caption: 'Setup: runs again in every new kernel' };
  }
  const step = execution === null ? undefined : own(execution.steps, header.name);
  if (execution === null || step === undefined) {
    const caption = execution === null ? 'has not run as a workflow yet' : `not reached in execution ${execution.id}`;
    return { words: header.name, state: 'none', caption: `Step ${header.name}: ${caption}` };
  }
  const runs = runsOf(step) && `, ${runsOf(step)}`;
  return {
    words: `${header.name} · ${step.state}${runs}`,
    state: step.state,
    caption: `Step ${header.name}: ${step.state}${runs}, in execution ${execution.id}`
  };
}

export default plugin;
