/**
 * Reads records: what is durable, or an error that says why it cannot be given; never anything else.
 *
 * The ledger knows the checksum of every record, so that a record which is gone, or is an older one, is
 * noticed as well. A record that was changed while it was read is read again once that has settled.
 */
import { StorageError } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import { failedError } from './commit-error.ts';
import type { Engine } from './engine.ts';
import type { Ledger } from './ledger.ts';
import type { RecordCache } from './record-cache.ts';
import { checksumOf, decodeRecord, recordFault } from './record.ts';

export type ReadDone = (error: StorageError | undefined, value: Frames | undefined) => void;

export class RecordReader {
  readonly #engine: Engine;
  readonly #ledger: Ledger;
  readonly #cache: RecordCache;
  /** Reads that wait for a commit to settle, or for the engine to be open again. */
  #waiting: (() => void)[] = [];
  #underWay = 0;
  #isHeld = false;
  /** How often the engine was opened anew. */
  #holds = 0;
  #failure: string | undefined;

  constructor(engine: Engine, ledger: Ledger, cache: RecordCache) {
    this.#engine = engine;
    this.#ledger = ledger;
    this.#cache = cache;
  }

  /** True if nobody waits for a record. */
  get isIdle(): boolean {
    return this.#underWay === 0 && this.#waiting.length === 0;
  }

  read(key: string, done: ReadDone): void {
    const fault = this.#ledger.faultOf(key);
    if (fault !== undefined) return done(corruptError(key, fault), undefined);
    const checksum = this.#ledger.checksumOf(key);
    if (checksum === undefined) return done(undefined, undefined);
    const cached = this.#cache.get(key);
    if (cached !== undefined) return done(undefined, decodeRecord(cached));
    if (this.#isHeld) return this.#wait(key, done);
    const holds = this.#holds;
    this.#underWay++;
    this.#engine.read(key, (error, bytes) => {
      this.#underWay--;
      if (
        this.#ledger.checksumOf(key) !== checksum ||
        (error !== undefined && holds !== this.#holds)
      )
        return this.#isHeld ? this.#wait(key, done) : this.read(key, done);
      if (error === undefined && bytes !== undefined && this.#isIt(key, bytes, checksum)) {
        this.#cache.set(key, bytes);
        return done(undefined, decodeRecord(bytes));
      }
      // What was found may be what is being written.
      if (this.#ledger.isStaged(key)) return this.#wait(key, done);
      done(this.#errorOf(key, error, bytes), undefined);
    });
  }

  /** The engine is being opened anew: nobody reads until `resume`. */
  hold(): void {
    this.#isHeld = true;
    this.#holds++;
  }

  /** A commit has settled, or was dropped. */
  resume(): void {
    this.#isHeld = false;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const read of waiting) read();
  }

  /** From now on nobody knows whether the last commit is there. */
  fail(reason: string): void {
    this.#failure = reason;
  }

  #wait(key: string, done: ReadDone): void {
    this.#waiting.push(() => this.read(key, done));
  }

  #isIt(key: string, bytes: Uint8Array, checksum: number): boolean {
    return recordFault(key, bytes) === undefined && checksumOf(bytes) === checksum;
  }

  #errorOf(key: string, error: string | undefined, bytes: Uint8Array | undefined): StorageError {
    const fault = bytes === undefined ? undefined : recordFault(key, bytes);
    if (fault !== undefined) {
      this.#ledger.quarantine(key, fault);
      return corruptError(key, fault);
    }
    if (this.#failure !== undefined) return failedError(error ?? this.#failure);
    if (error !== undefined) return corruptError(key, `it cannot be read: ${error}`);
    return corruptError(
      key,
      bytes === undefined ? 'it is gone' : 'it is not what was written last',
    );
  }
}

function corruptError(key: string, fault: string): StorageError {
  return new StorageError(
    'ERR_STORAGE_CORRUPT',
    `the record '${key}' cannot be given: ${fault}. Restore a copy, or delete it`,
  );
}
