/**
 * The engine on a real disk: LevelDB, a number noted beside it, and a ballast for the day the disk is full.
 *
 * The one idea: LevelDB keeps its own promises only while nothing fails. So after a failed write it is
 * opened anew, names of its files are fsynced, and what it cannot notice is noticed by those above.
 */
import { readdirSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel, type ChainedBatch } from 'classic-level';
import { MiB } from '../core/common-options.ts';
import type { StorageError } from '../core/errors.ts';
import { completeOptions, count, type Rules } from '../core/options.ts';
import { Ballast } from './ballast.ts';
import { bytesIn, createFolder, LogNames, placesIn, syncNames, type Places } from './directory.ts';
import type { CommitError, Engine, Operation } from './engine.ts';
import { commitError, corrupt, openError, readError } from './level-errors.ts';
import { unsoundTable, unsoundTables } from './level-check.ts';
import { NotedFile } from './noted-file.ts';
import { storageRules } from './options.ts';

export interface LevelEngineOptions {
  /**
   * Bytes of disk held in reserve for the time when it is full: room for two logs of LevelDB with a full
   * commit each, which it rewrites before it goes on. Default 32 MiB; 0 for none.
   */
  readonly ballastBytes?: number | undefined;
  /** As in `StorageOptions`. `accept` also repairs LevelDB's own files, as far as that goes. */
  readonly damage?: 'refuse' | 'accept' | undefined;
}

export const levelRules = {
  ballastBytes: count(32 * MiB, 0),
  damage: storageRules.damage,
} satisfies Rules<LevelEngineOptions>;

type Level = ClassicLevel<string, Uint8Array>;
type Batch = ChainedBatch<Level, string, Uint8Array>;

/** Bounds of one step of a scan: between two of them the process does other things. */
const SCAN_RECORDS = 1000;
const SCAN_BYTES = MiB;

/** Above every key: keys are ASCII. */
const ABOVE = '\u007f';

export class LevelEngine implements Engine {
  readonly #places: Places;
  readonly #ballast: Ballast;
  /** Undefined while it is not open. */
  #opened: Level | undefined;
  #names: LogNames;
  #noted: NotedFile | undefined;
  #lock: Level | undefined;
  #reopening: Promise<unknown> | undefined;
  #isCompacting = false;
  /** Records were deleted since the last compaction: another may give space back. */
  #isCompactable = true;
  #size: number | undefined;
  #isMeasuring = false;
  #isClosed = false;

  private constructor(places: Places, ballastBytes: number) {
    this.#places = places;
    this.#ballast = new Ballast(places.ballast, ballastBytes);
    this.#names = new LogNames(places.level);
  }

  /**
   * Opens the storage in a directory, or creates it with those above it.
   * @throws StorageError `ERR_STORAGE_UNAVAILABLE`, `_IN_USE`, `_CORRUPT` or `_FULL`: nothing was changed
   *   that matters, and nothing stays open
   */
  static async open(directory: string, options?: LevelEngineOptions): Promise<LevelEngine> {
    const { ballastBytes, damage } = completeOptions('LevelEngine', levelRules, options);
    const engine = new LevelEngine(placesIn(directory), ballastBytes);
    try {
      await engine.#open(damage === 'accept');
    } catch (error) {
      await engine.#end(() => undefined);
      throw openError(directory, error);
    }
    return engine;
  }

  get noted(): number {
    return this.#noted?.sequence ?? 0;
  }

  note(sequence: number): void {
    try {
      this.#noted?.write(sequence);
    } catch {
      // The former number stays: less would be noticed, but nothing that is not true.
    }
  }

  scan(
    each: (key: string, value: Uint8Array) => void,
    done: (error: StorageError | undefined) => void,
  ): void {
    void this.#scan(each, done);
  }

  commit(
    operations: readonly Operation[],
    sync: boolean,
    done: (error: CommitError | undefined) => void,
  ): void {
    void this.#commit(operations, sync, done);
  }

  read(
    key: string,
    done: (error: string | undefined, value: Uint8Array | undefined) => void,
  ): void {
    void this.#read(key, done);
  }

  reopen(done: (error: StorageError | undefined) => void): void {
    this.#reopening = this.#reopen(done);
  }

  release(): void {
    this.#ballast.release();
  }

  reserve(done: (isHeld: boolean) => void): void {
    void this.#reserve(done);
  }

  size(): number | undefined {
    if (!this.#isMeasuring) void this.#measure();
    return this.#size;
  }

  close(done: () => void): void {
    this.#isClosed = true;
    void this.#end(done);
  }

  get #level(): Level {
    if (this.#opened === undefined) throw new Error(`${this.#places.directory} is not open`);
    return this.#opened;
  }

  async #open(acceptsDamage: boolean): Promise<void> {
    const { directory, level, noted } = this.#places;
    createFolder(directory);
    this.#lock = await this.#withRoom(() => lock(this.#places.lock));
    this.#noted = findNoted(noted);
    const names = namesIn(level);
    if (this.#noted === undefined && names.length === 0) this.#noted = NotedFile.create(noted);
    if (!acceptsDamage) {
      if (this.#noted === undefined) throw corrupt(directory, `${noted} is missing or unreadable`);
      // LevelDB would begin anew here, and clear away what it does not know.
      if (this.#noted.sequence > 0 && !names.includes('CURRENT'))
        throw corrupt(directory, `${level} has no CURRENT`);
    }
    createFolder(level);
    const unsound = acceptsDamage ? undefined : await unsoundTable(level);
    if (unsound) throw corrupt(directory, `${unsound.path}: ${unsound.reason}`);
    await (acceptsDamage ? this.#openAnyhow(names) : this.#openLevel());
    this.#noted ??= NotedFile.create(noted);
    syncNames(directory);
    this.#size = await bytesIn(level);
    await this.#ballast.reserve();
  }

  /** Opens LevelDB, which then rewrites its last log as a table. */
  async #openLevel(): Promise<void> {
    const { level } = this.#places;
    this.#opened = await this.#withRoom(() => openLevel(level));
    this.#names = new LogNames(level);
    await this.#names.sync();
  }

  /** On a full disk the ballast is for this. */
  async #withRoom(open: () => Promise<Level>): Promise<Level> {
    try {
      return await open();
    } catch (error) {
      if (commitError(error).kind !== 'full') throw error;
      this.#ballast.release();
      return open();
    }
  }

  async #closeLevel(): Promise<void> {
    await this.#opened?.close();
    this.#opened = undefined;
  }

  /** Opens what is damaged too: LevelDB collects from its files what is readable. */
  async #openAnyhow(names: readonly string[]): Promise<void> {
    const { directory, level } = this.#places;
    const unsound = await unsoundTables(level);
    // Without CURRENT nothing would look damaged, only empty.
    let error: unknown = unsound[0] ?? (names.length > 0 && !names.includes('CURRENT'));
    error ||= await this.#openLevel().catch((reason: unknown) => reason);
    error ||= await scan(this.#level, () => undefined);
    if (!error) return;
    if (openError(directory, error).code !== 'ERR_STORAGE_CORRUPT') throw error;
    await this.#closeLevel();
    for (const { path } of unsound) await rename(path, `${path}.unsound`);
    await ClassicLevel.repair(level);
    await this.#openLevel();
    // A repair compresses what it collects, and that could not be verified the next time.
    await this.#level.compactRange('', ABOVE);
  }

  async #scan(
    each: (key: string, value: Uint8Array) => void,
    done: (error: StorageError | undefined) => void,
  ): Promise<void> {
    const error = await scan(this.#level, each);
    done(error === undefined ? undefined : openError(this.#places.directory, error));
  }

  async #commit(
    operations: readonly Operation[],
    sync: boolean,
    done: (error: CommitError | undefined) => void,
  ): Promise<void> {
    let failed: CommitError | undefined;
    try {
      await batchOf(this.#level, operations).write({ sync });
      if (sync) await this.#names.sync();
    } catch (error) {
      failed = commitError(error);
    }
    this.#isCompactable ||= operations.some(({ value }) => value === undefined);
    done(failed);
  }

  async #read(
    key: string,
    done: (error: string | undefined, value: Uint8Array | undefined) => void,
  ): Promise<void> {
    await this.#reopening;
    let value: Uint8Array | undefined;
    let failed: string | undefined;
    try {
      value = await find(this.#level, key);
    } catch (error) {
      failed = readError(error);
    }
    done(failed, value);
  }

  async #reopen(done: (error: StorageError | undefined) => void): Promise<void> {
    let failed: StorageError | undefined;
    try {
      await this.#closeLevel();
      await this.#openLevel();
    } catch (error) {
      failed = openError(this.#places.directory, error);
    }
    this.#reopening = undefined;
    done(failed);
  }

  async #reserve(done: (isHeld: boolean) => void): Promise<void> {
    const isHeld = await this.#ballast.reserve();
    if (this.#isClosed) return;
    if (!isHeld) void this.#compact();
    done(isHeld);
  }

  /** LevelDB gives the space of deleted records back when it compacts. One at a time; nobody waits. */
  async #compact(): Promise<void> {
    if (!this.#isCompactable || this.#isCompacting || this.#opened === undefined) return;
    this.#isCompactable = false;
    this.#isCompacting = true;
    // If there is no space even for this, the next commit says so.
    await this.#opened.compactRange('', ABOVE).catch(() => undefined);
    this.#isCompacting = false;
  }

  async #measure(): Promise<void> {
    this.#isMeasuring = true;
    this.#size = await bytesIn(this.#places.level);
    this.#isMeasuring = false;
  }

  async #end(done: () => void): Promise<void> {
    await this.#reopening;
    await this.#closeLevel();
    this.#noted?.close();
    this.#noted = undefined;
    await this.#lock?.close();
    done();
  }
}

/**
 * Without compression: a flipped bit then damages one record, and not all that were compressed with it.
 * LevelDB's own checksums of blocks are not reached from here; a storage has its own.
 */
async function openLevel(path: string): Promise<Level> {
  const encodings = { keyEncoding: 'utf8', valueEncoding: 'view' } as const;
  const level: Level = new ClassicLevel(path, { ...encodings, compression: false });
  await level.open();
  return level;
}

/**
 * LevelDB locks a folder only by opening what is in it, and that is too late for those who look before.
 * So an empty one beside it is the lock of all.
 */
async function lock(path: string): Promise<Level> {
  createFolder(path);
  try {
    return await openLevel(path);
  } catch (error) {
    if (openError(path, error).code !== 'ERR_STORAGE_CORRUPT') throw error;
    // There is nothing in it that could be lost.
    for (const name of namesIn(path)) if (name !== 'LOCK') await rm(join(path, name));
    return openLevel(path);
  }
}

/** Hands out every record; an error if not all could be read. */
async function scan(
  level: Level,
  each: (key: string, value: Uint8Array) => void,
): Promise<unknown> {
  const iterator = level.iterator({ highWaterMarkBytes: SCAN_BYTES });
  try {
    for (;;) {
      const entries = await iterator.nextv(SCAN_RECORDS);
      if (entries.length === 0) return undefined;
      for (const [key, value] of entries) each(key, value);
    }
  } catch (error) {
    return error;
  } finally {
    await iterator.close();
  }
}

/**
 * What a scan would find: not `get`, which asks Bloom filters that nobody has verified. A flipped bit in
 * one of them makes a record missing, or an older version of it current.
 */
async function find(level: Level, key: string): Promise<Uint8Array | undefined> {
  const [value] = await level.values({ gte: key, lte: key, limit: 1 }).all();
  return value;
}

/** A chained batch copies each change to where LevelDB wants it: 1 µs, where an array of them costs 11. */
function batchOf(level: Level, operations: readonly Operation[]): Batch {
  const batch = level.batch();
  for (const { key, value } of operations) {
    if (value === undefined) batch.del(key);
    else batch.put(key, value);
  }
  return batch;
}

/** @throws what node:fs throws, but not that it is missing */
function findNoted(path: string): NotedFile | undefined {
  try {
    return NotedFile.open(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** @throws what node:fs throws, but not that the folder is missing */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
