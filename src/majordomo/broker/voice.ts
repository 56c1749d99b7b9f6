/**
 * How a broker speaks: to peers in their dialect, and to the user, with every event counted.
 *
 * One place for what express and stock MDP say differently: a failure, and a large body.
 */
import type { Failure, RequestErrorCode } from '../../core/errors.ts';
import { EMPTY_FRAME } from '../../core/frames.ts';
import type { Address, Frames, Outbox } from '../../core/machine.ts';
import { BROKER_EVENT_TYPES, type BrokerEvent, type EventCounts } from './broker-events.ts';
import type { BrokerOutput, FollowerOutput } from '../wire/commands.ts';
import { bodyOf } from '../wire/express-codec.ts';
import { encodeFailure } from '../../core/error-body.ts';
import { announcedBytes } from '../wire/large.ts';
import type { Waiter } from './requests.ts';

/** One socket for all peers, bound to any number of endpoints; of a passive broker one to the active. */
export type BrokerPort = 'peers' | 'active';

/** A reply or a part of one, or why there is none. */
export interface Outcome {
  readonly body: Frames;
  readonly failure?: Failure | undefined;
}

export const NO_FRAMES: Frames = [];

const NOTHING: Frames = [EMPTY_FRAME];

/** What those are told who are not served here. */
export const NOT_ACTIVE: readonly [RequestErrorCode, string] = [
  'ERR_NOT_ACTIVE',
  'the broker stands by while another serves: ask that one, or try again later',
];

/** Instead of a reply for which the client's queue has no room. */
export const TOO_LARGE: Outcome = {
  body: NO_FRAMES,
  failure: {
    code: 'ERR_REPLY_TOO_LARGE',
    message:
      "the reply did not fit into the client's queue at the broker: read faster, or raise its peerQueueBytes",
  },
};

export class Voice {
  readonly counts: EventCounts;
  readonly #outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>;

  constructor(outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>) {
    this.#outbox = outbox;
    this.counts = Object.fromEntries(BROKER_EVENT_TYPES.map((type) => [type, 0])) as EventCounts;
  }

  /** False: the peer's queue is full, and nothing was sent. */
  send(to: Address, command: BrokerOutput): boolean {
    const body = command.dialect === 'express' ? bodyOf(command) : undefined;
    if (body !== undefined) {
      const bytes = announcedBytes(body);
      if (bytes !== undefined) {
        this.#outbox.send('peers', to, { type: 'announce', dialect: 'express', bytes });
      }
    }
    return this.#outbox.send('peers', to, command);
  }

  /**
   * To one who waits. False: its queue is full, and nothing was sent.
   * @param sequence which part of the reply this is; of the final one, how many there were before
   */
  reply(waiter: Waiter, service: string, outcome: Outcome, final = true, sequence = 0): boolean {
    const { client, dialect, number } = waiter;
    const { body, failure } = outcome;
    const { address } = client;
    if (dialect === 'express') {
      const isSent = this.#replyExpress(address, number, outcome, final, sequence);
      // Told nothing, the client would take the reply for lost and have the work done again.
      if (!isSent && final) this.#replyExpress(address, number, TOO_LARGE, final, sequence);
      return isSent;
    }
    const said = failure !== undefined && body.length === 0 ? encodeFailure(failure) : body;
    // Express has results without a frame, stock MDP has no message without one.
    const frames = said.length === 0 ? NOTHING : said;
    return this.send(address, { type: 'reply', dialect, service, body: frames, final });
  }

  #replyExpress(
    to: Address,
    number: number,
    { body, failure }: Outcome,
    final: boolean,
    sequence: number,
  ): boolean {
    return this.send(to, {
      type: 'reply',
      dialect: 'express',
      service: '',
      body: failure === undefined ? body : NO_FRAMES,
      final,
      number,
      sequence,
      failure,
    });
  }

  // The passive broker to the active one

  openActive(endpoint: string): void {
    this.#outbox.open('active', endpoint);
  }

  closeActive(): void {
    this.#outbox.close('active');
  }

  sayToActive(command: FollowerOutput): void {
    this.#outbox.send('active', '', command);
  }

  emit(event: BrokerEvent): void {
    this.counts[event.type]++;
    this.#outbox.emit(event);
  }
}
