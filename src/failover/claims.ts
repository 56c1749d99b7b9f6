/**
 * The claims of one server, and the lease that it has by them.
 *
 * A grant counts only for a claim that is still outstanding, and from the sending of that: see
 * `lease.ts`. Whatever makes this server give up its attempt, or grant the lease to its peer, forgets
 * all claims: what is granted on them later is nobody's.
 */
import type { Epoch } from '../core/election.ts';
import type { Instant } from '../core/machine.ts';
import type { GrantCommand, RefusalCommand } from './commands.ts';
import { claimInterval, useEndsAt, type LeaseSettings } from './lease.ts';

/** In four lease times there are a handful; more is a user who changes his mind all the time. */
const OUTSTANDING_LIMIT = 16;

/**
 * Milliseconds between two attempts of which the first was in vain. A voter whom it does not hear may have
 * said yes to all its claims: the other one gets its turn only if there are none for longer than a lease.
 */
export function restOf({ lease }: LeaseSettings): number {
  return 2 * lease;
}

/** Plain data: part of the machine's state. */
export interface ClaimsState {
  /** Counts the claims of this life. */
  number: number;
  /** Whose grants would still be of use, in the order of their sending. */
  outstanding: Sent[];
  /** When the next one is due; Infinity while there is nothing to claim. */
  dueAt: Instant;
  /** When the first claim was sent that nobody has answered; Infinity: there is none. */
  unansweredAt: Instant;
  /** The lease ends then, for us; -Infinity without one. */
  leaseEndsAt: Instant;
  /** Claims from this number on say `alone`, without a break; Infinity while they do not. */
  aloneFrom: number;
  /** A voter knows that we serve alone. */
  isAloneGranted: boolean;
  /** A line had no room for the last one: it is said again when there is. */
  isUnsaid: boolean;
  /** A voter said that something would be lost by it: the peer goes first. */
  isUnwanted: boolean;
}

interface Sent {
  readonly number: number;
  readonly epoch: Epoch;
  readonly sentAt: Instant;
}

/** Nothing was claimed in this life. */
export function newClaims(): ClaimsState {
  return {
    number: 0,
    outstanding: [],
    dueAt: Infinity,
    unansweredAt: Infinity,
    leaseEndsAt: -Infinity,
    aloneFrom: Infinity,
    isAloneGranted: false,
    isUnsaid: false,
    isUnwanted: false,
  };
}

export class Claims {
  readonly #state: ClaimsState;
  readonly #settings: LeaseSettings;

  constructor(state: ClaimsState, settings: LeaseSettings) {
    this.#state = state;
    this.#settings = settings;
  }

  /** When the next claim is due, or the lease ends. */
  get nextDue(): Instant {
    const { dueAt, leaseEndsAt } = this.#state;
    return leaseEndsAt === -Infinity ? dueAt : Math.min(dueAt, leaseEndsAt);
  }

  get leaseEndsAt(): Instant {
    return this.#state.leaseEndsAt;
  }

  /** A claim leaves now: its number. */
  sent(now: Instant, epoch: Epoch, alone: boolean): number {
    const state = this.#state;
    const number = ++state.number;
    state.outstanding = state.outstanding.filter((claim) => this.#endOf(claim) > now);
    state.outstanding.push({ number, epoch, sentAt: now });
    state.isUnsaid = false;
    state.dueAt = now + claimInterval(this.#settings);
    state.unansweredAt = Math.min(state.unansweredAt, now);
    if (state.outstanding.length > OUTSTANDING_LIMIT) state.outstanding.shift();
    if (alone) {
      state.aloneFrom = Math.min(state.aloneFrom, number);
    } else {
      state.aloneFrom = Infinity;
      state.isAloneGranted = false;
    }
    return number;
  }

  /** The last claim has not left, for want of room. */
  get isUnsaid(): boolean {
    return this.#state.isUnsaid;
  }

  /** The line to a voter had no room for the claim that was just sent. */
  refusedRoom(): void {
    this.#state.isUnsaid = true;
  }

  /** A line has room again: what it had none for is claimed now. */
  hasRoom(now: Instant): void {
    if (this.#state.isUnsaid && this.#state.dueAt < Infinity) this.hurry(now, 0);
  }

  /** True if nobody has said a word to its claims for a whole lease. */
  isIgnored(now: Instant): boolean {
    return now >= this.#state.unansweredAt + this.#settings.lease;
  }

  /** Some voter says something. */
  answered(): void {
    this.#state.unansweredAt = Infinity;
  }

  /** True if this answers a claim that is outstanding. */
  answers({ number, epoch }: Pick<GrantCommand, 'number' | 'epoch'>): boolean {
    return this.#find(number)?.epoch === epoch;
  }

  /** The epoch of the claim that was refused; undefined if that is not outstanding. */
  refused({ number }: RefusalCommand): Epoch | undefined {
    return this.#find(number)?.epoch;
  }

  /** A voter said yes. True if that makes the lease longer than it was, and it is not over. */
  granted(now: Instant, { number }: GrantCommand): boolean {
    const claim = this.#find(number);
    if (claim === undefined) return false;
    const endsAt = this.#endOf(claim);
    if (endsAt <= Math.max(now, this.#state.leaseEndsAt)) return false;
    this.#state.leaseEndsAt = endsAt;
    return true;
  }

  /** True if this grant is the first one of a claim that says, as all later ones do, that we serve alone. */
  grantsAlone({ number }: GrantCommand): boolean {
    const state = this.#state;
    if (state.isAloneGranted || number < state.aloneFrom) return false;
    state.isAloneGranted = true;
    return true;
  }

  /** The next claim is due so many milliseconds from now, or earlier. */
  hurry(now: Instant, milliseconds: number): void {
    this.#state.dueAt = Math.min(this.#state.dueAt, now + milliseconds);
  }

  /** A voter said that we do not have all: it may know better later. */
  rest(now: Instant): void {
    this.#state.isUnwanted = true;
    this.#state.dueAt = now + restOf(this.#settings);
  }

  /** Nothing that was claimed counts any more, and there is no lease. */
  forget(): void {
    const state = this.#state;
    state.outstanding = [];
    state.dueAt = Infinity;
    state.unansweredAt = Infinity;
    state.leaseEndsAt = -Infinity;
    state.aloneFrom = Infinity;
    state.isAloneGranted = false;
    state.isUnsaid = false;
    state.isUnwanted = false;
  }

  #find(number: number): Sent | undefined {
    return this.#state.outstanding.find((claim) => claim.number === number);
  }

  #endOf({ sentAt }: Sent): Instant {
    return useEndsAt(sentAt, this.#settings);
  }
}
