/** pgoutput messages by hand (PostgreSQL manual: "Logical Replication Message Formats"), protocol version 1. */

function u8(n: number): Buffer {
  return Buffer.of(n);
}

function u16(n: number): Buffer {
  const b = Buffer.alloc(2);
  b.writeUInt16BE(n);
  return b;
}

function u32(n: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n >>> 0);
  return b;
}

function u64(n: bigint): Buffer {
  const b = Buffer.alloc(8);
  b.writeBigInt64BE(n);
  return b;
}

function zero(text: string): Buffer {
  return Buffer.concat([Buffer.from(text), u8(0)]);
}

/** A tuple's value: text, NULL, or an unchanged TOASTed one. */
export type TestValue = string | null | undefined;

function tuple(values: readonly TestValue[]): Buffer {
  const parts = values.map((value) => {
    if (value === null) return Buffer.from('n');
    if (value === undefined) return Buffer.from('u');
    const text = Buffer.from(value);
    return Buffer.concat([Buffer.from('t'), u32(text.length), text]);
  });
  return Buffer.concat([u16(values.length), ...parts]);
}

export function begin(commitLsn: bigint, xid: number): Buffer {
  return Buffer.concat([Buffer.from('B'), u64(commitLsn), u64(0n), u32(xid)]);
}

export function commit(commitLsn: bigint, endLsn: bigint, usecSince2000 = 0n): Buffer {
  return Buffer.concat([Buffer.from('C'), u8(0), u64(commitLsn), u64(endLsn), u64(usecSince2000)]);
}

export interface TestColumn {
  readonly name: string;
  readonly oid: number;
  readonly modifier?: number;
  readonly identity?: boolean;
}

export function relation(
  oid: number,
  schema: string,
  name: string,
  columns: readonly TestColumn[],
  identity = 'd',
): Buffer {
  return Buffer.concat([
    Buffer.from('R'),
    u32(oid),
    zero(schema),
    zero(name),
    Buffer.from(identity),
    u16(columns.length),
    ...columns.map((c) =>
      Buffer.concat([
        u8(c.identity === true ? 1 : 0),
        zero(c.name),
        u32(c.oid),
        u32(c.modifier ?? -1),
      ]),
    ),
  ]);
}

export function insert(oid: number, values: readonly TestValue[]): Buffer {
  return Buffer.concat([Buffer.from('I'), u32(oid), Buffer.from('N'), tuple(values)]);
}

/** `old`: with kind K (key) or O (whole row), or none. */
export function update(
  oid: number,
  values: readonly TestValue[],
  old?: { readonly kind: 'K' | 'O'; readonly values: readonly TestValue[] },
): Buffer {
  const before = old === undefined ? [] : [Buffer.from(old.kind), tuple(old.values)];
  return Buffer.concat([Buffer.from('U'), u32(oid), ...before, Buffer.from('N'), tuple(values)]);
}

export function remove(oid: number, kind: 'K' | 'O', values: readonly TestValue[]): Buffer {
  return Buffer.concat([Buffer.from('D'), u32(oid), Buffer.from(kind), tuple(values)]);
}

export function truncate(oids: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from('T'), u32(oids.length), u8(0), ...oids.map(u32)]);
}

/** A keep-alive of the stream itself, among pgoutput's messages. */
export function keepalive(lsn: bigint, question = false): Buffer {
  return Buffer.concat([Buffer.from('k'), u64(lsn), u64(0n), u8(question ? 1 : 0)]);
}

/** A message of pgoutput, or a keep-alive, as the server sends it. */
export function copyData(message: Buffer): Buffer {
  const header = message[0] === 0x6b ? [] : [Buffer.from('w'), u64(0n), u64(0n), u64(0n)];
  const body = Buffer.concat([...header, message]);
  return Buffer.concat([Buffer.from('d'), u32(4 + body.length), body]);
}
