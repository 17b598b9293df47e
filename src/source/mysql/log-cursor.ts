import { ProxyError } from '../../model/error.ts';
import type { MysqlPosition } from '../../model/offset.ts';
import { COPY_ANEW } from '../copy-anew.ts';
import type { EventHeader } from './binlog-event.ts';
import { CODE } from './event-codes.ts';
import type { ExecutedGtids } from './gtid-set.ts';

const WRAP = 2 ** 32;
const HEARTBEATS: ReadonlySet<number> = new Set([CODE.HEARTBEAT, CODE.HEARTBEAT_V2]);

/** Where a cursor begins: a position on a known server. */
export interface CursorStart {
  readonly from: MysqlPosition;
  readonly serverUuid: string;
  /** The set that `from.gtids` stands for; undefined when file and offset are what counts. */
  readonly gtids: ExecutedGtids | undefined;
}

/**
 * Where in the log a stream is. Events are noted as they come; {@link position} is what a later stream can start from:
 * the end of the last complete group of events, or the start of the open one and how many of its row events are done.
 */
export class LogCursor {
  readonly #start: CursorStart;
  readonly #sameServer: boolean;
  #file: string;
  #fileSec: number | undefined;
  /** Behind the last event, as a 64-bit offset: headers have its low 32 bits only. */
  #end: number;
  #endBefore: number;
  #groupStart: number;
  #groupGtid: string | undefined;
  #inGroup = false;
  #rowEvents = 0;
  #serverId: string;
  #tsSec: number;

  constructor(start: CursorStart) {
    const { from } = start;
    this.#start = start;
    this.#sameServer = from.serverUuid === '' || from.serverUuid === start.serverUuid;
    this.#file = from.file;
    this.#end = from.pos;
    this.#endBefore = from.pos;
    this.#groupStart = from.pos;
    this.#serverId = from.serverId;
    this.#tsSec = from.tsSec;
  }

  get file(): string {
    return this.#file;
  }

  /** Between the first and the last event of a transaction or DDL statement. */
  get inGroup(): boolean {
    return this.#inGroup;
  }

  get groupStart(): number {
    return this.#groupStart;
  }

  /** Row events of the open group so far. */
  get rowEvents(): number {
    return this.#rowEvents;
  }

  get end(): number {
    return this.#end;
  }

  /** Notes an event of the file. The server's own insertions (heartbeats, the repeated Format description) have no place in it. */
  pass(header: EventHeader): void {
    this.#endBefore = this.#end;
    if (header.artificial) return;
    if (header.timestampSec !== 0) this.#tsSec = header.timestampSec;
    this.#serverId = String(header.serverId);
    if (header.nextPosition !== 0) this.#end = extend(header.nextPosition, this.#end);
    // Some MariaDB versions leave the offset out inside of a transaction; outside it marks the repeated Format description.
    else if (this.#inGroup && !HEARTBEATS.has(header.code)) this.#end += header.size;
  }

  /** The event just passed could not be read: {@link position} is in front of it again. */
  stepBack(): void {
    this.#end = this.#endBefore;
  }

  rotate(file: string, position: number): void {
    this.#file = file;
    this.#end = position;
    this.#fileSec = undefined;
  }

  /**
   * The Format description of the file has come, with the time when the file was begun.
   *
   * @throws ProxyError POSITION_LOST when a file of this name is another one than the job has read.
   */
  describeFile(timestampSec: number): void {
    const { from, gtids } = this.#start;
    if (timestampSec !== 0) this.#fileSec = timestampSec;
    // MariaDB's servers have no identity: under an address there may be another one, where GTIDs alone count.
    const known = this.#sameServer && (gtids === undefined || gtids.canHaveGaps);
    if (!known || this.#file !== from.file || from.fileSec === undefined) return;
    if (this.#fileSec === undefined || this.#fileSec === from.fileSec) return;
    throw new ProxyError(
      'POSITION_LOST',
      `the server has begun its log anew: ${from.file} is not the file of that name that was read before. ${COPY_ANEW}`,
    );
  }

  /** The event just passed begins a group. */
  beginGroup(eventBytes: number, gtid: string | undefined): void {
    this.#inGroup = true;
    this.#groupStart = this.#end - eventBytes;
    this.#groupGtid = gtid;
    this.#rowEvents = 0;
  }

  countRowEvent(): void {
    this.#rowEvents++;
  }

  /** The event just passed ends the group: its transaction is executed. */
  endGroup(): void {
    if (this.#groupGtid !== undefined) this.#start.gtids?.add(this.#groupGtid);
    this.#groupGtid = undefined;
    this.#inGroup = false;
    this.#rowEvents = 0;
  }

  /** Whether a group can be left out of the position while later ones are in it: only a MySQL GTID set has gaps. */
  get canLeaveOut(): boolean {
    return this.#start.gtids?.canHaveGaps ?? false;
  }

  /** Takes the open group's GTID away, so that it does not count as executed; undefined where that is not possible. */
  leaveGroup(): string | undefined {
    if (!this.canLeaveOut) return undefined;
    const gtid = this.#groupGtid;
    this.#groupGtid = undefined;
    return gtid;
  }

  /** A group that was left out counts as executed now. */
  addLeftOut(gtid: string): void {
    this.#start.gtids?.add(gtid);
  }

  position(): MysqlPosition {
    const { from, gtids, serverUuid } = this.#start;
    let [file, pos] = [this.#file, this.#inGroup ? this.#groupStart : this.#end];
    let fileSec = this.#fileSec;
    // A dump by GTIDs begins with the file that may hold the first missing one: an older one than we had reached.
    if (this.#sameServer && !this.#inGroup && isBefore(file, pos, from)) {
      [file, pos, fileSec] = [from.file, from.pos, from.fileSec];
    }
    return {
      kind: 'mysql',
      file,
      pos,
      gtids: gtids?.toString() ?? '',
      event: this.#rowEvents,
      serverId: this.#serverId,
      serverUuid,
      tsSec: this.#tsSec,
      ...(fileSec === undefined ? {} : { fileSec }),
    };
  }

  /** Whether `until` is exactly here. GTIDs decide where there are any: they mean the same on another server. */
  isAt(until: MysqlPosition): boolean {
    const { gtids, serverUuid } = this.#start;
    if (gtids === undefined || until.gtids === '') {
      const here = this.position();
      return here.file === until.file && here.pos === until.pos && here.event === until.event;
    }
    // Another server may have cut the transaction into other events; it is then loaded whole after this batch.
    const event = until.serverUuid === serverUuid ? until.event : 0;
    return this.#rowEvents === event && gtids.toString() === until.gtids;
  }

  /** Whether `until` was passed without being met: it is no place in this log. Asked between groups. */
  isPast(until: MysqlPosition): boolean {
    const { gtids, serverUuid } = this.#start;
    if (until.serverUuid === serverUuid) return isBefore(until.file, until.pos, this.position());
    return gtids?.reached(until.gtids) ?? false;
  }
}

/** The 64-bit offset with these low 32 bits that is nearest to `near`, and not behind it by a wrap. */
function extend(low: number, near: number): number {
  const offset = near - (near % WRAP) + low;
  return offset < near - WRAP / 2 ? offset + WRAP : offset;
}

interface FilePosition {
  readonly file: string;
  readonly pos: number;
}

/** Names end in a number that grows a digit after 999999. */
function isBefore(file: string, pos: number, other: FilePosition): boolean {
  if (file === other.file) return pos < other.pos;
  if (file.length !== other.file.length) return file.length < other.file.length;
  return file < other.file;
}
