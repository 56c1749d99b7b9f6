/**
 * A plan of the replay suite: who publishes what, who listens how fast, what goes wrong, and when.
 *
 * Plain data, so that a failing one shrinks and can be stored; with its seed it decides everything that
 * happens in a run. Times are milliseconds of the simulated world. How plans are drawn is in `plans.ts`.
 */
import type { ReplayLayout } from '../../clone/replay/kv-codec.ts';
import type { ReplayProtocol } from '../../clone/replay/options.ts';
import { COMMON_FAULTS, type PlannedFault } from '../faults.ts';

/** When faults may begin, and when the viable core is healed. */
export const CHAOS_ENDS = 1200;

/** `diskFull`: the store refuses for a while. `burst`: many messages in one instant. */
export const FAULT_KINDS = [...COMMON_FAULTS, 'diskFull', 'burst'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export const TARGETS = ['publisher', 'subscriber-0', 'subscriber-1', 'subscriber-2'] as const;
export type Target = (typeof TARGETS)[number];

export type ReplayFault = PlannedFault<FaultKind, Target>;

/** What is published under: a few, some of which are the beginning of others. */
export const TOPICS = ['', 'news', 'prices/A', 'prices/AB', 'prices/B'] as const;

export interface PlannedSubscriber {
  /** When it comes. */
  readonly at: number;
  readonly from: 'newest' | 'oldest' | number;
  /** After a restart it goes on from where it was. */
  readonly resumes: boolean;
  readonly topics: readonly string[];
  /** Milliseconds that its user takes for each message; 0: none. */
  readonly pace: number;
}

export interface ReplayPlan {
  readonly seed: number;
  readonly protocol: ReplayProtocol;
  readonly isStored: boolean;
  readonly settings: {
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly historyLimit: number;
    readonly historyBytes: number;
    readonly window: number;
    readonly pendingLimit: number;
    readonly followerLimit: number;
    readonly pollInterval: number;
    readonly layout: ReplayLayout;
    readonly peerQueueBytes: number;
    readonly notices: boolean;
    readonly highWaterMark: number;
    readonly ghostDelay: number;
    readonly jitter: number;
    readonly lateTimers: boolean;
  };
  /** Milliseconds between two messages. */
  readonly pace: number;
  /** Bytes of every so-manieth message. */
  readonly size: number;
  readonly subscribers: readonly PlannedSubscriber[];
  /** Somebody who keeps no rule talks to the publisher. */
  readonly hasRogue: boolean;
  readonly faults: readonly ReplayFault[];
  /** Which subscriber is of the core that is healed. */
  readonly core: number;
}
