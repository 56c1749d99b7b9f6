/**
 * What is in the storage, and what is not yet.
 *
 * It knows the keys whose records are not what they should be, and no more. A batch writes each of them
 * as it is to be at that moment, and `m` with them; one batch is under way at a time, so what is accepted
 * meanwhile goes together into the next. A batch that was refused, updates that were dropped, a snapshot
 * that replaced all: each just makes keys to be written again.
 */
import type { StorageBatch, StoragePut } from '../../core/batch.ts';
import type { Epoch } from '../../core/election.ts';
import { StorageError } from '../../core/errors.ts';
import { equalBytes } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import type { Sequence, WriterId } from '../commands.ts';
import type { SnapshotItem } from '../stream/content.ts';
import type { History } from '../stream/history.ts';
import type { Lineage } from '../stream/lineage.ts';
import type { Update } from '../stream/update.ts';
import type { Accepted } from './accepted.ts';
import type { Entries } from './entries.ts';
import {
  encodeMeta,
  encodeRecord,
  encodeWriter,
  META_KEY,
  readStoredKey,
  storedKeyOf,
  storedWriterOf,
} from './records.ts';
import type { Voice } from './voice.ts';
import type { Writers } from './writers.ts';

export interface StoreSettings {
  /** There is a storage. */
  readonly isDurable: boolean;
  /** What the wall clock shows more than the monotonic one, in milliseconds. */
  readonly wallClock: number;
}

/** Of whose state it is. */
export interface StoredState {
  readonly history: History;
  readonly lineage: Lineage;
}

/**
 * How a batch ended. `refused`: nothing of it is there. `unknown`: nobody can say, until the storage is
 * opened anew.
 */
export interface BatchEnd {
  readonly type: 'taken' | 'refused' | 'unknown';
  /** The newest update in it. */
  readonly sequence: Sequence;
}

/** Milliseconds after a refusal until the storage is tried again. */
export const STORE_REST = 1000;

/** A snapshot is written in pieces of so many keys, or bytes. */
const PIECE_KEYS = 4096;
const PIECE_BYTES = 8 * 1024 * 1024;

interface Batch {
  readonly token: number;
  /** The newest update in it. */
  readonly sequence: Sequence;
  /** What is there once it is taken is a state of the map. */
  readonly isWhole: boolean;
  readonly keys: ReadonlySet<string>;
  readonly writers: ReadonlySet<WriterId>;
}

export class StoreDesk {
  readonly #accepted: Accepted;
  readonly #writers: Writers;
  readonly #stored: StoredState;
  readonly #settings: StoreSettings;
  readonly #voice: Voice;
  readonly #state = {
    keys: new Set<string>(),
    writers: new Set<WriterId>(),
    /** Where there are records of nothing: these are to go. */
    strays: new Set<string>(),
    /** `m` alone is not what it should be. */
    isMetaOld: false,
    /** A snapshot is written: until it is there, nothing can be used. */
    isReplacing: false,
    holds: 0 as Epoch,
    durable: 0 as Sequence,
    batch: undefined as Batch | undefined,
    /** The last batch was not taken; the storage is tried again then. */
    isRefusing: false,
    isBroken: false,
    retryAt: Infinity,
  };

  constructor(
    accepted: Accepted,
    writers: Writers,
    stored: StoredState,
    settings: StoreSettings,
    voice: Voice,
  ) {
    this.#accepted = accepted;
    this.#writers = writers;
    this.#stored = stored;
    this.#settings = settings;
    this.#voice = voice;
  }

  /** False: there is no storage, and all is as durable as it gets at once. */
  get isOn(): boolean {
    return this.#settings.isDurable;
  }

  /** All up to here survives a crash. */
  get durable(): Sequence {
    return this.isOn ? this.#state.durable : this.#stored.history.accepted;
  }

  /** When the storage is tried again. */
  get nextDue(): Instant {
    return this.#state.retryAt;
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    return this.#state;
  }

  /** True if what is written now will probably be refused. What makes room may be taken by a full disk. */
  refuses(kind: Update['kind']): boolean {
    const { isRefusing, isBroken } = this.#state;
    return isBroken || (isRefusing && kind === 'set');
  }

  /** What a former life left is there already. @param unused where records are that are to be deleted */
  resume(sequence: Sequence, holds: Epoch, unused: readonly string[]): void {
    this.#state.durable = sequence;
    this.#state.holds = holds;
    const { keys, writers, strays } = this.#state;
    for (const stored of unused) {
      const named = readStoredKey(stored);
      if (typeof named !== 'object') strays.add(stored);
      else if ('key' in named) keys.add(named.key);
      else writers.add(named.writer);
    }
  }

  // What is to be written

  /** This is accepted, adopted, or dropped; of a clear, before the map loses what it clears. */
  touch({ kind, key, origin }: Update): void {
    if (!this.isOn) return;
    const { keys, writers } = this.#state;
    if (kind === 'clear') for (const known of this.#accepted.known(key)) keys.add(known);
    else keys.add(key);
    if (origin !== undefined) writers.add(origin.writer);
    this.#state.isMetaOld = true;
  }

  /** The state is that of this epoch from now on, as far as others may rely on it. */
  hold(epoch: Epoch): void {
    this.#state.holds = epoch;
    this.#state.isMetaOld = true;
  }

  /** Another lineage. */
  touchMeta(): void {
    this.#state.isMetaOld = true;
  }

  /** All updates above are no part of the state any more. */
  lower(sequence: Sequence): void {
    const state = this.#state;
    state.durable = Math.min(state.durable, sequence);
    const { batch } = state;
    if (batch !== undefined) {
      state.batch = { ...batch, sequence: Math.min(batch.sequence, sequence) };
    }
    state.isMetaOld = true;
  }

  /** A snapshot takes the place of all. */
  replace(former: Entries, latter: Entries): void {
    if (!this.isOn) return;
    const state = this.#state;
    state.isReplacing = true;
    state.durable = 0;
    state.isMetaOld = true;
    for (const entry of latter) {
      const known = former.get(entry.key);
      if (known === undefined || !isSame(known, entry)) state.keys.add(entry.key);
    }
    for (const { key } of former) if (latter.get(key) === undefined) state.keys.add(key);
    for (const id of this.#writers.ids) state.writers.add(id);
    const { batch } = state;
    if (batch !== undefined) state.batch = { ...batch, sequence: 0, isWhole: false };
  }

  /**
   * Writes what is to be written, unless a batch is under way, or the last one was refused just now.
   * @param isNews something was accepted: if it makes room, a full disk may take it
   */
  flush(now: Instant, isNews = false): void {
    const { batch, isRefusing, isBroken, retryAt } = this.#state;
    if (!this.isOn || batch !== undefined) return;
    const isTried = isNews && !isBroken && this.#accepted.makesRoom;
    if (isRefusing && retryAt > now && !isTried) return;
    const { keys, writers, isMetaOld } = this.#state;
    if (isMetaOld || keys.size + writers.size > 0) this.#write();
  }

  handleTimeout(now: Instant): void {
    if (this.#state.retryAt > now) return;
    this.#state.retryAt = Infinity;
    if (this.#state.batch === undefined) this.#write();
  }

  /** How the batch under way ended; undefined: it was another one. */
  handleStored(now: Instant, token: number, error?: Error): BatchEnd | undefined {
    const state = this.#state;
    const { batch } = state;
    if (batch?.token !== token) return undefined;
    state.batch = undefined;
    if (error !== undefined) return this.#fail(now, batch, error);
    state.isRefusing = false;
    state.isBroken = false;
    state.retryAt = Infinity;
    state.strays.clear();
    if (batch.isWhole) {
      state.isReplacing = false;
      state.durable = Math.max(state.durable, batch.sequence);
    }
    return { type: 'taken', sequence: batch.sequence };
  }

  #fail(now: Instant, { keys, writers, sequence }: Batch, error: Error): BatchEnd {
    const state = this.#state;
    if (!state.isRefusing) this.#voice.emit({ type: 'storeFailed', message: error.message });
    for (const key of keys) state.keys.add(key);
    for (const writer of writers) state.writers.add(writer);
    state.isMetaOld = true;
    state.isRefusing = true;
    state.retryAt = now + STORE_REST;
    if (error instanceof StorageError && error.code === 'ERR_STORAGE_FULL') {
      return { type: 'refused', sequence };
    }
    state.isBroken = true;
    return { type: 'unknown', sequence };
  }

  #write(): void {
    const state = this.#state;
    const puts: StoragePut[] = [];
    const deletes = [...state.strays];
    const keys = this.#takeKeys(puts, deletes);
    const writers = new Set([...state.writers, ...this.#writers.takeForgotten()]);
    state.writers = new Set();
    for (const id of writers) {
      const writer = this.#writers.recordOf(id);
      if (writer === undefined) deletes.push(storedWriterOf(id));
      else puts.push({ key: storedWriterOf(id), value: encodeWriter(writer) });
    }
    const isWhole = !state.isReplacing || state.keys.size === 0;
    const sequence = this.#stored.history.accepted;
    const { reigns } = this.#stored.lineage;
    const holds = isWhole ? state.holds : 0;
    puts.push({ key: META_KEY, value: encodeMeta({ sequence, reigns, holds, isWhole }) });
    state.isMetaOld = false;
    const urgent = state.isRefusing && this.#accepted.makesRoom;
    const batch: StorageBatch = { puts, deletes, urgent };
    state.batch = { token: this.#voice.store(batch), sequence, isWhole, keys, writers };
  }

  /** The keys of the next batch: all, but of a snapshot a piece. */
  #takeKeys(puts: StoragePut[], deletes: string[]): Set<string> {
    const state = this.#state;
    const all = state.keys;
    const isPiece = state.isReplacing;
    let bytes = 0;
    const keys = isPiece ? new Set<string>() : all;
    if (!isPiece) state.keys = new Set();
    for (const key of all) {
      if (isPiece) {
        if (keys.size >= PIECE_KEYS || bytes >= PIECE_BYTES) break;
        all.delete(key);
        keys.add(key);
      }
      const item = this.#accepted.get(key);
      if (item === undefined) deletes.push(storedKeyOf(key));
      else puts.push({ key: storedKeyOf(key), value: this.#recordOf(item) });
      bytes += item?.value.byteLength ?? 0;
    }
    return keys;
  }

  #recordOf({ key, value, revision, ttl, expiresAt }: SnapshotItem): Frames {
    const wall =
      expiresAt === Infinity ? undefined : Math.ceil(expiresAt + this.#settings.wallClock);
    return encodeRecord({ key, revision, ttl, expiresAt: wall, value });
  }
}

function isSame(one: SnapshotItem, other: SnapshotItem): boolean {
  return (
    one.revision === other.revision && one.ttl === other.ttl && equalBytes(one.value, other.value)
  );
}
