import { describe, expect, test, vi } from 'vitest';
import { Capability } from '../../src/wire/handshake.ts';
import { encodePacket } from '../../src/wire/packet.ts';
import { encodeOk, encodePrepared } from '../../src/wire/resultset.ts';
import { commandPacket, echo, type RawClient } from '../support/relay-ends.ts';
import { NEW, PREPARE, QUERY, world } from '../support/relay-world.ts';

const EXECUTE = 0x17;
const FIRST_ID = 0x40_00_00_00;
const execute = (id: number, rest: readonly number[] = []): Buffer => {
  const head = Buffer.from([EXECUTE, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
  head.writeUInt32LE(id, 1);
  return encodePacket(0, Buffer.concat([head, Buffer.from(rest)]));
};
const withId = (command: number, id: number, rest: Buffer = Buffer.alloc(0)): Buffer => {
  const head = Buffer.from([command, 0, 0, 0, 0]);
  head.writeUInt32LE(id, 1);
  return encodePacket(0, Buffer.concat([head, rest]));
};
const SQL = 'select * from jobs("type"="insert") where a = ? and b = ?';
const prepare = async (client: RawClient, sql: string, definitions: number): Promise<number> => {
  client.command(PREPARE, sql);
  const [first] = await client.packets(1 + definitions);
  expect(first?.payload[0]).toBe(0);
  return first?.payload.readUInt32LE(1) ?? 0;
};
/** Column `a` of the one row. */
const row = async (client: RawClient): Promise<string> => {
  const packets = await client.packets(5);
  const payload = packets[3]?.payload ?? Buffer.alloc(0);
  expect([payload[0], payload[1]]).toEqual([0, 0b1000]);
  return payload.toString('utf8', 3);
};

const connectorJ = (version: string): Record<string, string> => ({
  _client_name: 'MySQL Connector/J',
  _client_version: version,
});

describe('prepared statements of ours', () => {
  test('have ids of their own, typed parameters and binary rows; types are remembered', async () => {
    await using it = await world();
    const client = await it.login();
    const id = await prepare(client, SQL, 4);
    expect(id).toBe(FIRST_ID);
    client.send(execute(id, [0, 1, 3, 0, 254, 0, 5, 0, 0, 0, 1, 0x78]));
    expect(await row(client)).toBe('number:5,string:x');
    client.send(execute(id, [0b10, 0, 6, 0, 0, 0]));
    expect(await row(client)).toBe('number:6,object:null');
    expect(it.frontend.commands).toEqual([]);
  });

  test('take long data in pieces; RESET forgets it; CLOSE and long data have no answer', async () => {
    await using it = await world();
    const client = await it.login();
    const id = await prepare(client, SQL, 4);
    const long = (text: string): Buffer =>
      withId(0x18, id, Buffer.concat([Buffer.from([0, 0]), Buffer.from(text)]));
    const bothText = [0, 1, 252, 0, 254, 0];
    client.send(Buffer.concat([long('ab'), long('cd'), execute(id, [...bothText, 1, 0x78])]));
    expect(await row(client)).toBe('string:abcd,string:x');
    client.send(Buffer.concat([long('zz'), withId(0x1a, id)]));
    expect(await client.answer()).toEqual(['OK']);
    client.send(execute(id, [...bothText, 1, 0x79, 1, 0x78]));
    expect(await row(client)).toBe('string:y,string:x');
    client.send(Buffer.concat([withId(0x19, id), execute(id)]));
    const [error] = await client.packets(1);
    expect(error?.payload.readUInt16LE(1)).toBe(1243);
  });

  test('FETCH, unknown ids and ids from before a reset are answered with 1243', async () => {
    await using it = await world();
    const client = await it.login();
    const id = await prepare(client, SQL, 4);
    const numbers: number[] = [];
    const failWith = async (packet: Buffer): Promise<void> => {
      client.send(packet);
      const [error] = await client.packets(1);
      numbers.push(error?.payload.readUInt16LE(1) ?? 0);
    };
    await failWith(withId(0x1c, id, Buffer.from([1, 0, 0, 0])));
    await failWith(execute(id + 1));
    client.command(0x1f);
    expect(await client.answer()).toEqual(['OK']);
    await failWith(execute(id));
    expect(numbers).toEqual([1243, 1243, 1243]);
  });

  test('cut short are a malformed packet, and the session goes on', async () => {
    await using it = await world();
    const client = await it.login();
    const id = await prepare(client, SQL, 4);
    client.send(execute(id, [0, 1, 3]));
    const [error] = await client.packets(1);
    expect(error?.payload.readUInt16LE(1)).toBe(1835);
    client.command(QUERY, 'select 1');
    expect(await client.answer()).toEqual(['1']);
  });

  test('10,000 of them are closed again', async () => {
    await using it = await world();
    const client = await it.login();
    const ids = new Set<number>();
    for (let i = 0; i < 10_000; i++) {
      client.command(PREPARE, 'pause job ok');
      const [ok] = await client.packets(1);
      const id = ok?.payload.readUInt32LE(1) ?? 0;
      ids.add(id);
      client.send(withId(0x19, id));
    }
    expect(ids.size).toBe(10_000);
  });

  test('are limited: the one too many is refused', async () => {
    await using it = await world();
    const client = await it.login();
    const count = 16_383;
    client.send(
      Buffer.concat(Array.from({ length: count }, () => commandPacket(PREPARE, 'pause job ok'))),
    );
    const packets = await client.packets(count);
    expect(packets.at(-2)?.payload[0]).toBe(0);
    expect(packets.at(-1)?.payload.readUInt16LE(1)).toBe(1461);
  });

  test('are limited by their bytes too, long data included, and what is closed is free again', async () => {
    await using it = await world();
    const client = await it.login();
    const sql = `${SQL} /* ${'x'.repeat(60_000)} */`;
    const ids: number[] = [];
    let refused: number | undefined;
    while (refused === undefined && ids.length < 1_000) {
      client.command(PREPARE, sql);
      const [first] = await client.packets(1);
      if (first?.payload[0] === 0xff) refused = first.payload.readUInt16LE(1);
      else ids.push((await client.packets(4), first?.payload.readUInt32LE(1) ?? 0));
    }
    expect(refused).toBe(1461);
    expect(ids.length).toBeLessThan(200);
    // One byte at a time, more than may be kept: the statement is refused, the session goes on.
    const byte = withId(0x18, ids[0]!, Buffer.from([0, 0, 0x61]));
    client.send(Buffer.concat(Array.from({ length: 20_000 }, () => byte)));
    client.send(execute(ids[0]!, [0, 1, 252, 0, 254, 0, 1, 0x78]));
    const [error] = await client.packets(1);
    expect(error?.payload[0]).toBe(0xff);
    client.send(withId(0x19, ids[1]!));
    await prepare(client, SQL, 4);
  });

  test('"the one prepared last" is ours or the FE\'s, whichever came last', async () => {
    await using it = await world((payload, socket, packet) => {
      if (payload[0] === PREPARE) {
        const statement = { id: 1, columns: [], parameterCount: 0 };
        socket.write(encodePrepared(0, NEW, statement));
      } else echo(NEW)(payload, socket, packet);
    });
    const client = await it.login();
    client.send(Buffer.concat([commandPacket(PREPARE, 'pause job ok'), execute(0xff_ff_ff_ff)]));
    await client.packets(1);
    expect(await client.answer()).toEqual(['OK']);
    expect(it.frontend.commands).toEqual([]);
    client.send(Buffer.concat([commandPacket(PREPARE, 'set x'), execute(0xff_ff_ff_ff)]));
    await client.packets(1);
    expect(await client.answer()).toEqual(['OK']);
    expect(it.frontend.commands).toHaveLength(2);
  });

  test("that turn out to be Doris' own are prepared there, and executed with their types", async () => {
    const seen: Buffer[] = [];
    await using it = await world((payload, socket, packet) => {
      if (payload[0] === PREPARE) {
        const statement = { id: 9, columns: [], parameterCount: 1 };
        socket.write(encodePrepared(0, NEW, statement));
      } else if (payload[0] === EXECUTE) {
        seen.push(payload);
        socket.write(encodeOk(0, NEW));
      } else echo(NEW)(payload, socket, packet);
    });
    const client = await it.login();
    const id = await prepare(client, 'pause job relay ?', 1);
    client.send(execute(id, [0, 1, 3, 0, 5, 0, 0, 0]));
    expect(await client.answer()).toEqual(['OK']);
    client.send(execute(id, [0, 0, 6, 0, 0, 0]));
    expect(await client.answer()).toEqual(['OK']);
    expect(seen.map((payload) => [payload.readUInt32LE(1), [...payload.subarray(10)]])).toEqual([
      [9, [0, 1, 3, 0, 5, 0, 0, 0]],
      [9, [0, 1, 3, 0, 6, 0, 0, 0]],
    ]);
    client.send(withId(0x19, id));
    await vi.waitFor(() =>
      expect(it.frontend.commands.at(-1)).toEqual(Buffer.from([0x19, 9, 0, 0, 0])),
    );
    expect(it.frontend.statements.filter((sql) => sql === 'pause job relay ?')).toHaveLength(1);
  });

  test('with the EOF packets of older clients', async () => {
    await using it = await world();
    const client = await it.login(Capability.PROTOCOL_41);
    const id = await prepare(client, SQL, 6);
    client.send(execute(id, [0, 1, 6, 0, 6, 0]));
    const packets = await client.packets(6);
    expect(packets.map((packet) => packet.payload[0])).toEqual([2, 3, 3, 0xfe, 0, 0xfe]);
  });

  const FLAGS =
    Capability.PROTOCOL_41 |
    Capability.PLUGIN_AUTH |
    Capability.SECURE_CONNECTION |
    Capability.CONNECT_ATTRS;

  test.each([
    ['8.2.0', 1, FLAGS | Capability.DEPRECATE_EOF, [2, 3, 3, 0xfe, 0, 0xfe]],
    ['9.4.0', 1, FLAGS | Capability.DEPRECATE_EOF, [2, 3, 3, 0xfe, 0, 0xfe]],
    ['9.5.0', 1, FLAGS | Capability.DEPRECATE_EOF, [2, 3, 3, 0, 0xfe]],
    ['8.2.0', 0, FLAGS | Capability.DEPRECATE_EOF, [2, 3, 3, 0, 0xfe]],
    ['8.2.0', 1, FLAGS, [2, 3, 3, 0xfe, 0, 0xfe]],
  ])(
    '29: Connector/J %s with cursor flag %i finds the end marker that it takes for the word on its cursor',
    async (version, cursor, flags, expected) => {
      await using it = await world();
      const client = await it.login(flags, connectorJ(version));
      const eof = flags === FLAGS ? 2 : 0;
      const id = await prepare(client, SQL, 4 + eof);
      const packet = execute(id, [0, 1, 6, 0, 6, 0]);
      packet[9] = cursor;
      client.send(packet);
      const packets = await client.packets(expected.length);
      expect(packets.map(({ payload }) => payload[0])).toEqual(expected);
      expect(packets.map(({ sequence }) => sequence)).toEqual(expected.map((_, i) => i + 1));
      client.command(QUERY, 'fail');
      expect(await client.answer()).toEqual(['failed']);
    },
  );
});
