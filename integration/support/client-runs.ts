import { expect } from 'vitest';
import type { mariadbCli } from '../servers.ts';
import type { ClientRun, Seen } from './client-programs.ts';
import type { HostPort } from './proxy.ts';
import { comparable, type CliResult } from './test-relay.ts';

/** A driver and its options; `large`: with values of many MB. */
export interface Variant {
  readonly client: string;
  readonly options: string;
  readonly large?: boolean;
}

/** A server, and the proxy in front of it. */
export interface Ways {
  readonly direct: HostPort;
  readonly relayed: HostPort;
  /** The server itself offers TLS, as the proxy does. */
  readonly serverTls: boolean;
  readonly kind: 'doris' | 'mysql';
  readonly user: string;
  readonly password: string;
}

/** What options say of TLS, and what they say where there is none. */
const TLS_OFF = [
  ['sslMode=REQUIRED', 'sslMode=DISABLED'],
  ['sslMode=trust', 'sslMode=disable'],
  ['tls=skip-verify', 'tls=false'],
  ['tls', 'plain'],
] as const;

function withoutTls(options: string): string {
  const [on, off] = TLS_OFF.find(([each]) => options.includes(each)) ?? ['', ''];
  return options.replace(on, off);
}

export const nameOf = ({ client, options }: Variant): string => `${client} "${options}"`;

/** Each variant directly, then through the proxy. */
export function relayRuns(ways: Ways, variants: readonly Variant[]): ClientRun[] {
  const { kind, user, password, serverTls } = ways;
  return variants.flatMap((variant) =>
    (['direct', 'relayed'] as const).map((way): ClientRun => {
      const plain = way === 'direct' && !serverTls;
      return {
        name: `${way} ${nameOf(variant)}`,
        script: 'relay',
        client: variant.client,
        at: ways[way],
        options: plain ? withoutTls(variant.options) : variant.options,
        user,
        password,
        argument: variant.large ? `${kind} large` : kind,
      };
    }),
  );
}

/** Cases that are meant to fail. */
const MEANT = /error|wrong password|read only/;

/** Directly and through the proxy: the same, and no case failed that was to succeed. */
export function expectSame(seen: ReadonlyMap<string, Seen> | undefined, name: string): void {
  const [direct, relayed] = [seen?.get(`direct ${name}`), seen?.get(`relayed ${name}`)];
  const failed = Object.entries(direct ?? {}).filter(
    ([what, [first]]) => first === 'ERROR' && !MEANT.test(what),
  );
  expect(failed).toEqual([]);
  expect(direct?.['wrong password']).toContain('1045');
  expect(Object.keys(direct ?? {}).length).toBeGreaterThan(10);
  expect(relayed).toEqual(direct);
}

/** What a command line prints for the same statements on both ways, with the results' types and going on after errors. */
export async function cliResults(
  ways: Ways,
  cli: typeof mariadbCli,
  options: readonly string[],
  statements: string,
): Promise<readonly [direct: CliResult, relayed: CliResult]> {
  const results: CliResult[] = [];
  for (const way of ['direct', 'relayed'] as const) {
    const { host, port } = ways[way];
    const plain = way === 'direct' && !ways.serverTls;
    const chosen = plain ? options.filter((each) => each !== '--ssl') : options;
    const login = [`-h${host}`, `-P${port}`, `-u${ways.user}`, `--password=${ways.password}`];
    const how = ['--force', '--comments', '--column-type-info', '--show-warnings', '-vv'];
    const result = comparable(await cli([...login, ...chosen, ...how], statements));
    // Doris names each INSERT.
    const stdout = result.stdout.replaceAll(/'(label|txnId)':'[^']*'/g, "'$1'");
    results.push({ ...result, stdout });
  }
  const [direct, relayed] = results;
  if (direct === undefined || relayed === undefined) throw new Error('no result');
  return [direct, relayed];
}
