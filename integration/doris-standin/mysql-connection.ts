import type { Socket } from 'node:net';
import { execute } from './execute.ts';
import { wireType } from './column-type.ts';
import { defaultText } from './information-schema.ts';
import {
  authSwitchPacket,
  CLIENT_CONNECT_ATTRS,
  CLIENT_CONNECT_WITH_DB,
  CLIENT_DEPRECATE_EOF,
  CLIENT_LENENC_AUTH,
  CLIENT_MULTI_STATEMENTS,
  CLIENT_PLUGIN_AUTH,
  CLIENT_PROTOCOL_41,
  columnPacket,
  eofPacket,
  errorPacket,
  framePackets,
  handshakePacket,
  newScramble,
  okPacket,
  PacketReader,
  PacketSplitter,
} from './packets.ts';
import {
  bind,
  parsePrepared,
  type Prepared,
  preparedColumns,
  preparePackets,
  readParameters,
} from './prepared.ts';
import { type ResultForm, resultPackets } from './result-writer.ts';
import type { Result } from './result.ts';
import { SessionVariables } from './session-variables.ts';
import { type Session, useDatabase } from './session.ts';
import { ddlError, notModelled, SqlError } from './sql-error.ts';
import type { State } from './state.ts';
import { splitStatements, type Statement } from './tokens.ts';
import { type Account, holds } from './users.ts';

/** What the listener lends to its connections. */
export interface ConnectionShare {
  readonly state: State;
  readonly sessions: Map<number, Session>;
  readonly globals: Map<string, string>;
}

/** Size at which gathered packets are written. */
const WRITE_BYTES = 65_536;

/** Server side of one MySQL connection (doris-target.md §4). */
export class MysqlConnection {
  private readonly socket: Socket;
  private readonly share: ConnectionShare;
  private readonly connectionId: number;
  private readonly address: string;
  private readonly splitter = new PacketSplitter();
  private readonly scramble = newScramble();
  private readonly prepared = new Map<number, Prepared>();
  private lastStatementId = 0;
  private sequence = 0;
  private outgoing: Buffer[] = [];
  private outgoingBytes = 0;
  private clientFlags = 0;
  /** By what the driver says about itself: see {@link ResultForm.cursorMarker}. */
  private marksCursors = false;
  private session: Session | undefined;
  /** User and database of a login that waits for the answer to an auth switch. */
  private pending: { readonly user: string; readonly database: string } | undefined;

  constructor(socket: Socket, connectionId: number, share: ConnectionShare) {
    this.socket = socket;
    this.share = share;
    this.connectionId = connectionId;
    this.address = socket.remoteAddress ?? '';
  }

  /** Serves until the client or KILL ends the connection. */
  async serve(): Promise<void> {
    try {
      const variables = new SessionVariables(this.share.globals);
      this.send(handshakePacket(this.connectionId, variables.get('version').value, this.scramble));
      this.flush();
      for await (const bytes of this.socket as AsyncIterable<Buffer>) {
        for (const { payload, nextSequence } of this.splitter.push(bytes)) {
          this.sequence = nextSequence;
          const goOn = await this.take(payload);
          this.flush();
          if (!goOn) return;
        }
      }
    } catch (error) {
      // A client that goes away is its own business.
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    } finally {
      this.share.sessions.delete(this.connectionId);
      this.socket.destroy();
    }
  }

  /** Packets are gathered: a row each would cost a system call each. */
  private send(payload: Buffer): void {
    this.sequence = framePackets(payload, this.sequence, (bytes) => {
      this.outgoing.push(bytes);
      this.outgoingBytes += bytes.length;
    });
    if (this.outgoingBytes > WRITE_BYTES) this.flush();
  }

  private flush(): void {
    this.socket.write(Buffer.concat(this.outgoing));
    this.outgoing = [];
    this.outgoingBytes = 0;
  }

  /** Handles one payload; false ends the connection. */
  private async take(payload: Buffer): Promise<boolean> {
    const loggedIn = this.session !== undefined;
    try {
      if (loggedIn) return await this.command(payload, this.session!);
      this.logIn(payload);
      return true;
    } catch (error) {
      if (!(error instanceof SqlError)) {
        console.error('doris-standin: a statement failed', error);
        this.send(errorPacket(notModelled(String(error))));
        return true;
      }
      this.send(errorPacket(error));
      if (loggedIn) return true;
      this.flush();
      await new Promise<void>((resolve) => this.socket.end(resolve));
      return false;
    }
  }

  private logIn(payload: Buffer): void {
    if (this.pending !== undefined) {
      const { user, database } = this.pending;
      this.pending = undefined;
      return this.finishLogin(user, database, payload);
    }
    const reader = new PacketReader(payload);
    this.clientFlags = reader.integer(4);
    if ((this.clientFlags & CLIENT_PROTOCOL_41) === 0)
      throw new SqlError(
        1251,
        'Client does not support authentication protocol requested by server',
      );
    reader.bytes(28);
    const user = reader.nulString();
    const lenenc = (this.clientFlags & CLIENT_LENENC_AUTH) !== 0;
    const answer = lenenc ? reader.lenencBytes() : reader.bytes(reader.integer(1));
    const withDatabase = (this.clientFlags & CLIENT_CONNECT_WITH_DB) !== 0 && reader.left > 0;
    const database = withDatabase ? reader.nulString() : '';
    const named = (this.clientFlags & CLIENT_PLUGIN_AUTH) !== 0 && reader.left > 0;
    const plugin = named ? reader.nulString() : 'mysql_native_password';
    const told = (this.clientFlags & CLIENT_CONNECT_ATTRS) !== 0 && reader.left > 0;
    this.marksCursors = marksCursors(told ? reader.lenencBytes() : Buffer.alloc(0));
    if (plugin === 'mysql_native_password') return this.finishLogin(user, database, answer);
    this.pending = { user, database };
    this.send(authSwitchPacket(this.scramble));
  }

  private finishLogin(userAndGroup: string, database: string, answer: Buffer): void {
    const account = this.authenticate(userAndGroup, answer);
    const { globals, sessions, state } = this.share;
    const mine = [...sessions.values()].filter((each) => each.account.user === account.user).length;
    if (mine >= state.settings.connectionsMax)
      throw new SqlError(
        1203,
        `User ${account.user} already has more than 'max_user_connections' active connections`,
      );
    const session: Session = {
      state,
      connectionId: this.connectionId,
      address: this.address,
      loginTime: new Date(),
      account,
      database: undefined,
      variables: new SessionVariables(globals),
      sessions,
      running: undefined,
      interrupt: new AbortController(),
      kill: (connection) => {
        session.interrupt.abort();
        if (connection) this.socket.destroy();
      },
    };
    if (database !== '') useDatabase(session, database);
    this.session = session;
    sessions.set(this.connectionId, session);
    this.send(okPacket(0));
  }

  /** What follows `#` in a user name is cut off (§4.1). */
  private authenticate(userAndGroup: string, answer: Buffer): Account {
    const user = userAndGroup.split('#')[0]!;
    const trimmed = answer.length === 1 && answer[0] === 0 ? Buffer.alloc(0) : answer;
    const account = this.share.state.users.authenticateNative(
      user,
      this.address,
      this.scramble,
      trimmed,
    );
    if (user !== '' && account !== undefined) return account;
    throw new SqlError(
      1045,
      `Access denied for user '${user === '' ? 'anonym' : user}@${this.address}' (using password: ${trimmed.length > 0 ? 'YES' : 'NO'})`,
    );
  }

  private get deprecateEof(): boolean {
    return (this.clientFlags & CLIENT_DEPRECATE_EOF) !== 0;
  }

  private async command(payload: Buffer, session: Session): Promise<boolean> {
    const code = payload[0]!;
    const reader = new PacketReader(payload, 1);
    switch (code) {
      case 0x01:
        return false;
      case 0x02:
        useDatabase(session, reader.rest().toString());
        break;
      case 0x03:
        await this.query(reader.rest().toString().replace(/\0+$/, ''), session);
        return true;
      case 0x04:
        this.fieldList(reader.nulString(), session);
        return true;
      // COM_STATISTICS, COM_DEBUG, COM_PING, COM_STMT_RESET, COM_SET_OPTION: OK, without effect (§4.2).
      case 0x09:
      case 0x0d:
      case 0x0e:
      case 0x1a:
      case 0x1b:
        break;
      case 0x11:
        this.changeUser(reader, session);
        return true;
      case 0x16:
        await this.prepare(reader.rest().toString(), session);
        return true;
      case 0x17:
        await this.executePrepared(reader, session);
        return true;
      case 0x19:
        this.prepared.delete(reader.integer(4));
        return true;
      case 0x1f:
        // Variables and prepared statements stay, unlike in MySQL.
        session.database = undefined;
        break;
      default:
        throw new SqlError(1047, unknownCommand(code));
    }
    this.send(okPacket(0));
    return true;
  }

  private async query(sql: string, session: Session): Promise<void> {
    const statements = splitStatements(sql);
    if (statements.length === 0) throw notModelled('empty statements');
    const all = (this.clientFlags & CLIENT_MULTI_STATEMENTS) !== 0;
    for (const [i, statement] of statements.entries()) {
      const result = await this.run(statement, session);
      const last = i === statements.length - 1;
      // Without the client's bit every statement runs and only the last one's result is sent (§4.3).
      if (all || last) await this.sendResult(result, { more: !last, binary: false });
    }
  }

  private async run(statement: Statement, session: Session): Promise<Result> {
    session.running = statement.text;
    session.interrupt = new AbortController();
    try {
      const result = await execute(statement, session);
      if (session.interrupt.signal.aborted) throw ddlError(1105, 'cancel query by user');
      return result;
    } finally {
      session.running = undefined;
    }
  }

  private async sendResult(result: Result, form: Omit<ResultForm, 'deprecateEof'>): Promise<void> {
    for (const packet of resultPackets(result, { deprecateEof: this.deprecateEof, ...form })) {
      this.send(packet);
      if (this.socket.writableNeedDrain && !this.socket.destroyed)
        await new Promise<void>((resolve) => {
          this.socket.once('drain', resolve);
          this.socket.once('close', resolve);
        });
    }
  }

  private fieldList(name: string, session: Session): void {
    const database = session.database;
    if (database === undefined) throw ddlError(1046, 'No database selected');
    const table = session.state.catalog.databases.get(database)?.tables.get(name);
    if (table === undefined || !holds(session.account, 'Select_priv', database, name))
      throw new SqlError(1109, `Unknown table(${name})`);
    for (const column of table.columns)
      this.send(
        columnPacket({
          name: column.name,
          type: wireType(column.type),
          schema: database,
          table: name,
          defaultValue: defaultText(column),
        }),
      );
    this.send(this.deprecateEof ? okPacket(0, 0, '', 0xfe) : eofPacket(0));
  }

  private changeUser(reader: PacketReader, session: Session): void {
    const user = reader.nulString();
    const answer = reader.bytes(reader.integer(1));
    const database = reader.left > 0 ? reader.nulString() : '';
    if (user === 'root' || user === 'admin')
      throw new SqlError(1045, 'Change to root or admin is forbidden');
    session.account = this.authenticate(user, answer);
    if (database !== '') useDatabase(session, database);
    this.send(okPacket(0));
  }

  private async prepare(sql: string, session: Session): Promise<void> {
    const prepared = parsePrepared(sql);
    const columns = await preparedColumns(prepared, session);
    const id = ++this.lastStatementId;
    this.prepared.set(id, prepared);
    for (const packet of preparePackets(id, prepared.parameterCount, columns, this.deprecateEof))
      this.send(packet);
  }

  private async executePrepared(reader: PacketReader, session: Session): Promise<void> {
    const prepared = this.prepared.get(reader.integer(4));
    if (prepared === undefined)
      throw new SqlError(1047, 'msg: Not supported such prepared statement');
    const cursorMarker = this.marksCursors && ((reader.payload[reader.at] ?? 0) & 1) !== 0;
    const statement = bind(prepared, readParameters(prepared, reader));
    const result = await this.run(statement, session);
    await this.sendResult(result, { more: false, binary: true, cursorMarker });
  }
}

/** Which drivers Doris takes for such that need {@link ResultForm.cursorMarker} (apache/doris#67520). */
function marksCursors(attributes: Buffer): boolean {
  const reader = new PacketReader(attributes);
  const told = new Map<string, string>();
  const text = (): string => reader.lenencBytes().toString();
  while (reader.left > 0) told.set(text(), text());
  const name = told.get('_client_name');
  if (name === undefined) return true;
  if (name !== 'MySQL Connector/J' && name !== 'MySQL Connector Java') return false;
  return !/^(?:7\.|9\.(?:[5-9]|\d\d)|\d\d)/.test(told.get('_client_version') ?? '');
}

const UNSUPPORTED: Readonly<Record<number, string>> = {
  0x18: 'COM_STMT_SEND_LONG_DATA',
  0x1c: 'COM_STMT_FETCH',
  0x0c: 'COM_PROCESS_KILL',
  0x12: 'COM_BINLOG_DUMP',
  0x1e: 'COM_BINLOG_DUMP_GTID',
  0x15: 'COM_REGISTER_SLAVE',
  0x0a: 'COM_PROCESS_INFO',
};

function unknownCommand(code: number): string {
  const name = UNSUPPORTED[code];
  return name === undefined ? `Unknown command(${code})` : `Unsupported command(${name})`;
}
