import type { MysqlPosition, Position } from '../model/offset.ts';

/** Whether `a` is a place of the log before `b`, as far as that can be said: false for positions that cannot be compared. */
export function isBefore(a: Position | undefined, b: Position | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  if (a.kind === 'postgres') {
    if (b.kind !== 'postgres') return false;
    const [lsnA, lsnB] = [BigInt(a.lsn), BigInt(b.lsn)];
    return lsnA === lsnB ? a.event < b.event : lsnA < lsnB;
  }
  return b.kind === 'mysql' && isBinlogBefore(a, b);
}

function isBinlogBefore(a: MysqlPosition, b: MysqlPosition): boolean {
  // Another server numbers its files on its own; one that was put in another's place shows other GTIDs.
  if (a.serverUuid !== b.serverUuid || a.file === '' || b.file === '') return false;
  if (a.file !== b.file) return a.gtids === b.gtids && fileNumber(a.file) < fileNumber(b.file);
  return a.pos === b.pos ? a.event < b.event : a.pos < b.pos;
}

/** `binlog.000012` -> 12; the number grows beyond six digits. */
function fileNumber(file: string): number {
  return Number(file.slice(file.lastIndexOf('.') + 1));
}
