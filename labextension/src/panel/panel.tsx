/** The panel's widget: the list, or one execution in detail. */

import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import React from 'react';

import { Actions } from '../actions';
import { IExecutions } from '../executions';
import { IWorkflowsPanel } from '../tokens';
import { Context } from './context';
import { Details } from './details';
import { FocusKeeper } from './focus';
import { List } from './list';

interface IView {
  /** Whether it is visible; if not, it sends no requests. */
  isVisible: boolean;
  /** The execution that is shown in detail; null for the list. */
  execution: string | null;
}

export class Panel extends ReactWidget implements IWorkflowsPanel {
  constructor(
    private readonly _executions: IExecutions,
    private readonly _actions: Actions,
    private readonly _commands: CommandRegistry,
    private readonly _rendermime: IRenderMimeRegistry | null
  ) {
    super();
    this.addClass('pf-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Workflows');
  }

  /** Show one execution in detail, or the list. */
  reveal(execution: string | null): void {
    this._update({ execution });
  }

  /** Focus it. */
  takeFocus(): void {
    this._focus.take();
  }

  override dispose(): void {
    this._focus.dispose();
    super.dispose();
  }

  readonly seenChanged = new Signal<this, boolean>(this);

  get isSeen(): boolean {
    return this._view.isVisible && document.visibilityState === 'visible';
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._update({ isVisible: true });
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._update({ isVisible: false });
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._update({ isVisible: this.isVisible });
  }

  protected override onResize(message: Widget.ResizeMessage): void {
    super.onResize(message);
    this._moveToasts();
  }

  protected override render(): React.JSX.Element {
    const context = {
      executions: this._executions,
      actions: this._actions,
      commands: this._commands,
      rendermime: this._rendermime,
      show: (execution: string | null) => this.reveal(execution)
    };
    return (
      <Context.Provider value={context}>
        <UseSignal signal={this._viewed}>{() => this._body()}</UseSignal>
      </Context.Provider>
    );
  }

  private _body(): React.JSX.Element {
    const { isVisible, execution } = this._view;
    // The list is kept, so that it is unchanged when the person returns to it.
    return (
      <>
        <div hidden={execution !== null} className="pf-page">
          <List isVisible={isVisible && execution === null} />
        </div>
        {execution !== null && (
          <div className="pf-page">
            <Details key={execution} id={execution} isVisible={isVisible} />
          </div>
        )}
      </>
    );
  }

  private _update(change: Partial<IView>): void {
    const wasVisible = this._view.isVisible;
    this._view = { ...this._view, ...change };
    this._viewed.emit(undefined);
    if (this._view.isVisible !== wasVisible) {
      this._moveToasts();
      this.seenChanged.emit(this._view.isVisible);
    }
  }

  /** Notifications appear at the right edge: they must not cover the panel there. */
  private _moveToasts(): void {
    const { left, right } = this.node.getBoundingClientRect();
    const isAtTheRight = this._view.isVisible && left > window.innerWidth - right;
    document.body.style.setProperty('--pf-covered', `${isAtTheRight ? window.innerWidth - left : 0}px`);
  }

  private readonly _focus = new FocusKeeper(this.node);
  private _view: IView = { isVisible: false, execution: null };
  private readonly _viewed = new Signal<this, undefined>(this);
}
