/** The Freelance suite: its plans, and what must have happened for it to count. */
import { COMMON_FAULTS, cellsOf } from '../faults.ts';
import type { Suite } from '../suite.ts';
import type { FreelancePlan } from './plan.ts';
import { freelancePlans } from './plans.ts';
import { runFreelancePlan } from './run.ts';

/** Each must have happened: a fault that never bites, or a rule that never applies, tests nothing. */
const PROBES = [
  // the network and the processes
  'unroutable',
  'full',
  'lostInFlight',
  'lostAtReset',
  'lostAtClose',
  'lostAtCrash',
  'dropped',
  'heldByPartition',
  'noticeDelivered',
  'linkNoticeDelivered',
  'reset',
  'reconnected',
  'pausedDelivery',
  'unreadDelivery',
  'pausedTimer',
  'pausedBeforeSend',
  'lateTimer',
  'crashed',
  'crashedAfterEffects',
  // the servers
  'server.clientGone',
  'server.drained',
  'server.malformed',
  'server.replyDropped.clientQueueFull',
  'server.replyDropped.requestEnded',
  'server.request',
  'server.requestLost',
  'server.requestRefused.closing',
  'server.requestRefused.queueFull',
  // the clients
  'client.ERR_CANCELLED',
  'client.ERR_HANDLER_FAILED',
  'client.ERR_QUEUE_FULL',
  'client.ERR_REQUEST_TIMEOUT',
  'client.ERR_SERVER_CLOSING',
  'client.budgetEmpty',
  'client.drained',
  'client.hedge',
  'client.malformed',
  'client.replyIgnored',
  'client.retry.refused',
  'client.retry.serverLost',
  'client.retry.timeout',
  'client.serverLive',
  'client.serverLost.linkBroken',
  'client.serverLost.silent',
  // the rogue, and a client of the plainest kind
  'rogue.double',
  'rogue.forge',
  'rogue.garbage',
  'rogue.late',
  'rogue.pongs',
  'rogue.refuse',
  'rogue.silent',
  'rogue.steal',
  'stock.refused',
  'stock.reply',
];

export const freelanceSuite: Suite<FreelancePlan> = {
  name: 'freelance',
  plans: freelancePlans,
  run: runFreelancePlan,
  probes: PROBES,
  cells: [
    ...cellsOf(COMMON_FAULTS, ['server idle', 'server busy', 'client idle', 'client inFlight']),
    ...cellsOf(['bury', 'rollingRestart'], ['server idle', 'server busy']),
  ],
};
