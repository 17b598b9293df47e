import type { Position } from '../../src/model/offset.ts';
import type { TableSpec } from '../../src/model/table.ts';
import { RowEncoder } from '../../src/source/postgres/row-encoder.ts';
import type { SourceTable } from '../../src/source/postgres/table-catalog.ts';
import { WalRelations, type Parts } from '../../src/source/postgres/wal-relations.ts';
import { WalQueue } from '../../src/source/postgres/wal-queue.ts';
import { PostgresChangeStream, type StreamParts } from '../../src/source/postgres/wal-stream.ts';
import * as message from './pgoutput-messages.ts';

export const TABLE_OID = 1000;
const OTHER_OID = 2000;

export const TABLE: TableSpec = {
  schema: 'public',
  name: 't',
  target: 't',
  columns: ['id', 'v'].map((name) => ({
    name,
    sourceType: 'text',
    typeOid: 25,
    dorisType: 'STRING',
    nullable: false,
    comment: '',
  })),
  key: ['id'],
};

export const COLUMNS: readonly message.TestColumn[] = [
  { name: 'id', oid: 25, identity: true },
  { name: 'v', oid: 25 },
];

export const SOURCE: SourceTable = {
  oid: TABLE_OID,
  schema: 'public',
  name: 't',
  kind: 'r',
  unlogged: false,
  identityLacks: [],
  readable: true,
  owned: true,
  filtered: false,
  keyDeferrable: false,
  columns: [],
  key: ['id'],
  parts: [],
};

export type Row =
  | { readonly op: 'put'; readonly id: string; readonly v: string }
  | { readonly op: 'move'; readonly id: string; readonly from: string; readonly v: string }
  | { readonly op: 'remove'; readonly id: string }
  | { readonly op: 'truncate' }
  /** A change of a table that is in the publication and not in the job. */
  | { readonly op: 'other' };

export interface TestTransaction {
  readonly xid: number;
  /** Start and end of its commit record. */
  readonly commitLsn: bigint;
  readonly endLsn: bigint;
  readonly rows: readonly Row[];
}

/** One commit record after the other, most of them directly behind each other: the trap of cdc-semantics.md §4.5.1. */
export function transactions(
  rows: readonly (readonly Row[])[],
  gaps: readonly number[],
): TestTransaction[] {
  let lsn = 1000n;
  return rows.map((found, i) => {
    const commitLsn = lsn + BigInt(gaps[i] ?? 0);
    lsn = commitLsn + 40n;
    return { xid: 700 + i, commitLsn, endLsn: lsn, rows: found };
  });
}

function rowMessage(row: Row): Buffer {
  switch (row.op) {
    case 'put':
      return message.insert(TABLE_OID, [row.id, row.v]);
    case 'move':
      return message.update(TABLE_OID, [row.id, row.v], { kind: 'K', values: [row.from, null] });
    case 'remove':
      return message.remove(TABLE_OID, 'K', [row.id, null]);
    case 'truncate':
      return message.truncate([OTHER_OID, TABLE_OID]);
    case 'other':
    default:
      return message.insert(OTHER_OID, ['x']);
  }
}

/** What the server sends when asked to start at `from`: transactions whose commit record begins before it are skipped. */
export function serverMessages(log: readonly TestTransaction[], from: bigint): Buffer[] {
  const sent: Buffer[] = [];
  const described = [
    message.relation(TABLE_OID, 'public', 't', COLUMNS),
    message.relation(OTHER_OID, 'public', 'other', [{ name: 'x', oid: 25, identity: true }]),
  ];
  for (const tx of log) {
    if (tx.commitLsn < from) continue;
    sent.push(message.keepalive(tx.commitLsn), message.begin(tx.commitLsn, tx.xid));
    if (tx.rows.length > 0) sent.push(...described.splice(0));
    for (const row of tx.rows) sent.push(message.keepalive(tx.commitLsn), rowMessage(row));
    sent.push(message.commit(tx.commitLsn, tx.endLsn));
  }
  sent.push(message.keepalive((log.at(-1)?.endLsn ?? 1000n) + 500n));
  return sent;
}

function nothing(): Promise<void> {
  return Promise.resolve();
}

function noOther(): never {
  throw new Error('one connection is enough here');
}

/** A connection whose messages are all there; `confirmed` collects what the server is told. */
export function fakeReader(
  messages: readonly Buffer[],
  from: bigint,
  confirmed: bigint[] = [],
): StreamParts['reader'] {
  const queue = new WalQueue();
  for (const one of messages) queue.push(message.copyData(one));
  return {
    queue,
    advance: () => queue.advance(),
    wait: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) reject(new Error('aborted', { cause: signal.reason }));
        else setTimeout(resolve, Math.min(ms, 1));
      }),
    confirm: (lsn) => void confirmed.push(lsn),
    get confirmed() {
      return confirmed.at(-1) ?? from;
    },
    ask: () => undefined,
    [Symbol.asyncDispose]: nothing,
  };
}

/** Nothing comes and goes at the source. */
export const QUIET_WATCH: StreamParts['watch'] & Parts = {
  ownerOf: () => undefined,
  isPart: () => Promise.resolve(false),
  isWhole: () => true,
  isUnheard: () => false,
  heard: () => undefined,
  verify: nothing,
  suspect: nothing,
  isDue: () => false,
  takeStop: () => undefined,
  copy: () => Promise.resolve(undefined),
  [Symbol.asyncDispose]: nothing,
};

/** A stream over messages that are all there; `confirmed` collects what the server is told. */
export function fakeStream(
  messages: readonly Buffer[],
  from: Position,
  parts: Partial<StreamParts> = {},
): { readonly stream: PostgresChangeStream; readonly confirmed: bigint[] } {
  if (from.kind !== 'postgres') throw new Error('Postgres only');
  const confirmed: bigint[] = [];
  const encoder = new RowEncoder(TABLE, false);
  const watch = parts.watch ?? QUIET_WATCH;
  const relations = new WalRelations([{ encoder, source: SOURCE }], QUIET_WATCH, (oid) =>
    Promise.resolve(oid === 25 ? 'text' : `type ${oid}`),
  );
  const reader = fakeReader(messages, BigInt(from.lsn), confirmed);
  const reread: StreamParts['reread'] = {
    size: 0,
    full: false,
    want: () => {
      throw new Error('nothing is to be read again here');
    },
    fill: nothing,
  };
  const all = { reader, reopen: noOther, relations, reread, ...parts, watch };
  return { stream: new PostgresChangeStream(all, from), confirmed };
}
