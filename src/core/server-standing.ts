/**
 * How a server stands that is one of several: active or passive.
 *
 * It is active from the call that says so until the guard no longer gives the same epoch: that is asked
 * before each input, so that nothing is done by one who may not.
 */
import type { Epoch, Guard } from './election.ts';
import type { Instant } from './machine.ts';

export class ServerStanding {
  readonly #guard: Guard;
  #epoch: Epoch = 0;

  constructor(guard: Guard) {
    this.#guard = guard;
  }

  get isActive(): boolean {
    return this.#epoch > 0;
  }

  /** Under which it serves; 0 while it is passive. */
  get reign(): Epoch {
    return this.#epoch;
  }

  /** Of an active one its own; of a passive one the highest that it knows. */
  get epoch(): Epoch {
    return this.isActive ? this.#epoch : this.#guard.highestEpoch;
  }

  /** Where the active one is believed to be; '' if it is this one, or nobody knows. */
  get activeEndpoint(): string {
    return this.isActive ? '' : this.#guard.activeEndpoint;
  }

  /** True if it is active, and may not be any more. */
  isDeposed(now: Instant): boolean {
    return this.isActive && this.#guard.epochAt(now) !== this.#epoch;
  }

  /** True if it is for this server to begin to serve under that epoch. */
  mayBegin(now: Instant, epoch: Epoch): boolean {
    return epoch > 0 && epoch !== this.#epoch && this.#guard.epochAt(now) === epoch;
  }

  /** It serves from now on. */
  begin(epoch: Epoch): void {
    this.#epoch = epoch;
  }

  /** It serves no more. */
  end(): void {
    this.#epoch = 0;
  }

  /** Somebody showed this epoch. */
  seen(now: Instant, epoch: Epoch | undefined): void {
    if (epoch !== undefined) this.#guard.seen(now, epoch);
  }

  /** A client wants to be served, and cannot be: that is a vote. */
  asked(now: Instant): void {
    this.#guard.asked(now);
  }
}
