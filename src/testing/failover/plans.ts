/** How plans are drawn: short leases, short silences, so that much happens in two seconds. */
import fc from 'fast-check';
import { faultPlans } from '../faults.ts';
import { onceIn, rarely } from '../plans.ts';
import {
  CHAOS_ENDS,
  FAULT_KINDS,
  MISCHIEFS,
  TARGETS,
  type FailoverPlan,
  type Mode,
  type PlannedOrder,
} from './plan.ts';

const settings = fc.record({
  heartbeatInterval: fc.constantFrom(50, 80),
  heartbeatLiveness: fc.constantFrom(2, 3, 4),
  noticeGrace: fc.constantFrom(0, 20, 100),
  lease: fc.constantFrom(100, 200, 400),
  storeTime: fc.constantFrom(0.5, 2, 20),
  notices: fc.constantFrom(true, true, false),
  highWaterMark: fc.constantFrom(4, 64, 64),
  ghostDelay: fc.constantFrom(0, 40),
  jitter: fc.constantFrom(0.5, 5, 20),
  lateTimers: fc.boolean(),
});

const order: fc.Arbitrary<PlannedOrder> = fc.record({
  at: fc.nat({ max: CHAOS_ENDS - 200 }),
  server: fc.nat({ max: 1 }),
  order: fc.constantFrom<PlannedOrder['order'][]>('promote', 'resign', 'handOver'),
});

/** Every plan of the suite. */
export const failoverPlans: fc.Arbitrary<FailoverPlan> = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  mode: fc.constantFrom<Mode[]>(
    'witness',
    'witness',
    'witness',
    'witness',
    'vote',
    'vote',
    'stock',
  ),
  settings,
  isStateful: fc.boolean(),
  starts: fc.tuple(fc.constantFrom(0, 0, 0, 300, 1200), fc.constantFrom(0, 0, 0, 300, 1200)),
  paces: fc.array(fc.constantFrom(40, 80), { minLength: 1, maxLength: 2 }),
  rogue: onceIn(2, fc.array(fc.constantFrom(...MISCHIEFS), { minLength: 1, maxLength: 4 })),
  orders: fc
    .tuple(rarely(2), fc.array(order, { minLength: 1, maxLength: 3 }))
    .map(([are, orders]) => (are ? orders : [])),
  faults: faultPlans(FAULT_KINDS, [...TARGETS], CHAOS_ENDS - 200),
  core: fc.nat({ max: 11 }),
});
