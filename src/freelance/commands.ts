/**
 * What Freelance clients and servers say to each other, 10/FLP: `protocol.ts` turns these commands into
 * frames and back.
 */
import type { Frames } from '../core/machine.ts';

/** Client to server: are you there? */
export interface PingCommand {
  readonly type: 'ping';
}

/** Server to client: I am. */
export interface PongCommand {
  readonly type: 'pong';
}

/** Client to server: do this. */
export interface RequestCommand {
  readonly type: 'request';
  /** The client control frame: the client's own, and returned untouched. */
  readonly control: Uint8Array;
  readonly body: Frames;
}

/** Server to client: the reply to what came with this control frame. */
export interface ReplyCommand {
  readonly type: 'reply';
  readonly control: Uint8Array;
  readonly body: Frames;
}

export type ServerInput = PingCommand | RequestCommand;
export type ServerOutput = PongCommand | ReplyCommand;
export type ClientInput = PongCommand | ReplyCommand;
export type ClientOutput = PingCommand | RequestCommand;
