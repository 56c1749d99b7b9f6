/**
 * A voter: it promises one server at a time that nobody else gets its vote.
 *
 * The witness is one, and so is each server for its peer: of three votes (a candidate's own, the peer's,
 * the witness's) two are needed, and any two sets of two have a voter in common. What that one says:
 *  1. not while the other one's promise lasts;
 *  2. only for an epoch higher than all it knows, or again for the one that it granted this very server;
 *  3. to the one who did not serve last only if nothing is lost by that, or a person said so.
 *
 * A voter that was started again has forgotten to whom it promised what, but not who served last: only
 * that one may have a promise, and only the other one has to wait.
 */
import type { Epoch } from '../core/election.ts';
import type { Instant } from '../core/machine.ts';
import type { ClaimCommand, Life, RefusalReason, ReleaseCommand, Role } from './commands.ts';
import { roleOf } from './epochs.ts';
import type { WitnessRecord } from './failover-events.ts';
import { promiseEndsAt } from './lease.ts';

/** Plain data: part of a machine's state. */
export interface VoterState {
  /** The highest that was granted, or that it knows otherwise. */
  epoch: Epoch;
  /** Who serves under it, or did; undefined while nobody ever has. */
  role: Role | undefined;
  /** In which of its lives; 0: it is not known. */
  life: Life;
  /** What that one did nobody else has. */
  alone: boolean;
  /** The longest lease that may still last, in milliseconds. */
  lease: number;
  /** Who was promised that nobody else is granted anything; it need not be `role`, who served last. */
  promisedTo: Role | undefined;
  /** When that promise ends; -Infinity: there is none. */
  promisedAt: Instant;
  /** The promise is one that a former life may have made. */
  isStarting: boolean;
  /** The epoch was given back, and is not granted again. */
  isReleased: boolean;
  /** The last claim of each: earlier ones come late. */
  readonly heard: Record<Role, { life: Life; number: number }>;
}

/** A no: see `RefusalCommand`. */
export interface Verdict {
  readonly reason: RefusalReason;
  readonly timeLeft: number;
}

/** One that has never heard of anybody but what `epoch` says. */
export function newVoter(epoch: Epoch = 0): VoterState {
  return {
    epoch,
    role: roleOf(epoch),
    life: 0,
    alone: false,
    lease: 0,
    promisedTo: undefined,
    promisedAt: -Infinity,
    isStarting: false,
    isReleased: false,
    heard: { primary: { life: 0, number: 0 }, backup: { life: 0, number: 0 } },
  };
}

/** One that comes back with its record: who served last may still do so, for one lease. */
export function restoredVoter(now: Instant, record: WitnessRecord): VoterState {
  const { epoch, role, alone, lease } = record;
  const promisedAt = promiseEndsAt(now, lease);
  const promise = { promisedTo: role, promisedAt, isStarting: true };
  return { ...newVoter(epoch), role, alone, lease, ...promise };
}

export class Voter {
  readonly #state: VoterState;

  constructor(state: VoterState) {
    this.#state = state;
  }

  /** The highest epoch it knows. */
  get epoch(): Epoch {
    return this.#state.epoch;
  }

  /** When its promise ends; -Infinity while it has made none. */
  get promisedAt(): Instant {
    return this.#state.promisedAt;
  }

  /** True if this claim is later than all before, and so worth an answer. */
  hear({ role, life, number }: ClaimCommand): boolean {
    const last = this.#state.heard[role];
    if (life < last.life || (life === last.life && number <= last.number)) return false;
    last.life = life;
    last.number = number;
    return true;
  }

  /** Why this claim cannot be granted now; undefined if it can. Changes nothing. */
  judge(now: Instant, claim: ClaimCommand): Verdict | undefined {
    const { epoch, role, promisedTo, promisedAt, isStarting } = this.#state;
    if (claim.role !== promisedTo && promisedAt > now) {
      return { reason: isStarting ? 'starting' : 'held', timeLeft: promisedAt - now };
    }
    if (claim.epoch < epoch || (claim.epoch === epoch && !this.#isAgain(claim))) {
      return { reason: 'outdated', timeLeft: 0 };
    }
    const isOther = role !== undefined && claim.role !== role;
    const losesNothing = claim.synchronised && !this.#state.alone;
    if (isOther && !losesNothing && !claim.forced) return { reason: 'unsynchronised', timeLeft: 0 };
    return undefined;
  }

  /** Promises what `judge` found nothing against. */
  promise(now: Instant, claim: ClaimCommand): void {
    const state = this.#state;
    const longest = state.promisedAt > now ? state.lease : 0;
    state.epoch = claim.epoch;
    state.role = claim.role;
    state.life = claim.life;
    state.alone = claim.alone;
    state.lease = Math.max(longest, claim.lease);
    state.promisedTo = claim.role;
    // One who asks for less than before may still use what it was given then.
    state.promisedAt = Math.max(promiseEndsAt(now, claim.lease), state.promisedAt);
    state.isStarting = false;
    state.isReleased = false;
  }

  /** The holder serves no more. False if this is not about the promise that there is. */
  release({ role, life, epoch }: ReleaseCommand): boolean {
    const state = this.#state;
    const isHolder = role === state.role && epoch === state.epoch;
    if (!isHolder || (state.life !== 0 && life !== state.life) || state.isReleased) return false;
    if (state.promisedTo === role) state.promisedAt = -Infinity;
    state.isReleased = true;
    return true;
  }

  /** True if a promise has just ended by time. */
  lapse(now: Instant): boolean {
    if (this.#state.promisedAt > now || this.#state.promisedAt === -Infinity) return false;
    this.#state.promisedAt = -Infinity;
    this.#state.isStarting = false;
    return true;
  }

  /**
   * There is this epoch, whoever granted it; perhaps nobody ever served under it. So who served alone is still
   * the only one who has what it did.
   */
  learn(epoch: Epoch): void {
    if (epoch <= this.#state.epoch) return;
    if (this.#state.alone) this.#state.epoch = epoch;
    else this.serve(epoch, 0, false);
  }

  /** Whose epoch this is serves under it in this life; a promise made to the other one is kept. */
  serve(epoch: Epoch, life: Life, alone: boolean): void {
    const state = this.#state;
    state.epoch = epoch;
    state.role = roleOf(epoch);
    state.life = life;
    state.alone = alone;
    state.isReleased = false;
  }

  /** Epochs are unique: who has the one that was granted is the one whom it was granted to. */
  #isAgain({ role, life }: ClaimCommand): boolean {
    const state = this.#state;
    return role === state.role && !state.isReleased && (state.life === 0 || life === state.life);
  }
}
