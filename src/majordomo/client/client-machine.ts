/**
 * The Majordomo client as a pure machine: what a reply is, in parts or whole, and what a loss means,
 * on a lane or in an express session. The life of each request is `core/request-lives.ts`.
 *
 * What is lost on a lane rests before the next try, as only time told; what an express session is
 * known to have lost is tried again at once.
 */
import { decodeFailure } from '../../core/error-body.ts';
import type { Failure, RequestErrorCode } from '../../core/errors.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import { sizeOf } from '../../core/frames.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import { RequestLives, tryTime } from '../../core/request-lives.ts';
import { Carriers, type ClientPort } from './carriers.ts';
import {
  ClientRequest,
  attemptsOf,
  describeTimeout,
  type ClientCall,
  type ClientEvent,
  type ClientLossReason,
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
import { SelectiveLine } from './request-line.ts';

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
  readonly #line: SelectiveLine<ClientRequest>;
  readonly #carriers: Carriers;
  readonly #lives: RequestLives<ClientRequest>;

  constructor(outbox: Outbox<ClientPort, ClientOutput, ClientEvent>, settings: ClientSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    const bounds = { limit: settings.queueLimit, bytes: settings.queueBytes };
    this.#line = new SelectiveLine(bounds, () => this.#carriers.isExpress);
    this.#carriers = new Carriers(outbox, settings, {
      handleReply: (now, request, command) => this.#takeReply(now, request, command),
      handleLost: (now, requests) => this.#takeLost(now, requests),
      handleRoom: (now) => this.#takeRoom(now),
    });
    this.#lives = new RequestLives(settings, this.#line, this.#carriers, {
      handleRetry: (request) => this.#tellRetry(request),
      handleFailure: (request, code, message) => this.#tellFailed(request, { code, message }),
      handleDrained: () => outbox.emit({ type: 'drained' }),
      describeTimeout: (request, limit) =>
        describeTimeout(request, limit, this.#carriers.activeElsewhere),
    });
  }

  get nextTimeout(): Instant {
    return Math.min(this.#lives.nextTimeout, this.#carriers.nextTimeout);
  }

  fingerprint(now: Instant): string {
    return fingerprintOf([this.#lives.state, this.#carriers.state], now);
  }

  /** Requests without an outcome, and how many of them wait for their first try. */
  get outstanding(): number {
    return this.#lives.outstanding;
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
    const lives = this.#lives;
    switch (call.type) {
      case 'request':
        return this.#accept(now, call);
      case 'connect':
        if (!lives.isDrained) this.#carriers.connect(now, call.endpoints);
        return;
      case 'cancel':
        return lives.cancel(now, call.id, call.reason);
      case 'taken': {
        const request = lives.get(call.id);
        if (request !== undefined) this.#carriers.taken(request, call.bytes);
        return;
      }
      case 'drain':
        return lives.drain();
      case 'stop':
        return lives.stop(now);
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
      const { noticeGrace } = this.#settings;
      return this.#lives.step(request, Math.min(request.stepAt, now + noticeGrace));
    }
    if (request.hasTries) return this.#lives.giveUpTry(now, request);
    this.#lives.fail(now, request, 'ERR_WORKER_LOST', LINK_BROKE);
  }

  handleWritable(now: Instant, port: ClientPort): void {
    this.#carriers.handleWritable(now, port);
  }

  handleStored(): void {
    // A client stores nothing.
  }

  handleTimeout(now: Instant): void {
    this.#carriers.handleTimeout(now);
    this.#lives.handleTimeout(now);
  }

  // Requests

  #accept(now: Instant, call: RequestCall): void {
    const request = new ClientRequest(now, call);
    if (request.needsExpress && this.#carriers.isPlain && this.#lives.isOpen) {
      return this.#tellFailed(request, { code: 'ERR_NOT_SUPPORTED', message: PLAIN_BROKER });
    }
    this.#lives.accept(now, request);
  }

  /** There may be room; and of what waits, some may have learnt that nobody can carry it. */
  #takeRoom(now: Instant): void {
    if (this.#carriers.isPlain) {
      for (const request of this.#line.takeNeedingExpress()) {
        this.#lives.fail(now, request, 'ERR_NOT_SUPPORTED', PLAIN_BROKER);
      }
    }
    this.#lives.fill(now);
  }

  #takeReply(now: Instant, request: ClientRequest, command: ReplyCommand): void {
    if (!command.final) return this.#takePartial(now, request, command);
    const failure = command.failure ?? decodeFailure(command.body);
    const isTurnedAway = failure !== undefined && TURNED_AWAY.has(failure.code);
    if (isTurnedAway && this.#askElsewhere(now, request, failure)) return;
    if (failure === undefined) {
      const { parts } = request;
      const last = keepBody(command);
      const body = parts === undefined ? last : [...parts, ...last];
      this.#outbox.emit({ type: 'reply', id: request.call.id, body });
    } else {
      this.#tellFailed(request, failure);
    }
    this.#lives.settle(now, request);
  }

  #takePartial(now: Instant, request: ClientRequest, command: ReplyCommand): void {
    const { body, failure } = command;
    const { id, streaming, broadcast = false } = request.call;
    request.sequence++;
    if (request.stepAt < Infinity) this.#lives.step(request, now + tryTime(request.call));
    if (streaming || broadcast) {
      request.seePartial();
      this.#outbox.emit({ type: 'partial', id, body: keepBody(command), failure });
    } else (request.parts ??= []).push(...keepBody(command));
    if (streaming) return;
    request.partBytes += sizeOf(body);
    const { replyBufferBytes } = this.#settings;
    if (request.partBytes <= replyBufferBytes) return;
    const message = `the partial replies exceed ${replyBufferBytes} bytes: use stream()`;
    this.#lives.fail(now, request, 'ERR_REPLY_TOO_LARGE', message);
  }

  /**
   * A broker that closes did not lose the request, it never took it; nor did a passive one. True: it is
   * tried again.
   */
  #askElsewhere(now: Instant, request: ClientRequest, { code }: Failure): boolean {
    if (request.partialSeen) return false;
    if (request.lane !== undefined) {
      if (code === 'ERR_NOT_ACTIVE') {
        // In stock MDP nobody says whether it was begun: who wants no retry gets none.
        if (request.call.retries === 0) return false;
        this.#lives.askElsewhere(now, request);
        return true;
      }
      if (!request.hasTries) return false;
      this.#lives.giveUpTry(now, request);
      return true;
    }
    request.attempts--;
    this.#lives.tryAgain(now, request);
    this.#carriers.turnAway(now, request);
    return true;
  }

  /** The carriers know that these tries are lost: no need to rest before the next one. */
  #takeLost(now: Instant, requests: readonly ClientRequest[]): void {
    for (const request of requests) {
      if (request.partialSeen) this.#lives.fail(now, request, 'ERR_WORKER_LOST', LINK_BROKE);
      else this.#lives.tryAgain(now, request);
    }
    this.#takeRoom(now);
  }

  // What is told

  #tellRetry(request: ClientRequest): void {
    const { call, attempts: attempt } = request;
    const endpoint = this.#carriers.endpointOf(request);
    this.#outbox.emit({ type: 'retry', id: call.id, service: call.service, attempt, endpoint });
  }

  #tellFailed(request: ClientRequest, failure: Failure): void {
    const { id, service } = request.call;
    const { code, message, retryAfter } = failure;
    const attempts = attemptsOf(request, failure);
    this.#outbox.emit({ type: 'failed', id, service, code, message, retryAfter, attempts });
  }
}

/** Failures of a broker that has not taken the request. */
const TURNED_AWAY: ReadonlySet<string> = new Set<RequestErrorCode>([
  'ERR_BROKER_CLOSING',
  'ERR_NOT_ACTIVE',
]);

const LINK_BROKE = 'the worker or the link to the broker was lost before the reply was whole';
const PLAIN_BROKER =
  'plain MDP is spoken with this broker, and this needs express: at the broker, and by the client';
