/**
 * A server as its peer's voter: says yes or no to claims, and stores what it must not forget before.
 *
 * It votes for nobody else while it serves. While it only tries to, it steps back for the one who goes
 * first, and with that its own claims are worth nothing: a grant that comes for one of them is too late.
 */
import type { Epoch } from '../core/election.ts';
import type { Address, Instant } from '../core/machine.ts';
import type { ClaimCommand, ReleaseCommand } from './commands.ts';
import type { PairParts } from './pair-parts.ts';
import type { Seat } from './seat.ts';
import type { Verdict } from './voter.ts';

export class Voting {
  readonly #parts: PairParts;
  readonly #seat: Seat;

  constructor(parts: PairParts, seat: Seat) {
    this.#parts = parts;
    this.#seat = seat;
  }

  /** The peer wants to serve, or to go on serving. */
  handleClaim(now: Instant, from: Address, claim: ClaimCommand): void {
    const { kept, mode, settings, voter } = this.#parts;
    // Before its life is stored it grants nothing, and after it will be asked again.
    if (!kept.isAlive) return;
    // What this server forgets with its life it waits for: for as long as its own lease.
    if (mode !== 'witness' || claim.lease > settings.lease) {
      return this.#parts.emit({ type: 'ignored', reason: 'unexpected' });
    }
    if (!voter.hear(claim)) return this.#parts.emit({ type: 'ignored', reason: 'stale' });
    const forced = claim.forced || this.#isNothingLost;
    const verdict = this.#objection(claim) ?? voter.judge(now, { ...claim, forced });
    if (verdict === undefined) this.#promise(now, from, claim);
    else this.#refuse(from, claim, verdict);
  }

  handleRelease(release: ReleaseCommand): void {
    if (!this.#parts.voter.release(release)) {
      this.#parts.emit({ type: 'ignored', reason: 'stale' });
    }
  }

  /** Something was stored: perhaps the epoch that the peer waits for. */
  answer(now: Instant): void {
    const { kept, state, voter } = this.#parts;
    const { asking } = state;
    if (asking === undefined || !kept.keeps(asking.claim.epoch)) return;
    state.asking = undefined;
    // What was promised is over: nobody may count on it.
    if (voter.promisedAt > now) this.#grant(asking.from, asking.claim);
  }

  /** What this server's own plans have against it. */
  #objection(claim: ClaimCommand): Verdict | undefined {
    const { state } = this.#parts;
    if (state.phase === 'active') return { reason: 'held', timeLeft: 0 };
    if (this.#seat.isTrying && !this.#stepsBack()) return { reason: 'held', timeLeft: 0 };
    const isNew = claim.epoch > this.#parts.voter.epoch;
    if (isNew && claim.epoch < this.#highest) return { reason: 'outdated', timeLeft: 0 };
    return this.#hasMore && !claim.forced ? { reason: 'unsynchronised', timeLeft: 0 } : undefined;
  }

  /** This server has a newer state than the one who claims, who may not know of that. */
  get #hasMore(): boolean {
    const { peer, state } = this.#parts;
    const { holds } = state.standing;
    return peer.isHeard && Number.isFinite(holds) && holds > state.peer.holds;
  }

  /** An own epoch that was claimed may be known to the witness: what comes after has to be higher. */
  get #highest(): Epoch {
    const { state, voter } = this.#parts;
    return Math.max(voter.epoch, state.epoch, state.unused);
  }

  /** The peer is there and has, as it says, no less than this server has: who served last is all the same. */
  get #isNothingLost(): boolean {
    const { peer, state } = this.#parts;
    return peer.isIdle && peer.goesFirst(state.standing.holds, state.standing.alone);
  }

  #stepsBack(): boolean {
    const { peer, state } = this.#parts;
    return state.claims.isUnwanted || peer.goesFirst(state.standing.holds, state.standing.alone);
  }

  #promise(now: Instant, from: Address, claim: ClaimCommand): void {
    const { kept, state, voter } = this.#parts;
    this.#seat.fire(now, 'yielded');
    voter.promise(now, claim);
    if (kept.keeps(claim.epoch)) {
      state.asking = undefined;
      this.#grant(from, claim);
    } else {
      state.asking = { from, claim: { ...claim } };
    }
  }

  #grant(to: Address, { pair, role, life, number, epoch }: ClaimCommand): void {
    this.#parts.outbox.send('pair', to, { type: 'grant', pair, role, life, number, epoch });
  }

  #refuse(to: Address, { pair, role, life, number }: ClaimCommand, verdict: Verdict): void {
    this.#parts.outbox.send('pair', to, {
      type: 'refusal',
      pair,
      role,
      life,
      number,
      epoch: verdict.reason === 'outdated' ? this.#highest : this.#parts.voter.epoch,
      ...verdict,
    });
  }
}
