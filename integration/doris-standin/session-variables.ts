import { ddlError } from './sql-error.ts';

type Kind = 'integer' | 'boolean' | 'text';

interface Definition {
  readonly kind: Kind;
  readonly initial: string;
  readonly readOnly?: true;
}

const integer = (initial: number | string): Definition => ({
  kind: 'integer',
  initial: String(initial),
});
const text = (initial: string): Definition => ({ kind: 'text', initial });
const bool = (initial: boolean): Definition => ({ kind: 'boolean', initial: String(initial) });
const fixed = (definition: Definition): Definition => ({ ...definition, readOnly: true });

/** The variables that drivers ask for (doris-target.md §4.6, §4.9); a name that is not here is 1193. */
const DEFINITIONS: Readonly<Record<string, Definition>> = {
  version: fixed(text('5.7.99')),
  version_comment: fixed(text('')),
  license: fixed(text('Apache License, Version 2.0')),
  language: fixed(text('/palo/share/english/')),
  init_connect: text(''),
  lower_case_table_names: fixed(integer(0)),
  performance_schema: fixed(text('OFF')),
  query_cache_size: integer(1_048_576),
  query_cache_type: integer(0),
  system_time_zone: fixed(text('Etc/UTC')),
  time_zone: text('Etc/UTC'),
  default_password_lifetime: integer(0),
  read_only: bool(true),
  super_read_only: bool(true),
  character_set_client: text('utf8mb4'),
  character_set_connection: text('utf8mb4'),
  character_set_results: text('utf8mb4'),
  character_set_server: text('utf8mb4'),
  character_set_database: text('utf8mb4'),
  collation_connection: text('utf8mb4_0900_bin'),
  collation_database: text('utf8mb4_0900_bin'),
  collation_server: text('utf8mb4_0900_bin'),
  sql_auto_is_null: bool(false),
  sql_select_limit: integer('9223372036854775807'),
  max_allowed_packet: integer(16_777_216),
  auto_increment_increment: integer(1),
  interactive_timeout: integer(3600),
  wait_timeout: integer(28_800),
  net_write_timeout: integer(600),
  net_read_timeout: integer(600),
  net_buffer_length: fixed(integer(16_384)),
  autocommit: bool(true),
  tx_isolation: text('REPEATABLE-READ'),
  transaction_isolation: text('REPEATABLE-READ'),
  // Booleans of Doris' SessionVariable: Connector/J reads them as numbers.
  tx_read_only: bool(false),
  transaction_read_only: bool(false),
  sql_mode: text('ONLY_FULL_GROUP_BY'),
  sql_safe_updates: bool(false),
  event_scheduler: text('OFF'),
  query_timeout: integer(900),
  insert_timeout: integer(14_400),
  enable_insert_strict: bool(true),
  insert_max_filter_ratio: text('1.0'),
  require_sequence_in_insert: bool(true),
  show_hidden_columns: bool(false),
  enable_unique_key_partial_update: bool(false),
  enable_nereids_planner: bool(true),
  enable_fallback_to_original_planner: bool(true),
  group_commit: text('off_mode'),
  exec_mem_limit: integer(2_147_483_648),
  parallel_pipeline_task_num: integer(0),
  enable_sql_cache: bool(false),
};

function unknown(name: string): Error {
  return ddlError(1193, `Unknown system variable '${name}',the similar variables are {}`);
}

/** A value as `SELECT @@x` shows it. */
export interface VariableValue {
  readonly kind: Kind;
  readonly value: string;
}

/** The variables of one session over those of the FE. */
export class SessionVariables {
  private readonly globals: Map<string, string>;
  private readonly own = new Map<string, string>();

  /** `globals` is shared by all sessions: what SET GLOBAL changes. */
  constructor(globals: Map<string, string>) {
    this.globals = globals;
  }

  get(name: string): VariableValue {
    const key = name.toLowerCase();
    const definition = DEFINITIONS[key];
    if (definition === undefined) throw unknown(name);
    const value = this.own.get(key) ?? this.globals.get(key) ?? definition.initial;
    return { kind: definition.kind, value };
  }

  isOn(name: string): boolean {
    return this.get(name).value === 'true';
  }

  /** @throws SqlError 1193 unknown, 1238 read-only, 1231 a value that the kind does not take. */
  set(name: string, value: string, global: boolean): void {
    const key = name.toLowerCase();
    const definition = DEFINITIONS[key];
    if (definition === undefined) throw unknown(name);
    if (definition.readOnly) throw ddlError(1238, `Variable '${name}' is a read only variable`);
    const stored = normalise(name, definition, value);
    // SET GLOBAL changes the setting session too, and new sessions; others keep what they have set.
    if (global) this.globals.set(key, stored);
    this.own.set(key, stored);
  }

  /** `[name, value, default, changed]` of all, by name. */
  rows(): string[][] {
    return Object.keys(DEFINITIONS)
      .toSorted()
      .map((name) => {
        const { value } = this.get(name);
        const initial = this.globals.get(name) ?? DEFINITIONS[name]!.initial;
        return [name, value, initial, value === initial ? '0' : '1'];
      });
  }
}

function normalise(name: string, { kind, initial }: Definition, value: string): string {
  const wrong = ddlError(1231, `Variable '${name}' can't be set to the value of '${value}'`);
  if (value.toUpperCase() === 'DEFAULT') return initial;
  if (kind === 'boolean') {
    if (/^(?:1|true|on)$/i.test(value)) return 'true';
    if (/^(?:0|false|off)$/i.test(value)) return 'false';
    throw wrong;
  }
  if (kind === 'integer' && !/^-?\d+$/.test(value)) throw wrong;
  return value;
}

/** `4.0.1` of `Doris version doris-4.0.1-…`. */
export function readDorisVersion(comment: string): string {
  return /version\D*(\d+\.\d+\.\d+)/.exec(comment)?.[1] ?? '';
}
