/**
 * The states of one server of a pair and all that leads from one to another: one table.
 *
 * The machine decides what has happened (a trigger) and what an action does; which of both belong
 * together stands here alone, and the diagram in the docs is drawn from it. A trigger that a state does
 * not name changes nothing there.
 */

export const PHASES = ['waiting', 'passive', 'preparing', 'claiming', 'active', 'closed'] as const;

/**
 * `waiting`: has not served, nor heard its peer. `preparing`: its next epoch is being stored. `claiming`:
 * it asks the voters for a lease. `active`: it serves.
 */
export type Phase = (typeof PHASES)[number];

/** Who decides: clients, who vote by coming here, or voters, who grant leases. */
export type Mode = 'vote' | 'witness' | 'stock';

export const TRIGGERS = [
  /** The peer was heard, whatever it says. */
  'peerHeard',
  /** The peer was heard to serve, and no higher epoch than its own is known. */
  'peerActive',
  /** All that has to be true before it takes over is true. */
  'elected',
  /** The epoch is durable. */
  'stored',
  'storeFailed',
  /** A voter said yes, and its lease is not over. */
  'granted',
  /** A voter knows an epoch that is as high. */
  'outdated',
  /** No voter says a word. */
  'unanswered',
  /** It grants the lease to its peer, which goes first. */
  'yielded',
  /** Somebody showed an epoch that is higher than its own. */
  'higherEpoch',
  'leaseEnded',
  'stopped',
  'resigned',
  'closed',
] as const;

export type Trigger = (typeof TRIGGERS)[number];

/**
 * `prepare`: choose an epoch and store it. `claim`: ask the voters. `serve`: become active. `renew`: the
 * lease is longer. `stepDown`: serve no more, and say why. `giveUp`: it had not served yet, so nobody has to
 * be told. `leave`: say goodbye. `note`: no more than the state changes.
 */
export type Action =
  'note' | 'prepare' | 'claim' | 'serve' | 'renew' | 'stepDown' | 'giveUp' | 'leave';

export interface Transition {
  readonly to: Phase;
  readonly action: Action;
  /** Only in these modes; absent: in all. */
  readonly modes?: readonly Mode[];
}

type Row = Readonly<Partial<Record<Trigger, readonly Transition[]>>>;

const idle: Row = {
  elected: [{ to: 'preparing', action: 'prepare' }],
  closed: [{ to: 'closed', action: 'leave' }],
};

/** What ends an attempt to take over, before it came to anything. */
const attempting: Row = {
  peerActive: [{ to: 'passive', action: 'giveUp' }],
  yielded: [{ to: 'passive', action: 'giveUp', modes: ['witness'] }],
  higherEpoch: [{ to: 'passive', action: 'giveUp' }],
  resigned: [{ to: 'passive', action: 'giveUp' }],
  closed: [{ to: 'closed', action: 'leave' }],
};

/** State × trigger. */
export const TRANSITIONS: Readonly<Record<Phase, Row>> = {
  waiting: { peerHeard: [{ to: 'passive', action: 'note' }], ...idle },
  passive: idle,
  preparing: {
    stored: [
      { to: 'active', action: 'serve', modes: ['vote', 'stock'] },
      { to: 'claiming', action: 'claim', modes: ['witness'] },
    ],
    storeFailed: [{ to: 'passive', action: 'giveUp' }],
    ...attempting,
  },
  claiming: {
    granted: [{ to: 'active', action: 'serve', modes: ['witness'] }],
    outdated: [{ to: 'preparing', action: 'prepare', modes: ['witness'] }],
    unanswered: [{ to: 'passive', action: 'giveUp', modes: ['witness'] }],
    ...attempting,
  },
  active: {
    granted: [{ to: 'active', action: 'renew', modes: ['witness'] }],
    peerActive: [{ to: 'passive', action: 'stepDown', modes: ['stock'] }],
    higherEpoch: [{ to: 'passive', action: 'stepDown' }],
    leaseEnded: [{ to: 'passive', action: 'stepDown', modes: ['witness'] }],
    stopped: [{ to: 'passive', action: 'stepDown', modes: ['vote', 'stock'] }],
    resigned: [{ to: 'passive', action: 'stepDown' }],
    closed: [{ to: 'closed', action: 'leave' }],
  },
  closed: {},
};

/** Where `trigger` leads to from `phase`; undefined if it changes nothing there. */
export function transitionOf(phase: Phase, trigger: Trigger, mode: Mode): Transition | undefined {
  return TRANSITIONS[phase][trigger]?.find(({ modes }) => modes?.includes(mode) ?? true);
}
