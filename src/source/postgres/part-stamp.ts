import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import type { Session } from './connection.ts';
import { readMembership } from './publication.ts';
import type { TablePart } from './table-parts.ts';
import type { KnownTable } from './wal-relations.ts';

/** By a part's oid: all that must stay as it is for the log to tell the part's whole history, and the part's name behind it. */
export type Stamps = Readonly<Record<string, string>>;

/** `attached/membership[:file] name`; only the name may hold a blank. */
const STAMP = /^(?<attached>[^/]*)\/(?<membership>[^: ]*)(?::(?<file>\d+))? (?<name>[^]*)$/;

interface Stamp {
  readonly attached: string;
  readonly membership: string;
  readonly file: string | undefined;
  readonly name: string;
}

/** Makes stamps by the publication as it is now; undefined: there is none. */
export async function stampReader(
  session: Session,
  publication: string,
): Promise<((part: TablePart) => string) | undefined> {
  const membership = await readMembership(session, publication);
  if (membership === undefined) return undefined;
  return (part) => `${part.attached}/${membership(part)} ${tableId(part)}`;
}

export function stampsOf(
  parts: readonly TablePart[],
  stampOf: (part: TablePart) => string,
): Stamps {
  return Object.fromEntries(parts.map((part) => [part.oid, stampOf(part)]));
}

export function withParts(spec: TableSpec, parts: Stamps): TableSpec {
  return { ...spec, parts };
}

/**
 * What has come between two looks at a part that the log does not tell, with its cure; undefined: nothing. `anew`: its
 * rows will be copied, as those of a new part.
 */
export function whatHappened(
  { encoder: { spec } }: KnownTable,
  publication: string,
  before: string,
  now: string | undefined,
): { readonly text: string; readonly anew: boolean } | undefined {
  const was = parse(before);
  const table = tableId(spec);
  const remove = `DELETE its rows from the Doris table ${spec.target}`;
  if (now === undefined) {
    const text = `partition ${was.name} of ${table} was detached or dropped, which the log does not tell: ${remove}`;
    return { text, anew: true };
  }
  const is = parse(now);
  if (is.attached !== was.attached) {
    const text =
      `partition ${is.name} of ${table} was detached and attached again, and the log lacks what was done to it in between: ` +
      `DELETE the rows that it no longer has from the Doris table ${spec.target}, the others will be copied`;
    return { text, anew: true };
  }
  if (is.membership !== was.membership) {
    const text =
      `publication ${publication} was altered (options, owner, or ${table} taken out and put back), and the log lacks what was done ` +
      'to the table before it was as it is now: if rows were changed meanwhile, drop the job, empty its Doris tables and create it again; if not';
    return { text, anew: false };
  }
  if (is.file === was.file) return undefined;
  const text =
    `partition ${is.name} of ${table} was truncated, or rewritten by VACUUM FULL or CLUSTER, and the log does not tell which: ` +
    `if it was TRUNCATE, ${remove}. With ALTER PUBLICATION ${publication} SET (publish_via_partition_root = false) the log tells it`;
  return { text, anew: false };
}

function parse(stamp: string): Stamp {
  const found = STAMP.exec(stamp)?.groups;
  if (found === undefined) throw new ProxyError('UNDECODABLE', `mark of a table part: ${stamp}`);
  const { attached = '', membership = '', file, name = '' } = found;
  return { attached, membership, file, name };
}

/** A partition whose changes will never be seen. */
export function notLogged({ encoder: { spec } }: KnownTable, part: TablePart): ProxyError {
  return new ProxyError(
    'SOURCE_TABLE',
    `partition ${tableId(part)} of ${tableId(spec)} is an unlogged or a foreign table, whose changes are not in the log: ` +
      'ALTER TABLE ... SET LOGGED, or detach it, then RESUME JOB',
  );
}
