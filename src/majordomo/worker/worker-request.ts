/** One request as its handler sees it. What costs is made when the handler first asks for it. */
import type { Frames, Instant } from '../../core/machine.ts';
import { LateSignal } from '../../transport/handling.ts';
import type { Clock } from '../../transport/transport.ts';
import type { BodyCodec } from '../../core/body-codec.ts';
import { decodeHeaders, NO_HEADERS, type Headers } from '../wire/headers.ts';
import { CodedPayload } from '../payload.ts';
import type { HandlerToken, WorkerEvent } from './worker-events.ts';

type RequestEvent = Extract<WorkerEvent, { readonly type: 'request' }>;

/** What a request needs of the worker that handles it. */
export interface RequestHost {
  readonly codec: BodyCodec;
  readonly clock: Pick<Clock, 'now'>;
  write(token: HandlerToken, body: Frames): void;
  /** The headers are none. */
  malformed(reason: string): void;
}

// What only the worker may do with a request: set below, in the scope of its private fields.
let abort: (request: WorkerRequest, reason: unknown) => void;
let written: (request: WorkerRequest) => void;
let settle: (request: WorkerRequest) => void;

export class WorkerRequest extends CodedPayload {
  /**
   * How many workers the request was given to, this one included. Above 1, another may have begun
   * it. Brokers of stock MDP do not tell: 1.
   */
  readonly attempt: number;
  /** The client's name for what is asked: asked for again, it need not be done again. Express only. */
  readonly idempotencyKey: string | undefined;
  readonly #token: HandlerToken;
  readonly #host: RequestHost;
  readonly #headerFrame: Uint8Array | undefined;
  readonly #deadlineAt: Instant;
  readonly #late = new LateSignal();
  #headers: Headers | undefined;
  #isSettled = false;
  #writes: (() => void)[] | undefined;

  static {
    abort = (request, reason) => request.#late.abort(reason);
    written = (request) => request.#writes?.shift()?.();
    settle = (request) => {
      request.#isSettled = true;
      for (const resolve of request.#writes ?? []) resolve();
    };
  }

  /** Made by the worker alone. */
  constructor(event: RequestEvent, host: RequestHost) {
    super(event.body, host.codec);
    const { token, attempt, idempotencyKey, headers, deadlineAt } = event;
    this.attempt = attempt;
    this.idempotencyKey = idempotencyKey;
    this.#token = token;
    this.#host = host;
    this.#headerFrame = headers;
    this.#deadlineAt = deadlineAt;
  }

  /** Metadata that the client gave, frozen; from a stock client none. */
  get headers(): Headers {
    if (this.#headers === undefined) {
      const headers = decodeHeaders(this.#headerFrame);
      if (headers === NO_HEADERS && this.#headerFrame !== undefined) {
        this.#host.malformed('the headers of a request are not JSON of names and texts');
      }
      this.#headers = Object.freeze(headers);
    }
    return this.#headers;
  }

  /**
   * Milliseconds that the client still waits, 0 or more; `Infinity` if it said nothing about it, and under
   * an idempotency key, where others may join who wait for longer.
   */
  get timeLeft(): number {
    return Math.max(0, this.#deadlineAt - this.#host.clock.now());
  }

  /**
   * Aborts when the reply can reach no one any more: the client cancelled or is gone, the deadline
   * has passed (its `reason` is a `TimeoutError` if this was noticed here first), or the session with
   * the broker ended. Stock MDP tells of the last alone.
   */
  get signal(): AbortSignal {
    return this.#late.signal;
  }

  /**
   * Sends a part of the reply; `client.stream()` sees each one as it comes. After the first, the
   * request is not given to another worker if this one dies.
   *
   * Resolves when there is room for another part: await it, and a slow reader slows this handler
   * instead of filling memory. It never rejects; once the reply can reach no one, or too much was
   * written without awaiting, it resolves at once. Stock MDP knows nothing of its reader.
   * @param part what the worker's codec takes; by default text, bytes, or an array of these
   * @throws InvalidArgumentError `ERR_INVALID_BODY`
   */
  write(part: unknown): Promise<void> {
    const body = this.#host.codec.encode(part);
    // A worker that closes, or has closed, would have no answer to it.
    if (this.#late.isAborted || this.#isSettled) return Promise.resolve();
    return new Promise((resolve) => {
      this.#writes ??= [];
      this.#writes.push(resolve);
      this.#host.write(this.#token, body);
    });
  }
}

/** The reply can reach no one. */
export function abortRequest(request: WorkerRequest, reason?: unknown): void {
  abort(request, reason);
}

/** The oldest part that waited has left. */
export function partWritten(request: WorkerRequest): void {
  written(request);
}

/** The handler is done: nothing it wrote is waited for any more. */
export function settleRequest(request: WorkerRequest): void {
  settle(request);
}
