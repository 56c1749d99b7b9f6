/**
 * The Lazy Pirate client as a pure machine: a request that is not answered in time is asked again, on a
 * fresh socket and at the next endpoint. The life of each request is `core/request-lives.ts`.
 *
 * Nothing that every server returns says which request a reply belongs to. So each request has a socket of
 * its own, which is closed with the try: the late reply to an old try has nowhere to arrive. Where servers
 * return the stack, as they should, `correlate` tells a second reply from the one to the next request, too.
 */
import { controlFrame, requestIn } from '../core/control-frame.ts';
import { decodeFailure } from '../core/error-body.ts';
import type { Failure, RequestErrorCode } from '../core/errors.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { keepFrames } from '../core/frames.ts';
import { LanePool, type Lane, type LanePort, type OnLane } from '../core/lanes.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import {
  RequestLife,
  RequestLives,
  tryTime,
  type LivesSettings,
  type RequestTerms,
} from '../core/request-lives.ts';
import { RequestLine } from '../core/request-line.ts';
import type { ClientInput, ClientOutput } from './commands.ts';

export type ClientPort = LanePort;

/** Without `attemptTimeout`, each try has its share of `timeout`. */
export interface RequestCall extends RequestTerms {
  readonly type: 'request';
}

export type ClientCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  | RequestCall
  | { readonly type: 'cancel'; readonly id: number; readonly reason: string }
  /** Take nothing new, wait for what is outstanding. */
  | { readonly type: 'drain' }
  /** Cancel what is outstanding. */
  | { readonly type: 'stop' };

export type ClientEvent =
  /** The two outcomes; each request has exactly one. */
  | { type: 'reply'; id: number; body: Frames }
  | { type: 'failed'; id: number; code: RequestErrorCode; message: string }
  | { type: 'retry'; id: number; attempt: number; endpoint: string }
  /** A reply that no outstanding request asked for. */
  | { type: 'replyRefused'; lane: number }
  | { type: 'malformed'; reason: string }
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { type: 'socketFailed'; reason: string }
  | { type: 'drained' };

export interface ClientSettings extends LivesSettings {
  readonly lanes: number;
  /** Whether each request carries a tag that its reply must bring back. Default false. */
  readonly correlate?: boolean;
  /** Milliseconds that a try may take after its link broke. */
  readonly noticeGrace: number;
}

class ClientRequest extends RequestLife<RequestCall> implements OnLane<ClientRequest> {
  lane: Lane<ClientRequest> | undefined = undefined;
}

export class ClientMachine implements Machine<ClientPort, ClientInput, ClientCall> {
  readonly #outbox: Outbox<ClientPort, ClientOutput, ClientEvent>;
  readonly #settings: ClientSettings;
  readonly #lanes: LanePool<ClientRequest>;
  readonly #line: RequestLine<ClientRequest>;
  readonly #lives: RequestLives<ClientRequest>;

  constructor(outbox: Outbox<ClientPort, ClientOutput, ClientEvent>, settings: ClientSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    const lanes = new LanePool<ClientRequest>(settings.lanes, outbox);
    this.#lanes = lanes;
    this.#line = new RequestLine({ limit: settings.queueLimit, bytes: settings.queueBytes });
    const carrier = {
      get hasRoom() {
        return lanes.hasFree;
      },
      carry: (now: Instant, request: ClientRequest) => this.#carry(now, request),
      needsRest: () => true,
      release: (_now: Instant, request: ClientRequest) => lanes.release(request),
      abandon: (_now: Instant, request: ClientRequest, letDown: boolean) =>
        lanes.abandon(request, letDown),
      close: () => lanes.closeIdle(),
    };
    this.#lives = new RequestLives(settings, this.#line, carrier, {
      handleRetry: (request) => this.#tellRetry(request),
      handleFailure: (request, code, message) => this.#tellFailed(request, { code, message }),
      handleDrained: () => outbox.emit({ type: 'drained' }),
      describeTimeout,
    });
  }

  get nextTimeout(): Instant {
    return this.#lives.nextTimeout;
  }

  fingerprint(now: Instant): string {
    return fingerprintOf([this.#lives.state, this.#lanes.state], now);
  }

  /** Requests without an outcome, and how many of them wait for their first try. */
  get outstanding(): number {
    return this.#lives.outstanding;
  }

  get waiting(): number {
    return this.#line.waiting;
  }

  handleCommand(now: Instant, port: ClientPort, _from: Address, command: ClientInput): void {
    const lane = this.#lanes.of(port);
    const request = lane?.request;
    if (lane === undefined || request === undefined) {
      this.#outbox.emit({ type: 'replyRefused', lane: lane?.number ?? -1 });
      return this.#closeIdle(lane);
    }
    if (!this.#answers(request, command)) {
      return this.#outbox.emit({ type: 'replyRefused', lane: lane.number });
    }
    this.#lanes.prefer(lane.endpoint);
    this.#takeReply(now, request, command);
  }

  handleMalformed(_now: Instant, port: ClientPort, _from: Address, reason: string): void {
    this.#outbox.emit({ type: 'malformed', reason });
    this.#closeIdle(this.#lanes.of(port));
  }

  handleCall(now: Instant, call: ClientCall): void {
    switch (call.type) {
      case 'request':
        return this.#lives.accept(now, new ClientRequest(now, call));
      case 'connect':
        if (this.#lives.isDrained) return;
        this.#lanes.addEndpoints(call.endpoints);
        return this.#lives.fill(now);
      case 'cancel':
        return this.#lives.cancel(now, call.id, call.reason);
      case 'drain':
        return this.#lives.drain();
      case 'stop':
        return this.#lives.stop(now);
    }
  }

  /**
   * The link broke: either the queue died, and the request with it, or it lives and the reply may still
   * come over the next link, which the socket makes by itself: the try gets a grace.
   */
  handlePeerGone(now: Instant, port: ClientPort): void {
    const lane = this.#lanes.of(port);
    if (lane === undefined) return;
    // Where nothing is outstanding there is nothing to wait for: the next request goes elsewhere.
    if (lane.request === undefined) return this.#lanes.discard(lane, true);
    const { request } = lane;
    this.#lives.step(request, Math.min(request.stepAt, now + this.#settings.noticeGrace));
  }

  handleWritable(): void {
    // A lane carries one request: its queue is empty whenever it is used.
  }

  handleStored(): void {
    // A client stores nothing.
  }

  handleTimeout(now: Instant): void {
    this.#lives.handleTimeout(now);
  }

  #carry(now: Instant, request: ClientRequest): Instant | undefined {
    if (!this.#lanes.hasFree) return undefined;
    const { port } = this.#lanes.take(request);
    // As a REQ socket would write it: with the empty frame that ends the stack, and nothing before it.
    const { id, body } = request.call;
    const stack = this.#settings.correlate === true ? [controlFrame(id, 0)] : [];
    this.#outbox.send(port, '', { type: 'request', stack, body });
    return now + tryTime(request.call);
  }

  #answers(request: ClientRequest, { stack = [] }: ClientInput): boolean {
    if (this.#settings.correlate !== true) return stack.length === 0;
    return stack.length === 1 && requestIn(stack[0]!) === request.call.id;
  }

  /** Something came where nothing was asked: what follows must not be taken for the next reply. */
  #closeIdle(lane: Lane<ClientRequest> | undefined): void {
    if (lane !== undefined) this.#lanes.discard(lane, false);
  }

  #takeReply(now: Instant, request: ClientRequest, { body }: ClientInput): void {
    const failure = decodeFailure(body);
    // Whoever closes will not answer it, and may be back within its time: that costs a rest, but no try.
    if (failure?.code === 'ERR_SERVER_CLOSING' && request.call.retries > 0) {
      request.attemptLimit++;
      return this.#lives.giveUpTry(now, request);
    }
    if (failure !== undefined) this.#tellFailed(request, failure);
    else this.#outbox.emit({ type: 'reply', id: request.call.id, body: keepFrames(body) });
    this.#lives.settle(now, request);
  }

  #tellRetry({ call: { id }, attempts: attempt, lane }: ClientRequest): void {
    this.#outbox.emit({ type: 'retry', id, attempt, endpoint: this.#lanes.endpointOf(lane!) });
  }

  #tellFailed({ call: { id } }: ClientRequest, { code, message }: Failure): void {
    this.#outbox.emit({ type: 'failed', id, code, message });
  }
}

/** How far a request had come when its time or its tries were over. */
function describeTimeout({ attempts }: ClientRequest, limit: string): string {
  if (attempts === 0) return `the request could not be sent ${limit}: raise lanes or timeout`;
  const tries = attempts === 1 ? '1 try' : `${attempts} tries`;
  return `no reply after ${tries} ${limit}: is a queue there, and a worker?`;
}
