import { expect, test } from 'vitest';
import { pino } from 'pino';
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

test('an FE that chokes on a PROXY header is named with the remedy', async () => {
  await using frontend = await RawFrontend.open({
    login: (_payload, socket) =>
      socket.write(encodeError(1, 1156, '08S01', 'Got packets out of order')),
  });
  await expect(guardOf(frontend, true).expectClosed(frontend.address)).rejects.toThrow(
    /enable_proxy_protocol = true/,
  );
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
