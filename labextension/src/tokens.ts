/** The tokens by which plugins provide services to each other. */

import { Token } from '@lumino/coreutils';
import { ISignal } from '@lumino/signaling';

export const Commands = {
  run: 'pauseflow:run-as-workflow',
  show: 'pauseflow:show-workflows'
} as const;

/** Id of the plugin that owns the settings in `schema/plugin.json`. */
export const SETTINGS = 'pauseflow-nb:plugin';

/** The panel, for plugins that need not repeat what it shows. */
export interface IWorkflowsPanel {
  /** Whether somebody can see it. */
  readonly isSeen: boolean;
  readonly seenChanged: ISignal<IWorkflowsPanel, boolean>;
}

export const IWorkflowsPanel = new Token<IWorkflowsPanel>(
  'pauseflow-nb:IWorkflowsPanel',
  'The panel of executions, and whether it is seen.'
);
