/**
 * A simulated disk: what was committed, what is being committed, and all that a disk may do about it.
 *
 * It outlives the processes that open an engine on it, one at a time. A commit takes virtual time; a
 * crash in the middle of it, or a failure, leaves it there or not, as chance will have it. Commits that
 * were not synced are with the operating system: a crash of the process keeps them, a power cut loses
 * the latest of them, from some point on.
 */
import type { CommitError, Engine, Operation } from '../storage/engine.ts';
import { copyOf, SimEngine, type Commit, type EngineDisk } from './sim-engine.ts';
import type { SimProcess } from './sim-process.ts';
import type { SimWorld } from './sim-world.ts';

/** What a disk tells of itself, to be counted. */
export type DiskEvent =
  | 'tornCommitKept'
  | 'tornCommitLost'
  | 'fullRefusal'
  | 'failedCommitKept'
  | 'failedCommitLost'
  | 'ioError'
  | 'failedFsync'
  | 'failedReopen'
  | 'ballastReleased'
  | 'ballastHeld'
  | 'tailLost'
  | 'bitFlipped'
  | 'recordLost';

export interface SimDiskSettings {
  /** Milliseconds that a commit takes, on average. */
  readonly commitTime: number;
  /** Milliseconds that a read takes, on average; also a scan, a reopening, a look at what is free. */
  readonly readTime: number;
  /** Bytes held in reserve. */
  readonly ballast: number;
  /** Whether a commit that was torn is there afterwards; default: one in two. */
  readonly isKept: () => boolean;
  readonly onEvent: (event: DiskEvent) => void;
  /** These changes are on the disk from now on. */
  readonly onDurable: (operations: readonly Operation[]) => void;
}

/** How to take a commit back. */
interface Undo {
  readonly before: readonly (readonly [key: string, value: Uint8Array | undefined])[];
  isSynced: boolean;
}

/** How many of the latest commits can be lost. */
const HISTORY = 16;

/** Bytes that a record costs beside key and value. */
const RECORD_OVERHEAD = 16;

export class SimDisk implements EngineDisk {
  readonly world: SimWorld;
  readonly settings: SimDiskSettings;
  readonly #records = new Map<string, Uint8Array>();
  #history: Undo[] = [];
  #engine: SimEngine | undefined;
  #commit: Commit | undefined;
  /** Seen by reads, and gone with the process: what was written after a failed fsync. */
  readonly #limbo = new Map<string, Uint8Array | undefined>();
  #lies = false;
  #free = Infinity;
  #isBallastHeld = true;
  #noted = 0;
  /** How many commits are on it, and how many there were when that was noted. */
  #commits = 0;
  #notedCommits = 0;
  #slowness = 1;
  #nextFailure: 'ioError' | 'failedFsync' | undefined;
  #nextReopenFails = false;

  constructor(world: SimWorld, settings: Partial<SimDiskSettings> = {}) {
    this.world = world;
    this.settings = {
      commitTime: 2,
      readTime: 0.2,
      ballast: 10_000,
      isKept: () => world.random() < 0.5,
      onEvent: () => undefined,
      onDurable: () => undefined,
      ...settings,
    };
  }

  /** What is on it: what the next process will find, but for a commit that is under way. */
  get records(): ReadonlyMap<string, Uint8Array> {
    return this.#records;
  }

  /** A commit is under way, or nobody knows what became of the last one. */
  get isWriting(): boolean {
    return this.#commit !== undefined;
  }

  get isFull(): boolean {
    return this.#free < Infinity;
  }

  /** Bytes that are left, the ballast not counted while it is held. */
  get room(): number {
    return this.#free;
  }

  get isBallastHeld(): boolean {
    return this.#isBallastHeld;
  }

  get noted(): number {
    return this.#noted;
  }

  /** Commits are missing of which it was noted that they were there. */
  get missesNoted(): boolean {
    return this.#notedCommits > this.#commits;
  }

  /** The engine of `process`, which has it for itself. */
  open(process: SimProcess): Engine {
    if (this.#engine?.isOver === false) throw new Error('another process has the disk');
    this.#settle();
    this.#limbo.clear();
    this.#lies = false;
    const engine = new SimEngine(this, process);
    this.#engine = engine;
    process.watch({
      processCrashed: () => this.#abandoned(engine),
      processExited: () => this.#abandoned(engine),
      processResumed: () => undefined,
    });
    return engine;
  }

  // Faults

  /** From now on only `free` bytes are left, beside the ballast. */
  fill(free: number): void {
    this.#free = free;
  }

  /** There is room again. */
  empty(): void {
    this.#free = Infinity;
  }

  /** The next commit fails so. After a failed fsync the disk lies: it takes all, and keeps nothing. */
  failNext(kind: 'ioError' | 'failedFsync'): void {
    this.#nextFailure = kind;
  }

  failNextReopen(): void {
    this.#nextReopenFails = true;
  }

  /** All takes so many times as long. */
  slow(times: number): void {
    this.#slowness = times;
  }

  /** Nothing more is wrong than has already happened. */
  heal(): void {
    this.empty();
    this.#slowness = 1;
    this.#nextFailure = undefined;
    this.#nextReopenFails = false;
  }

  /** One bit of this record's value is another from now on; false if there is no such bit. */
  flipBit(key: string): boolean {
    const former = this.#records.get(key);
    if (former === undefined || former.length === 0) return false;
    const value = copyOf(former);
    const bit = Math.floor(this.world.random() * value.length * 8);
    value[bit >> 3]! ^= 1 << (bit & 7);
    this.#records.set(key, value);
    this.settings.onEvent('bitFlipped');
    return true;
  }

  /** The record is gone, without a word; false if there was none. */
  loseRecord(key: string): boolean {
    if (!this.#records.delete(key)) return false;
    this.settings.onEvent('recordLost');
    return true;
  }

  /** The latest `count` commits never were; returns the keys that they had changed. */
  loseTail(count: number): Set<string> {
    const keys = new Set<string>();
    for (let left = count; left > 0; left--) {
      const undo = this.#history.pop();
      if (undo === undefined) break;
      this.#commits--;
      for (const [key, value] of undo.before.toReversed()) {
        this.#put(key, value);
        keys.add(key);
      }
    }
    if (keys.size > 0) this.settings.onEvent('tailLost');
    return keys;
  }

  /**
   * The process is gone, and what it had not synced, from some point on; returns the keys of what was
   * lost. The note of what was acknowledged is perhaps an older one.
   */
  cutPower(): Set<string> {
    this.#engine?.process.crash();
    const { random } = this.world;
    const unsynced = this.#history.filter(({ isSynced }) => !isSynced).length;
    const lost = this.loseTail(Math.floor(random() * (unsynced + 1)));
    if (random() < 0.5) {
      this.#noted = Math.floor(this.#noted * random());
      this.#notedCommits = 0;
    }
    return lost;
  }

  // For its engine

  timeFor(average: number): number {
    return average * this.#slowness * (0.5 + this.world.random());
  }

  valueOf(key: string): Uint8Array | undefined {
    return this.#limbo.has(key) ? this.#limbo.get(key) : this.#records.get(key);
  }

  bytes(): number {
    let bytes = 0;
    for (const [key, value] of this.#records) bytes += costOf(key, value);
    return bytes;
  }

  note(sequence: number): void {
    this.#noted = sequence;
    this.#notedCommits = this.#commits;
  }

  begin(commit: Commit): CommitError | undefined {
    const { onEvent } = this.settings;
    this.#commit = commit;
    const bytes = commit.operations.reduce((sum, { key, value }) => sum + costOf(key, value), 0);
    const failure = this.#nextFailure;
    if (failure !== undefined) {
      this.#nextFailure = undefined;
      if (failure === 'failedFsync') this.#lies = true;
      onEvent(failure);
      return { kind: 'broken', reason: failure };
    }
    if (bytes <= this.#free) return undefined;
    onEvent('fullRefusal');
    return { kind: 'full', reason: 'no space left on device' };
  }

  finish(commit: Commit): void {
    if (this.#commit !== commit) return;
    this.#commit = undefined;
    if (this.#lies) {
      for (const { key, value } of commit.operations) this.#limbo.set(key, value);
    } else this.#apply(commit.operations, commit.sync);
  }

  reopen(): boolean {
    if (this.#lies) this.#pretend();
    else this.#settle();
    const fails = this.#nextReopenFails;
    this.#nextReopenFails = false;
    if (fails) this.settings.onEvent('failedReopen');
    return !fails;
  }

  release(): void {
    if (!this.#isBallastHeld) return;
    this.#isBallastHeld = false;
    this.#free += this.settings.ballast;
    this.settings.onEvent('ballastReleased');
  }

  reserve(): boolean {
    if (this.#isBallastHeld) return true;
    if (this.#free < this.settings.ballast) return false;
    this.#free -= this.settings.ballast;
    this.#isBallastHeld = true;
    this.settings.onEvent('ballastHeld');
    return true;
  }

  #abandoned(engine: SimEngine): void {
    if (this.#engine !== engine) return;
    this.#settle();
    this.#limbo.clear();
    this.#lies = false;
    this.#engine = undefined;
  }

  /** A commit that was under way, or has failed, is decided. */
  #settle(): void {
    const commit = this.#commit;
    if (commit === undefined) return;
    this.#commit = undefined;
    if (this.#lies && !commit.isUndecided) return;
    const { isKept, onEvent } = this.settings;
    const kept = isKept();
    if (commit.isUndecided) onEvent(kept ? 'failedCommitKept' : 'failedCommitLost');
    else onEvent(kept ? 'tornCommitKept' : 'tornCommitLost');
    if (kept) this.#apply(commit.operations, commit.sync);
  }

  /** What could not be synced is perhaps still in memory, where reads find it. */
  #pretend(): void {
    const commit = this.#commit;
    this.#commit = undefined;
    if (commit === undefined || !this.settings.isKept()) return;
    for (const { key, value } of commit.operations) this.#limbo.set(key, value);
  }

  #apply(operations: readonly Operation[], sync: boolean): void {
    const before = operations.map(({ key }) => [key, this.#records.get(key)] as const);
    for (const { key, value } of operations) this.#put(key, value && copyOf(value));
    this.#commits++;
    this.#history.push({ before, isSynced: false });
    if (sync) for (const undo of this.#history) undo.isSynced = true;
    // What is older has long been written back.
    if (this.#history.length > HISTORY) this.#history.shift();
    this.settings.onDurable(operations);
  }

  #put(key: string, value: Uint8Array | undefined): void {
    const former = this.#records.get(key);
    if (former !== undefined) this.#free += costOf(key, former);
    if (value === undefined) this.#records.delete(key);
    else {
      this.#records.set(key, value);
      this.#free -= costOf(key, value);
    }
  }
}

function costOf(key: string, value: Uint8Array | undefined): number {
  return key.length + (value?.length ?? 0) + RECORD_OVERHEAD;
}
