import { describe, expect, it } from 'vitest';

import { Draft, draftOf } from '../src/form/fields';
import { headerOf } from '../src/notebook/headers';
import { formOfParameters, parametersOf, readParameters } from '../src/notebook/parameters';

const CELL = `# what to train
trees = 200  # how many
ratio: float = 0.5
name = "wine"
names = [
    "a",  # the first
    'b',
]
options = {"depth": (1, 2), "deep": None}
big = 1_000
is_dry = True
where = Path("data")
text = """two
x = 3
lines"""
def helper():
    hidden = 1
trees = 300
a == b
`;

describe('parameters', () => {
  const found = Object.fromEntries(parametersOf(CELL).map(each => [each.name, each]));

  it('are the assignments at the margin', () => {
    expect(Object.keys(found).sort()).toEqual(
      ['big', 'is_dry', 'name', 'names', 'options', 'ratio', 'text', 'trees', 'where'].sort()
    );
  });

  it('have the values of their literals', () => {
    expect(found['ratio']).toMatchObject({ value: 0.5, annotation: 'float' });
    expect(found['names']?.value).toEqual(['a', 'b']);
    expect(found['options']?.value).toEqual({ depth: [1, 2], deep: null });
    expect(found['big']?.value).toBe(1000);
    expect(found['text']?.value).toBe('two\nx = 3\nlines');
  });

  it('count as they are assigned last', () => {
    expect(found['trees']?.value).toBe(300);
  });

  it('show what is no literal as it is written', () => {
    expect(found['where']).toMatchObject({ value: undefined, expression: 'Path("data")' });
  });

  it('keep their comments', () => {
    expect(parametersOf('trees = 1  # how many')[0]?.comment).toBe('how many');
  });

  it.each([
    ['"a\\n\\u00e9\\\\"', 'a\né\\'],
    ["r'\\d'", '\\d'],
    ['"a" "b"', 'ab'],
    ['-1.5e3', -1500],
    ['(1)', 1],
    ['(1,)', [1]],
    ['[]', []]
  ])('read %s', (text, value) => {
    expect(parametersOf(`x = ${text}`)[0]?.value).toEqual(value);
  });

  it.each(['1 + 1', 'f"{a}"', '[1, x]', '"open', '{1: 2}', 'b"x"', '0x10', '[1 2]'])('leave %s alone', text => {
    expect(parametersOf(`x = ${text}`)[0]).toMatchObject({ value: undefined, expression: text });
  });
});

describe('the form of parameters', () => {
  const parameters = parametersOf(CELL);
  const form = formOfParameters(parameters);

  it('sends only what was changed', () => {
    const draft = { ...(draftOf(form) as Record<string, Draft>), trees: '7', is_dry: false, name: '' };

    expect(readParameters(form, parameters, draft)).toEqual({
      values: { trees: 7, is_dry: false, name: '' },
      problems: {}
    });
  });

  it('says what cannot be read', () => {
    const draft = { ...(draftOf(form) as Record<string, Draft>), trees: 'many', where: 'Path(' };

    expect(Object.keys(readParameters(form, parameters, draft).problems).sort()).toEqual(['/trees', '/where']);
  });
});

describe('headers', () => {
  it.each([
    ['%%step train', { kind: 'step', name: 'train' }],
    ['\n  %%step train --retries 3\nx', { kind: 'step', name: 'train' }],
    ['%%setup\nimport x', { kind: 'setup', name: '' }],
    ['%%stepper x', null],
    ['%%step --retries 3', null],
    ['x = 1\n%%step late', null]
  ])('of %j', (source, header) => {
    expect(headerOf(source)).toEqual(header);
  });
});
