/** The storage in a directory: it keeps what it was given, and says what is wrong with a directory. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LevelEngine } from '../../src/storage/level-engine.ts';
import { openStorage } from '../../src/storage/open.ts';
import { MemoryEngine } from '../../src/storage/memory-engine.ts';
import { checkStorageLaws } from '../../src/testing/storage-laws.ts';
import { Child } from '../processes/child.ts';
import { close, freshPath, openWith, put, read, SMALL, whyNot, write } from './level-places.ts';

const MiB = 1024 * 1024;

test('the laws of a storage hold over LevelDB', async () => {
  const checked = checkStorageLaws(
    () => {
      const directory = freshPath();
      return {
        open: () => LevelEngine.open(directory, SMALL),
        remove: () => rmSync(directory, { recursive: true }),
      };
    },
    { numRuns: 12, seed: 20_261_124 },
  );
  await expect(checked).resolves.toBeUndefined();
});

test('records survive, in directories that were not there before', async () => {
  const directory = join(freshPath(), 'deep', 'down');
  const first = await openWith(directory);
  await put(first.storage, 'b', 'two words');
  await put(first.storage, 'a', 'one');
  await put(first.storage, 'c', 'gone');
  await write(first.storage, { deletes: ['c'] });
  await close(first.storage);

  const second = await openWith(directory);
  expect([...second.found]).toEqual([
    ['a', 'one'],
    ['b', 'two words'],
  ]);
  expect(await read(second.storage, 'b')).toBe('two words');
  expect(await read(second.storage, 'c')).toBeUndefined();
  expect(second.storage.status().bytes).toBeGreaterThan(100);
  await close(second.storage);
});

test('any engine is opened in the same way', async () => {
  const engine = new MemoryEngine();
  const first = await openStorage(engine);
  await put(first, 'a', 'one');
  await close(first);
  const second = await openStorage(engine, { durability: 'os' });
  expect(await read(second, 'a')).toBe('one');
  await close(second);
  await expect(openStorage(engine, { damage: 'ignore' } as never)).rejects.toThrow(/damage/);
});

test('one process at a time, and in it one storage at a time', async () => {
  const directory = freshPath();
  const code = `import { openStorage } from 'unsinkable/storage';
    await openStorage(${JSON.stringify(directory)}, { ballastBytes: 0 });
    console.log('open');
    process.stdin.resume();`;
  const holder = new Child('holder', process.execPath, ['--input-type=module', '-e', code]);
  await holder.line(/open/);
  expect(await whyNot(directory)).toBe('ERR_STORAGE_IN_USE');
  // Nor does one who would repair it touch it.
  expect(await whyNot(directory, { ...SMALL, damage: 'accept' })).toBe('ERR_STORAGE_IN_USE');
  await holder.end('SIGKILL');
  const { storage } = await openWith(directory);
  await expect(openWith(directory)).rejects.toThrow(`${directory} is used by another process`);
  await close(storage);
  expect(await whyNot(directory)).toBe('opened');
});

test('what cannot be a storage is named', async () => {
  const file = freshPath();
  writeFileSync(file, 'a file');
  expect(await whyNot(file)).toBe('ERR_STORAGE_UNAVAILABLE');
  expect(await whyNot(join(file, 'below'))).toBe('ERR_STORAGE_UNAVAILABLE');
  // Nobody may create anything there, whoever it is.
  expect(await whyNot('/proc/unsinkable')).toBe('ERR_STORAGE_UNAVAILABLE');
  await expect(openWith(file)).rejects.toThrow(`${file} cannot be used as a storage`);

  const crooked = freshPath();
  mkdirSync(crooked);
  writeFileSync(join(crooked, 'level'), 'not a directory');
  expect(await whyNot(crooked)).toBe('ERR_STORAGE_UNAVAILABLE');
});

test('files of others do not disturb it, and are left alone', async () => {
  const directory = freshPath();
  mkdirSync(join(directory, 'lost+found'), { recursive: true });
  writeFileSync(join(directory, 'notes.txt'), 'mine');
  const { storage } = await openWith(directory);
  await put(storage, 'a', 'one');
  await close(storage);
  expect(await whyNot(directory)).toBe('opened');
  expect(readdirSync(directory)).toEqual(expect.arrayContaining(['lost+found', 'notes.txt']));
});

test('garbage in place of a storage is refused, and nothing is cleared away', async () => {
  const directory = freshPath();
  mkdirSync(join(directory, 'level'), { recursive: true });
  writeFileSync(join(directory, 'level', 'CURRENT'), 'garbage');
  writeFileSync(join(directory, 'level', '000007.ldb'), 'garbage');
  expect(await whyNot(directory)).toBe('ERR_STORAGE_CORRUPT');
  expect(readdirSync(join(directory, 'level'))).toContain('000007.ldb');
});

async function storageOf(keys: number): Promise<string> {
  const directory = freshPath();
  const { storage } = await openWith(directory);
  for (let key = 0; key < keys; key++) await put(storage, `key ${key}`, `value ${key}`);
  await close(storage);
  return directory;
}

test('a log that is gone or empty is noticed, as what was acknowledged is noted elsewhere', async () => {
  for (const harm of [(log: string) => rmSync(log), (log: string) => truncateSync(log)]) {
    const directory = await storageOf(3);
    const level = join(directory, 'level');
    const log = readdirSync(level).find((name) => name.endsWith('.log'))!;
    expect(statSync(join(level, log)).size).toBeGreaterThan(0);
    harm(join(level, log));
    await expect(openWith(directory)).rejects.toThrow(/were? acknowledged/);
    const { storage, found } = await openWith(directory, { ...SMALL, damage: 'accept' });
    expect(found.size).toBe(0);
    await put(storage, 'key 9', 'value 9');
    await close(storage);
    const accepted = await openWith(directory);
    expect([...accepted.found.keys()]).toEqual(['key 9']);
    await close(accepted.storage);
  }
});

test('LevelDB would begin anew without CURRENT: it is refused, and can be repaired', async () => {
  const directory = await storageOf(3);
  rmSync(join(directory, 'level', 'CURRENT'));
  expect(await whyNot(directory)).toBe('ERR_STORAGE_CORRUPT');
  const { storage, found } = await openWith(directory, { ...SMALL, damage: 'accept' });
  expect(found.size).toBe(3);
  await close(storage);
  expect(await whyNot(directory)).toBe('opened');
});

test('without what was noted nobody knows whether all is there', async () => {
  const directory = await storageOf(3);
  rmSync(join(directory, 'noted'));
  expect(await whyNot(directory)).toBe('ERR_STORAGE_CORRUPT');
  expect(await whyNot(directory, { ...SMALL, damage: 'accept' })).toBe('opened');
  expect(await whyNot(directory)).toBe('opened');
});

test('the lock holds nothing that could be lost', async () => {
  const directory = await storageOf(1);
  writeFileSync(join(directory, 'lock', 'CURRENT'), 'garbage');
  expect(await whyNot(directory)).toBe('opened');
});

test('the ballast is real blocks, held from the beginning and over restarts', async () => {
  const directory = freshPath();
  const ballast = join(directory, 'ballast');
  const options = { ballastBytes: 3 * MiB };
  expect(await whyNot(directory, options)).toBe('opened');
  const held = statSync(ballast);
  expect(held.blocks * 512).toBeGreaterThanOrEqual(3 * MiB);
  expect(await whyNot(directory, options)).toBe('opened');
  expect(statSync(ballast).mtimeMs).toBe(held.mtimeMs);

  const engine = await LevelEngine.open(directory, options);
  engine.release();
  expect(existsSync(ballast)).toBe(false);
  expect(await new Promise((resolve) => engine.reserve(resolve))).toBe(true);
  expect(statSync(ballast).size).toBe(3 * MiB);
  await new Promise<void>((resolve) => engine.close(resolve));
});
