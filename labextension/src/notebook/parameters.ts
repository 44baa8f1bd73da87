/** A notebook's parameters, read from the assignments in its cell tagged `parameters`. */

import type { JSONObject, JSONValue } from '@lumino/coreutils';

import { below, Draft, draftOf, formOf, IField, read, Problems } from '../form/fields';
import { literal } from './python';

export interface IParameter {
  name: string;
  /** Its default; undefined if that is no literal. */
  value: JSONValue | undefined;
  /** Its default as it is written. */
  expression: string;
  annotation: string;
  comment: string;
}

const ASSIGNMENT = /^([A-Za-z_]\w*)[ \t]*(?::[ \t]*([^=\n]+?)[ \t]*)?=(?!=)[ \t]*/gm;

/** Find the parameters; a name that is assigned twice counts the last time, as in Python. */
export function parametersOf(source: string): IParameter[] {
  const found = new Map<string, IParameter>();
  ASSIGNMENT.lastIndex = 0;
  for (let match = ASSIGNMENT.exec(source); match !== null; match = ASSIGNMENT.exec(source)) {
    const parameter = parameterAt(source, match);
    found.delete(parameter.name);
    found.set(parameter.name, parameter);
  }
  return [...found.values()];
}

/** Make a form of the parameters. */
export function formOfParameters(parameters: IParameter[]): IField {
  const properties: JSONObject = {};
  for (const { name, value, annotation, comment, expression } of parameters) {
    const kind = typeof value;
    const hint = value === undefined ? [comment, `as JSON; unless given: ${expression}`] : [comment];
    properties[name] = {
      title: name,
      description: hint.filter(Boolean).join(' · '),
      ...typed(kind, value, annotation),
      ...(value === undefined || value === null ? {} : { default: value })
    };
  }
  return formOf({ type: 'object', properties });
}

/** Read the form; what was left as it is in the notebook is left out. */
export function readParameters(
  form: IField,
  parameters: IParameter[],
  draft: Draft
): { values: JSONObject; problems: Problems } {
  const first = draftOf(form) as { [name: string]: Draft };
  const now = draft as { [name: string]: Draft };
  const values: JSONObject = {};
  let problems: Problems = {};
  for (const { name } of parameters) {
    const field = form.fields[name];
    if (field === undefined || JSON.stringify(first[name]) === JSON.stringify(now[name])) {
      continue;
    }
    const path = below('', name);
    const reading = read(field, now[name] ?? '', path);
    problems = { ...problems, ...reading.problems };
    // An emptied text is the empty text; an emptied number is no number, so the notebook's stands.
    const value = reading.value ?? (field.kind === 'text' ? '' : undefined);
    if (value !== undefined && !(path in reading.problems)) {
      values[name] = value;
    }
  }
  return { values, problems };
}

function parameterAt(source: string, match: RegExpExecArray): IParameter {
  const start = match.index + match[0].length;
  const facts = { name: match[1] as string, annotation: match[2] ?? '' };
  try {
    const { value, end } = literal(source, start);
    const rest = /[ \t]*(?:#[ \t]*([^\n]*))?(?:\n|$)/y;
    rest.lastIndex = end;
    const after = rest.exec(source);
    if (after !== null) {
      // A literal may hold lines that look like assignments.
      ASSIGNMENT.lastIndex = end;
      return { ...facts, value, expression: source.slice(start, end), comment: after[1]?.trim() ?? '' };
    }
  } catch {
    // Not a literal: shown as it is written.
  }
  const line = source.slice(start).split('\n', 1)[0] ?? '';
  return { ...facts, value: undefined, expression: line.trim(), comment: '' };
}

function typed(kind: string, value: JSONValue | undefined, annotation: string): JSONObject {
  if (kind === 'boolean') {
    return { type: 'boolean' };
  }
  if (kind === 'number') {
    // `ratio = 1` may well be meant as 1.5 next time; only an annotation says that it is whole.
    return { type: annotation === 'int' ? 'integer' : 'number' };
  }
  if (kind === 'string' || (value === null && annotation.startsWith('str'))) {
    return { type: 'string' };
  }
  return {};
}
