/** What a worker is asked and what it tells: the calls and events of its machine, and its settings. */
import type { Epoch } from '../../core/election.ts';
import type { Failure } from '../../core/errors.ts';
import type { Frames, Instant, Outbox } from '../../core/machine.ts';
import type { HandlerToken, SessionSettings } from '../../core/worker-session.ts';
import type { Dialect, SessionId, WorkerOutput } from '../wire/commands.ts';
import type { ProbePort } from '../negotiation.ts';
import type { WorkerProtocol } from '../options.ts';

/** A session of stock MDP has a socket of its own for each request at a time, express one for all. */
export type StockPort = `stock-${number}`;
/** In a pair of brokers there is a session with each. */
export type ExpressPort = 'express' | `express-${number}`;
export type WorkerPort = ProbePort | StockPort | ExpressPort;

export type { HandlerToken } from '../../core/worker-session.ts';

export type WorkerCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  /** A part of the reply; `written` with the same token is the answer. */
  | { readonly type: 'write'; readonly token: HandlerToken; readonly body: Frames }
  /** The handler is done; exactly one of `reply` and `fail` ends each request. */
  | { readonly type: 'reply'; readonly token: HandlerToken; readonly body: Frames }
  | { readonly type: 'fail'; readonly token: HandlerToken; readonly failure: Failure }
  /** Finish what runs, say goodbye, stop. */
  | { readonly type: 'drain' }
  /** Say goodbye at once; what runs is lost to this worker. */
  | { readonly type: 'stop' };

/** Why a session with a broker ended. */
export type BrokerLossReason =
  /** It was not heard for interval × liveness. */
  | 'silent'
  /** It said so. */
  | 'disconnected'
  /** Stock MDP: it gave a second request to a worker that still holds the first. */
  | 'unexpectedCommand'
  /** Stock MDP: the link broke in mid-reply, and some of the parts may be lost. */
  | 'linkBroken';

/** Why nobody waits for a reply any more. */
export type CancelReason =
  /** The client cancelled, or is gone, or the broker gave the request to another worker. */
  | 'cancelled'
  /** The time of the request is over. */
  | 'deadline';

export type WorkerEvent =
  | { type: 'connecting'; endpoint: string; dialect: Dialect }
  /**
   * The broker answered, or serves from now on: requests may come. `session` counts those of stock MDP from
   * 0; a broker of a pair serves under an epoch.
   */
  | {
      type: 'ready';
      endpoint: string;
      dialect: Dialect;
      session: number;
      epoch?: Epoch | undefined;
    }
  /** A passive broker of a pair answered, or one serves no more: it keeps the session, and gives no work. */
  | { type: 'standby'; endpoint: string; epoch: Epoch }
  /** A broker of a pair serves under a higher epoch than the last one: it has taken over. */
  | { type: 'failedOver'; endpoint: string; epoch: Epoch }
  /** The link broke and is there again. Not `resumed`: the broker knew nothing of this session. */
  | { type: 'reattached'; endpoint: string; resumed: boolean }
  | {
      type: 'request';
      token: HandlerToken;
      body: Frames;
      attempt: number;
      /** When its client waits no more, on the clock of the environment; `Infinity`: it does. */
      deadlineAt: Instant;
      idempotencyKey: string | undefined;
      /** As they came: not looked into. */
      headers: Uint8Array | undefined;
    }
  /** Nobody waits for the reply of a running request. */
  | { type: 'requestCancelled'; token: HandlerToken; reason: CancelReason }
  /** The session of a running request ended: its reply will reach no one. In a pair not under a key. */
  | { type: 'requestLost'; token: HandlerToken }
  | { type: 'brokerLost'; endpoint: string; reason: BrokerLossReason }
  /** A handler finished after its session had ended. */
  | { type: 'replyDropped'; token: HandlerToken }
  /**
   * In a pair, under an idempotency key: a handler finished after its session had ended, and whoever serves
   * is told of its reply.
   */
  | { type: 'replyKept'; token: HandlerToken }
  | { type: 'malformed'; reason: string }
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { type: 'socketFailed'; reason: string }
  /** The thread that speaks for blocked workers is not there: they will look dead while they block. */
  | { type: 'beaconFailed'; reason: string }
  | { type: 'drained' };

/** What only the shell is told, beside all that its users are. */
export type WorkerMachineEvent =
  | WorkerEvent
  /** The answer to the oldest `write` without one: there is room for another part. */
  | { type: 'written'; token: HandlerToken }
  /** A thread beside this one may now speak for the session, each `interval` milliseconds. */
  | { type: 'sessionOpened'; endpoint: string; session: SessionId; interval: number }
  | { type: 'sessionClosed'; session: SessionId };

export interface WorkerSettings extends SessionSettings {
  readonly service: string;
  readonly protocol: WorkerProtocol;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Sessions of stock MDP at most. */
  readonly lanes: number;
  /** Bytes of parts that may wait: in stock MDP for the end of the reply, in express for the reader. */
  readonly replyBufferBytes: number;
}

export type WorkerOutbox = Outbox<WorkerPort, WorkerOutput, WorkerMachineEvent>;

/** What a session needs of the machine that it is part of. */
export interface SessionHost {
  /** Unique over all sessions of this worker. */
  nextToken(): HandlerToken;
  /** It ended, and not because it was asked to. The index is of the endpoint to try next. */
  sessionLost(now: Instant, endpoint: number): void;
}
