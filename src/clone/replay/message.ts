/** A message as the user of a subscriber gets it. */
import type { Epoch } from '../../core/election.ts';
import { Payload } from '../../core/payload.ts';
import type { Sequence } from '../commands.ts';
import type { ReceivedMessage, SequenceRange } from './events.ts';

/** What was published, with the readings of fetch's Response: `text()`, `json()`, `bytes()`. */
export class ReplayMessage extends Payload {
  /** `''` where the publisher does not say it. */
  readonly topic: string;
  readonly sequence: Sequence;
  /** Which life of the publisher it is of; 0 where the protocol has none. */
  readonly epoch: Epoch;
  /** The messages right before this one that cannot be had any more; undefined if there are none. */
  readonly lost: SequenceRange | undefined;
  /** The first message of a publisher that began to count anew. */
  readonly isRestart: boolean;

  constructor({ body, topic, sequence, epoch, lost, isRestart }: ReceivedMessage) {
    super(body);
    this.topic = topic;
    this.sequence = sequence;
    this.epoch = epoch;
    this.lost = lost;
    this.isRestart = isRestart;
  }
}
