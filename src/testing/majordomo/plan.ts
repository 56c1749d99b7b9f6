/**
 * Plans of the Majordomo suite: who takes part, what is asked, what goes wrong, and when.
 *
 * A plan is plain data, so that a failing one shrinks and can be stored; with its seed it decides
 * everything that happens in a run. Times are milliseconds of the simulated world.
 */
import fc from 'fast-check';
import type { ClientProtocol, WorkerProtocol } from '../../majordomo/options.ts';

/** The longest timeout of an operation. */
export const LONGEST_TIMEOUT = 3000;

/** When operations and faults may begin, and when the viable core is healed. */
export const CHAOS_ENDS = 3000;

export const SERVICES = ['alpha', 'beta'] as const;

/** What a worker's handler does with a request. */
export const BEHAVIOURS = [
  'reply',
  'reply',
  'reply',
  'parts',
  'parts',
  'partsThenFail',
  'fail',
  'never',
] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** What a rogue worker does when it is given a request; now and then it also sends junk. */
export const MISCHIEFS = ['double', 'forge', 'readyAgain', 'garbage', 'steal', 'silent'] as const;
export type Mischief = (typeof MISCHIEFS)[number];

export const FAULT_KINDS = [
  'crash',
  'crashAfterEffects',
  'pause',
  'pauseBeforeSend',
  'stopReading',
  'partition',
  'oneWayPartition',
  'reset',
  'halfOpenReset',
  'resetInReply',
  'drop',
  'slowLink',
  'clockRate',
  'drain',
  'drainAll',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Who a fault can hit; a link is the one between the target and the broker. */
export const TARGETS = [
  'broker',
  'worker-0',
  'worker-1',
  'worker-2',
  'client-0',
  'client-1',
] as const;
export type Target = (typeof TARGETS)[number];

export interface PlannedFault {
  readonly at: number;
  readonly kind: FaultKind;
  readonly target: Target;
  readonly duration: number;
  /** Messages to drop, effects before a crash. */
  readonly count: number;
}

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
}

export interface MajordomoPlan {
  readonly seed: number;
  readonly settings: {
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly maxAttempts: number;
    readonly attemptTimeout: number;
    readonly requestTtl: number;
    readonly queueLimit: number;
    readonly queueBytes: number;
    readonly workerLimit: number;
    readonly clientQueueLimit: number;
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
  readonly workers: readonly { readonly service: number; readonly protocol: WorkerProtocol }[];
  readonly clients: readonly { readonly protocol: ClientProtocol }[];
  /** A worker that speaks the wire but keeps no rule; undefined: none. */
  readonly rogue: { readonly service: number; readonly mischiefs: readonly Mischief[] } | undefined;
  readonly operations: readonly PlannedOperation[];
  readonly faults: readonly PlannedFault[];
  /** Which of the workers offering a service, and which client, belong to the core that is healed. */
  readonly core: number;
}

const settings = fc.record({
  heartbeatInterval: fc.constantFrom(50, 100, 100),
  heartbeatLiveness: fc.constantFrom(2, 3, 3),
  maxAttempts: fc.constantFrom(1, 2, 3, 5),
  attemptTimeout: fc.constantFrom(400, 1000, 2000),
  requestTtl: fc.constantFrom(300, 1500, 3000),
  queueLimit: fc.constantFrom(2, 4, 100),
  queueBytes: fc.constantFrom(2000, 1_000_000, 1_000_000),
  workerLimit: fc.constantFrom(3, 100, 100),
  clientQueueLimit: fc.constantFrom(2, 100, 100),
  lanes: fc.constantFrom(1, 2, 8),
  peerQueueBytes: fc.constantFrom(1500, 4000, 1_000_000),
  workerQueueBytes: fc.constantFrom(1500, 1_000_000, 1_000_000),
  replyBufferBytes: fc.constantFrom(500, 100_000),
  notices: fc.constantFrom(true, true, false),
  automaticIds: fc.boolean(),
  highWaterMark: fc.constantFrom(2, 64),
  ghostDelay: fc.constantFrom(0, 40),
  jitter: fc.constantFrom(0.5, 5, 30),
  lateTimers: fc.boolean(),
});

const protocol = fc.constantFrom<WorkerProtocol[]>('auto', 'mdp0.1', 'mdp0.2');
const worker = fc.record({ service: fc.nat({ max: 1 }), protocol });
const client = fc.record({ protocol });
const rogue = fc.record({
  service: fc.nat({ max: 1 }),
  mischiefs: fc.array(fc.constantFrom(...MISCHIEFS), { minLength: 1, maxLength: 4 }),
});

const operation: fc.Arbitrary<PlannedOperation> = fc.record({
  at: fc.nat({ max: CHAOS_ENDS - 500 }),
  client: fc.nat({ max: 1 }),
  service: fc.nat({ max: 1 }),
  streaming: fc.boolean(),
  behaviour: fc.constantFrom(...BEHAVIOURS),
  work: fc.constantFrom(0, 5, 50, 200, 700),
  size: fc.constantFrom(0, 100, 3000),
  timeout: fc.constantFrom(500, 1500, LONGEST_TIMEOUT),
  retries: fc.nat({ max: 4 }),
  cancelAfter: fc.option(fc.nat({ max: 600 }), { nil: undefined, freq: 6 }),
});

/** Indices instead of values: the kinds allowed in a run are a random subset (swarm testing). */
const rawFault = fc.record({
  at: fc.nat({ max: CHAOS_ENDS - 200 }),
  kind: fc.nat({ max: 1000 }),
  target: fc.constantFrom<Target[]>('broker', ...TARGETS),
  duration: fc.constantFrom(5, 40, 150, 400, 1200),
  count: fc.integer({ min: 1, max: 6 }),
});

const shapes = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  settings,
  workers: fc.array(worker, { minLength: 1, maxLength: 3 }),
  clients: fc.array(client, { minLength: 1, maxLength: 2 }),
  rogue: fc.option(rogue, { nil: undefined, freq: 2 }),
  operations: fc.array(operation, { minLength: 2, maxLength: 20, size: 'max' }),
  kinds: fc.subarray([...FAULT_KINDS], { minLength: 2 }),
  faults: fc.array(rawFault, { minLength: 2, maxLength: 6, size: 'max' }),
  core: fc.nat({ max: 2 }),
});

/** Every plan of the suite. */
export const majordomoPlans: fc.Arbitrary<MajordomoPlan> = shapes.map(
  ({ kinds, faults, ...plan }) => ({
    ...plan,
    faults: faults.map((fault) => ({ ...fault, kind: kinds[fault.kind % kinds.length]! })),
  }),
);
