/** The command "Run as workflow": asks for parameters and starts an execution of the open notebook. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ReactWidget } from '@jupyterlab/ui-components';
import { JSONObject } from '@lumino/coreutils';
import React from 'react';

import { sentence } from '../actions';
import { IExecutions } from '../executions';
import { Draft, draftOf, IField, Problems } from '../form/fields';
import { Form } from '../form/form';
import { runAsWorkflowIcon } from '../icons';
import { outputBeside } from '../paths';
import { Commands } from '../tokens';
import { nameOf } from '../words';
import { formOfParameters, IParameter, parametersOf, readParameters } from './parameters';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:run',
  description: 'The command "Run as workflow".',
  autoStart: true,
  requires: [IExecutions, INotebookTracker],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    executions: IExecutions,
    tracker: INotebookTracker,
    palette: ICommandPalette | null
  ): void => {
    app.commands.addCommand(Commands.run, {
      label: args => (args['toolbar'] ? '' : 'Run as Workflow …'),
      caption: 'Run this notebook as a workflow: it may pause and go on later, in another kernel',
      icon: runAsWorkflowIcon,
      describedBy: { args: { type: 'object', properties: { toolbar: { type: 'boolean' } } } },
      isEnabled: () => tracker.currentWidget !== null,
      execute: async () => {
        const panel = tracker.currentWidget;
        if (panel !== null) {
          await run(panel, executions);
        }
      }
    });
    tracker.currentChanged.connect(() => app.commands.notifyCommandChanged(Commands.run));
    palette?.addItem({ command: Commands.run, category: 'Workflows' });
  }
};

async function run(panel: NotebookPanel, executions: IExecutions): Promise<void> {
  const { context } = panel;
  await context.ready;
  const parameters = parametersOf(sourceOfParameters(panel));
  const wanted = new Wanted(parameters, outputBeside(context.path));
  for (;;) {
    const body = new Body(wanted);
    const { button } = await showDialog({
      title: `Run ${nameOf(context.path)} as workflow`,
      body,
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Run' })],
      focusNodeSelector: 'input, textarea, select'
    });
    if (!button.accept) {
      return;
    }
    const values = wanted.read();
    if (values === null) {
      continue;
    }
    try {
      // What runs is what is seen.
      if (context.model.dirty && !context.model.readOnly) {
        await context.save();
      }
    } catch (error) {
      void showErrorMessage('The notebook could not be saved', sentence(error));
      return;
    }
    try {
      const output = wanted.output.trim();
      const request = { notebook: context.path, output: output || null, parameters: values };
      const started = await executions.api.start(request);
      Notification.success(`${nameOf(context.path)} runs as a workflow (${started.id}).`, { autoClose: 4000 });
      return;
    } catch (error) {
      wanted.failure = sentence(error);
    }
  }
}

/** What stands in the dialog; kept when it is shown again because something was wrong. */
class Wanted {
  constructor(
    private readonly _parameters: IParameter[],
    public output: string
  ) {
    this.form = formOfParameters(_parameters);
    this.draft = draftOf(this.form);
  }

  readonly form: IField;
  draft: Draft;
  problems: Problems = {};
  failure = '';

  get hasParameters(): boolean {
    return this._parameters.length > 0;
  }

  /** Read the values that were changed; null if something is wrong. */
  read(): JSONObject | null {
    const { values, problems } = readParameters(this.form, this._parameters, this.draft);
    this.problems = problems;
    this.failure = '';
    return Object.keys(problems).length > 0 ? null : values;
  }
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
        {wanted.hasParameters ? (
          <Form
            field={form}
            draft={draft}
            problems={problems}
            prefix="pf-run"
            onChange={changed => {
              wanted.draft = changed;
              this.update();
            }}
          />
        ) : (
          <p className="pf-quiet">This notebook has no cell tagged “parameters”.</p>
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

function sourceOfParameters(panel: NotebookPanel): string {
  for (const cell of panel.context.model.cells) {
    const tags: unknown = cell.getMetadata('tags');
    if (cell.type === 'code' && Array.isArray(tags) && tags.includes('parameters')) {
      return cell.sharedModel.getSource();
    }
  }
  return '';
}

export default plugin;
