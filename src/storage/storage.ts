/**
 * The storage: batches become durable in order, each of them whole or not at all, and what is read is what
 * was written, or an error.
 *
 * One commit is under way at a time; what is written meanwhile goes together into the next, so that one
 * fsync serves all who wait. It holds no timer, promise or clock: the simulator runs it as it is.
 */
import type { StorageBatch, StorageState } from '../core/batch.ts';
import type { StorageError } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import { completeOptions } from '../core/options.ts';
import { checkBatch, checkKey } from './batch-check.ts';
import { BatchQueue, isUrgent, type WaitingBatch } from './batch-queue.ts';
import { failedError, fullError } from './commit-error.ts';
import type { CommitError, Engine, Operation } from './engine.ts';
import { decodePage, encodePage, type Ledger } from './ledger.ts';
import { LEDGER_KEY, openRecords, type StorageSettings } from './opening.ts';
import { storageRules, type StorageOptions, type StorageStatus } from './options.ts';
import { RecordCache } from './record-cache.ts';
import { RecordReader } from './record-reader.ts';
import { checksumOf, decodeRecord, encodeRecord, recordFault } from './record.ts';

export interface StorageOpening {
  readonly options?: StorageOptions | undefined;
  /** Every sound record, before `done`. The frames may be kept, and must not be changed. */
  readonly each: (key: string, value: Frames) => void;
  /** Whenever the state has changed. Must not throw. */
  readonly onState: (state: StorageState, reason: string) => void;
}

export class Storage {
  readonly #engine: Engine;
  readonly #settings: StorageSettings;
  readonly #onState: StorageOpening['onState'];
  readonly #ledger: Ledger;
  readonly #accepted: readonly string[];
  readonly #cache: RecordCache;
  readonly #reader: RecordReader;
  readonly #queue = new BatchQueue();
  /** Written on a full disk: they wait for the word whether there is room again. */
  readonly #hopeful = new BatchQueue();
  /** What the commit under way consists of; undefined if there is none. */
  #group: readonly WaitingBatch[] | undefined;
  #operations: readonly Operation[] = [];
  #isPumping = false;
  #isReserving = false;
  /** How often the reserve was given back. */
  #releases = 0;
  #isEngineClosing = false;
  /** Who waits for the end; undefined before `close`. */
  #closing: (() => void)[] | undefined;
  #state: StorageState = 'open';
  #reason = '';
  #commits = 0;
  #batches = 0;

  /**
   * Reads and verifies all records, and calls back once. A storage that is refused is closed.
   * @throws InvalidArgumentError for an unknown or bad option
   */
  static open(
    engine: Engine,
    opening: StorageOpening,
    done: (error: StorageError | undefined, storage: Storage | undefined) => void,
  ): void {
    const settings = completeOptions('Storage', storageRules, opening.options);
    openRecords(engine, settings, opening.each, (error, ledger, accepted) => {
      if (error !== undefined) return engine.close(() => done(error, undefined));
      done(undefined, new Storage(engine, settings, opening.onState, ledger, accepted));
    });
  }

  private constructor(
    engine: Engine,
    settings: StorageSettings,
    onState: StorageOpening['onState'],
    ledger: Ledger,
    accepted: readonly string[],
  ) {
    this.#engine = engine;
    this.#settings = settings;
    this.#onState = onState;
    this.#ledger = ledger;
    this.#accepted = accepted;
    this.#cache = new RecordCache(settings.cacheBytes);
    this.#reader = new RecordReader(engine, ledger, this.#cache);
  }

  get state(): StorageState {
    return this.#state;
  }

  status(): StorageStatus {
    return {
      state: this.#state,
      reason: this.#reason,
      durability: this.#settings.durability,
      records: this.#ledger.page.records,
      bytes: this.#state === 'closed' ? undefined : this.#engine.size(),
      commits: this.#commits,
      batches: this.#batches,
      quarantined: this.#ledger.quarantined,
      accepted: this.#accepted,
    };
  }

  /**
   * Makes a batch durable: all of it or nothing, and in order with all that are not refused. `done` may be
   * called at once, and must not throw. An empty batch, not urgent, asks a full disk whether it still is.
   * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` for a bad key, value, or key named twice
   */
  write(batch: StorageBatch, done: (error?: StorageError) => void): void {
    const bytes = checkBatch(batch, (key) => this.#ledger.faultOf(key) !== undefined);
    if (this.#closing !== undefined) return done(failedError('it is closed'));
    if (this.#state === 'failed') return done(failedError(this.#reason));
    const waiting = { batch, bytes, done };
    if (this.#state === 'full') {
      if (!isUrgent(waiting)) return this.#hope(waiting);
      // It cannot wait, and must not overtake either.
      this.#tell(this.#hopeful.takeAll(), fullError(this.#reason));
    }
    this.#queue.push(waiting);
    this.#pump();
  }

  /**
   * The record under `key` as far as it is durable; undefined if there is none. Its frames must not be
   * changed. `ERR_STORAGE_CORRUPT` if it fails its checksum, is gone, or cannot be read.
   * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` for a bad key
   */
  read(
    key: string,
    done: (error: StorageError | undefined, value: Frames | undefined) => void,
  ): void {
    if (this.#ledger.faultOf(key) === undefined) checkKey(key);
    if (this.#closing !== undefined) return done(failedError('it is closed'), undefined);
    this.#reader.read(key, (error, value) => {
      done(error, value);
      this.#closeIfIdle();
    });
  }

  /** Writes what was given before, then closes the engine. What is asked after is refused. */
  close(done: () => void): void {
    if (this.#state === 'closed') return done();
    this.#closing ??= [];
    this.#closing.push(done);
    if (this.#closing.length === 1) this.#closeIfIdle();
  }

  #pump(): void {
    // An engine that answers at once would otherwise nest one commit in the other.
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#group === undefined && this.#queue.size > 0) {
      this.#commit(this.#queue.takeGroup(this.#settings.commitBytes));
    }
    this.#isPumping = false;
    this.#closeIfIdle();
  }

  #commit(group: readonly WaitingBatch[]): void {
    const operations: Operation[] = [];
    for (const { batch } of group) {
      for (const { key, value } of batch.puts) {
        const record = encodeRecord(key, value);
        this.#ledger.stage(key, checksumOf(record));
        operations.push({ key, value: record });
      }
      for (const key of batch.deletes) {
        this.#ledger.stage(key, undefined);
        operations.push({ key });
      }
    }
    const page = encodePage(this.#ledger.stagedPage);
    operations.push({ key: LEDGER_KEY, value: encodeRecord(LEDGER_KEY, [page]) });
    this.#group = group;
    this.#operations = operations;
    this.#engine.commit(operations, this.#isSafe, (error) => {
      if (error !== undefined) return this.#recover(error);
      this.#keep();
      this.#endCommit(group, undefined);
    });
  }

  /** The commit is there. */
  #keep(): void {
    this.#ledger.settle();
    this.#commits++;
    this.#batches += this.#group!.length;
    // What is only with the operating system may rightly be gone after a power cut: nobody shall miss it.
    if (this.#isSafe) this.#engine.note(this.#ledger.sequence);
    for (const { key, value } of this.#operations) {
      if (value === undefined) this.#cache.delete(key);
      else if (key !== LEDGER_KEY) this.#cache.set(key, value);
    }
  }

  /** Those of the commit are told; what came meanwhile goes on. */
  #endCommit(told: readonly WaitingBatch[], error: StorageError | undefined): void {
    this.#operations = [];
    // The commit counts as under way until all are told: what they write goes together into the next.
    this.#tell(told, error);
    this.#group = undefined;
    this.#reader.resume();
    if (this.#state === 'full' && error === undefined) this.#reserve();
    this.#pump();
  }

  /** A commit failed. On a full disk it is found out whether it is there; otherwise nobody can say. */
  #recover({ kind, reason }: CommitError): void {
    if (kind === 'broken') return this.#fail(reason);
    const engine = this.#engine;
    this.#reader.hold();
    this.#releases++;
    engine.release();
    engine.reopen((failure) => {
      if (failure !== undefined) {
        return this.#fail(`${reason}, and it did not open again: ${failure.message}`);
      }
      engine.read(LEDGER_KEY, (_error, bytes) => {
        const sequence = sequenceIn(bytes);
        if (sequence === this.#ledger.sequence) this.#fill(reason, false);
        else if (sequence === this.#ledger.sequence + 1) this.#fill(reason, true);
        else this.#fail(`${reason}, and its ledger was not what was written when it opened again`);
      });
    });
  }

  /** The disk is full. What is urgent goes on, with the room that the reserve has left. */
  #fill(reason: string, isThere: boolean): void {
    const group = this.#group!;
    // With the reserve given back just now another try may succeed; a second one would not.
    const isAgain = (waiting: WaitingBatch): boolean => this.#state === 'open' && isUrgent(waiting);
    const again = isThere ? [] : group.filter(isAgain);
    const told = isThere ? group : group.filter((waiting) => !isAgain(waiting));
    const queued = this.#queue.takeAll();
    for (const waiting of again) this.#queue.push(waiting);
    for (const waiting of queued) if (isUrgent(waiting)) this.#queue.push(waiting);
    if (isThere) this.#keep();
    else this.#ledger.drop();
    this.#become('full', reason);
    const refusal = fullError(reason);
    this.#tell(
      queued.filter((waiting) => !isUrgent(waiting)),
      refusal,
    );
    this.#endCommit(told, isThere ? undefined : refusal);
  }

  /** For good: what would be appended behind a write that went wrong might not be readable. */
  #fail(reason: string): void {
    this.#ledger.drop();
    this.#reader.fail(reason);
    const told = [this.#group!, this.#queue.takeAll(), this.#hopeful.takeAll()].flat();
    this.#become('failed', reason);
    this.#endCommit(told, failedError(reason));
  }

  /** On a full disk: waits for the word whether there is room again. */
  #hope(waiting: WaitingBatch): void {
    this.#hopeful.push(waiting);
    this.#reserve();
  }

  #reserve(): void {
    if (this.#isReserving) return;
    this.#isReserving = true;
    const releases = this.#releases;
    this.#engine.reserve((isHeld) => {
      this.#isReserving = false;
      const hopeful = this.#hopeful.takeAll();
      if (isHeld && this.#state === 'full' && releases === this.#releases) {
        for (const waiting of hopeful) this.#queue.push(waiting);
        this.#become('open', '');
      } else this.#tell(hopeful, fullError(this.#reason));
      this.#pump();
    });
  }

  #closeIfIdle(): void {
    if (this.#closing === undefined || this.#isEngineClosing || this.#isPumping) return;
    if (this.#group !== undefined || this.#queue.size + this.#hopeful.size > 0) return;
    if (!this.#reader.isIdle) return;
    this.#isEngineClosing = true;
    this.#engine.close(() => {
      this.#become('closed', '');
      for (const done of this.#closing!) done();
    });
  }

  #become(state: StorageState, reason: string): void {
    const isNews = state !== this.#state;
    this.#state = state;
    this.#reason = reason;
    if (isNews) this.#onState(state, reason);
  }

  #tell(batches: readonly WaitingBatch[], error: StorageError | undefined): void {
    for (const { done } of batches) done(error);
  }

  /** True if what is acknowledged survives a power cut. */
  get #isSafe(): boolean {
    return this.#settings.durability === 'fsync';
  }
}

/** The sequence of a stored ledger; undefined if there is none that can be read. */
function sequenceIn(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined || recordFault(LEDGER_KEY, bytes) !== undefined) return undefined;
  return decodePage(decodeRecord(bytes)[0])?.sequence;
}
