import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasUrlSecret, maskSecrets } from '../../src/sql/mask.ts';

describe('what a log may show', () => {
  test.each([
    ['a ("user" = "u", "password" = "p1") x', `a ("user" = "u", "password" = '***') x`],
    ["a ('PassWord'='p1', b=c)", "a ('PassWord'='***', b=c)"],
    ['a (password=p1)', "a (password='***')"],
    ['a ("password" "p1" "p1")', `a ("password" '***' '***')`],
    ['a ("password" = "p1', `a ("password" = '***'`],
    ['a "p1', "a '***'"],
    ['a -- p1\n b /* p1 */ c', 'a b c'],
    ['a ("u"="jdbc:mysql://h/d?password=p1&x=y")', `a ("u"='jdbc:mysql://h/d?password=***&x=y')`],
    ['a ("u"="jdbc:mysql://me:p1@h/d")', `a ("u"='jdbc:mysql://me:***@h/d')`],
  ])('%s', (sql, masked) => {
    expect(maskSecrets(sql)).toBe(masked);
  });

  test('a password is never shown, wherever the statement breaks off', () => {
    const sql =
      'CREATE JOB j ON STREAMING FROM MYSQL ("user" = "u", "password" = "s3cr\\"et", "x" = "y") TO DATABASE d';
    fc.assert(
      fc.property(fc.nat(sql.length), (cut) => {
        expect(maskSecrets(sql.slice(0, cut))).not.toMatch(/s3c/);
      }),
    );
  });
});

test.each([
  ['jdbc:mysql://127.0.0.1:3306', false],
  ['jdbc:mysql://127.0.0.1:3306/db?useSSL=false', false],
  ['jdbc:mysql://h/db?user=a&password=b', true],
  ['jdbc:postgresql://u:p@h:5432/db', true],
  ['jdbc:mysql://h/db?trustCertificateKeyStorePassword=x', true],
])('a URL with a password in it: %s %s', (url, has) => {
  expect(hasUrlSecret(url)).toBe(has);
});
