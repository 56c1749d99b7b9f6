/** How a broker stands that is one of several, what it says of that, and who asked while it was passive. */
import type { Epoch, Guard } from '../../core/election.ts';
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import { ServerStanding } from '../../core/server-standing.ts';
import { STANDING_PATIENCE } from '../epochs.ts';
import type { StandingCommand } from '../wire/commands.ts';

export interface StandingSettings extends HeartbeatSettings {
  readonly clientLimit: number;
}

export class Standing extends ServerStanding {
  /** Clients that were told that they are not served here, and until when they are told if that changes. */
  readonly #askers = new Map<Address, { readonly untilAt: Instant }>();
  readonly #settings: StandingSettings;
  /** It had copied all that its predecessor had. */
  isHeir = false;

  constructor(guard: Guard, settings: StandingSettings) {
    super(guard);
    this.#settings = settings;
  }

  /** Plain data, for the fingerprint and for checkers. */
  get state(): {
    readonly epoch: Epoch;
    readonly isHeir: boolean;
    readonly askers: ReadonlyMap<Address, unknown>;
  } {
    return { epoch: this.reign, isHeir: this.isHeir, askers: this.#askers };
  }

  /** What clients and workers are told of it. */
  get told(): StandingCommand {
    const { isActive: active, epoch, activeEndpoint: endpoint } = this;
    const isHeir = active && this.isHeir;
    return { type: 'standing', dialect: 'express', active, isHeir, epoch, endpoint };
  }

  /** This client is told when it is served here. The newest are remembered, for as long as they wait. */
  remember(now: Instant, from: Address): void {
    const askers = this.#askers;
    askers.delete(from);
    askers.set(from, { untilAt: now + Math.max(STANDING_PATIENCE, expiryOf(this.#settings)) });
    for (const [oldest, { untilAt }] of askers) {
      if (untilAt > now && askers.size <= this.#settings.clientLimit) break;
      askers.delete(oldest);
    }
  }

  /** True for a client that has been told that it is not served here. */
  isTold(from: Address): boolean {
    return this.#askers.has(from);
  }

  /** Those to tell that they are served; they are forgotten. */
  takeAskers(now: Instant): Address[] {
    const askers = this.#askers;
    const all = [...askers].filter(([, { untilAt }]) => untilAt > now);
    askers.clear();
    return all.map(([address]) => address);
  }
}
