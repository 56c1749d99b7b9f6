/**
 * Everything around a Titanic as real processes: it is stopped, and with broker and workers killed in the
 * middle of a steady load. What all have written down is judged.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { TitanicClient } from '../../src/index.ts';
import type { Child } from './child.ts';
import { allTold, told, toldAnew, toldWith } from './processes.ts';
import { Titanics } from './titanics.ts';

/** What a history has to come down to, whatever was killed. */
const SOUND = { failed: {}, violations: [] };

/** Broker, two workers, a Titanic and two clients, in full swing. */
async function startAll(): Promise<{ all: Titanics; titanic: Child }> {
  const all = new Titanics();
  await all.startBroker();
  for (let count = 0; count < 2; count++) all.launchWorker();
  const titanic = await all.startTitanic();
  for (let count = 0; count < 2; count++) all.startClient();
  await progress(all);
  return { all, titanic };
}

/** Resolves when each client has got one more reply. */
async function progress({ clients }: Titanics): Promise<void> {
  await Promise.all(clients.map((client) => toldAnew(client, 'fetched')));
}

describe('a Titanic stopped for longer than its expiry', () => {
  test.each([
    { what: 'that ended meanwhile', work: 200, joins: 0 },
    { what: 'that goes on, by joining it', work: 2000, joins: 1 },
  ])('gets the reply of an execution $what', async ({ work, joins }) => {
    const all = new Titanics();
    const broker = await all.startBroker();
    const worker = await all.startWorker();
    const titanic = await all.startTitanic();
    await using client = new TitanicClient({ attemptTimeout: 2000, backoff: 20, drainTimeout: 0 });
    client.connect(all.endpoint);
    const submit = async (): Promise<string> => {
      const id = randomBytes(16).toString('hex');
      const order = JSON.stringify({ id, payload: 'ab', work, fate: 'reply' });
      return await client.submit('digest', order, { id });
    };

    const first = await submit();
    await toldWith(worker, 'handling', { id: first });
    titanic.signal('SIGSTOP');
    const fetched = client.fetch(first, { wait: 20_000 });
    const second = submit();
    await toldWith(broker, 'workerLost', { service: 'titanic.submit', reason: 'expired' });
    await vi.waitFor(() => expect(allTold(broker, 'clientLost')).not.toEqual([]), 5000);
    titanic.signal('SIGCONT');

    expect((await fetched)?.json()).toMatchObject({ id: first });
    expect((await client.fetch(await second, { wait: 20_000 }))?.json()).toMatchObject({
      id: await second,
    });
    for (const id of [first, await second]) {
      expect(allTold(worker, 'handling').filter((each) => each['id'] === id)).toHaveLength(1);
    }
    expect(allTold(broker, 'requestJoined').length).toBeGreaterThanOrEqual(joins);
  });

  test('loses nothing under load', async () => {
    const { all, titanic } = await startAll();
    await all.disturb(titanic, 'SIGSTOP');
    await toldWith(all.broker, 'workerLost', { service: 'titanic.submit', reason: 'expired' });
    titanic.signal('SIGCONT');
    await progress(all);
    expect(await all.audit()).toMatchObject(SOUND);
  });
});

describe('killed under load', () => {
  test('a worker in the middle of an execution, and the broker, in turn', async () => {
    const { all } = await startAll();
    for (let time = 0; time < 3; time++) {
      const victim = all.workers[time]!;
      await toldAnew(victim, 'handling');
      await all.disturb(victim);
      all.launchWorker();
      await progress(all);
      await all.disturb(all.broker);
      await all.startBroker();
      await progress(all);
    }
    const report = await all.audit();
    expect(report).toMatchObject(SOUND);
    expect(report.repeated).toBeGreaterThan(0);
  });

  test('everything at once, and each comes back in another order', async () => {
    const { all, titanic } = await startAll();
    let victim = titanic;
    for (let time = 0; time < 3; time++) {
      const victims = [victim, all.broker, ...all.workers.splice(0)];
      await Promise.all(victims.map((child) => all.disturb(child)));
      const starts = [
        async () => void (victim = all.launchTitanic()),
        async () => void (await all.startBroker()),
        async () => void [all.launchWorker(), all.launchWorker()],
      ];
      for (const start of [...starts.slice(time % 3), ...starts.slice(0, time % 3)]) await start();
      await told(victim, 'ready');
      await progress(all);
    }
    const report = await all.audit();
    expect(report).toMatchObject(SOUND);
    expect(report.submitted).toBeGreaterThan(20);
  });
});
