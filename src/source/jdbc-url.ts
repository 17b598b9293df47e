import { ProxyError } from '../model/error.ts';

/** What a job's `jdbc_url` says. Its user and password parameters are ignored: they have properties of their own. */
export interface JdbcUrl {
  readonly kind: 'mysql' | 'postgresql';
  readonly host: string;
  readonly port: number;
  /** `''` when the URL names none: the property `database` is what counts. */
  readonly database: string;
  /** Driver parameters, decoded; names in lower case, because the drivers compare them without case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const KINDS = {
  'jdbc:mysql:': { kind: 'mysql', port: 3306 },
  // MariaDB's own driver: the same server protocol, and Doris lets MariaDB users write it.
  'jdbc:mariadb:': { kind: 'mysql', port: 3306 },
  'jdbc:postgresql:': { kind: 'postgresql', port: 5432 },
} as const;

const FORM = /^\/\/(?<hosts>[^/?]*)(?:\/(?<database>[^?]*))?(?:\?(?<parameters>.*))?$/s;
const HOST = /^(?:\[(?<six>[0-9a-f:.%\w]+)\]|(?<name>[^:[\]\s,@()]+))(?::(?<port>\d{1,5}))?$/i;

/**
 * Reads `jdbc:mysql://host:3306/db?useSSL=false`. Blanks are removed first, as Doris does (job-sql.md §5.3).
 *
 * @throws ProxyError STATEMENT with Doris' text for a scheme that no source has, with ours for the rest.
 */
export function parseJdbcUrl(text: string): JdbcUrl {
  const url = text.replace(/\s/g, '');
  const scheme = /^jdbc:[a-z]+:/i.exec(url)?.[0] ?? '';
  const kind = KINDS[scheme.toLowerCase() as keyof typeof KINDS];
  if (kind === undefined) throw bad('Failed to parse db type from jdbcUrl');
  const form = FORM.exec(url.slice(scheme.length))?.groups;
  if (form === undefined) throw bad(`jdbc_url must have the form ${scheme}//host:port/database`);
  const hosts = form['hosts'] ?? '';
  if (hosts.includes(',')) {
    throw bad('jdbc_url names several hosts: name the one server whose log is to be read');
  }
  if (hosts.includes('@')) {
    throw bad('jdbc_url must not hold a user or password: they have properties of their own');
  }
  const host = HOST.exec(hosts)?.groups;
  const port = Number(host?.['port'] ?? kind.port);
  if (host === undefined || port < 1 || port > 65_535) {
    throw bad(`jdbc_url has no usable host and port: '${hosts}'`);
  }
  return {
    kind: kind.kind,
    host: (host['six'] ?? host['name'])!,
    port,
    database: decode(form['database'] ?? ''),
    parameters: parseParameters(form['parameters'] ?? ''),
  };
}

function parseParameters(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of text.split('&')) {
    const [name, value] = splitOnce(pair);
    if (name !== '') parameters.set(decode(name).toLowerCase(), decode(value));
  }
  return parameters;
}

function splitOnce(pair: string): readonly [string, string] {
  const at = pair.indexOf('=');
  return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw bad(`jdbc_url has a bad %-escape: '${text}'`, cause);
  }
}

function bad(message: string, cause?: unknown): ProxyError {
  return new ProxyError('STATEMENT', message, cause === undefined ? {} : { cause });
}
