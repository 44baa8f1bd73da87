/** The contents of a form: texts by input name, which the server reads. No DOM here. */

/** An input or a group of inputs; `Control` in `pauseflow_nb/forms/controls.py`. */
export interface IControl {
  /** Its texts are sent under this name. */
  name: string;
  kind: string;
  label: string;
  description: string;
  is_required: boolean;
  /** Its initial contents. */
  texts: string[];
  /** The options: text to send, and label. */
  options: [text: string, label: string][];
  fields: IControl[];
  /** A blank row of a list of groups. */
  row: IControl | null;
  /** Attributes for display: `placeholder`, `inputmode`, `type` and others. */
  hints: Record<string, string | number>;
}

/** Input name → texts, as a browser sends a form. */
export type Entries = Record<string, string[]>;

/** Input name → error message. */
export type Problems = Record<string, string>;

export interface IDraft {
  /** The typed texts. */
  texts: ReadonlyMap<string, string[]>;
  /** Lists whose rows were added or removed. */
  rows: ReadonlyMap<string, IControl[]>;
}

export const EMPTY: IDraft = { texts: new Map(), rows: new Map() };

/** Kinds of controls that contain others, and send nothing themselves. */
const GROUPS = ['object', 'rows'];

/** Kinds of controls that send nothing if nothing is ticked; others send an empty text, as a browser does. */
const BOXES = ['boolean', 'choices'];

/** The contents of a control. */
export function textsIn(draft: IDraft, control: IControl): string[] {
  const texts = draft.texts.get(control.name) ?? control.texts;
  return texts.length > 0 || BOXES.includes(control.kind) ? texts : [''];
}

export function type(draft: IDraft, name: string, texts: string[]): IDraft {
  return { ...draft, texts: new Map(draft.texts).set(name, texts) };
}

/** The rows of a list. */
export function rowsIn(draft: IDraft, list: IControl): IControl[] {
  return draft.rows.get(list.name) ?? list.fields;
}

/** Add a blank row. */
export function addRow(draft: IDraft, list: IControl): IDraft {
  const rows = rowsIn(draft, list);
  const used = rows.map(row => Number(row.name.slice(list.name.length + 1).split('/')[0]));
  // Never a number that was used before: texts of a removed row must not appear again.
  const typed = [...draft.texts.keys(), ...rows.map(row => row.name)]
    .filter(name => name.startsWith(`${list.name}/`))
    .map(name => Number(name.slice(list.name.length + 1).split('/')[0]));
  const next = Math.max(-1, ...used, ...typed.filter(Number.isInteger)) + 1;
  return list.row === null ? draft : withRows(draft, list, [...rows, numbered(list.row, next)]);
}

export function removeRow(draft: IDraft, list: IControl, row: IControl): IDraft {
  return withRows(
    draft,
    list,
    rowsIn(draft, list).filter(each => each !== row)
  );
}

/** The chosen branch of a union, or null. */
export function branchOf(draft: IDraft, union: IControl): IControl | null {
  const [text = ''] = textsIn(draft, union);
  return (text === '' ? undefined : union.fields[Number(text)]) ?? null;
}

/** Collect all visible inputs, also empty ones, as a browser does. */
export function entriesOf(draft: IDraft, control: IControl): Entries {
  const own = GROUPS.includes(control.kind) ? {} : { [control.name]: textsIn(draft, control) };
  const inner = control.kind === 'union' ? [branchOf(draft, control)] : innerOf(draft, control);
  return Object.assign(own, ...inner.filter(each => each !== null).map(each => entriesOf(draft, each))) as Entries;
}

/** The rarer kind of fields, required or optional, which is marked. */
export function exceptionsOf(control: IControl): 'required' | 'optional' {
  const singles = singlesIn(control);
  const required = singles.filter(each => each.is_required).length;
  return required * 2 > singles.length ? 'optional' : 'required';
}

/** The initial number of inputs. */
export function sizeOf(control: IControl): number {
  return singlesIn(control).length;
}

function singlesIn(control: IControl): IControl[] {
  const inner = control.fields.flatMap(singlesIn);
  return GROUPS.includes(control.kind) ? inner : [control, ...inner];
}

function innerOf(draft: IDraft, control: IControl): IControl[] {
  return control.kind === 'rows' ? rowsIn(draft, control) : control.fields;
}

function withRows(draft: IDraft, list: IControl, rows: IControl[]): IDraft {
  return { ...draft, rows: new Map(draft.rows).set(list.name, rows) };
}

/** Give a blank row its number: the first `~n` in each name inside it. */
function numbered(control: IControl, n: number): IControl {
  return {
    ...control,
    name: control.name.replace('~n', String(n)),
    fields: control.fields.map(each => numbered(each, n)),
    row: control.row && numbered(control.row, n)
  };
}
