import { expect, test } from 'vitest';
import {
  FrontendError,
  type Caller,
  type Commands,
  type Parameter,
  type Reply,
} from '../../src/command/commands.ts';
import { ProxyError } from '../../src/model/error.ts';
import {
  OwnerCommands,
  StatementServer,
  type Peer,
  type ToClients,
  type ToOwner,
} from '../../src/proxy/owner-link.ts';

/** Both ends of a channel between two processes: whatever is sent is cloned, and arrives later. */
function channel(): [Peer<ToClients, ToOwner>, Peer<ToOwner, ToClients>] {
  let toOwner: ((message: ToOwner) => void) | undefined;
  let toClients: ((message: ToClients) => void) | undefined;
  return [
    {
      send: (message) => void setImmediate((clone) => toClients?.(clone), structuredClone(message)),
      listen: (hear) => (toOwner = hear),
    },
    {
      send: (message) => void setImmediate((clone) => toOwner?.(clone), structuredClone(message)),
      listen: (hear) => (toClients = hear),
    },
  ];
}

/** A process for clients, and the owner, who runs every statement by `execute`. */
function link(
  execute: (
    sql: string,
    parameters: readonly Parameter[],
    from: Caller,
  ) => Promise<Reply | 'relay'>,
): { readonly commands: Commands; readonly server: StatementServer } {
  const [clients, owner] = channel();
  const commands: Commands = {
    recognize: (sql) => ({
      parameterCount: 0,
      columns: [],
      execute: (parameters, from) => execute(sql, parameters, from),
    }),
  };
  return { server: new StatementServer(clients, commands), commands: new OwnerCommands(owner) };
}

async function run(
  commands: Commands,
  sql: string,
  from: Caller,
  parameters: readonly Parameter[] = [],
): Promise<Reply | 'relay'> {
  const own = commands.recognize(sql);
  if (own === undefined) throw new Error(`not ours: ${sql}`);
  return await own.execute(parameters, from);
}

const drop = (name: string): string => `DROP JOB WHERE jobname = '${name}'`;
const DROP = drop('j');

const caller = (ask: Caller['ask']): Caller => ({ address: '10.0.0.7:4711', ask });
const mute = caller(() => Promise.reject(new Error('not to be asked')));

test('a statement runs at the owner, with its parameters, and asks over its client’s session', async () => {
  const { commands } = link(async (sql, parameters, from) => {
    const { rows } = await from.ask('select current_user()');
    return {
      kind: 'rows',
      columns: ['a'],
      rows: [[sql], [from.address], [String(parameters)], ...rows],
    };
  });
  const asking = caller((sql) =>
    Promise.resolve({ columns: ['u'], rows: [[`answer to ${sql}`], [null]] }),
  );
  expect(await run(commands, DROP, asking, [1, 2n ** 63n, null, 'x'])).toEqual({
    kind: 'rows',
    columns: ['a'],
    rows: [
      [DROP],
      ['10.0.0.7:4711'],
      ['1,9223372036854775808,,x'],
      ['answer to select current_user()'],
      [null],
    ],
  });
});

test('what is not ours is not asked for, and what turns out to be Doris’ is relayed', async () => {
  const { commands } = link(() => Promise.resolve('relay'));
  expect(commands.recognize('select 1')).toBeUndefined();
  expect(await run(commands, DROP, mute)).toBe('relay');
  const batch = commands.recognize(`select 1; ${DROP}`)?.batch;
  expect(await batch?.[1]?.own?.execute([], mute)).toBe('relay');
});

test('statements run beside each other, and each gets its own answer', async () => {
  const { commands } = link(async (sql, _parameters, from) => {
    const { columns } = await from.ask(sql);
    return { kind: 'rows', columns, rows: [] };
  });
  const asking = caller((sql) => Promise.resolve({ columns: [sql], rows: [] }));
  const replies = await Promise.all(
    ['a', 'b', 'c'].map((name) => run(commands, drop(name), asking)),
  );
  expect(
    replies.map((reply) => reply !== 'relay' && reply.kind === 'rows' && reply.columns),
  ).toEqual(['a', 'b', 'c'].map((name) => [drop(name)]));
});

test('an error of the owner is the same error here', async () => {
  const errors = [
    new ProxyError('PRIVILEGE', 'denied by us'),
    new FrontendError(1045, '28000', 'denied by the FE'),
    new TypeError('a bug'),
  ];
  const { commands } = link((_sql, [n]) => Promise.reject(errors[Number(n)]!));
  await expect(run(commands, DROP, mute, [0])).rejects.toEqual(errors[0]);
  await expect(run(commands, DROP, mute, [1])).rejects.toEqual(errors[1]);
  await expect(run(commands, DROP, mute, [2])).rejects.toEqual(new Error('a bug'));
});

test('an error of the FE that the statement asks is the same error at the owner', async () => {
  const denied = new FrontendError(1227, '42000', 'no');
  const seen: unknown[] = [];
  const { commands } = link(async (_sql, _parameters, from) => {
    await from.ask('show grants').catch((error: unknown) => seen.push(error));
    return { kind: 'ok' };
  });
  await run(
    commands,
    DROP,
    caller(() => Promise.reject(denied)),
  );
  expect(seen[0]).toBeInstanceOf(FrontendError);
  expect(seen[0]).toMatchObject({ errno: 1227, sqlState: '42000', message: 'no' });
});

test('a statement whose client’s process has ended does not wait for it', async () => {
  const failures: unknown[] = [];
  const { commands, server } = link(async (_sql, _parameters, from) => {
    const answer = from.ask('show grants');
    server[Symbol.dispose]();
    await answer.catch((error: unknown) => failures.push(error));
    // Nor does what it asks later.
    await from.ask('select 1').catch((error: unknown) => failures.push(error));
    return { kind: 'ok' };
  });
  await run(commands, DROP, mute);
  const gone = new ProxyError('STATEMENT', 'The process that served the client has ended');
  expect(failures).toEqual([gone, gone]);
});
