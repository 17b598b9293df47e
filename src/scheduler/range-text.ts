import type { TaskRange } from '../model/job.ts';
import type { MysqlPosition, Position } from '../model/offset.ts';
import { lsnText } from '../source/postgres/lsn.ts';

/** What a task covers, in the words of who has to look at the source. */
export function rangeText(range: TaskRange): string {
  if (range.kind === 'stream') {
    const end = range.to === undefined ? '' : ` up to ${positionText(range.to)}`;
    return `the changes after ${positionText(range.from)}${end}`;
  }
  const [first, ...more] = range.splits;
  if (first === undefined) return 'a part of a split of the copy';
  const last = more.at(-1);
  return last === undefined
    ? `split ${first.splitId} of the copy`
    : `splits ${first.splitId} to ${last.splitId} of the copy`;
}

/** `binlog.000003:154`, `0/16B3748`: as the servers' own tools take it. */
function positionText(position: Position): string {
  const at = position.kind === 'postgres' ? lsnText(BigInt(position.lsn)) : binlogText(position);
  return position.event === 0 ? at : `${at} (row event ${position.event})`;
}

function binlogText({ file, pos, gtids }: MysqlPosition): string {
  return file === '' ? gtids : `${file}:${pos}`;
}
