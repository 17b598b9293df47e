import {
  DOUBLE,
  DuckDBDataChunk,
  type DuckDBAppender,
  type DuckDBConnection,
  type DuckDBType,
  INTEGER,
  VARCHAR,
} from '@duckdb/node-api';
import {
  DELETE_SIGN,
  findColumn,
  SEQUENCE_COLUMN,
  sequenceType,
  type Column,
  type Table,
} from './catalog.ts';
import type { ColumnType } from './column-type.ts';
import { dateText, dateTimeText } from './date-text.ts';
import { ABSENT, NULL, STRING, type RowFields } from './json-line.ts';
import { refusal } from './sql-error.ts';
import type { Store } from './store.ts';
import {
  type ConversionContext,
  converterFor,
  type Converter,
  Rejected,
  type Staged,
  stageType,
} from './values.ts';

/** One field of the rows that a load brings. */
export interface Target {
  /** The JSON key, or the column's place in an INSERT. */
  readonly source: string;
  readonly role: 'column' | 'delete' | 'sequence';
  /** Role `column` only. */
  readonly column?: Column;
  readonly type: ColumnType;
}

export interface LoadOptions extends ConversionContext {
  readonly strict: boolean;
  /** Names of the fields; undefined: the table's columns. Names that the table lacks are read and dropped. */
  readonly columns?: readonly string[];
  readonly hiddenColumns: readonly string[];
  /** Field that fills the sequence column of the `sequence_type` form. */
  readonly sequenceSource?: string;
  readonly partial: boolean;
  readonly newKeys: 'APPEND' | 'ERROR';
  /** Which of two rows of one key in one load is kept when no sequence decides (doris-target.md §2.4). */
  readonly pick: () => number;
}

/** The fields of a load, checked against the table. @throws SqlError as the FE's plan phase does (§1.4). */
function planTargets(table: Table, options: LoadOptions): Target[] {
  const targets: Target[] = [];
  const names = options.columns ?? [
    ...table.columns.map(({ name }) => name),
    ...options.hiddenColumns,
  ];
  const sequence = sequenceType(table);
  for (const name of names) {
    if (name === DELETE_SIGN) {
      if (table.model !== 'UNIQUE') throw refusal(`Unknown column '${name}' in 'table list'`);
      targets.push({ source: name, role: 'delete', type: { name: 'TINYINT' } });
    } else if (name === SEQUENCE_COLUMN) {
      if (table.sequence?.kind === 'column')
        throw refusal(
          'doris-standin does not model a sequence besides function_column.sequence_col',
        );
      if (sequence === undefined) throw refusal(`Unknown column '${name}' in 'table list'`);
      targets.push({ source: name, role: 'sequence', type: sequence });
    } else if (name.startsWith('__DORIS_')) {
      throw refusal(`doris-standin does not model the hidden column ${name}`);
    } else {
      const column = findColumn(table, name);
      if (column !== undefined)
        targets.push({ source: name, role: 'column', column, type: column.type });
    }
  }
  planSequence(table, options, sequence, targets, names);
  checkCompleteness(table, options, targets);
  return targets;
}

function planSequence(
  table: Table,
  options: LoadOptions,
  sequence: ColumnType | undefined,
  targets: Target[],
  names: readonly string[],
): void {
  const { sequenceSource } = options;
  if (sequence === undefined) {
    if (sequenceSource !== undefined)
      throw refusal(
        `table ${table.name} has no sequence column, can not set function_column.sequence_col`,
      );
    return;
  }
  if (table.sequence?.kind === 'type' && sequenceSource !== undefined) {
    if (options.columns !== undefined && !names.includes(sequenceSource))
      throw refusal(`There is no sequence column ${sequenceSource} in the columns of the load`);
    targets.push({ source: sequenceSource, role: 'sequence', type: sequence });
  }
  const sequenceId = table.sequence?.kind === 'column' ? table.sequence.columnId : undefined;
  const named = targets.some(
    ({ role, column }) => role === 'sequence' || (column !== undefined && column.id === sequenceId),
  );
  if (!named && !options.partial)
    throw refusal(`Table ${table.name} has sequence column, need to specify the sequence column`);
}

function checkCompleteness(table: Table, options: LoadOptions, targets: readonly Target[]): void {
  const ids = targets.flatMap(({ column }) => (column === undefined ? [] : [column.id]));
  if (new Set(ids).size < ids.length) throw refusal('a column is named twice in the load');
  const missing = table.columns.filter(({ id }) => !ids.includes(id));
  if (options.partial) {
    if (table.model !== 'UNIQUE')
      throw refusal('Only unique key merge on write support partial update');
    const key = missing.find(({ isKey }) => isKey);
    if (key !== undefined)
      throw refusal(`Partial update should include all key columns, missing: ${key.name}`);
    return;
  }
  const bare = missing.find((column) => column.default === undefined && !column.nullable);
  if (bare !== undefined) throw refusal(`Column has no default value, column=${bare.name}`);
}

/** Text of a column's default at the time of the load, null for NULL, undefined if there is none. */
function defaultText(column: Column, now: Date): string | null | undefined {
  if (column.default === undefined) return column.nullable ? null : undefined;
  if (column.default.kind === 'null') return null;
  if (column.default.kind === 'literal') return column.default.text;
  if (column.type.name === 'DATE') return dateText(Math.floor(now.getTime() / 86_400_000));
  const scale = column.type.name === 'DATETIME' ? column.type.scale : 0;
  return dateTimeText(BigInt(now.getTime()) * 1000n, scale);
}

interface Field {
  /** Index of the JSON key among `sources`: one key may feed a column and the sequence. */
  readonly source: number;
  readonly name: string;
  /** False for the delete sign and the sequence: a row of these alone is none. */
  readonly visible: boolean;
  readonly nullable: boolean;
  readonly convert: Converter;
  /** Undefined: an absent key makes the row bad. */
  readonly absent: Staged | undefined;
}

function fieldOf(target: Target, source: number, options: LoadOptions): Field {
  const convert = converterFor(target.type, options);
  const { column } = target;
  if (column === undefined) {
    // An absent sign means "not deleted"; an absent sequence is NULL, the lowest (§2.3).
    const absent = target.role === 'delete' ? 0 : null;
    const nullable = target.role === 'sequence';
    return { source, name: target.source, visible: false, nullable, convert, absent };
  }
  const text = defaultText(column, new Date());
  const converted = typeof text === 'string' ? convert(STRING, text) : text;
  if (converted instanceof Rejected) throw refusal(`Invalid default value for '${column.name}'`);
  const { name, nullable } = column;
  return { source, name, visible: true, nullable, convert, absent: converted };
}

const CHUNK_ROWS = 2048;

const DUCK_TYPES: Readonly<Record<ReturnType<typeof stageType>, DuckDBType>> = {
  INTEGER,
  DOUBLE,
  VARCHAR,
};

/** Rows on their way into a table: checked one by one, staged in a temporary table, merged by `mergeLoad`. */
export class TableLoad implements AsyncDisposable {
  readonly table: Table;
  readonly targets: readonly Target[];
  readonly options: LoadOptions;
  readonly connection: DuckDBConnection;
  loadedRows = 0;
  /** Reason and row text of the first bad rows; all are counted. */
  readonly badRows: string[] = [];
  filteredRows = 0;
  /** The JSON keys that are read, in the order of a row's fields. */
  readonly sources: readonly string[];
  private readonly fields: readonly Field[];
  private readonly appender: DuckDBAppender;
  private readonly chunkTypes: readonly DuckDBType[];
  private readonly chunk: Staged[][];
  private chunkRows = 0;

  private constructor(
    table: Table,
    targets: readonly Target[],
    options: LoadOptions,
    connection: DuckDBConnection,
    appender: DuckDBAppender,
  ) {
    this.table = table;
    this.targets = targets;
    this.options = options;
    this.connection = connection;
    this.appender = appender;
    this.sources = [...new Set(targets.map(({ source }) => source))];
    this.fields = targets.map((target) =>
      fieldOf(target, this.sources.indexOf(target.source), options),
    );
    this.chunkTypes = [INTEGER, DOUBLE, ...targets.map(({ type }) => DUCK_TYPES[stageType(type)])];
    this.chunk = this.chunkTypes.map(() => []);
  }

  static async open(store: Store, table: Table, options: LoadOptions): Promise<TableLoad> {
    const targets = planTargets(table, options);
    const connection = await store.connect();
    try {
      const columns = targets.map(({ type }, i) => `s${i} ${stageType(type)}`);
      await connection.run(
        `CREATE TEMP TABLE stage (${['n INTEGER', 'pick DOUBLE', ...columns].join(', ')})`,
      );
      const appender = await connection.createAppender('stage');
      return new TableLoad(table, targets, options, connection, appender);
    } catch (error) {
      connection.closeSync();
      throw error;
    }
  }

  /** Takes a row; a bad one is counted and its reason kept. `text` is what the error log shows. */
  addRow(row: RowFields, text: string): void {
    const reason = this.stage(row);
    if (reason === undefined) {
      this.loadedRows++;
      if (++this.chunkRows === CHUNK_ROWS) this.flush();
    } else {
      this.reject(reason, text);
    }
  }

  reject(reason: string, text: string): void {
    this.filteredRows++;
    if (this.badRows.length < 100)
      this.badRows.push(`Reason: ${reason}. src line [${text.slice(0, 1000)}]; `);
  }

  private stage(row: RowFields): string | undefined {
    const { chunk, chunkRows, fields, options } = this;
    let empty = true;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      const kind = row.kinds[field.source]!;
      let value: Staged | undefined;
      if (kind === ABSENT) {
        value = field.absent;
        if (value === undefined)
          return `Column ${field.name} has no default value and is absent from the row`;
      } else {
        empty &&= !field.visible;
        const converted = kind === NULL ? null : field.convert(kind, row.texts[field.source]!);
        if (!(converted instanceof Rejected)) value = converted;
        else if (options.strict || converted.always || !field.nullable)
          return `column_name[${field.name}], ${converted.reason}`;
        else value = null;
      }
      if (value === null && !field.nullable)
        return `Json value is null, but the column \`${field.name}\` is not nullable.`;
      chunk[i + 2]![chunkRows] = value;
    }
    if (empty) return 'All fields is null, this is a invalid row.';
    chunk[0]![chunkRows] = this.loadedRows;
    chunk[1]![chunkRows] = options.pick();
    return undefined;
  }

  private flush(): void {
    if (this.chunkRows === 0) return;
    const chunk = DuckDBDataChunk.create(this.chunkTypes, this.chunkRows);
    chunk.setColumns(this.chunk.map((values) => values.slice(0, this.chunkRows)));
    this.appender.appendDataChunk(chunk);
    this.chunkRows = 0;
  }

  /** All rows are in: the stage may be read. */
  finish(): void {
    this.flush();
    this.appender.flushSync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.appender.closeSync();
    this.connection.closeSync();
    return Promise.resolve();
  }
}
