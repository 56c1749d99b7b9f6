/**
 * The Majordomo worker as a pure machine: 7/MDP and 18/MDP.
 *
 * One session with one broker at a time, always on a fresh socket:
 *
 *   connecting ──heard──► active ──silence, DISCONNECT──► settling ──► waiting ──► connecting
 *                                                     (handlers end)  (back-off)
 *
 * A worker never says READY while a handler of an earlier session still runs: it would be given a
 * second request with the first still in its hands.
 */
import { fingerprintOf } from '../core/fingerprint.ts';
import { byteLength, keepFrames } from '../core/frames.ts';
import {
  beaten,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from '../core/heartbeat.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import { backoffDelay, type Random } from '../core/retry.ts';
import {
  hasPartials,
  type Dialect,
  type DispatchCommand,
  type WorkerInput,
  type WorkerOutput,
} from './commands.ts';
import { encodeFailure, type Failure } from './error-body.ts';
import type { WorkerProtocol } from './options.ts';

export type WorkerPort = 'broker';

/** Names one request in the hands of the worker's handler. */
export type HandlerToken = number;

export type WorkerCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  /** A part of the reply. */
  | { readonly type: 'write'; readonly token: HandlerToken; readonly body: Frames }
  /** The handler is done; exactly one of `reply` and `fail` ends each request. */
  | { readonly type: 'reply'; readonly token: HandlerToken; readonly body: Frames }
  | { readonly type: 'fail'; readonly token: HandlerToken; readonly failure: Failure }
  /** Finish what runs, say goodbye, stop. */
  | { readonly type: 'drain' }
  /** Say goodbye at once; what runs is lost to this worker. */
  | { readonly type: 'stop' };

/** Why a session with a broker ended. */
export type BrokerLossReason =
  /** It was not heard for interval × liveness. */
  | 'silent'
  /** It said so. */
  | 'disconnected'
  /** It gave a second request to a worker that still holds the first. */
  | 'unexpectedCommand'
  /** The link broke in mid-reply: some of the parts may be lost. */
  | 'linkBroken'
  /** The parts of a reply exceeded `replyBufferBytes`. */
  | 'replyTooLarge'
  /** The broker does not read: a part of a reply did not fit into the outgoing queue. */
  | 'queueFull';

export type WorkerEvent =
  | { type: 'connecting'; endpoint: string; dialect: Dialect }
  /** The broker answered: requests may come. */
  | { type: 'ready'; endpoint: string; dialect: Dialect }
  | { type: 'request'; token: HandlerToken; body: Frames }
  /** The session of a running request ended: its reply will reach no one. */
  | { type: 'requestLost'; token: HandlerToken }
  | { type: 'brokerLost'; endpoint: string; reason: BrokerLossReason }
  /** A handler finished after its session had ended. */
  | { type: 'replyDropped'; token: HandlerToken }
  | { type: 'malformed'; reason: string }
  | { type: 'drained' };

export interface WorkerSettings extends HeartbeatSettings {
  readonly service: string;
  readonly protocol: WorkerProtocol;
  readonly reconnectInterval: number;
  readonly reconnectLimit: number;
  readonly replyBufferBytes: number;
  readonly random: Random;
}

interface Running {
  readonly envelope: Frames;
  /** The session it came in; a later session cannot reply to it. */
  readonly session: number;
  /** Parts written in a dialect that has no partials: they become the one reply. */
  readonly parts: Uint8Array[];
  partBytes: number;
  /** Parts were sent: a reply without them would look whole. */
  partsSent: boolean;
}

type Phase = 'idle' | 'connecting' | 'active' | 'settling' | 'waiting' | 'drained';

export class WorkerMachine implements Machine<WorkerPort, WorkerInput, WorkerCall> {
  readonly #outbox: Outbox<WorkerPort, WorkerOutput, WorkerEvent>;
  readonly #settings: WorkerSettings;
  readonly #state = {
    phase: 'idle' as Phase,
    draining: false,
    endpoints: [] as string[],
    /** Which endpoint and dialect the present, or else the next, session uses. */
    endpoint: 0,
    dialect: 'mdp0.2' as Dialect,
    session: 0,
    heartbeat: undefined as Heartbeat | undefined,
    /** Reconnects since a broker was last heard. */
    retries: 0,
    reconnectAt: Infinity,
    tokens: 0,
    /** A reply in parts was sent, and nothing yet proves that the broker has it. */
    unconfirmed: false,
    running: new Map<HandlerToken, Running>(),
  };

  constructor(outbox: Outbox<WorkerPort, WorkerOutput, WorkerEvent>, settings: WorkerSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    if (settings.protocol !== 'auto') this.#state.dialect = settings.protocol;
  }

  get nextTimeout(): Instant {
    const { heartbeat, phase, reconnectAt } = this.#state;
    if (heartbeat !== undefined) return nextDue(heartbeat);
    return phase === 'waiting' ? reconnectAt : Infinity;
  }

  fingerprint(now: Instant): string {
    return fingerprintOf(this.#state, now);
  }

  /** How many handlers run, of this session and of earlier ones. */
  get running(): number {
    return this.#state.running.size;
  }

  handleCommand(now: Instant, _port: WorkerPort, _from: Address, command: WorkerInput): void {
    const { heartbeat, phase } = this.#state;
    if (heartbeat === undefined) return;
    if (command.dialect !== this.#state.dialect) {
      const reason = `a ${command.dialect} command in a ${this.#state.dialect} session`;
      this.#outbox.emit({ type: 'malformed', reason });
      return;
    }
    if (command.type === 'disconnect') return this.#endSession(now, 'disconnected');
    heard(heartbeat, now, this.#settings);
    if (phase === 'connecting') {
      this.#state.phase = 'active';
      this.#state.retries = 0;
      const { dialect } = this.#state;
      this.#outbox.emit({ type: 'ready', endpoint: this.#endpoint(), dialect });
    }
    if (command.type === 'dispatch') this.#start(now, command);
  }

  handleMalformed(_now: Instant, _port: WorkerPort, _from: Address, reason: string): void {
    this.#outbox.emit({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: WorkerCall): void {
    switch (call.type) {
      case 'connect':
        this.#state.endpoints.push(...call.endpoints);
        if (this.#state.phase === 'idle' && call.endpoints.length > 0) this.#connect(now);
        return;
      case 'write':
        return this.#write(now, call.token, call.body);
      case 'reply':
        return this.#finish(now, call.token, call.body);
      case 'fail':
        return this.#finish(now, call.token, encodeFailure(call.failure), true);
      case 'drain':
        this.#state.draining = true;
        return this.#finishDraining();
      case 'stop':
        for (const token of this.#state.running.keys()) {
          // Those of an earlier session were told when it ended.
          if (this.#runningOf(token) !== undefined) this.#lose(token);
        }
        this.#state.running.clear();
        this.#state.draining = true;
        return this.#finishDraining();
    }
  }

  /**
   * The link broke; the socket reconnects by itself. A beat on the way makes the broker show itself,
   * but a reply of which parts were sent may have a hole, and must not go on as if it were whole.
   */
  handlePeerGone(now: Instant): void {
    const { heartbeat, phase, running, unconfirmed } = this.#state;
    if (heartbeat === undefined || phase !== 'active') return;
    const inParts = unconfirmed || [...running.values()].some(({ partsSent }) => partsSent);
    if (inParts) this.#endSession(now, 'linkBroken');
    else this.#beat(now, heartbeat);
  }

  handleWritable(): void {
    // Nothing waits: what the queue refused ended the session.
  }

  handleStored(): void {
    // A worker stores nothing.
  }

  handleTimeout(now: Instant): void {
    const { heartbeat } = this.#state;
    if (heartbeat === undefined) {
      if (this.nextTimeout <= now) this.#connect(now);
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

  #connect(now: Instant): void {
    const state = this.#state;
    state.reconnectAt = Infinity;
    state.phase = 'connecting';
    state.session++;
    state.unconfirmed = false;
    state.heartbeat = startHeartbeat(now, this.#settings);
    const { dialect } = state;
    const endpoint = this.#endpoint();
    this.#outbox.open('broker', endpoint);
    this.#send({ type: 'ready', dialect, service: this.#settings.service });
    this.#outbox.emit({ type: 'connecting', endpoint, dialect });
  }

  #beat(now: Instant, heartbeat: Heartbeat): void {
    beaten(heartbeat, now, this.#settings);
    this.#send({ type: 'heartbeat', dialect: this.#state.dialect });
  }

  #endSession(now: Instant, reason: BrokerLossReason): void {
    const state = this.#state;
    const answered = state.phase === 'active' || reason === 'disconnected';
    state.heartbeat = undefined;
    this.#outbox.close('broker', reason === 'unexpectedCommand');
    this.#outbox.emit({ type: 'brokerLost', endpoint: this.#endpoint(), reason });
    for (const [token, running] of state.running) {
      if (running.session === state.session) this.#lose(token);
    }
    if (!answered) this.#tryOtherwise();
    const { reconnectInterval: backoff, reconnectLimit: backoffLimit, random } = this.#settings;
    state.reconnectAt = now + backoffDelay({ backoff, backoffLimit }, state.retries++, random);
    this.#settle(now);
  }

  /** Nobody answered: the next try is at the next endpoint, and in the other dialect where free. */
  #tryOtherwise(): void {
    const state = this.#state;
    state.endpoint = (state.endpoint + 1) % state.endpoints.length;
    if (this.#settings.protocol !== 'auto') return;
    if (state.endpoint === 0) state.dialect = state.dialect === 'mdp0.2' ? 'mdp0.1' : 'mdp0.2';
  }

  /** Reconnects once no handler of an earlier session runs. */
  #settle(now: Instant): void {
    const state = this.#state;
    if (state.draining) return this.#finishDraining();
    if (state.running.size > 0) {
      state.phase = 'settling';
      return;
    }
    state.phase = 'waiting';
    state.reconnectAt = Math.max(now, state.reconnectAt);
  }

  #endpoint(): string {
    return this.#state.endpoints[this.#state.endpoint]!;
  }

  // Requests

  #start(now: Instant, command: DispatchCommand): void {
    const state = this.#state;
    // Stock MDP has a credit of one: more than that would be a queue without a bound.
    if (state.running.size > 0) {
      this.#send({ type: 'disconnect', dialect: state.dialect });
      return this.#endSession(now, 'unexpectedCommand');
    }
    const token = state.tokens++;
    // A broker gives no second request to who has not answered the first.
    state.unconfirmed = false;
    state.running.set(token, {
      envelope: keepFrames(command.envelope),
      session: state.session,
      parts: [],
      partBytes: 0,
      partsSent: false,
    });
    this.#outbox.emit({ type: 'request', token, body: keepFrames(command.body) });
  }

  #write(now: Instant, token: HandlerToken, body: Frames): void {
    const running = this.#runningOf(token);
    if (running === undefined) return;
    const { dialect } = this.#state;
    const { envelope } = running;
    if (!hasPartials(dialect)) {
      running.partBytes += byteLength(body);
      if (running.partBytes > this.#settings.replyBufferBytes) {
        return this.#endSession(now, 'replyTooLarge');
      }
      running.parts.push(...body);
      return;
    }
    running.partsSent = true;
    if (!this.#send({ type: 'result', dialect, envelope, body, final: false })) {
      this.#endSession(now, 'queueFull');
    }
  }

  #finish(now: Instant, token: HandlerToken, body: Frames, failed = false): void {
    const state = this.#state;
    const running = this.#runningOf(token);
    if (!state.running.delete(token)) return;
    if (running === undefined) {
      this.#outbox.emit({ type: 'replyDropped', token });
      if (state.phase === 'settling' || state.draining) this.#settle(now);
      return;
    }
    const { envelope, parts } = running;
    const whole = failed || parts.length === 0 ? body : [...parts, ...body];
    const { dialect } = state;
    state.unconfirmed = running.partsSent;
    const sent = this.#send({ type: 'result', dialect, envelope, body: whole, final: true });
    if (state.draining) this.#finishDraining();
    else if (!sent) this.#endSession(now, 'queueFull');
  }

  /** What a handler is working on, unless its session is over. */
  #runningOf(token: HandlerToken): Running | undefined {
    const { running, session, heartbeat } = this.#state;
    const found = running.get(token);
    return found?.session === session && heartbeat !== undefined ? found : undefined;
  }

  #lose(token: HandlerToken): void {
    this.#outbox.emit({ type: 'requestLost', token });
  }

  // Closing

  #finishDraining(): void {
    const state = this.#state;
    if (state.phase === 'drained' || state.running.size > 0) return;
    if (state.heartbeat !== undefined) {
      this.#send({ type: 'disconnect', dialect: state.dialect });
      this.#outbox.close('broker', true);
    }
    state.heartbeat = undefined;
    state.reconnectAt = Infinity;
    state.phase = 'drained';
    this.#outbox.emit({ type: 'drained' });
  }

  #send(command: WorkerOutput): boolean {
    return this.#outbox.send('broker', '', command);
  }
}
