import { describe, expect, it } from 'vitest';

import {
  addRow,
  branchOf,
  EMPTY,
  entriesOf,
  exceptionsOf,
  IControl,
  removeRow,
  rowsIn,
  sizeOf,
  type
} from '../src/form/draft';

function control(name: string, more: Partial<IControl> = {}): IControl {
  return {
    name,
    kind: 'text',
    label: name,
    description: '',
    is_required: false,
    texts: [],
    options: [],
    fields: [],
    row: null,
    hints: {},
    ...more
  };
}

const root = (...fields: IControl[]): IControl => control('answer', { kind: 'object', fields });

describe('entries', () => {
  it('are what stands in all that is drawn, as texts', () => {
    const form = root(
      control('answer/amount', { kind: 'integer', texts: ['1'] }),
      control('answer/ok', { kind: 'boolean' }),
      control('answer/address', { kind: 'object', fields: [control('answer/address/street', { texts: ['Elm 1'] })] })
    );
    const draft = type(type(EMPTY, 'answer/amount', ['1,000']), 'answer/ok', ['on']);

    expect(entriesOf(draft, form)).toEqual({
      'answer/amount': ['1,000'],
      'answer/ok': ['on'],
      'answer/address/street': ['Elm 1']
    });
  });

  it('are only those of the branch that is chosen', () => {
    const union = control('answer/to~is', {
      kind: 'union',
      options: [
        ['', 'not given'],
        ['0', 'Person']
      ],
      fields: [control('answer/to/name')]
    });

    expect(branchOf(EMPTY, union)).toBeNull();
    expect(entriesOf(EMPTY, root(union))).toEqual({ 'answer/to~is': [''] });
    expect(entriesOf(type(EMPTY, 'answer/to~is', ['0']), root(union))).toEqual({
      'answer/to~is': ['0'],
      'answer/to/name': ['']
    });
  });

  it('keep odd names', () => {
    const form = root(control('answer/__proto__'), control('answer/constructor'));

    expect(Object.keys(entriesOf(EMPTY, form))).toEqual(['answer/__proto__', 'answer/constructor']);
  });
});

describe('rows', () => {
  const inner = control('answer/list/~n/parts', { kind: 'rows', row: control('answer/list/~n/parts/~n') });
  const list = control('answer/list', {
    kind: 'rows',
    row: control('answer/list/~n', { kind: 'object', fields: [control('answer/list/~n/name'), inner] })
  });

  it('get the next number, and leave that of rows inside them', () => {
    const [row] = rowsIn(addRow(EMPTY, list), list);

    expect(row?.fields.map(each => each.name)).toEqual(['answer/list/0/name', 'answer/list/0/parts']);
    expect(row?.fields[1]?.row?.name).toBe('answer/list/0/parts/~n');
  });

  it('do not get back what was typed into one that was removed', () => {
    const first = addRow(EMPTY, list);
    const typed = type(first, 'answer/list/0/name', ['old']);
    const removed = removeRow(typed, list, rowsIn(typed, list)[0] as IControl);
    const again = addRow(removed, list);

    expect(rowsIn(again, list).map(row => row.name)).toEqual(['answer/list/1']);
    expect(entriesOf(again, root(list))).toEqual({ 'answer/list/1/name': [''] });
  });
});

describe('marks', () => {
  const needed = control('a', { is_required: true });

  it('are for the exceptions', () => {
    expect(exceptionsOf(root(needed, needed, control('b')))).toBe('optional');
    expect(exceptionsOf(root(needed, control('b'), control('c')))).toBe('required');
    expect(exceptionsOf(root(control('b')))).toBe('required');
  });

  it('count inputs and not groups', () => {
    expect(sizeOf(root(needed, control('g', { kind: 'object', fields: [needed, needed] })))).toBe(3);
  });
});
