import { ProxyError } from '../model/error.ts';
import { SETTINGS, type SettingName } from '../model/setting.ts';
import type { ConfigStatement } from '../sql/config-statement.ts';
import type { Caller, FrontendRows, Reply } from './commands.ts';
import type { Rights } from './rights.ts';

/** Settings of streaming jobs as they count now. */
export interface Settings {
  get(name: SettingName): number;
  /** Kept over restarts, and wins over the configuration from then on. */
  set(name: SettingName, value: number): Promise<void>;
}

/** Columns of SHOW FRONTEND CONFIG (Doris manual, "SHOW FRONTEND CONFIG"). */
export const CONFIG_COLUMNS = ['Key', 'Value', 'Type', 'IsMutable', 'MasterOnly', 'Comment'];

/**
 * ADMIN SET FRONTEND CONFIG and SHOW FRONTEND CONFIG for settings of ours. Both need ADMIN, as in Doris.
 *
 * @param sql the statement as written, which Doris answers where its own settings are asked for too.
 * @throws ProxyError PRIVILEGE, STATEMENT
 */
export async function runConfigStatement(
  settings: Settings,
  statement: ConfigStatement,
  {
    sql,
    caller,
    rights,
  }: { readonly sql: string; readonly caller: Caller; readonly rights: Rights },
): Promise<Reply> {
  rights.expectAdmin();
  if (statement.kind === 'showConfig') {
    return { kind: 'rows', columns: CONFIG_COLUMNS, rows: [configRow(settings, statement.name)] };
  }
  if (statement.kind === 'showConfigs') {
    const ours = statement.names.map((name) => configRow(settings, name));
    return { kind: 'rows', columns: CONFIG_COLUMNS, rows: merged(await caller.ask(sql), ours) };
  }
  const { name } = statement;
  const { min, max } = SETTINGS[name];
  const text = statement.value.trim();
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < min || value > max) {
    throw new ProxyError(
      'STATEMENT',
      `Config '${name}' takes a whole number from ${min} to ${max}, got '${statement.value}'`,
    );
  }
  await settings.set(name, value);
  return { kind: 'ok' };
}

function configRow(settings: Settings, name: SettingName): readonly string[] {
  return [name, String(settings.get(name)), 'int', 'true', 'true', ''];
}

/** Releases of Doris with streaming jobs of their own have these settings too; what counts is ours. By name, as Doris lists them. */
function merged(
  theirs: FrontendRows,
  ours: readonly (readonly string[])[],
): readonly (readonly (string | null)[])[] {
  const places = CONFIG_COLUMNS.map((name) =>
    theirs.columns.findIndex((column) => column.toLowerCase() === name.toLowerCase()),
  );
  const names = new Set(ours.map(([name]) => name));
  const others = theirs.rows
    .map((row) => places.map((place) => row[place] ?? null))
    .filter(([name]) => !names.has(name ?? ''));
  return [...others, ...ours].toSorted(([a], [b]) => ((a ?? '') < (b ?? '') ? -1 : 1));
}
