import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ColumnSpec, TableSpec } from '../../../src/model/table.ts';
import { mysqlToDoris } from '../../../src/typemap/mysql-to-doris.ts';

/** The events of a captured file, each with header and checksum. */
export function capturedEvents(server: 'mysql-9.7' | 'mariadb-10.11'): Buffer[] {
  const path = join(import.meta.dirname, '..', '..', 'fixtures', `${server}.binlog`);
  const bytes = readFileSync(path);
  const events: Buffer[] = [];
  for (let at = 4; at < bytes.length; at += events.at(-1)!.length) {
    events.push(bytes.subarray(at, at + bytes.readUInt32LE(at + 9)));
  }
  return events;
}

/** A table whose columns are utf8mb4. */
export function table(
  name: string,
  key: readonly string[],
  types: Readonly<Record<string, string>>,
): TableSpec {
  const columns = Object.entries(types).map(([column, sourceType]): ColumnSpec => ({
    name: column,
    sourceType,
    charset: 'utf8mb4',
    dorisType: mysqlToDoris(sourceType, key.includes(column) ? 'key' : 'value'),
    nullable: !key.includes(column),
    comment: '',
  }));
  return { schema: 'shop', name, target: name, key, columns };
}

export const ORDERS = table('orders', ['id', 'name'], {
  id: 'int unsigned',
  name: 'varchar(20)',
  price: 'decimal(10,2)',
  paid: 'datetime(3)',
  kind: "enum('new','b,c')",
  note: 'text',
});

export const DOCS = table('docs', ['id'], { id: 'int', j: 'json', g: 'geometry' });
