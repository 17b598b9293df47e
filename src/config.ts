import { readFileSync } from 'node:fs';
import type { BlockList } from 'node:net';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import {
  addressRanges,
  certificates,
  serverContext,
  type TlsOptions,
} from './model/client-options.ts';
import { parseArgs } from 'node:util';
import type { DorisAccount, Endpoint } from './model/endpoint.ts';
import { SETTINGS, type SettingName } from './model/setting.ts';

/** A wrong configuration: one line for the user, exit code 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export interface Config {
  readonly listen: Endpoint;
  readonly doris: DorisAccount;
  readonly dataDir: string;
  readonly keyFile: string;
  /** Undefined: `off`. */
  readonly admin: Endpoint | undefined;
  readonly logLevel: string;
  readonly clients: ClientsConfig;
  /** Processes that serve clients; above 1 the jobs run in one more. */
  readonly processes: number;
  readonly jobThreads: number;
  readonly settings: Readonly<Record<SettingName, number>>;
  /** Where `FILE:name` of a job's `ssl_rootcert` is looked up. */
  readonly certificateDir: string | undefined;
}

/** How clients come in and get to the FEs. */
export interface ClientsConfig {
  readonly tls: TlsOptions;
  readonly trusted: BlockList | undefined;
  readonly proxyProtocol: boolean;
  readonly allowPasswordlessRoot: boolean;
}

interface Option {
  /** Flag without dashes. The environment variable is `DJP_` and the flag in upper case, `-` as `_`. */
  readonly flag: string;
  readonly argument: string;
  readonly default: string;
  readonly help: string;
  readonly repeatable?: true;
  /** Not accepted as a flag: the process list shows flags to everybody. */
  readonly secret?: true;
}

/** Every option, once: flags, environment variables, keys of the `--config` file and the help text are made of this table. */
const OPTIONS = [
  {
    flag: 'listen',
    argument: 'HOST:PORT',
    default: '127.0.0.1:9031',
    help: 'MySQL port for clients; port 0 = any free one',
  },
  {
    flag: 'fe',
    argument: 'HOST:PORT',
    default: '127.0.0.1:9030',
    help: 'query port of a Doris FE; may be given several times',
    repeatable: true,
  },
  {
    flag: 'fe-http',
    argument: 'HOST:PORT',
    default: '',
    help: 'HTTP port of a Doris FE, for Stream Load (default: the hosts of --fe, port 8030)',
    repeatable: true,
  },
  {
    flag: 'tls-cert',
    argument: 'FILE',
    default: '',
    help: 'PEM certificate chain; with --tls-key, offers TLS to clients',
  },
  { flag: 'tls-key', argument: 'FILE', default: '', help: 'PEM key of --tls-cert' },
  {
    flag: 'fe-tls',
    argument: 'WHEN',
    default: 'as-client',
    help: 'TLS to the FE: as-client (when the client has it and the FE offers it), off',
  },
  {
    flag: 'fe-tls-ca',
    argument: 'FILE',
    default: '',
    help: "PEM that the FE's certificate must be signed by (default: any certificate will do, or none)",
  },
  {
    flag: 'proxy-protocol-from',
    argument: 'CIDR',
    default: '',
    help: 'addresses whose connections begin with a PROXY header (v1, v2); may be given several times',
    repeatable: true,
  },
  {
    flag: 'fe-proxy-protocol',
    argument: 'VERSION',
    default: 'off',
    help: 'tell the FE who the client is, by a PROXY header: off, v1 (enable_proxy_protocol in fe.conf)',
  },
  {
    flag: 'allow-passwordless-root',
    argument: 'YES',
    default: 'no',
    help: 'yes: start although the FE lets root in over this proxy with any password',
  },
  {
    flag: 'processes',
    argument: 'N',
    default: '1',
    help: 'processes that serve clients; more than 1: beside one that runs the jobs',
  },
  {
    flag: 'doris-user',
    argument: 'NAME',
    default: 'root',
    help: 'service account that creates target tables and loads',
  },
  {
    flag: 'doris-password',
    argument: 'TEXT',
    default: '',
    help: 'its password; environment or file only',
    secret: true,
  },
  {
    flag: 'doris-password-file',
    argument: 'FILE',
    default: '',
    help: 'file that holds the password',
  },
  { flag: 'data-dir', argument: 'DIR', default: './data', help: 'where the catalog lives' },
  {
    flag: 'key-file',
    argument: 'FILE',
    default: '',
    help: 'key that encrypts source passwords; made when missing (default: DIR/key)',
  },
  {
    flag: 'admin',
    argument: 'HOST:PORT',
    default: '127.0.0.1:8031',
    help: 'metrics and health over HTTP; off = none',
  },
  {
    flag: 'log-level',
    argument: 'LEVEL',
    default: 'info',
    help: 'fatal, error, warn, info, debug, trace',
  },
  {
    flag: 'job-threads',
    argument: 'N',
    default: String(Math.max(1, availableParallelism() - 1)),
    help: 'threads that run jobs; started when there are jobs for them',
  },
  {
    flag: 'max-streaming-job-num',
    argument: 'N',
    default: String(SETTINGS.max_streaming_job_num.default),
    help: 'streaming jobs that may exist',
  },
  {
    flag: 'job-streaming-task-exec-thread-num',
    argument: 'N',
    default: String(SETTINGS.job_streaming_task_exec_thread_num.default),
    help: 'upper limit of --job-threads that a statement can change',
  },
  {
    flag: 'max-streaming-task-show-count',
    argument: 'N',
    default: String(SETTINGS.max_streaming_task_show_count.default),
    help: 'tasks of each job that tasks() remembers',
  },
  {
    flag: 'ssl-cert-dir',
    argument: 'DIR',
    default: '',
    help: 'PEM files that FILE:name of ssl_rootcert names',
  },
] as const satisfies readonly Option[];

type Flag = (typeof OPTIONS)[number]['flag'];
type SettingFlag = Extract<Flag, `${string}-streaming-${string}`>;

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'];

/** The text of `--help`. */
export function helpText(): string {
  const lines = OPTIONS.map((option: Option) => {
    const fallback = option.default === '' ? '' : ` [${option.default}]`;
    const name = option.secret === true ? environmentName(option.flag) : `--${option.flag}`;
    return `  ${`${name} ${option.argument}`.padEnd(38)}${option.help}${fallback}`;
  });
  return [
    'Usage: doris-job-proxy start [options]',
    '',
    'Looks like a Doris FE to every MySQL client, relays to the real one, and runs streaming jobs.',
    '',
    ...lines,
    `  ${'--config FILE'.padEnd(38)}JSON file with the options above as keys`,
    '',
    'Each option is also an environment variable: DJP_ and its name in upper case (DJP_LISTEN).',
    'A flag wins over the environment, the environment over the file.',
  ].join('\n');
}

function environmentName(flag: string): string {
  return `DJP_${flag.toUpperCase().replaceAll('-', '_')}`;
}

/**
 * Reads flags, environment and file, in this order of precedence.
 *
 * @param args What follows `start`.
 * @throws ConfigError naming the option and what it takes.
 */
export function readConfig(args: readonly string[], env: NodeJS.ProcessEnv): Config {
  const flags = parseFlags(args);
  const config = flags['config'] as string | undefined;
  const file = config === undefined ? {} : readConfigFile(config);
  const values = (flag: Flag): readonly string[] => {
    const option: Option = OPTIONS.find((found) => found.flag === flag) as Option;
    const given = flags[flag] ?? split(option, env[environmentName(flag)]) ?? file[flag];
    if (given === undefined) return option.default === '' ? [] : [option.default];
    return typeof given === 'object' ? given.map(String) : [String(given)];
  };
  const value = (flag: Flag): string => values(flag).at(-1) ?? '';

  const setting = (flag: SettingFlag): number => {
    const { min, max } = SETTINGS[flag.replaceAll('-', '_') as SettingName];
    return integer(flag, value(flag), min, max);
  };

  const frontends = values('fe').map((text) => endpoint('fe', text));
  const frontendsHttp = values('fe-http').map((text) => endpoint('fe-http', text));
  const dataDir = path.resolve(value('data-dir'));
  return {
    listen: endpoint('listen', value('listen')),
    doris: {
      frontends,
      frontendsHttp:
        frontendsHttp.length > 0
          ? frontendsHttp
          : frontends.map(({ host }) => ({ host, port: 8030 })),
      user: value('doris-user'),
      password: readPassword(value('doris-password'), value('doris-password-file')),
    },
    dataDir,
    keyFile: path.resolve(value('key-file') || path.join(dataDir, 'key')),
    admin: value('admin') === 'off' ? undefined : endpoint('admin', value('admin')),
    logLevel: oneOf('log-level', value('log-level'), LOG_LEVELS),
    clients: readClients(value, values('proxy-protocol-from')),
    processes: integer('processes', value('processes'), 1, 64),
    jobThreads: integer('job-threads', value('job-threads'), 1, 64),
    settings: {
      max_streaming_job_num: setting('max-streaming-job-num'),
      job_streaming_task_exec_thread_num: setting('job-streaming-task-exec-thread-num'),
      max_streaming_task_show_count: setting('max-streaming-task-show-count'),
    },
    certificateDir: value('ssl-cert-dir') === '' ? undefined : path.resolve(value('ssl-cert-dir')),
  };
}

type Given = Record<string, string | number | readonly (string | number)[] | undefined>;

function parseFlags(args: readonly string[]): Given {
  const options: Record<string, { type: 'string'; multiple: boolean }> = {
    config: { type: 'string', multiple: false },
  };
  for (const option of OPTIONS as readonly Option[]) {
    if (option.secret !== true) {
      options[option.flag] = { type: 'string', multiple: option.repeatable === true };
    }
  }
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    const text = (error as Error).message.split('.')[0];
    throw new ConfigError(`${text}. See doris-job-proxy --help`, { cause: error });
  }
}

function split(option: Option, text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  return option.repeatable === true ? text.split(',').map((part) => part.trim()) : [text];
}

function readConfigFile(file: string): Given {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new ConfigError(`--config ${file}: ${(cause as Error).message}`, { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new ConfigError(`--config ${file}: a JSON object is expected`);
  }
  const known = new Set<string>(OPTIONS.map((option) => option.flag));
  const unknown = Object.keys(parsed).find((key) => !known.has(key));
  if (unknown !== undefined) throw new ConfigError(`--config ${file}: unknown key "${unknown}"`);
  for (const [key, value] of Object.entries(parsed)) {
    const items: unknown[] = Array.isArray(value) ? value : [value];
    if (!items.every((item) => typeof item === 'string' || typeof item === 'number')) {
      throw new ConfigError(
        `--config ${file}: "${key}" must be a text, a number or a list of them`,
      );
    }
  }
  return parsed as Given;
}

function readPassword(given: string, file: string): string {
  if (given !== '' || file === '') return given;
  return explained('doris-password-file', () => readFileSync(file, 'utf8').replace(/\r?\n$/, ''));
}

function readClients(value: (flag: Flag) => string, ranges: readonly string[]): ClientsConfig {
  const file = (flag: Flag): Buffer | undefined =>
    value(flag) === '' ? undefined : explained(flag, () => readFileSync(value(flag)));
  const choice = (flag: Flag, yes: string, no: string): boolean =>
    oneOf(flag, value(flag), [yes, no]) === yes;
  const [cert, key] = [file('tls-cert'), file('tls-key')];
  const ca = file('fe-tls-ca');
  const frontendCa = explained('fe-tls-ca', () => certificates(ca));
  if (frontendCa && (cert === undefined || value('fe-tls') === 'off')) {
    throw new ConfigError(
      '--fe-tls-ca: without --tls-cert and --fe-tls as-client no connection to the FE is encrypted',
    );
  }
  return {
    tls: {
      server: explained('tls-cert', () => serverContext(cert, key)),
      frontend: choice('fe-tls', 'as-client', 'off'),
      frontendCa,
    },
    trusted: explained('proxy-protocol-from', () => addressRanges(ranges)),
    proxyProtocol: choice('fe-proxy-protocol', 'v1', 'off'),
    allowPasswordlessRoot: choice('allow-passwordless-root', 'yes', 'no'),
  };
}

function explained<T>(flag: Flag, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new ConfigError(`--${flag}: ${(cause as Error).message}`, { cause });
  }
}

/** `host:port`, `[v6]:port`. */
function endpoint(flag: Flag, text: string): Endpoint {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new ConfigError(`--${flag}: HOST:PORT is expected, got "${text}"`);
  }
  return { host: match[1] ?? match[2] ?? '', port };
}

function integer(flag: Flag, text: string, min: number, max: number): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < min || number > max) {
    throw new ConfigError(
      `--${flag}: a whole number from ${min} to ${max} is expected, got "${text}"`,
    );
  }
  return number;
}

function oneOf(flag: Flag, text: string, allowed: readonly string[]): string {
  if (!allowed.includes(text)) {
    throw new ConfigError(`--${flag}: one of ${allowed.join(', ')} is expected, got "${text}"`);
  }
  return text;
}
