/** Shows the next command when a kernel does not know pauseflow_nb: not imported, not installed, or misspelt. */

import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { Cell } from '@jupyterlab/cells';
import { KernelError, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

const IMPORT = 'from pauseflow_nb import flow, steps';
const INSTALL = '%pip install pauseflow-nb';
/** Names that users try for the module; `hints.py` has them, too, for kernels that have imported it. */
const NEAR_NAMES = ['pauseflow', 'pause_flow', 'pauseflownb'];

interface IHint {
  message: string;
  action: string;
  /** What the action inserts as a cell above the one with the error, and runs. */
  source: string;
  /** Whether it then runs the cell with the error again. */
  again: boolean;
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:hint',
  description: 'Offers the command that makes steps known to a kernel.',
  autoStart: true,
  activate: (): void => {
    let shown: string | undefined;
    NotebookActions.executed.connect((_, { notebook, cell, success, error }) => {
      const hint = error ? hintFor(error) : null;
      // A hint ends when a cell runs, and a second one replaces it. Cells that *Run All* gave up change nothing.
      if (shown !== undefined && (success || hint !== null)) {
        Notification.dismiss(shown);
        shown = undefined;
      }
      if (hint !== null) {
        shown = Notification.warning(hint.message, {
          autoClose: false,
          actions: [{ label: hint.action, callback: () => void follow(hint, notebook, cell) }]
        });
      }
    });
  }
};

/** The hint for the error of a kernel that does not know our magics or our module; null for other errors. */
function hintFor({ errorName, errorValue }: KernelError): IHint | null {
  if (errorName === 'UsageError') {
    const magic = /(%%(?:step|fresh|setup)|%pauseflow)\b.* not found/.exec(errorValue)?.[1];
    return magic === undefined
      ? null
      : {
          message: `This kernel does not know ${magic} yet: the notebook has to import pauseflow_nb first.`,
          action: 'Insert the import and run',
          source: IMPORT,
          again: true
        };
  }
  const module = /^No module named '(\w+)'/.exec(errorValue)?.[1] ?? '';
  if (errorName !== 'ModuleNotFoundError' || errorValue.includes(IMPORT)) {
    return null;
  }
  if (module === 'pauseflow_nb') {
    return {
      message: `pauseflow_nb is not installed where this kernel runs: run ${INSTALL}, then restart the kernel.`,
      action: 'Insert the command and run',
      source: INSTALL,
      again: false
    };
  }
  return NEAR_NAMES.includes(module)
    ? {
        message: `The module is called pauseflow_nb, not ${module}: write ${IMPORT}`,
        action: 'Insert the import and run',
        source: IMPORT,
        again: false
      }
    : null;
}

/** Do what a hint offers. */
async function follow(hint: IHint, notebook: Notebook, cell: Cell): Promise<void> {
  const panel = notebook.parent;
  const index = notebook.widgets.indexOf(cell);
  if (index < 0 || !(panel instanceof NotebookPanel)) {
    return;
  }
  notebook.activeCellIndex = index;
  NotebookActions.insertAbove(notebook);
  const added = notebook.activeCell;
  added?.model.sharedModel.setSource(hint.source);
  if (added) {
    await NotebookActions.runCells(notebook, hint.again ? [added, cell] : [added], panel.sessionContext);
  }
}

export default plugin;
