import { expect, test } from 'vitest';
import { ProxyError } from '../../src/model/error.ts';
import { parseJdbcUrl } from '../../src/source/jdbc-url.ts';

test.each([
  ['jdbc:mysql://127.0.0.1:3306', 'mysql', '127.0.0.1', 3306, ''],
  ['jdbc:mysql://db.example.com/shop?useSSL=false', 'mysql', 'db.example.com', 3306, 'shop'],
  ['jdbc:mysql://[::1]:3307/shop', 'mysql', '::1', 3307, 'shop'],
  ['jdbc:mysql://[fe80::1%eth0]/', 'mysql', 'fe80::1%eth0', 3306, ''],
  ['JDBC:MYSQL://h:1/a%20b', 'mysql', 'h', 1, 'a b'],
  ['jdbc:mariadb://h/x', 'mysql', 'h', 3306, 'x'],
  ['jdbc:postgresql://pg:5433/postgres', 'postgresql', 'pg', 5433, 'postgres'],
  ['jdbc:postgresql://pg/db?sslmode=require', 'postgresql', 'pg', 5432, 'db'],
  [' jdbc:mysql://h : 3306 / shop ', 'mysql', 'h', 3306, 'shop'],
])('%s', (url, kind, host, port, database) => {
  expect(parseJdbcUrl(url)).toMatchObject({ kind, host, port, database });
});

test('parameters are decoded, their names without case', () => {
  const { parameters } = parseJdbcUrl(
    'jdbc:mysql://h/d?serverTimezone=Asia%2FShanghai&useSSL=true&flag&sslMode=VERIFY_CA&a=b=c',
  );
  expect([...parameters]).toEqual([
    ['servertimezone', 'Asia/Shanghai'],
    ['usessl', 'true'],
    ['flag', ''],
    ['sslmode', 'VERIFY_CA'],
    ['a', 'b=c'],
  ]);
});

test.each(['', 'mysql://h/d', 'jdbc:oracle:thin:@h:1521', 'jdbc:sqlserver://h'])(
  'the scheme of %j is no source',
  (url) => {
    expect(() => parseJdbcUrl(url)).toThrow('Failed to parse db type from jdbcUrl');
  },
);

test.each([
  ['jdbc:mysql:h', /must have the form jdbc:mysql:\/\/host/],
  ['jdbc:mysql:///d', /no usable host/],
  ['jdbc:mysql://h:99999/d', /no usable host and port: 'h:99999'/],
  ['jdbc:mysql://h:0/d', /no usable host/],
  ['jdbc:mysql://::1/d', /no usable host/],
  ['jdbc:mysql://a:1,b:2/d', /several hosts/],
  ['jdbc:mysql://user:secret@h/d', /must not hold a user(?!.*secret)/],
  ['jdbc:mysql://h/%zz', /bad %-escape/],
])('%s is refused', (url, message) => {
  expect(() => parseJdbcUrl(url)).toThrow(ProxyError);
  expect(() => parseJdbcUrl(url)).toThrow(message);
});
