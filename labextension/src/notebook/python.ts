/** Read Python's literals: what stands in a `parameters` cell. */

import type { JSONValue } from '@lumino/coreutils';

/** Something that is no literal, or none that JSON has. */
export class NoLiteral extends Error {}

/** Read a literal that begins at an index; returns its value and where it ends. */
export function literal(source: string, start: number): { value: JSONValue; end: number } {
  const reader = new Reader(source, start);
  const value = reader.value();
  return { value, end: reader.at };
}

const WORDS: Record<string, JSONValue> = { True: true, False: false, None: null };
const ESCAPES: Record<string, string> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '0': '\0',
  '\n': ''
};

class Reader {
  constructor(
    private readonly _source: string,
    public at: number
  ) {}

  value(): JSONValue {
    const char = this._source[this.at] ?? '';
    if (char === '[' || char === '(') {
      return this._sequence(char === '[' ? ']' : ')');
    }
    if (char === '{') {
      return this._mapping();
    }
    const text = this._match(/[rR]?(?='|")/y);
    if (text !== null) {
      return this._strings(text);
    }
    const number = this._match(/[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?(?![\w.])/y);
    if (number !== null) {
      return Number(number.replace(/_/g, ''));
    }
    const word = this._match(/(?:True|False|None)\b/y);
    if (word !== null) {
      return WORDS[word] as JSONValue;
    }
    throw new NoLiteral();
  }

  private _sequence(close: string): JSONValue {
    const { items, commas } = this._items(close, () => this.value());
    // `(1)` is a number, `(1,)` is not.
    return close === ')' && items.length === 1 && commas === 0 ? (items[0] as JSONValue) : items;
  }

  private _mapping(): JSONValue {
    const { items } = this._items<[string, JSONValue]>('}', () => {
      const key = this.value();
      this._space();
      if (typeof key !== 'string' || this._source[this.at] !== ':') {
        throw new NoLiteral();
      }
      this.at++;
      this._space();
      return [key, this.value()];
    });
    return Object.fromEntries<JSONValue>(items);
  }

  private _items<T>(close: string, one: () => T): { items: T[]; commas: number } {
    const items: T[] = [];
    let commas = 0;
    this.at++;
    for (;;) {
      this._space();
      if (this._source[this.at] === close) {
        this.at++;
        return { items, commas };
      }
      if (items.length > commas) {
        throw new NoLiteral();
      }
      items.push(one());
      this._space();
      if (this._source[this.at] === ',') {
        this.at++;
        commas++;
      }
    }
  }

  private _strings(prefix: string | null): string {
    let text = '';
    for (let raw = prefix; raw !== null; raw = this._match(/[ \t]*[rR]?(?='|")/y)) {
      text += this._string(raw.trim() !== '');
    }
    return text;
  }

  private _string(isRaw: boolean): string {
    const one = this._source[this.at] ?? '';
    const quote = this._source.startsWith(one.repeat(3), this.at) ? one.repeat(3) : one;
    this.at += quote.length;
    let text = '';
    while (!this._source.startsWith(quote, this.at)) {
      const char = this._source[this.at];
      if (char === undefined || (char === '\n' && quote.length === 1)) {
        throw new NoLiteral();
      }
      text += char === '\\' ? this._escape(isRaw) : char;
      this.at++;
    }
    this.at += quote.length;
    return text;
  }

  private _escape(isRaw: boolean): string {
    this.at++;
    const char = this._source[this.at] ?? '';
    if (isRaw) {
      return `\\${char}`;
    }
    const hex = { x: 2, u: 4, U: 8 }[char];
    if (hex !== undefined) {
      const digits = this._source.slice(this.at + 1, this.at + 1 + hex);
      if (!/^[0-9a-fA-F]+$/.test(digits) || digits.length < hex || parseInt(digits, 16) > 0x10ffff) {
        throw new NoLiteral();
      }
      this.at += hex;
      return String.fromCodePoint(parseInt(digits, 16));
    }
    return ESCAPES[char] ?? `\\${char}`;
  }

  private _space(): void {
    this._match(/(?:\s|#[^\n]*|\\\n)*/y);
  }

  private _match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this._source);
    if (found === null) {
      return null;
    }
    this.at = pattern.lastIndex;
    return found[0];
  }
}
