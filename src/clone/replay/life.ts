/**
 * Whether what is heard is still of the same publisher, where the format does not say: by numbers that go
 * back, and by messages that were another one before.
 */
import type { Digest, Sequence } from '../commands.ts';
import { equalDigests } from '../digest.ts';

export class LifeWatch {
  /** Plain data. */
  readonly state = {
    /** What the message before the next one was; undefined if that was not delivered. */
    former: undefined as Digest | undefined,
    /** The last that was heard live, and what it was; −1 for none. */
    live: -1,
    liveDigest: undefined as Digest | undefined,
  };

  /** The message before the next one is known: that it comes again, and as the same, is a proof. */
  get hasFormer(): boolean {
    return this.state.former !== undefined;
  }

  /** A message was delivered. */
  delivered(digest: Digest): void {
    this.state.former = digest;
  }

  /** The message before the next one was not delivered. */
  forget(): void {
    this.state.former = undefined;
  }

  /** False if this very one was the last before. */
  heardLive(sequence: Sequence, digest: Digest): boolean {
    const isNew = sequence !== this.state.live;
    this.state.live = sequence;
    this.state.liveDigest = digest;
    return isNew;
  }

  /**
   * A link brings them in order: a lower one than before, or the same and yet another, is of a new life. One
   * that comes late, after an answer had it, must be the one that the answer had.
   */
  isOther(sequence: Sequence, digest: Digest, next: Sequence | undefined): boolean {
    const { live, liveDigest } = this.state;
    if (sequence < live) return true;
    if (sequence === live) return liveDigest !== undefined && !equalDigests(digest, liveDigest);
    return this.isOtherThanFormer(sequence, digest, next);
  }

  /** The message before the next one comes again, and is another. */
  isOtherThanFormer(sequence: Sequence, digest: Digest, next: Sequence | undefined): boolean {
    const { former } = this.state;
    return next === sequence + 1 && former !== undefined && !equalDigests(digest, former);
  }

  restart(): void {
    this.state.former = undefined;
    this.state.live = -1;
    this.state.liveDigest = undefined;
  }
}
