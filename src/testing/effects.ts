/**
 * What faults really did, counted: a suite demands effects, not injections.
 *
 * Messages are conserved: each one that a socket accepted (`sent`) ends in exactly one of
 * `delivered` and the losses, or is still on its way (`SimNetwork.inTransit`).
 */

/** Counters of one simulated world, as one plain object. */
export interface Effects {
  /** Messages that a socket accepted; of what is published, one for each subscriber, and one for none. */
  sent: number;
  /** Messages handed to their receiver. */
  delivered: number;

  /** Sends refused: no such peer. */
  unroutable: number;
  /** Sends refused: the peer's high-water mark is reached. */
  full: number;

  /** Lost on the wire: the connection broke, or nobody was there any more to receive it. */
  lostInFlight: number;
  /** Lost in a ROUTER before it was written, because the connection to that peer broke. */
  lostAtReset: number;
  /** Lost with a connection that another one with the same routing id replaced. */
  lostAtHandover: number;
  /** Lost in a closed socket: not sent within its linger time, or not read any more. */
  lostAtClose: number;
  /** Lost in a crashed process: accepted but not written, or received but not read. */
  lostAtCrash: number;
  /** Lost silently on a live connection. */
  dropped: number;
  /** Published while nobody subscribed. */
  lostUnsubscribed: number;
  /** Published, but one subscriber had no room for it. */
  lostAtHighWater: number;

  /** Arrivals that a partition held back. */
  heldByPartition: number;
  /** Messages of a closed socket that came after the first one of its successor. */
  ghostDelivered: number;
  /** Disconnect notices handed over. */
  noticeDelivered: number;
  /** Notices handed over to a ROUTER that a peer has come on a new connection. */
  linkNoticeDelivered: number;
  /** Connections that replaced another one with the same routing id. */
  handover: number;
  /** Connections broken by a reset. */
  reset: number;
  /** Connections made by a DEALER that had one before. */
  reconnected: number;

  /** Arrivals held back because their receiver was paused. */
  pausedDelivery: number;
  /** Arrivals held back because their receiver did not read. */
  unreadDelivery: number;
  /** Timers and calls held back because their process was paused. */
  pausedTimer: number;
  /** Pauses that began between a decision and its sends. */
  pausedBeforeSend: number;
  /** Timers that fired later than they were set. */
  lateTimer: number;
  /** Processes that crashed. */
  crashed: number;
  /** Of these, those that crashed after a given number of effects. */
  crashedAfterEffects: number;
}

/** The counters that say that an accepted message will never be delivered. */
export const LOSSES = [
  'lostInFlight',
  'lostAtReset',
  'lostAtHandover',
  'lostAtClose',
  'lostAtCrash',
  'dropped',
  'lostUnsubscribed',
  'lostAtHighWater',
] as const satisfies readonly (keyof Effects)[];

/** Why an accepted message will never be delivered. */
export type Loss = (typeof LOSSES)[number];

/** Counters at zero. */
export function noEffects(): Effects {
  return {
    sent: 0,
    delivered: 0,
    unroutable: 0,
    full: 0,
    lostInFlight: 0,
    lostAtReset: 0,
    lostAtHandover: 0,
    lostAtClose: 0,
    lostAtCrash: 0,
    dropped: 0,
    lostUnsubscribed: 0,
    lostAtHighWater: 0,
    heldByPartition: 0,
    ghostDelivered: 0,
    noticeDelivered: 0,
    linkNoticeDelivered: 0,
    handover: 0,
    reset: 0,
    reconnected: 0,
    pausedDelivery: 0,
    unreadDelivery: 0,
    pausedTimer: 0,
    pausedBeforeSend: 0,
    lateTimer: 0,
    crashed: 0,
    crashedAfterEffects: 0,
  };
}

/** How many accepted messages will never be delivered. */
export function countLost(effects: Effects): number {
  let lost = 0;
  for (const loss of LOSSES) lost += effects[loss];
  return lost;
}

/** Adds the counters of one world to a suite's total. */
export function addEffects(total: Effects, effects: Effects): void {
  for (const name in effects) if (isEffect(name)) total[name] += effects[name];
}

const ZERO = noEffects();

function isEffect(name: string): name is keyof Effects {
  return name in ZERO;
}
