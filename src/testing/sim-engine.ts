/** What one process has of a simulated disk: the engine's calls, each in its time. */
import { StorageError } from '../core/errors.ts';
import type { CommitError, Engine, Operation } from '../storage/engine.ts';
import type { SimProcess } from './sim-process.ts';
import type { SimWorld } from './sim-world.ts';

/** A commit that has begun. Undecided, it is on the disk or not: nobody can know yet. */
export interface Commit {
  readonly operations: readonly Operation[];
  readonly sync: boolean;
  isUndecided: boolean;
}

/** What an engine needs of the disk that it is opened on. */
export interface EngineDisk {
  readonly world: SimWorld;
  readonly settings: { readonly commitTime: number; readonly readTime: number };
  readonly records: ReadonlyMap<string, Uint8Array>;
  readonly noted: number;
  /** Milliseconds, not always the same. */
  timeFor(average: number): number;
  /** As this process sees it. */
  valueOf(key: string): Uint8Array | undefined;
  /** A commit begins; returns how it will fail. */
  begin(commit: Commit): CommitError | undefined;
  /** A commit has reached the disk. */
  finish(commit: Commit): void;
  /** Opened anew: a failed commit is there, or not. False if that failed. */
  reopen(): boolean;
  release(): void;
  /** True if the ballast is held, now or still. */
  reserve(): boolean;
  note(sequence: number): void;
  bytes(): number;
}

/** A copy, also of a Buffer, whose own `slice` is none. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

export class SimEngine implements Engine {
  readonly process: SimProcess;
  readonly #disk: EngineDisk;
  #isClosed = false;
  #isCommitting = false;
  /** A commit has failed: until it is opened anew, it takes none. */
  #isStuck = false;

  constructor(disk: EngineDisk, process: SimProcess) {
    this.#disk = disk;
    this.process = process;
  }

  /** Closed, or its process has ended: another one may open the disk. */
  get isOver(): boolean {
    return this.#isClosed || this.process.isOver;
  }

  get noted(): number {
    return this.#disk.noted;
  }

  scan(
    each: (key: string, value: Uint8Array) => void,
    done: (error: StorageError | undefined) => void,
  ): void {
    this.#later(this.#disk.settings.readTime, () => {
      const { records } = this.#disk;
      for (const key of [...records.keys()].toSorted()) each(key, copyOf(records.get(key)!));
      done(undefined);
    });
  }

  commit(
    operations: readonly Operation[],
    sync: boolean,
    done: (error: CommitError | undefined) => void,
  ): void {
    const disk = this.#disk;
    if (this.#isClosed) throw new Error('this engine is closed');
    if (this.#isCommitting) throw new Error('the caller begins one commit at a time');
    if (!this.process.spendEffect()) return;
    this.#isCommitting = true;
    if (this.#isStuck) return this.#answer(0, done, { kind: 'broken', reason: 'reopen it first' });
    const commit: Commit = { operations: [...operations], sync, isUndecided: false };
    const error = disk.begin(commit);
    const duration = disk.timeFor(disk.settings.commitTime);
    if (error !== undefined) {
      this.#isStuck = true;
      commit.isUndecided = true;
      return this.#answer(duration, done, error);
    }
    // It is on the disk before its caller is told: a crash may come between the two.
    disk.world.after(duration * disk.world.random(), () => disk.finish(commit));
    this.#answer(duration, done, undefined);
  }

  read(
    key: string,
    done: (error: string | undefined, value: Uint8Array | undefined) => void,
  ): void {
    this.#later(this.#disk.settings.readTime, () => {
      const value = this.#disk.valueOf(key);
      done(undefined, value && copyOf(value));
    });
  }

  reopen(done: (error: StorageError | undefined) => void): void {
    this.#later(this.#disk.settings.readTime, () => {
      this.#isStuck = !this.#disk.reopen();
      if (!this.#isStuck) return done(undefined);
      done(new StorageError('ERR_STORAGE_FAILED', 'the simulated disk could not be opened anew'));
    });
  }

  release(): void {
    this.#disk.release();
  }

  reserve(done: (isHeld: boolean) => void): void {
    this.#later(this.#disk.settings.readTime, () => done(this.#disk.reserve()));
  }

  note(sequence: number): void {
    this.#disk.note(sequence);
  }

  size(): number {
    return this.#disk.bytes();
  }

  close(done: () => void): void {
    this.#later(this.#disk.settings.readTime, () => {
      this.#isClosed = true;
      done();
    });
  }

  #answer(
    delay: number,
    done: (error: CommitError | undefined) => void,
    error: CommitError | undefined,
  ): void {
    this.#disk.world.after(delay, () =>
      this.process.run(() => {
        this.#isCommitting = false;
        if (!this.#isClosed) done(error);
      }),
    );
  }

  /** In a turn of the process, after about `average` milliseconds. */
  #later(average: number, work: () => void): void {
    const { world } = this.#disk;
    world.after(this.#disk.timeFor(average), () =>
      this.process.run(() => {
        if (!this.#isClosed) work();
      }),
    );
  }
}
