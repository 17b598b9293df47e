import { ProxyError } from '../../model/error.ts';
import { tableId } from '../../model/table.ts';
import type { Session } from './connection.ts';
import { messageOf } from './postgres-error.ts';
import { quoteName, quoteTable } from './sql-text.ts';
import type { SourceTable } from './table-catalog.ts';

/** A publication's name, and whether it is the one that we make for the job. */
export interface PublicationName {
  readonly name: string;
  readonly own: boolean;
}

interface Publication {
  readonly viaRoot: boolean;
  /** Of insert, update, delete, truncate: those that it leaves out. */
  readonly unpublished: readonly string[];
  readonly tables: ReadonlyMap<string, PublishedTable>;
}

interface PublishedTable {
  readonly columns: readonly string[] | undefined;
  readonly filtered: boolean;
}

type Named = Pick<SourceTable, 'schema' | 'name' | 'kind' | 'columns'>;

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
  const missing = tables.filter((t) => !found.tables.has(tableId(t)));
  const lacking = missing.filter((t) => t.kind !== 'p' || found.viaRoot);
  const list = lacking.map(tableId).join(', ');
  const findings: string[] = [];
  if (lacking.length > 0) {
    findings.push(
      own
        ? `publication ${name} already exists but does not cover the configured include_tables (missing: [${list}]). Another Doris cluster may be using the same jobId. Please set publication_name explicitly to avoid the conflict.`
        : `publication ${name} is missing required tables: [${list}]. Add them via ALTER PUBLICATION ... ADD TABLE before starting.`,
    );
  }
  const parents = missing.filter((t) => t.kind === 'p' && !found.viaRoot);
  if (parents.length > 0) {
    findings.push(
      `publication ${name} publishes partitions under their own names: ALTER PUBLICATION ${name} SET (publish_via_partition_root = true) for [${parents.map(tableId).join(', ')}].`,
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

/** Row filters and column lists: the copy would hold what the stream does not carry on. */
function tableFindings(name: string, table: Named, found: Publication): readonly string[] {
  const published = found.tables.get(tableId(table));
  if (published === undefined) return [];
  const findings: string[] = [];
  if (published.filtered) {
    findings.push(`publication ${name} filters the rows of ${tableId(table)}: remove its WHERE.`);
  }
  const { columns } = published;
  const hidden = table.columns.filter((c) => !c.generated && columns?.includes(c.name) === false);
  if (hidden.length > 0) {
    findings.push(
      `publication ${name} leaves out columns of ${tableId(table)}: [${hidden.map((c) => c.name).join(', ')}]. Publish all columns.`,
    );
  }
  return findings;
}

async function readPublication(session: Session, name: string): Promise<Publication | undefined> {
  const [row] = await session.rows<{
    readonly pubviaroot: boolean;
    readonly pubinsert: boolean;
    readonly pubupdate: boolean;
    readonly pubdelete: boolean;
    readonly pubtruncate: boolean;
  }>(
    'SELECT pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = $1',
    [name],
  );
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
  const published = {
    insert: row.pubinsert,
    update: row.pubupdate,
    delete: row.pubdelete,
    truncate: row.pubtruncate,
  };
  return {
    viaRoot: row.pubviaroot,
    unpublished: Object.entries(published).flatMap(([verb, on]) => (on ? [] : [verb])),
    tables: new Map(
      tables.map((t) => [
        tableId(t),
        { columns: t.columns ?? undefined, filtered: t.filter !== null },
      ]),
    ),
  };
}

/**
 * Makes our publication, for all tables at once and before the slot: a slot's decoder looks the publication up as
 * it was at each change, so changes made before it exists fail. One that exists is left as it is, never shrunk.
 * ONLY: tables that inherit are tables of their own here. Partitions come under their parent's name.
 */
export async function ensurePublication(
  session: Session,
  publication: PublicationName,
  tables: readonly SourceTable[],
): Promise<void> {
  const findings = await publicationFindings(session, publication, tables);
  if (findings.length > 0) throw new ProxyError('SOURCE_SETTING', findings.join('\n'));
  if (!publication.own || (await readPublication(session, publication.name)) !== undefined) return;
  const [version] = await session.rows<{ readonly version: string }>(
    `SELECT current_setting('server_version_num') AS version`,
  );
  const list = tables.map((t) => `${t.kind === 'p' ? '' : 'ONLY '}${quoteTable(t)}`).join(', ');
  const options = ['publish_via_partition_root = true'];
  if (Number(version?.version) >= 180_000) options.push('publish_generated_columns = stored');
  try {
    await session.run(
      `CREATE PUBLICATION ${quoteName(publication.name)} FOR TABLE ${list} WITH (${options.join(', ')})`,
    );
  } catch (cause) {
    throw new ProxyError(
      cause instanceof ProxyError ? cause.code : 'SOURCE_SETTING',
      `Failed to validate PG resources for publication ${publication.name}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** Removes our publication; one that is gone is what we wanted. */
export async function dropPublication(session: Session, name: string): Promise<void> {
  await session.run(`DROP PUBLICATION IF EXISTS ${quoteName(name)}`);
}
