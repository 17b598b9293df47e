import { expect, test } from 'vitest';
import { readPostgresOptions } from '../../../src/source/postgres/postgres-options.ts';

const GIVEN = {
  jdbc_url: 'jdbc:postgresql://db.example:5433/ignored',
  user: 'u',
  database: 'app',
  schema: 'public',
};

test('the properties of the manual', () => {
  expect(readPostgresOptions(GIVEN, 'secret', { jobId: 7 })).toMatchObject({
    jobId: 7,
    schema: 'public',
    target: { host: 'db.example', port: 5433, user: 'u', password: 'secret', database: 'app' },
  });
  const named = { ...GIVEN, slot_name: 's', publication_name: 'p' };
  expect(readPostgresOptions(named, 'x', { jobId: 7 })).toMatchObject({
    slotName: 's',
    publicationName: 'p',
  });
});

test.each([
  [{ ssl_mode: 'require' }, '', { rejectUnauthorized: false }],
  [{}, '?sslmode=require', { rejectUnauthorized: false }],
  [{ ssl_mode: 'disable' }, '?ssl=true', undefined],
  [{}, '?ssl=true', { ca: 'PEM' }],
  [{}, '?sslmode=prefer', undefined],
  [{}, '', undefined],
])('TLS: %o%s', (properties, query, tls) => {
  const given = { ...GIVEN, ...properties, jdbc_url: GIVEN.jdbc_url + query };
  const { target } = readPostgresOptions(given, 'x', { jobId: 7, rootCertificate: 'PEM' });
  expect(target.tls).toEqual(tls);
});

test('verify-ca checks the authority and not the name', () => {
  const given = { ...GIVEN, ssl_mode: 'verify-ca' };
  const { tls } = readPostgresOptions(given, 'x', { jobId: 7, rootCertificate: 'PEM' }).target;
  expect(tls).toMatchObject({ ca: 'PEM' });
  expect(tls?.rejectUnauthorized).toBeUndefined();
  expect(tls?.checkServerIdentity?.('other.example', {} as never)).toBeUndefined();
});

test.each([
  [{ schema: '' }, 'schema is required'],
  [{ user: ' ' }, 'user is required property'],
  [{ jdbc_url: 'jdbc:mysql://h/d' }, `Invalid value for key 'jdbc_url'`],
  [{ ssl_mode: 'verify-ca' }, `ssl_mode 'verify-ca' requires ssl_rootcert to be set`],
  [{ ssl_mode: 'REQUIRE' }, `Invalid value for key 'ssl_mode': REQUIRE`],
  [{ database: 'ü'.repeat(32) }, 'is 64 bytes, exceeding 63; PostgreSQL truncates it'],
])('refused: %o', (properties, text) => {
  expect(() => readPostgresOptions({ ...GIVEN, ...properties }, 'x', { jobId: 7 })).toThrow(
    expect.objectContaining({
      code: 'STATEMENT',
      message: expect.stringContaining(text) as unknown,
    }),
  );
});

test("a new job's zone is the property's, the URL's, or the server's", () => {
  const asked = (properties: object): string | undefined =>
    readPostgresOptions({ ...GIVEN, ...properties }, 'x', { jobId: 7 }).askedZone?.()?.name;
  const inUrl = { jdbc_url: `${GIVEN.jdbc_url}?timezone=Asia/Shanghai` };
  expect(asked({})).toBeUndefined();
  expect(asked(inUrl)).toBe('Asia/Shanghai');
  expect(asked({ ...inUrl, server_time_zone: '-03:30' })).toBe('-03:30');
  expect(() => asked({ jdbc_url: `${GIVEN.jdbc_url}?timezone=x` })).toThrow(
    "time zone 'x' of jdbc_url is not known",
  );
});
