/**
 * Damage on the disk: whatever happened to the files of a storage, it opens with all records right, or with
 * the damaged ones in quarantine, or it is refused. Never is a wrong value given, nor is one missing silently.
 */
import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { beforeAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import type { Random } from '../../src/core/retry.ts';
import { StorageError } from '../../src/core/errors.ts';
import { crc32c } from '../../src/storage/crc32c.ts';
import { tableFault } from '../../src/storage/level-table.ts';
import {
  close,
  filesBelow,
  freshPath,
  openWith,
  read,
  SMALL,
  smallDisk,
  write,
} from './level-places.ts';
import { encodeText } from '../../src/core/frames.ts';

const SEED = 20_261_125;
const RECORDS = 250;

/** What the storage holds, and where it is. */
const truth = new Map<string, string>();
/** In memory where this process may mount a disk there: what is damaged need not be durable first. */
const disk = smallDisk(64) ?? freshPath();
const original = join(disk, 'original');
const copy = join(disk, 'copy');

/** Several lives: records are in several tables and a log; some were overwritten, some deleted. */
async function build(): Promise<void> {
  for (const generation of [1, 2, 3, 4]) {
    const { storage } = await openWith(original);
    for (let number = 0; number < RECORDS; number += generation) {
      const key = `request:${crc32c(encodeText(`${number}`))
        .toString(16)
        .padStart(32, '0')}`;
      const isDeleted = generation === 3 && number % 2 === 1;
      const words = `${key} ${generation} ${'body'.repeat(number % 40)}`;
      if (isDeleted) truth.delete(key);
      else truth.set(key, words);
      const value = words.split(' ').map(encodeText);
      await write(storage, isDeleted ? { deletes: [key] } : { puts: [{ key, value }] });
    }
    await close(storage);
  }
}

/** Opens a copy of it, of which one file is harmed, and tells how it ended. */
async function outcomeOf(harm: (path: string) => void, path: string): Promise<string> {
  const directory = copy;
  cpSync(original, directory, { recursive: true });
  harm(join(directory, path));
  try {
    const { storage, found } = await openWith(directory);
    const quarantined = new Set(storage.status().quarantined);
    const faults: string[] = [];
    for (const [key, words] of truth) {
      if (found.get(key) !== words && !quarantined.has(key)) faults.push(`${key} was not given`);
      const answer = await read(storage, key);
      if (answer !== words && answer !== 'ERR_STORAGE_CORRUPT') faults.push(`${key}: ${answer}`);
    }
    for (const key of found.keys()) if (!truth.has(key)) faults.push(`${key} came back`);
    await close(storage);
    if (faults.length > 0) return faults.join(', ');
    return quarantined.size === 0 ? 'right' : 'quarantined';
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    const isNamed = error.message.includes(directory);
    return error.code === 'ERR_STORAGE_CORRUPT' && isNamed ? 'refused' : `${error}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Files of which anything depends on their content. */
function files(pattern = /^(?:level\/(?:\d+\.|MANIFEST|CURRENT)|noted)/): string[] {
  return filesBelow(original)
    .map((path) => path.slice(original.length + 1))
    .filter((path) => pattern.test(path));
}

const position = (random: Random, bytes: Buffer): number => Math.floor(random() * bytes.length);

function rewrite(change: (bytes: Buffer) => Buffer): (path: string) => void {
  return (path) => writeFileSync(path, change(readFileSync(path)));
}

const flip = (random: Random) =>
  rewrite((bytes) => {
    const at = position(random, bytes);
    bytes[at] = bytes[at]! ^ (1 << Math.floor(random() * 8));
    return bytes;
  });

const garbage = (random: Random) =>
  rewrite((bytes) => {
    const at = position(random, bytes);
    return bytes.map((byte, index) =>
      index >= at && index < at + 512 ? Math.floor(random() * 256) : byte,
    ) as Buffer;
  });

const truncate = (random: Random) => rewrite((bytes) => bytes.subarray(0, position(random, bytes)));

const GOOD = ['right', 'quarantined', 'refused'] as const;
type Good = (typeof GOOD)[number];

function isGood(outcome: string): outcome is Good {
  return (GOOD as readonly string[]).includes(outcome);
}

/** How often each outcome came. @throws if there was another */
async function tally(
  times: number,
  which: readonly string[],
  harm: (random: Random) => (path: string) => void,
): Promise<Record<Good, number>> {
  const random = seededRandom(SEED);
  const counts = { right: 0, quarantined: 0, refused: 0 };
  for (let time = 0; time < times; time++) {
    const path = which[time % which.length]!;
    const outcome = await outcomeOf(harm(random), path);
    if (!isGood(outcome)) throw new Error(`${path}, time ${time}: ${outcome}`);
    counts[outcome]++;
  }
  return counts;
}

const tables = (): string[] => files(/\.ldb$/).map((path) => join(original, path));

beforeAll(build);

describe('of a storage', () => {
  test('there is one whose damage matters', async () => {
    expect(files().length).toBeGreaterThan(5);
    expect(await outcomeOf(() => undefined, 'noted')).toBe('right');
  });

  test('a flipped bit in a table leaves records right, in quarantine, or refused', async () => {
    const { right, quarantined, refused } = await tally(200, files(/\.ldb$/), flip);
    expect(right).toBeGreaterThan(20);
    expect(quarantined).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(20);
  }, 120_000);

  test('a flipped bit in any other file leaves records right, or refused', async () => {
    const others = files().filter((path) => !path.endsWith('.ldb'));
    const { right, quarantined, refused } = await tally(100, others, flip);
    expect(right + refused).toBe(100);
    expect(quarantined).toBe(0);
  }, 120_000);

  test.each([
    ['a sector of garbage', garbage],
    ['a lost end', truncate],
    ['nothing', () => rewrite(() => Buffer.alloc(0))],
  ])(
    '%s in a file gives no wrong answer',
    async (_, harm) => {
      const which = files();
      const { refused } = await tally(5 * which.length, which, harm);
      expect(refused).toBeGreaterThan(0);
    },
    120_000,
  );

  test.each(['noted', 'CURRENT', 'MANIFEST', 'ldb', 'log'])(
    'a %s that is missing is noticed',
    async (kind) => {
      const which = files(new RegExp(`^(?:level/.*)?${kind}(?:-\\d+)?$`));
      expect(which).not.toEqual([]);
      for (const path of which)
        expect(await outcomeOf((gone) => rmSync(gone), path)).toBe('refused');
    },
  );

  test('what is refused can be accepted: what is left is right, and stays', async () => {
    for (const path of files()) {
      const directory = copy;
      cpSync(original, directory, { recursive: true });
      garbage(seededRandom(SEED))(join(directory, path));
      const { storage, found } = await openWith(directory, { ...SMALL, damage: 'accept' });
      const quarantined = storage.status().quarantined;
      for (const [key, words] of found) expect(words.split(' ')[0]).toBe(key);
      await write(storage, { deletes: quarantined });
      await close(storage);
      const again = await openWith(directory);
      expect(again.found.size).toBe(found.size);
      await close(again.storage);
      rmSync(directory, { recursive: true });
    }
  }, 120_000);
});

describe('a table', () => {
  test('has the checksum of LevelDB', () => {
    // The value that every implementation gives for these digits.
    expect(crc32c(encodeText('123456789'))).toBe(0xe3069283);
    for (const path of tables()) expect(tableFault(readFileSync(path))).toBeUndefined();
  });

  test('that is compressed cannot be judged', async () => {
    const folder = freshPath();
    const level = new ClassicLevel(folder, { compression: true });
    for (let number = 0; number < 100; number++)
      await level.put(`key ${number}`, 'value'.repeat(number * 50));
    await level.compactRange('', '~');
    await level.close();
    const written = filesBelow(folder).filter((path) => path.endsWith('.ldb'));
    expect(written).not.toEqual([]);
    for (const path of written)
      expect(tableFault(readFileSync(path))).toBe('its index is compressed, and none of ours is');
  });

  test('with a damaged value passes, with damaged keys it does not', () => {
    const bytes = readFileSync(tables()[0]!);
    const value = bytes.indexOf('body');
    bytes[value] = 0;
    expect(tableFault(bytes)).toBeUndefined();
    const key = bytes.indexOf('request:');
    bytes[key] = 0xff;
    expect(tableFault(bytes)).toBe('keys are out of order');
  });

  test('half written and not in use does not matter', async () => {
    const directory = freshPath();
    cpSync(original, directory, { recursive: true });
    const stray = join(directory, 'level', '009999.ldb');
    copyFileSync(tables()[0]!, stray);
    truncate(seededRandom(SEED))(stray);
    const { storage, found } = await openWith(directory);
    expect(found).toEqual(truth);
    await close(storage);
  });
});
