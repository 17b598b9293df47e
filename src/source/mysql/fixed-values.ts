import { putBase64, putBytes, putInt, putUint } from '../../encode/json-bytes.ts';
import { ProxyError } from '../../model/error.ts';
import { type Put, putDouble, putFloat, putInt64, putUint64 } from './number-text.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;

/** Integers of a row image: little-endian. */
export const INT_PUTS: Readonly<Record<1 | 2 | 3 | 4 | 8, { signed: Put; unsigned: Put }>> = {
  1: {
    signed: (b, at, s, i) => putInt(b, at, (s[i]! << 24) >> 24),
    unsigned: (b, at, s, i) => putUint(b, at, s[i]!),
  },
  2: {
    signed: (b, at, s, i) => putInt(b, at, ((s[i]! << 16) | (s[i + 1]! << 24)) >> 16),
    unsigned: (b, at, s, i) => putUint(b, at, s[i]! | (s[i + 1]! << 8)),
  },
  3: {
    signed: (b, at, s, i) =>
      putInt(b, at, ((s[i]! << 8) | (s[i + 1]! << 16) | (s[i + 2]! << 24)) >> 8),
    unsigned: (b, at, s, i) => putUint(b, at, s[i]! | (s[i + 1]! << 8) | (s[i + 2]! << 16)),
  },
  4: {
    signed: (b, at, s, i) => putInt(b, at, int32(s, i)),
    unsigned: (b, at, s, i) => putUint(b, at, int32(s, i) >>> 0),
  },
  8: {
    signed: (b, at, s, i) => putInt64(b, at, int32(s, i + 4), int32(s, i) >>> 0),
    unsigned: (b, at, s, i) => putUint64(b, at, int32(s, i + 4), int32(s, i) >>> 0),
  },
};

function int32(s: Uint8Array, i: number): number {
  return s[i]! | (s[i + 1]! << 8) | (s[i + 2]! << 16) | (s[i + 3]! << 24);
}

/** One value seen as bytes and as a float: no DataView for each event. */
const BITS = new Uint32Array(2);
const DOUBLE = new Float64Array(BITS.buffer);
const FLOAT = new Float32Array(BITS.buffer);

export const putDoubleField: Put = (b, at, s, i) => {
  BITS[0] = int32(s, i);
  BITS[1] = int32(s, i + 4);
  return putDouble(b, at, DOUBLE[0]!);
};

export const putFloatField: Put = (b, at, s, i) => {
  BITS[0] = int32(s, i);
  return putFloat(b, at, FLOAT[0]!);
};

/** YEAR: years since 1900, and 0 for 0000. */
export const putYear: Put = (b, at, s, i) => putUint(b, at, s[i] === 0 ? 0 : 1900 + s[i]!);

export function quoted(put: Put): Put {
  return (b, at, s, i) => {
    b[at] = QUOTE;
    const p = put(b, at + 1, s, i);
    b[p] = QUOTE;
    return p + 1;
  };
}

/** BIT(1) as true or false, longer ones as base64 of the little-endian bytes (cdc-semantics.md §1.0). The log has them big-endian. */
export function bitPut(bits: number): Put {
  const bytes = (bits + 7) >> 3;
  const reversed = Buffer.alloc(bytes);
  const [yes, no] = [Buffer.from('true'), Buffer.from('false')];
  if (bits === 1) {
    return (b, at, s, i) => {
      const text = (s[i]! & 1) === 1 ? yes : no;
      return putBytes(b, at, text, 0, text.length);
    };
  }
  return (b, at, s, i) => {
    for (let k = 0; k < bytes; k++) reversed[k] = s[i + bytes - 1 - k]!;
    b[at] = QUOTE;
    const p = putBase64(b, at + 1, reversed, 0, bytes);
    b[p] = QUOTE;
    return p + 1;
  };
}

interface LabelPut {
  readonly put: Put;
  readonly room: number;
}

/** ENUM: the label's number from 1; 0 is the empty text of an invalid value. `labels` are already escaped. */
export function enumPut(labels: readonly string[], bytes: number): LabelPut {
  const texts = ['', ...labels].map((label) => Buffer.from(`"${label}"`));
  const put: Put = (b, at, s, i) => {
    const number = bytes === 1 ? s[i]! : s[i]! | (s[i + 1]! << 8);
    const text = texts[number];
    if (text === undefined) throw noLabel('ENUM');
    return putBytes(b, at, text, 0, text.length);
  };
  return { put, room: Math.max(...texts.map((text) => text.length)) };
}

/** SET: a bit for each label, the first one lowest. `labels` are already escaped. */
export function setPut(labels: readonly string[], bytes: number): LabelPut {
  const texts = labels.map((label) => Buffer.from(label));
  const put: Put = (b, at, s, i) => {
    let p = at;
    b[p++] = QUOTE;
    for (let k = 0; k < 8 * bytes; k++) {
      if ((s[i + (k >> 3)]! & (1 << (k & 7))) === 0) continue;
      const text = texts[k];
      if (text === undefined) throw noLabel('SET');
      if (p > at + 1) b[p++] = COMMA;
      p = putBytes(b, p, text, 0, text.length);
    }
    b[p] = QUOTE;
    return p + 1;
  };
  return { put, room: texts.reduce((sum, text) => sum + text.length + 1, 4) };
}

function noLabel(type: string): ProxyError {
  return new ProxyError('UNDECODABLE', `A value of a ${type} column has no label.`);
}
