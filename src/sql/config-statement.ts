import { findSetting, type SettingName } from '../model/setting.ts';
import { isPunctuation, isWord, type Token } from './tokenizer.ts';

/** A statement about one setting of ours. */
export type ConfigStatement =
  | { readonly kind: 'setConfig'; readonly name: SettingName; readonly value: string }
  | { readonly kind: 'showConfig'; readonly name: SettingName };

/**
 * `ADMIN SET { FRONTEND | ALL FRONTENDS } CONFIG ("key" = "value") [ALL]` and `[ADMIN] SHOW FRONTEND CONFIG LIKE 'key'`, where
 * the key is a setting of ours (Doris manual, "SET FRONTEND CONFIG", "SHOW FRONTEND CONFIG"). Undefined for everything
 * else: other keys, patterns and forms are Doris' to answer.
 */
export function parseConfigStatement(tokens: readonly Token[]): ConfigStatement | undefined {
  const words = tokens.map((token) => (token.kind === 'word' ? token.text.toUpperCase() : '?'));
  const rest = words[0] === 'ADMIN' ? 1 : 0;
  if (words.slice(rest, rest + 4).join(' ') === 'SHOW FRONTEND CONFIG LIKE') {
    const [pattern, more] = tokens.slice(rest + 4);
    if (pattern?.kind !== 'string' || more !== undefined) return undefined;
    // An underscore stands for itself too; nothing but the setting is called so.
    const name = findSetting(pattern.text.replaceAll(String.raw`\_`, '_'));
    return name && { kind: 'showConfig', name };
  }
  const head = ['ADMIN SET FRONTEND CONFIG', 'ADMIN SET ALL FRONTENDS CONFIG'].find((form) =>
    words.join(' ').startsWith(`${form} ?`),
  );
  return head === undefined ? undefined : parseSet(tokens.slice(head.split(' ').length));
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
