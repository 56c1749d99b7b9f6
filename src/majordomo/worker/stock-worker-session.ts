/**
 * A worker's sessions of stock MDP, 7/MDP and 18/MDP, one after the other: one request at a time.
 *
 * One session with one broker at a time, always on a fresh socket:
 *
 *   idle ──► connecting ──heard──► active ──silence, DISCONNECT──► settling ──► waiting ──► idle
 *                                                             (handlers end)  (back-off)
 *
 * It never says READY while a handler of an earlier session still runs: it would be given a second
 * request with the first still in its hands.
 */
import type { Failure } from '../../core/errors.ts';
import { sizeOf, keepFrames } from '../../core/frames.ts';
import {
  beaten,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
  type Heartbeat,
} from '../../core/heartbeat.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { backoffDelay } from '../../core/retry.ts';
import {
  hasPartials,
  type DispatchCommand,
  type StockDialect,
  type WorkerInput,
  type WorkerOutput,
} from '../wire/commands.ts';
import { encodeFailure } from '../../core/error-body.ts';
import type {
  BrokerLossReason,
  HandlerToken,
  SessionHost,
  StockPort,
  WorkerOutbox,
  WorkerSettings,
} from './worker-events.ts';

interface Running {
  readonly envelope: Frames;
  /** The session it came in; a later session cannot reply to it. */
  readonly session: number;
  /** Parts written in a dialect that has no partials: they become the one reply. */
  readonly parts: Uint8Array[];
  partBytes: number;
  /** Parts were sent: a reply without them would look whole. */
  partsSent: boolean;
  /** The parts were too many: this is the end of the reply, whatever the handler still says. */
  failure: Failure | undefined;
  /** What the handler returned, while it waits for room in the outgoing queue. */
  reply: Frames | undefined;
}

type Phase = 'idle' | 'connecting' | 'active' | 'settling' | 'waiting';

export class StockWorkerSession {
  readonly port: StockPort;
  readonly #number: number;
  readonly #outbox: WorkerOutbox;
  readonly #host: SessionHost;
  readonly #settings: WorkerSettings;
  readonly #endpoints: readonly string[];
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    phase: 'idle' as Phase,
    /** Which endpoint and dialect the present, or else the next, session uses. */
    endpoint: 0,
    dialect: 'mdp0.2' as StockDialect,
    session: 0,
    heartbeat: undefined as Heartbeat | undefined,
    /** Reconnects since a broker was last heard. */
    retries: 0,
    reconnectAt: Infinity,
    /** A reply in parts was sent, and nothing yet proves that the broker has it. */
    unconfirmed: false,
    running: new Map<HandlerToken, Running>(),
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
    const { protocol } = settings;
    if (protocol === 'mdp0.1' || protocol === 'mdp0.2') this.state.dialect = protocol;
  }

  get nextTimeout(): Instant {
    const { heartbeat, phase, reconnectAt } = this.state;
    if (heartbeat !== undefined) return nextDue(heartbeat);
    return phase === 'waiting' ? reconnectAt : Infinity;
  }

  /** True if a session may begin. */
  get isIdle(): boolean {
    return this.state.phase === 'idle';
  }

  /** True while it may be given a request, or has one in hand. */
  get isInUse(): boolean {
    const { heartbeat, running } = this.state;
    return heartbeat !== undefined || running.size > 0;
  }

  handleCommand(now: Instant, command: WorkerInput): void {
    const { heartbeat, phase, dialect } = this.state;
    if (heartbeat === undefined) return;
    if (command.dialect !== dialect) {
      const reason = `a ${command.dialect} command in a ${dialect} session`;
      this.#outbox.emit({ type: 'malformed', reason });
      return;
    }
    if (command.type === 'disconnect') return this.#endSession(now, 'disconnected');
    heard(heartbeat, now, this.#settings);
    if (phase === 'connecting') {
      this.state.phase = 'active';
      this.state.retries = 0;
      const session = this.#number;
      this.#outbox.emit({ type: 'ready', endpoint: this.#endpoint(), dialect, session });
    }
    if (command.type === 'dispatch') this.#start(now, command);
  }

  /**
   * The link broke; the socket reconnects by itself. A beat on the way makes the broker show itself,
   * but a reply of which parts were sent may have a hole, and must not go on as if it were whole.
   */
  handlePeerGone(now: Instant): void {
    const { heartbeat, phase, running, unconfirmed } = this.state;
    if (heartbeat === undefined || phase !== 'active') return;
    const inParts = unconfirmed || [...running.values()].some(({ partsSent }) => partsSent);
    if (inParts) this.#endSession(now, 'linkBroken');
    else this.#beat(now, heartbeat);
  }

  handleWritable(): void {
    for (const [token, running] of this.state.running) {
      if (running.reply !== undefined) this.#sendReply(token, running, running.reply);
    }
  }

  handleTimeout(now: Instant): void {
    const { heartbeat } = this.state;
    if (heartbeat === undefined) {
      if (this.nextTimeout <= now) this.#rest();
      return;
    }
    // Who was stopped itself has not heard the broker: that is no evidence against it.
    if (now - this.nextTimeout > this.#settings.heartbeatInterval) {
      forgive(heartbeat, now, this.#settings);
    }
    if (heartbeat.expiresAt <= now) this.#endSession(now, 'silent');
    else if (heartbeat.beatAt <= now) this.#beat(now, heartbeat);
  }

  // The session

  /**
   * Begins a session; it must be idle.
   * @param endpoint index of one that is known to be there; undefined: it is this session's to find
   */
  connect(now: Instant, endpoint: number | undefined): void {
    const { state } = this;
    if (endpoint !== undefined) state.endpoint = endpoint;
    state.phase = 'connecting';
    state.session++;
    state.unconfirmed = false;
    state.heartbeat = startHeartbeat(now, this.#settings);
    const { dialect } = state;
    this.#outbox.open(this.port, this.#endpoint());
    this.#send({ type: 'ready', dialect, service: this.#settings.service });
    this.#outbox.emit({ type: 'connecting', endpoint: this.#endpoint(), dialect });
  }

  /** Says goodbye and begins no more, unless it has a request in hand: then ask again later. */
  retire(): void {
    const { state } = this;
    if (state.running.size > 0) return;
    if (state.heartbeat !== undefined) {
      this.#send({ type: 'disconnect', dialect: state.dialect });
      this.#outbox.close(this.port, true);
    }
    state.heartbeat = undefined;
    this.#rest();
  }

  /** What runs is lost. */
  stop(): void {
    for (const token of this.state.running.keys()) {
      // Those of an earlier session were told when it ended.
      if (this.#runningOf(token) !== undefined) this.#lose(token);
    }
    this.state.running.clear();
    this.retire();
  }

  #rest(): void {
    this.state.phase = 'idle';
    this.state.reconnectAt = Infinity;
  }

  #beat(now: Instant, heartbeat: Heartbeat): void {
    beaten(heartbeat, now, this.#settings);
    this.#send({ type: 'heartbeat', dialect: this.state.dialect });
  }

  #endSession(now: Instant, reason: BrokerLossReason): void {
    const { state } = this;
    const wasActive = state.phase === 'active';
    state.heartbeat = undefined;
    this.#outbox.close(this.port, reason === 'unexpectedCommand');
    this.#outbox.emit({ type: 'brokerLost', endpoint: this.#endpoint(), reason });
    for (const [token, running] of state.running) {
      if (running.session !== state.session) continue;
      if (running.reply === undefined) this.#lose(token);
      else {
        state.running.delete(token);
        this.#outbox.emit({ type: 'replyDropped', token });
      }
    }
    if (!wasActive) this.#tryOtherwise(reason === 'silent');
    // A broker that was not there yet is silent too: one session in 0.1 must not mean 0.1 for ever.
    else if (this.#settings.protocol === 'auto') state.dialect = 'mdp0.2';
    const { reconnectInterval: backoff, reconnectLimit: backoffLimit, random } = this.#settings;
    state.reconnectAt = now + backoffDelay({ backoff, backoffLimit }, state.retries++, random);
    this.#settle(now);
    this.#host.sessionLost(now, state.endpoint);
  }

  /** It was not to be: the next try is at the next endpoint, and after silence in the other dialect. */
  #tryOtherwise(wasSilent: boolean): void {
    const { state } = this;
    state.endpoint = (state.endpoint + 1) % this.#endpoints.length;
    if (this.#settings.protocol !== 'auto' || !wasSilent || state.endpoint !== 0) return;
    state.dialect = state.dialect === 'mdp0.2' ? 'mdp0.1' : 'mdp0.2';
  }

  /** Waits for its turn to reconnect once no handler of an earlier session runs. */
  #settle(now: Instant): void {
    const { state } = this;
    if (state.running.size > 0) {
      state.phase = 'settling';
      return;
    }
    state.phase = 'waiting';
    state.reconnectAt = Math.max(now, state.reconnectAt);
  }

  #endpoint(): string {
    return this.#endpoints[this.state.endpoint]!;
  }

  // Requests

  #start(now: Instant, command: DispatchCommand): void {
    const { state } = this;
    // Stock MDP has a credit of one: more than that would be a queue without a bound.
    if (state.running.size > 0) {
      this.#send({ type: 'disconnect', dialect: state.dialect });
      return this.#endSession(now, 'unexpectedCommand');
    }
    const token = this.#host.nextToken();
    // A broker gives no second request to who has not answered the first.
    state.unconfirmed = false;
    state.running.set(token, {
      envelope: keepFrames(command.envelope),
      session: state.session,
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
    return this.state.running.has(token);
  }

  write(token: HandlerToken, body: Frames): void {
    const running = this.#runningOf(token);
    if (running === undefined || hasEnded(running)) return;
    const { dialect } = this.state;
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
    const { state } = this;
    const running = this.#runningOf(token);
    if (running === undefined) {
      if (!state.running.delete(token)) return;
      this.#outbox.emit({ type: 'replyDropped', token });
      if (state.phase === 'settling') this.#settle(now);
      return;
    }
    if (running.reply !== undefined) return;
    const { parts } = running;
    const failure = running.failure ?? failed;
    if (failure !== undefined) running.reply = encodeFailure(failure);
    else running.reply = parts.length === 0 ? body : [...parts, ...body];
    this.#sendReply(token, running, running.reply);
  }

  /** The handler is done with a request once its reply has left, which a full queue delays. */
  #sendReply(token: HandlerToken, running: Running, body: Frames): void {
    const { state } = this;
    const { dialect } = state;
    const { envelope, partsSent } = running;
    if (!this.#send({ type: 'result', dialect, envelope, body, final: true })) return;
    state.running.delete(token);
    state.unconfirmed = partsSent;
  }

  /** What a handler is working on, unless its session is over. */
  #runningOf(token: HandlerToken): Running | undefined {
    const { running, session, heartbeat } = this.state;
    const found = running.get(token);
    return found?.session === session && heartbeat !== undefined ? found : undefined;
  }

  #lose(token: HandlerToken): void {
    this.#outbox.emit({ type: 'requestLost', token });
  }

  #send(command: WorkerOutput): boolean {
    return this.#outbox.send(this.port, '', command);
  }
}

/** True if nothing the handler writes becomes a part of the reply any more. */
function hasEnded(running: Running): boolean {
  return running.failure !== undefined || running.reply !== undefined;
}
