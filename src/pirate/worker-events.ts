/** What a Pirate worker is asked and what it tells: the calls and events of its machine. */
import type { Failure } from '../core/errors.ts';
import type { Frames, Outbox } from '../core/machine.ts';
import type { HandlerToken, SessionSettings } from '../core/worker-session.ts';
import type { PirateProtocol, WorkerOutput } from './commands.ts';

export type WorkerPort = 'queue';

export type WorkerCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  /** The handler is done; exactly one of `reply` and `fail` ends each request. */
  | { readonly type: 'reply'; readonly token: HandlerToken; readonly body: Frames }
  | { readonly type: 'fail'; readonly token: HandlerToken; readonly failure: Failure }
  /** Finish what runs, send its reply, stop. */
  | { readonly type: 'drain' }
  /** Stop at once; what runs is lost to this worker. */
  | { readonly type: 'stop' };

/** Why a session with a queue ended. */
export type QueueLossReason =
  /** It was not heard for interval × liveness. Paranoid Pirate alone. */
  | 'silent'
  /** The link broke, and whoever is there when it is back may know nothing of this worker. */
  | 'linkBroken'
  /** It gave a second request to a worker that still holds the first. */
  | 'unexpectedCommand';

export type WorkerEvent =
  | { type: 'connecting'; endpoint: string }
  /** The queue was heard. That of Simple Pirate says nothing before the first request. */
  | { type: 'ready'; endpoint: string }
  | { type: 'request'; token: HandlerToken; body: Frames }
  /** The session of a running request ended: its reply will reach no one. */
  | { type: 'requestLost'; token: HandlerToken }
  | { type: 'queueLost'; endpoint: string; reason: QueueLossReason }
  /** A handler finished after its session had ended. */
  | { type: 'replyDropped'; token: HandlerToken }
  | { type: 'malformed'; reason: string }
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { type: 'socketFailed'; reason: string }
  | { type: 'drained' };

export interface WorkerSettings extends SessionSettings {
  readonly protocol: PirateProtocol;
}

export type WorkerOutbox = Outbox<WorkerPort, WorkerOutput, WorkerEvent>;
