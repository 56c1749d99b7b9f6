/**
 * What Majordomo peers say to each other, independent of how a dialect writes it.
 *
 * Seven commands carry the whole protocol; `protocol.ts` turns them into frames and back. A machine
 * passes `dialect` on without looking inside, so that each peer is answered in its own.
 */
import type { Address, Frames } from '../core/machine.ts';

/** 7/MDP is 0.1, 18/MDP is 0.2. */
export type Dialect = 'mdp0.1' | 'mdp0.2';

/** Client to broker: do this. */
export interface RequestCommand {
  readonly type: 'request';
  readonly dialect: Dialect;
  readonly service: string;
  readonly body: Frames;
}

/** Broker to client: a part of the reply, or with `final` the end of it. */
export interface ReplyCommand {
  readonly type: 'reply';
  readonly dialect: Dialect;
  readonly service: string;
  readonly body: Frames;
  readonly final: boolean;
}

/** Worker to broker: I offer this service. */
export interface ReadyCommand {
  readonly type: 'ready';
  readonly dialect: Dialect;
  readonly service: string;
}

/** Broker to worker (the RFC's worker REQUEST): do this. The envelope comes back with the result. */
export interface DispatchCommand {
  readonly type: 'dispatch';
  readonly dialect: Dialect;
  /** Opaque to the worker. Our broker writes one frame, the dispatch tag. */
  readonly envelope: Frames;
  readonly body: Frames;
}

/** Worker to broker: a part of the result, or with `final` the end of it. */
export interface ResultCommand {
  readonly type: 'result';
  readonly dialect: Dialect;
  readonly envelope: Frames;
  readonly body: Frames;
  readonly final: boolean;
}

/** Between broker and worker, both ways: I am alive. */
export interface HeartbeatCommand {
  readonly type: 'heartbeat';
  readonly dialect: Dialect;
}

/** Between broker and worker, both ways: this session is over. */
export interface DisconnectCommand {
  readonly type: 'disconnect';
  readonly dialect: Dialect;
}

export type ClientOutput = RequestCommand;
export type ClientInput = ReplyCommand;
export type WorkerOutput = ReadyCommand | ResultCommand | HeartbeatCommand | DisconnectCommand;
export type WorkerInput = DispatchCommand | HeartbeatCommand | DisconnectCommand;
export type BrokerInput = ClientOutput | WorkerOutput;
export type BrokerOutput = ClientInput | WorkerInput;
export type Command = BrokerInput | BrokerOutput;

/** Names the one frame of a dispatch envelope: unique for each dispatch of one broker's life. */
export type DispatchTag = Address;

/** True if partial replies can be told apart from the end in this dialect. */
export function hasPartials(dialect: Dialect): boolean {
  return dialect === 'mdp0.2';
}
