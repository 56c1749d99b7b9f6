/**
 * Where a follower is connected to: one endpoint of several at a time, and which one is next.
 *
 *   idle ──endpoints──► up ──left──► resting ──rested──► up, at the next endpoint
 *                       └─── redirected: at once, a few times ──┘
 *
 * It opens and closes the socket, rests longer the more often it was let down, and knows how long the
 * server may be silent. A link that breaks is no death: the same server is tried first, at once. What is
 * said on the link is the follower's business.
 */
import {
  beaten,
  expiryOf,
  forgive,
  heard,
  slowerOf,
  type HeartbeatSettings,
} from '../../core/heartbeat.ts';
import type { Instant } from '../../core/machine.ts';
import { backoffDelay, type Random } from '../../core/retry.ts';
import type { FollowerOutput } from '../commands.ts';

/** Whoever owns the follower binds this to a port of its machine. */
export interface FollowerSocket {
  /** Opens a fresh one; what was open before is closed. */
  open(endpoint: string): void;
  /** With `flush` what was said last is still sent. */
  close(flush: boolean): void;
  /** False: there is no room, and nothing was sent. */
  send(command: FollowerOutput): boolean;
}

export interface FollowLinkSettings extends HeartbeatSettings {
  readonly reconnectInterval: number;
  readonly reconnectLimit: number;
  readonly random: Random;
}

/** No rest is longer where another server may take over, nor before one that knows nobody is asked again. */
const PAIR_REST = 250;

/** Milliseconds in which all connect again whose link to one server broke. */
const QUICK_REST = 10;

/** Redirects that are followed at once: two servers that send one to each other are met at leisure. */
const QUICK_REDIRECTS = 2;

/** So often the time in which a server must be heard is doubled. */
const SILENCES_LIMIT = 3;

/** So often it asks one that knows nobody who serves, before it asks another. */
const STAYS = 4;

export class FollowLink {
  readonly #socket: FollowerSocket;
  readonly #settings: FollowLinkSettings;
  /** Plain data, for the fingerprint. */
  readonly state = {
    phase: 'idle' as 'idle' | 'up' | 'resting' | 'closed',
    endpoints: [] as string[],
    /** Index of the endpoint that it is, or was last, connected to; and of the next one. */
    endpoint: 0,
    next: 0,
    restAt: Infinity,
    /** Ends of links, and redirects, since all was well last; and whether the same server was tried again. */
    failures: 0,
    redirects: 0,
    /** Where it was told last that the active one is; '' since one serves. */
    sentTo: '',
    isRetried: false,
    /** How many that served were left as they were silent. */
    silences: 0,
    /** A server serves at the other end. */
    isServed: false,
    /** Milliseconds in which a server must answer that it is asked. */
    patience: 0,
    heartbeat: { beatAt: Infinity, expiresAt: Infinity },
    /** As agreed with the server. */
    agreed: { heartbeatInterval: 0, heartbeatLiveness: 0 } as HeartbeatSettings,
  };

  constructor(socket: FollowerSocket, settings: FollowLinkSettings) {
    this.#socket = socket;
    this.#settings = settings;
  }

  get nextTimeout(): Instant {
    const { restAt, heartbeat } = this.state;
    return Math.min(restAt, heartbeat.beatAt, heartbeat.expiresAt);
  }

  get isUp(): boolean {
    return this.state.phase === 'up';
  }

  /** The endpoint that it is, or was last, connected to; '' before the first. */
  get endpoint(): string {
    return this.state.endpoints[this.state.endpoint] ?? '';
  }

  get sentTo(): string {
    return this.state.sentTo;
  }

  /** Milliseconds of silence after which the server counts as lost. */
  get expiry(): number {
    return expiryOf(this.state.agreed);
  }

  /** More endpoints. True: it has connected to the first. */
  connect(now: Instant, endpoints: readonly string[]): boolean {
    const { state } = this;
    if (state.phase === 'closed') return false;
    for (const endpoint of endpoints) {
      if (!state.endpoints.includes(endpoint)) state.endpoints.push(endpoint);
    }
    if (state.phase !== 'idle' || state.endpoints.length === 0) return false;
    this.#open(now, 0);
    return true;
  }

  /** This endpoint and no other; '' for none. True: it has connected there. */
  moveTo(now: Instant, endpoint: string): boolean {
    const { state } = this;
    if (state.phase === 'closed') return false;
    this.#close(true);
    state.phase = 'idle';
    state.endpoints = [];
    state.failures = 0;
    state.redirects = 0;
    state.isRetried = false;
    return endpoint !== '' && this.connect(now, [endpoint]);
  }

  /** True if it rested long enough: it has connected to the next endpoint. */
  wake(now: Instant): boolean {
    const { state } = this;
    if (state.phase !== 'resting' || state.restAt > now) return false;
    this.#open(now, state.next);
    return true;
  }

  /** It is over with this server: after a rest to the next one. With `flush` what was said is still sent. */
  leave(now: Instant, flush: boolean, next = this.state.endpoint + 1): void {
    this.#rest(flush, next, now + this.#backoff(this.state.failures++));
  }

  /** The link broke: most often its server is there still. */
  leaveBroken(now: Instant): void {
    const { state } = this;
    if (!state.isServed || state.isRetried) return this.leave(now, false);
    state.isRetried = true;
    this.#rest(false, state.endpoint, now + QUICK_REST * this.#settings.random());
  }

  /** Nothing was heard: of one that served perhaps only as something large came in its way. */
  leaveSilent(now: Instant): void {
    const { state } = this;
    if (state.isServed) state.silences = Math.min(state.silences + 1, SILENCES_LIMIT);
    this.leave(now, false);
  }

  #rest(flush: boolean, next: number, until: Instant): void {
    const { state } = this;
    this.#close(flush);
    state.phase = 'resting';
    state.next = next % state.endpoints.length;
    state.restAt = until;
  }

  /** True if that is another one of its servers. */
  isElsewhere(endpoint: string): boolean {
    return this.#elsewhere(endpoint) !== undefined;
  }

  /** Goes where it is sent to, if it may: it is `there`, or `resting` before it connects there. */
  redirect(now: Instant, endpoint: string): 'there' | 'resting' | 'nowhere' {
    const { state } = this;
    const next = this.#elsewhere(endpoint);
    state.redirects++;
    state.sentTo = endpoint;
    if (next === undefined) {
      // It may be the one that hears nobody: perhaps another knows more.
      if (state.redirects % STAYS > 0 || state.endpoints.length === 1) return 'nowhere';
      this.leave(now, false);
      return 'resting';
    }
    if (state.redirects > QUICK_REDIRECTS) {
      this.leave(now, false, next);
      return 'resting';
    }
    this.#close(false);
    this.#open(now, next);
    return 'there';
  }

  /** How long to wait before a server is asked again that serves nobody. */
  get standingDelay(): number {
    return this.#backoff(this.state.redirects - 1, PAIR_REST);
  }

  /** For good. */
  stop(flush: boolean): void {
    this.#close(flush);
    this.state.phase = 'closed';
  }

  // Heartbeats

  /** The server must answer from now on. */
  expect(now: Instant): void {
    const { patience, heartbeat } = this.state;
    heartbeat.beatAt = Infinity;
    heartbeat.expiresAt = now + patience;
  }

  /** Nothing is expected of the server. */
  expectNothing(): void {
    const { heartbeat } = this.state;
    heartbeat.beatAt = Infinity;
    heartbeat.expiresAt = Infinity;
  }

  /** The server serves, and wants to beat so often. */
  agree(now: Instant, server: HeartbeatSettings): void {
    const { state } = this;
    const { heartbeatInterval, heartbeatLiveness } = slowerOf(this.#settings, server);
    // What is large delays the beats behind it. It will come again, so it gets more time each time.
    state.agreed = {
      heartbeatInterval,
      heartbeatLiveness: heartbeatLiveness * 2 ** state.silences,
    };
    state.patience = this.expiry;
    state.isServed = true;
    state.sentTo = '';
    state.redirects = 0;
    heard(state.heartbeat, now, state.agreed);
    this.beaten(now);
  }

  heard(now: Instant): void {
    const { heartbeat, agreed } = this.state;
    if (heartbeat.expiresAt < Infinity) heard(heartbeat, now, agreed);
  }

  beaten(now: Instant): void {
    beaten(this.state.heartbeat, now, this.state.agreed);
  }

  /** True if it was silent for too long. */
  isSilent(now: Instant): boolean {
    return this.state.heartbeat.expiresAt <= now;
  }

  /** This side was stopped: that the server was not heard is no evidence against it. */
  forgive(now: Instant): void {
    const { heartbeat, agreed } = this.state;
    if (heartbeat.expiresAt < Infinity) forgive(heartbeat, now, agreed);
  }

  /** All is well here. */
  succeed(): void {
    this.state.failures = 0;
    this.state.silences = 0;
    this.state.isRetried = false;
  }

  /** The index of another server that this can be. */
  #elsewhere(endpoint: string): number | undefined {
    const { endpoints, endpoint: present } = this.state;
    const listed = endpoints.indexOf(endpoint);
    // Somebody serves: if nobody in the list has that name, it may be there under another one.
    const isNamed = endpoint !== '' && endpoints.length > 1;
    const next = listed === -1 && isNamed ? (present + 1) % endpoints.length : listed;
    return next === -1 || next === present ? undefined : next;
  }

  #open(now: Instant, endpoint: number): void {
    const { state } = this;
    const { heartbeatInterval, heartbeatLiveness } = this.#settings;
    state.phase = 'up';
    state.endpoint = endpoint;
    state.restAt = Infinity;
    state.agreed = { heartbeatInterval, heartbeatLiveness };
    state.isServed = false;
    state.patience = this.#greetingPatience;
    this.#socket.open(state.endpoints[endpoint]!);
    this.expect(now);
  }

  /**
   * Where there is another server, little is waited for one that may be dead; more if that was too little at
   * all of two.
   */
  get #greetingPatience(): number {
    const { endpoints, failures } = this.state;
    if (endpoints.length === 1) return this.expiry;
    const rounds = Math.floor(failures / 2);
    return Math.min(this.expiry, 2 * this.#settings.reconnectInterval * 2 ** rounds);
  }

  #close(flush: boolean): void {
    const { state } = this;
    if (state.phase === 'up') this.#socket.close(flush);
    state.restAt = Infinity;
    this.expectNothing();
  }

  #backoff(retry: number, limit = this.state.endpoints.length > 1 ? PAIR_REST : Infinity): number {
    const { reconnectInterval: backoff, reconnectLimit, random } = this.#settings;
    return backoffDelay({ backoff, backoffLimit: Math.min(reconnectLimit, limit) }, retry, random);
  }
}
