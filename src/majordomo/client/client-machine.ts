/**
 * The Majordomo client as a pure machine: the life of each request, whatever carries it.
 *
 *   waiting ──► sent ──► replied | failed
 *     ▲          │ ▲
 *     │     lost ▼ │ back-off over
 *     └──────── resting
 *
 * What is lost on a lane rests before the next try, as only time told; what an express session is
 * known to have lost is tried again at once.
 */
import { Deadlines } from '../../core/deadlines.ts';
import type { RequestErrorCode } from '../../core/errors.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import { sizeOf } from '../../core/frames.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import { backoffDelay } from '../../core/retry.ts';
import { Carriers, type ClientPort } from './carriers.ts';
import {
  describeTimeout,
  newRequest,
  stockTry,
  type ClientCall,
  type ClientEvent,
  type ClientLossReason,
  type ClientRequest,
  type ClientSettings,
  type RequestCall,
  type RequestId,
} from './client-request.ts';
import {
  hasPartials,
  keepBody,
  type ClientInput,
  type ClientOutput,
  type ReplyCommand,
} from '../wire/commands.ts';
import { decodeFailure } from '../../core/error-body.ts';
import { RequestLine } from './request-line.ts';

export type {
  ClientCall,
  ClientEvent,
  ClientLossReason,
  ClientPort,
  ClientSettings,
  RequestCall,
  RequestId,
};

export class ClientMachine implements Machine<ClientPort, ClientInput, ClientCall> {
  readonly #outbox: Outbox<ClientPort, ClientOutput, ClientEvent>;
  readonly #settings: ClientSettings;
  readonly #state = {
    phase: 'open' as 'open' | 'draining' | 'stopping' | 'drained',
    requests: new NumberMap<ClientRequest>(),
    /** When room that came free is given to those who wait. */
    fillAt: Infinity,
  };
  readonly #line: RequestLine<ClientRequest>;
  readonly #carriers: Carriers;
  readonly #steps = new Deadlines<ClientRequest>();

  constructor(outbox: Outbox<ClientPort, ClientOutput, ClientEvent>, settings: ClientSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#line = new RequestLine({ limit: settings.queueLimit, bytes: settings.queueBytes });
    this.#carriers = new Carriers(outbox, settings, {
      handleReply: (now, request, command) => this.#takeReply(now, request, command),
      handleLost: (now, requests) => this.#takeLost(now, requests),
      handleRoom: (now) => this.#fill(now),
    });
  }

  get nextTimeout(): Instant {
    return Math.min(this.#steps.next, this.#state.fillAt, this.#carriers.nextTimeout);
  }

  fingerprint(now: Instant): string {
    return fingerprintOf([this.#state, this.#line.state, this.#carriers.state], now);
  }

  /** Requests without an outcome, and how many of them wait for their first try. */
  get outstanding(): number {
    return this.#state.requests.size;
  }

  get waiting(): number {
    return this.#line.waiting;
  }

  handleCommand(now: Instant, port: ClientPort, _from: Address, command: ClientInput): void {
    this.#carriers.handleCommand(now, port, command);
  }

  handleMalformed(_now: Instant, _port: ClientPort, _from: Address, reason: string): void {
    this.#outbox.emit({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: ClientCall): void {
    if (call.type === 'request') return this.#accept(now, call);
    if (call.type === 'connect') {
      if (this.#state.phase !== 'drained') this.#carriers.connect(now, call.endpoints);
    } else if (call.type === 'drain') {
      if (this.#state.phase === 'open') this.#state.phase = 'draining';
      this.#finishDraining();
    } else if (call.type === 'stop') {
      if (this.#state.phase !== 'drained') this.#state.phase = 'stopping';
      for (const request of this.#state.requests.values()) {
        this.#fail(now, request, 'ERR_CANCELLED', 'the client was closed before a reply came');
      }
      this.#finishDraining();
    } else {
      const request = this.#state.requests.get(call.id);
      if (request === undefined) return;
      if (call.type === 'taken') this.#carriers.taken(request, call.bytes);
      else this.#fail(now, request, 'ERR_CANCELLED', call.reason);
    }
  }

  /**
   * The link broke; the socket reconnects by itself, under its old address. An express session goes on.
   * In stock MDP either the broker died, and the request with it, or it lives and the reply may still
   * come: the try gets a grace. A reply in parts gets none, as some may be lost.
   */
  handlePeerGone(now: Instant, port: ClientPort): void {
    const request = this.#carriers.handlePeerGone(now, port)?.request;
    if (request === undefined) return;
    if (!hasPartials(request.call.dialect)) {
      return this.#step(request, Math.min(request.stepAt, now + this.#settings.noticeGrace));
    }
    if (this.#mayRetry(request)) return this.#giveUpTry(now, request);
    this.#fail(now, request, 'ERR_WORKER_LOST', LINK_BROKE);
  }

  handleWritable(now: Instant, port: ClientPort): void {
    this.#carriers.handleWritable(now, port);
  }

  handleStored(): void {
    // A client stores nothing.
  }

  handleTimeout(now: Instant): void {
    this.#carriers.handleTimeout(now);
    for (;;) {
      const request = this.#steps.takeDue(now);
      if (request === undefined) break;
      if (request.deadlineAt <= now) this.#timeOut(now, request);
      else if (request.state === 'sent') this.#giveUpTry(now, request);
      else {
        this.#wait(request);
        this.#state.fillAt = now;
      }
    }
    if (this.#state.fillAt <= now) this.#fill(now);
  }

  // A request's life

  #accept(now: Instant, call: RequestCall): void {
    const request = newRequest(now, call);
    if (this.#state.phase !== 'open') {
      return this.#emitFailed(request, 'ERR_CANCELLED', 'the client is closing');
    }
    if (request.needsExpress && this.#carriers.isPlain) {
      return this.#emitFailed(request, 'ERR_NOT_SUPPORTED', PLAIN_BROKER);
    }
    // Whoever waits is older, so room means that nobody waits.
    if (!this.#send(now, request) && !this.#line.push(request, sizeOf(call.body))) {
      const { queueLimit, queueBytes } = this.#settings;
      const bounds = `${queueLimit} requests or ${queueBytes} bytes`;
      const message = `the client's queue is full (${bounds}): await some replies first`;
      return this.#emitFailed(request, 'ERR_QUEUE_FULL', message);
    }
    this.#state.requests.set(call.id, request);
    this.#step(request, request.stepAt);
  }

  /** False: nothing has room for it, and nothing happened. */
  #send(now: Instant, request: ClientRequest): boolean {
    if (!this.#carriers.carry(now, request)) return false;
    request.state = 'sent';
    request.attempts++;
    if (request.attempts > 1) {
      const { id, service } = request.call;
      const endpoint = this.#carriers.endpointOf(request);
      this.#outbox.emit({ type: 'retry', id, service, attempt: request.attempts, endpoint });
    }
    return true;
  }

  #takeReply(now: Instant, request: ClientRequest, command: ReplyCommand): void {
    if (!command.final) return this.#takePartial(now, request, command);
    const { body } = command;
    const failure = command.failure ?? decodeFailure(body);
    if (failure?.code === 'ERR_BROKER_CLOSING' && this.#askElsewhere(now, request)) return;
    this.#end(request);
    if (failure === undefined) {
      const { parts } = request;
      const whole = parts === undefined ? keepBody(command) : [...parts, ...keepBody(command)];
      this.#outbox.emit({ type: 'reply', id: request.call.id, body: whole });
    } else {
      this.#emitFailed(request, failure.code, failure.message, failure.retryAfter);
    }
    this.#carriers.release(now, request);
    this.#fill(now);
    this.#finishDraining();
  }

  #takePartial(now: Instant, request: ClientRequest, command: ReplyCommand): void {
    const { body, failure } = command;
    const { id, streaming, broadcast = false } = request.call;
    request.sequence++;
    if (request.stepAt < Infinity) this.#step(request, now + stockTry(request.call));
    if (streaming || broadcast) {
      request.partialSeen = true;
      this.#outbox.emit({ type: 'partial', id, body: keepBody(command), failure });
    } else (request.parts ??= []).push(...keepBody(command));
    if (streaming) return;
    request.partBytes += sizeOf(body);
    const { replyBufferBytes } = this.#settings;
    if (request.partBytes <= replyBufferBytes) return;
    const message = `the partial replies exceed ${replyBufferBytes} bytes: use stream()`;
    this.#fail(now, request, 'ERR_REPLY_TOO_LARGE', message);
  }

  /** A broker that closes did not lose the request, it never took it. True: it is tried again. */
  #askElsewhere(now: Instant, request: ClientRequest): boolean {
    if (request.partialSeen) return false;
    if (request.lane !== undefined) {
      if (!this.#mayRetry(request)) return false;
      this.#giveUpTry(now, request);
      return true;
    }
    request.attempts--;
    this.#wait(request);
    this.#carriers.turnAway(now, request);
    return true;
  }

  /** The carriers know that these tries are lost: no need to rest before the next one. */
  #takeLost(now: Instant, requests: readonly ClientRequest[]): void {
    for (const request of requests) {
      if (request.partialSeen) this.#fail(now, request, 'ERR_WORKER_LOST', LINK_BROKE);
      else if (this.#mayRetry(request)) this.#wait(request);
      else this.#timeOut(now, request);
    }
    this.#fill(now);
  }

  /** The try is over without a reply. A lane's socket goes, and the request rests before the next one. */
  #giveUpTry(now: Instant, request: ClientRequest): void {
    if (!this.#mayRetry(request)) return this.#timeOut(now, request);
    const wasOnLane = request.lane !== undefined;
    this.#carriers.abandon(now, request, true);
    this.#fillSoon(now);
    if (!wasOnLane) return this.#wait(request);
    forgetTry(request);
    request.state = 'resting';
    const { random } = this.#settings;
    this.#step(request, now + backoffDelay(this.#settings, request.attempts - 1, random));
  }

  #mayRetry(request: ClientRequest): boolean {
    return request.attempts <= request.call.retries && !request.partialSeen;
  }

  /** It is sent again before all that wait, as soon as there is room. */
  #wait(request: ClientRequest): void {
    forgetTry(request);
    request.state = 'waiting';
    this.#line.pushAgain(request);
    this.#step(request, Infinity);
  }

  #timeOut(now: Instant, request: ClientRequest): void {
    const limit =
      request.deadlineAt <= now ? `within ${request.call.timeout} ms` : 'and no try is left';
    this.#fail(now, request, 'ERR_REQUEST_TIMEOUT', describeTimeout(request, limit));
  }

  #fail(now: Instant, request: ClientRequest, code: RequestErrorCode, message: string): void {
    this.#end(request);
    this.#carriers.abandon(now, request, code === 'ERR_REQUEST_TIMEOUT');
    this.#emitFailed(request, code, message);
    this.#fillSoon(now);
    this.#finishDraining();
  }

  #emitFailed(
    { call: { id, service } }: ClientRequest,
    code: RequestErrorCode,
    message: string,
    retryAfter?: number,
  ): void {
    this.#outbox.emit({ type: 'failed', id, service, code, message, retryAfter });
  }

  /** The request leaves every table; what carries it is the caller's to release or abandon. */
  #end(request: ClientRequest): void {
    if (request.state === 'waiting') this.#line.delete(request);
    request.state = 'ended';
    this.#state.requests.delete(request.call.id);
    this.#steps.delete(request);
  }

  #step(request: ClientRequest, at: Instant): void {
    request.stepAt = at;
    this.#steps.set(request, Math.min(at, request.deadlineAt));
  }

  // Who waits for room

  /**
   * Not at once: where one ends without a reply many do (a shared AbortSignal, a broker gone), and each
   * would open a socket for another that ends a moment later.
   */
  #fillSoon(now: Instant): void {
    this.#state.fillAt = Math.min(this.#state.fillAt, now + 1);
  }

  #fill(now: Instant): void {
    this.#state.fillAt = Infinity;
    // In the end what waits is about to be cancelled: nothing is opened for it.
    if (this.#line.isEmpty || this.#state.phase === 'stopping') return;
    if (this.#carriers.isPlain) {
      for (const request of this.#line.takeNeedingExpress()) {
        this.#fail(now, request, 'ERR_NOT_SUPPORTED', PLAIN_BROKER);
      }
    }
    while (this.#carriers.hasRoom) {
      const next = this.#line.take(this.#carriers.isExpress);
      if (next === undefined) return;
      if (!this.#send(now, next)) return this.#line.pushAgain(next);
      this.#step(next, next.stepAt);
    }
  }

  #finishDraining(): void {
    const { phase, requests } = this.#state;
    if (phase === 'open' || phase === 'drained' || requests.size > 0) return;
    this.#state.phase = 'drained';
    this.#carriers.close();
    this.#outbox.emit({ type: 'drained' });
  }
}

const LINK_BROKE = 'the worker or the link to the broker was lost before the reply was whole';
const PLAIN_BROKER =
  'plain MDP is spoken with this broker, and this needs express: at the broker, and by the client';

/** The next try begins from nothing. */
function forgetTry(request: ClientRequest): void {
  request.sequence = 0;
  request.parts = undefined;
  request.partBytes = 0;
  request.takenBytes = 0;
  request.toldBytes = 0;
}
