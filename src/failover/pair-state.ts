/**
 * All that one server of a pair knows, as one plain object: it can be copied, and a machine can go on
 * from the copy. What each part of it means stands in the file that changes it.
 */
import type { Epoch } from '../core/election.ts';
import type { HeartbeatSettings } from '../core/heartbeat.ts';
import type { Instant } from '../core/machine.ts';
import { newClaims, type ClaimsState } from './claims.ts';
import type { ClaimCommand, Life, Role } from './commands.ts';
import type { LeaseSettings } from './lease.ts';
import type { PairRecord } from './failover-events.ts';
import type { PairProtocol } from './options.ts';
import { newPeer, type PeerState } from './peer-watch.ts';
import { newKept, type KeptRecord } from './record-keeper.ts';
import type { Mode, Phase } from './transitions.ts';
import { newVoter, type VoterState } from './voter.ts';

/** `BinaryStarOptions`, completed. */
export interface PairSettings extends HeartbeatSettings, LeaseSettings {
  readonly role: Role;
  /** The name of the pair. */
  readonly pair: string;
  /** Where the other one is bound. */
  readonly peer: string;
  /** Where the witness is bound; without one, clients vote. */
  readonly witness?: string | undefined;
  readonly protocol: PairProtocol;
  /** Milliseconds between the notice that a link broke and what follows from it. */
  readonly noticeGrace: number;
}

export interface PairState {
  phase: Phase;
  /** Time is known from the first turn on. */
  isBegun: boolean;
  /** The epoch that it serves under, or is about to; 0: none. */
  epoch: Epoch;
  /** Stored in this life, and nobody ever saw it: good for the next takeover. */
  unused: Epoch;
  /** When it says how it is the next time; Infinity, until it may speak. */
  beatAt: Instant;
  beat: number;
  /** What it said last, so that changes are said at once. */
  said: string;
  readonly standing: { endpoint: string; holds: number; alone: boolean };
  /** The highest epoch under which the peer is known to have served since this one did; 0: under none. */
  peerServed: Epoch;
  /** It is being closed, and waits no longer than this for room on its lines; Infinity: it is not. */
  leavesAt: Instant;
  /** A client's vote counts until then. */
  votedAt: Instant;
  /** A person said: take over. */
  isPromoted: boolean;
  /** It has resigned, or cannot store: until then the other one goes first. */
  yieldsAt: Instant;
  /** What was queued for it while it was not there has been heard by then. */
  listensAt: Instant;
  /** With a witness: what its last life promised is over by then. */
  promisesOverAt: Instant;
  /** With a witness: until then it leaves a free seat to the one who goes first. */
  patienceAt: Instant;
  /** When it takes over if nothing happens. */
  takeoverAt: Instant;
  /** What was told of a takeover that came to nothing, and until when it is not repeated. */
  told: string;
  toldAt: Instant;
  /** Who serves, as far as was told. */
  followed: { isThere: boolean; epoch: Epoch; endpoint: string };
  /** The peer's claim that waits for its epoch to be stored. */
  asking: { from: string; claim: ClaimCommand } | undefined;
  /** When the line to the peer is opened anew; Infinity while it is heard. */
  peerRenewAt: Instant;
  /** When that to the witness is; Infinity while nothing waits there for an answer. */
  witnessRenewAt: Instant;
  isWitnessHeard: boolean;
  /** When nothing is known of the witness any more; Infinity: no word is missing. */
  witnessSilentAt: Instant;
  readonly life: Life;
  readonly peer: PeerState;
  readonly kept: KeptRecord;
  readonly voter: VoterState;
  readonly claims: ClaimsState;
}

/** How a server begins that has this record. */
export function newPairState(record: PairRecord | undefined): PairState {
  return {
    phase: 'waiting',
    isBegun: false,
    epoch: 0,
    unused: 0,
    beatAt: Infinity,
    beat: 0,
    said: '',
    standing: { endpoint: '', holds: Infinity, alone: false },
    peerServed: record?.peerServed ?? 0,
    leavesAt: Infinity,
    votedAt: -Infinity,
    isPromoted: false,
    yieldsAt: -Infinity,
    listensAt: -Infinity,
    promisesOverAt: -Infinity,
    patienceAt: Infinity,
    takeoverAt: Infinity,
    told: '',
    toldAt: -Infinity,
    followed: { isThere: false, epoch: 0, endpoint: '' },
    asking: undefined,
    peerRenewAt: Infinity,
    witnessRenewAt: Infinity,
    isWitnessHeard: false,
    witnessSilentAt: Infinity,
    life: (record?.life ?? 0) + 1,
    peer: newPeer(),
    kept: newKept(),
    voter: newVoter(record?.epoch),
    claims: newClaims(),
  };
}

/** Who decides in this pair. */
export function modeOf({ protocol, witness }: PairSettings): Mode {
  if (protocol === 'stock') return 'stock';
  return witness === undefined ? 'vote' : 'witness';
}
