import { type TimeZone, timeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { Properties } from '../../model/job.ts';
import { parseJdbcUrl } from '../jdbc-url.ts';
import { askedZone, ZONE_PROPERTY } from '../job-zone.ts';
import type { MysqlEndpoint, TlsMode } from './mysql-connection.ts';

/** The source properties of a MySQL job, read (job-sql.md §5.3). */
export interface MysqlOptions {
  readonly endpoint: MysqlEndpoint;
  readonly database: string;
  /** What the stream registers as; two replicas with one id cut each other off. */
  readonly serverId: number;
  /** The job's zone; absent while a new job's is not found yet. */
  readonly zone?: TimeZone;
  /** The zone that a new job's statement asks for; absent: the server's. @throws ProxyError STATEMENT */
  readonly askedZone: () => TimeZone | undefined;
}

/** Both are one setting of Connector/J: its name until 8.0.22, and since (MySQL Connector/J manual, "Datetime types processing"). */
const ZONE_PARAMETERS = ['connectionTimeZone', 'serverTimezone'] as const;

/** What `openSource` is told beside the properties. */
export interface MysqlContext {
  readonly jobId: number;
  /** PEM text behind the property `ssl_rootcert`. */
  readonly rootCertificate?: string;
}

const SERVER_ID_MAX = 2_147_483_647;

/** @throws ProxyError STATEMENT with Doris' texts. */
export function readMysqlOptions(
  properties: Properties,
  password: string,
  context: MysqlContext,
): MysqlOptions {
  const url = parseJdbcUrl(required(properties, 'jdbc_url'));
  if (url.kind !== 'mysql') throw invalid('jdbc_url', properties['jdbc_url'] ?? '');
  const zone = timeZone(properties[ZONE_PROPERTY] ?? 'UTC');
  return {
    ...(zone === undefined ? {} : { zone }),
    askedZone: () => askedZone(properties, url.parameters, ZONE_PARAMETERS),
    endpoint: {
      host: url.host,
      port: url.port,
      user: required(properties, 'user'),
      password,
      tls: readTls(properties, url.parameters, context.rootCertificate),
    },
    database: required(properties, 'database').trim(),
    serverId: readServerId(properties['server_id'], context.jobId),
  };
}

/** `ssl_mode` counts; without it the URL's own parameters, which MySQL's JDBC driver would follow. */
function readTls(
  properties: Properties,
  parameters: ReadonlyMap<string, string>,
  rootCertificate: string | undefined,
): TlsMode {
  const given = properties['ssl_mode'];
  const [mode, identity] = given === undefined ? tlsOfUrl(parameters) : [given, false];
  switch (mode) {
    case 'disable':
    case 'require':
      return { mode };
    case 'verify-ca':
      if (rootCertificate === undefined) {
        throw new ProxyError('STATEMENT', `ssl_mode 'verify-ca' requires ssl_rootcert to be set`);
      }
      return { mode, ca: rootCertificate, identity };
    default:
      throw invalid('ssl_mode', mode);
  }
}

function tlsOfUrl(parameters: ReadonlyMap<string, string>): readonly [string, boolean] {
  const mode = parameters.get('sslmode')?.toUpperCase();
  if (mode === 'REQUIRED') return ['require', false];
  if (mode === 'VERIFY_CA') return ['verify-ca', false];
  if (mode === 'VERIFY_IDENTITY') return ['verify-ca', true];
  const isTrue = (name: string): boolean => parameters.get(name)?.toLowerCase() === 'true';
  if (isTrue('verifyservercertificate')) return ['verify-ca', false];
  return [isTrue('usessl') || isTrue('requiressl') ? 'require' : 'disable', false];
}

/** `5400` or `5400-5408`: the stream takes the first one, as Doris does (cdc-semantics.md §4.1). */
function readServerId(text: string | undefined, jobId: number): number {
  if (text === undefined) return serverIdOfJob(jobId);
  const range = /^\s*(\d{1,10})\s*(?:-\s*(\d{1,10})\s*)?$/.exec(text);
  const first = Number(range?.[1]);
  const last = Number(range?.[2] ?? range?.[1]);
  if (!(first >= 1 && first <= last && last <= SERVER_ID_MAX)) throw invalid('server_id', text);
  return first;
}

/**
 * The same for a job's life, so that the server recognises a half-open predecessor; in a range that people
 * do not use for replicas (2^30 to 2^31 - 1). FNV-1a over the digits.
 */
function serverIdOfJob(jobId: number): number {
  let hash = 0x811c_9dc5;
  for (const digit of String(jobId)) hash = Math.imul(hash ^ digit.charCodeAt(0), 0x0100_0193);
  return 0x4000_0000 + ((hash >>> 0) & 0x2fff_ffff);
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
