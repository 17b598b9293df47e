import { putBase64 } from '../../encode/json-bytes.ts';
import type { JsonWriter } from '../../encode/json-writer.ts';
import { ProxyError } from '../../model/error.ts';
import { writeGeometry } from './geometry.ts';
import { writeJsonDocument } from './json-binary.ts';
import { NUMBER_ROOM, putFloat } from './number-text.ts';
import { Scratch } from './scratch.ts';

/** Writes the value stored at `start..end` of `source` as a JSON value. Snapshot and stream share these. */
export type WriteValue = (out: JsonWriter, source: Buffer, start: number, end: number) => void;

export const writeBase64: WriteValue = (out, source, start, end) => {
  out.quotedBase64(source, start, end);
};

/** BINARY(n): the log leaves zero bytes off the end, the server puts them back. */
export function binaryWriter(bytes: number): WriteValue {
  const padded = Buffer.alloc(bytes);
  return (out, source, start, end) => {
    if (end - start >= bytes) return out.quotedBase64(source, start, end);
    padded.fill(0).set(source.subarray(start, end));
    return out.quotedBase64(padded, 0, bytes);
  };
}

/** A binary value of exactly so many bytes, zero bytes left off the end as in BINARY(n), as the text that `print` makes. */
export function printedWriter(bytes: number, print: (value: Buffer) => string): WriteValue {
  const padded = Buffer.alloc(bytes);
  return (out, source, start, end) => {
    if (end - start > bytes)
      throw new ProxyError('UNDECODABLE', 'A value is longer than its type.');
    padded.fill(0).set(source.subarray(start, end));
    out.quotedText(print(padded));
  };
}

/** BIT(n > 1): base64 of the bytes in little-endian order, as the Doris job has it (cdc-semantics.md §1.0). BIT(1): true or false. */
export function bitWriter(bits: number): WriteValue {
  const bytes = (bits + 7) >> 3;
  const reversed = Buffer.alloc(bytes);
  return (out, source, start, end) => {
    if (end - start !== bytes) throw new ProxyError('UNDECODABLE', 'A BIT value has another size.');
    if (bits === 1) return out.boolean((source[start]! & 1) === 1);
    for (let i = 0; i < bytes; i++) reversed[i] = source[end - 1 - i]!;
    out.reserve(4 * bytes + 2);
    out.buffer[out.position++] = 0x22;
    out.position = putBase64(out.buffer, out.position, reversed, 0, bytes);
    out.buffer[out.position++] = 0x22;
    return undefined;
  };
}

/** Stored JSON, as a string that holds the server's text of it. */
export function jsonWriter(): WriteValue {
  return viaScratch(writeJsonDocument);
}

export function geometryWriter(): WriteValue {
  return viaScratch(writeGeometry);
}

function viaScratch(write: WriteValue): WriteValue {
  const scratch = new Scratch();
  return (out, source, start, end) => {
    scratch.clear();
    write(scratch, source, start, end);
    out.quotedUtf8(scratch.buffer, 0, scratch.position);
  };
}

/** VECTOR: 32-bit floats, little-endian, as a JSON array of numbers; `null` for one that is not finite, which JSON has no number for. */
export const writeVector: WriteValue = (out, source, start, end) => {
  if ((end - start) % 4 !== 0)
    throw new ProxyError('UNDECODABLE', 'A VECTOR value has another size.');
  out.byte(0x5b);
  for (let at = start; at < end; at += 4) {
    if (at > start) out.byte(0x2c);
    const x = source.readFloatLE(at);
    if (Number.isFinite(x)) {
      out.reserve(NUMBER_ROOM);
      out.position = putFloat(out.buffer, out.position, x);
    } else {
      out.null();
    }
  }
  out.byte(0x5d);
};
