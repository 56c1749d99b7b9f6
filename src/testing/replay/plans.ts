/** How plans are drawn: sizes and settings that are small on purpose. */
import fc from 'fast-check';
import type { ReplayLayout } from '../../clone/replay/kv-codec.ts';
import type { ReplayProtocol } from '../../clone/replay/options.ts';
import { faultPlans } from '../faults.ts';
import { rarely } from '../plans.ts';
import {
  CHAOS_ENDS,
  FAULT_KINDS,
  TARGETS,
  type PlannedSubscriber,
  type ReplayPlan,
} from './plan.ts';

const settings = fc.record({
  heartbeatInterval: fc.constantFrom(40, 80),
  heartbeatLiveness: fc.constantFrom(2, 3, 3),
  historyLimit: fc.constantFrom(1, 8, 8, 8, 30, 100),
  historyBytes: fc.constantFrom(1500, 1_000_000, 1_000_000),
  window: fc.constantFrom(300, 1000, 4000, 100_000),
  pendingLimit: fc.constantFrom(1, 5, 1000),
  followerLimit: fc.constantFrom(2, 10, 10),
  pollInterval: fc.constantFrom(60, 150),
  layout: fc.constantFrom<ReplayLayout[]>('topic', 'plain'),
  peerQueueBytes: fc.constantFrom(1500, 1_000_000, 1_000_000),
  notices: fc.constantFrom(true, true, false),
  highWaterMark: fc.constantFrom(3, 64, 64),
  ghostDelay: fc.constantFrom(0, 40),
  jitter: fc.constantFrom(0.5, 5, 20),
  lateTimers: fc.boolean(),
});

const subscriber: fc.Arbitrary<PlannedSubscriber> = fc.record({
  at: fc.constantFrom(0, 0, 200, 500),
  from: fc.constantFrom<PlannedSubscriber['from'][]>('newest', 'oldest', 1, 20, 60),
  resumes: fc.boolean(),
  topics: fc.constantFrom([''], [''], ['prices/'], ['prices/A'], ['news', 'prices/A']),
  pace: fc.constantFrom(0, 0, 0, 3, 25),
});

const plans: fc.Arbitrary<ReplayPlan> = fc.record({
  seed: fc.nat({ max: 0x7fffffff }),
  protocol: fc.constantFrom<ReplayProtocol[]>('stream', 'kv-events'),
  isStored: fc.boolean(),
  settings,
  pace: fc.constantFrom(6, 10, 14),
  size: fc.constantFrom(0, 0, 200, 800),
  subscribers: fc.array(subscriber, { minLength: 1, maxLength: 3 }),
  hasRogue: rarely(3),
  faults: faultPlans(FAULT_KINDS, TARGETS, CHAOS_ENDS - 200),
  core: fc.nat({ max: 2 }),
});

/**
 * Every plan of the suite. Nobody publishes for long what his link cannot carry: only bursts are more. And
 * there are places for all, as long as no rogue takes one.
 */
export const replayPlans: fc.Arbitrary<ReplayPlan> = plans.map((plan) => ({
  ...plan,
  settings: {
    ...plan.settings,
    followerLimit: Math.max(plan.settings.followerLimit, plan.subscribers.length),
  },
  pace: Math.max(plan.pace, plan.settings.highWaterMark < 64 ? 10 : 0),
}));
