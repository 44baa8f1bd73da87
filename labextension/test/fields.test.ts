import type { JSONObject } from '@lumino/coreutils';
import { describe, expect, it } from 'vitest';

import { below, Draft, draftOf, formOf, placed, read } from '../src/form/fields';

/** As pydantic writes it. */
const ORDER: JSONObject = {
  title: 'Order',
  type: 'object',
  required: ['count', 'size', 'address'],
  properties: {
    count: { type: 'integer', minimum: 1, maximum: 9, title: 'Count' },
    size: { $ref: '#/$defs/Size' },
    address: { $ref: '#/$defs/Address' },
    note: { anyOf: [{ type: 'string' }, { type: 'null' }], default: null, description: 'For the courier' },
    gift: { type: 'boolean', default: true },
    day: { type: 'string', format: 'date' },
    tags: { type: 'array', items: { type: 'string', minLength: 2 }, maxItems: 2 },
    extra: {}
  },
  $defs: {
    Size: { enum: ['S', 'M'], type: 'string' },
    Address: { type: 'object', required: ['street'], properties: { street: { type: 'string', minLength: 1 } } }
  }
};

function written(changes: Record<string, Draft>): ReturnType<typeof read> {
  const form = formOf(ORDER);
  return read(form, { ...(draftOf(form) as Record<string, Draft>), ...changes });
}

describe('a form', () => {
  const form = formOf(ORDER);

  it('has a kind for each field', () => {
    const kinds = Object.fromEntries(Object.entries(form.fields).map(([name, field]) => [name, field.kind]));

    expect(kinds).toEqual({
      count: 'integer',
      size: 'choice',
      address: 'object',
      note: 'text',
      gift: 'boolean',
      day: 'date',
      tags: 'list',
      extra: 'json'
    });
  });

  it('knows what is required, and what may be null', () => {
    expect(form.fields['count']?.isRequired).toBe(true);
    expect(form.fields['note']?.isRequired).toBe(false);
    expect(form.fields['note']?.isNullable).toBe(true);
    expect(form.fields['note']?.description).toBe('For the courier');
  });

  it('begins with defaults', () => {
    expect(draftOf(form)).toMatchObject({ gift: true, count: '', note: '', tags: [], address: { street: '' } });
  });

  it('takes one value as it takes an object', () => {
    const single = formOf({ type: 'integer', title: 'How many' });

    expect(read(single, '7')).toEqual({ value: 7, problems: {} });
  });

  it('ends in JSON where a schema refers to itself, however often', () => {
    const node: JSONObject = { $ref: '#/$defs/Node' };
    const children = Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map(n => [`child ${n}`, node]));
    const form = formOf({
      ...node,
      $defs: { Node: { type: 'object', properties: { ...children, all: { type: 'array', items: node } } } }
    });

    expect(new Set(Object.values(form.fields).map(each => each.kind))).toEqual(new Set(['json', 'list']));
    expect(form.fields['all']?.item?.kind).toBe('json');
  });

  it('shows a default moment in the zone of whoever looks', () => {
    const moment = (text: string): Draft => draftOf(formOf({ type: 'string', format: 'date-time', default: text }));

    expect(new Date(moment('2026-11-20T10:00:30+02:00') as string).toISOString()).toBe('2026-11-20T08:00:30.000Z');
    expect(moment('soon')).toBe('soon');
  });

  it('has a name for an answer without one', () => {
    expect(formOf({ type: 'string' }).label).toBe('Your answer');
  });
});

describe('reading', () => {
  it('gives values with their types, and leaves out what is empty', () => {
    const { value, problems } = written({
      count: '3',
      size: '"M"',
      address: { street: 'Elm' },
      tags: ['ab'],
      extra: '{"a": [1]}'
    });

    expect(problems).toEqual({});
    expect(value).toEqual({
      count: 3,
      size: 'M',
      address: { street: 'Elm' },
      gift: true,
      tags: ['ab'],
      extra: { a: [1] }
    });
  });

  it('names every field in which something is wrong', () => {
    const { value, problems } = written({ count: '3.5', day: '2026-11-20', tags: ['a', 'bc', 'de'], extra: '{' });

    expect(value).toBeUndefined();
    expect(Object.keys(problems).sort()).toEqual(['/address/street', '/count', '/extra', '/size', '/tags', '/tags/0']);
    expect(problems['/count']).toBe('must be a whole number');
    expect(problems['/tags']).toBe('takes at most 2');
  });

  it.each([
    ['0', 'must be at least 1'],
    ['10', 'must be at most 9'],
    ['ten', 'must be a number'],
    ['', 'is required']
  ])('refuses %j as a count', (text, said) => {
    expect(written({ count: text }).problems['/count']).toBe(said);
  });

  it('gives a moment its time zone', () => {
    const field = formOf({ type: 'string', format: 'date-time' });

    expect(read(field, '2026-11-20T12:00').value).toMatch(/^2026-11-\d\dT\d\d:00:00\.000Z$/);
    expect(read(field, '2026-11-20T12:00:00+01:00').value).toBe('2026-11-20T12:00:00+01:00');
  });

  it.each(['a.b', 'a/b', 'a~b', 'constructor', '__proto__', 'two words', ''])(
    'takes a field that is called %j',
    name => {
      const form = formOf({
        type: 'object',
        required: [name],
        properties: Object.fromEntries([[name, { type: 'string' }]])
      });

      expect(read(form, draftOf(form)).problems).toEqual({ [below('', name)]: 'is required' });
      expect(JSON.stringify(read(form, Object.fromEntries([[name, 'x']])).value)).toBe(`{${JSON.stringify(name)}:"x"}`);
    }
  );

  it('leaves out an optional object in which nothing was written', () => {
    const address: JSONObject = {
      type: 'object',
      required: ['street'],
      properties: { street: { type: 'string' }, isHome: { type: 'boolean' } }
    };
    const form = formOf({ type: 'object', properties: { address } });

    expect(read(form, draftOf(form))).toEqual({ value: {}, problems: {} });
    expect(read(form, { address: { street: '', isHome: true } }).problems).toEqual({
      '/address/street': 'is required'
    });
  });

  it('takes nothing for null where null is a value', () => {
    const integer: JSONObject = { anyOf: [{ type: 'integer' }, { type: 'null' }] };
    const form = formOf({
      type: 'object',
      required: ['x', 'size'],
      properties: {
        x: integer,
        size: { enum: ['S'], type: ['string', 'null'] },
        isSure: { anyOf: [{ type: 'boolean' }, { type: 'null' }], default: null }
      }
    });

    expect(read(form, { x: '', size: '', isSure: false }).value).toEqual({ x: null, size: null });
    expect(read(form, { x: '3', size: '"S"', isSure: true }).value).toEqual({ x: 3, size: 'S', isSure: true });
  });

  it('sends a text that was emptied', () => {
    const form = formOf({ type: 'object', properties: { note: { type: 'string', default: 'as usual' } } });

    expect(read(form, { note: '' }).value).toEqual({ note: '' });
  });

  it('counts characters as the server does', () => {
    const form = formOf({ type: 'string', maxLength: 2 });

    expect(read(form, '👍👍').problems).toEqual({});
    expect(read(form, 'abc').problems).toEqual({ '': 'takes at most 2 characters' });
  });

  it('refuses a number that would be another one', () => {
    expect(read(formOf({ type: 'integer' }), '12345678901234567890').problems['']).toContain('more digits');
  });
});

describe('what the server finds', () => {
  it('stands beside the field that is nearest to it', () => {
    const form = formOf({
      type: 'object',
      properties: { extra: {}, rows: { type: 'array', items: { type: 'object', properties: { x: {} } } } }
    });

    expect(
      placed(form, { '/extra/a/0': 'must be text', '/extra/b': 'is required', '/rows/1/x': 'is wrong', '/c': 'is no' })
    ).toEqual({
      '/extra': 'a, entry 1 must be text; b is required',
      '/rows/1/x': 'is wrong',
      '': 'c is no'
    });
  });
});
