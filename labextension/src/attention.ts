/** Notifies when an execution begins to wait for a person, with the buttons Approve and Open, and by settings more. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { sentence } from './actions';
import { IExecution, ISuspension } from './api';
import { IChange, IExecutions } from './executions';
import { Commands, IWorkflowsPanel, SETTINGS } from './tokens';
import { ASKING, asksSomebody, keyOf, nameOf, question } from './words';

interface IWishes {
  notify: boolean;
  browserTitle: boolean;
  desktop: boolean;
}

interface IAsking {
  execution: IExecution;
  suspension: ISuspension;
}

/** Executions that begin to wait within this time share a notification. */
const GATHER_MS = 300;
/** How long a notification stays. */
const SHOWN_MS = 10_000;

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:attention',
  description: 'Notifies when an execution begins to wait for an answer.',
  autoStart: true,
  requires: [IExecutions],
  optional: [IWorkflowsPanel, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    executions: IExecutions,
    panel: IWorkflowsPanel | null,
    settings: ISettingRegistry | null
  ): void => {
    const wishes: IWishes = { notify: true, browserTitle: false, desktop: false };
    const notices = new Notices(app, executions);
    // A visible panel already shows it.
    panel?.seenChanged.connect((_, isSeen) => isSeen && notices.clear());
    const title = new Title();
    const update = (): void => title.show(wishes.browserTitle ? executions.asking : 0);
    executions.askingChanged.connect(update);
    executions.began.connect((_, execution) => {
      if (wishes.notify && !panel?.isSeen) {
        notices.add(execution);
      }
      if (wishes.desktop) {
        notifyDesktop(app, execution);
      }
    });
    void settings?.load(SETTINGS).then(loaded => {
      const read = (): void => {
        for (const name of ['notify', 'browserTitle', 'desktop'] as const) {
          wishes[name] = loaded.get(name).composite === true;
        }
        if (wishes.desktop && 'Notification' in window && window.Notification.permission === 'default') {
          void window.Notification.requestPermission();
        }
        update();
      };
      read();
      loaded.changed.connect(read);
    });
  }
};

/** One notification for all executions that began to wait; it closes after a time, or when they are answered. */
class Notices {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _executions: IExecutions
  ) {
    _executions.changed.connect((_, changes) => {
      if (changes === null) {
        this._asking.forEach((_, execution) => void this._check(execution));
      } else {
        changes.filter(isAnswered).forEach(change => this._remove(change.execution));
      }
    });
  }

  add(execution: IExecution): void {
    const suspension = execution.suspended.find(asksSomebody);
    if (suspension === undefined) {
      return;
    }
    // An event and a count may both report it; the second one must not make the notification jump.
    const known = this._asking.get(execution.id);
    if (known === undefined || keyOf(known.suspension) !== keyOf(suspension)) {
      this._asking.set(execution.id, { execution, suspension });
      this._showSoon();
    }
  }

  clear(): void {
    this._asking.clear();
    this._showSoon();
  }

  private _remove(execution: string): void {
    if (this._asking.delete(execution)) {
      this._showSoon();
    }
  }

  /** Show one notification for several executions that begin to wait at the same time. */
  private _showSoon(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => this._show(), GATHER_MS);
  }

  private _show(): void {
    if (this._notice) {
      Notification.dismiss(this._notice);
      this._notice = '';
    }
    const [first] = this._asking.values();
    if (first === undefined) {
      return;
    }
    const isOne = this._asking.size === 1;
    const words = isOne
      ? `${nameOf(first.execution.notebook)} waits: ${question(first.suspension)}`
      : `${this._asking.size} workflows wait for an answer`;
    const actions = isOne ? this._actionsFor(first) : [this._open(null)];
    this._notice = Notification.info(words, { autoClose: SHOWN_MS, actions });
  }

  private _actionsFor({ execution, suspension }: IAsking): Notification.IAction[] {
    const open = this._open(execution.id);
    // A question with a form is answered in the form.
    return suspension.form === null && !suspension.refusals.resume
      ? [this._approve({ execution, suspension }), open]
      : [open];
  }

  private _open(execution: string | null): Notification.IAction {
    return {
      label: 'Open',
      caption: 'Show it in the Workflows panel',
      callback: () => void this._app.commands.execute(Commands.show, execution === null ? {} : { execution })
    };
  }

  private _approve({ execution, suspension }: IAsking): Notification.IAction {
    return {
      label: suspension.labels.resume,
      caption: 'Answer without data',
      displayType: 'accent',
      callback: (event: MouseEvent) => {
        // Otherwise it would close before the server has accepted the answer.
        event.preventDefault();
        this._executions.api.resume(suspension).then(
          () => this._remove(execution.id),
          (error: unknown) => {
            Notification.error(`${nameOf(execution.notebook)}: ${sentence(error)}`, { autoClose: SHOWN_MS });
          }
        );
      }
    };
  }

  private async _check(execution: string): Promise<void> {
    try {
      const { state } = await this._executions.api.get(execution);
      if (!ASKING.includes(state)) {
        this._remove(execution);
      }
    } catch {
      // It was removed, or the server does not answer: pressing a button reports that.
    }
  }

  /** Id of an execution → question. */
  private readonly _asking = new Map<string, IAsking>();
  /** Id of the notification; empty: none. */
  private _notice = '';
  private _timer = 0;
}

function isAnswered(change: IChange): boolean {
  return !ASKING.includes(change.state) || change.what.includes('settled');
}

/** Puts a count before the browser's title, and keeps it there when JupyterLab changes the title. */
class Title {
  show(count: number): void {
    this._count = count;
    if (this._observer === null && count > 0) {
      this._observer = new MutationObserver(() => this._write());
      const title = document.querySelector('title');
      if (title) {
        this._observer.observe(title, { childList: true });
      }
    }
    this._write();
  }

  private _write(): void {
    const plain = document.title.replace(/^\(\d+\+?\) /, '');
    const wanted = this._count > 0 ? `(${this._count}) ${plain}` : plain;
    if (document.title !== wanted) {
      document.title = wanted;
    }
  }

  private _count = 0;
  private _observer: MutationObserver | null = null;
}

function notifyDesktop(app: JupyterFrontEnd, execution: IExecution): void {
  if (!('Notification' in window) || window.Notification.permission !== 'granted') {
    return;
  }
  const suspension = execution.suspended.find(asksSomebody);
  const notice = new window.Notification(nameOf(execution.notebook), {
    body: suspension ? question(suspension) : '',
    tag: execution.id
  });
  notice.onclick = () => {
    window.focus();
    void app.commands.execute(Commands.show, { execution: execution.id });
  };
}

export default plugin;
