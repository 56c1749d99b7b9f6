/**
 * The requests of a client that wait to be sent: those that were sent before go first, each group in its
 * order. Unlike those of the other clients both groups share one bound.
 */
import type { QueueBounds } from '../core/bounded-queue.ts';
import { Fifo } from '../core/fifo.ts';
import { sizeOf } from '../core/frames.ts';
import type { ClientRequest } from './client-request.ts';

export class RequestLine {
  /** Plain data, for the fingerprint. */
  readonly state = {
    again: new Fifo<ClientRequest>(),
    fresh: new Fifo<ClientRequest>(),
    bytes: 0,
  };
  readonly #bounds: QueueBounds;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.state.again.size + this.state.fresh.size;
  }

  /** Who is next; it stays. */
  get first(): ClientRequest | undefined {
    return this.state.again.first ?? this.state.fresh.first;
  }

  /** False, and nothing changed, if it does not fit. One that is larger than the bound waits alone. */
  push(request: ClientRequest): boolean {
    const { limit, bytes } = this.#bounds;
    const hasRoom = this.size < limit && this.state.bytes + this.#bytesOf(request) <= bytes;
    if (hasRoom) this.pushAgain(request);
    return hasRoom;
  }

  /** It was taken in before, and is not refused now. */
  pushAgain(request: ClientRequest): void {
    this.#groupOf(request).push(request);
    this.state.bytes += this.#bytesOf(request);
  }

  delete(request: ClientRequest): void {
    if (this.#groupOf(request).delete(request)) this.state.bytes -= this.#bytesOf(request);
  }

  #groupOf({ reason }: ClientRequest): Fifo<ClientRequest> {
    return reason === undefined ? this.state.fresh : this.state.again;
  }

  #bytesOf({ call: { body } }: ClientRequest): number {
    return Math.min(sizeOf(body), this.#bounds.bytes);
  }
}
