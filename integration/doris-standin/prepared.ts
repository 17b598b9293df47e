import { type ColumnType, wireType } from './column-type.ts';
import { isQuery } from './execute.ts';
import { columnPacket, eofPacket, type PacketReader, PacketWriter } from './packets.ts';
import { runQuery } from './query.ts';
import { definitionOf } from './result-writer.ts';
import type { ResultColumn } from './result.ts';
import type { Session } from './session.ts';
import { refusal, SqlError } from './sql-error.ts';
import { splitStatements, Statement, type Token } from './tokens.ts';
import { translateQuery } from './translate.ts';

/** A statement with `?`; parameters are put into its text when it runs. */
export interface Prepared {
  readonly sql: string;
  readonly tokens: readonly Token[];
  readonly parameterCount: number;
  /** Types of the parameters, kept from the execution that sent them. */
  parameterTypes: readonly number[];
}

/** Numbers stay apart from texts: they are bound without quotes. */
type Parameter = { readonly number: string } | string | null;

/** @throws SqlError for several statements or a mistake in a query. */
export function parsePrepared(sql: string): Prepared {
  const statements = splitStatements(sql);
  const [statement] = statements;
  if (statement === undefined || statements.length > 1)
    throw refusal('can not prepare several statements');
  const parameterCount = statement.tokens.filter(({ kind }) => kind === 'parameter').length;
  return { sql, tokens: statement.tokens, parameterCount, parameterTypes: [] };
}

/** Columns of a query before it ran: all parameters NULL, no rows. */
export async function preparedColumns(
  prepared: Prepared,
  session: Session,
): Promise<readonly ResultColumn[]> {
  const nulls = Array.from({ length: prepared.parameterCount }, () => null);
  const statement = bind(prepared, nulls);
  if (!isQuery(statement)) return [];
  const { sql, types } = translateQuery(statement, session);
  const { columns } = await runQuery(
    { sleepMs: 0, sql: `SELECT * FROM (${sql}) AS q LIMIT 0`, types },
    session,
  );
  return columns;
}

/** The statement with its parameters as literals. */
export function bind({ sql, tokens }: Prepared, parameters: readonly Parameter[]): Statement {
  let used = 0;
  const bound = tokens.map((token): Token => {
    if (token.kind !== 'parameter') return token;
    const value = parameters[used++]!;
    if (value === null) return { ...token, kind: 'word', text: 'NULL' };
    if (typeof value === 'string') return { ...token, kind: 'string', text: value };
    return { ...token, kind: 'number', text: value.number };
  });
  return new Statement(sql, bound);
}

/** COM_STMT_PREPARE's answer; without columns and parameters Doris sends 10 bytes instead of 12 (§4.5). */
export function* preparePackets(
  id: number,
  parameterCount: number,
  columns: readonly ResultColumn[],
  deprecateEof: boolean,
): Generator<Buffer> {
  const header = new PacketWriter()
    .integer(0, 1)
    .integer(id, 4)
    .integer(columns.length, 2)
    .integer(parameterCount, 2)
    .integer(0, 1);
  if (columns.length + parameterCount > 0) header.integer(0, 2).integer(1, 1);
  yield header.take();
  const text: ColumnType = { name: 'STRING' };
  for (let i = 0; i < parameterCount; i++) yield columnPacket({ name: '?', type: wireType(text) });
  if (parameterCount > 0 && !deprecateEof) yield eofPacket(0);
  for (const column of columns) yield columnPacket(definitionOf(column));
  if (columns.length > 0 && !deprecateEof) yield eofPacket(0);
}

/** Reads the values of COM_STMT_EXECUTE, from after the statement's id. @throws SqlError 1047 for a type it cannot read */
export function readParameters(prepared: Prepared, reader: PacketReader): Parameter[] {
  // Flags and iteration count: cursors are never made.
  reader.bytes(5);
  const { parameterCount } = prepared;
  if (parameterCount === 0) return [];
  const nulls = reader.bytes((parameterCount + 7) >> 3);
  if (reader.integer(1) === 1)
    prepared.parameterTypes = Array.from({ length: parameterCount }, () => reader.integer(2));
  return prepared.parameterTypes.map((type, i) =>
    (nulls[i >> 3]! >> (i & 7)) & 1 ? null : readParameter(reader, type & 0xff, type >> 15 === 1),
  );
}

const INTEGER_BYTES: Readonly<Record<number, number>> = { 1: 1, 2: 2, 3: 4, 8: 8 };
const TEXT_TYPES = new Set([0, 15, 245, 246, 249, 250, 251, 252, 253, 254]);

function readParameter(reader: PacketReader, type: number, unsigned: boolean): Parameter {
  const bytes = INTEGER_BYTES[type];
  if (bytes !== undefined) {
    const raw = Buffer.alloc(8);
    reader.bytes(bytes).copy(raw);
    const value = raw.readBigUInt64LE();
    return { number: String(unsigned ? value : BigInt.asIntN(bytes * 8, value)) };
  }
  if (type === 4) return { number: String(reader.bytes(4).readFloatLE()) };
  if (type === 5) return { number: String(reader.bytes(8).readDoubleLE()) };
  if (type === 6) return null;
  if (type === 7 || type === 10 || type === 12) return readTime(reader);
  if (TEXT_TYPES.has(type)) return reader.lenencBytes().toString();
  throw new SqlError(1047, `msg: Not supported parameter type ${type}`);
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

function readTime(reader: PacketReader): string {
  const length = reader.integer(1);
  if (length === 0) return '0000-00-00';
  const day = `${pad(reader.integer(2), 4)}-${pad(reader.integer(1))}-${pad(reader.integer(1))}`;
  if (length === 4) return day;
  const time = `${pad(reader.integer(1))}:${pad(reader.integer(1))}:${pad(reader.integer(1))}`;
  return length === 7 ? `${day} ${time}` : `${day} ${time}.${pad(reader.integer(4), 6)}`;
}
