/** A JSON Schema as a form: which fields, what stands in them at first, and what was written. No DOM here. */

import type { JSONObject, JSONValue } from '@lumino/coreutils';

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

/** Path such as `items.0.name` → what is wrong there; the whole form is the empty path. */
export type Problems = Record<string, string>;

export interface IReading {
  /** Undefined if nothing was written, or something is wrong. */
  value: JSONValue | undefined;
  problems: Problems;
}

/** Make a form of a schema. */
export function formOf(schema: JSONObject): IField {
  return field(schema, schema, '', true, 0);
}

/** What stands in a field at first. */
export function draftOf(field: IField, value: JSONValue | undefined = field.initial): Draft {
  switch (field.kind) {
    case 'boolean':
      return value === true;
    case 'object': {
      const given = isObject(value) ? value : {};
      return Object.fromEntries(
        Object.entries(field.fields).map(([name, each]) => [name, draftOf(each, given[name] ?? each.initial)])
      );
    }
    case 'list':
      return field.item && Array.isArray(value) ? value.map(each => draftOf(field.item as IField, each)) : [];
    case 'choice':
      return value === undefined ? '' : JSON.stringify(value);
    case 'json':
      return value === undefined ? '' : JSON.stringify(value, null, 2);
    default:
      return value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  }
}

/** Read what was written. */
export function read(field: IField, draft: Draft, path = ''): IReading {
  switch (field.kind) {
    case 'boolean':
      return { value: draft === true, problems: {} };
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

/** Add a name to a path. */
export function below(path: string, name: string | number): string {
  return path ? `${path}.${name}` : String(name);
}

function readObject(field: IField, draft: Draft, path: string): IReading {
  const drafts = draft as { [name: string]: Draft };
  const value: JSONObject = {};
  let problems: Problems = {};
  for (const [name, each] of Object.entries(field.fields)) {
    const reading = read(each, drafts[name] ?? draftOf(each), below(path, name));
    problems = { ...problems, ...reading.problems };
    if (reading.value !== undefined) {
      value[name] = reading.value;
    }
  }
  const isEmpty = Object.keys(value).length === 0 && !field.isRequired;
  return { value: isEmpty || hasAny(problems) ? undefined : value, problems };
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
    if (isText && field.isRequired && !hasLeast(field.schema)) {
      return { value: '', problems: {} };
    }
    return field.isRequired
      ? { value: undefined, problems: { [path]: 'is required' } }
      : { value: undefined, problems: {} };
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
    if (typeof minLength === 'number' && value.length < minLength) {
      return `needs at least ${minLength} characters`;
    }
    if (typeof maxLength === 'number' && value.length > maxLength) {
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

function field(given: JSONObject, root: JSONObject, name: string, isRequired: boolean, depth: number): IField {
  const { schema, isNullable } = resolved(given, root);
  const choices = Array.isArray(schema['enum']) ? schema['enum'] : 'const' in schema ? [schema['const']] : [];
  const kind = depth > 8 ? 'json' : kindOf(schema, choices);
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
              .map(([key, each]) => [key, field(each, root, key, needed.includes(key), depth + 1)])
          )
        : {},
    item: kind === 'list' ? field(schema['items'] as JSONObject, root, '', true, depth + 1) : null,
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

/** Follow `$ref`, and take `Optional[…]` and single-element `allOf` apart, as pydantic writes them. */
function resolved(given: JSONObject, root: JSONObject): { schema: JSONObject; isNullable: boolean } {
  let schema = given;
  let isNullable = false;
  for (let n = 0; n < 16; n++) {
    if (typeof schema['$ref'] === 'string') {
      const { $ref, ...own } = schema;
      schema = { ...lookUp($ref, root), ...own };
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
    const own = Object.fromEntries(Object.entries(schema).filter(([key]) => key !== name));
    schema = { ...(others[0] as JSONObject), ...own };
  }
  if (Array.isArray(schema['type'])) {
    const types = schema['type'].filter(each => each !== 'null');
    isNullable ||= types.length < schema['type'].length;
    schema = { ...schema, type: (types.length === 1 ? types[0] : undefined) ?? null };
  }
  return { schema, isNullable };
}

function lookUp(reference: string, root: JSONObject): JSONObject {
  let found: JSONValue | undefined = root;
  for (const name of reference.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    found = isObject(found) ? found[name.replace(/~1/g, '/').replace(/~0/g, '~')] : undefined;
  }
  return isObject(found) ? found : {};
}

function required(field: IField): IField {
  return { ...field, isRequired: true };
}

function hasLeast(schema: JSONObject): boolean {
  return typeof schema['minLength'] === 'number' && schema['minLength'] > 0;
}

function hasAny(problems: Problems): boolean {
  return Object.keys(problems).length > 0;
}

function isObject(value: JSONValue | undefined): value is JSONObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
