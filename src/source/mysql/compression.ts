import { inflateRawSync, inflateSync } from 'node:zlib';
import { decompress, init } from '@bokuweb/zstd-wasm';
import { ProxyError } from '../../model/error.ts';

/** What one compressed thing may become: a transaction of MySQL must fit the memory anyway (`max_allowed_packet` is 1 GB). */
const INFLATED_BYTES_MAX = 1024 * 1024 * 1024;

/** Loads the zstd decoder. Await it once before {@link unzstd}; later calls cost nothing. */
export const loadZstd: () => Promise<void> = (() => {
  let loading: Promise<void> | undefined;
  return () => (loading ??= init());
})();

/** @throws ProxyError UNDECODABLE when the bytes are no zstd stream of that size. */
export function unzstd(bytes: Buffer, inflatedBytes: number): Buffer {
  checkSize(inflatedBytes);
  let inflated: Uint8Array;
  try {
    inflated = decompress(bytes, { defaultHeapSize: inflatedBytes });
  } catch (cause) {
    throw damaged(cause);
  }
  if (inflated.length !== inflatedBytes) throw damaged();
  return Buffer.from(inflated.buffer, inflated.byteOffset, inflated.length);
}

/**
 * MariaDB's `log_bin_compress`: a byte with bit 7 set, the algorithm in bits 4 to 6 (0 is zlib), the number of
 * length bytes in bits 0 to 2; the length, big-endian; the zlib stream.
 */
export function inflateEvent(bytes: Buffer): Buffer {
  const head = bytes[0] ?? 0;
  const lengthBytes = head & 7;
  if ((head & 0xf0) !== 0x80 || lengthBytes < 1 || lengthBytes > 4) throw damaged();
  return inflate(bytes, 1 + lengthBytes, lengthAt(bytes, lengthBytes), false);
}

/**
 * MariaDB's `COMPRESSED` columns: nothing for an empty value, else a byte with the method in its high half: 0 is stored as it
 * is, 8 is zlib, then bit 3 says raw deflate and bits 0 to 2 count the bytes of the length, big-endian.
 */
export function inflateValue(bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes;
  const head = bytes[0]!;
  if (head >> 4 === 0) return bytes.subarray(1);
  const lengthBytes = head & 7;
  if (head >> 4 !== 8 || lengthBytes < 1 || lengthBytes > 4) throw damaged();
  return inflate(bytes, 1 + lengthBytes, lengthAt(bytes, lengthBytes), (head & 8) !== 0);
}

function lengthAt(bytes: Buffer, lengthBytes: number): number {
  if (bytes.length < 1 + lengthBytes) throw damaged();
  return bytes.readUIntBE(1, lengthBytes);
}

function inflate(bytes: Buffer, from: number, length: number, raw: boolean): Buffer {
  checkSize(length);
  const options = { maxOutputLength: Math.max(1, length) };
  let inflated: Buffer;
  try {
    inflated = (raw ? inflateRawSync : inflateSync)(bytes.subarray(from), options);
  } catch (cause) {
    throw damaged(cause);
  }
  if (inflated.length !== length) throw damaged();
  return inflated;
}

function checkSize(bytes: number): void {
  if (bytes > INFLATED_BYTES_MAX) {
    throw new ProxyError(
      'UNDECODABLE',
      `A compressed binlog event becomes ${bytes} bytes; at most ${INFLATED_BYTES_MAX} are read.`,
    );
  }
}

function damaged(cause?: unknown): ProxyError {
  return new ProxyError('UNDECODABLE', 'A compressed binlog event is damaged.', { cause });
}
