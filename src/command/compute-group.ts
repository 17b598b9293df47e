import { ProxyError } from '../model/error.ts';
import type { PropertyList } from '../sql/job-statement.ts';
import type { Caller } from './commands.ts';

/** It goes into an HTTP header. */
const PRINTABLE = /^[\x21-\x7e]+$/;

/**
 * The job property `compute_group`: where the job's loads run in a cluster that decouples compute from storage (job-sql.md §5.2). Doris
 * lists the groups that the caller may use.
 *
 * @throws ProxyError STATEMENT; FrontendError when Doris does not list its groups.
 */
export async function expectComputeGroup(caller: Caller, list: PropertyList): Promise<void> {
  const group = list.get('compute_group');
  if (group === undefined) return;
  if (group.trim() === '') throw refuse('compute_group cannot be empty');
  // doris-target.md §6: how a cluster says what it is.
  const { rows: about } = await caller.ask('SELECT @@version_comment');
  if (!/\(Cloud Mode\)\s*$/i.test(about[0]?.[0] ?? '')) {
    throw refuse('compute_group is only supported in cloud mode');
  }
  const { rows } = await caller.ask('SHOW COMPUTE GROUPS');
  if (!PRINTABLE.test(group) || !rows.some(([name]) => name === group)) {
    throw refuse(
      `compute_group ${group} is not among those that you may use (SHOW COMPUTE GROUPS); GRANT USAGE_PRIV ON COMPUTE GROUP gives the right`,
    );
  }
}

function refuse(message: string): ProxyError {
  return new ProxyError('STATEMENT', message);
}
