/** Provides the changes of executions to all other plugins, and owns the settings. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { Api } from './api';
import { Executions, IExecutions } from './executions';
import { SETTINGS } from './tokens';

const plugin: JupyterFrontEndPlugin<IExecutions> = {
  id: SETTINGS,
  description: 'Executions of notebooks that pause.',
  autoStart: true,
  provides: IExecutions,
  activate: (app: JupyterFrontEnd): IExecutions => {
    const { events, serverSettings } = app.serviceManager;
    return new Executions(new Api(serverSettings), events);
  }
};

export default plugin;
