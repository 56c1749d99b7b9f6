/**
 * What the two servers of a pair, and their witness, say to each other.
 *
 * Every command names the pair, so that nobody listens to another one's; who it is about, and in which
 * life; and a number that ascends within that life, so that what is late is known to be late.
 */
import type { Epoch } from '../core/election.ts';

/** Configuration: which of the two. It never changes; the state does. */
export type Role = 'primary' | 'backup';

/**
 * How often a server was started with its record, this start included; stored before anything is said. Of
 * two messages of one server, the one of the later life is later.
 */
export type Life = number;

/** `waiting`: has not served, nor heard its peer. `leaving`: closes, and is gone with this word. */
export type PeerState = 'waiting' | 'passive' | 'active' | 'leaving';

/** Who says a thing. */
export interface Speaker {
  /** The name of the pair, 1 to 255 bytes of text. */
  readonly pair: string;
  readonly role: Role;
  readonly life: Life;
}

/** To the peer, each heartbeat and whenever it changes: this is how it is with me. */
export interface StateCommand extends Speaker {
  readonly type: 'state';
  /** Counts what this life has said from 1. */
  readonly beat: number;
  readonly state: PeerState;
  /** Of an active one its own; of others the highest that they know. */
  readonly epoch: Epoch;
  /** The epoch of the state that it has; absent: it has none to lose. See `Standing.holds`. */
  readonly holds?: Epoch | undefined;
  /** It serves alone, or did last and still has what it did: no other one has that. See `Standing.alone`. */
  readonly alone?: boolean | undefined;
  /** The life of the other one that it heard last; absent: none. What is older than that life says less. */
  readonly heard?: Life | undefined;
  /** It serves, or would, here; '' if it did not say. */
  readonly endpoint: string;
}

/** To a voter (the witness, and the peer): let me serve, or go on serving, for one lease. */
export interface ClaimCommand extends Speaker {
  readonly type: 'claim';
  /** Counts the claims of this life from 1. */
  readonly number: number;
  readonly epoch: Epoch;
  /** Milliseconds, by the voter's clock. */
  readonly lease: number;
  /** It has all that the last active one had: see `Standing.holds`. */
  readonly synchronised: boolean;
  /** It serves alone: see `Standing.alone`. */
  readonly alone: boolean;
  /** A person said that it shall serve, whatever is lost by that. */
  readonly forced: boolean;
}

/** A voter's yes: for one lease from now on it says so to nobody else. */
export interface GrantCommand extends Speaker {
  /** Pair, role and life are those of the one who claimed. */
  readonly type: 'grant';
  readonly number: number;
  readonly epoch: Epoch;
}

/**
 * A voter's no. `held`: another has a lease, or the voter itself serves or wants to. `starting`: the voter
 * may have said yes to somebody before it was started again. `outdated`: the epoch is not higher than all
 * before. `unsynchronised`: the last active one has done things that this one has not heard of.
 */
export type RefusalReason = 'held' | 'starting' | 'outdated' | 'unsynchronised';

export interface RefusalCommand extends Speaker {
  /** Pair, role and life are those of the one who claimed. */
  readonly type: 'refusal';
  readonly number: number;
  readonly reason: RefusalReason;
  /** The highest that the voter knows. */
  readonly epoch: Epoch;
  /** Milliseconds after which the same claim may be granted; 0 if time changes nothing. */
  readonly timeLeft: number;
}

/** To the voters: I serve no more, my lease is over. */
export interface ReleaseCommand extends Speaker {
  readonly type: 'release';
  readonly epoch: Epoch;
}

/** All that a stock peer says, on PUB/SUB: neither name nor epoch. */
export interface StockStateCommand {
  readonly type: 'stockState';
  /** 1 primary, waiting; 2 backup, waiting; 3 active; 4 passive. */
  readonly digit: 1 | 2 | 3 | 4;
}

/** What a voter hears, and what it says. */
export type VoterInput = ClaimCommand | ReleaseCommand;
export type VoterOutput = GrantCommand | RefusalCommand;

/** What one of the pair hears and says, on whichever of its ports. */
export type PairInput = StateCommand | VoterInput | VoterOutput | StockStateCommand;
export type PairOutput = PairInput;
