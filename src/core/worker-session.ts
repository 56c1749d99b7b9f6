/**
 * A worker's sessions, one after the other, in protocols that give one request at a time.
 *
 * Each session is with one broker or queue, always on a fresh socket:
 *
 *   idle ──► connecting ──heard──► active ──(lost)──► settling ──► waiting ──► idle
 *                                                 (handlers end)  (back-off)
 *
 * It never says READY while a handler of an earlier session still runs: it would be given a second
 * request with the first still in its hands. What a protocol says, and how, is its `SessionWire`.
 */
import {
  beaten,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from './heartbeat.ts';
import type { Frames, Instant } from './machine.ts';
import { backoffDelay, type Random } from './retry.ts';

/** Names one request in the hands of the worker's handler; unique over all sessions of a worker. */
export type HandlerToken = number;

/** A request in the hands of a handler; protocols add what its reply needs. */
export interface HeldRequest {
  /** The session it came in; a later session cannot reply to it. */
  readonly session: number;
  /** What the handler returned, while it waits for room in the outgoing queue. */
  reply: Frames | undefined;
}

/** How a session ended, other than by the worker's own wish. */
export interface SessionLoss<Reason extends string> {
  /** `silent`: nothing was heard for interval × liveness. */
  readonly reason: Reason | 'silent';
  /** Index of the endpoint that it was with. */
  readonly endpoint: number;
  /** The other side had been heard in it. */
  readonly wasActive: boolean;
}

/** What a session tells of the requests it gave out. */
export type HeldRequestEvent =
  /** Its session ended: the reply will reach no one. */
  | { readonly type: 'requestLost'; readonly token: HandlerToken }
  /** Its reply came after its session had ended, or found no room before. */
  | { readonly type: 'replyDropped'; readonly token: HandlerToken };

/** What a protocol says, and how. None of it calls the session back, but for `moveOn` in `lost`. */
export interface SessionWire<Held extends HeldRequest, Reason extends string> {
  /** Opens a fresh socket to the endpoint of this index, and says READY on it. */
  open(endpoint: number): void;
  /** Says that this side lives. */
  beat(): void;
  /** Says goodbye where the protocol has a word for it, and closes the socket once all has left. */
  leave(): void;
  /** Closes the socket, and tells. What the session held is told of afterwards. */
  lost(now: Instant, loss: SessionLoss<Reason>): void;
  /** Sends the reply; false if there was no room, then it is asked again when there is. */
  reply(held: Held, body: Frames): boolean;
  emit(event: HeldRequestEvent): void;
}

export interface SessionSettings extends HeartbeatSettings {
  /** Milliseconds before the first reconnect; doubles up to `reconnectLimit`, with jitter. */
  readonly reconnectInterval: number;
  readonly reconnectLimit: number;
  readonly random: Random;
}

type Phase = 'idle' | 'connecting' | 'active' | 'settling' | 'waiting';

export class WorkerSession<Held extends HeldRequest, Reason extends string> {
  readonly #wire: SessionWire<Held, Reason>;
  readonly #settings: SessionSettings;
  readonly #endpoints: readonly string[];
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    phase: 'idle' as Phase,
    /** Which endpoint the present, or else the next, session uses. */
    endpoint: 0,
    /** Counts sessions. */
    session: 0,
    /** When the present, or else the last, session began. */
    begunAt: -Infinity,
    /** During a session alone. */
    heartbeat: undefined as Heartbeat | undefined,
    /** Reconnects since the other side was last heard. */
    retries: 0,
    reconnectAt: Infinity,
    /** Of this session and of earlier ones. */
    held: new Map<HandlerToken, Held>(),
  };

  /**
   * @param settings an interval of `Infinity`: nobody beats, and silence means nothing
   * @param endpoints may grow, but not change
   */
  constructor(
    wire: SessionWire<Held, Reason>,
    settings: SessionSettings,
    endpoints: readonly string[],
  ) {
    this.#wire = wire;
    this.#settings = settings;
    this.#endpoints = endpoints;
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

  /** True during a session. */
  get isOpen(): boolean {
    return this.state.heartbeat !== undefined;
  }

  /** How many handlers are not done, of this session and of earlier ones. */
  get running(): number {
    return this.state.held.size;
  }

  // Its life

  /**
   * Begins a session; it must be idle.
   * @param endpoint index of one that is known to be there; undefined: it is this session's to find
   */
  connect(now: Instant, endpoint?: number): void {
    const { state } = this;
    if (endpoint !== undefined) state.endpoint = endpoint;
    state.phase = 'connecting';
    state.session++;
    state.begunAt = now;
    state.heartbeat = startHeartbeat(now, this.#settings);
    this.#wire.open(state.endpoint);
  }

  /** A sign of life in a session. True if it is the first. */
  hear(now: Instant): boolean {
    const { state } = this;
    if (state.heartbeat === undefined) return false;
    heard(state.heartbeat, now, this.#settings);
    if (state.phase !== 'connecting') return false;
    state.phase = 'active';
    state.retries = 0;
    return true;
  }

  /** Says that this side lives, now and again an interval later. */
  beat(now: Instant): void {
    const { heartbeat } = this.state;
    if (heartbeat === undefined) return;
    beaten(heartbeat, now, this.#settings);
    this.#wire.beat();
  }

  handleTimeout(now: Instant): void {
    const { heartbeat } = this.state;
    if (heartbeat === undefined) {
      if (this.nextTimeout <= now) this.#rest();
      return;
    }
    // Who was stopped itself has heard nobody: that is no evidence against them.
    if (now - this.nextTimeout > this.#settings.heartbeatInterval) {
      forgive(heartbeat, now, this.#settings);
    }
    if (heartbeat.expiresAt <= now) this.end(now, 'silent');
    else if (heartbeat.beatAt <= now) this.beat(now);
  }

  /** The outgoing queue has room again. */
  handleWritable(): void {
    for (const [token, held] of this.state.held) {
      if (held.reply !== undefined) this.#reply(token, held, held.reply);
    }
  }

  /**
   * Ends the session; another one follows when no handler runs and the pause is over. One that never
   * became active is followed by one at the next endpoint.
   * @param isAtOnce without a pause
   */
  end(now: Instant, reason: Reason | 'silent', isAtOnce = false): void {
    const { state } = this;
    const { phase, endpoint, session } = state;
    const wasActive = phase === 'active';
    state.heartbeat = undefined;
    state.phase = 'settling';
    state.reconnectAt = isAtOnce ? now : now + this.#pause();
    if (!wasActive) this.moveOn();
    this.#wire.lost(now, { reason, endpoint, wasActive });
    for (const [token, held] of state.held) {
      if (held.session !== session) continue;
      if (held.reply === undefined) this.#wire.emit({ type: 'requestLost', token });
      else this.#drop(token);
    }
    this.#settle(now);
  }

  /** The next session is at the next endpoint. */
  moveOn(): void {
    this.state.endpoint = (this.state.endpoint + 1) % this.#endpoints.length;
  }

  /** Says goodbye and begins no more, unless it has a request in hand: then ask again later. */
  retire(): void {
    const { state } = this;
    if (state.held.size > 0) return;
    if (state.heartbeat !== undefined) this.#wire.leave();
    state.heartbeat = undefined;
    this.#rest();
  }

  /** What runs is lost. */
  stop(): void {
    for (const token of this.state.held.keys()) {
      // Those of an earlier session were told when it ended.
      if (this.held(token) !== undefined) this.#wire.emit({ type: 'requestLost', token });
    }
    this.state.held.clear();
    this.retire();
  }

  #rest(): void {
    this.state.phase = 'idle';
    this.state.reconnectAt = Infinity;
  }

  #pause(): number {
    const { reconnectInterval: backoff, reconnectLimit: backoffLimit, random } = this.#settings;
    return backoffDelay({ backoff, backoffLimit }, this.state.retries++, random);
  }

  /** Waits for its turn to reconnect once no handler of an earlier session runs. */
  #settle(now: Instant): void {
    const { state } = this;
    if (state.held.size > 0) return;
    state.phase = 'waiting';
    state.reconnectAt = Math.max(now, state.reconnectAt);
  }

  // Requests

  /** A request came in this session, and its handler begins. */
  hold(token: HandlerToken, held: Held): void {
    this.state.held.set(token, held);
  }

  /** True if this request is in its hands. */
  has(token: HandlerToken): boolean {
    return this.state.held.has(token);
  }

  /** What a handler is working on, unless its session is over. */
  held(token: HandlerToken): Held | undefined {
    const { held, session, heartbeat } = this.state;
    const found = held.get(token);
    return found?.session === session && heartbeat !== undefined ? found : undefined;
  }

  /** The handler is done; its reply leaves, or is dropped if its session is over. */
  finish(now: Instant, token: HandlerToken, body: Frames): void {
    const held = this.held(token);
    if (held === undefined) {
      if (!this.has(token)) return;
      this.#drop(token);
      if (this.state.phase === 'settling') this.#settle(now);
      return;
    }
    if (held.reply !== undefined) return;
    held.reply = body;
    this.#reply(token, held, body);
  }

  /** The handler is done with a request once its reply has left, which a full queue delays. */
  #reply(token: HandlerToken, held: Held, body: Frames): void {
    if (this.#wire.reply(held, body)) this.state.held.delete(token);
  }

  #drop(token: HandlerToken): void {
    this.state.held.delete(token);
    this.#wire.emit({ type: 'replyDropped', token });
  }
}
