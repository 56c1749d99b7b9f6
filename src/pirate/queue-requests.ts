/**
 * The requests of a queue, and the clients that wait for them: a client is an address with requests, and
 * forgotten with the last of them.
 */
import { Deadlines } from '../core/deadlines.ts';
import { keepFrames, sizeOf } from '../core/frames.ts';
import type { Address, Frames, Instant } from '../core/machine.ts';
import {
  REQUEST_OVERHEAD,
  RequestBook,
  type BookedRequest,
  type RequestEnd,
} from '../core/request-book.ts';
import type { RequestCommand } from './commands.ts';

export interface Client {
  readonly address: Address;
  /** What it waits for. */
  readonly requests: Set<PendingRequest>;
  /** When the notice that its link broke becomes its end; `Infinity` without a notice. */
  goneAt: Instant;
}

export interface PendingRequest extends BookedRequest {
  /** Who waits for it. */
  readonly owner: Client;
  /** Goes back with the reply as it came. */
  readonly stack: Frames | undefined;
}

export class QueueRequests extends RequestBook<PendingRequest> {
  /** Plain data, for the fingerprint and for checkers: who waits. */
  readonly clients = new Map<Address, Client>();
  readonly #due = new Deadlines<Client>();

  /** When something expires, or a client is gone. */
  get nextDue(): Instant {
    return Math.min(this.nextExpiry, this.#due.next);
  }

  hasRoom(command: RequestCommand): boolean {
    return this.fits(costOf(command));
  }

  /**
   * Takes a request in, with a copy of what is borrowed. The caller has seen that there is room, or
   * `starts` it: gives it to a worker at once, so that it never waits.
   */
  accept(now: Instant, from: Address, command: RequestCommand, starts: boolean): PendingRequest {
    const { stack, body } = command;
    const request: PendingRequest = {
      id: this.state.accepted,
      owner: this.#clientAt(from),
      line: '',
      priority: 0,
      stack: stack === undefined ? undefined : keepFrames(stack),
      body: keepFrames(body),
      bytes: costOf(command),
      acceptedAt: now,
      expiresAt: this.expiryOf(now),
      state: starts ? 'inFlight' : 'queued',
      attempts: starts ? 1 : 0,
    };
    request.owner.requests.add(request);
    this.admit(request);
    return request;
  }

  override end(request: PendingRequest, how: RequestEnd): boolean {
    if (!super.end(request, how)) return false;
    const { owner } = request;
    owner.requests.delete(request);
    if (owner.requests.size > 0) return true;
    this.clients.delete(owner.address);
    this.#due.delete(owner);
    return true;
  }

  /** Who may have been thought to be gone said something. True: it was, so this is another connection. */
  heard(address: Address): boolean {
    const client = this.clients.get(address);
    if (client === undefined || client.goneAt === Infinity) return false;
    client.goneAt = Infinity;
    this.#due.delete(client);
    return true;
  }

  /** The link to a client broke: unless it is heard before, it is gone at that instant. */
  noticed(address: Address, goneAt: Instant): void {
    const client = this.clients.get(address);
    if (client === undefined) return;
    client.goneAt = Math.min(client.goneAt, goneAt);
    this.#due.set(client, client.goneAt);
  }

  /** Nobody is gone before `atLeast`: this side did not listen for a while. */
  forgive(atLeast: Instant): void {
    for (const client of this.clients.values()) {
      client.goneAt = Math.max(client.goneAt, atLeast);
      this.#due.set(client, client.goneAt);
    }
  }

  /** The next client that is gone by now, or undefined. It stays until its requests have ended. */
  nextGone(now: Instant): Client | undefined {
    return this.#due.takeDue(now);
  }

  #clientAt(address: Address): Client {
    let client = this.clients.get(address);
    if (client === undefined) {
      client = { address, requests: new Set(), goneAt: Infinity };
      this.clients.set(address, client);
    }
    return client;
  }
}

/** What a request keeps, in bytes. */
function costOf({ stack, body }: RequestCommand): number {
  return sizeOf(body) + (stack === undefined ? 0 : sizeOf(stack)) + REQUEST_OVERHEAD;
}
