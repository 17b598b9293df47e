import { Cancel } from '../../src/lib/cancel.ts';
import { expect, test } from 'vitest';
import { pino } from 'pino';
import { Frontends } from '../../src/proxy/frontend.ts';
import { Listener } from '../../src/proxy/listener.ts';
import { RootGuard } from '../../src/proxy/root-guard.ts';
import { encodePacket } from '../../src/wire/packet.ts';
import { encodeError, encodeOk } from '../../src/wire/resultset.ts';
import { RawClient, RawFrontend, type RawFrontendOptions } from '../support/relay-ends.ts';

const NEW = { deprecateEof: true, status: 2 };

function guardOf(frontend: RawFrontend, proxyProtocol = false): RootGuard {
  return new RootGuard({ addresses: [frontend.address], greetingTimeoutMs: 200, proxyProtocol });
}

const refuses: RawFrontendOptions = {
  login: (_payload, socket) => socket.write(encodeError(1, 1045, '28000', 'Access denied')),
};

const letsIn = (user: string): RawFrontendOptions => ({
  login: (payload, socket) => {
    const named = payload.toString('latin1', 32).startsWith(`${user}\0`);
    socket.write(named ? encodeOk(1, NEW) : encodeError(1, 1045, '28000', 'Access denied'));
  },
});

test('an FE that refuses is asked for both users, with 20 random bytes, and once only', async () => {
  await using frontend = await RawFrontend.open(refuses);
  const guard = guardOf(frontend);
  await guard.expectClosed(frontend.address);
  await guard.expectClosed(frontend.address);
  const tails = frontend.logins.map((payload) => payload.subarray(32));
  expect(tails.map((tail) => tail.toString('latin1').split('\0')[0])).toEqual(['root', 'admin']);
  expect(tails.map((tail) => tail[tail.indexOf(0) + 1])).toEqual([20, 20]);
  expect(tails[0]?.subarray(6, 26)).not.toEqual(tails[1]?.subarray(7, 27));
});

test.each(['root', 'admin'])('an FE that lets %s in is named with the remedy', async (user) => {
  await using frontend = await RawFrontend.open(letsIn(user));
  await expect(guardOf(frontend).expectClosed(frontend.address)).rejects.toThrow(
    new RegExp(`lets ${user} in with any password .* skip_localhost_auth_check = false in fe.conf`),
  );
});

test('nor behind a switch to another plugin', async () => {
  await using frontend = await RawFrontend.open({
    login: (_payload, socket) =>
      socket.write(
        encodePacket(
          2,
          Buffer.from('\xfemysql_native_password\x0012345678901234567890\0', 'latin1'),
        ),
      ),
    answer: (_payload, socket) => socket.write(encodeOk(3, NEW)),
  });
  await expect(guardOf(frontend).expectClosed(frontend.address)).rejects.toThrow(/lets root in/);
});

test('an FE that answers a login with what is no packet has let nobody in', async () => {
  await using frontend = await RawFrontend.open({
    login: (_payload, socket) => socket.write('HTTP/1.1 400 Bad Request'),
  });
  await expect(guardOf(frontend).expectClosed(frontend.address)).resolves.toBeUndefined();
});

test('an FE that chokes on a PROXY header is named with the remedy', async () => {
  await using frontend = await RawFrontend.open({
    login: (_payload, socket) =>
      socket.write(encodeError(1, 1156, '08S01', 'Got packets out of order')),
  });
  await expect(guardOf(frontend, true).expectClosed(frontend.address)).rejects.toThrow(
    /enable_proxy_protocol = true/,
  );
});

/** An FE that lets root in or not, as it is told; and a proxy's way to it. */
async function switched(): Promise<{
  readonly frontend: RawFrontend;
  readonly connect: () => Promise<void>;
  open: boolean;
  nowMs: number;
}> {
  const world = { open: false, nowMs: 0 };
  const frontend = await RawFrontend.open({
    login: (_payload, socket) =>
      socket.write(world.open ? encodeOk(1, NEW) : encodeError(1, 1045, '28000', 'Access denied')),
  });
  const addresses = [frontend.address];
  const route = { addresses, greetingTimeoutMs: 200, proxyProtocol: false };
  const frontends = new Frontends(route, new RootGuard(route, () => world.nowMs));
  const connect = async (): Promise<void> => {
    const { connection } = await frontends.connect(undefined, new Cancel());
    connection.socket.destroy();
  };
  return Object.assign(world, { frontend, connect });
}

test('an FE that was restarted with another configuration is tried again: its ids begin anew', async () => {
  const world = await switched();
  await using frontend = world.frontend;
  for (let i = 0; i < 4; i++) await world.connect();
  expect(frontend.logins).toHaveLength(2);
  frontend.connections = 0;
  world.open = true;
  // Not at every jump: behind a load balancer ids come from several FEs.
  world.nowMs = 59_000;
  await world.connect();
  expect(frontend.logins).toHaveLength(2);
  world.nowMs = 60_000;
  await expect(world.connect()).rejects.toThrow(/lets root in with any password/);
  world.open = false;
  await world.connect();
  await world.connect();
  expect(frontend.logins).toHaveLength(5);
});

test('an FE that was away is tried again before anybody gets to it', async () => {
  const world = await switched();
  await world.connect();
  const { port } = world.frontend.address;
  await world.frontend[Symbol.asyncDispose]();
  await expect(world.connect()).rejects.toThrow(/ECONNREFUSED/);
  await using back = await RawFrontend.open(letsIn('admin'), port);
  await expect(world.connect()).rejects.toThrow(/lets admin in with any password/);
  expect(back.logins).toHaveLength(2);
});

test('a client does not get to an FE that was not reached at the start and lets root in', async () => {
  await using open = await RawFrontend.open(letsIn('root'));
  await using listener = await Listener.open({
    host: '127.0.0.1',
    port: 0,
    frontends: [open.address],
    commands: { recognize: () => undefined },
    guard: guardOf(open),
    log: pino({ level: 'silent' }),
    drainTimeoutMs: 0,
  });
  using client = await RawClient.connect(listener.address);
  const [error] = await client.packets(1);
  expect(error?.payload.toString('latin1')).toContain('lets root in with any password');
  expect(await client.packet()).toBeUndefined();
});
