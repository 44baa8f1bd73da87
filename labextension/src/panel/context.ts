/** The context that every part of the panel may use. */

import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { CommandRegistry } from '@lumino/commands';
import React from 'react';

import { Actions } from '../actions';
import { IExecutions } from '../executions';

export interface IContext {
  executions: IExecutions;
  actions: Actions;
  commands: CommandRegistry;
  /** Null if the application has none. */
  rendermime: IRenderMimeRegistry | null;
  /** Show one execution in detail; null: the list. */
  show: (execution: string | null) => void;
}

export const Context = React.createContext<IContext | null>(null);

export function usePanel(): IContext {
  const context = React.useContext(Context);
  if (context === null) {
    throw new Error('This part belongs into the panel');
  }
  return context;
}
