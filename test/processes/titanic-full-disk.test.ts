/**
 * A Titanic on a disk of its own that is full: it takes nothing new, loses nothing, lets go what is
 * closed, and goes on by itself when there is room again.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { TitanicClient, TitanicError } from '../../src/index.ts';
import type { Child } from './child.ts';
import { allTold, told, toldWith } from './processes.ts';
import { Titanics } from './titanics.ts';

const MiB = 1024 * 1024;
const mounts: string[] = [];

/** A file system of its own in memory; undefined where this process may not mount one. */
function mount(): string | undefined {
  const path = mkdtempSync(join(tmpdir(), 'uns-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', path]);
  if (status === 0) {
    mounts.push(path);
    return path;
  }
  rmdirSync(path);
  return undefined;
}

function unmountAll(): void {
  for (const path of mounts.splice(0)) {
    // Whoever is still in there was killed, and leaves it to itself.
    spawnSync('umount', ['-l', path]);
    rmdirSync(path);
  }
}

const withoutMount = mount() === undefined;
unmountAll();
if (withoutMount) {
  process.stderr.write('\nTests with a full disk are skipped: mounting a tmpfs needs root\n');
}

afterEach(unmountAll);

/** A broker, a worker, a Titanic on a small disk, and what fills that. */
class FullDisk {
  readonly titanics = new Titanics();
  readonly client = new TitanicClient({ attemptTimeout: 2000, backoff: 20, drainTimeout: 0 });
  readonly #disk = mount() ?? '';
  readonly #filler = join(this.#disk, 'filler');
  titanic!: Child;
  worker!: Child;

  async open(): Promise<void> {
    mkdirSync(this.#directory);
    await this.titanics.startBroker();
    this.worker = await this.titanics.startWorker();
    await this.start();
    this.client.connect(this.titanics.endpoint);
  }

  async start(): Promise<void> {
    this.titanic = await this.titanics.startTitanic({
      directory: this.#directory,
      tells: ['storageChanged', 'requestDone'],
      options: { storage: { ballastBytes: 4 * MiB } },
    });
  }

  async submit(bytes: number, options?: { delay?: number; work?: number }): Promise<string> {
    const id = randomBytes(16).toString('hex');
    const payload = randomBytes(bytes / 2).toString('hex');
    const { delay = 0, work = 0 } = options ?? {};
    const order = JSON.stringify({ id, payload, work, fate: 'reply' });
    return await this.client.submit('digest', order, { id, delay });
  }

  /** As the text of the whole reply. */
  async fetch(id: string, wait = 20_000): Promise<string | undefined> {
    return (await this.client.fetch(id, { wait }))?.text();
  }

  /** Leaves no room, to the last byte. */
  fill(): void {
    const file = openSync(this.#filler, 'a');
    try {
      for (const size of [MiB, 4096]) {
        const piece = Buffer.alloc(size, 1);
        while (writeSync(file, piece) === size);
      }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    } finally {
      closeSync(file);
    }
  }

  makeRoom(): void {
    rmSync(this.#filler);
  }

  get #directory(): string {
    return join(this.#disk, 'store');
  }
}

/** A disk that is full, and known to be so: with a reply, and a request that is not due. */
async function startFull(): Promise<{
  disk: FullDisk;
  done: string;
  reply: string;
  late: string;
}> {
  const disk = new FullDisk();
  await disk.open();
  const done = await disk.submit(1000);
  const reply = (await disk.fetch(done)) ?? '';
  expect(reply).toContain(done);
  const late = await disk.submit(1000, { delay: 600_000 });
  disk.fill();
  await expect(disk.submit(100_000)).rejects.toMatchObject({ code: 'ERR_STORAGE_FULL' });
  await toldWith(disk.titanic, 'storageChanged', { state: 'full' });
  return { disk, done, reply, late };
}

describe.skipIf(withoutMount)('a Titanic whose disk is full', () => {
  test('refuses submits, fetches and closes on, and takes them again when there is room', async () => {
    const { disk, done, reply, late } = await startFull();
    for (let time = 0; time < 20; time++) {
      await expect(disk.submit(1000)).rejects.toBeInstanceOf(TitanicError);
    }
    expect(await disk.fetch(done)).toBe(reply);
    expect(await disk.client.status(late)).toMatchObject({ state: 'delayed' });
    await disk.client.forget(late);
    expect(await disk.client.status(late)).toBeUndefined();

    disk.makeRoom();
    const next = await vi.waitFor(() => disk.submit(1000), { timeout: 10_000, interval: 100 });
    expect(await disk.fetch(next)).toContain(next);
    expect(await disk.fetch(done)).toBe(reply);
    expect(await disk.client.status(late)).toBeUndefined();
    await disk.client.close();
  });

  test('keeps the reply that it could not store, and stores it when there is room', async () => {
    const disk = new FullDisk();
    await disk.open();
    const id = await disk.submit(1000, { work: 500 });
    await toldWith(disk.worker, 'handling', { id });
    disk.fill();
    await expect(disk.submit(100_000)).rejects.toMatchObject({ code: 'ERR_STORAGE_FULL' });
    await toldWith(disk.titanic, 'storageChanged', { state: 'full' });
    expect(await disk.fetch(id, 1000)).toBeUndefined();
    disk.makeRoom();
    expect(await disk.fetch(id)).toContain(id);
    expect(allTold(disk.worker, 'handling')).toHaveLength(1);
    await disk.client.close();
  });

  test('starts again on the full disk when it is killed, and goes on as before', async () => {
    const { disk, done, reply, late } = await startFull();
    await disk.client.forget(late);
    await disk.titanic.end('SIGKILL');
    await disk.start();
    expect(await disk.fetch(done)).toBe(reply);
    expect(await disk.client.status(late)).toBeUndefined();
    await disk.client.forget(done);
    expect(await disk.client.status(done)).toBeUndefined();
    await disk.client.close();
  });

  test('has its reserve to start with when it is killed before it noticed', async () => {
    const disk = new FullDisk();
    await disk.open();
    const done = await disk.submit(1000);
    const reply = await disk.fetch(done);
    await disk.titanic.end('SIGKILL');
    disk.fill();
    await disk.start();
    expect(await disk.fetch(done)).toBe(reply);
    await disk.client.forget(done);
    expect(await disk.client.status(done)).toBeUndefined();
    await disk.client.close();
  });

  test('does not start when others have taken the last byte, and has lost nothing then', async () => {
    const { disk, done, reply, late } = await startFull();
    await disk.titanic.end('SIGKILL');
    disk.fill();
    await expect(disk.start()).rejects.toThrow('ERR_STORAGE_FULL');
    disk.makeRoom();
    await disk.start();
    expect(await disk.fetch(done)).toBe(reply);
    expect(await disk.client.status(late)).toMatchObject({ state: 'delayed' });
    const next = await disk.submit(1000);
    expect(await disk.fetch(next)).toContain(next);
    await disk.client.close();
  });

  test('acknowledges exactly what it keeps while it fills up', async () => {
    const disk = new FullDisk();
    await disk.open();
    const kept: string[] = [];
    const refused = new Set<string>();
    while (refused.size === 0 && kept.length < 1000) {
      const submits = Array.from({ length: 8 }, () => disk.submit(100_000, { delay: 600_000 }));
      for (const each of await Promise.allSettled(submits)) {
        if (each.status === 'fulfilled') kept.push(each.value);
        else refused.add(each.reason instanceof TitanicError ? each.reason.code : 'another error');
      }
    }
    expect([...refused]).toEqual(['ERR_STORAGE_FULL']);
    expect(kept.length).toBeGreaterThan(50);
    await disk.titanic.end('SIGKILL');
    await disk.start();
    const listed = new Set<string>();
    for await (const { id, state } of disk.client.admin.list()) {
      expect(state).toBe('delayed');
      listed.add(id);
    }
    expect(kept.filter((id) => !listed.has(id))).toEqual([]);

    // What is closed makes room, with time: LevelDB gives it back when it compacts.
    await Promise.all(kept.map((id) => disk.client.forget(id)));
    const next = await vi.waitFor(() => disk.submit(1000), { timeout: 15_000, interval: 100 });
    expect(await disk.fetch(next)).toContain(next);
    await told(disk.titanic, 'requestDone');
    await disk.client.close();
  });
});
