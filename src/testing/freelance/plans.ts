/** How plans are drawn: sizes and settings that are small on purpose. */
import fc from 'fast-check';
import type { FreelanceStrategy } from '../../freelance/options.ts';
import { faultPlans } from '../faults.ts';
import { onceIn, rarely } from '../plans.ts';
import {
  BEHAVIOURS,
  CHAOS_ENDS,
  FAULT_KINDS,
  LONGEST_TIMEOUT,
  MISCHIEFS,
  TARGETS,
  type FreelancePlan,
  type PlannedClient,
  type PlannedOperation,
  type PlannedRogue,
  type PlannedServer,
} from './plan.ts';

const settings = fc.record({
  heartbeatInterval: fc.constantFrom(50, 100, 100),
  heartbeatLiveness: fc.constantFrom(2, 3, 3),
  retryBudget: fc.constantFrom(0, 0.1, 0.5, 2),
  retryBurst: fc.constantFrom(0, 1, 3, 10),
  inFlightLimit: fc.constantFrom(1, 3, 100, 100),
  queueLimit: fc.constantFrom(2, 4, 100),
  queueBytes: fc.constantFrom(2000, 10_000_000, 10_000_000),
  serverQueueLimit: fc.constantFrom(1, 2, 20),
  serverQueueBytes: fc.constantFrom(2000, 10_000_000, 10_000_000),
  peerQueueBytes: fc.constantFrom(1500, 4000, 10_000_000),
  serverPeerQueueBytes: fc.constantFrom(1500, 10_000_000, 10_000_000),
  notices: fc.constantFrom(true, true, false),
  highWaterMark: fc.constantFrom(2, 64, 64),
  ghostDelay: fc.constantFrom(0, 40),
  jitter: fc.constantFrom(0.5, 5, 20),
  lateTimers: fc.boolean(),
});

const server: fc.Arbitrary<PlannedServer> = fc.record({
  concurrency: fc.constantFrom(1, 1, 2, 4),
  isAbsent: rarely(8),
});
const client: fc.Arbitrary<PlannedClient> = fc.record({ first: fc.constantFrom(0, 0, 1, 2) });
const rogue: fc.Arbitrary<PlannedRogue> = fc.record({
  mischiefs: fc.array(fc.constantFrom(...MISCHIEFS), { minLength: 1, maxLength: 4 }),
  rank: fc.nat({ max: 2 }),
});

const operation: fc.Arbitrary<PlannedOperation> = fc.record({
  at: fc.nat({ max: CHAOS_ENDS - 300 }),
  client: fc.nat({ max: 1 }),
  behaviour: fc.constantFrom(...BEHAVIOURS),
  work: fc.constantFrom(0, 0, 5, 5, 30, 30, 150, 500),
  size: fc.constantFrom(0, 0, 0, 100, 3000),
  strategy: fc.constantFrom<FreelanceStrategy[]>('first', 'first', 'fastest', 'all'),
  timeout: fc.constantFrom(80, 400, 1000, 1000, LONGEST_TIMEOUT, LONGEST_TIMEOUT),
  attemptTimeout: onceIn(2, fc.constantFrom(40, 150, 400)),
  retries: fc.nat({ max: 4 }),
  hedge: fc.boolean(),
  cancelAfter: onceIn(8, fc.nat({ max: 400 })),
});

const shapes = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  settings,
  servers: fc.array(server, { minLength: 2, maxLength: 3 }),
  clients: fc.array(client, { minLength: 1, maxLength: 2 }),
  rogue: onceIn(3, rogue),
  stockPace: onceIn(3, fc.constantFrom(40, 90)),
  warmUp: fc.constantFrom(0, 0, 24),
  operations: fc.array(operation, { minLength: 4, maxLength: 40, size: 'max' }),
  faults: faultPlans(FAULT_KINDS, [...TARGETS], CHAOS_ENDS - 200),
  core: fc.nat({ max: 2 }),
});

/** Every plan of the suite. */
export const freelancePlans: fc.Arbitrary<FreelancePlan> = shapes;
