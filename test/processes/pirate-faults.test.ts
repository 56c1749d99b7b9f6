/**
 * Pirates as real processes: workers, queues and clients are killed, stopped and dismissed with requests
 * in flight, and their links broken; the history is judged.
 */
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { LazyPirateClientOptions, ParanoidPirateQueueOptions } from '../../src/index.ts';
import type { Child } from './child.ts';
import { Pirates } from './pirates.ts';
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

const PROTOCOLS = ['paranoid', 'simple'] as const;

/** One try and no other: the queue alone must see to it that no request is lost. */
const ONE_TRY = { timeout: 20_000, retries: 0 };
/** For when the queue is lost with all it has. */
const MANY_TRIES = {
  timeout: 20_000,
  attemptTimeout: 500,
  retries: 40,
  backoffLimit: 200,
  noticeGrace: 200,
  lanes: 4,
};
/** Nothing is lost, and no worker ever had two requests in its hands. */
const ALL_WELL = { ...SOUND, atOnce: 1 };
/** More than any test kills. */
const MAX_ATTEMPTS = { maxAttempts: 50 };

/** A queue, three workers and two clients, in full swing. */
async function startAll(
  protocol: 'simple' | 'paranoid',
  options: LazyPirateClientOptions,
  heartbeats?: typeof HEARTBEATS,
  transport?: 'tcp' | 'ipc',
): Promise<Pirates> {
  const pirates = new Pirates(protocol, heartbeats, transport);
  await pirates.startQueue(MAX_ATTEMPTS);
  for (let count = 0; count < 2; count++) pirates.startClient({ options });
  await pirates.startWorkers(3);
  await progress(pirates);
  return pirates;
}

/** The types of all that a process has told, in their order. */
function lifeOf(worker: Child): string[] {
  return worker.lines.flatMap((line) => /"type":"(\w+)"/.exec(line)?.[1] ?? []);
}

async function stopQueue(protocol: 'simple' | 'paranoid'): Promise<void> {
  const pirates = await startAll(protocol, MANY_TRIES);
  const { queue, workers, clients } = pirates;
  const stopped = setTimeout(2000);
  queue.signal('SIGSTOP');
  if (protocol === 'paranoid') {
    for (const worker of workers) await toldWith(worker, 'queueLost', { reason: 'silent' });
  }
  await Promise.all(clients.map((client) => toldAnew(client, 'retry')));
  await stopped;
  queue.signal('SIGCONT');
  await progress(pirates);
  expect(await pirates.outcome()).toMatchObject(ALL_WELL);
}

describe('workers', () => {
  test.each(PROTOCOLS)(
    '%s: of three, two are killed with requests in their hands, and no request is lost',
    async (protocol) => {
      const pirates = new Pirates(protocol, CALM);
      const queue = await pirates.startQueue();
      const victims = [1, 2].map(() => pirates.launchWorker({ mode: 'hold' }));
      pirates.launchWorker();
      await pirates.workersReady(3);
      for (let count = 0; count < 2; count++) pirates.startClient({ options: ONE_TRY });
      for (const victim of victims) await told(victim, 'handling');
      await progress(pirates);
      for (const victim of victims) {
        await victim.end('SIGKILL');
        await toldWith(queue, 'workerLost', { reason: 'gone', held: true });
      }
      await progress(pirates);
      expect(await pirates.outcome()).toMatchObject({ ...ALL_WELL, repeated: 2 });
      expect(allTold(queue, 'requestRequeued')).toHaveLength(2);
      expect(allTold(queue, 'deadLetter')).toEqual([]);
    },
  );

  test('paranoid: stopped beyond expiry, its late reply reaches nobody, and it takes one at a time', async () => {
    const pirates = new Pirates('paranoid');
    const queue = await pirates.startQueue();
    const stopped = await pirates.startWorker({ mode: 'block' });
    const client = pirates.startClient({ requests: 1, options: ONE_TRY });
    await told(stopped, 'handling');
    stopped.signal('SIGSTOP');
    const other = pirates.launchWorker();
    expect(await told(queue, 'workerLost')).toMatchObject({ reason: 'expired', held: true });
    expect(await told(client, 'replied')).toMatchObject({ worker: other.name });

    stopped.write('go on');
    stopped.signal('SIGCONT');
    expect(await told(queue, 'replyRefused')).toMatchObject({ reason: 'unknownWorker' });
    await told(queue, 'workerReady'); // and it is taken in again
    expect(await pirates.outcome()).toMatchObject({ ...ALL_WELL, repeated: 1 });
    expect(allTold(client, 'replyRefused')).toEqual([]);
  });

  test('paranoid: given up in mid-handler, it is not ready before that handler has ended', async () => {
    const pirates = new Pirates('paranoid');
    const queue = await pirates.startQueue();
    const stopped = await pirates.startWorker({ mode: 'hold' });
    const client = pirates.startClient({ options: ONE_TRY });
    await told(stopped, 'handling');
    stopped.signal('SIGSTOP');
    pirates.launchWorker();
    await toldWith(queue, 'workerLost', { reason: 'expired', held: true });
    await progress(pirates);

    stopped.signal('SIGCONT');
    expect(await told(stopped, 'queueLost')).toMatchObject({ reason: 'silent' });
    await progress(pirates);
    queue.passOver();
    stopped.write('go on');
    await told(queue, 'workerReady');
    await told(stopped, 'handling');
    stopped.passOver();
    stopped.write('go on');
    await toldWith(client, 'replied', { worker: stopped.name });
    await told(stopped, 'handling');
    stopped.write('go on');
    const life = lifeOf(stopped).slice(0, 9).join(' ');
    expect(life).toBe(
      'connecting ready handling queueLost aborted settled replyDropped connecting ready',
    );
    await stopped.end('SIGKILL');
    expect(await pirates.outcome()).toMatchObject(ALL_WELL);
  });

  test('simple: stopped for too long with a request, another answers, and it is used again', async () => {
    const pirates = new Pirates('simple');
    const queue = await pirates.startQueue({ attemptTimeout: 300 });
    const stopped = await pirates.startWorker({ mode: 'block' });
    const client = pirates.startClient({ requests: 1, options: ONE_TRY });
    await told(stopped, 'handling');
    stopped.signal('SIGSTOP');
    const other = pirates.launchWorker();
    await told(queue, 'workerOverdue');
    expect(await told(client, 'replied')).toMatchObject({ worker: other.name });

    stopped.write('go on');
    stopped.signal('SIGCONT');
    expect(await told(queue, 'replyRefused')).toMatchObject({ reason: 'stale' });
    await told(queue, 'workerRecovered');
    expect(await pirates.outcome()).toMatchObject({ ...ALL_WELL, repeated: 1 });
    expect(allTold(client, 'replyRefused')).toEqual([]);
  });

  test('paranoid: all stopped beyond expiry and continued under load: no request fails', async () => {
    const pirates = await startAll('paranoid', ONE_TRY);
    const { workers, queue } = pirates;
    queue.passOver();
    for (const worker of workers) worker.signal('SIGSTOP');
    for (const _ of workers) await toldWith(queue, 'workerLost', { reason: 'expired' });
    for (const worker of workers) worker.signal('SIGCONT');
    await pirates.workersReady(workers.length);
    await progress(pirates);
    expect(await pirates.outcome()).toMatchObject(ALL_WELL);
  });

  test.each(PROTOCOLS)(
    '%s: dismissed in mid-request: the reply is delivered before it ends',
    async (protocol) => {
      const pirates = new Pirates(protocol, CALM);
      const queue = await pirates.startQueue();
      const worker = await pirates.startWorker({ mode: 'hold' });
      const client = pirates.startClient({ requests: 1, options: ONE_TRY });
      await told(worker, 'handling');
      worker.signal('SIGTERM');
      await told(worker, 'closing');
      worker.write('go on');
      expect(await worker.ended).toEqual({ code: 0, signal: null });
      expect(await told(client, 'replied')).toMatchObject({ worker: worker.name });
      expect(await told(queue, 'workerLost')).toMatchObject({ reason: 'gone', held: false });
      expect(await pirates.outcome()).toMatchObject({ ...ALL_WELL, repeated: 0 });
    },
  );

  test('paranoid: dismissed and replaced in turn under load: nothing fails, nothing is done twice', async () => {
    const pirates = await startAll('paranoid', ONE_TRY, CALM);
    for (const worker of pirates.workers.slice(1)) {
      await pirates.startWorker();
      await toldAnew(worker, 'handling');
      expect(await worker.end('SIGTERM')).toEqual({ code: 0, signal: null });
    }
    await progress(pirates);
    expect(await pirates.outcome()).toMatchObject({ ...ALL_WELL, repeated: 0 });
  });
});

describe('the queue', () => {
  test.each([
    ['paranoid', 'tcp'],
    ['simple', 'ipc'],
  ] as const)(
    '%s, killed and restarted on the same %s endpoints: workers find it, clients’ retries succeed',
    async (protocol, transport) => {
      const pirates = await startAll(protocol, MANY_TRIES, HEARTBEATS, transport);
      for (let round = 0; round < 2; round++) {
        await progress(pirates);
        await pirates.queue.end('SIGKILL');
        await pirates.startQueue(MAX_ATTEMPTS);
        await pirates.workersReady(3);
      }
      await progress(pirates);
      expect(await pirates.outcome()).toMatchObject(ALL_WELL);
    },
  );

  test('stopped for 2 s: every request is replied to, of both protocols', async () => {
    await Promise.all(PROTOCOLS.map(stopQueue));
  });

  test('dismissed and restarted: what runs is answered, what waits asked again, none done twice', async () => {
    const pirates = await startAll('paranoid', { ...MANY_TRIES, attemptTimeout: 10_000 }, CALM);
    expect(await pirates.queue.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(allTold(pirates.queue, 'drained')).toHaveLength(1);
    await pirates.startQueue(MAX_ATTEMPTS);
    await pirates.workersReady(3);
    await progress(pirates);
    expect(await pirates.outcome()).toMatchObject({ ...ALL_WELL, repeated: 0 });
  });
});

describe('clients and everybody', () => {
  test('a killed client takes its queued requests along and disturbs nobody', async () => {
    const pirates = await startAll('paranoid', ONE_TRY);
    const victim = pirates.startClient({ concurrency: 30, options: ONE_TRY });
    await told(victim, 'replied');
    await pirates.killClient(victim);
    await told(pirates.queue, 'requestCancelled');
    await progress(pirates);
    const report = await pirates.finish();
    expect(report).toMatchObject({ failed: {}, violations: [] });
    expect(report.abandoned).toBeGreaterThan(0);
    expect(report.replied + report.abandoned).toBe(report.requested);
  });

  test.each(PROTOCOLS)('%s: a storm of all of it loses no request', async (protocol) => {
    const pirates = await startAll(protocol, MANY_TRIES);
    const [sleeper, ...others] = pirates.workers as [Child, ...Child[]];
    const restart = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
      await pirates.queue.end(signal);
      await pirates.startQueue({ ...MAX_ATTEMPTS, attemptTimeout: 500 });
    };
    const replace = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
      others.push(pirates.launchWorker());
      await others.shift()!.end(signal);
    };
    sleeper.signal('SIGSTOP');
    await Promise.all([restart('SIGKILL'), replace('SIGKILL')]);
    await progress(pirates);
    await Promise.all([replace('SIGTERM'), restart('SIGKILL')]);
    sleeper.signal('SIGCONT');
    await Promise.all([restart('SIGTERM'), replace('SIGKILL'), replace('SIGTERM')]);
    await progress(pirates);
    expect(await pirates.outcome()).toMatchObject(ALL_WELL);
  });
});

/** A queue, two workers and a client, in full swing: the first worker's link and the client's have proxies. */
async function startLinked(
  protocol: 'simple' | 'paranoid',
  options: LazyPirateClientOptions,
  queueOptions?: ParanoidPirateQueueOptions,
) {
  const pirates = new Pirates(protocol);
  const queue = await pirates.startQueue({ ...MAX_ATTEMPTS, ...queueOptions });
  const workerLink = await pirates.openProxy(pirates.backend);
  const clientLink = await pirates.openProxy(pirates.frontend);
  const worker = pirates.launchWorker({ endpoint: workerLink.endpoint });
  const client = pirates.startClient({ endpoint: clientLink.endpoint, options });
  await pirates.startWorkers(1);
  await Promise.all([told(worker, 'handling'), progress(pirates)]);
  const proxies = { workerLink: workerLink.proxy, clientLink: clientLink.proxy };
  return { pirates, queue, worker, client, ...proxies };
}

describe('links', () => {
  test('paranoid: reset with a request in the worker’s hands: it goes on, and its reply counts', async () => {
    const pirates = new Pirates('paranoid', CALM);
    const queue = await pirates.startQueue({ noticeGrace: 5000 });
    const { proxy, endpoint } = await pirates.openProxy(pirates.backend);
    const worker = await pirates.startWorker({ mode: 'hold', endpoint });
    const client = pirates.startClient({ requests: 1, options: ONE_TRY });
    await told(worker, 'handling');
    proxy.reset();
    await vi.waitUntil(() => proxy.counters.accepted === 2, { timeout: 10_000 });
    worker.write('go on');
    expect(await told(client, 'replied')).toMatchObject({ worker: worker.name });
    expect(await pirates.outcome()).toMatchObject({ ...ALL_WELL, repeated: 0 });
    expect(allTold(queue, 'workerLost')).toEqual([]);
  });

  test.each(PROTOCOLS)('%s: a worker’s, reset again and again under load', async (protocol) => {
    const { pirates, worker, workerLink } = await startLinked(protocol, ONE_TRY);
    for (let round = 0; round < 5; round++) {
      await toldAnew(worker, 'handling');
      expect(workerLink.reset()).toBe(1);
    }
    await toldAnew(worker, 'handling');
    await progress(pirates);
    expect(await pirates.outcome()).toMatchObject(ALL_WELL);
  });

  test.each([
    ['paranoid', 'workerLost', 'workerReady'],
    ['simple', 'workerOverdue', 'workerRecovered'],
  ] as const)('%s: a worker’s, held one way: %s, and %s', async (protocol, lost, back) => {
    const linked = await startLinked(protocol, ONE_TRY, { attemptTimeout: 400 });
    const { pirates, queue, worker, workerLink } = linked;
    for (const way of ['up', 'down'] as const) {
      queue.passOver();
      workerLink.pause(way);
      await told(queue, lost);
      await progress(pirates);
      workerLink.resume();
      await told(queue, back);
      await toldAnew(worker, 'handling');
    }
    await progress(pirates);
    expect(await pirates.outcome()).toMatchObject(ALL_WELL);
  });

  test('a client’s, reset, and held one way: its retries succeed', async () => {
    const { pirates, client, clientLink } = await startLinked('paranoid', MANY_TRIES);
    for (let round = 0; round < 3; round++) {
      await progress(pirates);
      expect(clientLink.reset()).toBeGreaterThan(0);
    }
    await told(client, 'retry');
    for (const way of ['up', 'down'] as const) {
      await progress(pirates);
      clientLink.pause(way);
      await toldAnew(client, 'retry');
      clientLink.resume();
    }
    await progress(pirates);
    expect(await pirates.outcome()).toMatchObject(ALL_WELL);
  });
});
