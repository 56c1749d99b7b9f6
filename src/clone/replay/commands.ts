/**
 * What a publisher of key-value cache events and its subscribers say to each other: the format of the LLM
 * servers. The machines know the commands alone; `kv-codec.ts` says how they look.
 */
import type { Sequence } from '../commands.ts';

/** One message as it is published. */
export interface EventCommand {
  readonly type: 'event';
  readonly topic: string;
  readonly sequence: Sequence;
  readonly body: Uint8Array;
}

/** Please repeat all that you still have, from this number on. */
export interface AskCommand {
  readonly type: 'ask';
  readonly from: Sequence;
}

/** One message again. */
export interface AnswerCommand {
  readonly type: 'answer';
  /** Absent: the publisher's layout does not say. */
  readonly topic?: string | undefined;
  readonly sequence: Sequence;
  readonly body: Uint8Array;
}

/** That was all. */
export interface EndCommand {
  readonly type: 'end';
  /** Goes where the layout has a topic. */
  readonly topic?: string | undefined;
}

export type KvPublisherInput = AskCommand;
export type KvPublisherOutput = EventCommand | AnswerCommand | EndCommand;
export type KvSubscriberInput = EventCommand | AnswerCommand | EndCommand;
export type KvSubscriberOutput = AskCommand;

/** `publisher`: PUB, what is published. `replay`: ROUTER, what is asked for again. */
export type KvPublisherPort = 'publisher' | 'replay';

/** The other ends: SUB and DEALER. */
export type KvSubscriberPort = 'publisher' | 'replay';
