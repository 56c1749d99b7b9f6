/**
 * What Majordomo peers say to each other, independent of how a dialect writes it.
 *
 * The first group of commands is in every dialect; fields that are optional there exist in express
 * alone, as does the whole second group. `protocol.ts` turns commands of stock MDP into frames and
 * back, `express-codec.ts` those of express. A machine passes `dialect` on, so that each peer is
 * answered in its own.
 */
import type { Epoch } from '../../core/election.ts';
import type { Failure } from '../../core/errors.ts';
import { keepFrames } from '../../core/frames.ts';
import type { Address, Frames } from '../../core/machine.ts';
import { OWNED_FRAME } from '../../core/pack-format.ts';

/** 7/MDP is 0.1, 18/MDP is 0.2; express is ours, see `docs/express.md`. */
export type Dialect = 'mdp0.1' | 'mdp0.2' | 'express';

/** A dialect that other implementations speak. */
export type StockDialect = Exclude<Dialect, 'express'>;

/** Express: names a request among those of one client session; ascending, never used twice. */
export type RequestNumber = number;

/** Express: names a dispatch, unique in one broker's life; ascending, never used twice. */
export type DispatchNumber = number;

/** Express: 16 random bytes as latin1 that a peer keeps over reconnects, so that it can reattach. */
export type SessionId = string;

/** Client to broker: do this. */
export interface RequestCommand {
  readonly type: 'request';
  readonly dialect: Dialect;
  readonly service: string;
  readonly body: Frames;
  readonly number?: RequestNumber | undefined;
  /** Milliseconds until nobody waits any more; absent: no deadline. */
  readonly timeLeft?: number | undefined;
  /** 0 (absent) to 9: each step is worth `priorityAgeing` milliseconds of waiting. */
  readonly priority?: number | undefined;
  /** Idempotency key, 1 to 255 bytes of UTF-8, within the service. */
  readonly key?: string | undefined;
  /** Metadata, opaque to the broker. */
  readonly headers?: Uint8Array | undefined;
  /** Bytes of partial replies that may be under way; absent: one whole reply is wanted. */
  readonly window?: number | undefined;
  /** Refuse at once if no worker offers the service. */
  readonly failFast?: boolean | undefined;
  /** One reply from each worker of the service, each as a partial. */
  readonly broadcast?: boolean | undefined;
}

/** Broker to client: a part of the reply, or with `final` the end of it. */
export interface ReplyCommand {
  readonly type: 'reply';
  readonly dialect: Dialect;
  /** Empty in express, where `number` says it all. */
  readonly service: string;
  readonly body: Frames;
  readonly final: boolean;
  readonly number?: RequestNumber | undefined;
  /** Counts the parts of one reply from 0; the final one has the number of parts before it. */
  readonly sequence?: number | undefined;
  /** Instead of a body. In a partial reply: what became of one worker of a broadcast. */
  readonly failure?: Failure | undefined;
}

/** Worker to broker: I offer this service. In express also: my link broke, here I am again. */
export interface ReadyCommand {
  readonly type: 'ready';
  readonly dialect: Dialect;
  readonly service: string;
  readonly session?: SessionId | undefined;
  /** How many requests it takes at a time. */
  readonly credit?: number | undefined;
  readonly heartbeatInterval?: number | undefined;
  readonly heartbeatLiveness?: number | undefined;
  /** What it is working on, in ascending order. */
  readonly held?: readonly DispatchNumber[] | undefined;
  /** The highest epoch that it has seen; absent: none. */
  readonly epoch?: Epoch | undefined;
  /** The same in all sessions of one worker, with whichever broker; absent: it has but one. */
  readonly worker?: SessionId | undefined;
}

/** Broker to worker (the RFC's worker REQUEST): do this. The envelope comes back with the result. */
export interface DispatchCommand {
  readonly type: 'dispatch';
  readonly dialect: Dialect;
  /** Opaque to the worker. Our broker writes one frame, the dispatch tag. Empty in express. */
  readonly envelope: Frames;
  readonly body: Frames;
  readonly number?: DispatchNumber | undefined;
  /** How many workers it was given to, this one included. */
  readonly attempt?: number | undefined;
  readonly timeLeft?: number | undefined;
  readonly key?: string | undefined;
  readonly headers?: Uint8Array | undefined;
  /** Bytes of partial results that may be under way before `credit`; absent: without a limit. */
  readonly window?: number | undefined;
}

/** Worker to broker: a part of the result, or with `final` the end of it. */
export interface ResultCommand {
  readonly type: 'result';
  readonly dialect: Dialect;
  /** Empty in express. */
  readonly envelope: Frames;
  readonly body: Frames;
  readonly final: boolean;
  readonly number?: DispatchNumber | undefined;
  readonly sequence?: number | undefined;
  readonly failure?: Failure | undefined;
}

/**
 * Between broker and worker, in express also client, both ways: I am alive. In express it says what
 * is under way, from which both sides learn what was lost on the link: see `core/reconciliation.ts`.
 */
export interface HeartbeatCommand {
  readonly type: 'heartbeat';
  readonly dialect: Dialect;
  /** Counts the heartbeats of this sender on this session from 1. */
  readonly beat?: number | undefined;
  /** The last `beat` heard from the receiver, 0 if none was. */
  readonly echo?: number | undefined;
  /** The numbers of all that the sender has under way with the receiver, in ascending order. */
  readonly held?: readonly number[] | undefined;
}

/** Between broker and worker, in express also client, both ways: this session is over. */
export interface DisconnectCommand {
  readonly type: 'disconnect';
  readonly dialect: Dialect;
}

// Express alone

/** Client to broker: I begin, or after a broken link go on with, this session. */
export interface HelloCommand {
  readonly type: 'hello';
  readonly dialect: 'express';
  readonly session: SessionId;
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
  /** The highest epoch that it has seen; absent: none. */
  readonly epoch?: Epoch | undefined;
}

/** Broker to client or worker, the answer to HELLO and READY. The slower of both settings wins. */
export interface WelcomeCommand {
  readonly type: 'welcome';
  readonly dialect: 'express';
  /** False: the broker did not know the session, and has nothing of it. */
  readonly resumed: boolean;
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
  /**
   * The epoch that the broker serves under: all that it says in this session it says under it. Of one that
   * stands by, the highest that it knows. Absent: a broker without failover.
   */
  readonly epoch?: Epoch | undefined;
  /** To a worker: this broker is the passive one; it gives no work, and the session is kept for then. */
  readonly standby?: boolean | undefined;
}

/** Client to broker: nobody waits for this request. Broker to worker: nor for this dispatch. */
export interface CancelCommand {
  readonly type: 'cancel';
  readonly dialect: 'express';
  readonly number: number;
}

/**
 * Client to broker to worker: so much of a streamed reply has been read. All of it so far, so that one
 * that was lost is made good by the next.
 */
export interface CreditCommand {
  readonly type: 'credit';
  readonly dialect: 'express';
  readonly number: number;
  /** Bytes of the parts that the reader has taken. */
  readonly bytes: number;
}

/** Worker to broker: from now on I take so many requests at a time; 0: I am draining. */
export interface CapacityCommand {
  readonly type: 'capacity';
  readonly dialect: 'express';
  readonly credit: number;
}

/** Worker to broker: I have not started this, give it to another. */
export interface HandBackCommand {
  readonly type: 'handBack';
  readonly dialect: 'express';
  readonly number: DispatchNumber;
}

/** From the thread beside a worker, on a socket of its own: the process lives. */
export interface BeaconCommand {
  readonly type: 'beacon';
  readonly dialect: 'express';
  readonly session: SessionId;
  /** Milliseconds for which the event loop of the worker has not turned; 0 while it does. */
  readonly stuck: number;
}

/** Both ways, ahead of a large message: it delays what comes behind it. */
export interface AnnounceCommand {
  readonly type: 'announce';
  readonly dialect: 'express';
  readonly bytes: number;
}

// Express, between the brokers of a pair and those who know both

/**
 * Broker to client or worker: how it stands. To a client without `active`: it is not served here, and the
 * session is over; try there, or wait for the word that `active` is. To a worker with `active`: I serve
 * now, tell me what you run and have finished under idempotency keys; sent again until `report` came.
 */
export interface StandingCommand {
  readonly type: 'standing';
  readonly dialect: 'express';
  readonly active: boolean;
  /**
   * An active one that had copied all of the one before it, up to its end: it need not be told of what that
   * one has surely had. Absent: no.
   */
  readonly isHeir?: boolean | undefined;
  /** Of an active one its own; of a passive one the highest that it knows. */
  readonly epoch: Epoch;
  /** Where the active one is believed to be; '' if nobody knows. */
  readonly endpoint: string;
}

/** Client or worker to broker: there is this epoch. A broker with a lower one serves no more. */
export interface SeenCommand {
  readonly type: 'seen';
  readonly dialect: 'express';
  readonly epoch: Epoch;
}

/**
 * Worker to broker, the answer to `standing`, after all of `finished`: what it runs, and what it remembers
 * to have finished, under idempotency keys, whoever gave it that. All else it has not got.
 */
export interface ReportCommand {
  readonly type: 'report';
  readonly dialect: 'express';
  /** The epoch that was asked under. */
  readonly epoch: Epoch;
  /** The latest last: of more than 256 KiB in a list only the last keys are sent. */
  readonly running: readonly string[];
  readonly finished: readonly string[];
}

/** Worker to broker: what it finished under this key for another broker, or in an earlier session. */
export interface FinishedCommand {
  readonly type: 'finished';
  readonly dialect: 'express';
  readonly key: string;
  readonly body: Frames;
  readonly failure?: Failure | undefined;
}

/** The passive broker to the active one: tell me all that I need to go on in your place. */
export interface FollowCommand {
  readonly type: 'follow';
  readonly dialect: 'express';
  /** New for each time it asks. */
  readonly session: SessionId;
  readonly epoch: Epoch;
}

/** What the passive broker is told. Numbers ascend by one from 1; after a hole it follows anew. */
export interface RecordCommand {
  readonly type: 'record';
  readonly dialect: 'express';
  /** Of `follow`: records for an earlier one are ignored. */
  readonly session: SessionId;
  readonly number: number;
  readonly record: ReplicaRecord;
}

export type ReplicaRecord =
  /** This was answered under this key, and is kept for so many milliseconds more. */
  | {
      readonly kind: 'reply';
      readonly service: string;
      readonly key: string;
      readonly ttl: number;
      readonly body: Frames;
      readonly failure?: Failure | undefined;
    }
  /** This worker may be given requests under keys; or no more. */
  | { readonly kind: 'worker'; readonly service: string; readonly worker: SessionId }
  | { readonly kind: 'workerGone'; readonly worker: SessionId }
  /** That was all there is so far: with this the follower has what the active one has. */
  | { readonly kind: 'complete'; readonly epoch: Epoch }
  /** Nothing new; the follower shows that it lives. */
  | { readonly kind: 'beat' };

/** The passive broker to the active one: it has all up to this number. */
export interface RecordedCommand {
  readonly type: 'recorded';
  readonly dialect: 'express';
  readonly session: SessionId;
  readonly number: number;
}

export type ClientOutput =
  | RequestCommand
  | HelloCommand
  | CancelCommand
  | CreditCommand
  | HeartbeatCommand
  | SeenCommand
  | AnnounceCommand
  | DisconnectCommand;
export type ClientInput =
  | ReplyCommand
  | WelcomeCommand
  | HeartbeatCommand
  | StandingCommand
  | AnnounceCommand
  | DisconnectCommand;
export type WorkerOutput =
  | RequestCommand
  | ReadyCommand
  | ResultCommand
  | HeartbeatCommand
  | CapacityCommand
  | HandBackCommand
  | BeaconCommand
  | SeenCommand
  | ReportCommand
  | FinishedCommand
  | AnnounceCommand
  | DisconnectCommand;
export type WorkerInput =
  | ReplyCommand
  | DispatchCommand
  | WelcomeCommand
  | HeartbeatCommand
  | CancelCommand
  | CreditCommand
  | StandingCommand
  | AnnounceCommand
  | DisconnectCommand;
/** What a passive broker says to the active one, and hears from it. */
export type FollowerOutput = FollowCommand | RecordedCommand;
export type FollowerInput = RecordCommand | AnnounceCommand | DisconnectCommand;
/** What a broker hears and says: from and to its peers, and, while it is passive, the active broker. */
export type BrokerInput = ClientOutput | WorkerOutput | FollowerOutput | FollowerInput;
export type BrokerOutput = ClientInput | WorkerInput | FollowerInput | FollowerOutput;
export type Command = BrokerInput | BrokerOutput;

/** Names the one frame of a stock dispatch envelope: unique for each dispatch of one broker's life. */
export type DispatchTag = Address;

/** The body of a command in a form that may outlive the call. */
export function keepBody({ dialect, body }: { dialect: Dialect; body: Frames }): Frames {
  return keepFrames(body, dialect === 'express' ? OWNED_FRAME : undefined);
}

/** True if partial replies can be told apart from the end in this dialect. */
export function hasPartials(dialect: Dialect): boolean {
  return dialect !== 'mdp0.1';
}
