/**
 * What a storage needs of an engine: ordered records, atomic commits, and the truth about failures.
 *
 * An engine is LevelDB on a disk, a Map for tests, or a simulated disk that tears, fills up and fails.
 * Callbacks, no promises: simulated time is synchronous. A callback may come before the call returns.
 */
import type { StorageError } from '../core/errors.ts';

/** One change; without a value the record is deleted. */
export interface Operation {
  readonly key: string;
  readonly value?: Uint8Array;
}

/** Why a commit failed. `full`: no space is left; `broken`: anything else, a failed fsync among it. */
export interface CommitError {
  readonly kind: 'full' | 'broken';
  /** The engine's own words. */
  readonly reason: string;
}

export interface Engine {
  /**
   * Every record in the order of its key's bytes; the values may be kept. Called once, before the first
   * commit.
   */
  scan(
    each: (key: string, value: Uint8Array) => void,
    done: (error: StorageError | undefined) => void,
  ): void;
  /**
   * All of these changes or none, also across a crash. Commits become durable in their order: if one
   * survives a crash, so did those before it. With `sync` they are durable when `done` is called.
   * The caller begins one commit at a time, and never changes what it gave. Of several changes of one key
   * the last counts.
   */
  commit(
    operations: readonly Operation[],
    sync: boolean,
    done: (error: CommitError | undefined) => void,
  ): void;
  /**
   * A record, which may be kept; undefined if there is none. An error if the engine could not read it.
   * May be called while a commit is under way.
   */
  read(key: string, done: (error: string | undefined, value: Uint8Array | undefined) => void): void;
  /**
   * After a failed commit: closes and opens anew, because what the engine would append behind half a
   * commit might be unreadable later. Afterwards the failed commit is either there or not.
   */
  reopen(done: (error: StorageError | undefined) => void): void;
  /** Gives back the space that was held in reserve, so that closes go on when the disk is full. */
  release(): void;
  /** Holds that space again, if there is enough; `done(true)` if it is held. Cheap if there is not. */
  reserve(done: (isHeld: boolean) => void): void;
  /**
   * Notes outside of the records that everything up to `sequence` was acknowledged: so that a tail that
   * was lost with the engine's own bookkeeping is noticed. Survives a SIGKILL, not always a power cut;
   * never ahead of the truth.
   */
  note(sequence: number): void;
  /** What was noted last, in this life or a former one; 0 if nothing was. */
  readonly noted: number;
  /** Bytes on the disk, roughly; undefined if nobody knows. */
  size(): number | undefined;
  /** Closes; nothing is called after. */
  close(done: () => void): void;
}
