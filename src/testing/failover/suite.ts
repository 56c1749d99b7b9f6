/** The failover suite: its plans, and what must have happened for it to count. */
import type { Frames } from '../../core/machine.ts';
import { cellsOf, COMMON_FAULTS } from '../faults.ts';
import type { Suite } from '../suite.ts';
import type { FailoverPlan } from './plan.ts';
import { failoverPlans } from './plans.ts';
import { runFailoverPlan } from './run.ts';

/** Each must have happened: a fault that never bites, or a rule that never applies, tests nothing. */
const PROBES = [
  // the network, the processes and the stores
  'full',
  'lostInFlight',
  'lostAtReset',
  'lostAtCrash',
  'dropped',
  'heldByPartition',
  'noticeDelivered',
  'reset',
  'reconnected',
  'pausedDelivery',
  'unreadDelivery',
  'pausedTimer',
  'pausedBeforeSend',
  'lateTimer',
  'crashedAfterEffects',
  'lostUnsubscribed',
  'store.failed',
  'store.tornKept',
  'store.tornLost',
  'deaf',
  // the servers
  'server.abandoned',
  'server.becamePassive.higherEpoch',
  'server.becamePassive.leaseEnded',
  'server.becamePassive.peerActive',
  'server.becamePassive.resigned',
  'server.becamePassive.stopped',
  'server.epochImplausible',
  'server.followed',
  'server.ignored.otherPair',
  'server.ignored.otherRole',
  'server.ignored.stale',
  'server.malformed',
  'server.peerLost.gone',
  'server.peerLost.leaving',
  'server.peerLost.silent',
  'server.servesAlone',
  'server.storeFailed',
  'server.takeoverBegun',
  'server.takeoverFailed.held',
  'server.takeoverFailed.notSynchronised',
  'server.takeoverFailed.starting',
  'server.takeoverFailed.storeFailed',
  'server.wasStopped',
  'server.witnessLost',
  'order.handOver',
  'order.needed',
  // the witness
  'witness.leaseEnded',
  'witness.refused.held',
  'witness.refused.starting',
  'witness.refused.unsynchronised',
  'witness.released',
  'witness.storeFailed',
  // the clients and the rogue
  'client.redirected',
  'client.refused',
  'client.refusedLower',
  'rogue.garbage',
  'rogue.implausible',
  'rogue.otherPair',
  'rogue.ownRole',
  'rogue.replay',
];

const decoder = new TextDecoder();

/** The words of a pair are JSON already, and what clients say is text. */
function showWords(frames: Frames): string {
  const texts = frames.map((frame) => decoder.decode(frame));
  return texts[0] === 'UNSXBS01' ? texts.slice(1).join(' ').replaceAll('"', '') : texts.join(' ');
}

export const failoverSuite: Suite<FailoverPlan> = {
  name: 'failover',
  plans: failoverPlans,
  run: runFailoverPlan,
  probes: PROBES,
  cells: [
    ...cellsOf(
      [...COMMON_FAULTS, 'bothRestart', 'storeFails', 'stall'],
      ['server active', 'server passive'],
    ),
    ...cellsOf(['crash', 'pause', 'partition', 'oneWayPartition'], ['witness promised']),
  ],
  format: showWords,
};
