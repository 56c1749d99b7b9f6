/**
 * The map of a Clone client: what it shows, and beside it what a snapshot under way brings.
 *
 * Nothing of a snapshot is visible until all of it is, and proven by its digest; then it takes the place
 * of the map in one step. So whoever reads sees at each instant a map that the server had, and whoever
 * iterates goes on over the one with which he began.
 */
import { keepFrames } from '../../core/frames.ts';
import type { CloneChange } from '../client-events.ts';
import type { Digest, EndCommand, ItemCommand, Sequence, UpdateCommand } from '../commands.ts';
import { digestOf, equalDigests, RunningDigest } from '../digest.ts';
import { isUnder } from '../key.ts';

/** What a key has. */
export interface ReplicaItem {
  readonly value: Uint8Array;
  readonly revision: Sequence;
}

/** Its share of the digest is part of it: one object for each key. */
interface Entry extends ReplicaItem, Digest {}

export interface ReplicaBounds {
  readonly keyLimit: number;
  readonly stateBytes: number;
}

/** What a key costs beside itself and its value, as servers count. */
const OVERHEAD = 100;

/** One map, its digest and what it costs. */
class Items {
  readonly entries = new Map<string, Entry>();
  readonly digest = new RunningDigest();
  bytes = 0;

  set(key: string, revision: Sequence, value: Uint8Array): Entry | undefined {
    const former = this.delete(key, true);
    const { high, low } = digestOf(key, revision, value);
    // As signed numbers, which add up to the same, but are no objects of their own.
    const entry = { value, revision, high: high | 0, low: low | 0 };
    this.entries.set(key, entry);
    this.digest.add(entry);
    this.bytes += costOf(key, value);
    return former;
  }

  /** @param isReplaced it keeps its place, as another takes it */
  delete(key: string, isReplaced = false): Entry | undefined {
    const former = this.entries.get(key);
    if (former === undefined) return undefined;
    if (!isReplaced) this.entries.delete(key);
    this.digest.remove(former);
    this.bytes -= costOf(key, former.value);
    return former;
  }

  /** True if this fits, in the place of what the key has. */
  hasRoom(key: string, value: Uint8Array, { keyLimit, stateBytes }: ReplicaBounds): boolean {
    if (this.entries.size < keyLimit && this.bytes + costOf(key, value) <= stateBytes) return true;
    const former = this.entries.get(key);
    if (former === undefined) return false;
    return this.bytes - former.value.length + value.length <= stateBytes;
  }
}

export class Replica {
  readonly #subtree: string;
  readonly #bounds: ReplicaBounds;
  #visible = new Items();
  #loading: Items | undefined;

  constructor(subtree: string, bounds: ReplicaBounds) {
    this.#subtree = subtree;
    this.#bounds = bounds;
  }

  /** What is visible. After a snapshot it is another map: ask anew. */
  get items(): ReadonlyMap<string, ReplicaItem> {
    return this.#visible.entries;
  }

  get digest(): Digest {
    return this.#visible.digest.value;
  }

  /** Keys of the snapshot under way. */
  get loading(): number {
    return this.#loading?.entries.size ?? 0;
  }

  /** Plain data, for the fingerprint. */
  get state(): unknown {
    return [this.#visible.entries, this.#loading?.entries];
  }

  /** A snapshot begins. */
  beginLoading(): void {
    this.#loading = new Items();
  }

  discardLoading(): void {
    this.#loading = undefined;
  }

  /** Of the snapshot under way. False: it does not fit. */
  load({ key, revision, value: [value] }: ItemCommand): boolean {
    const items = this.#loading;
    if (items === undefined || value === undefined || !isUnder(this.#subtree, key)) return true;
    if (!items.hasRoom(key, value, this.#bounds)) return false;
    items.set(key, revision, keepValue(value));
    return true;
  }

  /**
   * What is visible, or with `isLoading` the snapshot under way, changes so.
   * @param changes where what changes is told, if anybody wants to know
   * @returns false, and nothing changed, if it does not fit
   */
  apply(update: UpdateCommand, isLoading: boolean, changes?: CloneChange[]): boolean {
    const items = isLoading ? this.#loading : this.#visible;
    if (items === undefined) return true;
    const { kind, key, sequence: revision } = update;
    if (kind === 'clear') clear(items, key, revision, changes);
    else if (!isUnder(this.#subtree, key)) return true;
    else if (kind === 'set') return this.#set(items, update, changes);
    else {
      const former = items.delete(key);
      if (former !== undefined) changes?.push(deleted(key, revision, former));
    }
    return true;
  }

  /**
   * The snapshot under way is complete: it is visible from now on, if it is what its digest says. A stock
   * server says none.
   * @returns false: it is not, and nothing changed
   */
  finishLoading(
    { digest, sequence }: Pick<EndCommand, 'sequence'> & Partial<EndCommand>,
    changes?: CloneChange[],
  ): boolean {
    const former = this.#visible;
    const latter = this.#loading;
    if (latter === undefined) return false;
    if (digest !== undefined && !equalDigests(latter.digest.value, digest)) return false;
    this.#visible = latter;
    this.#loading = undefined;
    if (changes !== undefined) compare(former, latter, sequence, changes);
    return true;
  }

  #set(items: Items, update: UpdateCommand, changes: CloneChange[] | undefined): boolean {
    const { key, sequence: revision, timeLeft } = update;
    const [borrowed] = update.value;
    if (borrowed === undefined) return true;
    if (!items.hasRoom(key, borrowed, this.#bounds)) return false;
    const value = keepValue(borrowed);
    const former = items.set(key, revision, value);
    changes?.push({ type: 'set', key, value, revision, timeLeft, former: former?.value });
    return true;
  }
}

function costOf(key: string, value: Uint8Array): number {
  return OVERHEAD + key.length + value.length;
}

function keepValue(value: Uint8Array): Uint8Array {
  return keepFrames([value])[0]!;
}

function clear(items: Items, subtree: string, revision: Sequence, changes?: CloneChange[]): void {
  for (const key of items.entries.keys()) {
    if (!isUnder(subtree, key)) continue;
    const former = items.delete(key)!;
    changes?.push(deleted(key, revision, former));
  }
}

/** What is different: also of a key that was deleted, and set anew to the same. */
function compare(former: Items, latter: Items, sequence: Sequence, changes: CloneChange[]): void {
  for (const [key, old] of former.entries) {
    if (!latter.entries.has(key)) changes.push(deleted(key, sequence, old));
  }
  for (const [key, entry] of latter.entries) {
    const old = former.entries.get(key);
    if (old?.revision === entry.revision && equalDigests(old, entry)) continue;
    const { value, revision } = entry;
    const timeLeft = undefined;
    changes.push({ type: 'set', key, value, revision, timeLeft, former: old?.value });
  }
}

function deleted(key: string, revision: Sequence, { value: former }: Entry): CloneChange {
  return { type: 'deleted', key, revision, former };
}
