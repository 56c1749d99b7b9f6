/**
 * The map as it will be once all that was accepted is public: what writes are decided upon.
 *
 * It is the public map with the staged updates laid over it. A server that neither stores nor has a backup
 * stages nothing for longer than a turn, and pays one comparison.
 */
import type { Sequence } from '../commands.ts';
import { forEachSubtree, isUnder } from '../key.ts';
import type { SnapshotItem } from '../stream/content.ts';
import type { Update } from '../stream/update.ts';
import { bytesOf, type Entries } from './entries.ts';

/** What a staged update makes of its key; no item: it deletes it. */
interface Change {
  readonly sequence: Sequence;
  readonly item: SnapshotItem | undefined;
}

/** Where the public map is: it is replaced when a snapshot was loaded. */
export interface PublicMap {
  readonly entries: Entries;
}

export class Accepted {
  readonly #public: PublicMap;
  /** The newest staged change of each key, and the newest staged clear of each subtree. */
  readonly #changes = new Map<string, Change>();
  readonly #clears = new Map<string, Sequence>();

  constructor(published: PublicMap) {
    this.#public = published;
  }

  /** What will be under this key; undefined if nothing will. */
  get(key: string): SnapshotItem | undefined {
    if (this.#changes.size + this.#clears.size === 0) return this.#public.entries.get(key);
    const change = this.#changes.get(key);
    const cleared = this.#clearedAt(key);
    if (change !== undefined && change.sequence > cleared) return change.item;
    return cleared > 0 ? undefined : this.#public.entries.get(key);
  }

  /** The keys that are, or will be, or would have been under a subtree. */
  *known(subtree: string): Generator<string> {
    for (const { key } of this.#public.entries.under(subtree)) yield key;
    for (const key of this.#changes.keys()) if (isUnder(subtree, key)) yield key;
  }

  /** True if something is staged, and all of it deletes. */
  get makesRoom(): boolean {
    if (this.#changes.size + this.#clears.size === 0) return false;
    for (const { item } of this.#changes.values()) if (item !== undefined) return false;
    return true;
  }

  /** Bytes by which the map grows with this value; not negative. */
  growthOf(key: string, value: Uint8Array): number {
    return growthFrom(this.get(key), key, value);
  }

  /** One more was accepted. */
  add(update: Update): void {
    const { kind, key, sequence } = update;
    if (kind === 'clear') this.#clears.set(key, sequence);
    else this.#changes.set(key, { sequence, item: kind === 'set' ? itemOf(update) : undefined });
  }

  /** This one is public now. */
  remove({ kind, key, sequence }: Update): void {
    if (kind !== 'clear') {
      if (this.#changes.get(key)?.sequence === sequence) this.#changes.delete(key);
    } else if (this.#clears.get(key) === sequence) this.#clears.delete(key);
  }

  /** Nothing is accepted but these. */
  restart(updates: Iterable<Update>): void {
    this.#changes.clear();
    this.#clears.clear();
    for (const update of updates) this.add(update);
  }

  #clearedAt(key: string): Sequence {
    let newest = 0;
    if (this.#clears.size === 0) return newest;
    forEachSubtree(key, (subtree) => {
      newest = Math.max(newest, this.#clears.get(subtree) ?? 0);
    });
    return newest;
  }
}

/** Bytes by which the map grows if this value takes the place of `former`; not negative. */
export function growthFrom(
  former: SnapshotItem | undefined,
  key: string,
  value: Uint8Array,
): number {
  const bytes = former === undefined ? 0 : bytesOf(key, former.value);
  return Math.max(0, bytesOf(key, value) - bytes);
}

function itemOf({ key, value, sequence, ttl, expiresAt }: Update): SnapshotItem {
  return { key, value: value[0]!, revision: sequence, ttl, expiresAt };
}
