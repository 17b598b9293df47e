import { ProxyError } from '../model/error.ts';
import { SETTINGS, type SettingName } from '../model/setting.ts';
import type { ConfigStatement } from '../sql/config-statement.ts';
import type { Reply } from './commands.ts';
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
 * ADMIN SET FRONTEND CONFIG and SHOW FRONTEND CONFIG for a setting of ours. Both need ADMIN, as in Doris.
 *
 * @throws ProxyError PRIVILEGE, STATEMENT
 */
export async function runConfigStatement(
  settings: Settings,
  statement: ConfigStatement,
  rights: Rights,
): Promise<Reply> {
  rights.expectAdmin();
  const { name } = statement;
  if (statement.kind === 'showConfig') {
    const row = [name, String(settings.get(name)), 'int', 'true', 'true', ''];
    return { kind: 'rows', columns: CONFIG_COLUMNS, rows: [row] };
  }
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
