/** Those who are being sent a snapshot, and how far back they need the history. */
import type { Sequence } from '../commands.ts';
import type { Follower } from './feed-follower.ts';

export class Loaders {
  readonly #followers = new Set<Follower>();
  readonly #sentTo: (follower: Follower) => Sequence;
  /** What the last look found, and until when that will do. */
  #needed: Sequence = Infinity;
  #until: Sequence = 0;

  /** @param sentTo all up to there was sent to a follower */
  constructor(sentTo: (follower: Follower) => Sequence) {
    this.#sentTo = sentTo;
  }

  /** Plain data, for the fingerprint: who they are is told by the followers themselves. */
  get state(): object {
    return [this.#needed, this.#until];
  }

  add(follower: Follower): void {
    this.#followers.add(follower);
    this.#until = 0;
  }

  delete(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /**
   * The oldest update that one of them still needs, or an older one: it only rises, so that it is not
   * looked up each time. `Infinity`: nobody needs any.
   * @param published the newest update
   */
  neededAt(published: Sequence): Sequence {
    if (this.#followers.size === 0) return Infinity;
    if (published < this.#until) return this.#needed;
    this.#needed = Infinity;
    for (const follower of this.#followers) {
      this.#needed = Math.min(this.#needed, this.#sentTo(follower) + 1);
    }
    this.#until = published + this.#followers.size;
    return this.#needed;
  }
}
