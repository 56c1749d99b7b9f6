/**
 * How long a lease may be used: the rules of time, under clocks that run at different rates.
 *
 * A candidate claims a lease of `lease` milliseconds; a voter grants it and says so to nobody else for
 * `lease` milliseconds of its own clock. The candidate does not know when the voter's clock began to
 * count, only that it cannot have been before the claim was sent. So it counts from there, and for less.
 *
 * Claim. While the candidate uses the lease, the voter has promised nothing to anybody else.
 *
 * Proof. Let d be `clockDrift`, and let every clock run at a rate between 1−d and 1+d of true time. The
 * claim is sent at true time s, and granted at g ≥ s, as nobody grants what was not sent. The voter's
 * promise takes `lease` of its clock, so at least lease/(1+d) of true time: it holds until g + lease/(1+d)
 * or later. The candidate uses the lease for lease·(1−d)/(1+d) of its own clock from s, which is at most
 * lease/(1+d) of true time: until s + lease/(1+d) or earlier. As s ≤ g, the use ends first. ∎
 *
 * Nothing is assumed of the network: a claim or a grant that is late only makes the use shorter. Of
 * clocks it is assumed that they do not stand still, nor jump: what counts is monotonic time. A voter that
 * forgets its promises with its life waits for `lease` from its start before it breaks one: it starts
 * after g, so the same proof holds.
 */
import type { Instant } from '../core/machine.ts';

export interface LeaseSettings {
  /** Milliseconds for which a voter promises. */
  readonly lease: number;
  /** Each clock's rate is within this share of true time. */
  readonly clockDrift: number;
}

/** Milliseconds for which its holder may use a lease, from the sending of the claim. */
export function usableLease({ lease, clockDrift }: LeaseSettings): number {
  return (lease * (1 - clockDrift)) / (1 + clockDrift);
}

/** When a lease ends for its holder, by the holder's clock. */
export function useEndsAt(claimSentAt: Instant, settings: LeaseSettings): Instant {
  return claimSentAt + usableLease(settings);
}

/** When a promise ends for the voter who made it, by the voter's clock. */
export function promiseEndsAt(grantedAt: Instant, lease: number): Instant {
  return grantedAt + lease;
}

/** Milliseconds between two claims: three of them may be lost. */
export function claimInterval({ lease }: LeaseSettings): number {
  return lease / 4;
}
