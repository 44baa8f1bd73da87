/** Reads the kind of a cell from its first line, only for display; `cells.py` is authoritative. */

export interface IHeader {
  kind: 'step' | 'setup';
  /** Empty for a setup cell. */
  name: string;
}

/** Read a cell's header; null for a plain cell. */
export function headerOf(source: string): IHeader | null {
  const found = /^\s*%%(step|setup)(?=\s|$)[ \t]*(\S*)/.exec(source);
  if (found === null) {
    return null;
  }
  const name = found[2] ?? '';
  if (found[1] === 'setup') {
    return { kind: 'setup', name: '' };
  }
  return name && !name.startsWith('-') ? { kind: 'step', name } : null;
}
