/** Until when one server may serve with a witness: what it has claimed, when, and what was granted. */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { ClaimCommand, GrantCommand } from '../../failover/commands.ts';

interface Claimed {
  readonly sentAt: Instant;
  readonly epoch: Epoch;
  readonly lease: number;
}

export class LeaseView {
  /** The part of a lease that may be used, whatever two clocks do. */
  readonly #share: number;
  readonly #claims = new Map<number, Claimed>();
  #epoch: Epoch = 0;
  #until: Instant = -Infinity;

  constructor(clockDrift: number) {
    this.#share = (1 - clockDrift) / (1 + clockDrift);
  }

  /** The epoch of the last grant that counts. */
  get epoch(): Epoch {
    return this.#epoch;
  }

  claimed(now: Instant, { number, epoch, lease }: ClaimCommand): void {
    // To the second voter it is the same claim: the lease begins with the first.
    if (!this.#claims.has(number)) this.#claims.set(number, { sentAt: now, epoch, lease });
  }

  /** @param life of the claimant now */
  granted({ life, number, epoch }: GrantCommand, own: number): void {
    const claim = this.#claims.get(number);
    if (life !== own || claim?.epoch !== epoch || epoch < this.#epoch) return;
    const until = claim.sentAt + claim.lease * this.#share;
    this.#until = epoch === this.#epoch ? Math.max(this.#until, until) : until;
    this.#epoch = epoch;
  }

  untilOf(epoch: Epoch): Instant {
    return epoch === this.#epoch ? this.#until : -Infinity;
  }
}
