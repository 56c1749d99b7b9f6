/** The suite of a Majordomo pair: its plans, and what must have happened for it to count. */
import { cellsOf } from '../faults.ts';
import type { Suite } from '../suite.ts';
import { showPairMessage } from './format.ts';
import type { PairPlan } from './plan.ts';
import { pairPlans } from './plans.ts';
import { runPairPlan } from './run.ts';

/** Each must have happened: a fault that never bites, or a rule that never applies, tests nothing. */
const PROBES = [
  // the network and the processes
  'lostInFlight',
  'lostAtCrash',
  'dropped',
  'heldByPartition',
  'ghostDelivered',
  'noticeDelivered',
  'reset',
  'pausedDelivery',
  'pausedBeforeSend',
  'lateTimer',
  'crashedAfterEffects',
  'store.failed',
  // who serves
  'takeover',
  'reigns.again',
  'reigns.memoryLost',
  'reigns.split',
  'promoted',
  'pair.becamePassive.higherEpoch',
  'pair.becamePassive.leaseEnded',
  'pair.takeoverFailed',
  'pair.wasStopped',
  'demoted.by.client',
  'demoted.by.worker',
  // what the brokers do
  'follower.synchronised',
  'broker.servesAlone',
  'reply.heldForFollower',
  'key.parkReleased',
  'key.reported.running',
  'key.reported.finished',
  'key.answeredOfAnEarlierReign',
  'key.runsTwice',
  'broker.joined',
  'broker.storedReply',
  // the clients and workers
  'client.redirected',
  'client.calledBack',
  'worker.handedBackAsStale',
  'worker.saidSeen',
];

const CELL_STATES = [
  'broker active idle',
  'broker active busy',
  'broker passive synchronised',
  'broker passive copying',
];

export const pairSuite: Suite<PairPlan> = {
  name: 'majordomo-pair',
  plans: pairPlans,
  run: runPairPlan,
  format: showPairMessage,
  probes: PROBES,
  cells: cellsOf(['crash', 'pause', 'partition'], CELL_STATES),
};
