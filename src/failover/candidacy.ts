/**
 * When a server that does not serve takes over: all the conditions, and nothing else.
 *
 * Without a witness it needs a reason of its own: its peer is silent and a client asks; or both are there,
 * nobody serves, and it is the one who goes first. With a witness it only has to try: the voters know.
 * Nobody ever takes over from a peer that serves.
 */
import { expiryOf } from '../core/heartbeat.ts';
import type { Instant } from '../core/machine.ts';
import type { ClaimCommand } from './commands.ts';
import { nextEpoch, roleOf } from './epochs.ts';
import type { PairParts } from './pair-parts.ts';

const NEVER = Infinity;

export class Candidacy {
  readonly #parts: PairParts;

  constructor(parts: PairParts) {
    this.#parts = parts;
  }

  /** What this server has, for whoever asks who goes first: who has resigned leaves it to one that has as much. */
  holds(now: Instant): number {
    const { peer, settings, state } = this.#parts;
    const { holds, alone } = state.standing;
    const isStock = settings.protocol === 'stock';
    const hasAsMuch = isStock || (state.peer.holds >= holds && !alone);
    const isLeft = state.yieldsAt > now && peer.isHeard && hasAsMuch;
    return isLeft ? 0 : holds;
  }

  /**
   * True if the peer has done things that this server has not heard of. Where clients vote, what a former
   * life heard of is forgotten: one that is started alone serves.
   */
  get isUnsynchronised(): boolean {
    const { state } = this.#parts;
    const { holds } = state.standing;
    const isBehind = state.peerServed > holds || (state.peer.alone && Number.isFinite(holds));
    return isBehind || this.#isOldCopy;
  }

  /**
   * True if what it holds is a copy that a former life made of what the peer did, which may have gone on alone
   * since: what this server granted it as a voter it has forgotten.
   */
  get #isOldCopy(): boolean {
    const { mode, settings, state } = this.#parts;
    const { holds } = state.standing;
    const isCopy = Number.isFinite(holds) && holds > 0 && roleOf(holds) !== settings.role;
    return mode === 'witness' && isCopy && state.peer.life === 0;
  }

  /** True if both are there, nobody serves, and this server goes first: nothing newer is to be had. */
  goesFirst(now: Instant): boolean {
    const { peer, settings, state } = this.#parts;
    // What was said before this life says nothing of now. Stock peers say nothing of lives.
    const isThere = settings.protocol === 'stock' || state.peer.heard === state.life;
    return peer.isIdle && isThere && !peer.goesFirst(this.holds(now), state.standing.alone);
  }

  /** When it takes over unless something happens before; not after `now`: at once; Infinity: it does not. */
  dueAt(now: Instant): Instant {
    const { kept, mode, peer, state, voter } = this.#parts;
    const isIdle = state.phase === 'waiting' || state.phase === 'passive';
    if (!isIdle || !kept.isAlive || peer.serves(voter.epoch)) return this.#impatient(NEVER);
    const at = mode === 'witness' ? this.#claimAt(now) : this.#voteAt(now);
    return Math.max(at, kept.retryAt);
  }

  /** True if it is a client's vote that decides. */
  isVoted(now: Instant): boolean {
    const { mode, state } = this.#parts;
    return mode !== 'witness' && !state.isPromoted && this.#isAlone && state.votedAt > now;
  }

  /** The peer is silent, or serves under an epoch that is over: nobody is there who could serve. */
  get #isAlone(): boolean {
    const { peer } = this.#parts;
    return peer.isGone || (peer.isHeard && !peer.isIdle);
  }

  /** The peer is there and has a newer state: it is waited for, as nothing is lost by that but time. */
  get #peerHasMore(): boolean {
    const { peer, state } = this.#parts;
    const { holds, alone } = state.peer;
    const hasMore =
      holds > state.standing.holds ||
      (holds === state.standing.holds && alone && !state.standing.alone);
    return peer.isIdle && Number.isFinite(holds) && hasMore;
  }

  #voteAt(now: Instant): Instant {
    const { peer, settings, state } = this.#parts;
    if (state.isPromoted) return now;
    if (state.yieldsAt > now) return NEVER;
    if (this.#isAlone) {
      if (state.votedAt <= now) return NEVER;
      return this.isUnsynchronised ? this.#notSynchronised(now, expiryOf(settings)) : now;
    }
    if (!this.goesFirst(now) || peer.isSuspect) return NEVER;
    // A stock peer that is passive takes over by itself as soon as it hears us, and cannot bear a second one.
    const isTheirs = settings.protocol === 'stock' && state.peer.state === 'passive';
    return isTheirs ? state.peer.idleAt + expiryOf(settings) : Math.max(now, state.listensAt);
  }

  #claimAt(now: Instant): Instant {
    const { peer, settings, state, voter } = this.#parts;
    const { yieldsAt, promisesOverAt, isPromoted } = state;
    const wait = isPromoted ? promisesOverAt : Math.max(promisesOverAt, yieldsAt);
    const at = Math.max(now, wait, voter.promisedAt);
    if (at > now) return this.#impatient(at);
    if (isPromoted) return now;
    const isFirst = this.goesFirst(now);
    const isBehind = this.isUnsynchronised || this.#peerHasMore;
    if (!isFirst && isBehind) return this.#notSynchronised(now, settings.lease);
    // Its own vote is as good as the others': what it has promised not to forget it has not forgotten.
    if (voter.judge(now, this.#claimOf(isFirst)) !== undefined) {
      return this.#notSynchronised(now, settings.lease);
    }
    if (isFirst || !peer.isIdle) return this.#impatient(now);
    if (state.patienceAt === Infinity) state.patienceAt = now + expiryOf(settings);
    return state.patienceAt;
  }

  /** What it would claim. */
  #claimOf(isFirst: boolean): ClaimCommand {
    const { settings, speaker, voter } = this.#parts;
    return {
      type: 'claim',
      ...speaker,
      number: 0,
      epoch: nextEpoch(settings.role, voter.epoch),
      lease: settings.lease,
      synchronised: isFirst || !this.isUnsynchronised,
      alone: false,
      // What the peer did not keep itself nobody else can be asked to keep.
      forced: isFirst,
    };
  }

  #notSynchronised(now: Instant, pause: number): Instant {
    this.#parts.failed(now, 'notSynchronised', pause);
    return this.#impatient(NEVER);
  }

  /** Patience is counted anew the next time. */
  #impatient(at: Instant): Instant {
    this.#parts.state.patienceAt = Infinity;
    return at;
  }
}
