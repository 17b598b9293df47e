import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tokenize } from '../../src/sql/tokenizer.ts';

const brief = (sql: string): string[] => tokenize(sql).map((t) => `${t.kind}:${t.text}`);

describe('tokens', () => {
  test.each<[string, string[]]>([
    ['select 1', ['word:select', 'number:1']],
    ['\'a\'\'b\' "c""d"', ["string:a'b", 'string:c"d']],
    [String.raw`'a\'b\\c\nd\%e\_f\q'`, ["string:a'b\\c\nd\\%e\\_fq"]],
    ['`a``b`', ['quoted:a`b']],
    ['a.b', ['word:a', 'punctuation:.', 'word:b']],
    ['1st 1e5 1.5 2e-3 1e', ['word:1st', 'number:1e5', 'number:1.5', 'number:2e-3', 'word:1e']],
    ['größe 表', ['word:größe', 'word:表']],
    ['a -- b\nc --d', ['word:a', 'word:c']],
    ['a -- b \\\n still b\nc', ['word:a', 'word:c']],
    ['a # b\nc', ['word:a', 'word:c']],
    ['a/* b /* c */ d */e/*+ hint */f/*! x */', ['word:a', 'word:e', 'word:f']],
    ['\uFEFFselect\r\n\t1\0', ['word:select', 'number:1']],
    ["x'41' ?", ['word:x', 'string:41', 'punctuation:?']],
    ['a<=b', ['word:a', 'punctuation:<', 'punctuation:=', 'word:b']],
  ])('%j', (sql, expected) => {
    expect(brief(sql)).toEqual(expected);
  });

  test.each(["'abc", '"abc\\"', '`abc', 'x /* abc', 'x /* a /* b */', "'abc\\"])(
    'what never ends is one broken token without text: %j',
    (sql) => {
      expect(tokenize(sql).at(-1)).toMatchObject({ kind: 'broken', end: sql.length, text: '' });
    },
  );
});

const quote = (text: string, mark: string): string =>
  mark + text.replaceAll('\\', '\\\\').replaceAll(mark, mark + mark) + mark;
const comments = fc.constantFrom(
  ' ',
  '\n',
  ' -- x\n',
  ' /* a /* b */ */ ',
  ' # y\r\n',
  ' /*+ h */ ',
);
const written = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((t) => ({ kind: 'string', text: t, sql: quote(t, "'") })),
  fc.string({ unit: 'grapheme' }).map((t) => ({ kind: 'string', text: t, sql: quote(t, '"') })),
  fc
    .string({ unit: 'grapheme' })
    .map((t) => ({ kind: 'quoted', text: t, sql: `\`${t.replaceAll('`', '``')}\`` })),
  fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/).map((t) => ({ kind: 'word', text: t, sql: t })),
  fc.nat().map((n) => ({ kind: 'number', text: String(n), sql: String(n) })),
  fc
    .constantFrom(...'( ) , ; = . ? < > * +'.split(' '))
    .map((t) => ({ kind: 'punctuation', text: t, sql: t })),
);

// A backslash before `%` or `_` is kept for LIKE, so it does not come back as written.
const readable = written.filter((token) => !/\\[%_]/.test(token.text));

test('tokens come back as they were written, whatever stands between them', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(readable, comments)), (parts) => {
      const sql = parts.map(([token, gap]) => token.sql + gap).join('');
      const expected = parts.map(([{ kind, text }]) => ({ kind, text }));
      expect(tokenize(sql).map(({ kind, text }) => ({ kind, text }))).toEqual(expected);
    }),
  );
});

test('any text is cut into tokens in order that never overlap', () => {
  const piece = fc.constantFrom(
    "'",
    '"',
    '`',
    '\\',
    '/*',
    '*/',
    '--',
    '#',
    '\n',
    'a',
    '1',
    '.',
    'e',
  );
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece).map((p) => p.join('')),
  );
  fc.assert(
    fc.property(texts, (sql) => {
      let end = 0;
      for (const token of tokenize(sql)) {
        expect(token.start).toBeGreaterThanOrEqual(end);
        expect(token.end).toBeGreaterThan(token.start);
        end = token.end;
      }
      expect(end).toBeLessThanOrEqual(sql.length);
    }),
  );
});
