import {
  type DuckDBDataChunk,
  DuckDBDateValue,
  DuckDBDecimalType,
  DuckDBDecimalValue,
  DuckDBTimestampValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from '@duckdb/node-api';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ColumnType } from './column-type.ts';
import { dateText, dateTimeText } from './date-text.ts';
import type { ResultColumn, Row } from './result.ts';
import type { Session } from './session.ts';
import { notModelled, refusal, SqlError } from './sql-error.ts';
import type { Translation } from './translate.ts';

export interface QueryResult {
  readonly columns: readonly ResultColumn[];
  /** Made from DuckDB's chunks while they are walked, so that a large result is not held twice. */
  readonly rows: Iterable<Row>;
}

/** Runs a translated query. @throws SqlError 1105 for whatever DuckDB refuses. */
export async function runQuery(
  { sleepMs, sql, types }: Translation,
  session: Session,
): Promise<QueryResult> {
  if (sleepMs > 0) await pause(sleepMs, session);
  const connection = await session.state.store.connect();
  try {
    const result = await connection.run(sql);
    const chunks = await result.fetchAllChunks();
    const columns = result.columnNames().map((name, i): ResultColumn => {
      const type = dorisType(result.columnType(i), types.get(name.toLowerCase()));
      return { name, type: withScale(type, chunks, i) };
    });
    return { columns, rows: { [Symbol.iterator]: () => rowsOf(chunks, columns) } };
  } catch (cause) {
    if (!(cause instanceof Error) || cause.name === 'SqlError') throw cause;
    throw refusal(`${cause.message.split('\n')[0]}`);
  } finally {
    connection.closeSync();
  }
}

async function pause(ms: number, session: Session): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: session.interrupt.signal });
  } catch (cause) {
    throw new SqlError(1105, 'errCode = 2, detailMessage = cancel query by user', { cause });
  }
}

const PLAIN: Partial<Record<DuckDBTypeId, ColumnType>> = {
  [DuckDBTypeId.BOOLEAN]: { name: 'BOOLEAN' },
  [DuckDBTypeId.TINYINT]: { name: 'TINYINT' },
  [DuckDBTypeId.SMALLINT]: { name: 'SMALLINT' },
  [DuckDBTypeId.INTEGER]: { name: 'INT' },
  [DuckDBTypeId.BIGINT]: { name: 'BIGINT' },
  [DuckDBTypeId.UINTEGER]: { name: 'BIGINT' },
  [DuckDBTypeId.UBIGINT]: { name: 'BIGINT' },
  // DuckDB sums integers into HUGEINT, Doris into BIGINT.
  [DuckDBTypeId.HUGEINT]: { name: 'BIGINT' },
  [DuckDBTypeId.FLOAT]: { name: 'FLOAT' },
  [DuckDBTypeId.DOUBLE]: { name: 'DOUBLE' },
  [DuckDBTypeId.DATE]: { name: 'DATE' },
  [DuckDBTypeId.TIMESTAMP]: { name: 'DATETIME', scale: 6 },
  [DuckDBTypeId.VARCHAR]: { name: 'VARCHAR', length: 65533 },
  [DuckDBTypeId.SQLNULL]: { name: 'TINYINT' },
};

function dorisType(type: DuckDBType, named: ColumnType | undefined): ColumnType {
  if (type instanceof DuckDBDecimalType)
    return { name: 'DECIMAL', precision: type.width, scale: type.scale };
  const plain = PLAIN[type.typeId];
  if (plain === undefined) throw notModelled(`results of DuckDB's type ${type.toString()}`);
  if (named === undefined) return plain;
  const text = ['CHAR', 'VARCHAR', 'STRING', 'JSON', 'VARIANT', 'ARRAY'];
  if (plain.name === 'VARCHAR' && text.includes(named.name)) return named;
  if (plain.name === 'DATETIME' && named.name === 'DATETIME') return named;
  if (type.typeId === DuckDBTypeId.HUGEINT && named.name === 'LARGEINT') return named;
  return plain;
}

function* rowsOf(
  chunks: readonly DuckDBDataChunk[],
  columns: readonly ResultColumn[],
): Generator<Row> {
  const types = columns.map(({ type }) => type);
  for (const chunk of chunks)
    for (const row of chunk.getRows()) yield row.map((value, i) => cellText(value, types[i]!));
}

const hasFraction = (value: DuckDBValue): boolean =>
  value instanceof DuckDBTimestampValue && value.micros % 1_000_000n !== 0n;

/** A computed time has no declared scale: none if no row needs it. */
function withScale(
  type: ColumnType,
  chunks: readonly DuckDBDataChunk[],
  index: number,
): ColumnType {
  if (type.name !== 'DATETIME' || type.scale !== 6) return type;
  if (chunks.some((chunk) => chunk.getColumnValues(index).some(hasFraction))) return type;
  return { name: 'DATETIME', scale: 0 };
}

function cellText(value: DuckDBValue, type: ColumnType): string | null {
  if (value === null) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number')
    return type.name === 'FLOAT' ? floatText(value) : numberText(value);
  if (value instanceof DuckDBDecimalValue) return value.toString();
  if (value instanceof DuckDBDateValue) return dateText(value.days);
  if (value instanceof DuckDBTimestampValue)
    return dateTimeText(value.micros, type.name === 'DATETIME' ? type.scale : 6);
  throw notModelled('this result value');
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
}

/** The shortest text that is this 32-bit float again. */
function floatText(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return numberText(value);
}
