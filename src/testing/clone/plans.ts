/** How plans are drawn: sizes and settings that are small on purpose. */
import fc from 'fast-check';
import type { WriteKind } from '../../clone/commands.ts';
import { faultPlans } from '../faults.ts';
import { onceIn, rarely } from '../plans.ts';
import {
  CHAOS_ENDS,
  CORES,
  FAULT_KINDS,
  KEYS,
  LONGEST_TIMEOUT,
  MISCHIEFS,
  SUBTREES,
  TARGETS,
  type CloneFaultKind,
  type ClonePlan,
  type Demand,
  type PlannedClient,
  type PlannedRogue,
  type PlannedWrite,
  type Target,
} from './plan.ts';

const settings = fc.record({
  replication: fc.constantFrom('sync' as const, 'sync' as const, 'async' as const),
  heartbeatInterval: fc.constantFrom(60, 100),
  heartbeatLiveness: fc.constantFrom(2, 3),
  historyLimit: fc.constantFrom(2, 8, 8, 8, 100, 100),
  historyBytes: fc.constantFrom(2000, 100_000, 100_000),
  keyLimit: fc.constantFrom(4, 100, 100, 100),
  stateBytes: fc.constantFrom(3000, 1_000_000, 1_000_000, 1_000_000),
  valueBytes: fc.constantFrom(800, 10_000, 10_000),
  followerLimit: fc.constantFrom(4, 100, 100),
  writerLimit: fc.constant(100),
  pendingLimit: fc.constantFrom(2, 100, 100, 100),
  inFlightLimit: fc.constantFrom(1, 3, 100, 100),
  queueLimit: fc.constantFrom(2, 100, 100),
  peerQueueBytes: fc.constantFrom(1500, 4000, 10_000_000, 10_000_000),
  notices: fc.constantFrom(true, true, false),
  highWaterMark: fc.constantFrom(4, 64, 64),
  ghostDelay: fc.constantFrom(0, 40),
  jitter: fc.constantFrom(0.5, 5, 20),
  lateTimers: fc.boolean(),
  commitTime: fc.constantFrom(0.5, 3, 15),
});

const pair = fc.record({
  heartbeatInterval: fc.constantFrom(80, 120),
  heartbeatLiveness: fc.constantFrom(2, 3),
  noticeGrace: fc.constantFrom(10, 40),
  backupWindow: fc.constantFrom(300, 1000, 1_000_000),
  lease: fc.constantFrom(300, 500),
  storeTime: fc.constantFrom(0.5, 2, 15),
  core: fc.constantFrom(...CORES),
});

const client: fc.Arbitrary<PlannedClient> = fc.record({
  subtree: fc.oneof(
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 5, arbitrary: fc.nat({ max: SUBTREES.length - 1 }) },
  ),
  first: fc.nat({ max: 2 }),
  window: fc.constantFrom(200, 1000, 10_000, 1_000_000, 1_000_000),
});

const write: fc.Arbitrary<PlannedWrite> = fc.record({
  at: fc.nat({ max: CHAOS_ENDS - 200 }),
  client: fc.nat({ max: 2 }),
  kind: fc.constantFrom<WriteKind[]>('set', 'set', 'set', 'set', 'set', 'set', 'delete', 'clear'),
  key: fc.nat({ max: KEYS.length - 1 }),
  size: fc.constantFrom(0, 0, 0, 20, 100, 600, 3000),
  ttl: onceIn(4, fc.constantFrom(20, 150, 400, 900, 3000)),
  demand: fc.constantFrom<Demand[]>(
    'none',
    'none',
    'none',
    'none',
    'seen',
    'seen',
    'stale',
    'absent',
  ),
  timeout: fc.constantFrom(60, 400, 1000, LONGEST_TIMEOUT, LONGEST_TIMEOUT, LONGEST_TIMEOUT),
  abandonAfter: onceIn(10, fc.nat({ max: 300 })),
  burst: fc.constantFrom(1, 1, 1, 1, 2, 4, 10),
});

const rogue: fc.Arbitrary<PlannedRogue> = fc.record({
  mischiefs: fc.array(fc.constantFrom(...MISCHIEFS), { minLength: 1, maxLength: 4 }),
  rank: onceIn(2, fc.nat({ max: 2 })),
});

/** Every plan of the suite. */
export const clonePlans: fc.Arbitrary<ClonePlan> = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  topology: fc.constantFrom(
    'lone' as const,
    'lone' as const,
    'witness' as const,
    'witness' as const,
    'witness' as const,
    'votes' as const,
  ),
  isStored: rarely(3),
  settings,
  pair,
  clients: fc.array(client, { minLength: 2, maxLength: 3 }),
  rogue: onceIn(3, rogue),
  stockPace: onceIn(4, fc.constantFrom(40, 90)),
  lossPace: onceIn(3, fc.constantFrom(30, 80, 200)),
  steadyPace: onceIn(3, fc.constantFrom(8, 25, 60)),
  writes: fc.array(write, { minLength: 4, maxLength: 16, size: 'max' }),
  faults: faultPlans<CloneFaultKind, Target>(FAULT_KINDS, [...TARGETS], CHAOS_ENDS - 200),
  core: fc.nat({ max: 2 }),
});
