import { like } from '../lib/like.ts';
import { findSetting, SETTING_NAMES, type SettingName } from '../model/setting.ts';
import { isPunctuation, isWord, type Token } from './tokenizer.ts';

/** A statement about settings of ours. */
export type ConfigStatement =
  | { readonly kind: 'setConfig'; readonly name: SettingName; readonly value: string }
  | { readonly kind: 'showConfig'; readonly name: SettingName }
  /** A pattern, or no pattern: Doris' settings, these of ours among them. */
  | { readonly kind: 'showConfigs'; readonly names: readonly SettingName[] };

/**
 * `ADMIN SET { FRONTEND | ALL FRONTENDS } CONFIG ("key" = "value") [ALL]` and `[ADMIN] SHOW FRONTEND CONFIG [LIKE 'pattern']`, where
 * the key, or one that is like the pattern, is a setting of ours (Doris manual, "SET FRONTEND CONFIG", "SHOW FRONTEND CONFIG").
 * Undefined for everything else: other keys and forms are Doris' to answer.
 */
export function parseConfigStatement(tokens: readonly Token[]): ConfigStatement | undefined {
  const words = tokens.map((token) => (token.kind === 'word' ? token.text.toUpperCase() : '?'));
  const rest = words[0] === 'ADMIN' ? 1 : 0;
  if (words.slice(rest, rest + 3).join(' ') === 'SHOW FRONTEND CONFIG') {
    return parseShow(tokens.slice(rest + 3));
  }
  const head = ['ADMIN SET FRONTEND CONFIG', 'ADMIN SET ALL FRONTENDS CONFIG'].find((form) =>
    words.join(' ').startsWith(`${form} ?`),
  );
  return head === undefined ? undefined : parseSet(tokens.slice(head.split(' ').length));
}

/** Steps that are enough for any pattern that somebody writes for a setting's name. */
const STEPS_MAX = 100_000;

function parseShow([word, pattern, more]: readonly Token[]): ConfigStatement | undefined {
  if (word === undefined) return { kind: 'showConfigs', names: SETTING_NAMES };
  if (!isWord(word, 'LIKE') || pattern?.kind !== 'string' || more !== undefined) return undefined;
  // An underscore stands for itself too; nothing but the setting is called so.
  const name = findSetting(pattern.text.replaceAll(String.raw`\_`, '_'));
  if (name !== undefined) return { kind: 'showConfig', name };
  const wanted = pattern.text.toLowerCase();
  const names = SETTING_NAMES.filter((known) => like(known, wanted, STEPS_MAX)?.matches === true);
  return names.length === 0 ? undefined : { kind: 'showConfigs', names };
}

function parseSet(tokens: readonly Token[]): ConfigStatement | undefined {
  const [open, key, equals, value, close, all, more] = tokens;
  const isSet =
    isPunctuation(open, '(') &&
    isPunctuation(equals, '=') &&
    isPunctuation(close, ')') &&
    (all === undefined || isWord(all, 'ALL')) &&
    more === undefined;
  if (!isSet || !isConstant(key) || !isConstant(value)) return undefined;
  const name = findSetting(key.text);
  return name && { kind: 'setConfig', name, value: value.text };
}

function isConstant(token: Token | undefined): token is Token {
  return token !== undefined && token.kind !== 'punctuation' && token.kind !== 'broken';
}
