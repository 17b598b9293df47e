import { expect, test } from 'vitest';
import { timeZone, UTC } from '../../../src/lib/time-zone.ts';
import { ownZone } from '../../../src/source/job-zone.ts';
import { readMysqlOptions } from '../../../src/source/mysql/mysql-options.ts';

const REQUIRED = { jdbc_url: 'jdbc:mysql://db:3307/x', user: 'cdc', database: ' shop ' };
const read = (more: Record<string, string> = {}, rootCertificate?: string) =>
  readMysqlOptions({ ...REQUIRED, ...more }, 'secret', {
    jobId: 10_001,
    ...(rootCertificate === undefined ? {} : { rootCertificate }),
  });

test('what a job needs of its properties', () => {
  expect(read()).toMatchObject({
    endpoint: { host: 'db', port: 3307, user: 'cdc', password: 'secret', tls: { mode: 'disable' } },
    database: 'shop',
  });
});

test.each(['jdbc_url', 'user', 'database'])('%s is required', (name) => {
  expect(() => read({ [name]: ' ' })).toThrow(`${name} is required property`);
});

test('the server id is given, or follows from the job and stays the same', () => {
  expect(read({ server_id: '5400' }).serverId).toBe(5400);
  expect(read({ server_id: ' 5400 - 5408 ' }).serverId).toBe(5400);
  const made = read().serverId;
  expect(made).toBe(read().serverId);
  expect(made).toBeGreaterThanOrEqual(2 ** 30);
  expect(made).toBeLessThan(2 ** 31);
  const ids = Array.from(
    { length: 500 },
    (_, jobId) => readMysqlOptions(REQUIRED, '', { jobId }).serverId,
  );
  expect(new Set(ids).size).toBe(500);
});

test.each(['0', '-1', 'x', '5408-5400', '2147483648', '1-2-3', ''])(
  'server_id %j is refused',
  (text) => {
    expect(() => read({ server_id: text })).toThrow(`Invalid value for key 'server_id': ${text}`);
  },
);

test.each([
  [{ ssl_mode: 'disable' }, 'disable'],
  [{ ssl_mode: 'require' }, 'require'],
  [{ jdbc_url: 'jdbc:mysql://db/x?useSSL=true' }, 'require'],
  [{ jdbc_url: 'jdbc:mysql://db/x?sslMode=REQUIRED' }, 'require'],
  [{ jdbc_url: 'jdbc:mysql://db/x?sslMode=PREFERRED&useSSL=false' }, 'disable'],
  // The property is Doris' own and counts more than the driver's.
  [{ jdbc_url: 'jdbc:mysql://db/x?useSSL=true', ssl_mode: 'disable' }, 'disable'],
])('%j means TLS mode %s', (properties, mode) => {
  expect(read(properties).endpoint.tls).toEqual({ mode });
});

test('a certificate is checked with the one given', () => {
  const verifyCa = { mode: 'verify-ca', ca: 'PEM', identity: false };
  expect(read({ ssl_mode: 'verify-ca' }, 'PEM').endpoint.tls).toEqual(verifyCa);
  const identity = { jdbc_url: 'jdbc:mysql://db/x?sslMode=VERIFY_IDENTITY' };
  expect(read(identity, 'PEM').endpoint.tls).toEqual({ ...verifyCa, identity: true });
  expect(() => read(identity)).toThrow("ssl_mode 'verify-ca' requires ssl_rootcert to be set");
  expect(() => read({ ssl_mode: 'Require' })).toThrow("Invalid value for key 'ssl_mode': Require");
});

const url = (query: string): { jdbc_url: string } => ({ jdbc_url: `jdbc:mysql://db/x?${query}` });

test.each<[string, Readonly<Record<string, string>>, string | undefined]>([
  ['nothing said: the server knows', {}, undefined],
  ['the URL', url('serverTimezone=Asia%2FShanghai'), 'Asia/Shanghai'],
  ['its newer name', url('connectionTimeZone=GMT%2B8'), 'GMT+8'],
  ['any case', url('SERVERTIMEZONE=utc'), 'UTC'],
  ['both alike', url('serverTimezone=UTC&connectionTimeZone=utc'), 'UTC'],
  ["the server's, by name", url('connectionTimeZone=SERVER'), undefined],
  ['the property first', { ...url('serverTimezone=UTC'), server_time_zone: '+08:00' }, '+08:00'],
  [
    "the property: the server's",
    { ...url('serverTimezone=UTC'), server_time_zone: 'SYSTEM' },
    undefined,
  ],
])('the zone that a new job asks for: %s', (_what, properties, zone) => {
  expect(read(properties).askedZone()?.name).toBe(zone);
});

test('LOCAL is the zone of this process', () => {
  expect(read(url('connectionTimeZone=LOCAL')).askedZone()).toBe(timeZone(ownZone()));
});

test.each([
  [url('serverTimezone=CST'), "the time zone 'CST' of jdbc_url is not known"],
  [
    url('serverTimezone=UTC&connectionTimeZone=%2B01:00'),
    "names two time zones, '+01:00' and 'UTC'",
  ],
  [{ server_time_zone: 'Mars/Base' }, "Invalid value for key 'server_time_zone': Mars/Base"],
])('a zone that nobody knows is refused: %o', (properties, text) => {
  expect(() => read(properties).askedZone()).toThrow(text);
});

test('the zone of a job is the one that it keeps, whatever its URL says', () => {
  expect(read(url('serverTimezone=Asia/Shanghai')).zone).toBe(UTC);
  expect(read({ server_time_zone: 'Asia/Shanghai' }).zone?.name).toBe('Asia/Shanghai');
});
