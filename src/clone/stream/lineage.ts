/**
 * Which epoch began after which sequence: tells whether a position is a part of the past of what is here.
 *
 * A server that was deposed may have numbered updates that its successor never had. Their numbers come
 * again; their positions do not, as they name an epoch that had ended before them.
 */
import type { Epoch } from '../../core/election.ts';
import type { Position, Reign, Sequence } from '../commands.ts';

/** Reigns that are remembered. Who knows nothing since is given a snapshot. */
export const LINEAGE_LIMIT = 64;

export class Lineage {
  #reigns: readonly Reign[] = [];

  /** Oldest first. */
  get reigns(): readonly Reign[] {
    return this.#reigns;
  }

  /** Of the newest; 0 if there was none. */
  get epoch(): Epoch {
    return this.#reigns.at(-1)?.epoch ?? 0;
  }

  /** `epoch` begins, and takes over what there is up to `base`. */
  begin(epoch: Epoch, base: Sequence): void {
    this.replace([...this.#reigns, { epoch, base }]);
  }

  /** What somebody else says it was: its map was taken over, too. */
  replace(reigns: readonly Reign[]): void {
    this.#reigns = reigns.slice(-LINEAGE_LIMIT);
  }

  /**
   * True if what was there at `position` was later continued to what is here now, whose newest is `head`.
   * Who follows a reign calls all of its past by that epoch, also what was made before it.
   */
  has({ epoch, sequence }: Position, head: Sequence): boolean {
    if (sequence === 0) return true;
    const reigns = this.#reigns;
    for (let index = reigns.length - 1; index >= 0; index--) {
      if (reigns[index]!.epoch === epoch) return sequence <= (reigns[index + 1]?.base ?? head);
    }
    return false;
  }
}
