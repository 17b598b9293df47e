import type { ConnectionOptions } from 'node:tls';
import { ProxyError } from '../../model/error.ts';
import type { Properties } from '../../model/job.ts';
import type { Violation } from '../../model/violation.ts';
import { parseJdbcUrl } from '../jdbc-url.ts';
import { askedZone, ZONE_PROPERTY } from '../job-zone.ts';
import type { PostgresSourceOptions } from './postgres-source.ts';

/** What `openSource` is told beside the properties. */
export interface PostgresContext {
  readonly jobId: number;
  /** PEM text behind the property `ssl_rootcert`. */
  readonly rootCertificate?: string;
  readonly violated?: (kind: Violation) => Promise<void>;
}

/** What Doris' own jobs look at (cdc-semantics.md §1.0). */
const ZONE_PARAMETERS = ['timezone'] as const;

/** Postgres cuts longer names off without a word (NAMEDATALEN - 1). */
const NAME_BYTES_MAX = 63;

/**
 * The source properties of a Postgres job, read (job-sql.md §5.3).
 * @throws ProxyError STATEMENT with Doris' texts.
 */
export function readPostgresOptions(
  properties: Properties,
  password: string,
  context: PostgresContext,
): PostgresSourceOptions {
  const url = parseJdbcUrl(required(properties, 'jdbc_url'));
  if (url.kind !== 'postgresql') throw invalid('jdbc_url', properties['jdbc_url'] ?? '');
  const tls = readTls(properties['ssl_mode'], url.parameters, context.rootCertificate);
  const schema = properties['schema']?.trim() ?? '';
  if (schema === '') throw new ProxyError('STATEMENT', 'schema is required');
  return {
    jobId: context.jobId,
    zone: properties[ZONE_PROPERTY] ?? 'UTC',
    askedZone: () => askedZone(properties, url.parameters, ZONE_PARAMETERS),
    target: {
      host: url.host,
      port: url.port,
      user: required(properties, 'user'),
      password,
      database: readDatabase(properties),
      ...(tls === undefined ? {} : { tls }),
    },
    schema,
    ...(context.violated === undefined ? {} : { violated: context.violated }),
    ...(properties['slot_name'] === undefined ? {} : { slotName: properties['slot_name'] }),
    ...(properties['publication_name'] === undefined
      ? {}
      : { publicationName: properties['publication_name'] }),
  };
}

function readDatabase(properties: Properties): string {
  const database = required(properties, 'database').trim();
  const bytes = Buffer.byteLength(database);
  if (bytes <= NAME_BYTES_MAX) return database;
  throw new ProxyError(
    'STATEMENT',
    `database name '${database}' is ${bytes} bytes, exceeding 63; PostgreSQL truncates it and the replication-slot lookup would fail.`,
  );
}

/**
 * `ssl_mode` counts; without it the URL's own parameters, as Postgres' JDBC driver reads them, except that its default,
 * to try TLS and go on without, is no protection and is taken as `disable`, which is Doris' default.
 */
function readTls(
  given: string | undefined,
  parameters: ReadonlyMap<string, string>,
  rootCertificate: string | undefined,
): ConnectionOptions | undefined {
  const ssl = parameters.get('ssl')?.toLowerCase();
  const fallback = ssl === '' || ssl === 'true' ? 'verify-full' : 'disable';
  const mode = given ?? parameters.get('sslmode')?.toLowerCase() ?? fallback;
  const ca = rootCertificate === undefined ? {} : { ca: rootCertificate };
  switch (mode) {
    case 'disable':
    case 'allow':
    case 'prefer':
      return undefined;
    case 'require':
      return { rejectUnauthorized: false };
    case 'verify-ca':
      if (rootCertificate === undefined) {
        throw new ProxyError('STATEMENT', `ssl_mode 'verify-ca' requires ssl_rootcert to be set`);
      }
      // The certificate must be of that authority, whatever name it is for.
      return { ...ca, checkServerIdentity: () => undefined };
    case 'verify-full':
      return ca;
    default:
      throw invalid('ssl_mode', mode);
  }
}

function required(properties: Properties, name: string): string {
  const value = properties[name];
  if (value === undefined || value.trim() === '') {
    throw new ProxyError('STATEMENT', `${name} is required property`);
  }
  return value;
}

function invalid(name: string, value: string): ProxyError {
  return new ProxyError('STATEMENT', `Invalid value for key '${name}': ${value}`);
}
