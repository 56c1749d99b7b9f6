/**
 * What express adds when processes are killed, stopped and dismissed: notices in milliseconds instead of
 * expiries, and nothing spent on a restart.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { MajordomoClient } from '../../src/index.ts';
import type { Child } from './child.ts';
import { allTold, Cluster, told } from './cluster.ts';

/** The broker alone must see to it that no request fails. */
const ONE_TRY = { timeout: 20_000, retries: 0 };

/** What ends long before the expiry was not found by silence. */
const HEARTBEATS = { heartbeatInterval: 1000, heartbeatLiveness: 3 };
const EXPIRY = 3000;
/** Notices and graces take 30 to 100 ms; the rest is for a busy machine. */
const SOON = EXPIRY / 2;

const clients: MajordomoClient[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

/** A client of this process. */
function clientAt(endpoint: string): MajordomoClient {
  const client = new MajordomoClient({ ...HEARTBEATS, drainTimeout: 0 });
  clients.push(client);
  client.connect(endpoint);
  return client;
}

/** The next so many messages of this type. */
async function toldTimes(count: number, child: Child, type: string) {
  const messages = [];
  while (messages.length < count) messages.push(await told(child, type));
  return messages;
}

/** A worker that holds eight requests of one client. */
async function startHolding(heartbeats: typeof HEARTBEATS) {
  const cluster = new Cluster();
  const broker = await cluster.startBroker(heartbeats);
  const options = { ...heartbeats, concurrency: 8 };
  const worker = await cluster.startWorker({ mode: 'hold', options });
  const client = cluster.startClient({ requests: 8, concurrency: 8, options: ONE_TRY });
  await toldTimes(8, worker, 'handling');
  return { cluster, broker, worker, client, options };
}

/** A worker that waits for the end of eight requests. */
async function startWatching() {
  const cluster = new Cluster();
  await cluster.startBroker(HEARTBEATS);
  const options = { ...HEARTBEATS, concurrency: 8 };
  const worker = await cluster.startWorker({ mode: 'watch', options });
  return { cluster, worker };
}

/** A broker, three workers and two clients with ten requests in flight each. */
async function startAll() {
  const cluster = new Cluster('ipc');
  await cluster.startBroker();
  await cluster.startWorkers(3, { options: { concurrency: 4 } });
  for (let count = 0; count < 2; count++) {
    const client = cluster.startClient({ concurrency: 10, options: ONE_TRY });
    await told(client, 'replied');
  }
  return cluster;
}

async function expectNothingSpent(cluster: Cluster, workers: readonly Child[]) {
  for (const client of cluster.clients) {
    client.passOver();
    await told(client, 'replied');
  }
  const report = await cluster.finish();
  expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
  expect(report.repeated).toBe(0);
  const attempts = workers.flatMap((worker) => allTold(worker, 'handling'));
  expect(attempts.length).toBeGreaterThan(100);
  expect(attempts.filter(({ attempt }) => attempt !== 1)).toEqual([]);
}

describe('a worker with eight requests in its hands', () => {
  test('killed: all of them go to another one long before it would have expired', async () => {
    const { cluster, broker, worker, client, options } = await startHolding(HEARTBEATS);
    const other = await cluster.startWorker({ delay: 0, options });
    const killedAt = performance.now();
    worker.signal('SIGKILL');
    for (const message of await toldTimes(8, other, 'handling')) {
      expect(message).toMatchObject({ attempt: 2 });
    }
    expect(performance.now() - killedAt).toBeLessThan(SOON);
    for (const message of await toldTimes(8, client, 'replied')) {
      expect(message).toMatchObject({ worker: other.name });
    }
    expect(allTold(broker, 'workerLost')).toMatchObject([{ reason: 'gone', held: true }]);
    const report = await cluster.finish();
    expect(report).toMatchObject({ replied: 8, repeated: 8, failed: {}, violations: [] });
  });

  test('stopped: they go to another one when it has expired, and its replies are refused', async () => {
    const heartbeats = { heartbeatInterval: 150, heartbeatLiveness: 3 };
    const { cluster, broker, worker, options } = await startHolding(heartbeats);
    const other = await cluster.startWorker({ delay: 0, options });
    worker.signal('SIGSTOP');
    await toldTimes(8, other, 'handling');
    expect(allTold(broker, 'workerLost')).toMatchObject([{ reason: 'expired', held: true }]);
    worker.signal('SIGCONT');
    expect(await told(worker, 'brokerLost')).toMatchObject({ reason: 'disconnected' });
    worker.write('go on');
    await toldTimes(8, worker, 'replyDropped');
    const report = await cluster.finish();
    expect(report).toMatchObject({ replied: 8, repeated: 8, failed: {}, violations: [] });
  });
});

describe('a handler whose client', () => {
  test('is killed learns it through its signal', async () => {
    const { cluster, worker } = await startWatching();
    const options = { ...ONE_TRY, ...HEARTBEATS };
    const client = cluster.startClient({ requests: 8, concurrency: 8, options });
    await toldTimes(8, worker, 'handling');
    const killedAt = performance.now();
    await cluster.killClient(client);
    await toldTimes(8, worker, 'aborted');
    expect(performance.now() - killedAt).toBeLessThan(SOON);
    // None of them is given to anybody again: the worker is free.
    for (let count = 0; count < 8; count++) {
      expect(await told(cluster.broker, 'requestCancelled')).toMatchObject({ service: 'digest' });
    }
    expect(allTold(worker, 'handling')).toHaveLength(8);
  });

  test.each([
    ['closes', (client: MajordomoClient) => client.close()],
    ['aborts', (_: MajordomoClient, abort: AbortController) => abort.abort()],
  ] as const)('%s learns it through its signal', async (_name, leave) => {
    const { cluster, worker } = await startWatching();
    const client = clientAt(cluster.endpoint);
    const abort = new AbortController();
    const body = JSON.stringify({ id: 'one', payload: '' });
    const request = client.request('digest', body, { signal: abort.signal });
    const outcome = request.catch((error: unknown) => error);
    await told(worker, 'handling');
    const leftAt = performance.now();
    void leave(client, abort);
    await told(worker, 'aborted');
    expect(performance.now() - leftAt).toBeLessThan(SOON);
    expect(await outcome).toMatchObject({ code: 'ERR_CANCELLED' });
  });

  test('waits no longer learns it through its signal', async () => {
    const { cluster, worker } = await startWatching();
    const client = clientAt(cluster.endpoint);
    await client.ready();
    const body = JSON.stringify({ id: 'one', payload: '' });
    const sentAt = performance.now();
    const request = client.request('digest', body, { timeout: 300 });
    await expect(request).rejects.toMatchObject({ code: 'ERR_REQUEST_TIMEOUT' });
    await told(worker, 'aborted');
    expect(performance.now() - sentAt).toBeLessThan(SOON);
  });
});

describe('rolling restarts under load', () => {
  test('of all workers: nothing fails, no attempt is spent', async () => {
    const cluster = await startAll();
    const workers = [...cluster.workers];
    for (let round = 0; round < 3; round++) {
      workers.push(await cluster.startWorker({ options: { concurrency: 4 } }));
      const worker = cluster.workers.shift()!;
      worker.passOver();
      await told(worker, 'handling');
      expect(await worker.end('SIGTERM')).toEqual({ code: 0, signal: null });
    }
    await expectNothingSpent(cluster, workers);
  });

  test('of the broker: nothing fails, no attempt is spent', async () => {
    const cluster = await startAll();
    for (let round = 0; round < 2; round++) {
      expect(await cluster.broker.end('SIGTERM')).toEqual({ code: 0, signal: null });
      await cluster.startBroker();
      for (const client of cluster.clients) {
        client.passOver();
        await told(client, 'replied');
      }
    }
    await expectNothingSpent(cluster, cluster.workers);
    expect(cluster.clients.flatMap((client) => allTold(client, 'retry'))).toEqual([]);
  });
});

test('a worker and a client that were there before the broker end up in express', async () => {
  const cluster = new Cluster('ipc');
  const worker = cluster.launchWorker();
  const client = cluster.startClient({ options: { timeout: 20_000 } });
  // Nobody answered: for now it tries stock MDP.
  expect(await told(worker, 'connecting')).toMatchObject({ dialect: 'mdp0.2' });
  const broker = await cluster.startBroker();
  await broker.line(/"workerReady".*"express"/);
  await told(client, 'ready');
  await told(client, 'replied');
  const report = await cluster.finish();
  expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
});

test('a slow reader of a stream slows the worker, and the broker keeps none of it', async () => {
  const MiB = 2 ** 20;
  const cluster = new Cluster();
  const broker = await cluster.startBroker();
  const memory = async (): Promise<number> => {
    broker.write('memory');
    return Number((await told(broker, 'memory'))['bytes']);
  };
  const worker = await cluster.startWorker({ mode: 'stream' });
  const client = clientAt(cluster.endpoint);
  await client.ready();
  const before = await memory();
  const body = JSON.stringify({ id: 'one', payload: '' });
  let read = 0;
  for await (const part of client.stream('digest', body)) {
    read += part.bytes().byteLength;
    if (read > 16 * MiB) break;
    if (read > part.bytes().byteLength) continue;
    // After the first part the reader rests: the worker must not write on.
    expect(Number((await told(worker, 'waiting'))['bytes'])).toBeLessThan(read + MiB);
    expect((await memory()) - before).toBeLessThan(32 * MiB);
  }
  expect(Number((await told(worker, 'aborted'))['bytes'])).toBeLessThan(18 * MiB);
});
