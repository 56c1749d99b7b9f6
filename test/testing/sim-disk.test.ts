/** The simulated disk keeps an engine's promises, and breaks only what a disk may break. */
import { beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import type { CommitError, Engine, Operation } from '../../src/storage/engine.ts';
import { SimDisk, type DiskEvent } from '../../src/testing/sim-disk.ts';
import type { SimProcess } from '../../src/testing/sim-process.ts';
import { SimWorld } from '../../src/testing/sim-world.ts';
import { checkStorageLaws, type StoragePlace } from '../../src/testing/storage-laws.ts';

let world: SimWorld;
let disk: SimDisk;
let process: SimProcess;
let engine: Engine;
let isKept: boolean;
let events: DiskEvent[];
/** The keys of each commit that has reached the disk. */
let durable: string[];
/** What each call was answered. */
let answers: (string | undefined)[];

beforeEach(() => {
  world = new SimWorld({ random: seededRandom(1) });
  events = [];
  durable = [];
  answers = [];
  isKept = true;
  disk = new SimDisk(world, {
    commitTime: 10,
    ballast: 1000,
    isKept: () => isKept,
    onEvent: (event) => void events.push(event),
    onDurable: (operations) => void durable.push(operations.map(({ key }) => key).join(' ')),
  });
  open();
});

function open(): void {
  process = world.start('titanic');
  engine = disk.open(process);
}

function put(key: string, size = 1): Operation {
  return { key, value: new Uint8Array(size).fill(7) };
}

function answered(error: CommitError | undefined): void {
  answers.push(error?.kind ?? 'done');
}

function commit(operations: readonly Operation[], sync = true): void {
  process.run(() => engine.commit(operations, sync, answered));
}

function reopen(): void {
  engine.reopen((error) => void answers.push(error?.code ?? 'reopened'));
}

function keys(): string[] {
  return [...disk.records.keys()];
}

/** Until nothing is under way. */
function pass(): void {
  while (world.step());
}

/** Commits one record, and stops as soon as it is on the disk, before anybody is told. */
function commitUntold(key: string): void {
  const { length } = durable;
  commit([put(key)]);
  while (durable.length === length && world.step());
}

describe('a commit', () => {
  it('takes time, is durable before its caller is told, and can be read', () => {
    commitUntold('a');
    expect(keys()).toEqual(['a']);
    expect(answers).toEqual([]);
    pass();
    expect(answers).toEqual(['done']);
    expect(world.now).toBeGreaterThanOrEqual(5);
    engine.read('a', (_error, value) => void answers.push(`${value?.length}`));
    engine.read('b', (_error, value) => void answers.push(`${value?.length}`));
    pass();
    expect(new Set(answers)).toEqual(new Set(['1', 'done', 'undefined']));
  });

  it('deletes, and is scanned in the order of keys', () => {
    commit([put('b'), put('c'), put('a')]);
    pass();
    commit([{ key: 'c' }]);
    pass();
    const seen: string[] = [];
    engine.scan(
      (key) => void seen.push(key),
      () => void seen.push('end'),
    );
    pass();
    expect(seen).toEqual(['a', 'b', 'end']);
  });

  it('copies what it is given and what it gives', () => {
    const value = Buffer.from('sound');
    commit([{ key: 'a', value }]);
    pass();
    value.fill(0);
    engine.read('a', (_error, read) => read?.fill(1));
    pass();
    expect(Buffer.from(disk.records.get('a')!).toString()).toBe('sound');
  });

  it('is made one at a time', () => {
    commit([put('a')]);
    expect(() => commit([put('b')])).toThrow(/one commit at a time/);
  });

  it('counts as an effect: a crash comes before it or after it', () => {
    process.crashAfterEffects(0);
    commit([put('a')]);
    pass();
    expect(process.isCrashed).toBe(true);
    expect(keys()).toEqual([]);
    open();
    process.crashAfterEffects(1);
    commit([put('b')]);
    pass();
    expect(process.isCrashed).toBe(true);
    expect(answers).toEqual([]);
    expect(keys()).toEqual(['b']);
  });
});

describe('a crash', () => {
  it.each([true, false])('tears a commit that is under way: kept is %s', (kept) => {
    isKept = kept;
    commit([put('a'), put('b')]);
    process.crash();
    pass();
    expect(keys()).toEqual(kept ? ['a', 'b'] : []);
    expect(answers).toEqual([]);
    expect(events).toEqual([kept ? 'tornCommitKept' : 'tornCommitLost']);
  });

  it('keeps what was durable, told or not, and what was not synced', () => {
    isKept = false;
    commit([put('a')], false);
    pass();
    commitUntold('b');
    process.crash();
    pass();
    expect(keys()).toEqual(['a', 'b']);
  });

  it('leaves the disk to the next process, and to one at a time', () => {
    expect(() => disk.open(world.start('other'))).toThrow(/another process/);
    process.crash();
    open();
    commit([put('a')]);
    pass();
    expect(answers).toEqual(['done']);
  });
});

describe('a power cut', () => {
  it('loses what was not synced, from some point on, and never what was', () => {
    const left = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      world = new SimWorld({ random: seededRandom(seed) });
      disk = new SimDisk(world);
      open();
      commit([put('a')]);
      pass();
      for (const key of ['b', 'c']) {
        commit([put(key)], false);
        pass();
      }
      const lost = disk.cutPower();
      left.add(keys().join(''));
      expect([...keys(), ...[...lost].toSorted()].join('')).toBe('abc');
    }
    expect([...left].toSorted()).toEqual(['a', 'ab', 'abc']);
  });

  it('takes back deletions and changes as well', () => {
    commit([put('a', 1), put('b')], false);
    pass();
    commit([put('a', 2), { key: 'b' }], false);
    pass();
    expect(disk.loseTail(1)).toEqual(new Set(['a', 'b']));
    expect(keys()).toEqual(['a', 'b']);
    expect(disk.records.get('a')).toHaveLength(1);
  });

  it('may make an older note of what was acknowledged, and tells whether something is missed', () => {
    commit([put('a')]);
    pass();
    engine.note(7);
    expect(engine.noted).toBe(7);
    expect(disk.missesNoted).toBe(false);
    process.crash();
    disk.loseTail(1);
    expect(disk.missesNoted).toBe(true);
    expect(disk.noted).toBe(7);
  });
});

describe('a full disk', () => {
  it.each([true, false])('refuses; opened anew, the commit is there: %s', (kept) => {
    isKept = kept;
    disk.fill(50);
    commit([put('a', 100)]);
    pass();
    commit([put('b')]);
    pass();
    expect(answers).toEqual(['full', 'broken']);
    reopen();
    pass();
    expect(keys()).toEqual(kept ? ['a'] : []);
    expect(events).toEqual(['fullRefusal', kept ? 'failedCommitKept' : 'failedCommitLost']);
  });

  it('has room for as much as the ballast, once it is released, and holds it when there is room', () => {
    disk.fill(0);
    engine.release();
    commit([put('a', 800)]);
    pass();
    const reserve = (): void => engine.reserve((isHeld) => void answers.push(`held ${isHeld}`));
    reserve();
    pass();
    disk.empty();
    reserve();
    pass();
    expect(answers).toEqual(['done', 'held false', 'held true']);
    expect(events).toEqual(['ballastReleased', 'ballastHeld']);
  });

  it('gets back what is deleted', () => {
    commit([put('a', 500)]);
    pass();
    disk.fill(30);
    commit([{ key: 'a' }]);
    pass();
    commit([put('b', 400)]);
    pass();
    expect(answers).toEqual(['done', 'done', 'done']);
  });
});

describe('a broken disk', () => {
  it.each(['ioError', 'failedFsync'] as const)('fails once with %s', (kind) => {
    isKept = false;
    disk.failNext(kind);
    commit([put('a')]);
    pass();
    expect(answers).toEqual(['broken']);
    process.crash();
    expect(keys()).toEqual([]);
    open();
    commit([put('b')]);
    pass();
    expect(keys()).toEqual(['b']);
  });

  it('lies after a failed fsync, as long as the process lives', () => {
    disk.failNext('failedFsync');
    commit([put('a')]);
    pass();
    reopen();
    pass();
    commit([put('b')]);
    pass();
    engine.read('b', (_error, value) => void answers.push(`read ${value?.length}`));
    pass();
    expect(answers).toEqual(['broken', 'reopened', 'done', 'read 1']);
    expect(keys()).toEqual([]);
    process.crash();
    open();
    pass();
    expect(keys()).toEqual([]);
  });

  it('may not open anew', () => {
    disk.fill(0);
    disk.failNextReopen();
    commit([put('a')]);
    pass();
    reopen();
    pass();
    expect(answers).toEqual(['full', 'ERR_STORAGE_FAILED']);
  });

  it('loses and changes single records', () => {
    commit([put('a'), put('b')]);
    pass();
    expect(disk.flipBit('a')).toBe(true);
    expect(disk.loseRecord('b')).toBe(true);
    expect(disk.flipBit('c')).toBe(false);
    expect(disk.loseRecord('c')).toBe(false);
    const [value] = disk.records.get('a')!;
    const changed = value! ^ 7;
    expect(changed & (changed - 1)).toBe(0);
    expect(changed).toBeGreaterThan(0);
    expect(keys()).toEqual(['a']);
  });

  it('is slow, and is healed', () => {
    disk.slow(100);
    commit([put('a')]);
    pass();
    expect(world.now).toBeGreaterThanOrEqual(500);
    disk.fill(0);
    disk.failNext('ioError');
    disk.heal();
    const before = world.now;
    commit([put('b')]);
    pass();
    expect(answers).toEqual(['done', 'done']);
    expect(world.now - before).toBeLessThan(20);
  });
});

it('keeps the laws of a storage', async () => {
  let seed = 0;
  const place = (): StoragePlace => {
    const own = new SimWorld({ random: seededRandom(seed++) });
    const ownDisk = new SimDisk(own);
    let present: SimProcess | undefined;
    return {
      open: () => {
        present?.exit();
        present = own.start('process');
        return ownDisk.open(present);
      },
      pass: () => {
        while (own.step());
      },
      crash: () => present?.crash(),
    };
  };
  await expect(checkStorageLaws(place, { numRuns: 300, seed: 1 })).resolves.toBeUndefined();
});
