/** How plans are drawn: sizes and settings that are small on purpose. */
import fc from 'fast-check';
import type { PirateProtocol } from '../../pirate/commands.ts';
import { faultPlans } from '../faults.ts';
import { onceIn, rarely } from '../plans.ts';
import {
  BEHAVIOURS,
  CHAOS_ENDS,
  FAULT_KINDS,
  LONGEST_TIMEOUT,
  MISCHIEFS,
  TARGETS,
  type FaultKind,
  type PiratePlan,
  type PlannedOperation,
  type PlannedRogue,
  type PlannedWorker,
  type Target,
} from './plan.ts';

const settings = fc.record({
  heartbeatInterval: fc.constantFrom(40, 60, 80),
  heartbeatLiveness: fc.constantFrom(2, 3, 3),
  maxAttempts: fc.constantFrom(1, 2, 3, 5),
  attemptTimeout: fc.constantFrom(250, 600, 1500),
  requestTtl: fc.constantFrom(300, 1500, 3000),
  queueLimit: fc.constantFrom(2, 4, 100),
  queueBytes: fc.constantFrom(2000, 10_000_000, 10_000_000),
  tightWorkers: rarely(4),
  lanes: fc.constantFrom(1, 2, 4),
  clientQueueLimit: fc.constantFrom(2, 100, 100),
  peerQueueBytes: fc.constantFrom(300, 1500, 10_000_000),
  workerQueueBytes: fc.constantFrom(300, 10_000_000, 10_000_000),
  notices: fc.constantFrom(true, true, false),
  automaticIds: fc.boolean(),
  highWaterMark: fc.constantFrom(2, 64),
  ghostDelay: fc.constantFrom(0, 40),
  jitter: fc.constantFrom(0.5, 5, 20),
  lateTimers: fc.boolean(),
});

const worker: fc.Arbitrary<PlannedWorker> = fc.record({
  home: fc.nat({ max: 1 }),
  roams: fc.boolean(),
});

const rogue: fc.Arbitrary<PlannedRogue> = fc.record({
  queue: fc.nat({ max: 1 }),
  mischiefs: fc.array(fc.constantFrom(...MISCHIEFS), { minLength: 1, maxLength: 4 }),
});

const operation: fc.Arbitrary<PlannedOperation> = fc.record({
  at: fc.nat({ max: CHAOS_ENDS - 700 }),
  client: fc.nat({ max: 1 }),
  behaviour: fc.constantFrom(...BEHAVIOURS),
  work: fc.constantFrom(0, 5, 5, 40, 40, 200, 600),
  size: fc.constantFrom(0, 0, 0, 100, 3000),
  timeout: fc.constantFrom(100, 500, 1200, 1200, LONGEST_TIMEOUT, LONGEST_TIMEOUT),
  attemptTimeout: onceIn(3, fc.constantFrom(60, 200, 500)),
  retries: fc.nat({ max: 4 }),
  cancelAfter: onceIn(6, fc.nat({ max: 500 })),
});

/** Every plan of the suite. */
export const piratePlans: fc.Arbitrary<PiratePlan> = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  protocol: fc.constantFrom<PirateProtocol[]>('paranoid', 'paranoid', 'simple'),
  settings,
  queues: fc.constantFrom(1, 1, 2),
  workers: fc.array(worker, { minLength: 1, maxLength: 3 }),
  clients: fc.array(fc.record({ first: fc.nat({ max: 1 }) }), { minLength: 1, maxLength: 2 }),
  rogue: onceIn(3, rogue),
  stockPace: onceIn(3, fc.constantFrom(25, 100)),
  operations: fc.array(operation, { minLength: 8, maxLength: 36, size: 'max' }),
  faults: faultPlans<FaultKind, Target>(
    FAULT_KINDS,
    ['queue-0', 'queue-0', 'client-0', ...TARGETS],
    CHAOS_ENDS - 100,
  ),
  core: fc.nat({ max: 2 }),
});
