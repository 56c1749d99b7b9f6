/** What a server tells: past facts, one union for the machine, the emitter and the logs. */
import type { Address, Frames } from '../core/machine.ts';

/** Why a request was not taken in. */
export type FreelanceRefusal = 'queueFull' | 'closing';

/** Why a reply reached no one. */
export type FreelanceReplyLoss =
  /** Its client has gone, or the server was closed before the handler was done. */
  | 'requestEnded'
  /** The client does not read: its outgoing queue is full. */
  | 'clientQueueFull';

export type FreelanceServerEvent =
  /** A handler gets this request; the token is its name from now on. */
  | { type: 'request'; token: number; client: Address; body: Frames }
  /** Nobody waits any more for what its handler does. */
  | { type: 'requestLost'; token: number; client: Address }
  | { type: 'requestRefused'; client: Address; reason: FreelanceRefusal }
  | { type: 'replyDropped'; token: number; client: Address; reason: FreelanceReplyLoss }
  /** A client left while so many requests of it were there, waiting and running. */
  | { type: 'clientGone'; client: Address; queued: number; inFlight: number }
  | { type: 'malformed'; from: Address; reason: string }
  | { type: 'drained' };

/** Counters of all events at zero. */
export function noEvents(): Record<FreelanceServerEvent['type'], number> {
  return {
    request: 0,
    requestLost: 0,
    requestRefused: 0,
    replyDropped: 0,
    clientGone: 0,
    malformed: 0,
    drained: 0,
  };
}

/** What a server is doing, and what it has seen since it began. */
export interface FreelanceServerStatus {
  /** Requests that wait for a handler. */
  readonly queued: number;
  readonly queuedBytes: number;
  /** Requests that handlers have in their hands. */
  readonly inFlight: number;
  /** Handlers that are not done, those among them whose client has gone as well. */
  readonly running: number;
  /** Every accepted request is queued, in flight, or counted in exactly one of the three ends. */
  readonly requests: {
    readonly accepted: number;
    readonly replied: number;
    readonly failed: number;
    readonly cancelled: number;
  };
  /** Events of each kind: `malformed`, `requestRefused`, `replyDropped` … */
  readonly events: Readonly<Record<FreelanceServerEvent['type'], number>>;
}
