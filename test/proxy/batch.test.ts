import { expect, test } from 'vitest';
import { Capability } from '../../src/wire/handshake.ts';
import { encodePacket } from '../../src/wire/packet.ts';
import { Status } from '../../src/wire/resultset.ts';
import { echo, type RawAnswer, type RawClient } from '../support/relay-ends.ts';
import { NEW, PREPARE, QUERY, world } from '../support/relay-world.ts';

const MULTI = Capability.PROTOCOL_41 | Capability.DEPRECATE_EOF | Capability.MULTI_STATEMENTS;

/** All results of one packet: what each says, in order; ids must run on without a gap. */
async function results(client: RawClient): Promise<string[]> {
  const said: string[] = [];
  let sequence = 0;
  const next = async (): Promise<Buffer> => {
    const [packet] = await client.packets(1);
    expect(packet?.sequence).toBe(++sequence & 0xff);
    return packet?.payload ?? Buffer.alloc(0);
  };
  for (;;) {
    const first = await next();
    let end = first;
    if (first[0] === 0xff) {
      said.push(first.toString('utf8', 9));
      return said;
    }
    if (first[0] === 0) said.push('OK');
    else {
      for (let i = 0; i < (first[0] ?? 0); i++) await next();
      for (end = await next(); end[0] !== 0xfe; end = await next()) {
        said.push(end.toString('utf8', 1));
      }
    }
    if ((end.readUInt16LE(3) & Status.MORE_RESULTS) === 0) return said;
  }
}

test.each([
  ['pause job ok; select 2; select 3', ['OK', '2', '3']],
  ['select 1; pause job ok; select 3', ['1', 'OK', '3']],
  ['select 1;set x;pause job ask select 7', ['1', 'OK', '7']],
  ['pause job ok;pause job slow 5', ['OK', 'OK']],
  ['select 1;fail;pause job ok;select 2', ['1', 'failed']],
  ['pause job fail;select 1', ['Access denied; you need ADMIN'.slice(0, 13)]],
  ['select 1; pause job relay; select 2', ['1', 'OK', '2']],
])('%s', async (sql, expected) => {
  await using it = await world();
  const client = await it.login(MULTI);
  client.command(QUERY, sql);
  const said = await results(client);
  expect(said.map((text, i) => text.slice(0, expected[i]?.length))).toEqual(expected);
  // The session goes on.
  client.command(QUERY, 'select 9');
  expect(await client.answer()).toEqual(['9']);
});

test('a job statement behind an error is not run, and nothing behind a refused one', async () => {
  await using it = await world();
  const client = await it.login(MULTI);
  client.command(QUERY, 'select 1;fail;pause job ok');
  await results(client);
  client.command(QUERY, 'pause job fail;insert x');
  await results(client);
  expect(it.commands.executed).toEqual(['pause job fail []']);
  expect(it.frontend.statements).toEqual(['select 1', 'fail']);
});

test('without several results all run, and the last or the failing one is answered', async () => {
  await using it = await world();
  const client = await it.login();
  client.command(QUERY, 'select 1;pause job ok;select 3');
  expect(await results(client)).toEqual(['3']);
  client.command(QUERY, 'select 1;fail;select 3;pause job ok');
  expect(await results(client)).toEqual(['failed']);
  expect(it.frontend.statements).toEqual(['select 1', 'select 3', 'select 1', 'fail']);
});

test('results of many rows keep their ids running, without DEPRECATE_EOF too', async () => {
  const old = { deprecateEof: false, status: 2 };
  const rows = Array.from({ length: 300 }, (_, i) =>
    encodePacket(4 + i, Buffer.from(`\x03${100 + i}`)),
  );
  const many: RawAnswer = (payload, socket, packet) => {
    if (!payload.includes('many')) echo(old)(payload, socket, packet);
    else {
      const name = Buffer.from('\x03def\0\0\0\x01x\x01x\x0c!\0\0\0\0\0\xfe\0\0\0\0\0', 'latin1');
      const eof = Buffer.from([0xfe, 0, 0, 2, 0]);
      socket.write(
        Buffer.concat([
          encodePacket(1, Buffer.of(1)),
          encodePacket(2, name),
          encodePacket(3, eof),
          ...rows,
          encodePacket(304, eof),
        ]),
      );
    }
  };
  await using it = await world(many);
  const client = await it.login(Capability.PROTOCOL_41 | Capability.MULTI_STATEMENTS);
  client.command(QUERY, 'many;pause job ok');
  const packets = await client.packets(305);
  expect(packets.map(({ sequence }) => sequence)).toEqual(
    Array.from({ length: 305 }, (_, i) => (i + 1) & 0xff),
  );
  expect(packets[2]?.payload).toEqual(Buffer.from([0xfe, 0, 0, 2 | Status.MORE_RESULTS, 0]));
  expect(packets[303]?.payload).toEqual(Buffer.from([0xfe, 0, 0, 2 | Status.MORE_RESULTS, 0]));
  expect(packets[304]?.payload[0]).toBe(0);
});

test('LOAD DATA LOCAL in a batch gets no file and ends it with a reason', async () => {
  await using it = await world((payload, socket, packet) => {
    if (payload.includes('load')) socket.write(encodePacket(1, Buffer.from('\xfbx', 'latin1')));
    else echo(NEW)(payload, socket, packet);
  });
  const client = await it.login(MULTI);
  client.command(QUERY, 'load x;pause job ok');
  expect(await results(client)).toEqual(['LOAD DATA LOCAL must be sent alone, not in a batch']);
  client.command(QUERY, 'select 1');
  expect(await client.answer()).toEqual(['1']);
  expect(it.commands.executed).toEqual([]);
});

test('a batch is not prepared', async () => {
  await using it = await world();
  const client = await it.login(MULTI);
  client.command(PREPARE, 'pause job ok;select 1');
  expect((await client.answer())[0]).toMatch(/one statement/);
});
