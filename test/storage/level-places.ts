/** Fresh folders for storages on a disk, and files in them that are damaged on purpose. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { StorageBatch } from '../../src/core/batch.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { StorageError } from '../../src/core/errors.ts';
import { openStorage, type OpenStorageOptions, type Storage } from '../../src/storage/index.ts';

/** No space in reserve: most tests need none. */
export const SMALL = { ballastBytes: 0 } satisfies OpenStorageOptions;

const root = mkdtempSync(join(tmpdir(), 'unsinkable-storage-'));
const mounted: string[] = [];
let folders = 0;

afterAll(() => {
  for (const folder of mounted) spawnSync('umount', ['-l', folder]);
  rmSync(root, { recursive: true, force: true });
});

/** A path where nothing is yet. */
export function freshPath(): string {
  return join(root, `${++folders}`);
}

/** A folder with a small disk of its own; undefined where this process may not mount one. */
export function smallDisk(mebibytes: number): string | undefined {
  const folder = freshPath();
  mkdirSync(folder);
  const options = ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder];
  if (spawnSync('mount', options).status !== 0) return undefined;
  mounted.push(folder);
  return folder;
}

/** Every file below a folder. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .toSorted();
}

/** Opens, and collects the records that are handed over, each as words. */
export async function openWith(
  directory: string,
  options: OpenStorageOptions = SMALL,
): Promise<{ readonly storage: Storage; readonly found: Map<string, string> }> {
  const found = new Map<string, string>();
  const storage = await openStorage(directory, options, {
    each: (key, value) => found.set(key, value.map(decodeText).join(' ')),
  });
  return { storage, found };
}

/** The code of the error with which it does not open, or `opened`. */
export async function whyNot(
  directory: string,
  options: OpenStorageOptions = SMALL,
): Promise<string> {
  try {
    const { storage } = await openWith(directory, options);
    await close(storage);
    return 'opened';
  } catch (error) {
    return (error as StorageError).code;
  }
}

/** Resolves when the batch is durable. */
export function write(storage: Storage, batch: Partial<StorageBatch>): Promise<void> {
  return new Promise((resolve, reject) => {
    storage.write({ puts: [], deletes: [], ...batch }, (error) =>
      error === undefined ? resolve() : reject(error),
    );
  });
}

export function put(storage: Storage, key: string, words: string): Promise<void> {
  return write(storage, { puts: [{ key, value: words.split(' ').map(encodeText) }] });
}

/** Words, undefined, or a code. */
export function read(storage: Storage, key: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    storage.read(key, (error, value) => resolve(error?.code ?? value?.map(decodeText).join(' ')));
  });
}

export function close(storage: Storage): Promise<void> {
  return new Promise((resolve) => storage.close(resolve));
}
