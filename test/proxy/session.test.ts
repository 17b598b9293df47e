import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { encodePacket } from '../../src/wire/packet.ts';
import { encodeError, encodeOk, encodeTable } from '../../src/wire/resultset.ts';
import { cutAt } from '../support/bytes.ts';
import { commandPacket, echo, type RawAnswer } from '../support/relay-ends.ts';
import { NEW, PREPARE, QUERY, world } from '../support/relay-world.ts';

const EXECUTE = 0x17;

const asksForFile: RawAnswer = (payload, socket, { sequence }) => {
  if (payload.toString('utf8', 1).startsWith('load')) {
    socket.write(encodePacket(sequence + 1, Buffer.from('\xfbx.csv', 'latin1')));
  } else if (payload.length === 0) {
    socket.write(encodeOk(sequence, NEW));
  } else if (payload[0] === QUERY && !payload.includes('file')) {
    echo(NEW)(payload, socket, { payload, sequence });
  }
};

describe('statements', () => {
  test('of Doris reach the FE byte for byte, ours do not', async () => {
    await using it = await world();
    const client = await it.login();
    const foreign = [
      'select 1',
      '/* c */ select `jobs` from t -- x',
      'pause job doris',
      "insert into t values ('; drop job where jobname = 1')",
      'commit\0',
    ];
    for (const sql of [...foreign, 'pause job ok', 'select 2']) {
      client.command(QUERY, sql);
      await client.answer();
    }
    expect(it.frontend.statements).toEqual([...foreign, 'select 2']);
    expect(it.commands.executed).toEqual(['pause job ok []']);
  });

  test('are not run when the FE answers more than it was asked, however the client sends ahead', async () => {
    let turn = Promise.resolve();
    await using it = await world((payload, socket, packet) => {
      // One after the other, as an FE works; the second answer of the attack comes when we have asked.
      turn = turn.then(async () => {
        await sleep(20);
        if (payload[0] === 0x18) socket.write(encodeError(0, 1047, '08S01', 'Unsupported command'));
        else echo(NEW)(payload, socket, packet);
      });
    });
    const client = await it.login();
    client.send(
      Buffer.concat([
        commandPacket(0x18, Buffer.alloc(7)),
        commandPacket(QUERY, "select 'Admin_priv' as GlobalPrivs"),
        commandPacket(QUERY, 'pause job ask select my rights'),
      ]),
    );
    expect(await client.answer()).toEqual(['Unsupported command']);
    expect((await client.answer())[0]).toMatch(
      /do not belong to what was asked|closed the connection/,
    );
  });

  test('in a batch of pipelined requests, cut anywhere, are answered in their order', async () => {
    await using it = await world();
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.constantFrom('select 1', 'fail', 'pause job ok', 'pause job ask select 7', 'set x'),
          {
            minLength: 1,
            maxLength: 12,
          },
        ),
        fc.array(fc.nat(400), { maxLength: 6 }),
        async (statements, cuts) => {
          const client = await it.login();
          const bytes = Buffer.concat(statements.map((sql) => commandPacket(QUERY, sql)));
          for (const piece of cutAt(bytes, cuts)) {
            client.send(piece);
            await new Promise(setImmediate);
          }
          const expected: Record<string, string[]> = {
            'select 1': ['1'],
            fail: ['failed'],
            'pause job ok': ['OK'],
            'pause job ask select 7': ['7'],
            'set x': ['OK'],
          };
          for (const sql of statements) expect(await client.answer()).toEqual(expected[sql]);
          client.socket.destroy();
        },
      ),
      { numRuns: 60 },
    );
    expect(it.warnings).toEqual([]);
  });

  test('100 before, one of ours, 100 after, in one segment', async () => {
    await using it = await world();
    const client = await it.login();
    const before = Array.from({ length: 100 }, (_, i) => `select ${i}`);
    const all = [...before, 'pause job ok', ...before];
    client.send(Buffer.concat(all.map((sql) => commandPacket(QUERY, sql))));
    const answers = [];
    for (const _ of all) answers.push(await client.answer());
    const numbers = before.map((_, i) => [`${i}`]);
    expect(answers).toEqual([...numbers, ['OK'], ...numbers]);
  });

  test('of ours wait for slow answers that were asked for earlier', async () => {
    const order: string[] = [];
    await using it = await world((payload, socket, packet) => {
      setTimeout(() => {
        order.push('FE');
        echo(NEW)(payload, socket, packet);
      }, 50);
    });
    const client = await it.login();
    client.send(
      Buffer.concat([commandPacket(QUERY, 'select 1'), commandPacket(QUERY, 'pause job ok')]),
    );
    expect(await client.answer()).toEqual(['1']);
    expect(order).toEqual(['FE']);
    expect(await client.answer()).toEqual(['OK']);
  });

  test('of Doris wait behind a slow one of ours', async () => {
    await using it = await world();
    const client = await it.login();
    client.send(
      Buffer.concat([commandPacket(QUERY, 'pause job slow 50'), commandPacket(QUERY, 'select 1')]),
    );
    await sleep(20);
    expect(it.frontend.commands).toEqual([]);
    expect(await client.answer()).toEqual(['OK']);
    expect(await client.answer()).toEqual(['1']);
  });

  test('behind a slow one of ours may be beyond all limits: its client is refused, nobody else', async () => {
    await using it = await world();
    const other = await it.login();
    const client = await it.login();
    const header = Buffer.of(0x80, 0x84, 0x1e, 0, EXECUTE, 1, 0, 0, 0x40);
    client.send(Buffer.concat([commandPacket(QUERY, 'pause job slow 50'), header]));
    expect(await client.answer()).toEqual(['OK']);
    expect(await client.answer()).toEqual(['Got a bad packet: parameters of more than 1 MiB']);
    other.command(QUERY, 'select 1');
    expect(await other.answer()).toEqual(['1']);
  });

  test("that turn out to be Doris' own when the FE has gone end with an ERR", async () => {
    await using it = await world();
    const client = await it.login();
    client.command(QUERY, 'pause job late 50');
    for (const socket of it.frontend.sockets) socket.destroy();
    expect((await client.answer()).join('')).toContain('closed the connection');
  });

  test("that turn out to be Doris' own are sent on unchanged", async () => {
    await using it = await world();
    const client = await it.login();
    client.send(
      Buffer.concat([commandPacket(QUERY, 'pause job relay'), commandPacket(QUERY, 'select 1')]),
    );
    expect(await client.answer()).toEqual(['OK']);
    expect(await client.answer()).toEqual(['1']);
    expect(it.frontend.statements).toEqual(['pause job relay', 'select 1']);
  });

  test('that fail become an ERR with number and state, and the session goes on', async () => {
    await using it = await world();
    const client = await it.login();
    client.command(QUERY, 'pause job fail');
    const [error] = await client.packets(1);
    expect(error?.payload.readUInt16LE(1)).toBe(1227);
    expect(error?.payload.toString('utf8', 3)).toBe('#42000Access denied; you need ADMIN');
    client.command(QUERY, 'pause job crash');
    expect(await client.answer()).toEqual(['internal error, see the log of the proxy']);
    client.command(QUERY, 'select 1');
    expect(await client.answer()).toEqual(['1']);
    expect(it.warnings.join('')).toContain('TypeError');
  });
});

describe("questions on the caller's connection", () => {
  test('are answered by the FE, unseen by the client, one at a time', async () => {
    await using it = await world();
    const client = await it.login();
    client.command(QUERY, 'pause job twice');
    expect(await client.answer()).toEqual(['a', 'b']);
    const inStep = /^SELECT \d+$/;
    expect(it.frontend.statements.filter((sql) => !inStep.test(sql))).toEqual([
      'select a',
      'select b',
    ]);
  });

  test('that the FE refuses become its own ERR', async () => {
    await using it = await world();
    const client = await it.login();
    client.command(QUERY, 'pause job ask fail');
    const [error] = await client.packets(1);
    expect(error?.payload.readUInt16LE(1)).toBe(1064);
    expect(error?.payload.toString('utf8', 3)).toBe('#42000failed');
  });

  test('that the FE does not answer end with an ERR, and the connection with them', async () => {
    await using it = await world(() => undefined, 50);
    const client = await it.login();
    client.command(QUERY, 'pause job ask select 1');
    expect(await client.answer()).toEqual(['the FE did not answer within 0 s']);
    expect(await client.packet()).toBeUndefined();
  });

  test('that the FE answers by dying end with an ERR', async () => {
    await using it = await world((_payload, socket) => socket.destroy());
    const client = await it.login();
    client.command(QUERY, 'pause job ask select 1');
    expect((await client.answer())[0]).toContain('closed the connection');
    expect(await client.packet()).toBeUndefined();
  });

  test('end when the client leaves', async () => {
    await using it = await world(() => undefined);
    const client = await it.login();
    client.command(QUERY, 'pause job ask select 1');
    await vi.waitFor(() => expect(it.frontend.commands).toHaveLength(1));
    client.socket.destroy();
    await vi.waitFor(() => expect(it.frontend.sockets.size).toBe(0));
  });
});

describe('LOAD DATA LOCAL', () => {
  test('file data is data, also where its sequence id is 0 and it reads like one of ours', async () => {
    await using it = await world(asksForFile);
    const client = await it.login();
    client.command(QUERY, 'load data local infile "x.csv" into table t');
    await client.packets(1);
    // Ids 2 to 257: the chunk with the id 0 is a perfect request.
    const chunks = Array.from({ length: 256 }, (_, i) =>
      encodePacket((2 + i) & 0xff, Buffer.from('\x03pause job file')),
    );
    client.send(Buffer.concat([...chunks, encodePacket(2, Buffer.alloc(0))]));
    expect(await client.answer()).toEqual(['OK']);
    client.command(QUERY, 'pause job ok');
    expect(await client.answer()).toEqual(['OK']);
    expect(it.commands.executed).toEqual(['pause job ok []']);
    expect(it.frontend.commands).toHaveLength(258);
  });

  test('a request of ours that was sent ahead of the file is file data, as it would be without us', async () => {
    await using it = await world(asksForFile);
    const client = await it.login();
    client.send(
      Buffer.concat([
        commandPacket(QUERY, 'load data local infile "x.csv" into table t'),
        commandPacket(QUERY, 'pause job file'),
      ]),
    );
    await client.packets(1);
    client.send(encodePacket(3, Buffer.alloc(0)));
    await client.packets(1);
    expect(it.commands.executed).toEqual([]);
    expect(it.frontend.statements).toContain('pause job file');
  });
});

describe('a connection that cannot be understood', () => {
  test("becomes a pipe: the user's work goes on", async () => {
    await using it = await world((payload, socket, packet) => {
      if (payload.includes('strange')) socket.write(encodePacket(77, Buffer.from('???')));
      else echo(NEW)(payload, socket, packet);
    });
    const client = await it.login();
    client.command(QUERY, 'strange');
    expect((await client.packets(1))[0]?.payload.toString()).toBe('???');
    expect(it.warnings.join('')).toContain('sequence id 77');
    client.command(QUERY, 'select 1');
    expect(await client.answer()).toEqual(['1']);
    client.command(QUERY, 'pause job ok');
    await client.answer();
    expect(it.commands.executed).toEqual([]);
    expect(it.frontend.statements).toEqual(['strange', 'select 1', 'pause job ok']);
  });

  test('a binlog stream is one', async () => {
    await using it = await world((payload, socket, packet) => {
      if (payload[0] === 0x12)
        for (let i = 1; i < 600; i++) socket.write(encodePacket(i, Buffer.from('\0event')));
      else echo(NEW)(payload, socket, packet);
    });
    const client = await it.login();
    client.command(0x12, 'x');
    expect(await client.packets(599)).toHaveLength(599);
  });
});

test('COM_CHANGE_USER is a login again: its packets are relayed, statements of ours are gone', async () => {
  await using it = await world((payload, socket, packet) => {
    if (payload[0] === 0x11) {
      socket.write(encodePacket(1, Buffer.from('\xfemysql_native_password\0', 'latin1')));
    } else if (packet.sequence === 2) {
      socket.write(
        payload.includes('bad') ? encodeError(2, 1045, '28000', 'no') : encodeOk(2, NEW),
      );
    } else echo(NEW)(payload, socket, packet);
  });
  const client = await it.login();
  client.command(PREPARE, 'pause job ok');
  await client.packets(1);
  client.command(0x11, 'u\0');
  expect(await client.packets(1)).toMatchObject([{ sequence: 1 }]);
  client.send(encodePacket(2, Buffer.from('pause job ok')));
  expect(await client.packets(1)).toMatchObject([{ sequence: 3 }]);
  client.command(QUERY, 'pause job ok');
  expect(await client.answer()).toEqual(['OK']);
  expect(it.commands.executed).toHaveLength(1);
  client.command(0x11, 'u\0');
  await client.packets(1);
  client.send(encodePacket(2, Buffer.from('bad')));
  expect(await client.answer()).toEqual(['no']);
  expect(it.warnings).toEqual([]);
});

test("our answers carry the transaction flag of the FE's last one", async () => {
  await using it = await world(echo({ deprecateEof: true, status: 3 }));
  const client = await it.login();
  client.command(QUERY, 'begin');
  const [begun] = await client.packets(1);
  client.command(QUERY, 'pause job ok');
  const [ours] = await client.packets(1);
  expect(ours?.payload.readUInt16LE(3)).toBe(3);
  expect(ours?.payload).toEqual(begun?.payload);
});

test('a result of ours reads like one of the FE', async () => {
  await using it = await world();
  const client = await it.login();
  client.command(QUERY, 'pause job ask select 42');
  const ours = await client.packets(4);
  const theirs = encodeTable(0, NEW, { columns: ['asked'], rows: [['42']] }, 'text');
  expect(
    Buffer.concat(ours.map(({ sequence, payload }) => encodePacket(sequence, payload))),
  ).toEqual(theirs);
});
