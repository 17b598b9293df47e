import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProtocolError } from '../../src/wire/packet.ts';
import { proxyLine, readProxyHeader } from '../../src/wire/proxy-header.ts';

const v1 = (line: string): Buffer => Buffer.from(`${line}\r\n`, 'latin1');

/** A header of version 2. */
function v2(command: number, family: number, body: Buffer): Buffer {
  const fixed = Buffer.from('\r\n\r\n\0\r\nQUIT\n\0\0\0\0', 'latin1');
  fixed[12] = 0x20 | command;
  fixed[13] = family;
  fixed.writeUInt16BE(body.length, 14);
  return Buffer.concat([fixed, body]);
}

const TCP4 = Buffer.from([10, 0, 0, 7, 10, 0, 0, 1, 0x30, 0x39, 0x23, 0x46]);
const TCP6 = Buffer.from(`20010db8${'0'.repeat(23)}5${'0'.repeat(32)}30392346`, 'hex');

const at = (host: string, port = 9030): { host: string; port: number } => ({ host, port });

describe('reading', () => {
  test.each([
    ['TCP4', v1('PROXY TCP4 10.0.0.7 10.0.0.1 12345 9030'), { host: '10.0.0.7', port: 12_345 }],
    ['TCP6', v1('PROXY TCP6 2001:db8::5 ::1 12345 9030'), { host: '2001:db8::5', port: 12_345 }],
    ['mapped', v1('PROXY TCP6 ::ffff:10.0.0.7 ::1 1 2'), { host: '10.0.0.7', port: 1 }],
    ['UNKNOWN', v1('PROXY UNKNOWN ff ff'), undefined],
    [
      'v2, TCP4 with extensions',
      v2(1, 0x11, Buffer.concat([TCP4, Buffer.alloc(40)])),
      { host: '10.0.0.7', port: 12_345 },
    ],
    ['v2, TCP6', v2(1, 0x21, TCP6), { host: '2001:db8::5', port: 12_345 }],
    ['v2, LOCAL (a health check)', v2(0, 0, Buffer.alloc(0)), undefined],
    ['v2, a UNIX socket', v2(1, 0x31, Buffer.alloc(216)), undefined],
  ])('%s, with bytes behind it, cut anywhere', (_what, header, source) => {
    const bytes = Buffer.concat([header, Buffer.from('\x01\0\0\x01x')]);
    expect(readProxyHeader(bytes)).toEqual({ length: header.length, source });
    for (let n = 0; n < header.length; n++) {
      expect(readProxyHeader(bytes.subarray(0, n))).toBeUndefined();
    }
  });

  test.each([
    ['a login', Buffer.from('\x20\0\0\x01\x85')],
    ['a request', Buffer.from('GET / HTTP/1.1\r\n')],
    ['no family', v1('PROXY ')],
    ['a wrong address', v1('PROXY TCP4 10.0.0 10.0.0.1 1 2')],
    ['a wrong family', v1('PROXY TCP4 ::1 ::1 1 2')],
    ['a wrong port', v1('PROXY TCP4 10.0.0.7 10.0.0.1 65536 2')],
    ['no end', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(200)}`)],
    ['version 3', v2(0x11, 0x11, TCP4)],
    ['an unknown command', v2(3, 0x11, TCP4)],
    ['too short', v2(1, 0x11, TCP4.subarray(0, 8))],
    ['a body of 64 KiB', v2(1, 0x11, Buffer.alloc(65_535))],
  ])('%s is refused', (_what, bytes) => {
    expect(() => readProxyHeader(bytes)).toThrow(ProtocolError);
  });

  test('anything else is refused or waited for, never more than 107 bytes of a line', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 200, maxLength: 300 }),
        fc.boolean(),
        (tail, named) => {
          const bytes = named ? Buffer.concat([Buffer.from('PROXY '), tail]) : Buffer.from(tail);
          try {
            expect(readProxyHeader(bytes)?.length).toBeLessThanOrEqual(107);
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        },
      ),
    );
  });
});

describe('writing', () => {
  test.each([
    [at('10.0.0.7', 5), at('10.0.0.1'), 'PROXY TCP4 10.0.0.7 10.0.0.1 5 9030\r\n'],
    [at('::ffff:10.0.0.7', 5), at('::ffff:10.0.0.1'), 'PROXY TCP4 10.0.0.7 10.0.0.1 5 9030\r\n'],
    [at('2001:db8::5', 5), at('2001:db8::1'), 'PROXY TCP6 2001:db8::5 2001:db8::1 5 9030\r\n'],
    [at('2001:db8::5', 5), at('10.0.0.1'), 'PROXY TCP6 2001:db8::5 :: 5 9030\r\n'],
    [at('10.0.0.7', 5), at('2001:db8::1'), 'PROXY TCP4 10.0.0.7 0.0.0.0 5 9030\r\n'],
    [at('somebody'), at('10.0.0.1'), 'PROXY UNKNOWN\r\n'],
    [at('127.0.0.1'), at('127.0.0.1'), 'PROXY UNKNOWN\r\n'],
    [at('::1'), at('::1'), 'PROXY UNKNOWN\r\n'],
    [at('::ffff:127.0.0.9'), at('127.0.0.1'), 'PROXY UNKNOWN\r\n'],
    [undefined, undefined, 'PROXY UNKNOWN\r\n'],
  ])('%j to %j', (source, destination, line) => {
    expect(proxyLine(source, destination)).toBe(line);
  });
});
