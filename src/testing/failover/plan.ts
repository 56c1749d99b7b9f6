/**
 * A plan of the failover suite: a pair with or without a witness, two clients, and what goes wrong.
 *
 * A plan is plain data, so that a failing one shrinks and can be stored; with its seed it decides
 * everything that happens in a run. Times are milliseconds of the simulated world. How plans are drawn
 * is in `plans.ts`.
 */
import { COMMON_FAULTS, type PlannedFault } from '../faults.ts';

/** Who decides, and what the two say to each other. */
export const MODES = ['witness', 'vote', 'stock'] as const;
export type Mode = (typeof MODES)[number];

/** When operations and faults may begin, and when the viable core is healed. */
export const CHAOS_ENDS = 1500;

/**
 * What befalls a pair. `bothRestart`: both servers die, and come back at different times. `stall`: writes
 * of this process to its store take very long for a while. `storeFails`: its next writes fail.
 */
export const FAULT_KINDS = [...COMMON_FAULTS, 'bothRestart', 'storeFails', 'stall'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Who a fault can hit: those of a kind that is not there are hit at another. */
export const TARGETS = ['server-0', 'server-1', 'witness', 'client-0', 'client-1'] as const;
export type Target = (typeof TARGETS)[number];

export type FailoverFault = PlannedFault<FaultKind, Target>;

/** What a person does to a server. `handOver`: the active one resigns just as the other one is restarted. */
export interface PlannedOrder {
  readonly at: number;
  readonly server: number;
  readonly order: 'promote' | 'resign' | 'handOver';
}

/** What an intruder does now and then. */
export const MISCHIEFS = ['replay', 'otherPair', 'ownRole', 'garbage', 'implausible'] as const;
export type Mischief = (typeof MISCHIEFS)[number];

export interface FailoverPlan {
  readonly seed: number;
  readonly mode: Mode;
  readonly settings: {
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly noticeGrace: number;
    readonly lease: number;
    /** Milliseconds that a write to a store takes, on average. */
    readonly storeTime: number;
    readonly notices: boolean;
    readonly highWaterMark: number;
    readonly ghostDelay: number;
    readonly jitter: number;
    readonly lateTimers: boolean;
  };
  /** The servers have a state that the other one copies. */
  readonly isStateful: boolean;
  /** Milliseconds until each server is started. */
  readonly starts: readonly number[];
  /** How often each client asks. */
  readonly paces: readonly number[];
  /** Undefined: nobody intrudes. */
  readonly rogue: readonly Mischief[] | undefined;
  readonly orders: readonly PlannedOrder[];
  readonly faults: readonly FailoverFault[];
  /** Who is healed: one of the cores that must suffice. */
  readonly core: number;
}
