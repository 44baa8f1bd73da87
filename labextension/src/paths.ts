/** Converts between absolute paths on the server, as in the API, and paths of JupyterLab's file browser. */

import { PageConfig } from '@jupyterlab/coreutils';

/** The server's root directory, from the server extension. */
export function rootOfServer(): string {
  return PageConfig.getOption('pauseflowRoot');
}

/** The path in the file browser; null if the file is outside of it. */
export function inBrowser(path: string | null, root: string): string | null {
  if (path === null || !root) {
    return null;
  }
  const whole = path.replace(/\\/g, '/');
  const folder = root.replace(/\\/g, '/').replace(/\/+$/, '') + '/';
  return whole.startsWith(folder) ? whole.slice(folder.length) : null;
}

/** The absolute path of a file in the file browser; null if it is on another drive. */
export function onServer(path: string, root: string): string | null {
  if (!root || /^[^/]+:/.test(path)) {
    return null;
  }
  return `${root.replace(/\\/g, '/').replace(/\/+$/, '')}/${path}`;
}

/** The default path of an executed notebook: beside its source. */
export function outputBeside(path: string): string {
  return path.replace(/\.ipynb$/, '') + '-output.ipynb';
}
