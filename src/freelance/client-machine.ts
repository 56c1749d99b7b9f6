/**
 * The Freelance client as a pure machine: the life of each request, whatever becomes of servers.
 *
 *   waiting ──► sent ──► replied | failed
 *      ▲          │
 *      └──────────┘ the last try is lost, and no other server has room
 *
 * A request may have several tries under way: the first answer to any of them is its outcome, the others
 * are forgotten. When a server is lost, what it had in its hands is asked of the next one in the same turn.
 */
import { Deadlines } from '../core/deadlines.ts';
import { decodeFailure } from '../core/error-body.ts';
import type { RequestErrorCode } from '../core/errors.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { keepFrames } from '../core/frames.ts';
import type { Address, Instant, Machine, Outbox } from '../core/machine.ts';
import { NumberMap } from '../core/number-map.ts';
import { tryTime } from '../core/request-lives.ts';
import {
  describeTimeout,
  newRequest,
  type ClientCall,
  type ClientEvent,
  type ClientRequest,
  type ClientSettings,
  type RequestCall,
  type RequestId,
  type RetryReason,
  type Try,
} from './client-request.ts';
import type { ClientInput, ClientOutput, ReplyCommand } from './commands.ts';
import { requestIn, tryIn } from '../core/control-frame.ts';
import { RequestLine } from './request-line.ts';
import { Servers, type Server, type ServerHealth, type ServerPort } from './servers.ts';
import { Tries, tryOf } from './tries.ts';

export type {
  ClientCall,
  ClientEvent,
  ClientSettings,
  RequestCall,
  RequestId,
  RetryReason,
  ServerHealth,
  ServerPort,
};

export class ClientMachine implements Machine<ServerPort, ClientInput, ClientCall> {
  readonly #outbox: Outbox<ServerPort, ClientOutput, ClientEvent>;
  readonly #settings: ClientSettings;
  readonly #state = {
    phase: 'open' as 'open' | 'draining' | 'drained',
    requests: new NumberMap<ClientRequest>(),
    /** Requests with a try under way. */
    inFlight: 0,
    /** When room that came free is given to those who wait. */
    fillAt: Infinity,
  };
  readonly #servers: Servers<Try>;
  readonly #line: RequestLine;
  readonly #tries: Tries;
  readonly #steps = new Deadlines<ClientRequest>();

  constructor(outbox: Outbox<ServerPort, ClientOutput, ClientEvent>, settings: ClientSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#servers = new Servers(outbox, settings);
    this.#line = new RequestLine({ limit: settings.queueLimit, bytes: settings.queueBytes });
    this.#tries = new Tries(outbox, this.#servers, settings);
  }

  get nextTimeout(): Instant {
    return Math.min(this.#steps.next, this.#servers.nextTimeout, this.#state.fillAt);
  }

  fingerprint(now: Instant): string {
    const parts = [this.#state, this.#servers.state, this.#line.state, this.#tries.state];
    return fingerprintOf(parts, now);
  }

  /** Requests without an outcome; how many of them are under way, and how many wait. */
  get outstanding(): number {
    return this.#state.requests.size;
  }

  get inFlight(): number {
    return this.#state.inFlight;
  }

  get waiting(): number {
    return this.#line.size;
  }

  /** The servers, in the order of connecting. */
  get servers(): readonly ServerHealth[] {
    return this.#servers.status();
  }

  handleCommand(now: Instant, port: ServerPort, _from: Address, command: ClientInput): void {
    const server = this.#servers.of(port);
    if (server === undefined) return;
    if (command.type === 'reply') return this.#takeReply(now, server, command);
    if (this.#servers.handlePong(now, server)) this.#fill(now);
  }

  handleMalformed(_now: Instant, port: ServerPort, _from: Address, reason: string): void {
    const endpoint = this.#servers.of(port)?.endpoint ?? '';
    this.#outbox.emit({ type: 'malformed', endpoint, reason });
  }

  handleCall(now: Instant, call: ClientCall): void {
    if (call.type === 'request') return this.#accept(now, call);
    if (call.type === 'connect') {
      if (this.#state.phase !== 'drained') this.#servers.connect(now, call.endpoints);
    } else if (call.type === 'cancel') {
      const request = this.#state.requests.get(call.id);
      if (request !== undefined) this.#fail(now, request, 'ERR_CANCELLED', call.reason);
    } else {
      if (this.#state.phase === 'open') this.#state.phase = 'draining';
      if (call.type === 'stop') this.#cancelAll(now);
      this.#finishDraining();
    }
  }

  /** The link broke, most often as the process at its other end died: no need to wait for its silence. */
  handlePeerGone(now: Instant, port: ServerPort): void {
    this.#failOver(now, this.#servers.handlePeerGone(now, port));
  }

  handleWritable(now: Instant, port: ServerPort): void {
    this.#servers.handleWritable(port);
    this.#fill(now);
  }

  handleStored(): void {
    // A client stores nothing.
  }

  handleTimeout(now: Instant): void {
    const hadRoom = this.#servers.hasRoom;
    this.#failOver(now, this.#servers.handleTimeout(now));
    if (!hadRoom && this.#servers.hasRoom) this.#state.fillAt = now;
    for (;;) {
      const request = this.#steps.takeDue(now);
      if (request === undefined) break;
      if (request.deadlineAt <= now) this.#timeOut(now, request);
      else if (request.attemptAt <= now) this.#tryFurther(now, request);
      else this.#hedge(now, request);
    }
    if (this.#state.fillAt <= now) this.#fill(now);
  }

  // A request's life

  #accept(now: Instant, call: RequestCall): void {
    if (this.#state.phase !== 'open') {
      return this.#emitFailed(call.id, 'ERR_CANCELLED', 'the client is closing');
    }
    const request = newRequest(now, call);
    // Whoever waits is older.
    const isSent = this.#line.size === 0 && this.#hasRoom && this.#start(now, request);
    if (!isSent && !this.#line.push(request)) {
      const { queueLimit, queueBytes } = this.#settings;
      const bounds = `${queueLimit} requests or ${queueBytes} bytes`;
      const message = `the client's queue is full (${bounds}): await some replies first`;
      return this.#emitFailed(call.id, 'ERR_QUEUE_FULL', message);
    }
    this.#tries.earn();
    this.#state.requests.set(call.id, request);
    if (!isSent) this.#arm(request);
  }

  get #hasRoom(): boolean {
    return this.#state.inFlight < this.#settings.inFlightLimit;
  }

  /** Sends one that has no try under way. False: no server has room for it, and nothing happened. */
  #start(now: Instant, request: ClientRequest): boolean {
    if (!this.#tries.begin(now, request)) return false;
    const { tries, reason } = request;
    this.#state.inFlight++;
    request.state = 'sent';
    if (reason !== undefined) {
      request.repeats++;
      for (const { server } of tries) this.#emitRetry(request, server, reason);
    }
    this.#schedule(now, request);
    return true;
  }

  #takeReply(now: Instant, server: Server<Try>, { control, body }: ReplyCommand): void {
    if (server.state === 'live') this.#servers.heard(now, server);
    const request = this.#state.requests.get(requestIn(control));
    const answered = request && tryOf(request, tryIn(control), server);
    if (request === undefined || answered === undefined) {
      return this.#outbox.emit({ type: 'replyIgnored', endpoint: server.endpoint });
    }
    const failure = decodeFailure(body);
    if (failure === undefined || !REFUSALS.has(failure.code)) this.#tries.measure(now, answered);
    else if (this.#takeRefusal(now, answered, failure.code)) return;
    this.#end(request);
    const { id } = request.call;
    if (failure === undefined) this.#outbox.emit({ type: 'reply', id, body: keepFrames(body) });
    else this.#emitFailed(id, failure.code, failure.message);
    this.#fill(now);
    this.#finishDraining();
  }

  /** The server will not answer it. True: it is asked elsewhere, or will be; this is no answer. */
  #takeRefusal(now: Instant, refused: Try, code: RequestErrorCode): boolean {
    const isClosing = code === 'ERR_SERVER_CLOSING';
    const { request, server } = refused;
    this.#tries.forget(refused);
    if (isClosing) this.#servers.handleClosing(now, server);
    else (request.refusedBy ??= new Set()).add(server);
    const mayRepeat = this.#mayRepeat(request);
    const isAlone = request.tries.length === 0;
    if (mayRepeat && isClosing && isAlone) this.#restart(now, request, 'refused');
    else if (mayRepeat) this.#repeat(now, request, 'refused', isClosing);
    return request.state === 'waiting' || request.tries.length > 0;
  }

  /** These tries are lost with their servers. They were begun, and may have been finished. */
  #failOver(now: Instant, lost: readonly Try[]): void {
    for (const attempt of lost) this.#tries.forget(attempt);
    for (const { request } of lost) {
      if (request.state !== 'sent') continue;
      // One that still has its time is enough.
      if (request.tries.some(({ sentAt }) => now < sentAt + tryTime(request.call))) continue;
      const mayRepeat = this.#mayRepeat(request);
      if (request.tries.length > 0) {
        if (mayRepeat) this.#repeat(now, request, 'serverLost', true);
      } else if (mayRepeat) this.#restart(now, request, 'serverLost');
      else this.#timeOut(now, request);
    }
    if (lost.length > 0) this.#fill(now);
  }

  /** It has no try under way: at once to the next server, or else before all that were accepted later. */
  #restart(now: Instant, request: ClientRequest, reason: RetryReason): void {
    this.#state.inFlight--;
    request.state = 'waiting';
    request.reason = reason;
    if (this.#start(now, request)) return;
    request.attemptAt = Infinity;
    request.hedgeAt = Infinity;
    this.#line.pushAgain(request);
    this.#arm(request);
  }

  /** Too long without an answer: one more server, while those asked before may still answer. */
  #tryFurther(now: Instant, request: ClientRequest): void {
    this.#tries.blame(now, request);
    request.refusedBy = undefined;
    request.attemptAt = this.#mayRepeat(request) ? now + tryTime(request.call) : Infinity;
    this.#arm(request);
    if (this.#mayRepeat(request)) this.#repeat(now, request, 'timeout', false);
  }

  #hedge(now: Instant, request: ClientRequest): void {
    request.hedgeAt = Infinity;
    this.#arm(request);
    if (!this.#mayRepeat(request)) return;
    const server = this.#tries.add(now, request, 'hedge', false);
    if (server === undefined) return;
    request.isHedged = true;
    this.#outbox.emit({ type: 'hedge', id: request.call.id, endpoint: server.endpoint });
  }

  /** @param isFree whether it is left out of the budget */
  #repeat(now: Instant, request: ClientRequest, reason: RetryReason, isFree: boolean): void {
    const server = this.#tries.add(now, request, reason, isFree);
    if (server === undefined) return;
    this.#emitRetry(request, server, reason);
    this.#schedule(now, request);
  }

  #timeOut(now: Instant, request: ClientRequest): void {
    this.#tries.blame(now, request);
    const isOver = request.deadlineAt <= now;
    const { live, count } = this.#servers;
    const message = describeTimeout(request, isOver, live.length, count);
    this.#fail(now, request, 'ERR_REQUEST_TIMEOUT', message);
  }

  #fail(now: Instant, request: ClientRequest, code: RequestErrorCode, message: string): void {
    this.#end(request);
    this.#emitFailed(request.call.id, code, message);
    this.#fillSoon(now);
    this.#finishDraining();
  }

  #cancelAll(now: Instant): void {
    for (const request of this.#state.requests.values()) {
      this.#fail(now, request, 'ERR_CANCELLED', 'the client was closed before a reply came');
    }
  }

  /** The request leaves every table; what is still answered finds nobody. */
  #end(request: ClientRequest): void {
    if (request.state === 'waiting') this.#line.delete(request);
    else this.#state.inFlight--;
    this.#tries.forgetAll(request);
    request.state = 'ended';
    this.#state.requests.delete(request.call.id);
    this.#steps.delete(request);
  }

  #emitFailed(id: RequestId, code: RequestErrorCode, message: string): void {
    this.#outbox.emit({ type: 'failed', id, code, message });
  }

  #emitRetry(request: ClientRequest, { endpoint }: Server<Try>, reason: RetryReason): void {
    const { call, repeats } = request;
    this.#outbox.emit({ type: 'retry', id: call.id, endpoint, attempt: repeats + 1, reason });
  }

  #mayRepeat({ repeats, call }: ClientRequest): boolean {
    return repeats < call.retries;
  }

  /** When more is to be done for what was sent just now. */
  #schedule(now: Instant, request: ClientRequest): void {
    const { call, isHedged } = request;
    const isToHedge = call.hedge && !isHedged && call.strategy !== 'all';
    const usual = isToHedge ? this.#tries.usualTime : undefined;
    request.attemptAt = now + tryTime(call);
    request.hedgeAt = usual === undefined ? Infinity : now + Math.max(1, usual);
    this.#arm(request);
  }

  #arm(request: ClientRequest): void {
    const { deadlineAt, attemptAt, hedgeAt } = request;
    this.#steps.set(request, Math.min(deadlineAt, attemptAt, hedgeAt));
  }

  // Who waits for room

  /**
   * Not at once: where one ends without a reply many do (a shared AbortSignal), and each would let
   * another one be sent that ends a moment later.
   */
  #fillSoon(now: Instant): void {
    this.#state.fillAt = Math.min(this.#state.fillAt, now + 1);
  }

  #fill(now: Instant): void {
    this.#state.fillAt = Infinity;
    while (this.#line.size > 0 && this.#hasRoom && this.#servers.hasRoom) {
      const next = this.#line.first!;
      if (!this.#start(now, next)) return;
      this.#line.delete(next);
    }
  }

  #finishDraining(): void {
    const { phase, requests } = this.#state;
    if (phase === 'open' || phase === 'drained' || requests.size > 0) return;
    this.#state.phase = 'drained';
    this.#state.fillAt = Infinity;
    this.#servers.close();
    this.#outbox.emit({ type: 'drained' });
  }
}

/** What a server says of a request that it will not answer. */
const REFUSALS: ReadonlySet<RequestErrorCode> = new Set(['ERR_QUEUE_FULL', 'ERR_SERVER_CLOSING']);
