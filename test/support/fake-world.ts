import type { Batch } from '../../src/encode/batch.ts';
import type { ProxyError } from '../../src/model/error.ts';
import type { SnapshotSplit } from '../../src/model/job.ts';
import type { MysqlPosition, Position } from '../../src/model/offset.ts';
import { tableId, type TableSpec } from '../../src/model/table.ts';
import type { LoadBody } from '../../src/encode/batch.ts';
import type { Emptying, Loaded, Target } from '../../src/scheduler/job-context.ts';
import type {
  ChangeStream,
  Fill,
  FillLimit,
  Source,
  SplitReader,
} from '../../src/source/source.ts';

/** One change of a source row: `value` undefined deletes it. */
export interface Op {
  readonly table: TableSpec;
  readonly key: number;
  readonly value: string | undefined;
}

export type Transaction = readonly Op[] | { readonly truncate: TableSpec };

export const spec = (name: string): TableSpec => ({
  schema: 's',
  name,
  target: name,
  columns: [
    { name: 'id', sourceType: 'int', dorisType: 'INT', nullable: false, comment: '' },
    { name: 'v', sourceType: 'text', dorisType: 'STRING', nullable: true, comment: '' },
  ],
  key: ['id'],
});

export type Rows = Map<string, string>;

function putRow(batch: Batch, { table, key, value }: Op): void {
  const out = batch.table(table);
  out.startRow();
  out.startColumn(0);
  out.integer(key);
  out.startColumn(1);
  const text = Buffer.from(value ?? 'gone');
  out.quotedUtf8(text, 0, text.length);
  out.endRow(value === undefined);
}

const at = (pos: number, event = 0): MysqlPosition => ({
  kind: 'mysql',
  file: 'log',
  pos,
  gtids: '',
  event,
  serverId: '',
  serverUuid: '',
  tsSec: 0,
});

/** A database with a log: a transaction's position is its index, and every operation is one event. */
export class FakeSource implements Source {
  readonly log: Transaction[] = [];
  readonly #tables: readonly TableSpec[];
  readonly acknowledged: Position[] = [];

  constructor(tables: readonly TableSpec[]) {
    this.#tables = tables;
  }

  rows(table: TableSpec): Rows {
    const rows: Rows = new Map();
    for (const transaction of this.log) {
      if ('truncate' in transaction) {
        if (transaction.truncate.name === table.name) rows.clear();
        continue;
      }
      for (const op of transaction) {
        if (op.table.name !== table.name) continue;
        if (op.value === undefined) rows.delete(String(op.key));
        else rows.set(String(op.key), op.value);
      }
    }
    return rows;
  }

  findTimeZone(): Promise<string> {
    return Promise.resolve('UTC');
  }

  preflight(): Promise<readonly TableSpec[]> {
    return Promise.resolve(this.#tables);
  }

  safePosition(): Promise<Position> {
    return Promise.resolve(at(this.log.length));
  }

  latestPosition(): Promise<Position> {
    return Promise.resolve(at(this.log.length));
  }

  earliestPosition(): Promise<Position> {
    return Promise.resolve(at(0));
  }

  lagBytes(): Promise<number> {
    return Promise.resolve(-1);
  }

  nextSplit(
    table: TableSpec,
    rows: number,
    previous: SnapshotSplit | undefined,
  ): Promise<SnapshotSplit | undefined> {
    if (previous !== undefined && previous.splitEnd === undefined)
      return Promise.resolve(undefined);
    const start = previous?.splitEnd;
    const keys = [...this.rows(table).keys()]
      .map(Number)
      .filter((key) => start === undefined || key >= Number(start[0]))
      .toSorted((a, b) => a - b);
    const end = keys[rows];
    const number = previous === undefined ? 0 : Number(previous.splitId.split(':')[1]) + 1;
    return Promise.resolve({
      splitId: `${tableId(table)}:${number}`,
      tableId: tableId(table),
      splitKey: ['id'],
      ...(start === undefined ? {} : { splitStart: start }),
      ...(end === undefined ? {} : { splitEnd: [String(end)] }),
    });
  }

  readSplit(table: TableSpec, split: SnapshotSplit): Promise<SplitReader> {
    const [from, to] = [Number(split.splitStart?.[0] ?? -1e9), Number(split.splitEnd?.[0] ?? 1e9)];
    const rows = [...this.rows(table)].filter(([key]) => Number(key) >= from && Number(key) < to);
    return Promise.resolve({
      fill: (batch: Batch, limit: FillLimit) => {
        while (rows.length > 0 && batch.rows < limit.rowsMax) {
          const [key, value] = rows.shift()!;
          putRow(batch, { table, key: Number(key), value });
        }
        return Promise.resolve(rows.length === 0);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  }

  openStream(_tables: readonly TableSpec[], from: Position): Promise<ChangeStream> {
    let position = from as MysqlPosition;
    const fill = async (batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill> => {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      signal.throwIfAborted();
      const until = limit.until as MysqlPosition | undefined;
      while (position.pos < this.log.length) {
        if (until !== undefined && position.pos === until.pos && position.event === until.event) {
          return { to: position };
        }
        const transaction = this.log[position.pos]!;
        if ('truncate' in transaction) {
          const barrier = {
            kind: 'truncate' as const,
            tables: [transaction.truncate],
            after: at(position.pos + 1),
          };
          const to = position;
          position = barrier.after;
          return { to, barrier };
        }
        if (until === undefined && batch.rows >= limit.rowsMax) return { to: position };
        putRow(batch, transaction[position.event]!);
        const last = position.event + 1 === transaction.length;
        position = last ? at(position.pos + 1) : at(position.pos, position.event + 1);
      }
      return { to: position };
    };
    return Promise.resolve({
      fill,
      acknowledge: (to: Position) => void this.acknowledged.push(to),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  }

  release(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** Doris as seen by loads: a label is loaded at most once, and a load replaces rows by key. */
export class FakeTarget implements Target {
  readonly tables = new Map<string, Rows>();
  readonly labels = new Map<string, string>();
  readonly #truncated = new Map<string, number>();
  /** Called before and after each effect; throws to play a crash. */
  step: (what: string) => void = () => undefined;
  /** What is said of every load, whatever was loaded. */
  filteredRows = 0;
  refuse: ((label: string) => ProxyError | undefined) | undefined;

  async load(_database: string, body: LoadBody, label: string): Promise<Loaded> {
    this.step('before load');
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    const refused = this.refuse?.(label);
    if (refused !== undefined) throw refused;
    const text = Buffer.concat([...body.body]).toString();
    const known = this.labels.get(label);
    if (known === undefined) {
      this.labels.set(label, text);
      this.#apply(body.table.target, text);
    } else if (known !== text) {
      throw new Error(`other bytes under label ${label}:\n${known}\n${text}`);
    }
    this.step('after load');
    return { loadedRows: body.rows, loadBytes: body.bytes, filteredRows: this.filteredRows };
  }

  settle(_database: string, label: string): Promise<'loaded' | 'absent'> {
    return Promise.resolve(this.labels.has(label) ? 'loaded' : 'absent');
  }

  fence(_database: string, _table: string, label: string): Promise<void> {
    this.step('before fence');
    if (!this.labels.has(label)) this.labels.set(label, '');
    this.step('after fence');
    return Promise.resolve();
  }

  truncate(_database: string, table: string): Promise<void> {
    this.step('before truncate');
    this.tables.get(table)?.clear();
    this.#truncated.set(table, (this.#truncated.get(table) ?? 0) + 1);
    this.step('after truncate');
    return Promise.resolve();
  }

  emptying(_database: string, table: string): Promise<Emptying> {
    return Promise.resolve({ partitions: `p${this.#truncated.get(table) ?? 0}`, running: false });
  }

  #apply(target: string, text: string): void {
    const rows: Rows = this.tables.get(target) ?? new Map<string, string>();
    this.tables.set(target, rows);
    const seen = new Set<number>();
    for (const line of text.trimEnd().split('\n')) {
      const row = JSON.parse(line) as { id: number; v: string; __DORIS_DELETE_SIGN__: number };
      // Doris promises no order inside a load: a batch with a key twice is a defect.
      if (seen.has(row.id)) throw new Error(`key ${row.id} twice in one load`);
      seen.add(row.id);
      if (row.__DORIS_DELETE_SIGN__ === 1) rows.delete(String(row.id));
      else rows.set(String(row.id), row.v);
    }
  }
}
