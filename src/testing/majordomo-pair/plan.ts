/**
 * A plan of the suite of a Majordomo pair: what the plan of one broker says, and beside it who decides
 * which of two brokers serves, and what can go wrong between them.
 */
import type { PlannedFault } from '../faults.ts';
import type { MajordomoPlan } from '../majordomo/plan.ts';

/** When operations and faults may begin. */
export const CHAOS_ENDS = 2100;

/** The longest pause of one process, as somebody who types Ctrl-Z makes it. */
export const LONG_PAUSE = 5000;

export const SERVERS = ['broker-0', 'broker-1'] as const;
export type Server = (typeof SERVERS)[number];

export const WITNESS = 'witness';

/**
 * What befalls a pair. `crashBoth`: both brokers die, and come back at different times. `isolate`: nobody
 * hears the target any more; `isolateOneWay`: or it hears nobody. `storeFails`: the next writes of its
 * epochs fail; `storeStalls`: they take very long. `twoReigns`: the brokers are cut off from each other, and
 * a client goes to the passive one; then it comes back, or a worker hears both. `crashCopying`, `pauseCopying` and `partitionCopying`
 * wait until the passive broker copies what the active one has.
 */
export const FAULT_KINDS = [
  'crash',
  'crash',
  'crash',
  'crashAfterEffects',
  'crashBoth',
  'crashCopying',
  'pause',
  'pause',
  'longPause',
  'pauseCopying',
  'pauseBeforeSend',
  'stall',
  'stopReading',
  'partition',
  'partition',
  'partition',
  'partitionCopying',
  'oneWayPartition',
  'isolate',
  'isolateOneWay',
  'twoReigns',
  'reset',
  'halfOpenReset',
  'drop',
  'slowLink',
  'clockRate',
  'drain',
  'stop',
  'storeFails',
  'storeStalls',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Who a fault can hit; the brokers more often than others. Without a witness, `broker-0` instead of it. */
export const TARGETS = [
  'broker-0',
  'broker-0',
  'broker-0',
  'broker-1',
  'broker-1',
  'broker-1',
  'witness',
  'worker-0',
  'worker-1',
  'worker-2',
  'client-0',
  'client-1',
] as const;
export type Target = (typeof TARGETS)[number];

export type PairFault = PlannedFault<FaultKind, Target>;

/** Who is healed in the end, and must suffice. The rest stays broken for ever. */
export const CORES = ['all', 'brokers', 'broker-0', 'broker-1'] as const;
export type Core = (typeof CORES)[number];

export interface PairPlan extends MajordomoPlan<PairFault> {
  readonly pair: {
    /** A third process says who serves; otherwise clients do, by asking. */
    readonly witness: boolean;
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly noticeGrace: number;
    readonly lease: number;
    /** Milliseconds that a write to a store of epochs takes, on average. */
    readonly storeTime: number;
    readonly core: Core;
  };
}
