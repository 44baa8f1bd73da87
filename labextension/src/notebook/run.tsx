/** The command "Run as workflow": asks for parameters and starts an execution of the open notebook. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ReactWidget } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { PartialJSONObject } from '@lumino/coreutils';
import React from 'react';

import { sentence } from '../actions';
import { Refused } from '../api';
import { IExecutions } from '../executions';
import { EMPTY, entriesOf, IControl, Problems } from '../form/draft';
import { Form } from '../form/form';
import { runAsWorkflowIcon } from '../icons';
import { outputBeside } from '../paths';
import { Commands, IWorkflowsPanel } from '../tokens';
import { nameOf } from '../words';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:run',
  description: 'The command "Run as workflow".',
  autoStart: true,
  requires: [IExecutions, INotebookTracker],
  optional: [IWorkflowsPanel, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    executions: IExecutions,
    tracker: INotebookTracker,
    workflows: IWorkflowsPanel | null,
    palette: ICommandPalette | null
  ): void => {
    app.commands.addCommand(Commands.run, {
      label: args => (args['toolbar'] ? '' : 'Run as Workflow …'),
      caption: 'Run this notebook as a workflow: it may pause and continue later, in another kernel',
      icon: runAsWorkflowIcon,
      describedBy: { args: { type: 'object', properties: { toolbar: { type: 'boolean' } } } },
      isEnabled: () => tracker.currentWidget !== null,
      execute: async () => {
        const panel = tracker.currentWidget;
        if (panel !== null) {
          const started = await run(panel, executions);
          if (started !== null) {
            showStarted(nameOf(panel.context.path), started, app.commands, workflows);
          }
        }
      }
    });
    tracker.currentChanged.connect(() => app.commands.notifyCommandChanged(Commands.run));
    palette?.addItem({ command: Commands.run, category: 'Workflows' });
  }
};

/** Ask for the parameters and start it; returns the id of the execution, or null if the person cancelled. */
async function run(panel: NotebookPanel, executions: IExecutions): Promise<string | null> {
  const { context } = panel;
  await context.ready;
  let form: IControl | null;
  try {
    ({ form } = await executions.api.inspect(parametersCellOf(panel)));
  } catch (error) {
    void showErrorMessage('The parameters of this notebook cannot be read', sentence(error));
    return null;
  }
  const wanted = new Wanted(form, outputBeside(context.path));
  for (;;) {
    const body = new Body(wanted);
    const { button } = await showDialog({
      title: `Run ${nameOf(context.path)} as workflow`,
      body,
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Run' })],
      focusNodeSelector: 'input, textarea, select'
    });
    if (!button.accept) {
      return null;
    }
    try {
      // So that what runs is what is shown.
      if (context.model.dirty && !context.model.readOnly) {
        await context.save();
      }
    } catch (error) {
      void showErrorMessage('The notebook could not be saved', sentence(error));
      return null;
    }
    try {
      const started = await executions.api.start({
        notebook: context.path,
        output: wanted.output.trim() || null,
        form: form === null ? {} : entriesOf(wanted.draft, form)
      });
      return started.id;
    } catch (error) {
      wanted.failure = sentence(error);
      wanted.problems = error instanceof Refused ? error.problems : {};
    }
  }
}

/** Notify that it runs, with a button to show it; the first time, open the panel. */
function showStarted(
  name: string,
  execution: string,
  commands: CommandRegistry,
  workflows: IWorkflowsPanel | null
): void {
  const show = {
    label: 'Show',
    caption: 'Show it in the Workflows panel',
    callback: () => void commands.execute(Commands.show, { execution })
  };
  Notification.success(`${name} runs as a workflow.`, { autoClose: 6000, actions: [show] });
  if (localStorage.getItem(HAS_RUN) === null) {
    localStorage.setItem(HAS_RUN, 'yes');
    if (!workflows?.isSeen) {
      void commands.execute(Commands.show, { keepsFocus: true });
    }
  }
}

/** Set after a notebook has been run as a workflow in this browser. */
const HAS_RUN = 'pauseflow-nb:has-run';

/** The contents of the dialog, which are kept when it is shown again after an error. */
class Wanted {
  constructor(
    readonly form: IControl | null,
    public output: string
  ) {}

  draft = EMPTY;
  problems: Problems = {};
  failure = '';
}

class Body extends ReactWidget {
  constructor(private readonly _wanted: Wanted) {
    super();
    this.addClass('pf-run');
  }

  protected override render(): React.JSX.Element {
    const wanted = this._wanted;
    const { form, draft, problems, failure } = wanted;
    return (
      <>
        {failure && (
          <p className="pf-banner" role="alert">
            {failure}
          </p>
        )}
        {form === null ? (
          <p className="pf-quiet">This notebook has no parameters: no cell is tagged “parameters”.</p>
        ) : (
          <Form
            control={form}
            draft={draft}
            problems={problems}
            onChange={changed => {
              wanted.draft = changed;
              this.update();
            }}
          />
        )}
        <div className="pf-field">
          <label htmlFor="pf-run-output">
            <span className="pf-label">Output notebook</span>
          </label>
          <span id="pf-run-output-hint" className="pf-hint">
            Written as it runs. Empty: kept in the store only.
          </span>
          <input
            id="pf-run-output"
            aria-describedby="pf-run-output-hint"
            className="jp-mod-styled"
            value={wanted.output}
            spellCheck={false}
            onChange={event => {
              wanted.output = event.target.value;
              this.update();
            }}
          />
        </div>
      </>
    );
  }
}

/** The parts of the notebook that define its parameters, with unsaved changes, without outputs. */
function parametersCellOf(panel: NotebookPanel): PartialJSONObject {
  const { model } = panel.context;
  const cells = [];
  for (const cell of model.cells) {
    const tags: unknown = cell.getMetadata('tags');
    if (cell.type === 'code' && Array.isArray(tags) && tags.includes('parameters')) {
      const source = cell.sharedModel.getSource();
      cells.push({ cell_type: 'code', source, metadata: { tags }, outputs: [], execution_count: null });
    }
  }
  const { kernelspec, language_info } = model.metadata;
  const metadata = Object.fromEntries(
    Object.entries({ kernelspec, language_info }).filter(([, value]) => value !== undefined)
  );
  return { nbformat: 4, nbformat_minor: 4, metadata, cells };
}

export default plugin;
