import { ProxyError } from '../../model/error.ts';
import { tableId } from '../../model/table.ts';
import type { Session } from './connection.ts';
import { messageOf } from './postgres-error.ts';
import { quoteName, quoteTable } from './sql-text.ts';
import type { SourceTable } from './table-catalog.ts';
import type { TablePart } from './table-parts.ts';

/** A publication's name, and whether it is the one that we make for the job. */
export interface PublicationName {
  readonly name: string;
  readonly own: boolean;
}

interface Publication {
  /** Partitions come under the name of the partitioned table. */
  readonly viaRoot: boolean;
  /** Of insert, update, delete, truncate: those that it leaves out. */
  readonly unpublished: readonly string[];
  /** By schema.name. With `viaRoot` partitioned tables, otherwise their partitions. */
  readonly tables: ReadonlyMap<string, PublishedTable>;
}

interface PublishedTable {
  readonly columns: readonly string[] | undefined;
  readonly filtered: boolean;
}

type Named = Pick<SourceTable, 'oid' | 'schema' | 'name' | 'kind' | 'columns' | 'key' | 'parts'>;

/** What is wrong with the publication for these tables, in the words of job-sql.md §5.5. Empty: nothing, or it is ours to make. */
export async function publicationFindings(
  session: Session,
  publication: PublicationName,
  tables: readonly Named[],
): Promise<readonly string[]> {
  const found = await readPublication(session, publication.name);
  const { name, own } = publication;
  if (found === undefined) {
    if (own) return [];
    return [
      `publication does not exist: ${name}. Create it before starting the job or omit publication_name to let Doris create one.`,
    ];
  }
  const list = tables.flatMap((table) => missingOf(table, found)).join(', ');
  const findings: string[] = [];
  if (list !== '') {
    findings.push(
      own
        ? `publication ${name} already exists but does not cover the configured include_tables (missing: [${list}]). Another Doris cluster may be using the same jobId. Please set publication_name explicitly to avoid the conflict.`
        : `publication ${name} is missing required tables: [${list}]. Add them via ALTER PUBLICATION ... ADD TABLE before starting.`,
    );
  }
  if (found.unpublished.length > 0) {
    findings.push(
      `publication ${name} does not publish ${found.unpublished.join(', ')}: ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate').`,
    );
  }
  for (const table of tables) findings.push(...tableFindings(name, table, found));
  return findings;
}

/** Under which names the rows of a table are published. */
function publishedAs(table: Named, { viaRoot }: Publication): readonly string[] {
  const byName = table.kind !== 'p' || viaRoot;
  return byName ? [tableId(table)] : table.parts.map((part) => tableId(part));
}

/**
 * What of a table is not published: it, or single partitions where the publication lists them one by one. One that lists
 * the partitioned table holds all its partitions, those to come too.
 */
function missingOf(table: Named, found: Publication): readonly string[] {
  const names = publishedAs(table, found);
  const missing = names.filter((name) => !found.tables.has(name));
  return missing.length > 0 && missing.length === names.length ? [tableId(table)] : missing;
}

/** Row filters and column lists: the copy would hold what the stream does not carry on. */
function tableFindings(name: string, table: Named, found: Publication): readonly string[] {
  const published = publishedAs(table, found).flatMap((id) => found.tables.get(id) ?? []);
  const findings: string[] = [];
  if (published.some(({ filtered }) => filtered)) {
    findings.push(`publication ${name} filters the rows of ${tableId(table)}: remove its WHERE.`);
  }
  // A generated column that is not published is read again with its row, unless it is needed to find the row.
  const hidden = table.columns.filter(
    (c) =>
      (!c.generated || table.key.includes(c.name)) &&
      published.some(({ columns }) => columns?.includes(c.name) === false),
  );
  if (hidden.length > 0) {
    findings.push(
      `publication ${name} leaves out columns of ${tableId(table)}: [${hidden.map((c) => c.name).join(', ')}]. Publish all columns.`,
    );
  }
  return findings;
}

/**
 * `version` changes when its options do, or which schemas it holds: schemas came with Postgres 15, and that their rows depend on the
 * publication can be read everywhere. `entries`: by the oid of a relation that it names, the oid of the entry, another one after it was
 * taken out and put back.
 */
const PUBLICATION = `
  SELECT p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
         concat_ws('.', p.oid, p.xmin, (
           SELECT string_agg(d.objid::text, '.' ORDER BY d.objid) FROM pg_depend d
           WHERE d.refclassid = 'pg_publication'::regclass AND d.refobjid = p.oid
             AND d.classid <> 'pg_publication_rel'::regclass)) AS version,
         (SELECT COALESCE(jsonb_object_agg(r.prrelid::int8, r.oid::text), '{}')
          FROM pg_publication_rel r WHERE r.prpubid = p.oid) AS entries
  FROM pg_publication p WHERE p.pubname = $1`;

interface PublicationRow {
  readonly pubviaroot: boolean;
  readonly pubinsert: boolean;
  readonly pubupdate: boolean;
  readonly pubdelete: boolean;
  readonly pubtruncate: boolean;
  readonly version: string;
  readonly entries: Readonly<Record<string, string>>;
}

async function readOptions(session: Session, name: string): Promise<PublicationRow | undefined> {
  return (await session.rows<PublicationRow>(PUBLICATION, [name]))[0];
}

async function readPublication(session: Session, name: string): Promise<Publication | undefined> {
  const row = await readOptions(session, name);
  if (row === undefined) return undefined;
  // Column lists and row filters came with Postgres 15; to_jsonb reads them where they are.
  const tables = await session.rows<{
    readonly schema: string;
    readonly name: string;
    readonly columns: string[] | null;
    readonly filter: string | null;
  }>(
    `SELECT t.schemaname AS schema, t.tablename AS name, to_jsonb(t) -> 'attnames' AS columns,
            to_jsonb(t) ->> 'rowfilter' AS filter
     FROM pg_publication_tables t WHERE t.pubname = $1`,
    [name],
  );
  const verbs = {
    insert: row.pubinsert,
    update: row.pubupdate,
    delete: row.pubdelete,
    truncate: row.pubtruncate,
  };
  return {
    viaRoot: row.pubviaroot,
    unpublished: Object.entries(verbs).flatMap(([verb, on]) => (on ? [] : [verb])),
    tables: new Map(
      tables.map((t) => [
        tableId(t),
        { columns: t.columns ?? undefined, filtered: t.filter !== null },
      ]),
    ),
  };
}

/**
 * A text for a part of a table that stays the same for as long as the publication shows the log every change of it: not when it was
 * taken out and put back, not when the options were others in between, for the log of that time lacks changes. Where
 * partitions are published under their parent's name its file counts too: a TRUNCATE of one partition is not told then.
 */
export async function readMembership(
  session: Session,
  name: string,
): Promise<((part: TablePart) => string) | undefined> {
  const found = await readOptions(session, name);
  if (found === undefined) return undefined;
  const { version, entries, pubviaroot } = found;
  return ({ path, file }) => {
    const own = path.flatMap((oid) => entries[oid] ?? []);
    return `${version}/${own.join('.')}${pubviaroot && path.length > 1 ? `:${file}` : ''}`;
  };
}

/**
 * Makes our publication, for all tables at once and before the slot: a slot's decoder looks the publication up as
 * it was at each change, so changes made before it exists fail. One that exists is left as it is, never shrunk.
 * ONLY: tables that inherit are tables of their own here. Partitions come under their own names, for only so a TRUNCATE of
 * one is told; those that are made later belong to it, as their parent does.
 *
 * @returns whether it lacks a table that it had before: a violation, whatever the reason.
 */
export async function ensurePublication(
  session: Session,
  publication: PublicationName,
  tables: readonly SourceTable[],
): Promise<boolean> {
  const findings = await publicationFindings(session, publication, tables);
  if (findings.length > 0) throw new ProxyError('SOURCE_SETTING', findings.join('\n'));
  const { name, own } = publication;
  const before = await readOptions(session, name);
  if (own && before === undefined) await createPublication(session, name, tables);
  const after = await readOptions(session, name);
  return Object.keys(before?.entries ?? {}).some((oid) => after?.entries[oid] === undefined);
}

async function createPublication(
  session: Session,
  name: string,
  tables: readonly SourceTable[],
): Promise<void> {
  const [version] = await session.rows<{ readonly version: string }>(
    `SELECT current_setting('server_version_num') AS version`,
  );
  const list = tables.map((t) => `${t.kind === 'p' ? '' : 'ONLY '}${quoteTable(t)}`).join(', ');
  const options = ['publish_via_partition_root = false'];
  if (Number(version?.version) >= 180_000) options.push('publish_generated_columns = stored');
  try {
    await session.run(
      `CREATE PUBLICATION ${quoteName(name)} FOR TABLE ${list} WITH (${options.join(', ')})`,
    );
  } catch (cause) {
    throw new ProxyError(
      cause instanceof ProxyError ? cause.code : 'SOURCE_SETTING',
      `Failed to validate PG resources for publication ${name}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** Removes our publication; one that is gone is what we wanted. */
export async function dropPublication(session: Session, name: string): Promise<void> {
  await session.run(`DROP PUBLICATION IF EXISTS ${quoteName(name)}`);
}
