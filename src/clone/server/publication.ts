/**
 * The moment at which an accepted update becomes public: the map has it, its followers are told, the user too.
 *
 * A passive server has the same moment, without anybody to tell: so it is the same map.
 */
import type { Instant } from '../../core/machine.ts';
import type { Digest, Reign, Sequence } from '../commands.ts';
import type { Feed } from '../stream/feed.ts';
import type { History } from '../stream/history.ts';
import type { Lineage } from '../stream/lineage.ts';
import type { Update } from '../stream/update.ts';
import type { Entries, Entry } from './entries.ts';
import type { Voice } from './voice.ts';

/** Who else must know of changes of the map. */
export interface MapWatch {
  /** A key that is there is about to get another value. */
  changing(entry: Entry): void;
  /** A key was set. */
  set(entry: Entry): void;
  deleted(entry: Entry): void;
  /** It is another map. */
  replaced(): void;
  /** This update is public; not told of a passive server. */
  published(update: Update): void;
  /** This one was accepted, and never will be public. */
  dropped(update: Update): void;
}

export class Publication {
  readonly entries: Entries;
  readonly history: History;
  readonly lineage: Lineage;
  readonly feed: Feed;
  readonly #voice: Voice;
  readonly #watch: MapWatch;

  constructor(
    entries: Entries,
    history: History,
    lineage: Lineage,
    feed: Feed,
    voice: Voice,
    watch: MapWatch,
  ) {
    this.entries = entries;
    this.history = history;
    this.lineage = lineage;
    this.feed = feed;
    this.#voice = voice;
    this.#watch = watch;
  }

  /** The next accepted update becomes public; there must be one. */
  publish(now: Instant): Update {
    const update = this.#apply(now);
    const { sequence, kind, key, isExpiry } = update;
    this.#voice.emit({ type: 'published', sequence, kind, key, isExpiry });
    this.#watch.published(update);
    return update;
  }

  /** These were accepted last, and never were. */
  drop(updates: readonly Update[]): void {
    const [first] = updates;
    if (first !== undefined) this.history.dropStaged(first.sequence);
    for (const update of updates) this.#watch.dropped(update);
  }

  /** While passive: the active server has made this update, and told it. */
  adopt(now: Instant, update: Update): void {
    this.feed.accept(now, update);
    this.#apply(now);
  }

  /** While passive: this is the map at `sequence`, and its past. `entries` must not be used any more. */
  replace(entries: Entries, sequence: Sequence, reigns: readonly Reign[]): void {
    this.entries.takeOver(entries);
    this.history.restart(sequence);
    this.lineage.replace(reigns);
    this.feed.channels.restart();
    this.#watch.replaced();
  }

  #apply(now: Instant): Update {
    const { history, entries, feed } = this;
    const { kind, key, value, sequence: revision, ttl, expiresAt } = history.next;
    if (kind === 'set') {
      const known = entries.get(key);
      const former = known?.digest;
      if (known !== undefined) this.#watch.changing(known);
      const entry = entries.set({ key, value: value[0]!, revision, ttl, expiresAt });
      this.#watch.set(entry);
      return feed.publish(now, former, entry.digest);
    }
    if (kind === 'delete') return feed.publish(now, this.#delete(key));
    for (const entry of entries.under(key)) {
      const former = this.#delete(entry.key);
      if (former !== undefined) feed.channels.removed(entry.key, former);
    }
    return feed.publish(now);
  }

  #delete(key: string): Digest | undefined {
    const entry = this.entries.delete(key);
    if (entry === undefined) return undefined;
    this.#watch.deleted(entry);
    return entry.digest;
  }
}
