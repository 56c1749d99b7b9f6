/** How plans of a pair are drawn: as those of one broker, with short leases, and keys in every second request. */
import fc from 'fast-check';
import { faultPlans } from '../faults.ts';
import { LARGE, type PlannedClient, type PlannedWorker } from '../majordomo/plan.ts';
import { operationFields, pace, settingsFields } from '../majordomo/plans.ts';
import { onceIn } from '../plans.ts';
import {
  CHAOS_ENDS,
  CORES,
  FAULT_KINDS,
  TARGETS,
  type FaultKind,
  type PairPlan,
  type Target,
} from './plan.ts';

const settings = fc.record({
  ...settingsFields,
  heartbeatInterval: fc.constantFrom(100, 150),
  maxAttempts: fc.constantFrom(2, 3, 5),
  requestTtl: fc.constantFrom(3000, 6000),
  // What is promised under a key is promised for longer than a run takes.
  idempotencyTtl: fc.constant(600_000),
  idempotencyBytes: fc.constant(100_000_000),
  queueLimit: fc.constantFrom(4, 100, 100, 100),
  clientQueueLimit: fc.constantFrom(2, 100, 100, 100),
  inFlightLimit: fc.constantFrom(1, 3, 100, 100, 100),
  replyBufferBytes: fc.constantFrom(2000, 100_000, 100_000),
  peerQueueBytes: fc.constantFrom(4000, 10_000_000, 10_000_000),
  tightWorkers: fc.constant(false),
  // Links that carry less than the brokers say to each other would delay it for ever.
  highWaterMark: fc.constantFrom(8, 64),
  jitter: fc.constantFrom(0.5, 5, 20),
  clientLimit: fc.constant(100),
});

/** Mostly express, which alone knows of two brokers; stock peers take what they are told. */
const protocol = fc.oneof(
  { weight: 10, arbitrary: fc.constant('express' as const) },
  { weight: 1, arbitrary: fc.constantFrom('auto' as const, 'mdp0.1' as const, 'mdp0.2' as const) },
);

const worker: fc.Arbitrary<PlannedWorker> = fc.record({
  service: fc.nat({ max: 1 }),
  protocol,
  concurrency: fc.constantFrom(1, 1, 2, 3),
  ...pace,
});
const client: fc.Arbitrary<PlannedClient> = fc.record({ protocol, ...pace });

const operation = fc.record({
  ...operationFields,
  at: fc.nat({ max: CHAOS_ENDS - 300 }),
  size: fc.constantFrom(0, 0, 0, 100, 100, 100, 3000, 3000, 3000, 100, 100, 100, LARGE),
  timeout: fc.constantFrom(500, 1500, 3000, 3000, 3000),
  retries: fc.constantFrom(0, 2, 3, 4),
  cancelAfter: onceIn(8, fc.nat({ max: 600 })),
  // Few keys, so that many are asked under twice, by either client.
  key: onceIn(2, fc.nat({ max: 5 })),
});

const pair = fc.record({
  witness: fc.constantFrom(true, true, false),
  heartbeatInterval: fc.constantFrom(80, 120),
  heartbeatLiveness: fc.constantFrom(2, 3),
  noticeGrace: fc.constantFrom(10, 40),
  lease: fc.constantFrom(300, 500),
  storeTime: fc.constantFrom(0.5, 2, 15),
  core: fc.constantFrom(...CORES),
});

/** Every plan of the suite. */
export const pairPlans: fc.Arbitrary<PairPlan> = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  settings,
  pair,
  workers: fc.array(worker, { minLength: 1, maxLength: 3 }),
  clients: fc.array(client, { minLength: 1, maxLength: 2 }),
  rogue: fc.constant(undefined),
  operations: fc.array(operation, { minLength: 3, maxLength: 14, size: 'max' }),
  faults: faultPlans<FaultKind, Target>(FAULT_KINDS, [...TARGETS], CHAOS_ENDS - 300),
  core: fc.nat({ max: 2 }),
});
