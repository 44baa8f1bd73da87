/** A JSON Schema as a form: which fields, what stands in them at first, and what was written. No DOM here. */

import type { JSONObject, JSONValue } from '@lumino/coreutils';

import { own } from '../own';

export type Kind =
  'text' | 'long' | 'number' | 'integer' | 'boolean' | 'choice' | 'date' | 'datetime' | 'object' | 'list' | 'json';

export interface IField {
  kind: Kind;
  label: string;
  description: string;
  isRequired: boolean;
  /** Whether null is a value of it, and not only no value. */
  isNullable: boolean;
  /** What it holds unless somebody changes it; undefined: nothing. */
  initial: JSONValue | undefined;
  choices: JSONValue[];
  /** Of an object: name → field. */
  fields: Record<string, IField>;
  /** Of a list. */
  item: IField | null;
  schema: JSONObject;
}

/** What stands in a form: texts as they are typed, until `read` makes values of them. */
export type Draft = string | boolean | Draft[] | { [name: string]: Draft };

/** Path such as `/items/0/name` → what is wrong there; the whole form is the empty path. */
export type Problems = Record<string, string>;

export interface IReading {
  /** Undefined if nothing was written, or something is wrong. */
  value: JSONValue | undefined;
  problems: Problems;
}

/** Make a form of a schema. */
export function formOf(schema: JSONObject): IField {
  return named(field(schema, schema, '', true, new Set()));
}

/** What stands in a field at first. */
export function draftOf(field: IField, value: JSONValue | undefined = field.initial): Draft {
  switch (field.kind) {
    case 'boolean':
      return value === true;
    case 'object': {
      const given = isObject(value) ? value : {};
      return Object.fromEntries(
        Object.entries(field.fields).map(([name, each]) => [name, draftOf(each, own(given, name) ?? each.initial)])
      );
    }
    case 'list':
      return field.item && Array.isArray(value) ? value.map(each => draftOf(field.item as IField, each)) : [];
    case 'choice':
      return field.choices.some(each => JSON.stringify(each) === JSON.stringify(value)) ? JSON.stringify(value) : '';
    case 'datetime':
      return typeof value === 'string' ? local(value) : '';
    case 'json':
      return value === undefined || (value === null && field.isNullable) ? '' : JSON.stringify(value, null, 2);
    default:
      return value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  }
}

/** Read what was written. */
export function read(field: IField, draft: Draft, path = ''): IReading {
  switch (field.kind) {
    case 'boolean':
      return { value: draft === true || isNoUnticked(field) ? draft === true : undefined, problems: {} };
    case 'object':
      return readObject(field, draft, path);
    case 'list':
      return readList(field, draft, path);
    default:
      return readText(field, textOf(draft), path);
  }
}

/** What stands in a field of text. */
export function textOf(draft: Draft): string {
  return typeof draft === 'string' ? draft : '';
}

/** Add a name to a path; names may hold dots, slashes, or nothing at all. */
export function below(path: string, name: string | number): string {
  return `${path}/${String(name).replace(/~/g, '~0').replace(/\//g, '~1')}`;
}

/** Move each problem to the field that is nearest to it, and say there where it is. */
export function placed(form: IField, problems: Problems): Problems {
  const found: Problems = {};
  for (const [path, problem] of Object.entries(problems)) {
    const names = path.split('/').slice(1).map(unescaped);
    let place = '';
    let field = form;
    for (let name = names[0]; name !== undefined; name = names[0]) {
      const inner: IField | null | undefined = field.kind === 'list' ? field.item : own(field.fields, name);
      if (!inner) {
        break;
      }
      field = inner;
      place = below(place, name);
      names.shift();
    }
    const where = names.map(name => (/^\d+$/.test(name) ? `entry ${Number(name) + 1}` : name)).join(', ');
    const said = [own(found, place), `${where} ${problem}`.trim()].filter(Boolean);
    found[place] = said.join('; ');
  }
  return found;
}

/** Whether something must be written: what is required and may be null is null if it is left empty. */
export function mustBeFilled(field: IField): boolean {
  return field.isRequired && !field.isNullable;
}

function readObject(field: IField, draft: Draft, path: string): IReading {
  if (!field.isRequired && saysNothing(field, draft)) {
    return { value: undefined, problems: {} };
  }
  const drafts = draft as { [name: string]: Draft };
  const values: [string, JSONValue][] = [];
  let problems: Problems = {};
  for (const [name, each] of Object.entries(field.fields)) {
    const reading = read(each, own(drafts, name) ?? draftOf(each), below(path, name));
    problems = { ...problems, ...reading.problems };
    if (reading.value !== undefined) {
      values.push([name, reading.value]);
    }
  }
  // Not by assignment: that would lose a `__proto__`.
  return { value: hasAny(problems) ? undefined : Object.fromEntries(values), problems };
}

/** Whether nobody wrote anything: boxes that are not ticked are no sign that somebody did. */
function saysNothing(field: IField, draft: Draft): boolean {
  switch (field.kind) {
    case 'boolean':
      return draft !== true;
    case 'object':
      return Object.entries(field.fields).every(([name, each]) =>
        saysNothing(each, own(draft as { [name: string]: Draft }, name) ?? draftOf(each))
      );
    case 'list':
      return (draft as Draft[]).length === 0;
    default:
      return textOf(draft).trim() === '';
  }
}

/** Whether a box that is not ticked says no; otherwise it says nothing, as for `Optional[bool] = None`. */
function isNoUnticked(field: IField): boolean {
  return field.isRequired || field.schema['default'] !== null;
}

function readList(field: IField, draft: Draft, path: string): IReading {
  const readings = (draft as Draft[]).map((each, n) => read(required(field.item as IField), each, below(path, n)));
  const problems: Problems = Object.assign({}, ...readings.map(each => each.problems)) as Problems;
  const { minItems, maxItems } = field.schema;
  if (typeof minItems === 'number' && readings.length < minItems) {
    problems[path] = `needs at least ${minItems}`;
  } else if (typeof maxItems === 'number' && readings.length > maxItems) {
    problems[path] = `takes at most ${maxItems}`;
  }
  if (hasAny(problems)) {
    return { value: undefined, problems };
  }
  const value = readings.map(each => each.value as JSONValue);
  return { value: value.length === 0 && !field.isRequired ? undefined : value, problems };
}

function readText(field: IField, text: string, path: string): IReading {
  const isText = field.kind === 'text' || field.kind === 'long';
  if ((isText ? text : text.trim()) === '') {
    if (mustBeFilled(field)) {
      return { value: undefined, problems: { [path]: 'is required' } };
    }
    // Emptied on purpose, because a text stood in it.
    const isEmptied = isText && typeof field.initial === 'string' && field.initial !== '';
    return { value: isEmptied ? '' : field.isRequired ? null : undefined, problems: {} };
  }
  try {
    const value = parse(field, text);
    const problem = limits(field, value);
    return problem ? { value: undefined, problems: { [path]: problem } } : { value, problems: {} };
  } catch (error) {
    return { value: undefined, problems: { [path]: (error as Error).message } };
  }
}

function parse(field: IField, text: string): JSONValue {
  switch (field.kind) {
    case 'number':
    case 'integer': {
      const value = Number(text.trim().replace(',', '.'));
      if (!Number.isFinite(value)) {
        throw new Error('must be a number');
      }
      if (field.kind === 'integer' && !Number.isInteger(value)) {
        throw new Error('must be a whole number');
      }
      if (field.kind === 'integer' && !Number.isSafeInteger(value)) {
        throw new Error('has more digits than a browser can send; the approval page takes it');
      }
      return value;
    }
    case 'choice':
      return JSON.parse(text) as JSONValue;
    case 'json':
      return parseJson(text);
    case 'datetime':
      // What the browser gives has no time zone: the one of whoever wrote it.
      return /[zZ]$|[+-]\d\d:\d\d$/.test(text) ? text : new Date(text).toISOString();
    default:
      return text;
  }
}

/** Read JSON, and say in plain words if it is none. */
export function parseJson(text: string): JSONValue {
  try {
    return JSON.parse(text) as JSONValue;
  } catch {
    throw new Error('must be JSON, such as {"comment": "looks good"} or "text"');
  }
}

function limits(field: IField, value: JSONValue): string | null {
  const schema = field.schema;
  if (typeof value === 'number') {
    const rules: [string, (limit: number) => boolean, string][] = [
      ['minimum', limit => value >= limit, 'must be at least'],
      ['maximum', limit => value <= limit, 'must be at most'],
      ['exclusiveMinimum', limit => value > limit, 'must be more than'],
      ['exclusiveMaximum', limit => value < limit, 'must be less than']
    ];
    const broken = rules.find(([name, holds]) => typeof schema[name] === 'number' && !holds(schema[name]));
    return broken ? `${broken[2]} ${schema[broken[0]] as number}` : null;
  }
  if (typeof value === 'string' && field.kind !== 'choice') {
    const { minLength, maxLength, pattern } = schema;
    // Characters as the server counts them.
    const { length } = Array.from(value);
    if (typeof minLength === 'number' && length < minLength) {
      return `needs at least ${minLength} characters`;
    }
    if (typeof maxLength === 'number' && length > maxLength) {
      return `takes at most ${maxLength} characters`;
    }
    if (typeof pattern === 'string' && !matches(pattern, value)) {
      return `must match ${pattern}`;
    }
  }
  return null;
}

function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(value);
  } catch {
    // Python's patterns are not all JavaScript's; the server judges.
    return true;
  }
}

/** Read one place of a schema; `within`: the `$ref`s on the way to it. */
function field(
  given: JSONObject,
  root: JSONObject,
  name: string,
  isRequired: boolean,
  within: ReadonlySet<string>
): IField {
  const { schema, isNullable, references } = resolved(given, root);
  const choices = Array.isArray(schema['enum']) ? schema['enum'] : 'const' in schema ? [schema['const']] : [];
  // A schema may contain itself, and several times: a form of all of it would have no end.
  const kind = references.some(each => within.has(each)) ? 'json' : kindOf(schema, choices);
  const inside = new Set([...within, ...references]);
  const properties = isObject(schema['properties']) ? schema['properties'] : {};
  const needed = Array.isArray(schema['required']) ? schema['required'] : [];
  const only = choices.length === 1 && isRequired ? choices[0] : undefined;
  return {
    kind,
    label: typeof schema['title'] === 'string' ? schema['title'] : name,
    description: typeof schema['description'] === 'string' ? schema['description'] : '',
    isRequired,
    isNullable,
    initial: schema['default'] ?? only,
    choices,
    fields:
      kind === 'object'
        ? Object.fromEntries(
            Object.entries(properties)
              .filter((pair): pair is [string, JSONObject] => isObject(pair[1]))
              .map(([key, each]) => [key, named(field(each, root, key, needed.includes(key), inside))])
          )
        : {},
    item: kind === 'list' ? field(schema['items'] as JSONObject, root, '', true, inside) : null,
    schema
  };
}

function kindOf(schema: JSONObject, choices: JSONValue[]): Kind {
  if (choices.length > 0) {
    return 'choice';
  }
  const format = schema['format'];
  switch (schema['type']) {
    case 'string':
      if (format === 'date') {
        return 'date';
      }
      if (format === 'date-time') {
        return 'datetime';
      }
      return format === 'textarea' || (schema['maxLength'] as number) > 200 ? 'long' : 'text';
    case 'number':
    case 'integer':
    case 'boolean':
      return schema['type'];
    case 'object':
      return isObject(schema['properties']) ? 'object' : 'json';
    case 'array':
      return isObject(schema['items']) ? 'list' : 'json';
    default:
      return isObject(schema['properties']) ? 'object' : 'json';
  }
}

interface IResolved {
  schema: JSONObject;
  isNullable: boolean;
  /** The `$ref`s that led to it. */
  references: string[];
}

/** Follow `$ref`, and take `Optional[…]` and single-element `allOf` apart, as pydantic writes them. */
function resolved(given: JSONObject, root: JSONObject): IResolved {
  const references: string[] = [];
  let schema = given;
  let isNullable = schema['type'] === 'null';
  for (let n = 0; n < 16; n++) {
    if (typeof schema['$ref'] === 'string') {
      const { $ref, ...others } = schema;
      references.push($ref);
      schema = { ...lookUp($ref, root), ...others };
      continue;
    }
    const [name, options] = (['anyOf', 'oneOf', 'allOf'] as const)
      .map(each => [each, schema[each]] as const)
      .find(pair => Array.isArray(pair[1])) ?? ['', undefined];
    if (!Array.isArray(options)) {
      break;
    }
    const others = options.filter(isObject).filter(each => each['type'] !== 'null');
    isNullable ||= others.length < options.length;
    if (others.length !== 1) {
      break;
    }
    const around = Object.fromEntries(Object.entries(schema).filter(([key]) => key !== name));
    schema = { ...(others[0] as JSONObject), ...around };
  }
  if (Array.isArray(schema['type'])) {
    const types = schema['type'].filter(each => each !== 'null');
    isNullable ||= types.length < schema['type'].length;
    schema = { ...schema, type: (types.length === 1 ? types[0] : undefined) ?? null };
  }
  return { schema, isNullable, references };
}

function lookUp(reference: string, root: JSONObject): JSONObject {
  let found: JSONValue | undefined = root;
  for (const name of reference.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    found = isObject(found) ? own(found, unescaped(name)) : undefined;
  }
  return isObject(found) ? found : {};
}

/** See to it that it has a label; only the entries of a list need none of their own. */
function named(field: IField): IField {
  return { ...field, label: field.label || 'Your answer' };
}

function unescaped(name: string): string {
  return name.replace(/~1/g, '/').replace(/~0/g, '~');
}

/** A moment as the browser's field takes it, in the zone of whoever looks; what is none stays as it is. */
function local(moment: string): string {
  const read = new Date(moment);
  if (Number.isNaN(read.getTime())) {
    return moment;
  }
  return new Date(read.getTime() - read.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function required(field: IField): IField {
  return { ...field, isRequired: true };
}

function hasAny(problems: Problems): boolean {
  return Object.keys(problems).length > 0;
}

function isObject(value: JSONValue | undefined): value is JSONObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
