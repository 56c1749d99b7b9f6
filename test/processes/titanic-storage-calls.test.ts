/**
 * A storage that is killed in front of each system call that changes a file of it: what was acknowledged
 * is there, and of what was not each batch whole or not at all, in their order.
 */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { decodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import { openStorage } from '../../src/storage/index.ts';
import type { Child } from './child.ts';
import { allTold, Processes } from './processes.ts';
import {
  announceStrace,
  IS_THOROUGH,
  killedAt,
  recordingWrites,
  withoutStrace,
  writesBelow,
  type SystemCall,
} from './strace.ts';

announceStrace();

/** A ballast that does not make these tests write much. */
const OPTIONS = { ballastBytes: 65_536 };
/** Batches of one life, and how many of them are on their way at a time. */
const LIFE = 3;
const AT_ONCE = 2;

/** So that nobody waits for long, a run takes every so manieth call unless it is to take all. */
const STEP = IS_THOROUGH ? 1 : 8;

/** One storage, in a folder that each run finds as it was prepared. */
class Storages extends Processes {
  readonly directory = join(this.folder, 'store');
  readonly #prepared = join(this.folder, 'prepared');
  readonly #log = join(this.folder, 'calls');
  readonly #isNew: boolean;
  readonly #isHasty: boolean;

  constructor(life: 'first' | 'second', kind: 'sound' | 'hasty' = 'sound') {
    super();
    this.#isNew = life === 'first';
    this.#isHasty = kind === 'hasty';
  }

  /** The numbers of the batches of this life. */
  get batches(): { from: number; to: number } {
    const from = this.#isNew ? 1 : LIFE + 1;
    return { from, to: from + LIFE - 1 };
  }

  async prepare(): Promise<void> {
    if (this.#isNew) return;
    await this.#run([], { from: 1, to: LIFE });
    cpSync(this.directory, this.#prepared, { recursive: true });
  }

  /** All calls of this life that change what is read again later. */
  async calls(): Promise<SystemCall[]> {
    this.#lay();
    await this.#run(['strace', ...recordingWrites(this.#log)], this.batches);
    const calls = writesBelow(this.directory, this.#log);
    // LevelDB's diary, and a file for its lock: nobody reads them.
    return calls.filter(({ path }) => !/\/(?:LOG|LOG\.old|LOCK)$/.test(path));
  }

  /** The last batch that was acknowledged; undefined if it was not killed. */
  async killAt(call: SystemCall): Promise<number | undefined> {
    this.#lay();
    const child = await this.#run(['strace', ...killedAt(call)], this.batches);
    if (child.ending?.signal !== 'SIGKILL') return undefined;
    return Math.max(
      this.batches.from - 1,
      ...allTold(child, 'written').map(({ batch }) => Number(batch)),
    );
  }

  /** What is stored, by its key. */
  async read(): Promise<Map<string, string>> {
    const records = new Map<string, string>();
    const each = (key: string, [frame]: Frames): void => {
      records.set(key, decodeText(frame!).replace(/\.+$/, ''));
    };
    const storage = await openStorage(this.directory, OPTIONS, { each });
    await new Promise<void>((resolve) => storage.close(resolve));
    return records;
  }

  #lay(): void {
    rmSync(this.directory, { recursive: true, force: true });
    if (!this.#isNew) cpSync(this.#prepared, this.directory, { recursive: true });
  }

  async #run(command: readonly string[], batches: object): Promise<Child> {
    const where = { directory: this.directory, options: OPTIONS, isHasty: this.#isHasty };
    const settings = { ...where, atOnce: AT_ONCE, bytes: 300, ...batches };
    const child = this.startUnder(command, 'storage', settings);
    await child.ended;
    return child;
  }
}

/** What is stored after so many batches: see `roles/storage.js`. */
function recordsAfter(batch: number): Map<string, string> {
  const records = new Map(batch === 0 ? [] : [['count', `${batch}`]]);
  for (const each of [batch - 2, batch - 1, batch]) {
    if (each > 0) records.set(`record:${each}`, `record ${each}`);
  }
  return records;
}

const SORTED = { sorted: true };

/** What is wrong with what was found after a kill; undefined if all is well. */
function faultIn(records: Map<string, string>, acknowledged: number): string | undefined {
  const count = Number(records.get('count') ?? 0);
  if (count < acknowledged) return `${acknowledged} were acknowledged, and ${count} are there`;
  if (count > acknowledged + AT_ONCE) return `${count} are there of ${acknowledged + AT_ONCE}`;
  const [found, expected] = [records, recordsAfter(count)].map((each) => inspect(each, SORTED));
  return found === expected ? undefined : `instead of ${expected} there is ${found}`;
}

/** Kills a storage at each of these calls; what was wrong then, and how often it was killed. */
async function killAtEach(
  storages: Storages,
  calls: readonly SystemCall[],
): Promise<{ faults: string[]; kills: number }> {
  const faults: string[] = [];
  let kills = 0;
  for (const call of calls) {
    const acknowledged = await storages.killAt(call);
    if (acknowledged === undefined) continue;
    kills++;
    const fault = faultIn(await storages.read(), acknowledged);
    if (fault !== undefined) faults.push(`${call.text}: ${fault}`);
  }
  return { faults, kills };
}

describe.skipIf(withoutStrace)('a storage killed at each call that changes a file', () => {
  test.each([
    ['first', 30],
    ['second', 30],
  ] as const)(
    'in its %s life loses nothing that was acknowledged',
    async (life, least) => {
      const storages = new Storages(life);
      await storages.prepare();
      const calls = await storages.calls();
      expect(calls.length).toBeGreaterThan(least);
      const chosen = calls.filter((_, index) => index % STEP === 0);
      expect(await killAtEach(storages, chosen)).toEqual({ faults: [], kills: chosen.length });
    },
    900_000,
  );

  test('is found out if it acknowledges what is not written', async () => {
    const storages = new Storages('first', 'hasty');
    await storages.prepare();
    const writes = (await storages.calls()).filter(
      ({ name, path }) => name === 'write' && path.endsWith('.log'),
    );
    const { faults } = await killAtEach(storages, writes.slice(0, 2));
    expect(faults.join()).toContain('were acknowledged, and 0 are there');
  });
});
