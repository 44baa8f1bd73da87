/** What is typed into a form that the server describes: texts by input name. The server reads them. No DOM here. */

/** One input, or a group of them; `Control` in `pauseflow_nb/forms/controls.py`. */
export interface IControl {
  /** Its texts are sent under this name. */
  name: string;
  kind: string;
  label: string;
  description: string;
  is_required: boolean;
  /** What stands in it at first. */
  texts: string[];
  /** What can be chosen: text to send, and label. */
  options: [text: string, label: string][];
  fields: IControl[];
  /** Of a list of groups: a blank one. */
  row: IControl | null;
  /** Only to show: `placeholder`, `inputmode`, `type` and the like. */
  hints: Record<string, string | number>;
}

/** Input name → texts, as a browser sends a form. */
export type Entries = Record<string, string[]>;

/** Input name → what is wrong with what stands there. */
export type Problems = Record<string, string>;

export interface IDraft {
  /** What was typed. */
  texts: ReadonlyMap<string, string[]>;
  /** Lists to which rows were added, or from which some were removed. */
  rows: ReadonlyMap<string, IControl[]>;
}

export const EMPTY: IDraft = { texts: new Map(), rows: new Map() };

/** Which kinds hold other controls, and send nothing themselves. */
const GROUPS = ['object', 'rows'];

/** Which kinds send nothing if nothing is ticked; all others send an empty text, as a browser does. */
const BOXES = ['boolean', 'choices'];

/** What stands in a control. */
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
  // Never a number that was used before: what was typed into a removed row must not come back.
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

/** The branch that is chosen of a union; null: none. */
export function branchOf(draft: IDraft, union: IControl): IControl | null {
  const [text = ''] = textsIn(draft, union);
  return (text === '' ? undefined : union.fields[Number(text)]) ?? null;
}

/** Collect all that is drawn, empty inputs too, as a browser does. */
export function entriesOf(draft: IDraft, control: IControl): Entries {
  const own = GROUPS.includes(control.kind) ? {} : { [control.name]: textsIn(draft, control) };
  const inner = control.kind === 'union' ? [branchOf(draft, control)] : innerOf(draft, control);
  return Object.assign(own, ...inner.filter(each => each !== null).map(each => entriesOf(draft, each))) as Entries;
}

/** Which fields are the exceptions, and so get a mark: if most must be filled, those that need not be. */
export function exceptionsOf(control: IControl): 'required' | 'optional' {
  const singles = singlesIn(control);
  const required = singles.filter(each => each.is_required).length;
  return required * 2 > singles.length ? 'optional' : 'required';
}

/** How many inputs there are at first. */
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
