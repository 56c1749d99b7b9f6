/**
 * A worker's session of express: one socket, as many requests at a time as it has credit for.
 *
 *   idle ──► connecting ──WELCOME──► active ◄──WELCOME── reattaching
 *                 │                    │ └────link broke────▲ │
 *                 └──silence─────► waiting ◄──silence, DISCONNECT┘ ──(back-off)──► idle
 *
 * A broken link does not end it: READY with the same session id follows on the new one at once, and
 * what runs goes on. Results wait for WELCOME meanwhile, as a broker that was restarted may by now
 * have given their numbers to other requests.
 */
import type { Failure } from '../../core/errors.ts';
import {
  beaten,
  forgive,
  heard,
  nextDue,
  slowerOf,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from '../../core/heartbeat.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { nextBeat, startBeats } from '../../core/reconciliation.ts';
import { backoffDelay, type Random } from '../../core/retry.ts';
import type {
  HeartbeatCommand,
  SessionId,
  WelcomeCommand,
  WorkerInput,
  WorkerOutput,
} from '../wire/commands.ts';
import { expectLarge } from '../wire/large.ts';
import type {
  BrokerLossReason,
  HandlerToken,
  SessionHost,
  WorkerOutbox,
  WorkerSettings,
} from './worker-events.ts';
import { WorkerRequests } from './worker-requests.ts';

type Phase = 'idle' | 'connecting' | 'active' | 'reattaching' | 'waiting';

const PORT = 'express';

export class ExpressWorkerSession {
  readonly #outbox: WorkerOutbox;
  readonly #host: SessionHost;
  readonly #settings: WorkerSettings;
  readonly #endpoints: readonly string[];
  readonly #requests: WorkerRequests;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    phase: 'idle' as Phase,
    endpoint: 0,
    /** New for each session. */
    id: '',
    /** What both sides agreed on; before WELCOME our own. */
    pace: { heartbeatInterval: 0, heartbeatLiveness: 0 } as HeartbeatSettings,
    heartbeat: undefined as Heartbeat | undefined,
    beats: startBeats(),
    /** Sessions lost since a broker was last heard. */
    retries: 0,
    reconnectAt: Infinity,
    /** The credit that the broker was told last. */
    credit: 0,
    /** It has changed since READY: it is told again with each heartbeat, as the word may be lost. */
    hasToldCredit: false,
    /** READY had no room in the queue. */
    isReadyDue: false,
  };

  /** @param endpoints may grow, but not change */
  constructor(
    outbox: WorkerOutbox,
    host: SessionHost,
    settings: WorkerSettings,
    endpoints: readonly string[],
  ) {
    this.#outbox = outbox;
    this.#host = host;
    this.#settings = settings;
    this.#endpoints = endpoints;
    this.#requests = new WorkerRequests(outbox, host, settings.replyBufferBytes);
  }

  get nextTimeout(): Instant {
    const { heartbeat, reconnectAt } = this.state;
    const due = heartbeat === undefined ? reconnectAt : nextDue(heartbeat);
    return Math.min(due, this.#requests.state.deadlineAt);
  }

  /** For the fingerprint of the machine that it is part of. */
  get states(): readonly object[] {
    return [this.state, ...this.#requests.states];
  }

  /** True during a session. */
  get isOpen(): boolean {
    return this.state.heartbeat !== undefined;
  }

  /** True if a session may begin. */
  get isIdle(): boolean {
    return this.state.phase === 'idle';
  }

  /** Handlers that have not settled, or whose reply has not left. */
  get running(): number {
    return this.#requests.size;
  }

  /** Handlers whose request is lost, and which have not settled yet. */
  get orphans(): number {
    return this.#requests.orphans;
  }

  handleCommand(now: Instant, command: WorkerInput): void {
    const { heartbeat, phase, pace, beats } = this.state;
    if (heartbeat === undefined) return;
    if (command.dialect !== 'express') {
      const reason = `a ${command.dialect} command in a session of express`;
      this.#outbox.emit({ type: 'malformed', reason });
      return;
    }
    // Until WELCOME nothing else proves that the broker knows this session.
    if (phase === 'active') heard(heartbeat, now, pace);
    switch (command.type) {
      case 'dispatch':
        return this.#requests.start(now, command, beats.sent);
      case 'credit':
        return this.#requests.credited(command.number, command.bytes);
      case 'cancel':
        return this.#requests.cancel(command.number, 'cancelled');
      case 'heartbeat':
        return this.#reconcile(command);
      case 'welcome':
        return this.#welcome(now, command, heartbeat);
      case 'announce':
        return expectLarge(heartbeat, now, command.bytes);
      case 'disconnect':
        return this.#endSession(now, 'disconnected');
      case 'reply':
        this.#outbox.emit({ type: 'malformed', reason: 'a reply, but this is a worker' });
    }
  }

  /** The link broke; the socket reconnects by itself, and READY is what it sends first. */
  handlePeerGone(now: Instant): void {
    const { state } = this;
    if (state.heartbeat === undefined) return;
    if (state.phase === 'active') {
      state.phase = 'reattaching';
      this.#requests.hold();
      state.heartbeat = startHeartbeat(now, state.pace);
    }
    this.#sayReady();
  }

  handleWritable(): void {
    if (this.state.isReadyDue) this.#sayReady();
    this.#tellCredit();
    this.#requests.flush();
  }

  handleTimeout(now: Instant): void {
    const { state } = this;
    const { heartbeat, pace } = state;
    this.#requests.expire(now);
    if (heartbeat === undefined) {
      if (state.reconnectAt <= now) this.#rest();
      return;
    }
    // Who was stopped itself has not heard the broker: that is no evidence against it.
    if (now - nextDue(heartbeat) > pace.heartbeatInterval) forgive(heartbeat, now, pace);
    if (heartbeat.expiresAt <= now) this.#endSession(now, 'silent');
    else if (heartbeat.beatAt <= now) this.#beat(now, heartbeat);
  }

  // Requests

  /** True if this request is in its hands. */
  has(token: HandlerToken): boolean {
    return this.#requests.has(token);
  }

  /** A part of the reply to a request that it has. */
  write(token: HandlerToken, body: Frames): void {
    this.#requests.write(token, body);
  }

  /**
   * The handler of a request that it has is done. True if that makes room for others.
   * @param failure instead of a reply
   */
  finish(token: HandlerToken, body: Frames, failure: Failure | undefined): boolean {
    const wasOrphan = this.#requests.finish(token, body, failure);
    if (wasOrphan) this.#tellCredit();
    return wasOrphan;
  }

  // The session

  /** Begins a session; it must be idle. */
  connect(now: Instant, endpoint: number): void {
    const { state } = this;
    const { heartbeatInterval, heartbeatLiveness, random } = this.#settings;
    state.phase = 'connecting';
    state.endpoint = endpoint;
    state.id = newSessionId(random);
    state.pace = { heartbeatInterval, heartbeatLiveness };
    state.heartbeat = startHeartbeat(now, state.pace);
    state.beats = startBeats();
    this.#outbox.open(PORT, this.#endpoint());
    this.#sayReady();
    this.#outbox.emit({ type: 'connecting', endpoint: this.#endpoint(), dialect: 'express' });
  }

  /** From now on it takes so many requests at a time, orphans included. */
  setRoom(room: number): void {
    this.#requests.state.room = room;
    this.#tellCredit();
  }

  /** Takes nothing new; call `retire` once nothing runs. */
  drain(): void {
    this.#requests.state.isDraining = true;
    this.#tellCredit();
  }

  /** Says goodbye and begins no more, unless handlers run: then ask again later. */
  retire(now: Instant): void {
    if (this.#requests.size === 0) this.#leave(now);
  }

  /** What runs is lost. */
  stop(now: Instant): void {
    this.#leave(now);
    this.#requests.forgetAll();
  }

  /**
   * The last heartbeat tells the broker what was begun here: what it has given us beside that was on
   * its way when we left, and need not count as an attempt.
   */
  #leave(now: Instant): void {
    const { heartbeat } = this.state;
    if (heartbeat !== undefined) {
      this.#sayBeat(now, heartbeat);
      this.#send({ type: 'disconnect', dialect: 'express' });
      this.#outbox.close(PORT, true);
      this.#close();
    }
    this.#rest();
  }

  #rest(): void {
    this.state.phase = 'idle';
    this.state.reconnectAt = Infinity;
  }

  #close(): void {
    const { state } = this;
    state.heartbeat = undefined;
    state.isReadyDue = false;
    this.#requests.hold();
    this.#outbox.emit({ type: 'sessionClosed', session: state.id });
  }

  #endSession(now: Instant, reason: BrokerLossReason): void {
    const { state } = this;
    this.#outbox.close(PORT);
    this.#outbox.emit({ type: 'brokerLost', endpoint: this.#endpoint(), reason });
    this.#close();
    this.#requests.orphanAll();
    const { reconnectInterval: backoff, reconnectLimit: backoffLimit, random } = this.#settings;
    state.phase = 'waiting';
    state.reconnectAt = now + backoffDelay({ backoff, backoffLimit }, state.retries++, random);
    this.#host.sessionLost(now, (state.endpoint + 1) % this.#endpoints.length);
  }

  #sayReady(): void {
    const { state } = this;
    const { service, heartbeatInterval, heartbeatLiveness } = this.#settings;
    state.credit = this.#requests.credit;
    state.hasToldCredit = false;
    state.isReadyDue = !this.#send({
      type: 'ready',
      dialect: 'express',
      service,
      session: state.id,
      credit: state.credit,
      heartbeatInterval,
      heartbeatLiveness,
      held: this.#requests.held,
    });
  }

  #welcome(now: Instant, command: WelcomeCommand, heartbeat: Heartbeat): void {
    const { state } = this;
    const { phase, pace } = state;
    const endpoint = this.#endpoint();
    state.pace = slowerOf(this.#settings, command);
    state.phase = 'active';
    state.retries = 0;
    heard(heartbeat, now, state.pace);
    if (phase === 'connecting') {
      this.#outbox.emit({ type: 'ready', endpoint, dialect: 'express', session: 0 });
    } else if (phase === 'reattaching') {
      this.#outbox.emit({ type: 'reattached', endpoint, resumed: command.resumed });
    }
    if (phase === 'connecting' || pace.heartbeatInterval !== state.pace.heartbeatInterval) {
      const { heartbeatInterval: interval } = state.pace;
      this.#outbox.emit({ type: 'sessionOpened', endpoint, session: state.id, interval });
    }
    if (!command.resumed) {
      state.beats = startBeats();
      this.#requests.orphanAll();
    }
    // What was heard before may be of an earlier life of the broker's session: no echo may claim it.
    state.beats.heard = 0;
    this.#beat(now, heartbeat);
    this.#requests.release();
    this.#requests.flush();
  }

  #beat(now: Instant, heartbeat: Heartbeat): void {
    this.#sayBeat(now, heartbeat);
    this.#tellCredit(this.state.hasToldCredit);
  }

  #sayBeat(now: Instant, heartbeat: Heartbeat): void {
    const { state } = this;
    beaten(heartbeat, now, state.pace);
    if (state.phase !== 'active') return;
    const numbers = nextBeat(state.beats);
    this.#send({ type: 'heartbeat', dialect: 'express', ...numbers, held: this.#requests.held });
  }

  /** The broker says what it has given us: what it no longer counts on is in vain. */
  #reconcile({ beat = 0, echo = 0, held = [] }: HeartbeatCommand): void {
    this.#requests.reconcile(this.state.beats, { beat, echo, held });
    this.#tellCredit();
  }

  #endpoint(): string {
    return this.#endpoints[this.state.endpoint]!;
  }

  /** What is not told, as the queue is full, is told with the next heartbeat. */
  #tellCredit(again = false): void {
    const { state } = this;
    const { credit } = this.#requests;
    if (state.phase !== 'active' || (credit === state.credit && !again)) return;
    if (!this.#send({ type: 'capacity', dialect: 'express', credit })) return;
    state.credit = credit;
    state.hasToldCredit = true;
  }

  #send(command: WorkerOutput): boolean {
    return this.#outbox.send(PORT, '', command);
  }
}

function newSessionId(random: Random): SessionId {
  return String.fromCharCode(...Array.from({ length: 16 }, () => Math.floor(random() * 256)));
}
