/** A disk that is full: what was acknowledged stays, what makes room goes on, and it ends by itself. */
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { beforeEach, describe, expect, test } from 'vitest';
import type { StorageError } from '../../src/core/errors.ts';
import type { Storage } from '../../src/storage/index.ts';
import { close, openWith, read, smallDisk, whyNot, write } from './level-places.ts';

const MiB = 1024 * 1024;
const DISK = 24;
const OPTIONS = { ballastBytes: 8 * MiB, cacheBytes: 0 };

const mayMount = smallDisk(DISK) !== undefined;
if (!mayMount)
  process.stderr.write(
    '\nTests of a full disk are skipped: they need root, to mount a small tmpfs\n',
  );

/** Bytes that no file system makes smaller. */
const value = (seed: number): Uint8Array =>
  Uint8Array.from({ length: 20_000 }, (_, index) => (seed * 7919 + index * index * 31) >>> 3);

/** Puts new records until one is refused; returns the keys of those that were not, and the refusal. */
async function fill(storage: Storage, from = 0): Promise<[string[], StorageError]> {
  const keys: string[] = [];
  for (let number = from; ; number++) {
    const key = `key ${number}`;
    try {
      await write(storage, { puts: [{ key, value: [value(number)] }] });
      keys.push(key);
    } catch (error) {
      return [keys, error as StorageError];
    }
  }
}

function room(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

describe.skipIf(!mayMount)('a full disk', () => {
  let disk = '';
  beforeEach(() => (disk = smallDisk(DISK)!));

  test('refuses what needs room, and takes what makes it, until it has room again', async () => {
    const directory = join(disk, 'storage');
    const { storage } = await openWith(directory, OPTIONS);
    const [keys, refusal] = await fill(storage);
    expect(refusal.code).toBe('ERR_STORAGE_FULL');
    expect(storage.state).toBe('full');
    expect(keys.length).toBeGreaterThan(200);
    expect(existsSync(join(directory, 'ballast'))).toBe(false);

    // Everything that was acknowledged can be read, and is there after a restart on the full disk.
    expect(await unreadable(storage, keys)).toEqual([]);
    await close(storage);
    const again = await openWith(directory, OPTIONS);
    expect([...again.found.keys()].toSorted()).toEqual(keys.toSorted());

    // Closes go on, all of them.
    const refused = await deleteAll(again.storage, keys);
    expect(refused).toEqual([]);
    await untilOpen(again.storage);
    expect(existsSync(join(directory, 'ballast'))).toBe(true);
    const [second] = await fill(again.storage, 1000);
    expect(second.length).toBeGreaterThan(100);
    await close(again.storage);
  });

  test('is opened with the help of the ballast, or refused by name', async () => {
    const directory = join(disk, 'storage');
    const { storage } = await openWith(directory, OPTIONS);
    for (let number = 0; number < 100; number++)
      await write(storage, { puts: [{ key: `key ${number}`, value: [value(number)] }] });
    await close(storage);
    const filler = join(disk, 'filler');
    writeFileSync(filler, Buffer.alloc(room(disk)));
    const { storage: again, found } = await openWith(directory, OPTIONS);
    expect(found.size).toBe(100);
    await close(again);

    writeFileSync(filler, Buffer.alloc(room(disk)), { flag: 'a' });
    expect(await whyNot(directory, OPTIONS)).toBe('ERR_STORAGE_FULL');
    rmSync(filler);
    expect(await whyNot(directory, OPTIONS)).toBe('opened');
  });

  test('LevelDB by itself loses what it acknowledges after it; opened anew it does not', async () => {
    expect(await lostAfterFull(disk, 'goes on')).toBeGreaterThan(0);
    expect(await lostAfterFull(disk, 'is opened anew')).toBe(0);
  });
});

async function unreadable(storage: Storage, keys: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(keys.map((key) => read(storage, key)));
  return keys.filter((_, index) => answers[index] === undefined || answers[index].length < 1000);
}

/** Deletes one by one, urgently; returns what was refused. */
async function deleteAll(storage: Storage, keys: readonly string[]): Promise<string[]> {
  const refused: string[] = [];
  for (const key of keys)
    await write(storage, { deletes: [key], urgent: true }).catch(() => refused.push(key));
  return refused;
}

/** Asks whether there is room again, until there is. */
async function untilOpen(storage: Storage): Promise<void> {
  while (storage.state === 'full') await write(storage, {}).catch(() => undefined);
}

/** How many records are gone at recovery of those that plain LevelDB acknowledged after a full disk. */
async function lostAfterFull(disk: string, how: 'goes on' | 'is opened anew'): Promise<number> {
  const location = join(disk, 'level');
  const filler = join(disk, 'filler');
  const openLevel = async (): Promise<ClassicLevel> => {
    // The log is rewritten when it is opened: room for that is not what this is about.
    const level = new ClassicLevel(location, { compression: false, writeBufferSize: 64 * MiB });
    await level.open();
    return level;
  };
  let level = await openLevel();
  writeFileSync(filler, Buffer.alloc(room(disk) - MiB));
  const put = (number: number): Promise<boolean> =>
    level.batch([{ type: 'put', key: `${number}`, value: 'x'.repeat(1000) }], { sync: true }).then(
      () => true,
      () => false,
    );
  let number = 0;
  while (await put(number)) number++;
  rmSync(filler);
  if (how === 'is opened anew') {
    await level.close();
    level = await openLevel();
  }
  const after: string[] = [];
  while (after.length < 100) if (await put(++number)) after.push(`${number}`);
  await level.close();
  level = await openLevel();
  const found = await level.getMany(after);
  await level.close();
  rmSync(location, { recursive: true });
  return found.filter((record) => record === undefined).length;
}
