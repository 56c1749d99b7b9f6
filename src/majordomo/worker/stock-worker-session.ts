/**
 * A worker's sessions of stock MDP, 7/MDP and 18/MDP: what they say, in which dialect, and replies in
 * parts. Their life is that of any worker with one request at a time, see `core/worker-session.ts`.
 */
import { encodeFailure } from '../../core/error-body.ts';
import type { Failure } from '../../core/errors.ts';
import { keepFrames, sizeOf } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import {
  WorkerSession,
  type HeldRequest,
  type HeldRequestEvent,
  type SessionLoss,
  type SessionWire,
} from '../../core/worker-session.ts';
import {
  hasPartials,
  type DispatchCommand,
  type StockDialect,
  type WorkerInput,
  type WorkerOutput,
} from '../wire/commands.ts';
import type {
  BrokerLossReason,
  HandlerToken,
  SessionHost,
  StockPort,
  WorkerOutbox,
  WorkerSettings,
} from './worker-events.ts';

interface Running extends HeldRequest {
  readonly envelope: Frames;
  /** Parts written in a dialect that has no partials: they become the one reply. */
  readonly parts: Uint8Array[];
  partBytes: number;
  /** Parts were sent: a reply without them would look whole. */
  partsSent: boolean;
  /** The parts were too many: this is the end of the reply, whatever the handler still says. */
  failure: Failure | undefined;
}

export class StockWorkerSession implements SessionWire<Running, BrokerLossReason> {
  readonly port: StockPort;
  readonly #number: number;
  readonly #outbox: WorkerOutbox;
  readonly #host: SessionHost;
  readonly #settings: WorkerSettings;
  readonly #endpoints: readonly string[];
  readonly #session: WorkerSession<Running, BrokerLossReason>;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly #state = {
    /** Which dialect the present, or else the next, session uses. */
    dialect: 'mdp0.2' as StockDialect,
    /** A reply in parts was sent, and nothing yet proves that the broker has it. */
    unconfirmed: false,
  };

  /** @param endpoints may grow, but not change */
  constructor(
    number: number,
    outbox: WorkerOutbox,
    host: SessionHost,
    settings: WorkerSettings,
    endpoints: readonly string[],
  ) {
    this.port = `stock-${number}`;
    this.#number = number;
    this.#outbox = outbox;
    this.#host = host;
    this.#settings = settings;
    this.#endpoints = endpoints;
    this.#session = new WorkerSession(this, settings, endpoints);
    const { protocol } = settings;
    if (protocol === 'mdp0.1' || protocol === 'mdp0.2') this.#state.dialect = protocol;
  }

  get nextTimeout(): Instant {
    return this.#session.nextTimeout;
  }

  /** For the fingerprint of the machine that it is part of. */
  get states(): readonly object[] {
    return [this.#state, this.#session.state];
  }

  /** True if a session may begin. */
  get isIdle(): boolean {
    return this.#session.isIdle;
  }

  /** True while it may be given a request, or has one in hand. */
  get isInUse(): boolean {
    return this.#session.isOpen || this.running > 0;
  }

  /** Handlers that are not done, of this session and of earlier ones. */
  get running(): number {
    return this.#session.running;
  }

  handleCommand(now: Instant, command: WorkerInput): void {
    const { dialect } = this.#state;
    if (!this.#session.isOpen) return;
    if (command.dialect !== dialect) {
      const reason = `a ${command.dialect} command in a ${dialect} session`;
      this.#outbox.emit({ type: 'malformed', reason });
      return;
    }
    if (command.type === 'disconnect') return this.#session.end(now, 'disconnected');
    if (this.#session.hear(now)) {
      const endpoint = this.#endpoints[this.#session.state.endpoint]!;
      this.#outbox.emit({ type: 'ready', endpoint, dialect, session: this.#number });
    }
    if (command.type === 'dispatch') this.#start(now, command);
  }

  /**
   * The link broke; the socket reconnects by itself. A beat on the way makes the broker show itself,
   * but a reply of which parts were sent may have a hole, and must not go on as if it were whole.
   */
  handlePeerGone(now: Instant): void {
    const { phase, held } = this.#session.state;
    if (phase !== 'active') return;
    const inParts =
      this.#state.unconfirmed || [...held.values()].some(({ partsSent }) => partsSent);
    if (inParts) this.#session.end(now, 'linkBroken');
    else this.#session.beat(now);
  }

  handleWritable(): void {
    this.#session.handleWritable();
  }

  handleTimeout(now: Instant): void {
    this.#session.handleTimeout(now);
  }

  /**
   * Begins a session; it must be idle.
   * @param endpoint index of one that is known to be there; undefined: it is this session's to find
   */
  connect(now: Instant, endpoint: number | undefined): void {
    this.#session.connect(now, endpoint);
  }

  /** Says goodbye and begins no more, unless it has a request in hand: then ask again later. */
  retire(): void {
    this.#session.retire();
  }

  /** What runs is lost. */
  stop(): void {
    this.#session.stop();
  }

  // What its life asks of it

  open(index: number): void {
    const { dialect } = this.#state;
    const endpoint = this.#endpoints[index]!;
    this.#state.unconfirmed = false;
    this.#outbox.open(this.port, endpoint);
    this.#send({ type: 'ready', dialect, service: this.#settings.service });
    this.#outbox.emit({ type: 'connecting', endpoint, dialect });
  }

  beat(): void {
    this.#send({ type: 'heartbeat', dialect: this.#state.dialect });
  }

  leave(): void {
    this.#send({ type: 'disconnect', dialect: this.#state.dialect });
    this.#outbox.close(this.port, true);
  }

  lost(now: Instant, { reason, endpoint, wasActive }: SessionLoss<BrokerLossReason>): void {
    this.#outbox.close(this.port, reason === 'unexpectedCommand');
    this.#outbox.emit({ type: 'brokerLost', endpoint: this.#endpoints[endpoint]!, reason });
    const next = this.#session.state.endpoint;
    if (this.#settings.protocol === 'auto')
      this.#chooseDialect(wasActive, reason === 'silent', next);
    this.#host.sessionLost(now, next);
  }

  reply({ envelope, partsSent }: Running, body: Frames): boolean {
    const { dialect } = this.#state;
    if (!this.#send({ type: 'result', dialect, envelope, body, final: true })) return false;
    this.#state.unconfirmed = partsSent;
    return true;
  }

  emit(event: HeldRequestEvent): void {
    this.#outbox.emit(event);
  }

  /** After silence at every endpoint it is the other one. */
  #chooseDialect(wasActive: boolean, wasSilent: boolean, nextEndpoint: number): void {
    const state = this.#state;
    // A broker that was not there yet is silent too: one session in 0.1 must not mean 0.1 for ever.
    if (wasActive) state.dialect = 'mdp0.2';
    else if (wasSilent && nextEndpoint === 0) {
      state.dialect = state.dialect === 'mdp0.2' ? 'mdp0.1' : 'mdp0.2';
    }
  }

  // Requests

  #start(now: Instant, command: DispatchCommand): void {
    // Stock MDP has a credit of one: more than that would be a queue without a bound.
    if (this.running > 0) {
      this.#send({ type: 'disconnect', dialect: this.#state.dialect });
      return this.#session.end(now, 'unexpectedCommand');
    }
    const token = this.#host.nextToken();
    // A broker gives no second request to who has not answered the first.
    this.#state.unconfirmed = false;
    this.#session.hold(token, {
      envelope: keepFrames(command.envelope),
      session: this.#session.state.session,
      parts: [],
      partBytes: 0,
      partsSent: false,
      failure: undefined,
      reply: undefined,
    });
    this.#outbox.emit({
      type: 'request',
      token,
      body: keepFrames(command.body),
      attempt: 1,
      deadlineAt: Infinity,
      idempotencyKey: undefined,
      headers: undefined,
    });
  }

  /** True if this request is in its hands. */
  has(token: HandlerToken): boolean {
    return this.#session.has(token);
  }

  write(token: HandlerToken, body: Frames): void {
    const running = this.#session.held(token);
    if (running === undefined || hasEnded(running)) return;
    const { dialect } = this.#state;
    const { envelope, parts } = running;
    if (hasPartials(dialect)) {
      running.partsSent = true;
      if (this.#send({ type: 'result', dialect, envelope, body, final: false })) return;
      const message = 'the parts of the reply were written faster than the link takes them';
      running.failure = { code: 'ERR_STREAM_OVERFLOW', message };
      return;
    }
    running.partBytes += sizeOf(body);
    parts.push(...body);
    if (running.partBytes <= this.#settings.replyBufferBytes) return;
    const message = `the parts of the reply exceed ${this.#settings.replyBufferBytes} bytes`;
    running.failure = { code: 'ERR_REPLY_TOO_LARGE', message };
    parts.length = 0;
  }

  /** @param failed instead of a reply */
  finish(now: Instant, token: HandlerToken, body: Frames, failed?: Failure): void {
    const running = this.#session.held(token);
    this.#session.finish(now, token, replyOf(body, running?.failure ?? failed, running?.parts));
  }

  #send(command: WorkerOutput): boolean {
    return this.#outbox.send(this.port, '', command);
  }
}

/** The one reply, with all that was written before it. */
function replyOf(
  body: Frames,
  failure: Failure | undefined,
  parts: readonly Uint8Array[] = [],
): Frames {
  if (failure !== undefined) return encodeFailure(failure);
  return parts.length === 0 ? body : [...parts, ...body];
}

/** True if nothing the handler writes becomes a part of the reply any more. */
function hasEnded(running: Running): boolean {
  return running.failure !== undefined || running.reply !== undefined;
}
