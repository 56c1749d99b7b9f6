/** How plans are drawn: sizes and settings that are small on purpose, and old dialects in every mix. */
import fc from 'fast-check';
import type { Dialect } from '../../majordomo/wire/commands.ts';
import { faultPlans } from '../faults.ts';
import { onceIn, rarely } from '../plans.ts';
import {
  BEHAVIOURS,
  CHAOS_ENDS,
  FAULT_KINDS,
  LARGE,
  LONGEST_TIMEOUT,
  MISCHIEFS,
  TARGETS,
  type FaultKind,
  type MajordomoPlan,
  type PlannedClient,
  type PlannedOperation,
  type PlannedRogue,
  type PlannedWorker,
  type Target,
} from './plan.ts';

/** What the settings are drawn from, field by field. */
export const settingsFields = {
  heartbeatInterval: fc.constantFrom(80, 150, 150),
  heartbeatLiveness: fc.constantFrom(2, 3, 3),
  maxAttempts: fc.constantFrom(1, 2, 3, 5),
  attemptTimeout: fc.constantFrom(400, 1000, 2000),
  requestTtl: fc.constantFrom(300, 1500, 3000),
  priorityAgeing: fc.constantFrom(5, 50, 1000),
  idempotencyTtl: fc.constantFrom(200, 5000, 5000),
  idempotencyBytes: fc.constantFrom(0, 600, 1_000_000),
  deadLetterService: fc.constantFrom('', 'beta'),
  queueLimit: fc.constantFrom(2, 4, 100),
  queueBytes: fc.constantFrom(2000, 10_000_000, 10_000_000),
  tightWorkers: rarely(6),
  clientLimit: fc.constantFrom(2, 100, 100),
  clientQueueLimit: fc.constantFrom(2, 100, 100),
  inFlightLimit: fc.constantFrom(1, 3, 100, 100),
  streamWindow: fc.constantFrom(100, 5000, 256 * 1024),
  lanes: fc.constantFrom(1, 2, 8),
  peerQueueBytes: fc.constantFrom(1500, 4000, 10_000_000),
  workerQueueBytes: fc.constantFrom(1500, 10_000_000, 10_000_000),
  replyBufferBytes: fc.constantFrom(500, 100_000),
  notices: fc.constantFrom(true, true, false),
  automaticIds: fc.boolean(),
  highWaterMark: fc.constantFrom(2, 64),
  ghostDelay: fc.constantFrom(0, 40),
  jitter: fc.constantFrom(0.5, 5, 30),
  lateTimers: fc.boolean(),
};

const protocol = fc.oneof(
  { weight: 6, arbitrary: fc.constant('express' as const) },
  { weight: 1, arbitrary: fc.constant('auto' as const) },
  { weight: 4, arbitrary: fc.constantFrom<Dialect[]>('mdp0.1', 'mdp0.2') },
);

/** Mostly what most brokers of the plans have; where it differs, express agrees on the slower. */
export const pace = {
  heartbeatInterval: fc.constantFrom(150, 150, 80, 240),
  heartbeatLiveness: fc.constantFrom(3, 3, 2),
};

const worker: fc.Arbitrary<PlannedWorker> = fc.record({
  service: fc.nat({ max: 1 }),
  protocol,
  concurrency: fc.constantFrom(1, 1, 2, 3),
  ...pace,
});
const client: fc.Arbitrary<PlannedClient> = fc.record({ protocol, ...pace });
const rogue: fc.Arbitrary<PlannedRogue> = fc.record({
  service: fc.nat({ max: 1 }),
  mischiefs: fc.array(fc.constantFrom(...MISCHIEFS), { minLength: 1, maxLength: 4 }),
  express: fc.boolean(),
});

/** What an operation is drawn from, field by field. */
export const operationFields = {
  at: fc.nat({ max: CHAOS_ENDS - 500 }),
  client: fc.nat({ max: 1 }),
  service: fc.nat({ max: 1 }),
  streaming: fc.boolean(),
  behaviour: fc.constantFrom(...BEHAVIOURS),
  work: fc.constantFrom(0, 5, 50, 200, 200, 700),
  size: fc.constantFrom(0, 0, 0, 100, 100, 100, 3000, 3000, 3000, LARGE),
  timeout: fc.constantFrom(100, 500, 1500, 1500, LONGEST_TIMEOUT, LONGEST_TIMEOUT),
  retries: fc.nat({ max: 4 }),
  cancelAfter: onceIn(5, fc.nat({ max: 600 })),
  key: onceIn(4, fc.nat({ max: 2 })),
  priority: fc.constantFrom(0, 0, 0, 1, 5, 9),
  failFast: rarely(10),
  broadcast: rarely(12),
  readPace: fc.constantFrom(0, 0, 10, 80),
};

const operation: fc.Arbitrary<PlannedOperation> = fc.record(operationFields);

/** Every plan of the suite. */
export const majordomoPlans: fc.Arbitrary<MajordomoPlan> = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  settings: fc.record(settingsFields),
  workers: fc.array(worker, { minLength: 1, maxLength: 3 }),
  clients: fc.array(client, { minLength: 1, maxLength: 2 }),
  rogue: onceIn(3, rogue),
  operations: fc.array(operation, { minLength: 3, maxLength: 24, size: 'max' }),
  faults: faultPlans<FaultKind, Target>(FAULT_KINDS, ['broker', ...TARGETS], CHAOS_ENDS - 200),
  core: fc.nat({ max: 2 }),
});
