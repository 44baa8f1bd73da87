/** Shows the next command when a kernel does not know pauseflow_nb: not imported, not installed, or another name. */

import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { Cell } from '@jupyterlab/cells';
import { KernelError, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

const IMPORT = 'from pauseflow_nb import flow, steps';
const INSTALL = '%pip install pauseflow-nb';

interface IHint {
  message: string;
  action: string;
  /** Do what the action says, for the cell with the error. */
  act: (notebook: Notebook, cell: Cell) => Promise<void>;
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:hint',
  description: 'Offers the command that makes steps known to a kernel.',
  autoStart: true,
  activate: (): void => {
    let shown = '';
    NotebookActions.executed.connect((_, { notebook, cell, error }) => {
      const hint = hintFor(error);
      if (hint !== null) {
        // One at a time: whoever runs the cell again without following the hint needs no second copy.
        Notification.dismiss(shown);
        shown = Notification.warning(hint.message, {
          autoClose: false,
          actions: [{ label: hint.action, callback: () => void hint.act(notebook, cell) }]
        });
      }
    });
  }
};

/** The hint for an error by a kernel that does not know our magics or modules; null for other errors. */
export function hintFor(error?: Pick<KernelError, 'errorName' | 'errorValue'> | null): IHint | null {
  const text = error?.errorValue ?? '';
  if (error?.errorName === 'UsageError') {
    const magic = /(?:%%(?:step|fresh|setup)|%pauseflow)\b/.exec(text)?.[0];
    return magic === undefined || !text.includes('not found')
      ? null
      : {
          message: `This kernel does not know ${magic} yet: the notebook has to import pauseflow_nb first.`,
          action: 'Insert the import and run',
          act: (notebook, cell) => insertAbove(notebook, cell, IMPORT, [cell])
        };
  }
  if (error?.errorName !== 'ModuleNotFoundError') {
    return null;
  }
  const module = /^No module named '([\w.]+)'$/.exec(text)?.[1]?.split('.')[0];
  if (module === 'pauseflow_nb') {
    return {
      message: 'pauseflow_nb is not installed where this kernel runs: install it there, then restart the kernel.',
      action: `Run ${INSTALL}`,
      act: (notebook, cell) => insertAbove(notebook, cell, INSTALL, [])
    };
  }
  return module === undefined || !['pauseflow', 'pause_flow', 'pauseflownb'].includes(module)
    ? null
    : {
        message: `There is no module ${module}: its name is pauseflow_nb. Write: ${IMPORT}`,
        action: 'Correct the cell and run',
        act: (notebook, cell) => correct(notebook, cell, module)
      };
}

/** Insert a cell above this one, and run it and the others. */
async function insertAbove(notebook: Notebook, cell: Cell, source: string, others: readonly Cell[]): Promise<void> {
  const index = notebook.widgets.indexOf(cell);
  if (index < 0) {
    return;
  }
  notebook.activeCellIndex = index;
  NotebookActions.insertAbove(notebook);
  const added = notebook.activeCell;
  added?.model.sharedModel.setSource(source);
  if (added) {
    await run(notebook, [added, ...others]);
  }
}

/** Write the module's name in the lines that import it, and run the cell. */
async function correct(notebook: Notebook, cell: Cell, module: string): Promise<void> {
  const source = cell.model.sharedModel.getSource();
  const found = new RegExp(`^(\\s*(?:from|import|%load_ext)\\s+)${module}\\b`, 'gm');
  cell.model.sharedModel.setSource(
    source.replace(new RegExp(`^\\s*import\\s+${module}\\s*$`, 'gm'), IMPORT).replace(found, '$1pauseflow_nb')
  );
  await run(notebook, [cell]);
}

async function run(notebook: Notebook, cells: readonly Cell[]): Promise<void> {
  const panel = notebook.parent;
  if (panel instanceof NotebookPanel) {
    await NotebookActions.runCells(notebook, cells, panel.sessionContext);
  }
}

export default plugin;
