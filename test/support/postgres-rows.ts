import { expect } from 'vitest';
import { Batch } from '../../src/encode/batch.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { ColumnSpec, TableSpec } from '../../src/model/table.ts';
import { readRelation } from '../../src/source/postgres/pgoutput.ts';
import { RowEncoder } from '../../src/source/postgres/row-encoder.ts';
import { WalRows, WalTable } from '../../src/source/postgres/wal-rows.ts';
import * as message from './pgoutput-messages.ts';

export function column(
  name: string,
  typeOid: number,
  dorisType: string,
  more: Partial<ColumnSpec> = {},
): ColumnSpec {
  const nullable = name !== 'id';
  return { name, typeOid, dorisType, sourceType: 'x', nullable, comment: '', ...more };
}

export function tableOf(...columns: readonly ColumnSpec[]): TableSpec {
  const all = [column('id', 23, 'INT'), ...columns];
  return { schema: 's', name: 't', target: 't', columns: all, key: ['id'] };
}

/** COPY's text format, as the server writes it. */
export function copyField(text: string | null): string {
  if (text === null) return '\\N';
  const letters: Record<string, string> = {
    '\\': '\\\\',
    '\b': '\\b',
    '\f': '\\f',
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\v': '\\v',
  };
  return text.replaceAll(/[\\\b\f\n\r\t\v]/g, (c) => letters[c]!);
}

export function lines(batch: Batch): string[] {
  const text = Buffer.concat(batch.bodies().flatMap((b) => b.body)).toString();
  batch.reset();
  return text.split('\n').slice(0, -1);
}

/** A row as it lies in a received piece, with more behind it, and alone, where it is written value by value. */
function pieces(
  row: Buffer,
  more: string,
): readonly { readonly bytes: Buffer; readonly to: number }[] {
  return [Buffer.concat([row, Buffer.from(more)]), row].map((bytes) => ({ bytes, to: row.length }));
}

type Written = (table: TableSpec, row: Buffer, checkUtf8?: boolean) => readonly string[];

/** A row of COPY or of the log in every way that there is to write it, with generated code and without: the line, or the error. */
function everyWay(
  more: string,
  write: (encoder: RowEncoder, batch: Batch, bytes: Buffer, to: number) => void,
): Written {
  return (table, row, checkUtf8 = false) =>
    encodersOf(table, checkUtf8).flatMap((encoder) =>
      pieces(row, more).map(({ bytes, to }) => {
        const batch = new Batch();
        try {
          write(encoder, batch, bytes, to);
        } catch (error) {
          return `${(error as Error).name}: ${(error as Error).message}`;
        }
        return lines(batch)[0]!;
      }),
    );
}

const encoders = new WeakMap<TableSpec, Map<boolean, readonly RowEncoder[]>>();

/** Of both forms; made once, as code for a table is dear. */
function encodersOf(table: TableSpec, checkUtf8: boolean): readonly RowEncoder[] {
  const known = encoders.get(table) ?? new Map<boolean, readonly RowEncoder[]>();
  encoders.set(table, known);
  const found =
    known.get(checkUtf8) ??
    (['generated', 'interpreted'] as const).map((form) => new RowEncoder(table, checkUtf8, form));
  known.set(checkUtf8, found);
  return found;
}

/** Takes a line as it lies in a received piece. */
export function takeLine(encoder: RowEncoder, batch: Batch, line: string): void {
  const [{ bytes, to }] = pieces(Buffer.from(line), LINE_AND_MORE) as [
    ReturnType<typeof pieces>[0],
  ];
  encoder.copyRow(batch.table(encoder.spec), bytes, 0, to);
}

const LINE_AND_MORE = '\nd\0\0\0\x7f1\tmore';

export const copiedLines: Written = everyWay(LINE_AND_MORE, (encoder, batch, bytes, to) =>
  encoder.copyRow(batch.table(encoder.spec), bytes, 0, to),
);

export const loggedLines: Written = everyWay('nnnnnnnn more of the piece', insert);

/** The line that all ways give. @throws the error that all give. */
export function same(written: readonly string[]): string {
  const [first, ...others] = written;
  for (const other of others) expect(other).toBe(first);
  if (first!.startsWith('{')) return first!;
  throw new ProxyError('UNDECODABLE', first!);
}

export function viaCopy(
  table: TableSpec,
  values: readonly (string | null)[],
  checkUtf8 = false,
): string {
  const line = Buffer.from(values.map(copyField).join('\t'));
  return same(copiedLines(table, line, checkUtf8));
}

export function viaLog(table: TableSpec, values: readonly (string | null)[]): string {
  return same(loggedLines(table, message.insert(1, values)));
}

/** Writes a row of the log; the table's columns are those of the relation. */
export function insert(encoder: RowEncoder, batch: Batch, bytes: Buffer, to: number): void {
  const { spec } = encoder;
  const columns = spec.columns.map(({ name, typeOid }) => ({
    name,
    oid: typeOid!,
    identity: spec.key.includes(name),
  }));
  const description = message.relation(1, spec.schema, spec.name, columns);
  const table = new WalTable(readRelation(description, 0, description.length), encoder);
  new WalRows(() => {
    throw new Error('the row is whole');
  }).write(table, batch, bytes, 0, to);
}
