import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import type { Session } from './connection.ts';
import { readKeys } from './table-catalog.ts';
import type { KnownTable } from './wal-relations.ts';

/** @throws ProxyError SOURCE_DDL when a table that the stream was opened with is not there any more. */
export async function expectTables(session: Session, tables: readonly KnownTable[]): Promise<void> {
  const rows = await session.rows<{ readonly oid: string }>(
    'SELECT oid::int8 AS oid FROM pg_class WHERE oid = ANY ($1::oid[])',
    [tables.map(({ source }) => String(source.oid))],
  );
  const there = new Set(rows.map(({ oid }) => Number(oid)));
  const lost = tables.find(({ source }) => !there.has(source.oid));
  if (lost !== undefined) throw gone(lost.encoder.spec);
}

/**
 * Without the index that keeps a table's key unique, rows may be there twice that Doris takes for one. No message of the log
 * says that it was dropped; a DELETE of one of the two would delete the other in Doris too.
 *
 * @throws ProxyError SOURCE_DDL
 */
export async function expectKeys(session: Session, tables: readonly KnownTable[]): Promise<void> {
  const keys = await readKeys(
    session,
    tables.map(({ source }) => source.oid),
  );
  for (const { encoder, source } of tables) {
    const { spec } = encoder;
    const wanted = spec.key.toSorted().join('\0');
    const found = keys.get(source.oid)?.some((key) => key.toSorted().join('\0') === wanted);
    if (found === true) continue;
    const index = spec.keyIndex === undefined ? 'primary key' : `unique index ${spec.keyIndex}`;
    throw new ProxyError(
      'SOURCE_DDL',
      `the ${index} of ${tableId(spec)} was dropped: nothing keeps (${spec.key.join(', ')}) unique and NOT NULL, so rows may ` +
        'be there twice that Doris takes for one. Drop the job, make the key again, and create the job again.',
    );
  }
}

export function gone(spec: TableSpec): ProxyError {
  return new ProxyError(
    'SOURCE_DDL',
    `table ${tableId(spec)} does not exist any more: it was dropped, renamed or moved to another schema. ` +
      'Drop the job and create it again.',
  );
}
