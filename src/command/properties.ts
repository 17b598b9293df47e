import { ProxyError } from '../model/error.ts';
import type { Properties, SourceType } from '../model/job.ts';
import { isSecretKey, type PropertyList } from '../sql/job-statement.ts';
import { hasUrlSecret } from '../sql/mask.ts';
import { ZONE_PROPERTY, zoneMistake } from '../source/job-zone.ts';
import type { TableSelection } from '../source/source.ts';

const REQUIRED_SOURCE_KEYS = [
  'jdbc_url',
  'driver_url',
  'driver_class',
  'user',
  'password',
  'database',
] as const;

const isSet = (value: string): boolean => value.trim() !== '';
const isPositive = (value: string): boolean => /^0*[1-9]\d{0,8}$/.test(value);
const isResourceName = (value: string): boolean => /^[a-z_][a-z0-9_]{0,62}$/.test(value);

/** Source keys and what each may hold (job-sql.md §5.3). The value check of Doris' 4.1 line, which takes what older ones take. */
const SOURCE_KEYS: Readonly<Record<string, (value: string) => boolean>> = {
  jdbc_url: isSet,
  driver_url: isSet,
  driver_class: isSet,
  user: isSet,
  password: (value) => value !== '',
  database: isSet,
  schema: isSet,
  include_tables: isSet,
  exclude_tables: isSet,
  offset: (value) => /^(?:initial|latest|snapshot|earliest)$/i.test(value) || isJsonObject(value),
  snapshot_split_size: isPositive,
  snapshot_parallelism: isPositive,
  skip_snapshot_backfill: (value) => /^(?:true|false)$/i.test(value),
  server_id: (value) => serverIds(value) !== undefined,
  slot_name: isResourceName,
  publication_name: isResourceName,
  ssl_mode: (value) => ['disable', 'require', 'verify-ca'].includes(value),
  ssl_rootcert: isSet,
  // Ours: Doris refuses the statement because of one table.
  on_table_error: (value) => /^(?:fail|skip)$/i.test(value),
  [ZONE_PROPERTY]: isSet,
};

const SUPPORTED_JOB_KEYS =
  "[max_interval, s3.max_batch_files, s3.max_batch_bytes, offset, compute_group] or any key starting with 'session.'";

const PLAIN_JOB_KEY =
  /^(?:max_interval|s3\.max_batch_files|s3\.max_batch_bytes|offset|compute_group)$/;

/**
 * Checks a list of source properties entry by entry, then what they must be together (job-sql.md §5.3).
 *
 * @throws ProxyError STATEMENT with Doris' text; a password is not in it.
 */
export function checkSourceProperties(list: PropertyList): void {
  for (const [key, value] of list) {
    if (key.startsWith('table.')) checkTableKey(key, value);
    else checkSourceKey(key, value);
  }
  if (list.get('ssl_mode') === 'verify-ca' && !list.has('ssl_rootcert')) {
    throw refuse("ssl_mode 'verify-ca' requires ssl_rootcert to be set");
  }
  const zone = list.get(ZONE_PROPERTY);
  const mistake = zone === undefined ? undefined : zoneMistake(zone);
  if (mistake !== undefined) throw refuse(mistake);
  const ids = serverIds(list.get('server_id') ?? '');
  const parallelism = Number(list.get('snapshot_parallelism') ?? 1);
  if (ids !== undefined && ids.end - ids.start + 1 < parallelism) {
    const wide = `${ids.start}-${ids.start + parallelism - 1}`;
    throw refuse(
      `server_id range size ${ids.end - ids.start + 1} must be >= snapshot_parallelism ${parallelism}. ` +
        `Widen the range (e.g. '${wide}') or reduce parallelism.`,
    );
  }
}

/** Names of the session variables that job properties set. Doris checks them, and a job with a source has no use for them. */
export function sessionVariables(list: PropertyList): readonly string[] {
  return [...list.keys()].flatMap(
    (key) => /^session\.(?<name>.*)$/s.exec(key)?.groups?.['name'] ?? [],
  );
}

function checkSourceKey(key: string, value: string): void {
  const isValid = Object.hasOwn(SOURCE_KEYS, key) ? SOURCE_KEYS[key] : undefined;
  if (isValid === undefined) throw refuse(`Unexpected key: '${key}'`);
  if (!isValid(value)) {
    throw refuse(`Invalid value for key '${key}': ${isSecretKey(key) ? '' : value}`);
  }
  // A URL is shown in jobs() and stored as it is.
  if (key === 'jdbc_url' && hasUrlSecret(value)) {
    throw refuse(
      "Invalid value for key 'jdbc_url': it must not hold a password, use the property 'password'",
    );
  }
}

/** `table.<name>.<suffix>`: a name may have dots itself, which Doris' jobs do not let one configure. */
const TABLE_KEY = /^table\.(?<table>.+)\.(?<suffix>target_table|exclude_columns)$/s;

function checkTableKey(key: string, value: string): void {
  if (!TABLE_KEY.test(key)) {
    throw refuse(
      /^table\.[^.]+\.[^.]*$/s.test(key)
        ? `Unknown per-table config key: '${key}'`
        : `Malformed per-table config key: '${key}'. Expected format: table.<tableName>.<suffix>`,
    );
  }
  if (!isSet(value)) throw refuse(`Value for per-table config key '${key}' must not be empty`);
}

/** @throws ProxyError STATEMENT (job-sql.md §5.4). */
export function checkTargetProperties(list: PropertyList): void {
  for (const [key, value] of list) {
    if (/^table\.create\.properties\../.test(key) || key === 'load.strict_mode') continue;
    if (key === 'load.max_filter_ratio') {
      if (!isSet(value) || !Number.isFinite(Number(value))) {
        throw refuse(`Invalid value for key '${key}': ${value}`);
      }
    } else if (key.startsWith('load.')) {
      throw refuse(
        `Unsupported load property: '${key}'. Supported keys: [load.max_filter_ratio, load.strict_mode]`,
      );
    } else {
      throw refuse(`Not support target properties key ${key}`);
    }
  }
}

/**
 * Checks job properties (job-sql.md §5.2). `max_interval` is taken with and without `s`: the manual prints its
 * default as `10s`. An `offset` and a `compute_group` are for the caller to look at.
 *
 * @throws ProxyError STATEMENT
 */
export function checkJobProperties(list: PropertyList): void {
  const unknown = [...list.keys()].filter(
    (key) => !PLAIN_JOB_KEY.test(key) && !/^(?:session\.|__)./.test(key),
  );
  if (unknown.length > 0) {
    throw refuse(
      `Invalid properties: [${unknown.join(', ')}]. Supported keys are ${SUPPORTED_JOB_KEYS}.`,
    );
  }
  const interval = list.get('max_interval');
  if (interval !== undefined && !isPositive(interval.replace(/s$/, ''))) {
    throw refuse(`max_interval must be at least 1 second, but was ${interval}`);
  }
  const files = list.get('s3.max_batch_files');
  if (files !== undefined && !isPositive(files)) {
    throw refuse(`s3.max_batch_files must be at least 1, but was ${files}`);
  }
  const bytes = list.get('s3.max_batch_bytes');
  if (bytes !== undefined && !(Number(bytes) >= 100 * 2 ** 20 && Number(bytes) <= 10 * 2 ** 30)) {
    throw refuse(`s3.max_batch_bytes must be between 100 MB and 10 GB, but was ${bytes}`);
  }
}

/** @throws ProxyError STATEMENT for the first one that is missing; and `schema` for Postgres. */
export function expectRequiredSourceProperties(type: SourceType, list: PropertyList): void {
  for (const key of REQUIRED_SOURCE_KEYS) {
    if (!list.has(key)) throw refuse(`${key} is required property`);
  }
  if (type === 'POSTGRES' && !list.has('schema')) throw refuse('schema is required');
}

/** Which tables the source properties name. Names are trimmed, which Doris does not do. */
export function tableSelection(properties: Properties): TableSelection {
  const ofTables = (wanted: string): [string, string][] =>
    Object.entries(properties).flatMap(([key, value]) => {
      const { table, suffix } = TABLE_KEY.exec(key)?.groups ?? {};
      return table === undefined || suffix !== wanted ? [] : [[table, value]];
    });
  return {
    include: names(properties['include_tables'] ?? ''),
    exclude: names(properties['exclude_tables'] ?? ''),
    targets: Object.fromEntries(ofTables('target_table').map(([t, name]) => [t, name.trim()])),
    excludeColumns: Object.fromEntries(
      ofTables('exclude_columns').map(([t, list]) => [t, names(list)]),
    ),
  };
}

/** Whether tables that cannot be copied are left out (`on_table_error` = `skip`), instead of refusing the statement. */
export function skipsTables(properties: Properties): boolean {
  return properties['on_table_error']?.toLowerCase() === 'skip';
}

/** A list as an object, in its order, safe for a key like `__proto__`. */
export function toProperties(list: Iterable<readonly [string, string]>): Properties {
  return Object.fromEntries(list);
}

function names(list: string): readonly string[] {
  return list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

function serverIds(text: string): { readonly start: number; readonly end: number } | undefined {
  const groups = /^\s*(?<start>\d{1,10})\s*(?:-\s*(?<end>\d{1,10})\s*)?$/.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const start = Number(groups['start']);
  const end = Number(groups['end'] ?? start);
  return start >= 1 && start <= end && end <= 2_147_483_647 ? { start, end } : undefined;
}

function isJsonObject(text: string): boolean {
  if (!text.trim().startsWith('{')) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function refuse(message: string): ProxyError {
  return new ProxyError('STATEMENT', message);
}
