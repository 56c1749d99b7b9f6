/**
 * What a Titanic asks of the system: it syncs before it acknowledges, is told that a sync failed, and is
 * killed in front of each call that changes its store or sends a message.
 */
import { randomBytes } from 'node:crypto';
import { cpSync, rmSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import {
  MajordomoBroker,
  MajordomoWorker,
  Titanic,
  TitanicClient,
  TitanicError,
} from '../../src/index.ts';
import type { Durability } from '../../src/storage/index.ts';
import type { Child } from './child.ts';
import { told } from './processes.ts';
import {
  announceStrace,
  callsIn,
  failingSyncs,
  IS_THOROUGH,
  killedAt,
  recordingWrites,
  withoutStrace,
  writesBelow,
  type RecordedCall,
  type SystemCall,
} from './strace.ts';
import { Titanics } from './titanics.ts';

announceStrace();

const HEARTBEATS = { heartbeatInterval: 100, heartbeatLiveness: 3 };
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

function newId(): string {
  return randomBytes(16).toString('hex');
}

/** Broker, worker and client of this process, for a Titanic of another one. */
class Harbour {
  readonly titanics = new Titanics();
  readonly client = new TitanicClient({
    ...HEARTBEATS,
    drainTimeout: 0,
    attemptTimeout: 1000,
    backoff: 20,
    backoffLimit: 100,
  });
  /** Ids that were executed, again and again if they were so. */
  readonly executed: string[] = [];
  readonly #broker = new MajordomoBroker({ ...HEARTBEATS, drainTimeout: 0 });
  readonly #worker = new MajordomoWorker(
    'upper',
    (request) => {
      const id = request.text();
      this.executed.push(id);
      return `${id} ${this.executed.length}`;
    },
    { ...HEARTBEATS, drainTimeout: 0 },
  );
  endpoint = '';

  async open(): Promise<void> {
    this.endpoint = await this.#broker.bind('tcp://127.0.0.1:*');
    this.#worker.connect(this.endpoint);
    this.client.connect(this.endpoint);
    closing.push(async () => {
      await Promise.all([this.client.close(), this.#worker.close()]);
      await this.#broker.close();
    });
    await this.#worker.ready();
  }

  async submit(options?: { delay: number }): Promise<string> {
    const id = newId();
    return await this.client.submit('upper', id, { id, ...options });
  }

  async fetch(id: string): Promise<string> {
    const reply = await this.client.fetch(id, { wait: 20_000 });
    return reply?.text() ?? 'nothing';
  }

  async isKnown(id: string): Promise<boolean> {
    try {
      await this.client.fetch(id);
      return true;
    } catch (error) {
      if (error instanceof TitanicError && error.code === 'ERR_UNKNOWN_REQUEST') return false;
      throw error;
    }
  }

  launch(
    directory: string,
    under: readonly string[] = [],
    durability: Durability = 'fsync',
  ): Child {
    const options = { ...HEARTBEATS, storage: { durability } };
    return this.titanics.launchTitanic({ endpoint: this.endpoint, directory, options }, under);
  }
}

function isLog({ path }: RecordedCall): boolean {
  return path.endsWith('.log');
}

/** Whether a sync of the log ended between the write of this id to it and the message that acknowledges it. */
async function isSyncedBefore200(durability: Durability): Promise<boolean> {
  const harbour = new Harbour();
  await harbour.open();
  const log = harbour.titanics.path('calls');
  const calls = 'trace=write,sendto,sendmsg,fsync,fdatasync';
  const under = ['strace', '-f', '-y', '-s', '65536', '-o', log, '-e', calls];
  const titanic = harbour.launch(harbour.titanics.path('store'), under, durability);
  await told(titanic, 'ready');
  // Not due before all is over: no other message tells of it.
  const id = await harbour.submit({ delay: 600_000 });
  titanic.write('stop');
  await titanic.ended;

  const made = callsIn(log);
  const written = made.find((call) => isLog(call) && call.text.includes(id));
  const sent = made.find(({ name, text }) => name.startsWith('send') && text.includes(id));
  expect(written?.name).toBe('write');
  expect(sent?.text).toMatch(new RegExp(`200.${id}`));
  expect(sent!.begunAt).toBeGreaterThan(written!.endedAt);
  return made.some(
    (call) =>
      call.path === written!.path &&
      call.name.endsWith('sync') &&
      call.begunAt > written!.endedAt &&
      call.endedAt < sent!.begunAt,
  );
}

describe.skipIf(withoutStrace)('a submit', () => {
  test('is on the disk before the message with its 200 leaves', async () => {
    expect(await isSyncedBefore200('fsync')).toBe(true);
  });

  test("is not, and that is seen, with the durability 'os'", async () => {
    expect(await isSyncedBefore200('os')).toBe(false);
  });
});

describe.skipIf(withoutStrace)('a failed fsync', () => {
  test('refuses all that would be stored until the Titanic is restarted, and loses nothing', async () => {
    const harbour = new Harbour();
    await harbour.open();
    const store = harbour.titanics.path('store');
    // The first is that of the ledger, the second is the submit's.
    const under = ['strace', ...failingSyncs(`${store}/level/000003.log`, 3)];
    const titanic = harbour.launch(store, under);
    const delay = 600_000;
    const kept = await harbour.submit({ delay });
    const refusal = { code: 'ERR_STORAGE_FAILED' };
    await expect(harbour.submit({ delay })).rejects.toMatchObject(refusal);
    await expect(harbour.client.forget(kept)).rejects.toMatchObject(refusal);
    expect(await harbour.client.status(kept)).toMatchObject({ state: 'delayed' });
    titanic.write('stop');
    await titanic.ended;

    const restarted = harbour.launch(store);
    const next = await harbour.submit();
    expect(await harbour.fetch(next)).toContain(next);
    expect(await harbour.client.status(kept)).toMatchObject({ state: 'delayed' });
    await restarted.end('SIGKILL');
  });
});

/** What is done with a Titanic that is killed, and what it had before. */
class Voyage extends Harbour {
  readonly #store = this.titanics.path('store');
  readonly #prepared = this.titanics.path('prepared');
  #before = { done: '', reply: '', closed: '', delayed: '' };

  /** Makes a store with a request of each kind. */
  async prepare(): Promise<void> {
    await this.open();
    const titanic = this.launch(this.#store);
    const [done, closed, delayed] = await Promise.all([
      this.submit(),
      this.submit({ delay: 600_000 }),
      this.submit({ delay: 600_000 }),
    ]);
    await this.client.forget(closed);
    this.#before = { done, closed, delayed, reply: await this.fetch(done) };
    await titanic.end('SIGKILL');
    cpSync(this.#store, this.#prepared, { recursive: true });
  }

  /** All calls that change what is read again later. */
  async calls(): Promise<SystemCall[]> {
    const log = this.titanics.path('calls');
    this.#lay();
    const titanic = this.launch(this.#store, ['strace', ...recordingWrites(log)]);
    const { kept } = await this.#sail();
    await this.fetch(kept);
    titanic.write('stop');
    await titanic.ended;
    return writesBelow(this.#store, log).filter(({ path }) => !/\/(?:LOG.*|LOCK)$/.test(path));
  }

  /** Whether it was killed at this call while the same was done, and what was wrong then. */
  async killAt(call: SystemCall): Promise<{ isKilled: boolean; faults: string[] }> {
    this.#lay();
    const titanic = this.launch(this.#store, ['strace', ...killedAt(call)]);
    const sailed = this.#sail();
    const sailedOrSunk = Promise.race([titanic.ended, sailed.then(({ kept }) => this.fetch(kept))]);
    await sailedOrSunk;
    // Whoever was not killed at this call is killed now.
    const isKilled = titanic.ending?.signal === 'SIGKILL';
    titanic.write('stop');
    await titanic.ended;
    const second = await Titanic.open(this.#store, { ...HEARTBEATS, drainTimeout: 0 });
    second.connect(this.endpoint);
    const faults = await this.#faults(await sailed);
    await second.close();
    return { isKilled, faults: faults.map((fault) => `${call.text}: ${fault}`) };
  }

  /** Submits, fetches and closes; whoever has to restart meanwhile, all of it is acknowledged. */
  async #sail(): Promise<{ forgotten: string; dropped: string; kept: string }> {
    this.executed.length = 0;
    const dropped = await this.submit({ delay: 600_000 });
    await this.client.forget(dropped);
    const forgotten = await this.submit();
    await this.fetch(forgotten);
    await this.client.forget(forgotten);
    return { forgotten, dropped, kept: await this.submit() };
  }

  /** What is not as it was acknowledged. */
  async #faults(sailed: { forgotten: string; dropped: string; kept: string }): Promise<string[]> {
    const { done, reply, closed, delayed } = this.#before;
    const { forgotten, dropped, kept } = sailed;
    const faults: string[] = [];
    const expectThat = (holds: boolean, fault: string): void => void (holds || faults.push(fault));
    expectThat((await this.fetch(done)) === reply, 'the reply of before is another one');
    const keptReply = await this.fetch(kept);
    expectThat(keptReply.startsWith(kept), `the reply is '${keptReply}'`);
    expectThat(keptReply === (await this.fetch(kept)), 'the reply changes');
    for (const id of [closed, forgotten, dropped]) {
      expectThat(!(await this.isKnown(id)), `${id} was closed, and is there`);
    }
    const listed: string[] = [];
    for await (const { id } of this.client.admin.list()) listed.push(id);
    const expected = [done, delayed, kept];
    expectThat(
      listed.toSorted().join() === expected.toSorted().join(),
      `listed are ${listed.join()} instead of ${expected.join()}`,
    );
    const times = (id: string): number => this.executed.filter((each) => each === id).length;
    expectThat(times(dropped) + times(closed) + times(delayed) === 0, 'it executed what is closed');
    expectThat(times(forgotten) <= 2 && times(kept) <= 2, 'it executed more than twice');
    return faults;
  }

  #lay(): void {
    rmSync(this.#store, { recursive: true, force: true });
    cpSync(this.#prepared, this.#store, { recursive: true });
  }
}

/** So that nobody waits for long: a run takes every so manieth call unless it is to take all. */
const STEP = IS_THOROUGH ? 1 : 12;
const SEND_STEP = IS_THOROUGH ? 1 : 40;

describe.skipIf(withoutStrace)('a Titanic loses nothing and executes nothing closed', () => {
  test('killed at each call that changes its store', async () => {
    const voyage = new Voyage();
    await voyage.prepare();
    const calls = await voyage.calls();
    expect(calls.length).toBeGreaterThan(40);
    const chosen = calls.filter((_, index) => index % STEP === 0);
    const faults: string[] = [];
    let kills = 0;
    for (const call of chosen) {
      const killed = await voyage.killAt(call);
      if (killed.isKilled) kills++;
      faults.push(...killed.faults);
    }
    expect(faults).toEqual([]);
    // How many commits there are depends a little on when what arrives.
    expect(kills).toBeGreaterThan(chosen.length * 0.8);
  }, 900_000);

  test('killed at each call that sends a message', async () => {
    const voyage = new Voyage();
    await voyage.prepare();
    const faults: string[] = [];
    let nth = 0;
    for (let isKilled = true; isKilled;) {
      nth += SEND_STEP;
      const text = `message ${nth}`;
      const killed = await voyage.killAt({ thread: '', name: 'sendto', path: '', nth, text });
      isKilled = killed.isKilled;
      faults.push(...killed.faults);
    }
    expect(faults).toEqual([]);
    // The first are those of the connections alone.
    expect(nth).toBeGreaterThan(60);
  }, 900_000);
});
