/** Between whole paths on the server, which the API speaks, and those of JupyterLab's file browser. */

import { PageConfig } from '@jupyterlab/coreutils';

/** The server's root directory, as the server extension tells it. */
export function rootOfServer(): string {
  return PageConfig.getOption('pauseflowRoot');
}

/** The path in the file browser; null if the file lies outside. */
export function inBrowser(path: string | null, root: string): string | null {
  if (path === null || !root) {
    return null;
  }
  const whole = path.replace(/\\/g, '/');
  const folder = root.replace(/\\/g, '/').replace(/\/+$/, '') + '/';
  return whole.startsWith(folder) ? whole.slice(folder.length) : null;
}

/** The whole path of a file of the file browser; null if it is another drive's. */
export function onServer(path: string, root: string): string | null {
  if (!root || /^[^/]+:/.test(path)) {
    return null;
  }
  return `${root.replace(/\\/g, '/').replace(/\/+$/, '')}/${path}`;
}

/** Where an executed notebook goes unless told otherwise: beside it. */
export function outputBeside(path: string): string {
  return path.replace(/\.ipynb$/, '') + '-output.ipynb';
}
