/**
 * A plan of the Titanic suite: what is asked, how services behave, what goes wrong, and when.
 *
 * A plan is plain data, so that a failing one shrinks and can be stored; with its seed it decides
 * everything that happens in a run. Times are milliseconds of the simulated world. How plans are drawn
 * is in `plans.ts`.
 */
import type { Durability } from '../../storage/options.ts';
import type { PlannedFault } from '../faults.ts';

/** When operations and faults may begin, and when everything is healed. */
export const CHAOS_ENDS = 1500;

/** The services that requests are for; the last one may have nobody. */
export const SERVICES = ['resize', 'print', 'mail'] as const;

/**
 * What becomes of a request at its service. `flaky` fails once, `lose` is lost once, `never` hangs once,
 * `shy` is refused once by a full queue; then they reply. `fail` and `poison` do so for ever.
 */
export const BEHAVIOURS = [
  'reply',
  'reply',
  'reply',
  'echo',
  'flaky',
  'fail',
  'lose',
  'never',
  'shy',
  'poison',
  'huge',
] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** Faults of a process that every pattern knows. */
export const PROCESS_FAULTS = [
  'crash',
  'crashAfterEffects',
  'pause',
  'pauseBeforeSend',
  'stopReading',
  'clockRate',
] as const;

/** What befalls a Titanic: its process, its disk, its clock. */
export const TITANIC_FAULTS = [
  ...PROCESS_FAULTS,
  'drain',
  'stop',
  'powerCut',
  'diskFull',
  'ioError',
  'failedFsync',
  'failedReopen',
  'slowDisk',
  'bitFlip',
  'bitRot',
  'lostRecord',
  'lostTail',
  'wallJump',
] as const;

/** What befalls the broker and the services behind it. `amnesia`: it forgets what runs, and its keys. */
export const BROKER_FAULTS = [
  ...PROCESS_FAULTS,
  'linkDown',
  'storm',
  'absence',
  'slowService',
  'amnesia',
] as const;

export const FAULT_KINDS = [...new Set([...TITANIC_FAULTS, ...BROKER_FAULTS])] as const;
export type FaultKind = (typeof TITANIC_FAULTS)[number] | (typeof BROKER_FAULTS)[number];

export const TARGETS = ['titanic', 'broker'] as const;
export type Target = (typeof TARGETS)[number];

export type TitanicFault = PlannedFault<FaultKind, Target>;

/** A request that clients may submit, as often as they like: the same one each time. */
export interface PlannedRequest {
  readonly service: number;
  /** Its id is the client's choice; otherwise each submit makes another one. */
  readonly isOwn: boolean;
  readonly behaviour: Behaviour;
  /** How long the handler takes. */
  readonly work: number;
  /** Bytes of ballast in the body. */
  readonly size: number;
  readonly delay: number | undefined;
  readonly deadline: number | undefined;
  readonly retries: number | undefined;
  readonly backoff: number | undefined;
}

/** `whole`: submit, fetch until it is there, close. `other`: another body under the same id. */
export const OPERATIONS = [
  'submit',
  'submit',
  'submit',
  'whole',
  'whole',
  'other',
  'fetch',
  'fetch',
  'close',
  'close',
  'resubmit',
  'list',
  'inspect',
  'garbage',
] as const;
export type OperationKind = (typeof OPERATIONS)[number];

export interface PlannedOperation {
  readonly at: number;
  readonly kind: OperationKind;
  /** Which of the requests. */
  readonly request: number;
  /** Milliseconds that a fetch waits. */
  readonly wait: number;
}

export interface TitanicPlan {
  readonly seed: number;
  readonly settings: {
    readonly concurrency: number;
    readonly attemptTimeout: number;
    readonly retries: number;
    readonly backoff: number;
    readonly absence: number;
    readonly pendingLimit: number;
    readonly pendingBytes: number;
    readonly waiterLimit: number;
    readonly retentionAge: number;
    readonly retentionCount: number;
    readonly retentionBytes: number;
    readonly closedAge: number;
    readonly closedCount: number;
    readonly durability: Durability;
    readonly cacheBytes: number;
    readonly commitBytes: number;
    readonly commitTime: number;
    readonly jitter: number;
    /** Of each hundred messages, how many are lost, come twice, or come late. */
    readonly loss: number;
    readonly twice: number;
    readonly late: number;
    readonly lateTimers: boolean;
  };
  readonly requests: readonly PlannedRequest[];
  readonly operations: readonly PlannedOperation[];
  readonly faults: readonly TitanicFault[];
  /** Somebody asks about one request after the other, each so many milliseconds. */
  readonly probePace: number;
}
