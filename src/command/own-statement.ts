import { ProxyError } from '../model/error.ts';
import { recognize, type Recognized } from '../sql/recognize.ts';
import type { Caller, OwnStatement, Parameter, Reply } from './commands.ts';
import { CONFIG_COLUMNS } from './frontend-config.ts';
import { describeTvf, tvfForm } from './tvf-command.ts';

/** One statement of ours: never a batch. */
export interface OwnText {
  readonly sql: string;
  readonly recognized: Exclude<Recognized, { kind: 'batch' | 'describe' }>;
}

/** Runs a statement as {@link OwnStatement.execute} says. */
export type RunOwn = (
  own: OwnText,
  parameters: readonly Parameter[],
  caller: Caller,
) => Promise<Reply | 'relay'>;

/**
 * What can be said of a statement from its text alone; undefined: it is not ours. Only `run` needs jobs, so that a process without any
 * can recognise statements and have another one run them.
 */
export function ownStatement(sql: string, run: RunOwn): OwnStatement | undefined {
  const recognized = recognize(sql);
  return recognized && formOf(sql, recognized, run);
}

function formOf(sql: string, recognized: Recognized, run: RunOwn): OwnStatement {
  if (recognized.kind === 'batch') {
    return {
      parameterCount: 0,
      columns: [],
      batch: recognized.parts.map((part) => ({
        sql: part.sql,
        own: part.recognized && formOf(part.sql, part.recognized, run),
      })),
      execute: () =>
        Promise.reject(
          new ProxyError('STATEMENT', 'Only one statement can be prepared or run here'),
        ),
    };
  }
  if (recognized.kind === 'describe') return describeTvf(recognized.table);
  const own: OwnText = { sql, recognized };
  return {
    ...shapeOf(own, run),
    execute: (parameters, caller) => run(own, parameters, caller),
  };
}

function shapeOf(own: OwnText, run: RunOwn): Omit<OwnStatement, 'execute'> {
  const { recognized } = own;
  if (recognized.kind === 'query') return tvfForm(recognized.query);
  if (recognized.kind === 'native') {
    return {
      parameterCount: 0,
      columns: [],
      async describe(caller) {
        // Refused, or Doris' to prepare.
        await run(own, [], caller);
        return 'relay';
      },
    };
  }
  const shows = recognized.kind === 'config' && recognized.statement.kind !== 'setConfig';
  return { parameterCount: 0, columns: shows ? CONFIG_COLUMNS : [] };
}
