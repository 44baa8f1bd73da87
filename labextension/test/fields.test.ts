import type { JSONObject } from '@lumino/coreutils';
import { describe, expect, it } from 'vitest';

import { Draft, draftOf, formOf, read } from '../src/form/fields';

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

  it('gives up on a schema that refers to itself, as JSON', () => {
    const tree: JSONObject = {
      $ref: '#/$defs/Tree',
      $defs: { Tree: { type: 'object', properties: { child: { $ref: '#/$defs/Tree' } } } }
    };

    expect(() => draftOf(formOf(tree))).not.toThrow();
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
    expect(Object.keys(problems).sort()).toEqual(['address.street', 'count', 'extra', 'size', 'tags', 'tags.0']);
    expect(problems['count']).toBe('must be a whole number');
    expect(problems['tags']).toBe('takes at most 2');
  });

  it.each([
    ['0', 'must be at least 1'],
    ['10', 'must be at most 9'],
    ['ten', 'must be a number'],
    ['', 'is required']
  ])('refuses %j as a count', (text, said) => {
    expect(written({ count: text }).problems['count']).toBe(said);
  });

  it('gives a moment its time zone', () => {
    const field = formOf({ type: 'string', format: 'date-time' });

    expect(read(field, '2026-11-20T12:00').value).toMatch(/^2026-11-\d\dT\d\d:00:00\.000Z$/);
    expect(read(field, '2026-11-20T12:00:00+01:00').value).toBe('2026-11-20T12:00:00+01:00');
  });
});
