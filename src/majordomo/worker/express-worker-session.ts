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
 *
 * With a passive broker of a pair a session stands by: it beats, and gets no work until the broker serves.
 */
import type { Epoch } from '../../core/election.ts';
import type { Failure } from '../../core/errors.ts';
import {
  beaten,
  expiryOf,
  forgive,
  heard,
  nextDue,
  slowerOf,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from '../../core/heartbeat.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { backoffDelay } from '../../core/retry.ts';
import type {
  DispatchCommand,
  HeartbeatCommand,
  StandingCommand,
  WelcomeCommand,
  WorkerInput,
} from '../wire/commands.ts';
import { expectLarge } from '../wire/large.ts';
import { BrokerStanding } from './broker-standing.ts';
import { SessionVoice } from './session-voice.ts';
import { newSessionId, type SharedWork } from './shared-work.ts';
import type {
  BrokerLossReason,
  ExpressPort,
  HandlerToken,
  SessionHost,
  WorkerOutbox,
  WorkerSettings,
} from './worker-events.ts';
import { WorkerRequests } from './worker-requests.ts';

type Phase = 'idle' | 'connecting' | 'active' | 'reattaching' | 'waiting';

/** Who has the sessions. */
export interface ExpressHost extends Pick<SessionHost, 'nextToken'> {
  /** A session ended, and not because it was asked to. */
  handleLost(now: Instant, session: ExpressWorkerSession, wasWelcome: boolean): void;
  /** The broker of this session is one of a pair, and showed its epoch. */
  handlePair(now: Instant, session: ExpressWorkerSession, isHigher: boolean): void;
}

export class ExpressWorkerSession {
  readonly port: ExpressPort;
  readonly #outbox: WorkerOutbox;
  readonly #host: ExpressHost;
  readonly #shared: SharedWork;
  readonly #standing: BrokerStanding;
  readonly #settings: WorkerSettings;
  readonly #endpoints: readonly string[];
  readonly #requests: WorkerRequests;
  readonly #voice: SessionVoice;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    phase: 'idle' as Phase,
    endpoint: 0,
    /** New for each session. */
    id: '',
    /** What both sides agreed on; before WELCOME our own. */
    pace: { heartbeatInterval: 0, heartbeatLiveness: 0 } as HeartbeatSettings,
    heartbeat: undefined as Heartbeat | undefined,
    /** Sessions lost since a broker was last heard. */
    retries: 0,
    reconnectAt: Infinity,
  };

  /** @param endpoints may grow, but not change */
  constructor(
    port: ExpressPort,
    outbox: WorkerOutbox,
    host: ExpressHost,
    shared: SharedWork,
    settings: WorkerSettings,
    endpoints: readonly string[],
  ) {
    this.port = port;
    this.#outbox = outbox;
    this.#host = host;
    this.#shared = shared;
    this.#settings = settings;
    this.#endpoints = endpoints;
    this.#standing = new BrokerStanding(outbox, port, shared);
    const { replyBufferBytes } = settings;
    this.#requests = new WorkerRequests(outbox, port, host, shared, replyBufferBytes);
    this.#voice = new SessionVoice(outbox, port, settings, shared, this.#requests);
  }

  get nextTimeout(): Instant {
    const { heartbeat, reconnectAt } = this.state;
    const due = heartbeat === undefined ? reconnectAt : nextDue(heartbeat);
    return Math.min(due, this.#requests.state.deadlineAt);
  }

  /** For the fingerprint of the machine that it is part of. */
  get states(): readonly object[] {
    const { state } = this.#voice;
    return [this.state, state, ...this.#requests.states, ...this.#standing.states];
  }

  get endpoint(): string {
    return this.#endpoints[this.state.endpoint]!;
  }

  /** True during a session. */
  get isOpen(): boolean {
    return this.state.heartbeat !== undefined;
  }

  /** True if a session may begin. */
  get isIdle(): boolean {
    return this.state.phase === 'idle';
  }

  /** True while the broker knows the session, unless that went unnoticed when their link broke. */
  get isWelcome(): boolean {
    return this.state.phase === 'active' || this.state.phase === 'reattaching';
  }

  /** True while the broker is the one of its pair that serves. */
  get isServed(): boolean {
    return this.state.phase === 'active' && this.#standing.isServing;
  }

  /** Handlers that have not settled, or whose reply has not left. */
  get running(): number {
    return this.#requests.size;
  }

  /** Handlers whose request is lost, and which have not settled yet. */
  get orphans(): number {
    return this.#requests.orphans;
  }

  /** The broker may wait for the outcome under this key. */
  tell(key: string): void {
    this.#standing.tell(key);
  }

  /** Its broker serves, but under an epoch whose time is over: it is told so. */
  warn(): void {
    const { isOutdated, isStandby } = this.#standing;
    if (this.state.phase === 'active' && isOutdated && !isStandby) this.#standing.saySeen();
  }

  /** The keys under which handlers are at work whose outcome can be told of. */
  runningKeys(): Iterable<string> {
    return this.#requests.runningKeys();
  }

  handleCommand(now: Instant, command: WorkerInput): void {
    const { heartbeat, phase, pace } = this.state;
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
        return this.#start(now, command);
      case 'credit':
        return this.#requests.credited(command.number, command.bytes);
      case 'cancel':
        return this.#requests.cancel(command.number, 'cancelled');
      case 'heartbeat':
        return this.#reconcile(command);
      case 'welcome':
        return this.#welcome(now, command, heartbeat);
      case 'standing':
        return this.#takeStanding(now, command);
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
      this.#standing.unlink();
      state.heartbeat = startHeartbeat(now, state.pace);
    }
    this.#voice.sayReady(this.state.id);
  }

  handleWritable(): void {
    this.#voice.flush(this.state.id);
    this.tellCredit();
    this.#requests.flush();
    this.#standing.flush();
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
  finish(now: Instant, token: HandlerToken, body: Frames, failure: Failure | undefined): boolean {
    const wasOrphan = this.#requests.finish(now, token, body, failure);
    if (wasOrphan) this.tellCredit();
    return wasOrphan;
  }

  /** A broker of a lower epoch than the highest serves no more: what it gives others may give, too. */
  #start(now: Instant, command: DispatchCommand): void {
    const { sent } = this.#voice.state.beats;
    if (!this.#standing.isOutdated) return this.#requests.start(now, command, sent);
    this.#requests.handBack(command.number ?? 0);
    this.#standing.saySeen();
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
    this.#voice.restartBeats();
    this.#outbox.open(this.port, this.endpoint);
    this.#voice.sayReady(this.state.id);
    this.#outbox.emit({ type: 'connecting', endpoint: this.endpoint, dialect: 'express' });
  }

  /** Ends a session that was never welcomed, and begins no other. */
  abandon(): void {
    if (this.isOpen) {
      this.#outbox.close(this.port);
      this.#close();
    }
    this.#rest();
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
      this.#voice.sayGoodbye();
      this.#outbox.close(this.port, true);
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
    this.#voice.state.isReadyDue = false;
    this.#requests.hold();
    this.#standing.clear();
    this.#outbox.emit({ type: 'sessionClosed', session: state.id });
  }

  #endSession(now: Instant, reason: BrokerLossReason): void {
    const { state, isWelcome } = this;
    this.#outbox.close(this.port);
    this.#outbox.emit({ type: 'brokerLost', endpoint: this.endpoint, reason });
    this.#close();
    this.#requests.orphanAll();
    const {
      reconnectInterval: backoff,
      reconnectLimit,
      heartbeatInterval,
      random,
    } = this.#settings;
    // A broker of a pair may take over as soon as it is back, and waits for its workers for an expiry only.
    const { isPair } = this.#shared.epochs;
    const backoffLimit = isPair ? Math.min(reconnectLimit, heartbeatInterval) : reconnectLimit;
    state.phase = 'waiting';
    state.reconnectAt = now + backoffDelay({ backoff, backoffLimit }, state.retries++, random);
    this.#host.handleLost(now, this, isWelcome);
  }

  #welcome(now: Instant, command: WelcomeCommand, heartbeat: Heartbeat): void {
    const { state, endpoint } = this;
    const { phase, pace } = state;
    const { epoch } = command;
    const verdict = epoch === undefined ? 'same' : this.#shared.epochs.judge(epoch);
    if (verdict === 'implausible') return this.#refuse(epoch!);
    state.pace = slowerOf(this.#settings, command);
    state.phase = 'active';
    state.retries = 0;
    heard(heartbeat, now, state.pace);
    if (phase === 'reattaching') {
      this.#outbox.emit({ type: 'reattached', endpoint, resumed: command.resumed });
    }
    if (phase === 'connecting' || pace.heartbeatInterval !== state.pace.heartbeatInterval) {
      const { heartbeatInterval: interval } = state.pace;
      this.#outbox.emit({ type: 'sessionOpened', endpoint, session: state.id, interval });
    }
    if (!command.resumed) {
      this.#voice.restartBeats();
      this.#requests.orphanAll();
    }
    const { standby = false } = command;
    if (epoch !== undefined && (standby || verdict === 'outdated')) this.#standBy(epoch, !standby);
    else this.#standing.serves(endpoint, epoch);
    // What was heard before may be of an earlier life of the broker's session: no echo may claim it.
    this.#voice.state.beats.heard = 0;
    this.#beat(now, heartbeat);
    this.#requests.release();
    this.#requests.flush();
    if (epoch !== undefined) this.#host.handlePair(now, this, verdict === 'higher');
  }

  /** A broker of a pair serves from now on, and asks what is done; or it serves no more. */
  #takeStanding(now: Instant, { active, isHeir, epoch }: StandingCommand): void {
    if (this.state.phase !== 'active') return;
    const verdict = this.#shared.epochs.judge(epoch);
    if (verdict === 'implausible') return this.#refuse(epoch);
    if (active && verdict !== 'outdated') {
      this.#standing.serves(this.endpoint, epoch);
      this.#standing.answer(now, isHeir === true, expiryOf(this.state.pace));
      this.tellCredit();
    } else this.#standBy(epoch, active);
    this.#host.handlePair(now, this, verdict === 'higher');
  }

  /** Whoever serves no more waits for nothing. @param claims it believes that it does */
  #standBy(epoch: Epoch, claims: boolean): void {
    this.#requests.orphanAll();
    this.#standing.standsBy(this.endpoint, epoch);
    if (claims) this.#standing.saySeen();
  }

  #refuse(epoch: Epoch): void {
    this.#outbox.emit({ type: 'malformed', reason: `an epoch of ${epoch}` });
  }

  #beat(now: Instant, heartbeat: Heartbeat): void {
    this.#sayBeat(now, heartbeat);
    this.tellCredit(true);
    this.#shared.outcomes.expire(now);
  }

  #sayBeat(now: Instant, heartbeat: Heartbeat): void {
    const { state } = this;
    beaten(heartbeat, now, state.pace);
    if (state.phase !== 'active') return;
    this.#voice.sayBeat(now, this.#requests.hasSaidAll && this.#standing.hasToldAll);
  }

  /** The broker says what it has given us: what it no longer counts on is in vain. */
  #reconcile({ beat = 0, echo = 0, held = [] }: HeartbeatCommand): void {
    this.#requests.reconcile(this.#voice.state.beats, { beat, echo, held });
    const arrival = this.#voice.arrivalBy(echo);
    if (arrival !== undefined) this.#standing.noteArrival(arrival);
    this.tellCredit();
  }

  /**
   * Tells how much room there is now. A broker that does not serve is told when it does, and that there will
   * be none.
   */
  tellCredit(isBeat = false): void {
    if (this.state.phase !== 'active') return;
    const { isStandby, isOutdated } = this.#standing;
    if ((isStandby || isOutdated) && !this.#shared.state.isDraining) return;
    this.#voice.tellCredit(isBeat);
  }
}
