/** Where a server listens. IPv6 addresses without brackets. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** The Doris cluster, and the service account that jobs create tables and load with. */
export interface DorisAccount {
  /** Query ports, in the order in which they are tried. */
  readonly frontends: readonly Endpoint[];
  readonly frontendsHttp: readonly Endpoint[];
  readonly user: string;
  readonly password: string;
}

/** `host:port`, as `--listen` takes it. */
export function endpointText({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
