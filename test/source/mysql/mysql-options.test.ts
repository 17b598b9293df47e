import { expect, test } from 'vitest';
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

test.each(['UTC', 'gmt', 'Z', 'Etc/UTC', '+00:00', 'UTC+0', 'GMT+00:00', 'SERVER', 'LOCAL'])(
  'serverTimezone=%s changes nothing',
  (zone) => {
    const url = `jdbc:mysql://db/x?serverTimezone=${encodeURIComponent(zone)}`;
    expect(read({ jdbc_url: url }).database).toBe('shop');
  },
);

test('another zone would shift every TIMESTAMP, so it is refused', () => {
  const url = 'jdbc:mysql://db/x?serverTimezone=Asia/Shanghai';
  expect(() => read({ jdbc_url: url })).toThrow("serverTimezone 'Asia/Shanghai' is not supported");
});
