/** Actions of people on executions, for buttons in the panel, notifications and commands. */

import { IDocumentManager } from '@jupyterlab/docmanager';
import { Dialog, InputDialog, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Contents } from '@jupyterlab/services';

import { Api, IExecution, ISuspension, Refused } from './api';
import { inBrowser, rootOfServer } from './paths';
import { nameOf } from './words';

export class Actions {
  constructor(
    readonly api: Api,
    private readonly _contents: Contents.IManager,
    private readonly _documents: IDocumentManager | null
  ) {}

  /** Open the executed notebook; one that is only in the store is saved beside its source first. */
  async open(execution: IExecution): Promise<void> {
    try {
      const path = inBrowser(execution.output, rootOfServer()) ?? (await this._saveCopy(execution));
      // Viewing it needs no kernel.
      this._documents?.openOrReveal(path, 'default', undefined, undefined, { shouldStart: false });
    } catch (error) {
      void showErrorMessage('The notebook cannot be opened', sentence(error));
    }
  }

  /** Open the notebook whose outputs are the evidence of a question. */
  async openOutputs(suspension: ISuspension): Promise<void> {
    try {
      await this.open(await this.api.get(suspension.execution));
    } catch (error) {
      void showErrorMessage('The notebook cannot be opened', sentence(error));
    }
  }

  /** Whether the notebook that ran can be opened here, and so edited. */
  canOpenSource(execution: IExecution): boolean {
    return this._documents !== null && inBrowser(execution.notebook, rootOfServer()) !== null;
  }

  /** Save the notebook that ran, if it is open, and continue the execution with it. */
  async retryEdited(execution: IExecution): Promise<void> {
    const path = inBrowser(execution.notebook, rootOfServer());
    if (path === null) {
      return;
    }
    const { button } = await showDialog({
      title: `Run again with ${nameOf(path)} as it is now?`,
      body: 'It continues from the last checkpoint before the first cell that was changed. Cells before that one do not run again.',
      buttons: [Dialog.cancelButton({ label: 'Go back' }), Dialog.okButton({ label: 'Run again' })]
    });
    if (!button.accept) {
      return;
    }
    const open = this._documents?.findWidget(path, null);
    if (open?.context.model.dirty) {
      await open.context.save();
    }
    await this.api.retryWith(execution.id, path);
  }

  /** Ask for a reason, and cancel an execution. */
  async cancel(execution: string, label: string): Promise<void> {
    const reason = await InputDialog.getText({
      title: 'End this run?',
      label: 'Reason (optional; it is noted in the audit trail)',
      okLabel: label,
      cancelLabel: 'Go back',
      renderer: new WarningRenderer()
    });
    if (reason.button.accept) {
      await this.api.cancel(execution, reason.value?.trim() ?? '');
    }
  }

  /** Ask what to change, and send the step back. */
  async sendBack(suspension: ISuspension, label: string): Promise<void> {
    const comment = await InputDialog.getText({
      title: 'Send this step back?',
      label: 'What should change? The step gets your comment when it runs again.',
      okLabel: label,
      cancelLabel: 'Go back'
    });
    if (comment.button.accept) {
      await this.api.sendBack(suspension, comment.value?.trim() ?? '');
    }
  }

  /** Copy the approval link, for people without Jupyter. */
  async copyLink(suspension: ISuspension): Promise<void> {
    const link = suspension.approval_url;
    if (link === null) {
      return;
    }
    try {
      await navigator.clipboard.writeText(link);
      Notification.success('The approval link is in the clipboard.', { autoClose: 2500 });
    } catch {
      // Without HTTPS, browsers deny access to the clipboard.
      void showErrorMessage('Copy this approval link', link);
    }
  }

  /** Copy the URL of a trigger, for the program that sends requests to it. */
  async copyUrl(url: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(url);
      Notification.success('The URL is in the clipboard.', { autoClose: 2500 });
    } catch {
      void showErrorMessage('Copy this URL', url);
    }
  }

  private async _saveCopy(execution: IExecution): Promise<string> {
    const content = await this.api.outputs(execution.id);
    const source = inBrowser(execution.notebook, rootOfServer()) ?? nameOf(execution.notebook);
    const path = `${source.replace(/\.ipynb$/, '')}-${execution.id}.ipynb`;
    await this._contents.save(path, { type: 'notebook', format: 'json', content });
    return path;
  }
}

/** Shows the button that accepts in the colour of a warning. */
class WarningRenderer extends Dialog.Renderer {
  override createButtonNode(button: Dialog.IButton): HTMLButtonElement {
    return super.createButtonNode(button.accept ? { ...button, displayType: 'warn' } : button);
  }
}

/** An error in words. */
export function sentence(error: unknown): string {
  if (error instanceof Refused || error instanceof Error) {
    return error.message;
  }
  return String(error);
}
