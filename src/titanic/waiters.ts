/** Long polls: who waits for the end of a request, and until when. */
import { Deadlines } from '../core/deadlines.ts';
import type { Instant } from '../core/machine.ts';
import type { StoredRequest } from './requests.ts';
import type { AskToken } from './titanic-events.ts';

interface Waiter {
  readonly token: AskToken;
  readonly request: StoredRequest;
}

export class Waiters {
  readonly #limit: number;
  readonly #byToken = new Map<AskToken, Waiter>();
  readonly #byRequest = new Map<StoredRequest, Set<Waiter>>();
  readonly #ends = new Deadlines<Waiter>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#byToken.size;
  }

  /** When the next one has waited for long enough. */
  get nextDue(): Instant {
    return this.#ends.next;
  }

  /** False, and nobody waits, if too many do. */
  add(token: AskToken, request: StoredRequest, until: Instant): boolean {
    if (this.size >= this.#limit || this.#byToken.has(token)) return false;
    const waiter = { token, request };
    this.#byToken.set(token, waiter);
    const others = this.#byRequest.get(request);
    if (others === undefined) this.#byRequest.set(request, new Set([waiter]));
    else others.add(waiter);
    this.#ends.set(waiter, until);
    return true;
  }

  /** False if nobody waits under that token. */
  withdraw(token: AskToken): boolean {
    const waiter = this.#byToken.get(token);
    if (waiter !== undefined) this.#delete(waiter);
    return waiter !== undefined;
  }

  /** Those who wait for this request, who do so no more. */
  take(request: StoredRequest): AskToken[] {
    const waiters = this.#byRequest.get(request);
    if (waiters === undefined) return [];
    const taken = Array.from(waiters);
    for (const waiter of taken) this.#delete(waiter);
    return taken.map(({ token }) => token);
  }

  takeAll(): AskToken[] {
    const tokens = Array.from(this.#byToken.keys());
    for (const token of tokens) this.withdraw(token);
    return tokens;
  }

  /** The next one that has waited for long enough. */
  takeDue(now: Instant): AskToken | undefined {
    const waiter = this.#ends.takeDue(now);
    if (waiter !== undefined) this.#delete(waiter);
    return waiter?.token;
  }

  /** For the fingerprint. */
  *[Symbol.iterator](): Generator {
    for (const waiter of this.#byToken.values()) {
      yield { token: waiter.token, id: waiter.request.id, untilAt: this.#ends.at(waiter) };
    }
  }

  #delete(waiter: Waiter): void {
    this.#ends.delete(waiter);
    this.#byToken.delete(waiter.token);
    const waiters = this.#byRequest.get(waiter.request);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#byRequest.delete(waiter.request);
  }
}
