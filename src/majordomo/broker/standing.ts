/**
 * How a broker stands that is one of several: active or passive, and who asked while it was passive.
 *
 * It is active from the call that says so until the guard no longer gives the same epoch: that is asked
 * before each input, so that nothing is done by one who may not.
 */
import type { Epoch, Guard } from '../../core/election.ts';
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import { STANDING_PATIENCE } from '../epochs.ts';
import type { StandingCommand } from '../wire/commands.ts';

export interface StandingSettings extends HeartbeatSettings {
  readonly clientLimit: number;
}

export class Standing {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    /** 0 while it is passive. */
    epoch: 0,
    /** It had copied all that its predecessor had. */
    isHeir: false,
    /** Clients that were told that they are not served here, and until when they are told if that changes. */
    askers: new Map<Address, { readonly untilAt: Instant }>(),
  };
  readonly #guard: Guard;
  readonly #settings: StandingSettings;

  constructor(guard: Guard, settings: StandingSettings) {
    this.#guard = guard;
    this.#settings = settings;
  }

  get isActive(): boolean {
    return this.state.epoch > 0;
  }

  /** Of an active one its own; of a passive one the highest that it knows. */
  get epoch(): Epoch {
    return this.isActive ? this.state.epoch : this.#guard.highestEpoch;
  }

  /** Where the active one is believed to be; '' if it is this one, or nobody knows. */
  get activeEndpoint(): string {
    return this.isActive ? '' : this.#guard.activeEndpoint;
  }

  /** True if it is active, and may not be any more. */
  isDeposed(now: Instant): boolean {
    const { epoch } = this.state;
    return epoch > 0 && this.#guard.epochAt(now) !== epoch;
  }

  /** True if it is for this broker to serve under that epoch. */
  mayServe(now: Instant, epoch: Epoch): boolean {
    return epoch > 0 && this.#guard.epochAt(now) === epoch;
  }

  seen(now: Instant, epoch: Epoch | undefined): void {
    if (epoch !== undefined) this.#guard.seen(now, epoch);
  }

  /** A client wants to be served, and cannot be: that is a vote. */
  asked(now: Instant): void {
    this.#guard.asked(now);
  }

  /** What clients and workers are told of it. */
  get told(): StandingCommand {
    const { isActive: active, epoch, activeEndpoint: endpoint } = this;
    const isHeir = active && this.state.isHeir;
    return { type: 'standing', dialect: 'express', active, isHeir, epoch, endpoint };
  }

  /** This client is told when it is served here. The newest are remembered, for as long as they wait. */
  remember(now: Instant, from: Address): void {
    const { askers } = this.state;
    askers.delete(from);
    askers.set(from, { untilAt: now + Math.max(STANDING_PATIENCE, expiryOf(this.#settings)) });
    for (const [oldest, { untilAt }] of askers) {
      if (untilAt > now && askers.size <= this.#settings.clientLimit) break;
      askers.delete(oldest);
    }
  }

  /** True for a client that has been told that it is not served here. */
  isTold(from: Address): boolean {
    return this.state.askers.has(from);
  }

  /** Those to tell that they are served; they are forgotten. */
  takeAskers(now: Instant): Address[] {
    const { askers } = this.state;
    const all = [...askers].filter(([, { untilAt }]) => untilAt > now);
    askers.clear();
    return all.map(([address]) => address);
  }
}
