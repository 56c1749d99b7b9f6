/**
 * What Pirates say to each other, independent of how it is written: `protocol.ts` turns these commands
 * into frames and back.
 *
 * A message is an optional address stack, an empty frame, and a body. Whoever gets a request returns the
 * stack untouched with its reply: that is how REQ, DEALER and whatever stands between are served alike.
 */
import type { Frames } from '../core/machine.ts';

/** Simple Pirate: workers are REQ sockets and nobody beats. Paranoid Pirate, 6/PPP: both sides do. */
export type PirateProtocol = 'simple' | 'paranoid';

/** Client to queue. */
export interface RequestCommand {
  readonly type: 'request';
  /** What stood before the empty frame; undefined: the client writes no empty frame, and gets none. */
  readonly stack: Frames | undefined;
  readonly body: Frames;
}

/** Queue to client. */
export interface ReplyCommand {
  readonly type: 'reply';
  readonly stack: Frames | undefined;
  readonly body: Frames;
}

/** Worker to queue: I have nothing in my hands, give me a request. */
export interface ReadyCommand {
  readonly type: 'ready';
}

/** Both ways between queue and worker: I live. Says nothing about having time. */
export interface HeartbeatCommand {
  readonly type: 'heartbeat';
}

/** Queue to worker: do this. Our queue writes one frame in the stack, the tag of the dispatch. */
export interface DispatchCommand {
  readonly type: 'dispatch';
  /** Undefined: the queue writes no empty frame, and gets none. */
  readonly stack: Frames | undefined;
  readonly body: Frames;
}

/** Worker to queue: the reply to what came with this stack. */
export interface ResultCommand {
  readonly type: 'result';
  readonly stack: Frames | undefined;
  readonly body: Frames;
}

export type QueuePort = 'frontend' | 'backend';
export type QueueInput = RequestCommand | ReadyCommand | HeartbeatCommand | ResultCommand;
export type QueueOutput = ReplyCommand | HeartbeatCommand | DispatchCommand;
export type WorkerInput = DispatchCommand | HeartbeatCommand;
export type WorkerOutput = ReadyCommand | HeartbeatCommand | ResultCommand;
export type ClientInput = ReplyCommand;
export type ClientOutput = RequestCommand;
