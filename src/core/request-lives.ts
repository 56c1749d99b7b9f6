/**
 * The life of each request of a client, whatever carries it.
 *
 *   waiting ──► sent ──► answered | failed
 *     ▲          │ ▲
 *     │     lost ▼ │ back-off over
 *     └──────── resting
 *
 * Each has one deadline for the whole, and a time for its present try. A try that only time gave up is
 * followed by a rest; one that is known to be lost is repeated at once, before all that wait. Whatever
 * happens, each request has exactly one outcome: `answered`, or a failure that its owner is told.
 */
import { Deadlines } from './deadlines.ts';
import type { RequestErrorCode } from './errors.ts';
import { sizeOf } from './frames.ts';
import type { Frames, Instant } from './machine.ts';
import { NumberMap } from './number-map.ts';
import type { RequestLine } from './request-line.ts';
import { backoffDelay, type BackoffSettings, type Random } from './retry.ts';

/** What a request is given for its way. */
export interface RequestTerms {
  /** Chosen by the caller, unique among the requests not yet answered. */
  readonly id: number;
  readonly body: Frames;
  /** Milliseconds for the whole. */
  readonly timeout: number;
  /** Milliseconds for one try. */
  readonly attemptTimeout?: number | undefined;
  readonly retries: number;
}

/** What is kept of a request; clients add what carries it. */
export class RequestLife<Call extends RequestTerms> {
  readonly call: Call;
  /** When the whole has failed. */
  readonly deadlineAt: Instant;
  /** When the present try has failed, or the next one begins. */
  stepAt: Instant = Infinity;
  state: 'waiting' | 'sent' | 'resting' | 'ended' = 'waiting';
  /** Tries begun. */
  attempts = 0;
  /** How often who was asked said that another is to be asked. */
  refusals = 0;
  /** With so many tries begun there is no other. */
  attemptLimit: number;

  constructor(now: Instant, call: Call) {
    this.call = call;
    this.deadlineAt = now + call.timeout;
    this.attemptLimit = call.retries + 1;
  }

  /** True if it may be tried again. */
  get hasTries(): boolean {
    return this.attempts < this.attemptLimit;
  }
}

/** What carries requests. */
export interface Carrier<Request> {
  /** True if a request could be sent at once. */
  readonly hasRoom: boolean;
  /** Sends it and says when its try has failed. Undefined: nothing has room for it, nothing happened. */
  carry(now: Instant, request: Request): Instant | undefined;
  /** True if nothing but time can tell that a try is lost there: the next one comes after a rest. */
  needsRest(request: Request): boolean;
  /** It was answered: what carried it is free for another. */
  release(now: Instant, request: Request): void;
  /**
   * A reply may still come: it must find nobody. Does nothing for a request that is not carried.
   * @param letDown the try had its time
   */
  abandon(now: Instant, request: Request, letDown: boolean): void;
  /** Closes everything; no request is under way. */
  close(): void;
}

/** Whose requests they are. Not to be called back into. */
export interface LivesOwner<Request> {
  /** It was sent once more. */
  handleRetry(request: Request): void;
  /** Its outcome, if it is not a reply. */
  handleFailure(request: Request, code: RequestErrorCode, message: string): void;
  /** The end that `drain` or `stop` asked for. */
  handleDrained(): void;
  /** Words for how far it had come when its time was over, or its tries; `limit` says which. */
  describeTimeout(request: Request, limit: string): string;
}

export interface LivesSettings extends BackoffSettings {
  readonly queueLimit: number;
  readonly queueBytes: number;
  readonly random: Random;
}

export class RequestLives<Request extends RequestLife<RequestTerms>> {
  readonly #settings: LivesSettings;
  readonly #line: RequestLine<Request>;
  readonly #carrier: Carrier<Request>;
  readonly #owner: LivesOwner<Request>;
  readonly #state = {
    phase: 'open' as 'open' | 'draining' | 'stopping' | 'drained',
    requests: new NumberMap<Request>(),
    /** When room that came free is given to those who wait. */
    fillAt: Infinity,
  };
  readonly #steps = new Deadlines<Request>();

  /** @param line bounded as `settings` say */
  constructor(
    settings: LivesSettings,
    line: RequestLine<Request>,
    carrier: Carrier<Request>,
    owner: LivesOwner<Request>,
  ) {
    this.#settings = settings;
    this.#line = line;
    this.#carrier = carrier;
    this.#owner = owner;
  }

  /** Plain data, for the fingerprint. */
  get state(): unknown {
    return [this.#state, this.#line.state];
  }

  get nextTimeout(): Instant {
    return Math.min(this.#steps.next, this.#state.fillAt);
  }

  /** Requests without an outcome. */
  get outstanding(): number {
    return this.#state.requests.size;
  }

  /** True while new requests are taken in. */
  get isOpen(): boolean {
    return this.#state.phase === 'open';
  }

  /** True when nothing is outstanding, and nothing will be. */
  get isDrained(): boolean {
    return this.#state.phase === 'drained';
  }

  // What the user asks

  /** Takes it in and sends it if there is room, or fails it. */
  accept(now: Instant, request: Request): void {
    if (!this.isOpen) {
      return this.#owner.handleFailure(request, 'ERR_CANCELLED', 'the client is closing');
    }
    const { call } = request;
    // Whoever waits is older, also while room that came free is not given away yet.
    const isFirst = this.#line.size === 0;
    if (!(isFirst && this.#send(now, request)) && !this.#line.push(request, sizeOf(call.body))) {
      const { queueLimit, queueBytes } = this.#settings;
      const bounds = `${queueLimit} requests or ${queueBytes} bytes`;
      const message = `the client's queue is full (${bounds}): await some replies first`;
      return this.#owner.handleFailure(request, 'ERR_QUEUE_FULL', message);
    }
    this.#state.requests.set(call.id, request);
    this.step(request, request.stepAt);
    if (!isFirst && this.#carrier.hasRoom) this.#fillSoon(now);
  }

  /** The request with this id, unless it has ended. */
  get(id: number): Request | undefined {
    return this.#state.requests.get(id);
  }

  /** Does nothing if the request has ended. */
  cancel(now: Instant, id: number, reason: string): void {
    const request = this.get(id);
    if (request !== undefined) this.fail(now, request, 'ERR_CANCELLED', reason);
  }

  /** Takes nothing new, and waits for what is outstanding. */
  drain(): void {
    if (this.#state.phase === 'open') this.#state.phase = 'draining';
    this.#finishDraining();
  }

  /** Cancels what is outstanding. */
  stop(now: Instant): void {
    if (this.#state.phase !== 'drained') this.#state.phase = 'stopping';
    for (const request of this.#state.requests.values()) {
      this.fail(now, request, 'ERR_CANCELLED', 'the client was closed before a reply came');
    }
    this.#finishDraining();
  }

  // What happens on the way

  handleTimeout(now: Instant): void {
    for (;;) {
      const request = this.#steps.takeDue(now);
      if (request === undefined) break;
      if (request.deadlineAt <= now) this.#timeOut(now, request);
      else if (request.state === 'sent') this.giveUpTry(now, request);
      else {
        this.#wait(request);
        this.#state.fillAt = now;
      }
    }
    if (this.#state.fillAt <= now) this.fill(now);
  }

  /** Its present try has failed at `at`, if nothing comes before. */
  step(request: Request, at: Instant): void {
    request.stepAt = at;
    this.#steps.set(request, Math.min(at, request.deadlineAt));
  }

  /** Its outcome is a reply, or a failure that its owner has told. */
  settle(now: Instant, request: Request): void {
    this.#end(request);
    this.#carrier.release(now, request);
    this.fill(now);
    this.#finishDraining();
  }

  /** The try is over without a reply: it is followed by another, if any is left. */
  giveUpTry(now: Instant, request: Request): void {
    if (!request.hasTries) return this.#timeOut(now, request);
    const needsRest = this.#carrier.needsRest(request);
    this.#carrier.abandon(now, request, true);
    this.#fillSoon(now);
    if (!needsRest) return this.#wait(request);
    this.#rest(now, request, request.attempts - 1);
  }

  /** Who was asked never took it: that was no try. Another one is asked after a rest, longer each time. */
  askElsewhere(now: Instant, request: Request): void {
    request.attempts--;
    this.#carrier.abandon(now, request, true);
    this.#fillSoon(now);
    this.#rest(now, request, request.refusals++);
  }

  /** The carrier knows that its try is lost, and has let it go: to be followed by `fill`. */
  tryAgain(now: Instant, request: Request): void {
    if (request.hasTries) this.#wait(request);
    else this.#timeOut(now, request);
  }

  /** Its outcome is this failure. */
  fail(now: Instant, request: Request, code: RequestErrorCode, message: string): void {
    this.#end(request);
    this.#carrier.abandon(now, request, code === 'ERR_REQUEST_TIMEOUT');
    this.#owner.handleFailure(request, code, message);
    this.#fillSoon(now);
    this.#finishDraining();
  }

  /** Sends what waits, as far as there is room. */
  fill(now: Instant): void {
    this.#state.fillAt = Infinity;
    // In the end what waits is about to be cancelled: nothing is opened for it.
    if (this.#line.size === 0 || this.#state.phase === 'stopping') return;
    while (this.#carrier.hasRoom) {
      const next = this.#line.take();
      if (next === undefined) return;
      if (!this.#send(now, next)) return this.#line.pushAgain(next);
      this.step(next, next.stepAt);
    }
  }

  /**
   * Not at once: where one ends without a reply many do (a shared AbortSignal, a server gone), and each
   * would open a socket for another that ends a moment later.
   */
  #fillSoon(now: Instant): void {
    this.#state.fillAt = Math.min(this.#state.fillAt, now + 1);
  }

  /** False: nothing has room for it, and nothing happened. */
  #send(now: Instant, request: Request): boolean {
    const stepAt = this.#carrier.carry(now, request);
    if (stepAt === undefined) return false;
    request.stepAt = stepAt;
    request.state = 'sent';
    request.attempts++;
    if (request.attempts > 1) this.#owner.handleRetry(request);
    return true;
  }

  /** It is sent again before all that wait, as soon as there is room. */
  #wait(request: Request): void {
    request.state = 'waiting';
    this.#line.pushAgain(request);
    this.step(request, Infinity);
  }

  #rest(now: Instant, request: Request, retry: number): void {
    const delay = backoffDelay(this.#settings, retry, this.#settings.random);
    request.state = 'resting';
    this.step(request, now + delay);
  }

  #timeOut(now: Instant, request: Request): void {
    const limit =
      request.deadlineAt <= now ? `within ${request.call.timeout} ms` : 'and no try is left';
    const message = this.#owner.describeTimeout(request, limit);
    this.fail(now, request, 'ERR_REQUEST_TIMEOUT', message);
  }

  /** The request leaves every table; what carries it is the caller's to release or abandon. */
  #end(request: Request): void {
    if (request.state === 'waiting') this.#line.delete(request);
    request.state = 'ended';
    this.#state.requests.delete(request.call.id);
    this.#steps.delete(request);
  }

  #finishDraining(): void {
    const { phase, requests } = this.#state;
    if (phase === 'open' || phase === 'drained' || requests.size > 0) return;
    this.#state.phase = 'drained';
    this.#carrier.close();
    this.#owner.handleDrained();
  }
}

/** Milliseconds for one try of a request without a timeout. */
const LONGEST_TRY = 60_000;

/** Nor does one try get less, however many there may be: it would be over before a reply could come. */
const SHORTEST_TRY = 10;

/** What one try gets of the whole. A request that may last for ever still needs tries that end. */
export function tryTime({
  attemptTimeout,
  timeout,
  retries,
}: Pick<RequestTerms, 'attemptTimeout' | 'timeout' | 'retries'>): number {
  const share = timeout === Infinity ? LONGEST_TRY : timeout / (retries + 1);
  return attemptTimeout ?? Math.max(SHORTEST_TRY, share);
}
