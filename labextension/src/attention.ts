/** Says when an execution begins to wait for somebody: a notification with Approve and Open, and more if asked to. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { sentence } from './actions';
import { IExecution, ISuspension } from './api';
import { IChange, IExecutions } from './executions';
import { Commands, SETTINGS } from './tokens';
import { ASKING, asksSomebody, nameOf, question } from './words';

interface IWishes {
  notify: boolean;
  browserTitle: boolean;
  desktop: boolean;
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'pauseflow-nb:attention',
  description: 'Notifies when an execution begins to wait for an answer.',
  autoStart: true,
  requires: [IExecutions],
  optional: [ISettingRegistry],
  activate: (app: JupyterFrontEnd, executions: IExecutions, settings: ISettingRegistry | null): void => {
    const wishes: IWishes = { notify: true, browserTitle: false, desktop: false };
    const notices = new Notices(app, executions);
    const title = new Title();
    const update = (): void => title.show(wishes.browserTitle ? executions.asking : 0);
    executions.askingChanged.connect(update);
    executions.began.connect((_, execution) => {
      if (wishes.notify) {
        notices.show(execution);
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

/** One notification for each execution that waits; it goes when somebody has answered, here or elsewhere. */
class Notices {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _executions: IExecutions
  ) {
    _executions.changed.connect((_, changes) => {
      if (changes === null) {
        this._shown.forEach((_, execution) => void this._check(execution));
      } else {
        changes.filter(isAnswered).forEach(change => this._dismiss(change.execution));
      }
    });
  }

  show(execution: IExecution): void {
    const suspension = execution.suspended.find(asksSomebody);
    if (suspension === undefined) {
      return;
    }
    // It is told of by an event and by a count; whichever comes second must not make the notification jump.
    const of = [...suspension.path, suspension.since].join(' ');
    if (this._shown.get(execution.id)?.of === of) {
      return;
    }
    this._dismiss(execution.id);
    const open = { label: 'Open', caption: 'Show it in the Workflows panel', callback: () => this._open(execution) };
    const approve = {
      label: 'Approve',
      caption: suspension.schema ? 'Answer in the Workflows panel' : 'Approve without data',
      displayType: 'accent' as const,
      callback: (event: MouseEvent) => {
        // Otherwise it would go before the server has said yes.
        event.preventDefault();
        this._approve(execution, suspension);
      }
    };
    const words = `${nameOf(execution.notebook)} waits: ${question(suspension)}`;
    const notice = Notification.info(words, { autoClose: false, actions: [approve, open] });
    this._shown.set(execution.id, { notice, of });
  }

  private _approve(execution: IExecution, suspension: ISuspension): void {
    if (suspension.schema) {
      this._open(execution);
      return;
    }
    this._executions.api.resume(suspension).then(
      () => this._dismiss(execution.id),
      (error: unknown) => {
        Notification.error(`${nameOf(execution.notebook)}: ${sentence(error)}`, { autoClose: 8000 });
      }
    );
  }

  private async _check(execution: string): Promise<void> {
    try {
      const { state } = await this._executions.api.get(execution);
      if (!ASKING.includes(state)) {
        this._dismiss(execution);
      }
    } catch {
      // It is gone, or the server is away again: whoever presses a button will be told.
    }
  }

  private _open(execution: IExecution): void {
    void this._app.commands.execute(Commands.show, { execution: execution.id });
  }

  private _dismiss(execution: string): void {
    const shown = this._shown.get(execution);
    if (shown !== undefined) {
      this._shown.delete(execution);
      Notification.dismiss(shown.notice);
    }
  }

  /** By execution: the notification, and the suspension that it tells of. */
  private readonly _shown = new Map<string, { notice: string; of: string }>();
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
