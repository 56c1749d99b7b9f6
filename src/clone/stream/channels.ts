/**
 * Who follows what: one channel for each subtree that somebody follows.
 *
 * An update looks for the channels it concerns, not at each follower. Of a map, a channel also has the
 * digest of its part, kept up to date by each change, so that a beat costs nothing.
 */
import type { Digest } from '../commands.ts';
import { RunningDigest } from '../digest.ts';
import type { Matching } from './content.ts';
import type { Follower } from './feed-follower.ts';
import type { Update } from './update.ts';

export interface Channel {
  readonly subtree: string;
  /** Of what is under it; of topics nothing is added. */
  readonly digest: RunningDigest;
  /** How many follow it. */
  followers: number;
  /** Those of them who have all that is public. */
  readonly live: Follower[];
}

/** Up to here it is faster to look at each channel than to cut the key into pieces. */
const FEW = 4;

export class Channels {
  readonly #matching: Matching;
  readonly #digestsOf: (subtrees: readonly string[]) => readonly RunningDigest[];
  readonly #channels = new Map<string, Channel>();
  /** The channel of everything. */
  readonly all: Channel;

  /** @param digestsOf by a scan of what is there */
  constructor(
    matching: Matching,
    digestsOf: (subtrees: readonly string[]) => readonly RunningDigest[],
  ) {
    this.#matching = matching;
    this.#digestsOf = digestsOf;
    this.#add(['']);
    this.all = this.#channels.get('')!;
  }

  get size(): number {
    return this.#channels.size;
  }

  /** True if somebody follows it. */
  has(subtree: string): boolean {
    return this.#channels.has(subtree);
  }

  /** The channel of a subtree, for one more who follows it. */
  enter(subtree: string): Channel {
    if (!this.has(subtree)) this.#add([subtree]);
    const channel = this.#channels.get(subtree)!;
    channel.followers++;
    return channel;
  }

  /** The same of several subtrees, none of them twice. */
  enterAll(subtrees: readonly string[]): Channel[] {
    this.#add(subtrees.filter((subtree) => !this.has(subtree)));
    return subtrees.map((subtree) => this.enter(subtree));
  }

  /** One follows it no more. */
  leave(channel: Channel): void {
    channel.followers--;
    if (channel.followers === 0 && channel !== this.all) this.#channels.delete(channel.subtree);
  }

  /** Visits each channel that the update concerns, once. */
  forEachConcerned(update: Update, visit: (channel: Channel) => void): void {
    const channels = this.#channels;
    if (channels.size === 1) return visit(this.all);
    if (channels.size <= FEW || update.kind === 'clear') {
      for (const channel of channels.values()) {
        if (this.#matching.concerns(channel.subtree, update)) visit(channel);
      }
      return;
    }
    this.#forEachOver(update.key, visit);
  }

  /** A key is removed together with others: by a `clear`, whose update comes after. */
  removed(key: string, former: Digest): void {
    if (this.#channels.size === 1) return this.all.digest.remove(former);
    this.#forEachOver(key, ({ digest }) => digest.remove(former));
  }

  /** What is there is something else now: nobody follows it. */
  restart(): void {
    const { digest } = this.all;
    digest.clear();
    for (const { value } of this.#digestsOf([''])) digest.add(value);
  }

  #forEachOver(key: string, visit: (channel: Channel) => void): void {
    this.#matching.forEachSubtree(key, (subtree) => {
      const channel = this.#channels.get(subtree);
      if (channel !== undefined) visit(channel);
    });
  }

  #add(subtrees: readonly string[]): void {
    for (const [index, digest] of this.#digestsOf(subtrees).entries()) {
      const subtree = subtrees[index]!;
      this.#channels.set(subtree, { subtree, digest, followers: 0, live: [] });
    }
  }
}
