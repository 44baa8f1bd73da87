/** The words that plugins use for each other. */

export const Commands = {
  run: 'pauseflow:run-as-workflow',
  show: 'pauseflow:show-workflows'
} as const;

/** Id of the plugin that owns the settings in `schema/plugin.json`. */
export const SETTINGS = 'pauseflow-nb:plugin';
