/**
 * What is known from outside of one peer of a broker: when it was heard, what it agreed on, and how
 * long the broker must be patient with it.
 */
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type {
  BrokerInput,
  BrokerOutput,
  ClientInput,
  SessionId,
  WorkerInput,
} from '../../majordomo/wire/commands.ts';
import { announcedBytes } from '../../majordomo/wire/large.ts';
import { requireThat } from '../violation.ts';

/** Bytes a millisecond that the slowest link worth waiting for carries. */
const SLOWEST = (1024 * 1024) / 1000;

/** Milliseconds by which two sums of the same instants may differ. */
export const ROUNDING = 1e-3;

export class PeerView {
  address: Address;
  /** Undefined for a stock peer. */
  readonly session: SessionId | undefined;
  readonly settings: HeartbeatSettings;
  heardAt: Instant;
  /** Of what keeps the broker waiting: a beacon, or an announced message. */
  patience: 'beacon' | 'large' | undefined;
  patientUntil: Instant;
  /** When the broker was told that its link broke, if it was not heard since. */
  noticedAt: Instant = Infinity;
  /** When that becomes its end. */
  goneAt: Instant = Infinity;
  /** Heartbeats of the broker to it. */
  beats = 0;

  constructor(
    now: Instant,
    address: Address,
    session: SessionId | undefined,
    settings: HeartbeatSettings,
  ) {
    this.address = address;
    this.session = session;
    this.settings = settings;
    this.heardAt = now;
    this.patientUntil = now + expiryOf(settings);
  }

  /** Anything came from it. */
  heard(now: Instant): void {
    this.heardAt = now;
    this.noticedAt = Infinity;
    this.goneAt = Infinity;
    this.patience = undefined;
    this.patientUntil = now + expiryOf(this.settings);
  }

  /** It said that something large comes behind. */
  announced(bytes: number): void {
    this.patience = 'large';
    this.patientUntil += bytes / SLOWEST;
  }

  /** The beacon beside it says that it is stuck: that excuses silence, and a broken link. */
  beaconHeard(now: Instant): void {
    this.noticedAt = Infinity;
    this.goneAt = Infinity;
    this.heardAt = now;
    this.patience ??= 'beacon';
    this.patientUntil = Math.max(this.patientUntil, now + expiryOf(this.settings));
  }

  /** Its link broke: it may come back within `grace`. */
  noticed(now: Instant, grace: number): void {
    this.noticedAt = Math.min(this.noticedAt, now);
    this.goneAt = Math.min(this.goneAt, now + grace);
  }

  /** True if the notice of its broken link has become its end. */
  isGone(now: Instant): boolean {
    return now >= this.goneAt - ROUNDING;
  }

  /** The broker gives it up for its silence. */
  checkPatience(now: Instant): void {
    const isDue = now >= this.patientUntil - ROUNDING;
    const details = (): string => {
      return `${this.address} is given up at ${now}; heard at ${this.heardAt}, ${this.patientUntil}`;
    };
    requireThat(isDue || this.patience !== 'beacon', 'stalled is not gone', () => details());
    requireThat(isDue || this.patience !== 'large', 'large frames expire nobody', () => details());
    requireThat(isDue, 'a break is graced', () => details());
  }
}

/** Numbers or tags in words. */
export function listed(numbers: Iterable<number | string>): string {
  return Array.from(numbers).join(', ') || 'nothing';
}

/** What a broker and an express peer must agree on. */
export function agreed(
  broker: HeartbeatSettings,
  peer: { heartbeatInterval?: number | undefined; heartbeatLiveness?: number | undefined },
): HeartbeatSettings {
  return {
    heartbeatInterval: Math.max(broker.heartbeatInterval, peer.heartbeatInterval ?? 0),
    heartbeatLiveness: Math.max(broker.heartbeatLiveness, peer.heartbeatLiveness ?? 0),
  };
}

/** Of these numbers those that a heartbeat with `echo` and `held` proves to be lost. */
export function lostBy(
  heartbeat: { readonly echo?: number | undefined; readonly held?: readonly number[] | undefined },
  beats: number,
  underWay: Iterable<readonly [number: number, sentAfter: number]>,
): number[] {
  const { echo = 0, held = [] } = heartbeat;
  if (echo > beats) return [];
  return [...underWay]
    .filter(([number, sentAfter]) => sentAfter < echo && !held.includes(number))
    .map(([number]) => number);
}

/** How long a peer that said that something large comes must be waited for. */
export class Patience {
  #until: Instant = -Infinity;

  /** Something came from it. */
  heard(now: Instant, command: ClientInput | WorkerInput): void {
    this.#until = command.type === 'announce' ? now + command.bytes / SLOWEST : -Infinity;
  }

  /** The link broke, or its session is over: what was on the way is lost. */
  forget(): void {
    this.#until = -Infinity;
  }

  /** It is given up for its silence. */
  check(now: Instant, peer: string): void {
    requireThat(now >= this.#until - ROUNDING, 'large frames expire nobody', () => {
      return `${peer} gives the broker up at ${now}, and should wait until ${this.#until}`;
    });
  }
}

/** Remembers announcements, and demands one ahead of every large body. */
export class Announcements {
  readonly #announced = new Map<string, number>();

  sent(to: string, command: BrokerInput | BrokerOutput): void {
    if (command.type === 'announce') {
      this.#announced.set(to, command.bytes);
      return;
    }
    const bytes =
      command.dialect === 'express' && 'body' in command ? announcedBytes(command.body) : undefined;
    const announced = this.#announced.get(to);
    this.#announced.delete(to);
    requireThat(bytes === undefined || announced === bytes, 'large frames expire nobody', () => {
      return `${bytes} bytes leave for ${to} without a word before`;
    });
  }
}
