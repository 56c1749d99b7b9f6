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
import { sizeOf, keepFrames } from '../core/frames.ts';
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
  | 'linkBroken';

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
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { type: 'socketFailed'; reason: string }
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
  /** The parts were too many: this is the end of the reply, whatever the handler still says. */
  failure: Failure | undefined;
  /** What the handler returned, while it waits for room in the outgoing queue. */
  reply: Frames | undefined;
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
        return this.#write(call.token, call.body);
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
    for (const [token, running] of this.#state.running) {
      if (running.reply !== undefined) this.#sendReply(token, running, running.reply);
    }
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
    const wasActive = state.phase === 'active';
    state.heartbeat = undefined;
    this.#outbox.close('broker', reason === 'unexpectedCommand');
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
  }

  /** It was not to be: the next try is at the next endpoint, and after silence in the other dialect. */
  #tryOtherwise(wasSilent: boolean): void {
    const state = this.#state;
    state.endpoint = (state.endpoint + 1) % state.endpoints.length;
    if (this.#settings.protocol !== 'auto' || !wasSilent || state.endpoint !== 0) return;
    state.dialect = state.dialect === 'mdp0.2' ? 'mdp0.1' : 'mdp0.2';
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
      failure: undefined,
      reply: undefined,
    });
    this.#outbox.emit({ type: 'request', token, body: keepFrames(command.body) });
  }

  #write(token: HandlerToken, body: Frames): void {
    const running = this.#runningOf(token);
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

  #finish(now: Instant, token: HandlerToken, body: Frames, failed = false): void {
    const state = this.#state;
    const running = this.#runningOf(token);
    if (running === undefined) {
      if (!state.running.delete(token)) return;
      this.#outbox.emit({ type: 'replyDropped', token });
      if (state.phase === 'settling' || state.draining) this.#settle(now);
      return;
    }
    if (running.reply !== undefined) return;
    const { parts, failure } = running;
    if (failure !== undefined) running.reply = encodeFailure(failure);
    else running.reply = failed || parts.length === 0 ? body : [...parts, ...body];
    this.#sendReply(token, running, running.reply);
  }

  /** The handler is done with a request once its reply has left, which a full queue delays. */
  #sendReply(token: HandlerToken, running: Running, body: Frames): void {
    const state = this.#state;
    const { dialect } = state;
    const { envelope, partsSent } = running;
    if (!this.#send({ type: 'result', dialect, envelope, body, final: true })) return;
    state.running.delete(token);
    state.unconfirmed = partsSent;
    if (state.draining) this.#finishDraining();
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

/** True if nothing the handler writes becomes a part of the reply any more. */
function hasEnded(running: Running): boolean {
  return running.failure !== undefined || running.reply !== undefined;
}
