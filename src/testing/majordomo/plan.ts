/**
 * A plan of the Majordomo suite: who takes part, what is asked, what goes wrong, and when.
 *
 * A plan is plain data, so that a failing one shrinks and can be stored; with its seed it decides
 * everything that happens in a run. Times are milliseconds of the simulated world. How plans are drawn
 * is in `plans.ts`.
 */
import type { ClientProtocol, WorkerProtocol } from '../../majordomo/options.ts';
import type { PlannedFault } from '../faults.ts';

/** The longest timeout of an operation. */
export const LONGEST_TIMEOUT = 3000;

/** When operations and faults may begin, and when the viable core is healed. */
export const CHAOS_ENDS = 2200;

export const SERVICES = ['alpha', 'beta'] as const;

/** Bytes of a body that is announced before it is sent. */
export const LARGE = 1_250_000;

/** What a worker's handler does with a request; `echo` sends its ballast back. */
export const BEHAVIOURS = [
  'reply',
  'reply',
  'echo',
  'parts',
  'parts',
  'parts',
  'partsThenFail',
  'fail',
  'never',
] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** What a rogue worker does when it is given a request; now and then it also sends junk. */
export const MISCHIEFS = [
  'double',
  'forge',
  'readyAgain',
  'garbage',
  'steal',
  'silent',
  'late',
] as const;
export type Mischief = (typeof MISCHIEFS)[number];

export const FAULT_KINDS = [
  'crash',
  'crashAfterEffects',
  'pause',
  'pauseBeforeSend',
  'stall',
  'stopReading',
  'partition',
  'oneWayPartition',
  'reset',
  'halfOpenReset',
  'resetInReply',
  'drop',
  'slowLink',
  'narrowLink',
  'clockRate',
  'drain',
  'drainAll',
  'drainInDispatch',
  'stop',
  'rollingRestart',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Who a fault can hit, of those who are there; a link is the one between the target and the broker. */
export const TARGETS = [
  'broker',
  'worker-0',
  'worker-1',
  'worker-2',
  'client-0',
  'client-1',
] as const;
export type Target = (typeof TARGETS)[number];

export type MajordomoFault = PlannedFault<FaultKind, Target>;

/** Where the one broker is. */
export const BROKER_ENDPOINT = 'tcp://broker:5555';

export interface PlannedOperation {
  readonly at: number;
  readonly client: number;
  readonly service: number;
  readonly streaming: boolean;
  readonly behaviour: Behaviour;
  /** How long the handler takes. */
  readonly work: number;
  /** Bytes of ballast in the body. */
  readonly size: number;
  readonly timeout: number;
  readonly retries: number;
  /** Milliseconds until the caller cancels; undefined: never. */
  readonly cancelAfter: number | undefined;
  /** Which of a few idempotency keys it goes under; what is asked under a key is always the same. */
  readonly key: number | undefined;
  readonly priority: number;
  readonly failFast: boolean;
  readonly broadcast: boolean;
  /** Milliseconds that the reader of a stream spends on each part. */
  readonly readPace: number;
}

/** A worker or client, and what it says of its heartbeats, if it speaks express. */
interface PlannedPeer {
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
}

export interface PlannedWorker extends PlannedPeer {
  readonly service: number;
  readonly protocol: WorkerProtocol;
  readonly concurrency: number;
}

export interface PlannedClient extends PlannedPeer {
  readonly protocol: ClientProtocol;
}

export interface PlannedRogue {
  readonly service: number;
  readonly mischiefs: readonly Mischief[];
  readonly express: boolean;
}

/** @typeParam Fault what can go wrong: a suite of more than one broker knows more of it */
export interface MajordomoPlan<Fault extends PlannedFault = MajordomoFault> {
  readonly seed: number;
  readonly settings: {
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly maxAttempts: number;
    readonly attemptTimeout: number;
    readonly requestTtl: number;
    readonly priorityAgeing: number;
    readonly idempotencyTtl: number;
    readonly idempotencyBytes: number;
    readonly deadLetterService: string;
    readonly queueLimit: number;
    readonly queueBytes: number;
    /** No more workers are let in than the plan has. */
    readonly tightWorkers: boolean;
    readonly clientLimit: number;
    readonly clientQueueLimit: number;
    readonly inFlightLimit: number;
    readonly streamWindow: number;
    readonly lanes: number;
    readonly peerQueueBytes: number;
    readonly workerQueueBytes: number;
    readonly replyBufferBytes: number;
    readonly notices: boolean;
    readonly automaticIds: boolean;
    readonly highWaterMark: number;
    readonly ghostDelay: number;
    readonly jitter: number;
    readonly lateTimers: boolean;
  };
  readonly workers: readonly PlannedWorker[];
  readonly clients: readonly PlannedClient[];
  /** A worker that speaks the wire but keeps no rule; undefined: none. */
  readonly rogue: PlannedRogue | undefined;
  readonly operations: readonly PlannedOperation[];
  readonly faults: readonly Fault[];
  /** Which of the workers offering a service, and which client, belong to the core that is healed. */
  readonly core: number;
}

/** How many sessions these workers have with a broker: in express one each. */
export function sessionsOf(workers: readonly PlannedWorker[]): number {
  return workers.reduce(
    (sum, { protocol, concurrency }) => sum + (protocol === 'express' ? 1 : concurrency),
    0,
  );
}
