/** The panel "Workflows" in the right sidebar, with a count on its icon. */

import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';

import { Actions } from '../actions';
import { IExecutions, MOST } from '../executions';
import { workflowsIcon } from '../icons';
import { Commands, IWorkflowsPanel } from '../tokens';
import { Panel } from './panel';

const plugin: JupyterFrontEndPlugin<IWorkflowsPanel> = {
  id: 'pauseflow-nb:panel',
  description: 'The panel "Workflows".',
  autoStart: true,
  provides: IWorkflowsPanel,
  requires: [IExecutions],
  optional: [IDocumentManager, ILayoutRestorer, ICommandPalette, IRenderMimeRegistry],
  activate: (
    app: JupyterFrontEnd,
    executions: IExecutions,
    documents: IDocumentManager | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    rendermime: IRenderMimeRegistry | null
  ): IWorkflowsPanel => {
    const panel = new Panel(
      executions,
      new Actions(executions.api, app.serviceManager.contents, documents),
      app.commands,
      rendermime
    );
    panel.id = 'pauseflow-panel';
    panel.title.icon = workflowsIcon;
    app.shell.add(panel, 'right', { rank: 850, type: 'Workflows' });
    const count = (): void => {
      const { asking } = executions;
      const shown = asking >= MOST ? `${MOST - 1}+` : String(asking);
      // The sidebar stores its own data there.
      const others = Object.entries(panel.title.dataset).filter(([name]) => name !== 'pf-count');
      panel.title.dataset = Object.fromEntries(asking > 0 ? [...others, ['pf-count', shown]] : others);
      panel.title.caption = asking > 0 ? `Workflows (${shown} waiting for an answer)` : 'Workflows';
    };
    count();
    executions.askingChanged.connect(count);
    restorer?.add(panel, 'pauseflow-panel');

    app.commands.addCommand(Commands.show, {
      label: 'Workflows',
      caption: 'Show executions of notebooks that pause',
      icon: workflowsIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            execution: { type: 'string', description: 'Id of the execution to show; none: the list' },
            keepsFocus: { type: 'boolean', description: 'Whether the focus stays where it is' }
          }
        }
      },
      execute: args => {
        app.shell.activateById(panel.id);
        panel.reveal(typeof args['execution'] === 'string' ? args['execution'] : null);
        if (args['keepsFocus'] !== true) {
          panel.takeFocus();
        }
      }
    });
    palette?.addItem({ command: Commands.show, category: 'Workflows' });
    return panel;
  }
};

export default plugin;
