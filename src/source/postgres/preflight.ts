import { repeatsClock, timeZone } from '../../lib/time-zone.ts';
import { ProxyError, type FailureCode } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { OID } from '../../typemap/postgres-to-doris.ts';
import { repeatedKeyText } from '../job-zone.ts';
import type { LeaveOut, TableSelection } from '../source.ts';
import { selectNames } from '../table-selection.ts';
import type { Session } from './connection.ts';
import { publicationFindings, type PublicationName } from './publication.ts';
import { readSlot } from './replication-slot.ts';
import { readTables, tableSpec, type SourceTable } from './table-catalog.ts';

/** What a job calls its things at the source. */
export interface SourceNames {
  readonly schema: string;
  readonly slot: string;
  readonly ownSlot: boolean;
  readonly publication: PublicationName;
}

/** The oldest version that publishes partitioned tables, and tells whether a slot has lost its WAL. */
const VERSION_MIN = 130_000;

interface Finding {
  readonly code: FailureCode;
  readonly text: string;
  /** The tables that it is about; absent: all of the job. */
  readonly tables?: readonly SourceTable[];
  /** Instead of `text`, when one table is spoken of. */
  readonly reason?: string;
}

/** The selected tables: as the server has them, and as the job keeps them. */
export interface Selected {
  readonly tables: readonly SourceTable[];
  readonly specs: readonly TableSpec[];
}

/**
 * Looks at everything that would make the job fail later, and throws it as one error: the user corrects all of it
 * in one go. Texts of job-sql.md §2.4 and §5.5 where Doris has one.
 */
export async function preflight(
  session: Session,
  names: SourceNames & { readonly zone: string },
  selection: TableSelection,
  leaveOut?: LeaveOut,
): Promise<Selected> {
  const server = await readServer(session, names);
  // Before anything else: what follows asks for what older versions do not have.
  if (server.version < VERSION_MIN) {
    throw new ProxyError(
      'SOURCE_SETTING',
      `Postgres ${server.name} is not supported: 13 or later is needed`,
    );
  }
  const all = await readTables(session, names.schema);
  if (all.length === 0) {
    throw new ProxyError('SOURCE_TABLE', `No tables found in database ${names.schema}`);
  }
  const selected = new Set(
    selectNames(
      all.map((table) => table.name),
      selection,
    ),
  );
  const wanted = all.filter((table) => selected.has(table.name));
  if (wanted.length === 0) {
    throw new ProxyError('SOURCE_TABLE', `Can not found match table in database ${names.schema}`);
  }
  const ofTables = [
    ...excludeFindings(wanted, selection),
    ...tableFindings(wanted),
    ...generatedKeyFindings(wanted, server.version),
    ...(await zoneFindings(wanted, names.zone)),
  ];
  const sound = wanted.filter((table) => reasonsFor(table, ofTables).length === 0);
  const skips = leaveOut !== undefined && sound.length > 0;
  const tables = skips ? sound : wanted;
  const findings = [
    ...(skips ? [] : ofTables),
    ...serverFindings(server),
    ...(await resourceFindings(session, names, tables)),
  ];
  const [first] = findings;
  if (first !== undefined) {
    throw new ProxyError(first.code, findings.map((f) => f.text).join('\n'));
  }
  if (skips) {
    for (const table of wanted) {
      const reasons = reasonsFor(table, ofTables);
      if (reasons.length > 0) leaveOut(table.name, reasons.join('; '));
    }
  }
  const specs = tables.map((table) =>
    tableSpec(
      table,
      selection.targets[table.name] ?? table.name,
      selection.excludeColumns[table.name] ?? [],
    ),
  );
  return { tables, specs };
}

function reasonsFor(table: SourceTable, findings: readonly Finding[]): readonly string[] {
  return findings.flatMap((f) => (f.tables?.includes(table) === true ? [f.reason ?? f.text] : []));
}

function excludeFindings(tables: readonly SourceTable[], selection: TableSelection): Finding[] {
  return tables.flatMap((table) =>
    (selection.excludeColumns[table.name] ?? []).flatMap((column): Finding[] => {
      const start = 'exclude_columns validation failed: column';
      if (!table.columns.some((c) => c.name === column)) {
        const text = `${start} '${column}' does not exist in table '${table.name}'`;
        return [{ code: 'SOURCE_TABLE', text, tables: [table] }];
      }
      if (!table.key.includes(column)) return [];
      const text = `${start} '${column}' in table '${table.name}' is a primary key column and cannot be excluded`;
      return [{ code: 'SOURCE_TABLE', text, tables: [table] }];
    }),
  );
}

function tableFindings(tables: readonly SourceTable[]): Finding[] {
  const findings: Finding[] = [];
  const about = (which: readonly SourceTable[], code: FailureCode, text: string): void => {
    if (which.length === 0) return;
    findings.push({ code, text: `${text}: ${tableList(which)}`, tables: which, reason: text });
  };
  const keyless = tables.filter((t) => t.key.length === 0);
  if (keyless.length > 0) {
    const list = keyless.map((t) => t.name).join(', ');
    const text = `The following tables do not have primary key defined: ${list}`;
    const reason = 'it has no primary key, and no unique index over columns that are NOT NULL';
    findings.push({ code: 'SOURCE_TABLE', text, tables: keyless, reason });
  }
  about(
    tables.filter((t) => t.keyDeferrable),
    'SOURCE_TABLE',
    'a DEFERRABLE primary key is no replica identity, and lets two rows have one key for a moment',
  );
  for (const table of tables) {
    if (table.key.length === 0 || table.identityLacks.length === 0) continue;
    findings.push({ code: 'SOURCE_TABLE', text: identityText(table), tables: [table] });
  }
  about(
    tables.filter((t) => t.unlogged),
    'SOURCE_TABLE',
    'unlogged and temporary tables are not in the log',
  );
  about(
    tables.filter((t) => !t.unlogged && t.parts.some((part) => !part.logged)),
    'SOURCE_TABLE',
    'partitions that are unlogged or foreign tables are not in the log',
  );
  about(
    tables.filter((t) => !t.readable),
    'SOURCE_ACCESS',
    'the user lacks SELECT (or USAGE of the schema) for',
  );
  about(
    tables.filter((t) => t.filtered),
    'SOURCE_ACCESS',
    'row-level security hides rows from the user (BYPASSRLS is needed) of',
  );
  return findings;
}

/** All moments that Doris has, because clocks were put back long before there were computers. */
const [FIRST_SEC, LAST_SEC] = [Date.UTC(1800, 0, 1) / 1000, Date.UTC(2200, 0, 1) / 1000];

async function zoneFindings(tables: readonly SourceTable[], name: string): Promise<Finding[]> {
  const found = tables.flatMap((table) =>
    table.columns
      .filter((column) => table.key.includes(column.name) && column.type.oid === OID.timestamptz)
      .map((column) => ({ table, column: column.name })),
  );
  if (found.length === 0) return [];
  // Of a zone that only the server knows nothing can be promised.
  const zone = timeZone(name);
  if (zone !== undefined && !(await repeatsClock(zone, FIRST_SEC, LAST_SEC))) return [];
  return found.map(({ table, column }) => {
    const reason = repeatedKeyText(column, name);
    const text = `table ${tableId(table)}: ${reason}`;
    return { code: 'SOURCE_TABLE', text, tables: [table], reason };
  });
}

/**
 * Why the server would not log old keys, and the statements that make it: for each partition, because each logs by its own
 * replica identity. Without a primary key and with the default identity it even refuses UPDATE and DELETE once the table is published.
 */
function identityText({ schema, name, key, keyIndex, identityLacks }: SourceTable): string {
  const columns = key.join(', ');
  if (keyIndex === undefined) {
    const relations = identityLacks.map((lack) => lack.relation).join(', ');
    return `the replica identity of ${relations} does not hold the primary key (${columns}): ALTER TABLE ... REPLICA IDENTITY DEFAULT, or FULL`;
  }
  const cures = identityLacks.map(({ relation, index }) =>
    index === null
      ? `ALTER TABLE ${relation} REPLICA IDENTITY FULL`
      : `ALTER TABLE ${relation} REPLICA IDENTITY USING INDEX ${index}`,
  );
  return (
    `table ${tableId({ schema, name })} has no primary key; its unique index ${keyIndex} (${columns}) can be the key ` +
    `once the server logs it: ${cures.join('; ')}`
  );
}

/** A generated column is in the log since Postgres 18 only, and without the key a change cannot be told to Doris. */
function generatedKeyFindings(tables: readonly SourceTable[], version: number): Finding[] {
  if (version >= 180_000) return [];
  return tables.flatMap((table): Finding[] => {
    const generated = table.columns.filter((c) => c.generated && table.key.includes(c.name));
    if (generated.length === 0) return [];
    const list = generated.map((c) => c.name).join(', ');
    const text = `the key of ${tableId(table)} has generated columns (${list}), which Postgres before 18 does not log`;
    return [{ code: 'SOURCE_TABLE', text, tables: [table] }];
  });
}

interface Server {
  readonly version: number;
  /** As the server prints it: `12.22 (Debian 12.22-1)`. */
  readonly name: string;
  readonly wal_level: string;
  readonly replication: boolean;
  readonly slots_free: boolean;
  readonly senders: number;
  readonly user: string;
}

async function readServer(session: Session, names: SourceNames): Promise<Server> {
  const [server] = await session.rows<Server>(
    `SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS name, current_setting('wal_level') AS wal_level,
            current_setting('max_wal_senders')::int AS senders, current_user::text AS user,
            (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> $1)
              < current_setting('max_replication_slots')::int AS slots_free,
            (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
              OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'MEMBER'))
              AS replication`,
    [names.slot],
  );
  return server!;
}

function serverFindings(server: Server): Finding[] {
  const findings: Finding[] = [];
  const add = (wrong: boolean, code: FailureCode, text: string): void => {
    if (wrong) findings.push({ code, text });
  };
  add(
    server.wal_level !== 'logical',
    'SOURCE_SETTING',
    `wal_level is ${server.wal_level}, logical is needed: set wal_level = logical in postgresql.conf and restart the server`,
  );
  add(
    !server.replication,
    'SOURCE_ACCESS',
    `user ${server.user} may not replicate: ALTER ROLE ... REPLICATION`,
  );
  add(
    !server.slots_free,
    'SOURCE_SETTING',
    'all replication slots are in use: raise max_replication_slots, or drop a slot',
  );
  add(server.senders === 0, 'SOURCE_SETTING', 'max_wal_senders is 0: raise it');
  return findings;
}

/** Slot and publication (job-sql.md §5.5), and whether we may make the publication. */
async function resourceFindings(
  session: Session,
  names: SourceNames,
  tables: readonly SourceTable[],
): Promise<Finding[]> {
  const texts = [...(await publicationFindings(session, names.publication, tables))];
  const slot = await readSlot(session, names.slot);
  if (slot === undefined && !names.ownSlot) {
    texts.push(
      `replication slot does not exist: ${names.slot}. Create it before starting the job or omit slot_name to let Doris create one.`,
    );
  }
  if (slot?.active === true && names.ownSlot) {
    texts.push(
      `replication slot ${names.slot} is active, held by another consumer. Another Doris cluster may be using the same jobId. Please set slot_name explicitly to avoid the conflict.`,
    );
  } else if (slot?.active === true) {
    texts.push(`replication slot ${names.slot} is active, held by another consumer.`);
  }
  if (slot !== undefined && slot.plugin !== 'pgoutput') {
    texts.push(
      `replication slot ${names.slot} has the plugin ${slot.plugin || '(none: it is physical)'}, pgoutput is needed`,
    );
  } else if (slot?.here === false) {
    texts.push(`replication slot ${names.slot} belongs to another database`);
  }
  if (slot?.walStatus === 'lost') {
    texts.push(`replication slot ${names.slot} has lost its WAL (wal_status lost): drop it`);
  }
  const findings = texts.map((text): Finding => ({ code: 'SOURCE_SETTING', text }));
  if (names.publication.own) findings.push(...(await creationFindings(session, tables)));
  return findings;
}

async function creationFindings(
  session: Session,
  tables: readonly SourceTable[],
): Promise<Finding[]> {
  const [row] = await session.rows<{ readonly allowed: boolean; readonly database: string }>(
    `SELECT has_database_privilege(current_database(), 'CREATE') AS allowed, current_database()::text AS database`,
  );
  const foreign = tables.filter((t) => !t.owned);
  const why = [
    ...(row?.allowed === false ? [`CREATE on database ${row.database}`] : []),
    ...(foreign.length > 0 ? [`ownership of ${tableList(foreign)}`] : []),
  ];
  if (why.length === 0) return [];
  return [
    {
      code: 'SOURCE_ACCESS',
      text: `to make a publication the user needs ${why.join(' and ')}; or name one that exists with publication_name`,
    },
  ];
}

function tableList(tables: readonly SourceTable[]): string {
  return tables.map(tableId).join(', ');
}
