/**
 * A plan of the Freelance suite: who takes part, what is asked, what goes wrong, and when.
 *
 * A plan is plain data, so that a failing one shrinks and can be stored; with its seed it decides
 * everything that happens in a run. Times are milliseconds of the simulated world. How plans are drawn
 * is in `plans.ts`.
 */
import type { FreelanceStrategy } from '../../freelance/options.ts';
import { COMMON_FAULTS, type PlannedFault } from '../faults.ts';

/** The longest timeout of an operation. */
export const LONGEST_TIMEOUT = 2000;

/** When operations and faults may begin, and when the viable core is healed. */
export const CHAOS_ENDS = 1600;

/** What a server's handler does with a request; `echo` sends its ballast back. */
export const BEHAVIOURS = ['reply', 'reply', 'reply', 'echo', 'echo', 'fail', 'never'] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** What a rogue server does with a request. It answers pings all the while, or what else it likes. */
export const MISCHIEFS = [
  'double',
  'forge',
  'garbage',
  'late',
  'pongs',
  'refuse',
  'silent',
  'steal',
] as const;
export type Mischief = (typeof MISCHIEFS)[number];

/** What befalls a Freelance cluster. `bury`: a server dies and is never started again. */
export const FAULT_KINDS = [...COMMON_FAULTS, 'bury', 'rollingRestart'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Who a fault can hit: numbers beyond those who are there begin anew. */
export const TARGETS = ['server-0', 'server-1', 'server-2', 'client-0', 'client-1'] as const;
export type Target = (typeof TARGETS)[number];

export type FreelanceFault = PlannedFault<FaultKind, Target>;

export interface PlannedOperation {
  readonly at: number;
  readonly client: number;
  readonly behaviour: Behaviour;
  /** How long the handler takes. */
  readonly work: number;
  /** Bytes of ballast in the body. */
  readonly size: number;
  readonly strategy: FreelanceStrategy;
  readonly timeout: number;
  /** Of one try; undefined: the timeout shared out over all tries. */
  readonly attemptTimeout: number | undefined;
  readonly retries: number;
  readonly hedge: boolean;
  /** Milliseconds until the caller cancels; undefined: never. */
  readonly cancelAfter: number | undefined;
}

export interface PlannedServer {
  readonly concurrency: number;
  /** It is never started: its endpoint leads nowhere. */
  readonly isAbsent: boolean;
}

export interface PlannedClient {
  /** At which server its list begins: the order is its rank. */
  readonly first: number;
}

export interface PlannedRogue {
  readonly mischiefs: readonly Mischief[];
  /** Where it stands in every client's list. */
  readonly rank: number;
}

export interface FreelancePlan {
  readonly seed: number;
  readonly settings: {
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly retryBudget: number;
    readonly retryBurst: number;
    readonly inFlightLimit: number;
    readonly queueLimit: number;
    readonly queueBytes: number;
    readonly serverQueueLimit: number;
    readonly serverQueueBytes: number;
    readonly peerQueueBytes: number;
    readonly serverPeerQueueBytes: number;
    readonly notices: boolean;
    readonly highWaterMark: number;
    readonly ghostDelay: number;
    readonly jitter: number;
    readonly lateTimers: boolean;
  };
  readonly servers: readonly PlannedServer[];
  readonly clients: readonly PlannedClient[];
  /** A server that speaks the wire but keeps no rule; undefined: none. */
  readonly rogue: PlannedRogue | undefined;
  /** A client of the plainest kind asks every so many milliseconds, and never pings; undefined: none. */
  readonly stockPace: number | undefined;
  /** Quick requests of each client at the beginning, so that it knows how long replies take. */
  readonly warmUp: number;
  readonly operations: readonly PlannedOperation[];
  readonly faults: readonly FreelanceFault[];
  /** Which server and which client are the core that is healed. */
  readonly core: number;
}
