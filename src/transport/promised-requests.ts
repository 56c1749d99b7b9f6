/**
 * Requests as promises: who waits for which outcome, and which signal cancels it.
 *
 * A client machine tells one outcome for each id, `reply` or `failed`; here it reaches whoever waits, once.
 * The shells of all clients stand on it.
 */
import { type Failure, RequestError } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import { NumberMap } from '../core/number-map.ts';
import { Payload } from '../core/payload.ts';
import { SignalWatch } from './signal-watch.ts';

/** Who waits for the outcome of one request, and makes of it what the user gets. */
export abstract class Waiter {
  /** What is asked, for errors; empty in a pattern without services. */
  readonly service: string;
  /** Set where the user gave one. */
  signal: AbortSignal | undefined;

  constructor(service: string) {
    this.service = service;
  }

  abstract reply(body: Frames): void;
  abstract fail(error: RequestError): void;

  /** The failure as an error; of a cancel its cause is the reason of the signal. */
  errorOf({ code, message, retryAfter, attempts }: Failure): RequestError {
    const abort = code === 'ERR_CANCELLED' ? this.signal : undefined;
    const cause: unknown = abort?.aborted === true ? abort.reason : undefined;
    return new RequestError(code, this.service, message, {
      ...(cause === undefined ? undefined : { cause }),
      retryAfter,
      attempts,
    });
  }
}

/** For one reply, where no service was named. */
export class PayloadWaiter extends Waiter {
  readonly #resolve: (reply: Payload) => void;
  readonly #reject: (error: RequestError) => void;

  constructor(resolve: (reply: Payload) => void, reject: (error: RequestError) => void) {
    super('');
    this.#resolve = resolve;
    this.#reject = reject;
  }

  reply(body: Frames): void {
    this.#resolve(new Payload(body));
  }

  fail(error: RequestError): void {
    this.#reject(error);
  }
}

export class PromisedRequests<Each extends Waiter> {
  readonly #waiters = new NumberMap<Each>();
  readonly #cancel: (id: number, reason: string) => void;
  readonly #signals = new SignalWatch((id) =>
    this.cancel(id, 'the request was cancelled by its signal'),
  );
  #nextId = 0;

  /** @param cancel asks the machine to end this request, which has no outcome yet */
  constructor(cancel: (id: number, reason: string) => void) {
    this.#cancel = cancel;
  }

  /**
   * The id under which `waiter` waits from now on. Undefined: `signal` has aborted before anything was
   * sent, and the waiter was told so.
   */
  begin(waiter: Each, signal: AbortSignal | undefined): number | undefined {
    waiter.signal = signal;
    if (signal?.aborted === true) {
      const message = 'the request was cancelled before it was sent';
      waiter.fail(waiter.errorOf({ code: 'ERR_CANCELLED', message }));
      return undefined;
    }
    const id = this.#nextId++;
    this.#waiters.set(id, waiter);
    if (signal !== undefined) this.#signals.add(signal, id);
    return id;
  }

  /** Who still waits under this id. */
  get(id: number): Each | undefined {
    return this.#waiters.get(id);
  }

  /** Does nothing if the request has ended. */
  cancel(id: number, reason: string): void {
    if (this.#waiters.has(id)) this.#cancel(id, reason);
  }

  reply(id: number, body: Frames): void {
    this.#take(id)?.reply(body);
  }

  fail(id: number, failure: Failure): void {
    const waiter = this.#take(id);
    waiter?.fail(waiter.errorOf(failure));
  }

  #take(id: number): Each | undefined {
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    if (waiter?.signal !== undefined) this.#signals.delete(waiter.signal, id);
    return waiter;
  }
}
