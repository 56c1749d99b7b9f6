/** How plans are drawn: sizes and settings that are small on purpose. */
import fc from 'fast-check';
import type { Durability } from '../../storage/options.ts';
import { faultPlans } from '../faults.ts';
import { onceIn, rarely } from '../plans.ts';
import {
  BEHAVIOURS,
  BROKER_FAULTS,
  CHAOS_ENDS,
  OPERATIONS,
  SERVICES,
  TITANIC_FAULTS,
  type PlannedOperation,
  type PlannedRequest,
  type TitanicFault,
  type TitanicPlan,
} from './plan.ts';

const MANY = 1_000_000;
const LONG = 1_000_000_000;

const settings = fc.record({
  concurrency: fc.constantFrom(1, 1, 2, 4),
  attemptTimeout: fc.constantFrom(120, 300),
  retries: fc.constantFrom(0, 1, 2, 3),
  backoff: fc.constantFrom(10, 40),
  absence: fc.constantFrom(10, 40),
  pendingLimit: fc.constantFrom(3, MANY, MANY, MANY),
  pendingBytes: fc.constantFrom(1500, MANY, MANY, MANY),
  waiterLimit: fc.constantFrom(1, 3, 100),
  retentionAge: fc.constantFrom(200, LONG, LONG, LONG),
  retentionCount: fc.constantFrom(1, 3, MANY, MANY),
  retentionBytes: fc.constantFrom(600, MANY, MANY, MANY),
  closedAge: fc.constantFrom(150, LONG, LONG),
  closedCount: fc.constantFrom(1, MANY, MANY),
  durability: fc.constantFrom<Durability[]>('fsync', 'fsync', 'fsync', 'os'),
  cacheBytes: fc.constantFrom(0, 400, MANY),
  commitBytes: fc.constantFrom(1, 1000, MANY),
  commitTime: fc.constantFrom(1, 8, 25),
  jitter: fc.constantFrom(0.5, 5, 20),
  loss: fc.constantFrom(0, 0, 2, 10),
  twice: fc.constantFrom(0, 2, 10),
  late: fc.constantFrom(0, 2, 10),
  lateTimers: fc.boolean(),
});

const request: fc.Arbitrary<PlannedRequest> = fc.record({
  service: fc.nat({ max: SERVICES.length - 1 }),
  isOwn: rarely(5).map((isNot) => !isNot),
  behaviour: fc.constantFrom(...BEHAVIOURS),
  work: fc.constantFrom(0, 5, 20, 60, 150),
  size: fc.constantFrom(0, 0, 50, 400),
  delay: onceIn(4, fc.constantFrom(0, 60, 300)),
  deadline: onceIn(5, fc.constantFrom(30, 200, 600)),
  retries: onceIn(2, fc.nat({ max: 3 })),
  backoff: onceIn(3, fc.constantFrom(5, 80)),
});

const operation: fc.Arbitrary<PlannedOperation> = fc.record({
  at: fc.nat({ max: CHAOS_ENDS - 200 }),
  kind: fc.constantFrom(...OPERATIONS),
  request: fc.nat({ max: 15 }),
  wait: fc.constantFrom(0, 30, 200, 500),
});

/** Of both targets: what is meant for one only is not drawn for the other. */
const faults: fc.Arbitrary<TitanicFault[]> = fc
  .tuple(
    faultPlans<TitanicFault['kind'], 'titanic'>(TITANIC_FAULTS, ['titanic'], CHAOS_ENDS - 100),
    faultPlans<TitanicFault['kind'], 'broker'>(BROKER_FAULTS, ['broker'], CHAOS_ENDS - 100),
    fc.integer({ min: 1, max: 4 }),
  )
  .map(([titanic, broker, share]) => [...titanic, ...broker.slice(0, share)]);

const shapes = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  settings,
  requests: fc.array(request, { minLength: 3, maxLength: 8, size: 'max' }),
  operations: fc.array(operation, { minLength: 10, maxLength: 40, size: 'max' }),
  faults,
  probePace: fc.constantFrom(16, 19),
});

/** Every plan of the suite. */
export const titanicPlans: fc.Arbitrary<TitanicPlan> = shapes;
