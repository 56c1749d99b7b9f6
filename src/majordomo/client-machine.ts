/**
 * The Majordomo client as a pure machine: 7/MDP and 18/MDP.
 *
 * Stock MDP has no correlation id, so each request in flight has a lane of its own: a DEALER socket
 * with at most one request outstanding. A try that is given up closes its lane, so that a late reply
 * has nowhere to arrive; the next try is made on a new socket, after a jittered back-off.
 *
 *   waiting ──► sent ──► replied | failed
 *                │ ▲
 *      timed out ▼ │ back-off over
 *              resting
 */
import { BoundedQueue } from '../core/bounded-queue.ts';
import { Deadlines } from '../core/deadlines.ts';
import type { RequestErrorCode } from '../core/errors.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { sizeOf, keepFrames } from '../core/frames.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import { backoffDelay, type BackoffSettings, type Random } from '../core/retry.ts';
import {
  hasPartials,
  type ClientInput,
  type ClientOutput,
  type Dialect,
  type ReplyCommand,
} from './commands.ts';
import { decodeFailure } from './error-body.ts';
import { LanePool, type Lane, type LanePort } from './lanes.ts';

export type ClientPort = LanePort;

/** Chosen by the caller, unique among the requests not yet answered. */
export type RequestId = number;

export interface RequestCall {
  readonly type: 'request';
  readonly id: RequestId;
  readonly service: string;
  readonly body: Frames;
  readonly dialect: Dialect;
  /** Partial replies are told one by one; otherwise they become part of the one reply. */
  readonly streaming: boolean;
  /** Milliseconds for the whole, and for one try. */
  readonly timeout: number;
  readonly attemptTimeout: number;
  readonly retries: number;
}

export type ClientCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  | RequestCall
  | { readonly type: 'cancel'; readonly id: RequestId; readonly reason: string }
  /** Take nothing new, wait for what is outstanding. */
  | { readonly type: 'drain' }
  /** Cancel what is outstanding. */
  | { readonly type: 'stop' };

export type ClientEvent =
  | { type: 'partial'; id: RequestId; body: Frames }
  /** The two outcomes; each request has exactly one. */
  | { type: 'reply'; id: RequestId; body: Frames }
  | { type: 'failed'; id: RequestId; service: string; code: RequestErrorCode; message: string }
  | { type: 'retry'; id: RequestId; service: string; attempt: number; endpoint: string }
  /** A reply that no outstanding request asked for. */
  | { type: 'replyRefused'; lane: number }
  | { type: 'malformed'; reason: string }
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { type: 'socketFailed'; reason: string }
  | { type: 'drained' };

export interface ClientSettings extends BackoffSettings {
  readonly lanes: number;
  readonly queueLimit: number;
  readonly queueBytes: number;
  /** Milliseconds that a try may take after its link broke. */
  readonly noticeGrace: number;
  /** Bytes of partials collected for a request that does not stream them. */
  readonly replyBufferBytes: number;
  readonly random: Random;
}

interface ClientRequest {
  readonly call: RequestCall;
  /** When the whole has failed. */
  readonly deadlineAt: Instant;
  /** When the present try has failed, or the next one begins. */
  stepAt: Instant;
  state: 'waiting' | 'sent' | 'resting' | 'ended';
  lane: Lane<ClientRequest> | undefined;
  /** Tries begun. */
  attempts: number;
  /** A partial has reached the caller: another try would repeat it. */
  partialSeen: boolean;
  readonly parts: Uint8Array[];
  partBytes: number;
}

export class ClientMachine implements Machine<ClientPort, ClientInput, ClientCall> {
  readonly #outbox: Outbox<ClientPort, ClientOutput, ClientEvent>;
  readonly #settings: ClientSettings;
  readonly #state: {
    phase: 'open' | 'draining' | 'stopping' | 'drained';
    readonly requests: Map<RequestId, ClientRequest>;
    readonly waiting: BoundedQueue<ClientRequest>;
    /** Rested and due, before all that wait. */
    readonly retrying: Set<ClientRequest>;
    /** When lanes that became free are given to those who wait. */
    fillAt: Instant;
  };
  readonly #lanes: LanePool<ClientRequest>;
  readonly #steps = new Deadlines<ClientRequest>();

  constructor(outbox: Outbox<ClientPort, ClientOutput, ClientEvent>, settings: ClientSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#lanes = new LanePool(settings.lanes, outbox);
    this.#state = {
      phase: 'open',
      requests: new Map(),
      waiting: new BoundedQueue({ limit: settings.queueLimit, bytes: settings.queueBytes }),
      retrying: new Set(),
      fillAt: Infinity,
    };
  }

  get nextTimeout(): Instant {
    return Math.min(this.#steps.next, this.#state.fillAt);
  }

  fingerprint(now: Instant): string {
    return fingerprintOf([this.#state, this.#lanes.state], now);
  }

  /** Requests without an outcome, and how many of them wait for a lane. */
  get outstanding(): number {
    return this.#state.requests.size;
  }

  get waiting(): number {
    return this.#state.waiting.size;
  }

  handleCommand(now: Instant, port: ClientPort, _from: Address, command: ClientInput): void {
    const lane = this.#lanes.of(port);
    const request = lane?.request;
    if (lane === undefined || request === undefined || !answers(request, command)) {
      this.#outbox.emit({ type: 'replyRefused', lane: lane?.number ?? -1 });
      return;
    }
    this.#lanes.answered(lane);
    if (command.final) this.#conclude(now, request, command.body);
    else this.#takePartial(now, request, command.body);
  }

  handleMalformed(_now: Instant, _port: ClientPort, _from: Address, reason: string): void {
    this.#outbox.emit({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: ClientCall): void {
    switch (call.type) {
      case 'connect':
        this.#lanes.addEndpoints(call.endpoints);
        return this.#fillLanes(now);
      case 'request':
        return this.#accept(now, call);
      case 'cancel': {
        const request = this.#state.requests.get(call.id);
        if (request !== undefined) this.#fail(now, request, 'ERR_CANCELLED', call.reason);
        return;
      }
      case 'drain':
        if (this.#state.phase === 'open') this.#state.phase = 'draining';
        return this.#finishDraining();
      case 'stop':
        if (this.#state.phase !== 'drained') this.#state.phase = 'stopping';
        for (const request of this.#state.requests.values()) {
          this.#fail(now, request, 'ERR_CANCELLED', 'the client was closed before a reply came');
        }
        return this.#finishDraining();
    }
  }

  /**
   * The link broke; the socket reconnects by itself, under its old address. Either the broker died, and
   * the request with it, or it lives and the reply may still come: the try gets a grace. A reply in
   * parts gets none, as some may be lost.
   */
  handlePeerGone(now: Instant, port: ClientPort): void {
    const request = this.#lanes.of(port)?.request;
    if (request === undefined) return;
    if (!hasPartials(request.call.dialect)) {
      return this.#step(request, Math.min(request.stepAt, now + this.#settings.noticeGrace));
    }
    if (this.#mayRetry(request)) return this.#giveUpTry(now, request);
    this.#fail(
      now,
      request,
      'ERR_WORKER_LOST',
      'the link to the broker broke before the reply was whole',
    );
  }

  handleWritable(): void {
    // A lane carries one request: its queue is empty whenever it is used.
  }

  handleStored(): void {
    // A client stores nothing.
  }

  handleTimeout(now: Instant): void {
    for (;;) {
      const request = this.#steps.takeDue(now);
      if (request === undefined) break;
      if (request.deadlineAt <= now) this.#timeOut(now, request);
      else if (request.state === 'sent') this.#giveUpTry(now, request);
      else {
        this.#state.retrying.add(request);
        this.#steps.set(request, request.deadlineAt);
        this.#state.fillAt = now;
      }
    }
    if (this.#state.fillAt <= now) this.#fillLanes(now);
  }

  // A request's life

  #accept(now: Instant, call: RequestCall): void {
    const { phase, requests, waiting } = this.#state;
    const { id, service } = call;
    const refuse = (code: RequestErrorCode, message: string): void =>
      this.#outbox.emit({ type: 'failed', id, service, code, message });
    if (phase !== 'open') return refuse('ERR_CANCELLED', 'the client is closing');
    const request: ClientRequest = {
      call,
      deadlineAt: now + call.timeout,
      stepAt: Infinity,
      state: 'waiting',
      lane: undefined,
      attempts: 0,
      partialSeen: false,
      parts: [],
      partBytes: 0,
    };
    // Whoever waits is older, so a free lane means that nobody waits.
    const canSend = this.#lanes.hasFree;
    if (!canSend && !waiting.push(request, sizeOf(call.body))) {
      const { queueLimit, queueBytes } = this.#settings;
      const bounds = `${queueLimit} requests or ${queueBytes} bytes`;
      return refuse(
        'ERR_QUEUE_FULL',
        `the client's queue is full (${bounds}): await some replies first`,
      );
    }
    requests.set(id, request);
    this.#steps.set(request, request.deadlineAt);
    if (canSend) this.#send(now, request);
  }

  #send(now: Instant, request: ClientRequest): void {
    const { call } = request;
    const { service, body, dialect } = call;
    const lane = this.#lanes.take(request);
    request.lane = lane;
    request.state = 'sent';
    request.attempts++;
    if (request.attempts > 1) {
      const { id } = call;
      const { attempts: attempt } = request;
      const endpoint = this.#lanes.endpointOf(lane);
      this.#outbox.emit({ type: 'retry', id, service, attempt, endpoint });
    }
    this.#step(request, now + call.attemptTimeout);
    this.#outbox.send(lane.port, '', { type: 'request', dialect, service, body });
  }

  #takePartial(now: Instant, request: ClientRequest, body: Frames): void {
    const { id, streaming, attemptTimeout } = request.call;
    this.#step(request, now + attemptTimeout);
    if (streaming) {
      request.partialSeen = true;
      this.#outbox.emit({ type: 'partial', id, body: keepFrames(body) });
      return;
    }
    request.partBytes += sizeOf(body);
    request.parts.push(...keepFrames(body));
    if (request.partBytes <= this.#settings.replyBufferBytes) return;
    const message = `the partial replies exceed ${this.#settings.replyBufferBytes} bytes: use stream()`;
    this.#fail(now, request, 'ERR_REPLY_TOO_LARGE', message);
  }

  #conclude(now: Instant, request: ClientRequest, body: Frames): void {
    const failure = decodeFailure(body);
    if (failure === undefined) {
      const whole = request.parts.length === 0 ? body : [...request.parts, ...body];
      this.#end(request);
      this.#outbox.emit({ type: 'reply', id: request.call.id, body: keepFrames(whole) });
      return this.#release(now, request);
    }
    // A broker that closes did not lose the request, it never took it: another try costs nothing.
    if (failure.code === 'ERR_BROKER_CLOSING' && this.#mayRetry(request)) {
      return this.#giveUpTry(now, request);
    }
    this.#end(request);
    const { id, service } = request.call;
    this.#outbox.emit({ type: 'failed', id, service, ...failure });
    this.#release(now, request);
  }

  /** The try is over without a reply: its socket goes, and the request rests before the next one. */
  #giveUpTry(now: Instant, request: ClientRequest): void {
    if (!this.#mayRetry(request)) return this.#timeOut(now, request);
    this.#abandonLane(request, true);
    request.state = 'resting';
    request.parts.length = 0;
    request.partBytes = 0;
    const { random } = this.#settings;
    this.#step(request, now + backoffDelay(this.#settings, request.attempts - 1, random));
    this.#fillSoon(now);
  }

  #mayRetry(request: ClientRequest): boolean {
    return request.attempts <= request.call.retries && !request.partialSeen;
  }

  #timeOut(now: Instant, request: ClientRequest): void {
    const limit =
      request.deadlineAt <= now ? `within ${request.call.timeout} ms` : 'and no try is left';
    this.#fail(now, request, 'ERR_REQUEST_TIMEOUT', describeTimeout(request, limit));
  }

  #fail(now: Instant, request: ClientRequest, code: RequestErrorCode, message: string): void {
    const { id, service } = request.call;
    const timedOut = code === 'ERR_REQUEST_TIMEOUT';
    this.#end(request);
    this.#abandonLane(request, timedOut);
    this.#outbox.emit({ type: 'failed', id, service, code, message });
    this.#fillSoon(now);
    this.#finishDraining();
  }

  /** The request leaves every table; its lane is the caller's to release or abandon. */
  #end(request: ClientRequest): void {
    request.state = 'ended';
    this.#state.requests.delete(request.call.id);
    this.#state.waiting.delete(request);
    this.#state.retrying.delete(request);
    this.#steps.delete(request);
  }

  #step(request: ClientRequest, at: Instant): void {
    request.stepAt = at;
    this.#steps.set(request, Math.min(at, request.deadlineAt));
  }

  // Lanes

  /** The lane answered: it is as good as new. */
  #release(now: Instant, request: ClientRequest): void {
    const { lane } = request;
    request.lane = undefined;
    if (lane !== undefined) this.#lanes.release(lane);
    this.#fillLanes(now);
    this.#finishDraining();
  }

  #abandonLane(request: ClientRequest, letDown: boolean): void {
    const { lane } = request;
    request.lane = undefined;
    if (lane !== undefined) this.#lanes.abandon(lane, letDown);
  }

  /**
   * Not at once: where one ends without a reply many do (a shared AbortSignal, a broker gone), and each
   * would open a socket for another that ends a moment later.
   */
  #fillSoon(now: Instant): void {
    this.#state.fillAt = Math.min(this.#state.fillAt, now + 1);
  }

  #fillLanes(now: Instant): void {
    this.#state.fillAt = Infinity;
    const { phase, retrying, waiting } = this.#state;
    // What waits is about to be cancelled: no socket is opened for it.
    if (phase === 'stopping') return;
    while (this.#lanes.hasFree) {
      const [retry] = retrying;
      if (retry !== undefined) retrying.delete(retry);
      const next = retry ?? waiting.shift();
      if (next === undefined) return;
      this.#send(now, next);
    }
  }

  #finishDraining(): void {
    const { phase, requests } = this.#state;
    if (phase === 'open' || phase === 'drained' || requests.size > 0) return;
    this.#state.phase = 'drained';
    this.#lanes.closeAll();
    this.#outbox.emit({ type: 'drained' });
  }
}

/** True if `command` can be the reply to what was asked on this lane. */
function answers(request: ClientRequest, command: ReplyCommand): boolean {
  return command.service === request.call.service && command.dialect === request.call.dialect;
}

/** How far a request had come when its time or its tries were over. */
function describeTimeout({ call, attempts, partialSeen }: ClientRequest, limit: string): string {
  const { service } = call;
  if (attempts === 0)
    return `no lane became free for '${service}' ${limit}: raise lanes or timeout`;
  if (partialSeen) return `the reply of '${service}' had begun, but its end did not come ${limit}`;
  const tries = attempts === 1 ? '1 try' : `${attempts} tries`;
  return `no reply from '${service}' after ${tries} ${limit}: is a broker there, and a worker?`;
}
