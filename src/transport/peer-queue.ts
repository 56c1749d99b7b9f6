/** What waits to be sent to one peer, bounded in bytes. Pure bookkeeping: the driver does the sending. */
import type { Outgoing } from '../core/codec.ts';
import { keepFrames } from '../core/frames.ts';
import type { Address, Frames, Instant } from '../core/machine.ts';

/** How soon a peer at its high-water mark is tried again, and how slowly at most. */
const FIRST_RETRY = 1;
const SLOWEST_RETRY = 32;

interface Entry {
  readonly message: Outgoing;
  bytes: number;
  /** Its frames, once they have to outlive the turn in which they were borrowed. */
  kept: Frames | undefined;
}

export class PeerQueue {
  readonly to: Address;
  readonly #limit: number;
  readonly #messages: Entry[] = [];
  #first = 0;
  #bytes = 0;
  #retries = 0;
  /** A message was handed over and its outcome is not known yet. */
  sending = false;
  /** A message was refused: the machine is owed a `handleWritable`. */
  refused = false;
  /** When a peer at its high-water mark is tried again. */
  retryAt: Instant = -Infinity;

  constructor(to: Address, limit: number) {
    this.to = to;
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get empty(): boolean {
    return this.#first === this.#messages.length;
  }

  /** The frames to send next. */
  get head(): Frames | undefined {
    const head = this.#messages[this.#first];
    return head?.kept ?? head?.message.frames;
  }

  /** True if what is to be sent next may still grow before the end of the turn. */
  get isGrowing(): boolean {
    const head = this.#messages[this.#first];
    return head !== undefined && head.kept === undefined && head.message.isFull === false;
  }

  /** The message a packing dialect may still append to: the last one, unless it is being sent. */
  get open(): Outgoing | undefined {
    const last = this.#messages.at(-1);
    if (last?.kept !== undefined || (this.sending && this.#messages.length === this.#first + 1)) {
      return undefined;
    }
    return last?.message;
  }

  /**
   * True if the queue takes `bytes` more. While half of the bound is free that is a message of any
   * size: behind what announces it, it would otherwise be refused again and again.
   */
  hasRoom(bytes: number): boolean {
    return this.hasDrained || this.#bytes + bytes <= this.#limit;
  }

  /** Queues a message, or takes note that the open one has grown. */
  push(message: Outgoing): void {
    const last = this.#messages.at(-1);
    if (last?.message === message) {
      this.#bytes += message.bytes - last.bytes;
      last.bytes = message.bytes;
      return;
    }
    this.#messages.push({ message, bytes: message.bytes, kept: undefined });
    this.#bytes += message.bytes;
  }

  /** The head was handed over. */
  shift(): void {
    const head = this.#messages[this.#first];
    if (head === undefined) return;
    this.#bytes -= head.bytes;
    this.#retries = 0;
    this.retryAt = -Infinity;
    this.#first++;
    if (this.#first * 2 > this.#messages.length) {
      this.#messages.splice(0, this.#first);
      this.#first = 0;
    }
  }

  /** True while the head, once refused by a full socket, waits for `retryAt`. */
  get postponed(): boolean {
    return this.#retries > 0;
  }

  /** The head was refused by a full socket. */
  postpone(now: Instant): void {
    this.retryAt = now + Math.min(SLOWEST_RETRY, FIRST_RETRY * 2 ** this.#retries);
    this.#retries++;
  }

  /** What waits for a slow peer beyond this turn no longer borrows its frames. */
  keep(): void {
    for (let index = this.#messages.length - 1; index >= this.#first; index--) {
      const entry = this.#messages[index]!;
      if (entry.kept !== undefined) return;
      entry.kept = keepFrames(entry.message.frames);
    }
  }

  /** True once a refused sender may try again: half of the bound is free, so that it does not flap. */
  get hasDrained(): boolean {
    return this.#bytes * 2 <= this.#limit;
  }
}
