/** What may be written: checked against all that was accepted before, in the order in which it is told. */
import { byteLength } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { Sequence, WriteKind, WriteRefusal } from '../commands.ts';
import { isKey, isSubtree } from '../key.ts';
import type { Update } from '../stream/update.ts';
import type { Accepted } from './accepted.ts';
import { bytesOf, type Entries } from './entries.ts';
import type { ServerSettings } from './settings.ts';
import type { StagedUpdates } from './staged.ts';
import type { StoreDesk } from './store-desk.ts';
import type { Outcome } from './writers.ts';

export type AdmissionSettings = Pick<
  ServerSettings,
  'keyLimit' | 'stateBytes' | 'valueBytes' | 'pendingLimit' | 'pendingBytes'
>;

/** A change that somebody asks for. */
export interface Change {
  readonly kind: WriteKind;
  readonly key: string;
  /** Milliseconds. */
  readonly ttl?: number | undefined;
  readonly ifMatch?: Sequence | undefined;
  /** Borrowed. */
  readonly value: Frames;
  /** Of a stock writer. */
  readonly uuid?: string | undefined;
  /** Whose it is, and which. */
  readonly origin?: Update['origin'];
  readonly isExpiry?: boolean | undefined;
}

/** Milliseconds after which one that was refused may be tried again, where that may help. */
const RETRY_AFTER: Readonly<Partial<Record<WriteRefusal, number>>> = {
  busy: 100,
  full: 1000,
  storageFailed: 1000,
};

export class Admission {
  /** A clear is carried out key by key: stock clients know no other way. */
  isStock = false;
  readonly #entries: Entries;
  readonly #accepted: Accepted;
  readonly #staged: StagedUpdates;
  readonly #storeDesk: StoreDesk;
  readonly #settings: AdmissionSettings;

  constructor(
    entries: Entries,
    accepted: Accepted,
    staged: StagedUpdates,
    storeDesk: StoreDesk,
    settings: AdmissionSettings,
  ) {
    this.#entries = entries;
    this.#accepted = accepted;
    this.#staged = staged;
    this.#storeDesk = storeDesk;
    this.#settings = settings;
  }

  /** @param waiting answers that wait */
  hasRoom(waiting: number): boolean {
    const { pendingLimit, pendingBytes } = this.#settings;
    const { size, bytes } = this.#staged;
    return Math.max(size, waiting) < pendingLimit && bytes < pendingBytes;
  }

  /** Why it is not done; undefined if it is. Whether there is room for it is another question. */
  refusalOf({ kind, key, value, ifMatch }: Change): WriteRefusal | undefined {
    if (kind === 'clear' ? !isSubtree(key) : !isKey(key)) return 'invalidKey';
    if (!this.#isValue(kind, value)) return 'invalidValue';
    if (this.#storeDesk.refuses(kind)) return 'storageFailed';
    if (kind === 'clear') return this.isStock && !this.#hasRoomFor(key) ? 'busy' : undefined;
    if (ifMatch !== undefined && ifMatch !== this.#revisionOf(key)) return 'conflict';
    return kind === 'set' && this.#isTooMuch(key, value[0]!) ? 'full' : undefined;
  }

  /** What its writer is told of a refusal. */
  outcomeOf(refusal: WriteRefusal, key: string): Outcome {
    const revision = refusal === 'conflict' ? this.#revisionOf(key) : 0;
    return { refusal, revision, retryAfter: RETRY_AFTER[refusal] };
  }

  /** The keys that a clear would delete. */
  keysUnder(subtree: string): string[] {
    const keys = new Set(this.#accepted.known(subtree));
    return [...keys].filter((key) => this.#accepted.get(key) !== undefined);
  }

  /** Of a clear that is carried out key by key: a larger one goes alone. */
  #hasRoomFor(subtree: string): boolean {
    const { size } = this.#staged;
    return size === 0 || size + this.keysUnder(subtree).length <= this.#settings.pendingLimit;
  }

  #revisionOf(key: string): Sequence {
    return this.#accepted.get(key)?.revision ?? 0;
  }

  #isValue(kind: WriteKind, value: Frames): boolean {
    if (kind !== 'set') return value.length === 0;
    const bytes = byteLength(value);
    return value.length === 1 && bytes > 0 && bytes <= this.#settings.valueBytes;
  }

  #isTooMuch(key: string, value: Uint8Array): boolean {
    const { keyLimit, stateBytes } = this.#settings;
    const { newKeys, growth } = this.#staged;
    // Nothing is looked up while there is plenty.
    if (this.#entries.size + newKeys >= keyLimit && this.#accepted.get(key) === undefined) {
      return true;
    }
    const room = stateBytes - this.#entries.bytes - growth;
    if (bytesOf(key, value) <= room) return false;
    const more = this.#accepted.growthOf(key, value);
    return more > 0 && more > room;
  }
}
