/**
 * Running handlers: each request ends in exactly one reply or failure, whatever its handler does.
 *
 * A machine emits a request under a token and wants to hear once how it ended. In between stands the
 * user's function, which may return, throw, promise, or promise and never keep it.
 */
import { framesOf, type Body } from '../core/body.ts';
import { decodeFailure } from '../core/error-body.ts';
import { InvalidArgumentError, type Failure } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import { NumberMap } from '../core/number-map.ts';
import { Payload } from '../core/payload.ts';

/** An AbortSignal that is made when somebody first looks at it: most handlers never do. */
export class LateSignal {
  #controller: AbortController | undefined;
  #isAborted = false;
  #reason: unknown;

  get isAborted(): boolean {
    return this.#isAborted;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** @param reason the signal's; undefined: an `AbortError` */
  abort(reason?: unknown): void {
    this.#isAborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

// What only the shell may do with a request: set below, in the scope of its private fields.
let abort: (request: HandlerRequest) => void;

/** One request as its handler sees it, in a pattern whose wire carries a body and no more. */
export class HandlerRequest extends Payload {
  readonly #late = new LateSignal();

  static {
    abort = (request) => request.#late.abort();
  }

  /** Aborts when the reply can reach no one any more, as far as the pattern can tell. */
  get signal(): AbortSignal {
    return this.#late.signal;
  }
}

/** Returns the reply, or nothing for an empty one. Throwing is an error reply, not a crash. */
export type RequestHandler = (request: HandlerRequest) => Body | void | Promise<Body | void>;

/** The reply can reach no one. Does nothing if there is no such request. */
export function abortRequest(request: HandlerRequest | undefined): void {
  if (request !== undefined) abort(request);
}

/** What running handlers needs of the shell; `reply` or `fail` is called once for each `run`. */
export interface HandlingHost<Request> {
  /** The frames of what a handler returned. Throwing, as `framesOf` does, makes it a failure. */
  encode(result: unknown): Frames;
  /** The handler is done with this request. Called just before its `reply` or `fail`. */
  settled?(request: Request): void;
  reply(token: number, body: Frames): void;
  fail(token: number, failure: Failure): void;
}

/** Runs one handler for many requests, each under the token that its machine gave it. */
export class Handling<Request extends object = HandlerRequest> {
  readonly #handler: (request: Request) => unknown;
  readonly #host: HandlingHost<Request>;
  /** Those whose handlers returned a promise. */
  readonly #running = new NumberMap<Request>();
  /** A handler is being called right now. */
  #isCalling = false;

  constructor(handler: (request: Request) => unknown, host: HandlingHost<Request>) {
    this.#handler = handler;
    this.#host = host;
  }

  /** How many handlers run now. */
  get running(): number {
    return this.#running.size + (this.#isCalling ? 1 : 0);
  }

  /** The request of a handler that has not settled; undefined also while it is only being called. */
  get(token: number): Request | undefined {
    return this.#running.get(token);
  }

  /**
   * Calls the handler; the end comes before this returns unless the handler returned a promise.
   * @param token greater with each call
   */
  run(token: number, request: Request): void {
    let result: unknown;
    let isPromised: boolean;
    this.#isCalling = true;
    try {
      result = this.#handler(request);
      isPromised = isThenable(result);
    } catch (error) {
      this.#isCalling = false;
      return this.#fail(token, request, error);
    }
    this.#isCalling = false;
    // Those that return no promise are done with at once, and at the least expense.
    if (isPromised) void this.#await(token, request, result);
    else this.#reply(token, request, result);
  }

  async #await(token: number, request: Request, promise: unknown): Promise<void> {
    this.#running.set(token, request);
    let result: unknown;
    try {
      result = await promise;
    } catch (error) {
      this.#running.delete(token);
      return this.#fail(token, request, error);
    }
    this.#running.delete(token);
    this.#reply(token, request, result);
  }

  #reply(token: number, request: Request, result: unknown): void {
    let body: Frames;
    try {
      body = this.#host.encode(result);
      // An echo of somebody's bytes must not speak in this library's name.
      if (decodeFailure(body) !== undefined) throw new Error(READS_AS_FAILURE);
    } catch (error) {
      return this.#fail(token, request, error);
    }
    this.#host.settled?.(request);
    this.#host.reply(token, body);
  }

  #fail(token: number, request: Request, error: unknown): void {
    this.#host.settled?.(request);
    this.#host.fail(token, { code: 'ERR_HANDLER_FAILED', message: messageOf(error) });
  }
}

const READS_AS_FAILURE = 'the reply reads as an error of this library: throw one instead';

/**
 * The frames of what a handler of bytes returned; nothing is an empty body.
 * @throws InvalidArgumentError `ERR_INVALID_BODY`
 */
export function encodeResult(result: unknown): Frames {
  return framesOf(result ?? []);
}

/**
 * @param owner the class that was given the handler, for messages
 * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` if it is no function
 */
export function checkHandler(owner: string, handler: unknown): void {
  if (typeof handler === 'function') return;
  const message = `${owner}: the handler must be a function, not ${typeof handler}`;
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}

function isThenable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return 'then' in value && typeof value.then === 'function';
}

/** Anything can be thrown, even what cannot be turned into text. */
function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'the handler threw something that has no text';
  }
}
