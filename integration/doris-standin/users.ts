import { createHash, timingSafeEqual } from 'node:crypto';
import { SYSTEM_DATABASES } from './catalog.ts';
import { ddlError, refusal } from './sql-error.ts';

export const PRIVILEGES = [
  'Node_priv',
  'Admin_priv',
  'Grant_priv',
  'Select_priv',
  'Load_priv',
  'Alter_priv',
  'Create_priv',
  'Drop_priv',
  'Show_view_priv',
] as const;

export type Privilege = (typeof PRIVILEGES)[number];

/** `*.*.*` has no part, `internal.*.*` only the catalog, `db.*` no table. */
export interface Scope {
  readonly catalog?: string;
  readonly database?: string;
  readonly table?: string;
}

export interface Account {
  readonly user: string;
  /** A LIKE pattern over client addresses. */
  readonly host: string;
  /** Hex of SHA1(SHA1(password)), empty for no password. */
  passwordHash: string;
  readonly comment: string;
  /** Key: the scope's parts joined with dots, empty for global. */
  readonly grants: Record<string, Privilege[]>;
}

const sha1 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

function hashPassword(password: string): string {
  return password === '' ? '' : sha1(sha1(Buffer.from(password))).toString('hex');
}

function scopeKey({ catalog, database, table }: Scope): string {
  return [catalog, database, table].filter((part) => part !== undefined).join('.');
}

/** `'u'@'h'`, as Doris prints an identity. */
export function identity({ user, host }: Pick<Account, 'user' | 'host'>): string {
  return `'${user}'@'${host}'`;
}

function hostMatches(pattern: string, address: string): boolean {
  const escaped = pattern.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('%', '.*').replaceAll('_', '.')}$`).test(address);
}

/** Accounts, passwords and grants (doris-target.md §5). */
export class Users {
  private readonly accounts: Account[];
  private readonly changed: (stored: string) => Promise<void>;

  constructor(stored: string | undefined, changed: (stored: string) => Promise<void>) {
    this.accounts = stored === undefined ? [] : (JSON.parse(stored) as Account[]);
    this.changed = changed;
    if (this.accounts.length === 0)
      for (const user of ['root', 'admin'])
        this.accounts.push({
          user,
          host: '%',
          passwordHash: '',
          comment: user.toUpperCase(),
          grants: { '': user === 'root' ? ['Node_priv', 'Admin_priv'] : ['Admin_priv'] },
        });
  }

  private save(): Promise<void> {
    return this.changed(JSON.stringify(this.accounts));
  }

  all(): readonly Account[] {
    return this.accounts;
  }

  find(user: string, host: string): Account {
    const account = this.accounts.find((each) => each.user === user && each.host === host);
    if (account === undefined) throw refusal(`user ${identity({ user, host })} does not exist`);
    return account;
  }

  /** The account for a client: an exact host goes before a pattern. */
  private candidates(user: string, address: string): Account[] {
    const matching = this.accounts.filter(
      (account) => account.user === user && hostMatches(account.host, address),
    );
    return matching.toSorted((a, b) => Number(a.host.includes('%')) - Number(b.host.includes('%')));
  }

  /** `answer` is SHA1(p) xor SHA1(scramble + SHA1(SHA1(p))) of `mysql_native_password`, empty without a password. */
  authenticateNative(
    user: string,
    address: string,
    scramble: Buffer,
    answer: Buffer,
  ): Account | undefined {
    return this.candidates(user, address).find(({ passwordHash }) => {
      if (passwordHash === '' || answer.length !== 20)
        return passwordHash === '' && answer.length === 0;
      const stored = Buffer.from(passwordHash, 'hex');
      const mask = sha1(scramble, stored);
      return timingSafeEqual(sha1(answer.map((byte, i) => byte ^ mask[i]!)), stored);
    });
  }

  authenticatePlain(user: string, address: string, password: string): Account | undefined {
    const hash = hashPassword(password);
    return this.candidates(user, address).find(({ passwordHash }) => passwordHash === hash);
  }

  async create(user: string, host: string, password: string, comment = ''): Promise<void> {
    if (!/^[a-zA-Z][a-zA-Z0-9.\-_]*$/.test(user)) throw refusal(`invalid user name: ${user}`);
    this.accounts.push({ user, host, passwordHash: hashPassword(password), comment, grants: {} });
    await this.save();
  }

  exists(user: string, host: string): boolean {
    return this.accounts.some((account) => account.user === user && account.host === host);
  }

  async drop(user: string, host: string): Promise<void> {
    this.accounts.splice(this.accounts.indexOf(this.find(user, host)), 1);
    await this.save();
  }

  async setPassword(account: Account, password: string): Promise<void> {
    account.passwordHash = hashPassword(password);
    await this.save();
  }

  async grant(account: Account, scope: Scope, privileges: readonly Privilege[]): Promise<void> {
    const key = scopeKey(scope);
    account.grants[key] = [...new Set([...(account.grants[key] ?? []), ...privileges])];
    await this.save();
  }

  async revoke(account: Account, scope: Scope, privileges: readonly Privilege[]): Promise<void> {
    const key = scopeKey(scope);
    const held = account.grants[key];
    if (held === undefined || !privileges.every((privilege) => held.includes(privilege)))
      throw refusal(`${identity(account)} does not have the privileges to revoke`);
    const left = held.filter((privilege) => !privileges.includes(privilege));
    if (left.length > 0) account.grants[key] = left;
    else delete account.grants[key];
    await this.save();
  }
}

/** Whether an account holds a privilege on a place or on one that contains it. ADMIN implies all but NODE. */
export function holds(
  account: Account,
  privilege: Privilege,
  database?: string,
  table?: string,
): boolean {
  if (privilege === 'Select_priv' && database !== undefined && SYSTEM_DATABASES.includes(database))
    return database !== '__internal_schema' || holds(account, 'Admin_priv');
  const scopes: Scope[] = [{}, { catalog: 'internal' }];
  if (database !== undefined) scopes.push({ catalog: 'internal', database });
  if (database !== undefined && table !== undefined)
    scopes.push({ catalog: 'internal', database, table });
  return scopes.some((scope) => {
    const held = account.grants[scopeKey(scope)] ?? [];
    return held.includes(privilege) || (held.includes('Admin_priv') && privilege !== 'Node_priv');
  });
}

/** Whether an account holds anything on a database or inside it: such a database is shown to it. */
export function seesDatabase(account: Account, database: string): boolean {
  if (SYSTEM_DATABASES.includes(database)) return true;
  return Object.keys(account.grants).some(
    (key) =>
      key === '' ||
      key === 'internal' ||
      key === `internal.${database}` ||
      key.startsWith(`internal.${database}.`),
  );
}

/** @throws SqlError 1142, 1225 or 1227 when the privilege is missing (§3.6). */
export function requirePrivilege(
  account: Account,
  privilege: Privilege,
  database?: string,
  table?: string,
): void {
  if (holds(account, privilege, database, table)) return;
  const word = privilege.replace('_priv', '').toUpperCase();
  if (database === undefined)
    throw ddlError(
      1227,
      `Access denied; you need (at least one of) the (${word}) privilege(s) for this operation`,
    );
  if (table === undefined)
    throw ddlError(1044, `Access denied for user ${identity(account)} to database '${database}'`);
  throw ddlError(
    1142,
    `${word} command denied to user ${identity(account)} for table '${database}: ${table}'`,
  );
}
