/** The replay suite: its plans, and what must have happened for it to count. */
import { COMMON_FAULTS, cellsOf } from '../faults.ts';
import type { Suite } from '../suite.ts';
import type { ReplayPlan } from './plan.ts';
import { replayPlans } from './plans.ts';
import { runReplayPlan } from './run.ts';

/** Each must have happened: a fault that never bites, or a rule that never applies, tests nothing. */
const PROBES = [
  // the network and the processes
  'unroutable',
  'full',
  'lostInFlight',
  'lostAtReset',
  'lostAtClose',
  'lostAtCrash',
  'lostAtHighWater',
  'lostUnsubscribed',
  'dropped',
  'heldByPartition',
  'noticeDelivered',
  'reset',
  'reconnected',
  'pausedDelivery',
  'unreadDelivery',
  'pausedBeforeSend',
  'lateTimer',
  'crashedAfterEffects',
  'store.refused',
  // the publisher
  'publisher.published',
  'publisher.publishRefused',
  'publisher.followerBegan.continue',
  'publisher.followerBegan.lost',
  'publisher.followerLeftBehind',
  'publisher.followerLost',
  'publisher.followerRefused',
  'publisher.replayed',
  'publisher.replayRefused',
  'publisher.storeFailed',
  'publisher.malformed',
  'publisher.ignored',
  'publisher.drained',
  // the subscribers
  'subscriber.connected',
  'subscriber.disconnected.linkBroken',
  'subscriber.disconnected.redirected',
  'subscriber.disconnected.silent',
  'subscriber.gapDetected',
  'subscriber.gapRepaired',
  'subscriber.historyLost.gone',
  'subscriber.historyLost.restarted',
  'subscriber.historyLost.unanswered',
  'subscriber.publisherRestarted',
  'subscriber.fellBehind',
  'subscriber.replayFailed.silent',
  'subscriber.replayFailed.linkBroken',
  'subscriber.ignored.duplicate',
  'subscriber.ignored.stale',
  'subscriber.hiddenRestart',
  'subscriber.drained',
];

const STATES = ['publisher stream', 'publisher kv-events', 'subscriber live', 'subscriber behind'];

export const replaySuite: Suite<ReplayPlan> = {
  name: 'replay',
  plans: replayPlans,
  run: runReplayPlan,
  probes: PROBES,
  cells: cellsOf(COMMON_FAULTS, STATES),
};
