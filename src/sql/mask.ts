import { isSecretKey } from './job-statement.ts';
import { isPunctuation, tokenize } from './tokenizer.ts';

/**
 * The statement for a log line: values of passwords, passwords inside URLs and comments are hidden. What never ends (a
 * string cut off in the middle) is hidden whole. Total, whatever the text.
 */
export function maskSecrets(sql: string): string {
  let text = '';
  let end = 0;
  let secret = false;
  for (const token of tokenize(sql)) {
    const isValue = token.kind !== 'punctuation';
    text += gap(sql.slice(end, token.start));
    if (token.kind === 'broken' || (secret && isValue)) text += "'***'";
    else if (token.kind === 'string' && hasUrlSecret(token.text))
      text += `'${maskUrl(token.text)}'`;
    else text += sql.slice(token.start, token.end);
    // Everything up to the end of the list's entry is its value, whatever a mistyped entry looks like.
    if (isPunctuation(token, ',') || isPunctuation(token, ')')) secret = false;
    else if (isValue && isSecretKey(token.text)) secret = true;
    end = token.end;
  }
  return text + gap(sql.slice(end));
}

/** Whether a JDBC URL holds a password, as a parameter or before its host. */
export function hasUrlSecret(url: string): boolean {
  return maskUrl(url) !== url;
}

function maskUrl(text: string): string {
  return text
    .replaceAll(/((?:passw|pwd|secret)[^=&;]{0,64}=)[^&;]+/gi, '$1***')
    .replaceAll(/(:\/\/[^/@:?#\s]*:)[^/@?#\s]+@/g, '$1***@');
}

/** White space as it is; a comment may say anything. */
function gap(text: string): string {
  return /^\s*$/.test(text) ? text : ' ';
}
