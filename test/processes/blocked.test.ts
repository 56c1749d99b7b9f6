/** Workers as real processes whose event loop stands still: they are stalled, not gone. */
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { allTold, Cluster, told } from './cluster.ts';

const HEARTBEATS = { heartbeatInterval: 200, heartbeatLiveness: 3 };

/** Milliseconds: more than eight times the expiry. */
const BLOCKED = 5000;

const ONE_TRY = { timeout: 20_000, retries: 0 };

test('a handler may block the event loop far beyond the expiry, and its reply still counts', async () => {
  const cluster = new Cluster();
  const broker = await cluster.startBroker(HEARTBEATS);
  const blocked = await cluster.startWorker({ mode: 'block', options: HEARTBEATS });
  const client = cluster.startClient({ requests: 1, concurrency: 1, options: ONE_TRY });
  await told(blocked, 'handling');
  await told(broker, 'workerStalled');
  await setTimeout(BLOCKED);
  expect(allTold(broker, 'workerLost')).toEqual([]);
  blocked.write('go');
  await told(client, 'replied');
  await told(broker, 'workerRecovered');
  const report = await cluster.finish();
  expect(report).toMatchObject({ requested: 1, replied: 1, repeated: 0, violations: [] });
});

test('while one worker is stalled, another one of the service takes what comes', async () => {
  const cluster = new Cluster();
  const broker = await cluster.startBroker(HEARTBEATS);
  const blocked = await cluster.startWorker({
    mode: 'block',
    options: { ...HEARTBEATS, concurrency: 100 },
  });
  const first = cluster.startClient({ requests: 1, concurrency: 1, options: ONE_TRY });
  await told(blocked, 'handling');
  await told(broker, 'workerStalled');
  await cluster.startWorker({ options: HEARTBEATS });
  const second = cluster.startClient({ requests: 5, concurrency: 1, options: ONE_TRY });
  expect(await second.ended).toMatchObject({ code: 0 });
  expect(allTold(first, 'replied')).toEqual([]);
  blocked.write('go');
  await told(first, 'replied');
  const report = await cluster.finish();
  expect(report).toMatchObject({ requested: 6, replied: 6, repeated: 0, violations: [] });
});

test('without its beacon, a blocked worker is taken for dead', async () => {
  const cluster = new Cluster();
  const broker = await cluster.startBroker({ ...HEARTBEATS, maxAttempts: 1 });
  const options = { ...HEARTBEATS, beacon: false };
  const blocked = await cluster.startWorker({ mode: 'block', options });
  const client = cluster.startClient({ requests: 1, concurrency: 1, options: ONE_TRY });
  await told(blocked, 'handling');
  const lost = await told(broker, 'workerLost');
  broker.passOver();
  expect(lost).toMatchObject({ reason: 'expired', held: true });
  expect(await told(client, 'failed')).toMatchObject({ code: 'ERR_ATTEMPTS_EXHAUSTED' });
  blocked.write('go');
  await told(broker, 'workerReady'); // and it is taken in again
});
