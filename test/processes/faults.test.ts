/**
 * Real processes are killed, stopped and dismissed with requests in flight; the history is judged. What
 * the dialects promise alike is tried in two; the others speak express, as is the default.
 */
import { describe, expect, test } from 'vitest';
import type { Dialect } from '../../src/index.ts';
import type { Child } from './child.ts';
import { allTold, Cluster, progress, told, toldAnew } from './cluster.ts';

/** One try and no other: the broker alone must see to it that no request fails. */
const ONE_TRY = { timeout: 20_000, retries: 0 };
/** For when the broker is lost with all it has: the client must try again, and has no lane to spare. */
const MANY_TRIES = {
  timeout: 20_000,
  attemptTimeout: 500,
  retries: 40,
  backoffLimit: 200,
  lanes: 4,
};
/** More than any test kills. */
const MAX_ATTEMPTS = { maxAttempts: 50 };

/** A broker, three workers and two clients, in full swing. */
async function startAll(
  transport: 'tcp' | 'ipc',
  options: typeof ONE_TRY | typeof MANY_TRIES,
  dialect?: Dialect,
): Promise<Cluster> {
  const cluster = new Cluster(transport, dialect);
  await cluster.startBroker(MAX_ATTEMPTS);
  await cluster.startWorkers(3);
  for (let count = 0; count < 2; count++) await told(cluster.startClient({ options }), 'replied');
  return cluster;
}

/** How many workers the broker lost for this reason with a request in their hands. */
function lostHolding(broker: Child, reason: string): number {
  const lost = allTold(broker, 'workerLost').filter(({ held }) => held === true);
  return lost.filter((message) => message['reason'] === reason).length;
}

const DIALECTS = ['express', 'mdp0.2'] as const;

describe('workers', () => {
  test.each(DIALECTS)(
    'of %s, killed in mid-request: every request is replied to, at its one try',
    async (dialect) => {
      const cluster = await startAll('tcp', ONE_TRY, dialect);
      for (let round = 0; round < 4; round++) {
        const worker = cluster.workers.shift()!;
        await toldAnew(worker, 'handling');
        await worker.end('SIGKILL');
        await cluster.startWorker();
      }
      await progress(cluster);
      const report = await cluster.finish();
      expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
      expect(lostHolding(cluster.broker, 'gone')).toBeGreaterThan(0);
      expect(report.repeated).toBeGreaterThan(0);
      expect(allTold(cluster.broker, 'deadLetter')).toEqual([]);
    },
  );

  test('all killed: requests wait for the next worker', async () => {
    const cluster = await startAll('tcp', ONE_TRY);
    await Promise.all(cluster.workers.splice(0).map((worker) => worker.end('SIGKILL')));
    for (let count = 0; count < 3; count++) await told(cluster.broker, 'workerLost');
    await cluster.startWorker();
    await progress(cluster);
    const report = await cluster.finish();
    expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
  });

  test.each(DIALECTS)(
    'of %s, stopped beyond expiry: another one answers, and the late reply is refused',
    async (dialect) => {
      const cluster = new Cluster('tcp', dialect);
      const broker = await cluster.startBroker();
      const stopped = await cluster.startWorker({ mode: 'block' });
      const client = cluster.startClient({ requests: 1, options: ONE_TRY });
      await told(stopped, 'handling');
      stopped.signal('SIGSTOP');
      const other = await cluster.startWorker();
      expect(await told(broker, 'workerLost')).toMatchObject({ reason: 'expired', held: true });
      expect(await told(client, 'replied')).toMatchObject({ worker: other.name });

      stopped.write('go on');
      stopped.signal('SIGCONT');
      expect(await told(broker, 'replyRefused')).toMatchObject({ reason: 'unknownWorker' });
      await told(broker, 'workerReady'); // and it is taken in again
      expect(await cluster.finish()).toMatchObject({ replied: 1, repeated: 1, violations: [] });
    },
  );

  test('stopped and continued in turn under load: every request is replied to', async () => {
    const cluster = await startAll('tcp', ONE_TRY);
    for (const worker of cluster.workers) {
      await toldAnew(worker, 'handling');
      cluster.broker.passOver();
      worker.signal('SIGSTOP');
      expect(await told(cluster.broker, 'workerLost')).toMatchObject({ reason: 'expired' });
      worker.signal('SIGCONT');
      await told(cluster.broker, 'workerReady');
    }
    await progress(cluster);
    const report = await cluster.finish();
    expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
  });

  test('dismissed in mid-request: the reply is delivered before it ends', async () => {
    const cluster = new Cluster();
    const broker = await cluster.startBroker();
    const worker = await cluster.startWorker({ mode: 'hold' });
    const client = cluster.startClient({ requests: 1, options: ONE_TRY });
    await told(worker, 'handling');
    worker.signal('SIGTERM');
    await told(worker, 'closing');
    worker.write('go on');
    expect(await worker.ended).toEqual({ code: 0, signal: null });
    expect(await told(client, 'replied')).toMatchObject({ worker: worker.name });
    expect(await told(broker, 'workerLost')).toMatchObject({ reason: 'disconnected', held: false });
    expect(await cluster.finish()).toMatchObject({ replied: 1, repeated: 0, violations: [] });
  });

  test('of stock MDP, restarted in turn under load: nothing fails, nothing is done twice', async () => {
    const cluster = await startAll('tcp', ONE_TRY, 'mdp0.2');
    for (let round = 0; round < 3; round++) {
      await cluster.startWorker();
      const worker = cluster.workers.shift()!;
      await toldAnew(worker, 'handling');
      expect(await worker.end('SIGTERM')).toEqual({ code: 0, signal: null });
    }
    await progress(cluster);
    const report = await cluster.finish();
    expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
    expect(report.repeated).toBe(0);
  });
});

describe('the broker', () => {
  test.each(['tcp', 'ipc'] as const)(
    'killed and restarted on the same %s endpoint: the clients’ retries succeed',
    async (transport) => {
      const cluster = await startAll(transport, MANY_TRIES);
      for (let round = 0; round < 2; round++) {
        await progress(cluster);
        await cluster.broker.end('SIGKILL');
        await cluster.startBroker(MAX_ATTEMPTS);
        for (let count = 0; count < 3; count++) await told(cluster.broker, 'workerReady');
      }
      await progress(cluster);
      const report = await cluster.finish();
      expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
    },
  );

  test('dismissed and restarted among stock peers: the queued are asked again, none is done twice', async () => {
    const cluster = await startAll('tcp', MANY_TRIES, 'mdp0.1');
    expect(await cluster.broker.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(allTold(cluster.broker, 'drained')).toHaveLength(1);
    await cluster.startBroker(MAX_ATTEMPTS);
    await progress(cluster);
    const report = await cluster.finish();
    expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
    expect(report.repeated).toBe(0);
  });

  test('stopped until all give it up, and continued: every request is replied to', async () => {
    const cluster = await startAll('tcp', MANY_TRIES);
    cluster.broker.signal('SIGSTOP');
    for (const worker of cluster.workers) {
      expect(await told(worker, 'brokerLost')).toMatchObject({ reason: 'silent' });
    }
    // Both tries of a request are then at the broker: the reply to the first must reach no other.
    await Promise.all(cluster.clients.map((client) => toldAnew(client, 'retry')));
    cluster.broker.signal('SIGCONT');
    await progress(cluster);
    const report = await cluster.finish();
    expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
  });
});

describe('clients and everybody', () => {
  test('a killed client takes its queued requests along and disturbs nobody', async () => {
    const cluster = await startAll('tcp', ONE_TRY);
    const victim = cluster.startClient({ concurrency: 30, options: ONE_TRY });
    await told(victim, 'replied');
    await cluster.killClient(victim);
    await told(cluster.broker, 'requestCancelled');
    await progress(cluster);
    const report = await cluster.finish();
    expect(report).toMatchObject({ failed: {}, violations: [] });
    expect(report.abandoned).toBeGreaterThan(0);
    expect(report.replied + report.abandoned).toBe(report.requested);
  });

  test.each(DIALECTS)(
    'a storm of all of it on %s: no request is lost, doubled or misdelivered',
    async (dialect) => {
      const cluster = await startAll('tcp', MANY_TRIES, dialect);
      const restart = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
        await cluster.broker.end(signal);
        await cluster.startBroker(MAX_ATTEMPTS);
      };
      const replace = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
        await Promise.all([cluster.workers.shift()!.end(signal), cluster.startWorker()]);
      };
      const sleeper = cluster.workers.pop()!;
      sleeper.signal('SIGSTOP');
      await Promise.all([restart('SIGKILL'), replace('SIGKILL')]);
      await Promise.all([replace('SIGTERM'), restart('SIGKILL')]);
      sleeper.signal('SIGCONT');
      await Promise.all([restart('SIGTERM'), replace('SIGKILL'), replace('SIGTERM')]);
      await progress(cluster);
      const report = await cluster.finish();
      expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
    },
  );
});
