/**
 * The last updates, for those who missed some: bounded in count and bytes, any of them at hand by its number.
 *
 *   first … published … accepted
 *
 * What is published anybody may be told. What is only accepted waits for the storage, or for the other
 * server: that one alone is told, and it may still be dropped.
 */
import type { Sequence } from '../commands.ts';
import type { Update } from './update.ts';

export interface HistoryBounds {
  /** Published updates that are kept. */
  readonly historyLimit: number;
  /** Bytes of these. */
  readonly historyBytes: number;
}

/** So many times the bounds may be kept for those who are being sent a snapshot. */
const ALLOWANCE = 2;

export class History {
  readonly #bounds: HistoryBounds;
  /** `#updates[#head]` is the first; what is before it has left. */
  readonly #updates: (Update | undefined)[] = [];
  #head = 0;
  #first: Sequence = 1;
  #published: Sequence = 0;
  #bytes = 0;
  #stagedBytes = 0;

  constructor(bounds: HistoryBounds) {
    this.#bounds = bounds;
  }

  /** The oldest that is kept; the next one, if there is none. */
  get first(): Sequence {
    return this.#first;
  }

  /** The newest that is public. */
  get published(): Sequence {
    return this.#published;
  }

  /** The newest of all. */
  get accepted(): Sequence {
    return this.#first + this.size - 1;
  }

  get size(): number {
    return this.#updates.length - this.#head;
  }

  /** What the published ones weigh. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What the others weigh. */
  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  /** Undefined for one that is not kept any more, or was never made. */
  get(sequence: Sequence): Update | undefined {
    if (sequence < this.#first) return undefined;
    return this.#updates[this.#head + sequence - this.#first];
  }

  /** @param update its sequence must be the next one */
  accept(update: Update): void {
    if (update.sequence !== this.accepted + 1) {
      throw new RangeError(`update ${update.sequence} after ${this.accepted}`);
    }
    this.#updates.push(update);
    this.#stagedBytes += update.weight;
  }

  /** The next one to become public; there must be one. */
  get next(): Update {
    const update = this.get(this.#published + 1);
    if (update === undefined) throw new RangeError(`nothing after ${this.#published} to publish`);
    return update;
  }

  /** The next one that was accepted becomes public. */
  publish(): Update {
    const update = this.next;
    this.#published++;
    this.#stagedBytes -= update.weight;
    this.#bytes += update.weight;
    return update;
  }

  /** What is not public was never made, from `from` on: those numbers are given anew. */
  dropStaged(from: Sequence = this.#published + 1): void {
    while (this.accepted > this.#published && this.accepted >= from) {
      this.#stagedBytes -= this.#updates.pop()!.weight;
    }
  }

  /** Forgets all: what comes next follows `sequence`. */
  restart(sequence: Sequence): void {
    this.#updates.length = 0;
    this.#head = 0;
    this.#bytes = 0;
    this.#stagedBytes = 0;
    this.#first = sequence + 1;
    this.#published = sequence;
  }

  /** True if there is more than the bounds allow. */
  get isOver(): boolean {
    return this.#exceeds(1);
  }

  /**
   * Forgets the oldest until the bounds hold.
   * @param needed from here on somebody needs them: these are kept up to twice the bounds
   */
  trim(needed: Sequence): void {
    while (this.#first <= this.#published) {
      if (!this.#exceeds(this.#first < needed ? 1 : ALLOWANCE)) return;
      this.#shift();
    }
  }

  /** For the fingerprint. */
  [Symbol.iterator](): Iterator<Update> {
    return this.#updates.slice(this.#head).values() as Iterator<Update>;
  }

  #exceeds(times: number): boolean {
    const { historyLimit, historyBytes } = this.#bounds;
    const published = this.#published - this.#first + 1;
    return published > times * historyLimit || this.#bytes > times * historyBytes;
  }

  #shift(): void {
    this.#bytes -= this.#updates[this.#head]!.weight;
    this.#updates[this.#head] = undefined;
    this.#head++;
    this.#first++;
    if (this.#head * 2 <= this.#updates.length) return;
    this.#updates.splice(0, this.#head);
    this.#head = 0;
  }
}
