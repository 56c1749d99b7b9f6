/**
 * Sessions of express over links that break: both sides go on where they were, and heartbeats find what
 * was lost on the way.
 */
import { describe, expect, test, vi } from 'vitest';
import type { ClientOptions, MajordomoClient, WorkerRequest } from '../../src/index.ts';
import { Gate } from './gate.ts';
import { loseOn } from './link-faults.ts';
import { HEARTBEATS, Links, Traffic, until } from './links.ts';

/** No try ends before the request does: what is lost has to be found. */
const PATIENT: ClientOptions = { attemptTimeout: undefined, drainTimeout: 0 };
/** Longer than a link is away here, however busy the machine is. */
const GRACES = { noticeGrace: 2000, clientGrace: 2000 };
/** Two expiries, within which a loss on a living link is found, and as much for a busy machine. */
const FOUND = 4 * HEARTBEATS.heartbeatInterval * HEARTBEATS.heartbeatLiveness;
const COUNT = 6;

/** A worker and a client with so many requests in the worker's hands. */
async function startHolding(links: Links) {
  const gate = new Gate();
  const worker = await links.startWorker(gate.pass, 'gate');
  const client = await links.startClient();
  await client.shell.ready();
  const replies = Array.from({ length: COUNT }, () => client.shell.request('gate', ''));
  const all = Promise.all(replies);
  await until(() => gate.arrived === COUNT);
  return { gate, worker, client, all };
}

describe('a session goes on when its link was reset', () => {
  test.each(['worker', 'client'] as const)('of a %s', async (side) => {
    const options = { broker: GRACES, client: PATIENT, worker: { concurrency: COUNT } };
    const links = await Links.open(options);
    const held = await startHolding(links);
    const { proxy } = held[side];
    for (let round = 0; round < 5; round++) {
      expect(proxy.reset()).toBe(1);
      // The client asks on the new link, as soon as it has its session there.
      if (side === 'client') await held.client.shell.ready();
      else await until(() => links.of('workerReattached').length > round);
    }
    held.gate.open();
    expect(await held.all).toHaveLength(COUNT);
    await links.rest();
    expect(held.gate.arrived).toBe(COUNT);
    expect(links.broker.status()).toMatchObject({
      requests: { accepted: COUNT, replied: COUNT, cancelled: 0 },
      events: { clientReady: 1, clientLost: 0, workerReady: 1, workerLost: 0, requestRequeued: 0 },
    });
    expect(held.client.told.filter(({ type }) => type === 'retry')).toEqual([]);
  });

  test('of all under load: nothing is run twice that was not lost', async () => {
    const links = await Links.open({ broker: GRACES, client: PATIENT });
    for (let count = 0; count < 2; count++) await links.startWorker();
    for (let count = 0; count < 2; count++) await links.startClient();
    const traffic = new Traffic(links, () => 500);
    for (let round = 0; round < 6; round++) {
      await traffic.progress(2);
      for (const proxy of links.proxies) proxy.reset();
    }
    await traffic.progress(2);
    await traffic.stop();
    const report = await links.judge();
    expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
    expect(links.of('workerLost')).toEqual([]);
    expect(links.of('clientLost')).toEqual([]);
  });
});

describe('what is lost on the way is found', () => {
  test.each([
    { what: 'a request', side: 'clients', way: 'up', handled: 1 },
    { what: 'a reply', side: 'clients', way: 'down', handled: 2 },
    { what: 'a dispatch', side: 'workers', way: 'down', handled: 1 },
    { what: 'a result', side: 'workers', way: 'up', handled: 2 },
  ] as const)('$what', async ({ side, way, handled }) => {
    const links = await Links.open({ broker: GRACES, client: PATIENT });
    for (let count = 0; count < 2; count++) await links.startWorker();
    await links.startClient();
    await links.ask(links.clients[0]!, 10);
    const began = performance.now();
    await loseOn(links, side, way);
    expect(performance.now() - began).toBeLessThan(FOUND);
    const retries = side === 'clients' ? 1 : 0;
    const { told } = links.clients[0]!;
    expect(told.filter(({ type }) => type === 'retry')).toHaveLength(retries);
    expect(links.of('requestRequeued')).toHaveLength(1 - retries);
    expect(links.of('workerLost')).toEqual([]);
    const report = await links.judge();
    expect(report).toMatchObject({ replied: 2, repeated: handled - 1, violations: [] });
  });
});

test('a client that does not come back within its grace loses its session, and asks again', async () => {
  const worker = { concurrency: COUNT };
  const links = await Links.open({ broker: { clientGrace: 50 }, client: PATIENT, worker });
  const aborted = vi.fn<() => void>();
  const gate = new Gate();
  const pass = (request: WorkerRequest): Promise<string> => {
    request.signal.addEventListener('abort', aborted);
    return gate.pass();
  };
  await links.startWorker(pass, 'gate');
  const client = await links.startClient();
  const replies = Promise.all(
    Array.from({ length: COUNT }, () => client.shell.request('gate', '')),
  );
  await until(() => gate.arrived === COUNT);
  client.proxy.refuse();
  client.proxy.reset();
  await until(() => links.of('clientLost').length === 1);
  expect(links.of('clientLost')).toMatchObject([{ reason: 'gone' }]);
  expect(links.of('requestCancelled')).toHaveLength(COUNT);
  await until(() => aborted.mock.calls.length === COUNT);
  gate.open();
  client.proxy.forward();
  await until(() => gate.arrived === 2 * COUNT);
  gate.open();
  expect(await replies).toHaveLength(COUNT);
  await links.rest();
});

test('under one key a request runs once, whoever asks and however often a session is lost', async () => {
  const links = await Links.open({ broker: { clientGrace: 10 }, client: PATIENT });
  const executions: (string | undefined)[] = [];
  const gate = new Gate();
  const run = (request: WorkerRequest): Promise<string> => {
    executions.push(request.idempotencyKey);
    return gate.pass();
  };
  await links.startWorker(run, 'keyed');
  const { shell, proxy, told } = await links.startClient();
  const { shell: other } = await links.startClient();
  await shell.ready();
  const keys = ['a', 'b', 'c'];
  for (const [round, idempotencyKey] of keys.entries()) {
    const ask = async (client: MajordomoClient): Promise<string> =>
      (await client.request('keyed', '', { idempotencyKey })).text();
    const replies = Promise.all([ask(shell), ask(other)]);
    await until(() => gate.arrived === round + 1 && links.of('requestJoined').length > 3 * round);
    proxy.refuse();
    expect(proxy.reset()).toBe(1);
    await until(() => links.of('clientLost').length > round);
    proxy.forward();
    // Nothing is known of the session: the request is sent again, and joins the one that runs.
    await until(() => told.filter(({ type }) => type === 'retry').length > round);
    await until(() => links.of('requestJoined').length > 3 * round + 1);
    gate.open();
    expect(await replies).toEqual(['through', 'through']);
    // Asked once more when it is over, it is answered from memory.
    expect(await ask(other)).toBe('through');
  }
  expect(executions).toEqual(keys);
  const stored = links.of('requestJoined').map((event) => event.stored);
  expect(stored).toEqual(keys.flatMap(() => [false, false, true]));
  await links.rest();
});
