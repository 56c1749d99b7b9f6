/** The Titanic suite: its plans, and what must have happened for it to count. */
import { cellsOf } from '../faults.ts';
import type { Suite } from '../suite.ts';
import { BROKER_FAULTS, TITANIC_FAULTS, type TitanicPlan } from './plan.ts';
import { titanicPlans } from './plans.ts';
import { runTitanicPlan } from './run.ts';

/** Each must have happened: a fault that never bites, or a rule that never applies, tests nothing. */
const PROBES = [
  // the process and the channel
  'crashed',
  'crashedAfterEffects',
  'dropped',
  'lateTimer',
  'lostAtClose',
  'lostAtCrash',
  'lostInFlight',
  'pausedBeforeSend',
  'pausedDelivery',
  'pausedTimer',
  'unreadDelivery',
  // the disk
  'disk.ballastHeld',
  'disk.ballastReleased',
  'disk.bitFlipped',
  'disk.failedCommitKept',
  'disk.failedCommitLost',
  'disk.failedFsync',
  'disk.failedReopen',
  'disk.fullRefusal',
  'disk.ioError',
  'disk.recordLost',
  'disk.tailLost',
  'disk.tornCommitKept',
  'disk.tornCommitLost',
  // the storage
  'storage.closed',
  'storage.failed',
  'storage.full',
  'storage.open',
  // services
  'broker.absent',
  'broker.failed',
  'broker.joined',
  'broker.lost',
  'broker.poison',
  'broker.replied',
  // what becomes of requests
  'titanic.abandon',
  'titanic.attemptFailed.failed',
  'titanic.attemptFailed.lost',
  'titanic.attemptFailed.poison',
  'titanic.attemptFailed.unstarted',
  'titanic.attemptTimeout',
  'titanic.closedWhileRead',
  'titanic.deadLetter.ERR_ATTEMPTS_EXHAUSTED',
  'titanic.deadLetter.ERR_HANDLER_FAILED',
  'titanic.deadLetter.ERR_REQUEST_EXPIRED',
  'titanic.discarded.age',
  'titanic.discarded.bytes',
  'titanic.discarded.count',
  'titanic.drained',
  'titanic.duplicateJoined',
  'titanic.pollWoken',
  'titanic.quarantined',
  'titanic.recordUnreadable',
  'titanic.requestResubmitted',
  'titanic.serviceAbsent',
  'titanic.serviceFound',
  'titanic.unreadable',
  // what clients are told
  'titanic.answer.ERR_ATTEMPTS_EXHAUSTED',
  'titanic.answer.ERR_HANDLER_FAILED',
  'titanic.answer.ERR_ID_IN_USE',
  'titanic.answer.ERR_INVALID_ARGUMENT',
  'titanic.answer.ERR_QUEUE_FULL',
  'titanic.answer.ERR_REQUEST_EXPIRED',
  'titanic.answer.ERR_STORAGE_CORRUPT',
  'titanic.answer.ERR_STORAGE_FAILED',
  'titanic.answer.ERR_STORAGE_FULL',
  'titanic.answer.ERR_UNKNOWN_REQUEST',
  'titanic.closedWhileFull',
  'titanic.refused.ERR_STORAGE_CORRUPT',
  'titanic.titanic.fetch.300',
];

export const titanicSuite: Suite<TitanicPlan> = {
  name: 'titanic',
  plans: titanicPlans,
  run: runTitanicPlan,
  probes: PROBES,
  cells: [
    ...cellsOf(TITANIC_FAULTS, ['titanic idle', 'titanic pending', 'titanic writing']),
    ...cellsOf(BROKER_FAULTS, ['broker idle', 'broker busy']),
  ],
};
