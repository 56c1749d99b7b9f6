/**
 * Freelance as real processes: servers are killed, stopped, dismissed and restarted under load, and links
 * to them broken; the history is judged, and what each reply took.
 */
import { describe, expect, test } from 'vitest';
import type { FreelanceStrategy } from '../../src/index.ts';
import type { Child } from './child.ts';
import { Freelancers, type ServerProcess } from './freelancers.ts';
import {
  allTold,
  CALM,
  HEARTBEATS,
  progress,
  SOUND,
  told,
  toldAnew,
  toldWith,
} from './processes.ts';

/** Milliseconds for a whole request: generous, as this machine may do much else. */
const DEADLINE = 8000;
const TIMES = { timeout: DEADLINE, attemptTimeout: 4000, retries: 20 };

/** Milliseconds of silence after which a server is lost, and the tick at which that is seen. */
const SILENCE = HEARTBEATS.heartbeatInterval * (HEARTBEATS.heartbeatLiveness + 1);
/** Milliseconds that processes may have to wait for a core. */
const SLACK = 2000;

/** Three servers and two clients, in full swing. */
async function startAll(
  strategy: FreelanceStrategy,
  heartbeats = HEARTBEATS,
): Promise<Freelancers> {
  const all = new Freelancers();
  await all.startServers(3);
  const options = { ...TIMES, ...heartbeats, strategy };
  for (let count = 0; count < 2; count++) all.startClient({ options });
  await progress(all);
  return all;
}

/** Resolves when each client has told this of a server, since what was last waited for. */
async function toldOf(
  { clients }: Freelancers,
  type: 'serverLive' | 'serverLost',
  { endpoint }: ServerProcess,
): Promise<void> {
  await Promise.all(clients.map((client) => toldWith(client, type, { endpoint })));
}

/** The milliseconds of the reply that took longest. */
function longest({ clients }: Freelancers): number {
  const replies = clients.flatMap((client) => allTold(client, 'replied'));
  return Math.max(...replies.map(({ took }) => Number(took)));
}

/** Resolves when this server has replied to a client, since what was last waited for. */
async function repliedBy(client: Child, server: ServerProcess): Promise<void> {
  await toldWith(client, 'replied', { worker: server.child.name });
}

describe('servers', () => {
  test('of three, two are killed with requests in their hands: every one is answered in time', async () => {
    const all = new Freelancers();
    const victims = await all.startServers(2, { mode: 'hold' });
    const last = await all.startServer();
    for (let count = 0; count < 2; count++) all.startClient({ options: { ...TIMES, ...CALM } });
    for (const victim of victims) {
      // Both clients, each with four requests.
      for (let count = 0; count < 8; count++) await told(victim.child, 'handling');
      await victim.child.end('SIGKILL');
      await toldOf(all, 'serverLost', victim);
    }
    for (const client of all.clients) await repliedBy(client, last);
    expect(await all.outcome()).toMatchObject({ ...SOUND, repeated: 16 });
    expect(longest(all)).toBeLessThan(DEADLINE);
  });

  test.each(['fastest', 'all'] as const)(
    'two of three killed under load, asked by %s: every request is answered in time',
    async (strategy) => {
      const all = await startAll(strategy);
      for (const server of all.servers.slice(0, 2)) {
        await server.child.end('SIGKILL');
        await toldOf(all, 'serverLost', server);
        await progress(all);
      }
      expect(await all.outcome()).toMatchObject(SOUND);
      expect(longest(all)).toBeLessThan(DEADLINE);
    },
  );

  test('the first is stopped: silence is noticed in time, and it has its rank again when it goes on', async () => {
    const all = await startAll('first');
    const [first, second] = all.servers as [ServerProcess, ServerProcess];
    for (const client of all.clients) await repliedBy(client, first);
    const stoppedAt = Date.now();
    first.child.signal('SIGSTOP');
    for (const client of all.clients) {
      const lost = await toldWith(client, 'serverLost', { endpoint: first.endpoint });
      expect(lost).toMatchObject({ reason: 'silent' });
      expect(Number(lost['at']) - stoppedAt).toBeLessThan(SILENCE + SLACK);
      await repliedBy(client, second);
    }
    first.child.signal('SIGCONT');
    await toldOf(all, 'serverLive', first);
    for (const client of all.clients) await repliedBy(client, first);
    expect(await all.outcome()).toMatchObject(SOUND);
    expect(longest(all)).toBeLessThan(SILENCE + 2 * SLACK);
  });

  test.each([
    ['SIGKILL', SOUND],
    // Whoever drains has begun with nothing that it does not answer.
    ['SIGTERM', { ...SOUND, repeated: 0 }],
  ] as const)(
    'ended by %s in turn and restarted on their old ports: no request fails',
    async (signal, outcome) => {
      const all = await startAll('first', CALM);
      for (const server of all.servers) {
        await server.child.end(signal);
        await all.restart(server);
        await toldOf(all, 'serverLive', server);
      }
      for (const client of all.clients) await repliedBy(client, all.servers[0]!);
      expect(await all.outcome()).toMatchObject(outcome);
    },
  );

  test('dismissed in mid-request: the reply is delivered before it ends', async () => {
    const all = new Freelancers();
    const { child } = await all.startServer({ mode: 'hold' });
    await all.startServer();
    const client = all.startClient({ requests: 1, options: { ...TIMES, ...CALM } });
    await told(child, 'handling');
    child.signal('SIGTERM');
    await told(child, 'closing');
    child.write('go on');
    expect(await child.ended).toEqual({ code: 0, signal: null });
    expect(await told(client, 'replied')).toMatchObject({ worker: child.name });
    expect(await all.outcome()).toMatchObject({ ...SOUND, repeated: 0 });
  });

  test('all killed: requests wait for one to come back', async () => {
    const all = await startAll('first');
    await Promise.all(all.servers.map(({ child }) => child.end('SIGKILL')));
    for (const client of all.clients) {
      for (let count = 0; count < 3; count++) await told(client, 'serverLost');
    }
    await all.restart(all.servers[2]!);
    await progress(all);
    expect(await all.outcome()).toMatchObject(SOUND);
    expect(longest(all)).toBeLessThan(DEADLINE);
  });

  test.each(['first', 'all'] as const)(
    'a storm of all of it, asked by %s, loses no request',
    async (strategy) => {
      const all = await startAll(strategy);
      const [first, second, third] = all.servers as [ServerProcess, ServerProcess, ServerProcess];
      const restart = async (server: ServerProcess, signal: 'SIGKILL' | 'SIGTERM') => {
        await server.child.end(signal);
        await all.restart(server);
      };
      first.child.signal('SIGSTOP');
      await restart(second, 'SIGKILL');
      await Promise.all([restart(second, 'SIGTERM'), restart(third, 'SIGKILL')]);
      first.child.signal('SIGCONT');
      await Promise.all([restart(first, 'SIGKILL'), restart(second, 'SIGTERM')]);
      await progress(all);
      expect(await all.outcome()).toMatchObject(SOUND);
      expect(longest(all)).toBeLessThan(DEADLINE);
    },
  );
});

describe('links', () => {
  test('of the first server, reset with requests in its hands: the next one answers them', async () => {
    const all = new Freelancers();
    const first = await all.startServer({ mode: 'hold' });
    const second = await all.startServer();
    const { proxy, endpoint } = await all.openProxy(first.endpoint);
    const client = all.startClient({ endpoints: [endpoint, second.endpoint], options: TIMES });
    for (let count = 0; count < 4; count++) await told(first.child, 'handling');
    expect(proxy.reset()).toBe(1);
    expect(await told(client, 'serverLost')).toMatchObject({ endpoint, reason: 'linkBroken' });
    await repliedBy(client, second);
    // The server gives them up, and is used again.
    expect(await told(first.child, 'clientGone')).toMatchObject({ inFlight: 4 });
    first.child.write('go on');
    await toldAnew(first.child, 'handling');
    first.child.write('go on');
    await repliedBy(client, first);
    await first.child.end('SIGKILL');
    expect(await all.outcome()).toMatchObject(SOUND);
  });

  test.each(['first', 'all'] as const)(
    'of two servers, reset and held, asked by %s',
    async (strategy) => {
      const all = new Freelancers();
      await all.startServers(3);
      const links = await Promise.all(all.servers.map(({ endpoint }) => all.openProxy(endpoint)));
      const endpoints = links.map(({ endpoint }) => endpoint);
      const client = all.startClient({ endpoints, options: { ...TIMES, strategy } });
      for (const { proxy, endpoint } of links.slice(0, 2)) {
        await progress(all);
        expect(proxy.reset()).toBe(1);
        await toldWith(client, 'serverLost', { endpoint, reason: 'linkBroken' });
        await toldWith(client, 'serverLive', { endpoint });
      }
      for (const [index, way] of (['up', 'down'] as const).entries()) {
        const { proxy, endpoint } = links[index]!;
        proxy.pause(way);
        await toldWith(client, 'serverLost', { endpoint, reason: 'silent' });
        await progress(all);
        proxy.resume();
        await toldWith(client, 'serverLive', { endpoint });
      }
      await progress(all);
      expect(await all.outcome()).toMatchObject(SOUND);
      expect(longest(all)).toBeLessThan(DEADLINE);
    },
  );
});
