/** Icons of our own; the others are JupyterLab's. */

import { LabIcon } from '@jupyterlab/ui-components';

const draw = (path: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><path class="jp-icon3 jp-icon-selectable" fill="#616161" d="${path}"/></svg>`;

/** A workflow that pauses: two bars in a circle of two arrows' worth. */
export const workflowsIcon = new LabIcon({
  name: 'pauseflow:workflows',
  svgstr: draw(
    'M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 2a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM8.5 8v8H11V8zM13 8v8h2.5V8z'
  )
});

/** Run it, and let it pause. */
export const runAsWorkflowIcon = new LabIcon({
  name: 'pauseflow:run-as-workflow',
  svgstr: draw('M4 5v14l9-7zM14.5 6v12H17V6zM19 6v12h2.5V6z')
});
