/** The Pirate suite: its plans, and what must have happened for it to count. */
import { cellsOf, COMMON_FAULTS } from '../faults.ts';
import type { Suite } from '../suite.ts';
import type { PiratePlan } from './plan.ts';
import { piratePlans } from './plans.ts';
import { runPiratePlan } from './run.ts';

/** Each must have happened: a fault that never bites, or a rule that never applies, tests nothing. */
const PROBES = [
  // the network and the processes
  'unroutable',
  'full',
  'lostInFlight',
  'lostAtReset',
  'lostAtHandover',
  'lostAtClose',
  'lostAtCrash',
  'dropped',
  'heldByPartition',
  'ghostDelivered',
  'noticeDelivered',
  'linkNoticeDelivered',
  'handover',
  'reset',
  'reconnected',
  'pausedDelivery',
  'unreadDelivery',
  'pausedTimer',
  'pausedBeforeSend',
  'lateTimer',
  'crashed',
  'crashedAfterEffects',
  // the queues
  'queue.deadLetter',
  'queue.dispatchRefused',
  'queue.dispatchRefused',
  'queue.drained',
  'queue.malformed.backend',
  'queue.malformed.frontend',
  'queue.replyRefused.clientQueueFull',
  'queue.replyRefused.requestEnded',
  'queue.replyRefused.stale',
  'queue.replyRefused.unknownWorker',
  'queue.requestCancelled',
  'queue.requestExpired.queued',
  'queue.requestExpired.running',
  'queue.requestRefused.closing',
  'queue.requestRefused.queueFull',
  'queue.requestRequeued',
  'queue.workerLost.closing',
  'queue.workerLost.expired',
  'queue.workerLost.gone',
  'queue.workerLost.replaced',
  'queue.workerOverdue',
  'queue.workerReady',
  'queue.workerRecovered',
  'queue.workerRefused.closing',
  'queue.workerRefused.workerLimit',
  // the workers
  'worker.drained',
  'worker.queueLost.linkBroken',
  'worker.queueLost.silent',
  'worker.ready',
  'worker.replyDelayed',
  'worker.replyDropped',
  'worker.requestLost',
  // the clients
  'client.ERR_ATTEMPTS_EXHAUSTED',
  'client.ERR_CANCELLED',
  'client.ERR_HANDLER_FAILED',
  'client.ERR_QUEUE_FULL',
  'client.ERR_REQUEST_EXPIRED',
  'client.ERR_REQUEST_TIMEOUT',
  'client.drained',
  'client.failedOver',
  'client.retry',
  // those who are none of ours
  'rogue.double',
  'rogue.forge',
  'rogue.garbage',
  'rogue.honest',
  'rogue.late',
  'rogue.readyAgain',
  'rogue.silent',
  'rogue.steal',
  'stock.refused',
  'stock.reply',
];

const CELL_STATES = [
  'queue idle',
  'queue inFlight',
  'worker idle',
  'worker busy',
  'client idle',
  'client inFlight',
];

export const pirateSuite: Suite<PiratePlan> = {
  name: 'pirate',
  plans: piratePlans,
  run: runPiratePlan,
  probes: PROBES,
  cells: [
    ...cellsOf(COMMON_FAULTS, CELL_STATES),
    ...cellsOf(['crash', 'pause', 'drain', 'stop'], ['queue queued']),
  ],
};
