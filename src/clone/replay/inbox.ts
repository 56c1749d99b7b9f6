/** What came and was not taken yet, as an async iterator: bounded by whoever fills it. */
import type { ReceivedMessage } from './events.ts';
import { ReplayMessage } from './message.ts';

type Result = IteratorResult<ReplayMessage, undefined>;

const DONE: Result = { done: true, value: undefined };

export class Inbox {
  /** `#messages[#head]` is the first; what is before it has left. */
  readonly #messages: (ReceivedMessage | undefined)[] = [];
  readonly #taken: (weight: number) => void;
  readonly #waiting: ((result: Result) => void)[] = [];
  #head = 0;
  #weight = 0;
  #isClosed = false;

  /** @param taken told what each message weighs that the user has got */
  constructor(taken: (weight: number) => void) {
    this.#taken = taken;
  }

  /** The next message, which stays. */
  get first(): ReceivedMessage | undefined {
    return this.#messages[this.#head];
  }

  get weight(): number {
    return this.#weight;
  }

  push(message: ReceivedMessage): void {
    const resolve = this.#waiting.shift();
    if (resolve === undefined) {
      this.#messages.push(message);
      this.#weight += message.weight;
      return;
    }
    resolve({ done: false, value: new ReplayMessage(message) });
    this.#taken(message.weight);
  }

  next(): Promise<Result> {
    const message = this.#shift();
    if (message === undefined) {
      if (this.#isClosed) return Promise.resolve(DONE);
      return new Promise((resolve) => this.#waiting.push(resolve));
    }
    this.#taken(message.weight);
    return Promise.resolve({ done: false, value: new ReplayMessage(message) });
  }

  /** Nothing more comes: what is there can still be taken. */
  close(): void {
    this.#isClosed = true;
    for (const resolve of this.#waiting.splice(0)) resolve(DONE);
  }

  #shift(): ReceivedMessage | undefined {
    const message = this.#messages[this.#head];
    if (message === undefined) return undefined;
    this.#messages[this.#head] = undefined;
    this.#head++;
    this.#weight -= message.weight;
    if (this.#head * 2 > this.#messages.length) {
      this.#messages.splice(0, this.#head);
      this.#head = 0;
    }
    return message;
  }
}
