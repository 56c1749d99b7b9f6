/**
 * The map as it is public: keys in the order in which they were made.
 *
 * An entry lives as long as its key does; a `set` changes it in place. So a walk over the map, deadlines
 * and whoever else stands at a key need not look it up again.
 */
import type { Instant } from '../../core/machine.ts';
import type { Digest, Sequence } from '../commands.ts';
import { digestOf, RunningDigest } from '../digest.ts';
import { forEachSubtree, isUnder } from '../key.ts';
import type { SnapshotWalk } from '../stream/content.ts';

export interface Entry {
  readonly key: string;
  value: Uint8Array;
  revision: Sequence;
  digest: Digest;
  ttl: number | undefined;
  /** By the clock of this process; `Infinity`: never. */
  expiresAt: Instant;
  /** The update that made the key. */
  readonly createdAfter: Sequence;
  /** Deleted: nobody should look at it any more. */
  isGone: boolean;
}

/** What a key gets. */
export interface NewEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: Sequence;
  readonly ttl: number | undefined;
  readonly expiresAt: Instant;
}

/** What a key costs beside its text and its value: about what it does in memory. */
export const ENTRY_OVERHEAD = 100;

/** What a key and its value count towards `stateBytes`. */
export function bytesOf(key: string, value: Uint8Array): number {
  return ENTRY_OVERHEAD + key.length + value.byteLength;
}

/** Up to so many subtrees are faster looked for one by one. */
const FEW = 4;

export class Entries implements Iterable<Entry> {
  #entries = new Map<string, Entry>();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Of keys and values, with 100 for each key. */
  get bytes(): number {
    return this.#bytes;
  }

  /** All of it, for reading. */
  get map(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Sets a key; one that is there keeps its place and its entry. */
  set({ key, value, revision, ttl, expiresAt }: NewEntry): Entry {
    const digest = digestOf(key, revision, value);
    const known = this.#entries.get(key);
    this.#bytes += bytesOf(key, value);
    if (known !== undefined) {
      this.#bytes -= bytesOf(key, known.value);
      known.value = value;
      known.revision = revision;
      known.digest = digest;
      known.ttl = ttl;
      known.expiresAt = expiresAt;
      return known;
    }
    const createdAfter = revision;
    const entry = { key, value, revision, digest, ttl, expiresAt, createdAfter, isGone: false };
    this.#entries.set(key, entry);
    return entry;
  }

  /** Deletes a key; undefined if there is none. */
  delete(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#bytes -= bytesOf(key, entry.value);
    entry.isGone = true;
    return entry;
  }

  /** Becomes what `other` is, which must not be used any more. */
  takeOver(other: Entries): void {
    this.#entries = other.#entries;
    this.#bytes = other.#bytes;
  }

  /** Those under a subtree, in the order in which they were made. */
  *under(subtree: string): Generator<Entry> {
    if (isOneKey(subtree)) {
      const entry = this.get(subtree);
      if (entry !== undefined) yield entry;
      return;
    }
    for (const entry of this) if (isUnder(subtree, entry.key)) yield entry;
  }

  /** Keys that `digestOf` looks at. */
  costOf(subtree: string): number {
    return isOneKey(subtree) ? 1 : this.size;
  }

  /** By a scan. */
  digestOf(subtree: string): RunningDigest {
    const digest = new RunningDigest();
    for (const entry of this.under(subtree)) digest.add(entry.digest);
    return digest;
  }

  /** Of several subtrees, none of them twice, by one scan. */
  digestsOf(subtrees: readonly string[]): RunningDigest[] {
    if (subtrees.length <= FEW) return subtrees.map((subtree) => this.digestOf(subtree));
    const digests = new Map(subtrees.map((subtree) => [subtree, new RunningDigest()]));
    for (const { key, digest } of this) {
      forEachSubtree(key, (subtree) => digests.get(subtree)?.add(digest));
    }
    return [...digests.values()];
  }

  /** Over all under a subtree that were not changed after `since`, however the map goes on changing. */
  walk(subtree: string, since: Sequence): Walk {
    const one = isOneKey(subtree) ? this.get(subtree) : undefined;
    const entries = isOneKey(subtree) ? (one === undefined ? [] : [one]) : this;
    return new Walk(entries[Symbol.iterator](), subtree, since);
  }

  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#entries.values();
  }
}

/** One walk over the map: what was changed since it began is left out, and its end comes in any case. */
export class Walk implements SnapshotWalk {
  readonly #entries: Iterator<Entry>;
  readonly #subtree: string;
  readonly #since: Sequence;
  #entry: Entry | undefined;
  #isOver = false;

  constructor(entries: Iterator<Entry>, subtree: string, since: Sequence) {
    this.#entries = entries;
    this.#subtree = subtree;
    this.#since = since;
    this.step();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get item(): Entry | undefined {
    const entry = this.#entry;
    // It may have changed since the last step.
    if (entry === undefined || entry.isGone || entry.revision > this.#since) return undefined;
    return isUnder(this.#subtree, entry.key) ? entry : undefined;
  }

  step(): void {
    const { value, done } = this.#entries.next();
    // What was made later stands behind all that was there.
    this.#isOver = done === true || value.createdAfter > this.#since;
    this.#entry = this.#isOver ? undefined : value;
  }
}

/** True for a subtree that is one key alone. */
function isOneKey(subtree: string): boolean {
  return subtree !== '' && !subtree.endsWith('/');
}
