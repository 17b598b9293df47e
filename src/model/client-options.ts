import { X509Certificate } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';

/** How connections are encrypted. */
export interface TlsOptions {
  /** Certificate and key towards clients. Undefined: TLS is not offered to them. */
  readonly server: SecureContext | undefined;
  /** Encrypt the FE's leg of a client that has encrypted its own, where the FE offers it (wire.md §2.3). */
  readonly frontend: boolean;
  /**
   * What the FE's certificate must be signed by, PEM; then an FE without TLS is none either.
   * Undefined: any certificate will do, as Doris' own is self-signed.
   */
  readonly frontendCa: Buffer | undefined;
}

/**
 * Certificate chain and key for TLS towards clients, PEM; neither: none.
 * @throws Error for one without the other, or two that do not belong together.
 */
export function serverContext(
  cert: Buffer | undefined,
  key: Buffer | undefined,
): SecureContext | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new Error('certificate and key must be given together');
  }
  return createSecureContext({ cert, key });
}

/**
 * Checks that a file holds certificates: Node takes any bytes, and finds out with the first client.
 * @throws Error when it does not.
 */
export function certificates(pem: Buffer | undefined): Buffer | undefined {
  if (pem === undefined) return undefined;
  const blocks = pem
    .toString('latin1')
    .match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  if (blocks === null) throw new Error('there is no PEM certificate in the file');
  for (const block of blocks) void new X509Certificate(block);
  return pem;
}

/**
 * A set of addresses out of `10.0.0.0/8`, `fd00::/8` or single ones; undefined without any.
 * @throws Error naming what is neither.
 */
export function addressRanges(ranges: readonly string[]): BlockList | undefined {
  if (ranges.length === 0) return undefined;
  const list = new BlockList();
  for (const range of ranges) {
    const [host = '', bits, more] = range.split('/');
    const family = isIP(host);
    const all = family === 4 ? 32 : 128;
    const prefix = bits === undefined ? all : Number(bits);
    const valid = family !== 0 && more === undefined && /^\d+$/.test(bits ?? '0');
    if (!valid || prefix > all) {
      throw new Error(`an address or a range like 10.0.0.0/8 is expected, got "${range}"`);
    }
    list.addSubnet(host, prefix, family === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}
