/**
 * A plan of the Pirate suite: who takes part, what is asked, what goes wrong, and when.
 *
 * A plan is plain data, so that a failing one shrinks and can be stored; with its seed it decides
 * everything that happens in a run. Times are milliseconds of the simulated world. How plans are drawn
 * is in `plans.ts`.
 */
import type { PirateProtocol } from '../../pirate/commands.ts';
import { COMMON_FAULTS, type PlannedFault } from '../faults.ts';

/** The longest timeout of an operation. */
export const LONGEST_TIMEOUT = 2500;

/** When operations and faults may begin, and when the viable core is healed. */
export const CHAOS_ENDS = 2000;

/** What a worker's handler does with a request; `echo` sends its ballast back. */
export const BEHAVIOURS = ['reply', 'reply', 'reply', 'echo', 'echo', 'fail', 'never'] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** What a rogue worker does when it is given a request; now and then it also sends junk. */
export const MISCHIEFS = [
  'double',
  'forge',
  'garbage',
  'honest',
  'late',
  'readyAgain',
  'silent',
  'steal',
] as const;
export type Mischief = (typeof MISCHIEFS)[number];

export const FAULT_KINDS = [...COMMON_FAULTS, 'drainAll', 'rollingRestart'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Who a fault can hit: numbers beyond those who are there begin anew. */
export const TARGETS = [
  'queue-0',
  'queue-1',
  'worker-0',
  'worker-1',
  'worker-2',
  'client-0',
  'client-1',
] as const;
export type Target = (typeof TARGETS)[number];

export type PirateFault = PlannedFault<FaultKind, Target>;

export interface PlannedOperation {
  readonly at: number;
  readonly client: number;
  readonly behaviour: Behaviour;
  /** How long the handler takes. */
  readonly work: number;
  /** Bytes of ballast in the body. */
  readonly size: number;
  readonly timeout: number;
  /** Of one try; undefined: the timeout shared out over all tries. */
  readonly attemptTimeout: number | undefined;
  readonly retries: number;
  /** Milliseconds until the caller cancels; undefined: never. */
  readonly cancelAfter: number | undefined;
}

export interface PlannedWorker {
  /** The queue that it tries first. */
  readonly home: number;
  /** It knows the other queue, too. */
  readonly roams: boolean;
}

export interface PlannedClient {
  /** The queue that it tries first: it knows all. */
  readonly first: number;
}

export interface PlannedRogue {
  readonly queue: number;
  readonly mischiefs: readonly Mischief[];
}

export interface PiratePlan {
  readonly seed: number;
  readonly protocol: PirateProtocol;
  readonly settings: {
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly maxAttempts: number;
    readonly attemptTimeout: number;
    readonly requestTtl: number;
    readonly queueLimit: number;
    readonly queueBytes: number;
    /** No more workers are let in than the plan has; counts where the dead ones expire. */
    readonly tightWorkers: boolean;
    readonly lanes: number;
    readonly clientQueueLimit: number;
    readonly peerQueueBytes: number;
    readonly workerQueueBytes: number;
    readonly notices: boolean;
    readonly automaticIds: boolean;
    readonly highWaterMark: number;
    readonly ghostDelay: number;
    readonly jitter: number;
    readonly lateTimers: boolean;
  };
  readonly queues: number;
  readonly workers: readonly PlannedWorker[];
  readonly clients: readonly PlannedClient[];
  /** A worker that speaks the wire but keeps no rule; undefined: none. */
  readonly rogue: PlannedRogue | undefined;
  /** A client that writes stacks of every kind asks so often; undefined: none. */
  readonly stockPace: number | undefined;
  readonly operations: readonly PlannedOperation[];
  readonly faults: readonly PirateFault[];
  /** Which worker, with its queue, and which client belong to the core that is healed. */
  readonly core: number;
}
