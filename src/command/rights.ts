import { ProxyError } from '../model/error.ts';
import type { Caller, FrontendRows } from './commands.ts';

/** Doris' catalog of its own tables. */
const CATALOG = 'internal';
/** Columns of SHOW GRANTS below the global level; an entry of the n-th names n things. */
const LEVELS = ['CatalogPrivs', 'DatabasePrivs', 'TablePrivs'] as const;

/**
 * Who a caller is and what they may do, as Doris says it over the caller's own connection. Read anew for every statement, because a
 * GRANT or REVOKE counts from the next statement on.
 */
export class Rights {
  /** User name without host: what `Definer` shows. */
  readonly user: string;
  /** Privilege names in lower case (`load_priv`), by `''` (global), `internal`, `internal.db`, `internal.db.table`. */
  readonly #granted: ReadonlyMap<string, ReadonlySet<string>>;

  private constructor(user: string, granted: ReadonlyMap<string, ReadonlySet<string>>) {
    this.user = user;
    this.#granted = granted;
  }

  /** @throws FrontendError when the FE does not answer SHOW GRANTS. */
  static async of(caller: Caller): Promise<Rights> {
    return Rights.parse(await caller.ask('SHOW GRANTS'));
  }

  /** Columns are found by name: releases differ in their number (doris-target.md §5). */
  static parse(grants: FrontendRows): Rights {
    const column = (name: string): number =>
      grants.columns.findIndex((found) => found.toLowerCase() === name.toLowerCase());
    const granted = new Map<string, Set<string>>();
    const add = (scope: string, text: string): void => {
      const names = granted.get(scope) ?? new Set();
      for (const [name] of text.matchAll(/\w+_priv/gi)) names.add(name.toLowerCase());
      granted.set(scope, names);
    };
    for (const row of grants.rows) {
      add('', row[column('GlobalPrivs')] ?? '');
      LEVELS.forEach((level, depth) => {
        for (const entry of (row[column(level)] ?? '').split(';')) {
          const end = entry.lastIndexOf(':');
          if (end > 0) add(scopeName(entry.slice(0, end), depth + 1), entry.slice(end + 1));
        }
      });
    }
    return new Rights(userName(grants.rows[0]?.[column('UserIdentity')] ?? ''), granted);
  }

  mayLoad(database: string): boolean {
    return this.#has('load_priv', [CATALOG, `${CATALOG}.${database}`]);
  }

  mayCreate(database: string, table: string): boolean {
    const scope = `${CATALOG}.${database}`;
    return this.#has('create_priv', [CATALOG, scope, `${scope}.${table}`]);
  }

  /** @throws ProxyError DATABASE_ACCESS */
  expectLoad(database: string): void {
    if (this.mayLoad(database)) return;
    throw new ProxyError(
      'DATABASE_ACCESS',
      `${needed('LOAD')} on database ${database} for this operation`,
    );
  }

  /** @throws ProxyError PRIVILEGE */
  expectAdmin(): void {
    if (this.#has('admin_priv', [])) return;
    throw new ProxyError('PRIVILEGE', `${needed('ADMIN')} for this operation`);
  }

  /** @throws ProxyError TABLE_ACCESS */
  expectCreate(database: string, table: string): void {
    if (this.mayCreate(database, table)) return;
    throw new ProxyError(
      'TABLE_ACCESS',
      `${needed('CREATE')} on table ${table} for this operation`,
    );
  }

  #has(privilege: string, scopes: readonly string[]): boolean {
    return ['', ...scopes].some((scope) => {
      const names = this.#granted.get(scope);
      // ADMIN stands for everything but NODE.
      return names?.has(privilege) === true || names?.has('admin_priv') === true;
    });
  }
}

function needed(privilege: string): string {
  return `Access denied; you need (at least one of) the (${privilege}) privilege(s)`;
}

/** `internal.db`, `internal.db.*`, and of old releases `default_cluster:db`, all as `internal.db`. */
function scopeName(written: string, depth: number): string {
  const name = written.trim().replaceAll('`', '').replaceAll('default_cluster:', '');
  const parts = name.split('.').filter((part) => part !== '*');
  return (parts.length < depth && parts[0] !== CATALOG ? [CATALOG, ...parts] : parts).join('.');
}

/** `'root'@'%'`, `root@%`, and of old releases `'default_cluster:root'@'%'`. */
function userName(identity: string): string {
  const name =
    /^'?(?<name>.*?)'?(?:@['[%].*)?$/.exec(identity.trim())?.groups?.['name'] ?? identity;
  return name.replace('default_cluster:', '');
}
