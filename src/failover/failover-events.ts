/** What goes into the machines of a pair and of its witness, and what comes out of them. */
import type { Epoch, ElectionEvent, Standing, StepDownReason } from '../core/election.ts';
import type { Address } from '../core/machine.ts';
import type { Life, PeerState, RefusalReason, Role } from './commands.ts';

/** `pair`: bound, where the peer comes to. `peer`: connected to it. `witness`: connected to that. */
export type PairPort = 'pair' | 'peer' | 'witness';

export type WitnessPort = 'claims';

/** What a server of a pair must never forget. Written before it is acted upon. */
export interface PairRecord {
  readonly version: 1;
  readonly pair: string;
  readonly role: Role;
  /** The life that is now: one more than what was read. */
  readonly life: Life;
  /** The highest epoch that it used or saw. */
  readonly epoch: Epoch;
  /** The highest under which its peer is known to have served since it served last itself. */
  readonly peerServed: Epoch;
}

/** What a witness must never forget of a pair. */
export interface WitnessRecord {
  readonly pair: string;
  /** The highest epoch granted, and to whom. */
  readonly epoch: Epoch;
  readonly role: Role;
  /** The other one may only be granted anything if it is told to. */
  readonly alone: boolean;
  /** The longest lease given, in milliseconds: after a restart none is given for so long. */
  readonly lease: number;
}

export type PairCall =
  | { readonly type: 'stand'; readonly standing: Standing }
  | { readonly type: 'seen'; readonly epoch: Epoch }
  | { readonly type: 'asked' }
  /** A person says: take over if the other is not heard, whatever is lost by that. */
  | { readonly type: 'promote' }
  /** Serve no more; the peer may. */
  | { readonly type: 'resign' }
  /** Says goodbye and is `drained`. */
  | { readonly type: 'drain' }
  | { readonly type: 'stop' };

export type WitnessCall = { readonly type: 'drain' } | { readonly type: 'stop' };

/** Why a takeover came to nothing. */
export type TakeoverFailure =
  /** The epoch could not be stored. */
  | 'storeFailed'
  /** A voter said no. */
  | RefusalReason
  /** The other has done things that this one has not heard of: `promote()` overrules that. */
  | 'notSynchronised';

export type PairEvent =
  | ElectionEvent
  /** The peer was heard, after silence or for the first time. */
  | { readonly type: 'peerFound'; readonly state: PeerState; readonly epoch: Epoch }
  /** The peer is silent for interval × liveness, or its link broke and it did not come back in time. */
  | { readonly type: 'peerLost'; readonly reason: 'silent' | 'gone' | 'leaving' }
  /** Nothing more is known of the witness, or it is heard again. */
  | { readonly type: 'witnessLost' }
  | { readonly type: 'witnessFound' }
  /** It would serve, and may not. */
  | { readonly type: 'takeoverFailed'; readonly reason: TakeoverFailure }
  /** A client's vote is what makes it begin. */
  | { readonly type: 'takeoverBegun'; readonly epoch: Epoch }
  /** It was stopped for longer than the peer waits: it does not trust itself. */
  | { readonly type: 'wasStopped'; readonly milliseconds: number }
  /** Somebody showed an epoch that is too far ahead to be true. */
  | { readonly type: 'epochImplausible'; readonly epoch: Epoch }
  /** A message was ignored: `stale` came late, `otherPair` names another pair, `otherRole` claims to be us. */
  | {
      readonly type: 'ignored';
      readonly reason: 'stale' | 'otherPair' | 'otherRole' | 'unexpected';
    }
  | { readonly type: 'malformed'; readonly reason: string }
  | { readonly type: 'storeFailed'; readonly message: string }
  | { readonly type: 'drained' };

export type WitnessEvent =
  | { readonly type: 'granted'; readonly pair: string; readonly role: Role; readonly epoch: Epoch }
  | {
      readonly type: 'refused';
      readonly pair: string;
      readonly role: Role;
      readonly reason: RefusalReason;
    }
  | { readonly type: 'released'; readonly pair: string; readonly role: Role }
  /** A lease ended without being renewed. */
  | { readonly type: 'leaseEnded'; readonly pair: string; readonly role: Role }
  /** It knows of as many pairs as it may, and this is another. */
  | { readonly type: 'pairRefused'; readonly from: Address }
  | { readonly type: 'ignored'; readonly reason: 'stale' }
  | { readonly type: 'malformed'; readonly from: Address; readonly reason: string }
  | { readonly type: 'storeFailed'; readonly message: string }
  | { readonly type: 'drained' };

/** What one server of a pair is and knows, for `status()`. */
export interface PairStatus {
  readonly pair: string;
  readonly role: Role;
  readonly state: 'waiting' | 'passive' | 'preparing' | 'claiming' | 'active' | 'closed';
  /** 0 unless active. */
  readonly epoch: Epoch;
  readonly highestEpoch: Epoch;
  readonly life: Life;
  readonly peer: 'unheard' | 'lost' | PeerState;
  readonly witness: 'none' | 'lost' | 'heard';
  /** Milliseconds that it may serve if nobody renews its lease; `Infinity` where clients vote. */
  readonly leaseLeft: number;
  readonly takeovers: number;
  readonly stepDowns: Readonly<Partial<Record<StepDownReason, number>>>;
  readonly events: Readonly<Partial<Record<PairEvent['type'], number>>>;
}
