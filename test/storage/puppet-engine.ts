/**
 * An engine on strings: tests decide when a commit ends, and how. Its records stay for the next engine on
 * the same ones, as a disk's would.
 */
import { StorageError } from '../../src/core/errors.ts';
import type { CommitError, Engine, Operation } from '../../src/storage/engine.ts';

export type Records = Map<string, Uint8Array>;

type CommitDone = (error: CommitError | undefined) => void;

interface Pending {
  readonly operations: readonly Operation[];
  readonly done: CommitDone;
}

export class PuppetEngine implements Engine {
  readonly records: Records;
  noted = 0;
  /** True: commits end when `finish` or `fail` says so. */
  isManual = false;
  /** True: reads end when `finishReads` says so, with what was there when they began. */
  isSlow = false;
  readError: string | undefined;
  scanError: StorageError | undefined;
  reopenError: StorageError | undefined;
  /** How the next commits end that are not manual. */
  readonly failures: CommitError[] = [];
  /** Whether a failed commit is there after all, once it was opened anew. */
  isKept = false;
  /** What `reserve` answers; undefined: later, by `answerReserve`. */
  canReserve: boolean | undefined = false;
  /** Called before records are readable after `reopen`. */
  onReopen = (): void => undefined;
  readonly calls: string[] = [];
  /** The commits seen, by the keys of others than the ledger. */
  readonly commits: string[][] = [];
  readonly syncs: boolean[] = [];
  #pending: Pending | undefined;
  #failed: readonly Operation[] = [];
  #reads: (() => void)[] = [];
  #reserves: ((isHeld: boolean) => void)[] = [];
  #isOpen = true;

  constructor(records: Records = new Map()) {
    this.records = records;
  }

  get isWriting(): boolean {
    return this.#pending !== undefined;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  scan(
    each: (key: string, value: Uint8Array) => void,
    done: (error: StorageError | undefined) => void,
  ): void {
    for (const key of [...this.records.keys()].toSorted()) each(key, this.records.get(key)!);
    done(this.scanError);
  }

  commit(operations: readonly Operation[], sync: boolean, done: CommitDone): void {
    this.#mustBeOpen('commit');
    if (this.#pending !== undefined) throw new Error('two commits at a time');
    this.commits.push(operations.map(({ key }) => key).filter((key) => !key.startsWith('!')));
    this.syncs.push(sync);
    this.#pending = { operations, done };
    if (this.isManual) return;
    const failure = this.failures.shift();
    if (failure === undefined) this.finish();
    else this.fail(failure);
  }

  /** The commit under way succeeds. */
  finish(): void {
    const { operations, done } = this.#take();
    this.apply(operations);
    done(undefined);
  }

  /** Reads find what the commit under way has written, before it is done. */
  show(): void {
    if (this.#pending !== undefined) this.apply(this.#pending.operations);
  }

  /** The process is gone, and the commit under way turns out to be there. */
  keep(): void {
    this.apply(this.#take().operations);
  }

  /** The commit under way fails. */
  fail(error: CommitError): void {
    const { operations, done } = this.#take();
    this.#failed = operations;
    done(error);
  }

  apply(operations: readonly Operation[]): void {
    for (const { key, value } of operations) {
      if (value === undefined) this.records.delete(key);
      else this.records.set(key, value);
    }
  }

  read(
    key: string,
    done: (error: string | undefined, value: Uint8Array | undefined) => void,
  ): void {
    this.#mustBeOpen('read');
    this.calls.push(`read ${key}`);
    const { readError } = this;
    const value = this.records.get(key);
    const answer = (): void =>
      readError === undefined ? done(undefined, value) : done(readError, undefined);
    if (this.isSlow) this.#reads.push(answer);
    else answer();
  }

  finishReads(): void {
    for (const answer of this.#reads.splice(0)) answer();
  }

  reopen(done: (error: StorageError | undefined) => void): void {
    this.calls.push('reopen');
    if (this.isKept) this.apply(this.#failed);
    this.#failed = [];
    this.onReopen();
    done(this.reopenError);
  }

  release(): void {
    this.calls.push('release');
  }

  reserve(done: (isHeld: boolean) => void): void {
    this.calls.push('reserve');
    if (this.canReserve === undefined) this.#reserves.push(done);
    else done(this.canReserve);
  }

  answerReserve(isHeld: boolean): void {
    for (const done of this.#reserves.splice(0)) done(isHeld);
  }

  note(sequence: number): void {
    this.noted = sequence;
  }

  size(): number {
    return [...this.records.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  close(done: () => void): void {
    this.#mustBeOpen('close');
    if (this.isWriting) throw new Error('closed while it writes');
    this.#isOpen = false;
    done();
  }

  /** One bit of a record is another, in the middle or where it is said. */
  flip(key: string, at?: number): void {
    const bytes = Uint8Array.from(this.records.get(key)!);
    bytes[at ?? bytes.length >> 1]! ^= 1;
    this.records.set(key, bytes);
  }

  /** The next engine on the same disk. */
  next(): PuppetEngine {
    const engine = new PuppetEngine(this.records);
    engine.noted = this.noted;
    return engine;
  }

  #take(): Pending {
    const pending = this.#pending;
    if (pending === undefined) throw new Error('no commit is under way');
    this.#pending = undefined;
    return pending;
  }

  #mustBeOpen(what: string): void {
    if (!this.#isOpen) throw new Error(`${what} after close`);
  }
}
