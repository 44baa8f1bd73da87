/** Shows a hint when a kernel does not know our headers because the notebook does not import pauseflow_nb. */

import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { Cell } from '@jupyterlab/cells';
import { KernelError, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

const IMPORT = 'from pauseflow_nb import flow, steps';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:hint',
  description: 'Offers to insert the import that makes steps known.',
  autoStart: true,
  activate: (): void => {
    NotebookActions.executed.connect((_, { notebook, cell, error }) => {
      const magic = unknownMagic(error);
      if (magic !== null) {
        Notification.warning(`This kernel does not know ${magic} yet: the notebook has to import pauseflow_nb first.`, {
          autoClose: false,
          actions: [{ label: 'Insert the import and run', callback: () => void insertImport(notebook, cell) }]
        });
      }
    });
  }
};

/** Our magic that a kernel did not find; null for other errors. */
function unknownMagic(error?: KernelError | null): string | null {
  return error?.errorName === 'UsageError' ? (/%%(?:step|fresh|setup)\b/.exec(error.errorValue)?.[0] ?? null) : null;
}

/** Insert the import as a cell above this one, and run both. */
async function insertImport(notebook: Notebook, cell: Cell): Promise<void> {
  const panel = notebook.parent;
  const index = notebook.widgets.indexOf(cell);
  if (index < 0 || !(panel instanceof NotebookPanel)) {
    return;
  }
  notebook.activeCellIndex = index;
  NotebookActions.insertAbove(notebook);
  const added = notebook.activeCell;
  added?.model.sharedModel.setSource(IMPORT);
  if (added) {
    await NotebookActions.runCells(notebook, [added, cell], panel.sessionContext);
  }
}

export default plugin;
