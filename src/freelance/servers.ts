/**
 * The servers of a client, each with a socket of its own, and which of them is asked next.
 *
 *   connecting ──PONG──► live ──silence, broken link──► lost
 *        ▲  └──────────────silence, broken link──────────► │
 *        └────────────────── after a back-off ──────────────┘
 *
 * Each is pinged all its life. Only live ones are asked; one that comes back has its old rank.
 */
import { Deadlines } from '../core/deadlines.ts';
import {
  beaten,
  expiryOf,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from '../core/heartbeat.ts';
import type { Instant, Outbox } from '../core/machine.ts';
import { NumberMap } from '../core/number-map.ts';
import { backoffDelay, type Random } from '../core/retry.ts';
import type { ClientOutput } from './commands.ts';
import type { FreelanceStrategy } from './options.ts';
import { smoothed } from './response-times.ts';

export type ServerPort = `server-${number}`;

/** Silent: for longer than its expiry. */
export type ServerLossReason = 'silent' | 'linkBroken';

export type ServerEvent =
  | { type: 'serverLive'; endpoint: string }
  /** It was live. What it was asked is asked of the next one. */
  | { type: 'serverLost'; endpoint: string; reason: ServerLossReason };

export interface ServerSettings extends HeartbeatSettings {
  /** Milliseconds before the first reconnect, at most. */
  readonly reconnectInterval: number;
  /** Milliseconds that no reconnect waits longer than. */
  readonly reconnectLimit: number;
  readonly random: Random;
}

/** Plain data: part of the machine's state. `Try` is what is under way at a server. */
export interface Server<Try extends object> {
  readonly endpoint: string;
  readonly port: ServerPort;
  state: 'connecting' | 'live' | 'lost' | 'closed';
  /** While it is lost, nothing of it counts but `reconnectAt`. */
  readonly heartbeat: Heartbeat;
  reconnectAt: Instant;
  /** Connects since it was last live. */
  failures: number;
  /** When the first of the pings was sent that are not answered, if that is to be measured. */
  pingedAt: Instant;
  /** Smoothed milliseconds; undefined until one was measured. */
  responseTime: number | undefined;
  /** False while its outgoing queue is full. */
  isWritable: boolean;
  isClosing: boolean;
  /** When it has said so. */
  closingAt: Instant;
  /** In the order of their sending, under numbers of this server. */
  readonly tries: NumberMap<Try>;
  lastTry: number;
}

/** One server as its user sees it. */
export interface ServerHealth {
  readonly endpoint: string;
  /** Connecting: not heard yet. Lost: it waits to be connected again. */
  readonly state: 'connecting' | 'live' | 'lost';
  /** Smoothed milliseconds of its replies and pongs; undefined until there was one. */
  readonly responseTime: number | undefined;
  /** Requests that it has been sent and has not answered. */
  readonly inFlight: number;
}

export class Servers<Try extends object> {
  readonly #outbox: Outbox<ServerPort, ClientOutput, ServerEvent>;
  readonly #settings: ServerSettings;
  readonly #all = new Map<ServerPort, Server<Try>>();
  /** In the order of connecting. */
  #live: Server<Try>[] = [];
  /** A server's is never later than what is due of it; being heard does not move it. */
  readonly #wakes = new Deadlines<Server<Try>>();

  constructor(outbox: Outbox<ServerPort, ClientOutput, ServerEvent>, settings: ServerSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
  }

  /** Plain data, for the fingerprint. */
  get state(): unknown {
    return this.#all;
  }

  get nextTimeout(): Instant {
    return this.#wakes.next;
  }

  get count(): number {
    return this.#all.size;
  }

  get live(): readonly Server<Try>[] {
    return this.#live;
  }

  /** True if a request could be sent at once. */
  get hasRoom(): boolean {
    return this.#live.some(takesRequests);
  }

  status(): ServerHealth[] {
    return [...this.#all.values()].flatMap(({ endpoint, state, responseTime, tries }) =>
      state === 'closed' ? [] : [{ endpoint, state, responseTime, inFlight: tries.size }],
    );
  }

  of(port: ServerPort): Server<Try> | undefined {
    return this.#all.get(port);
  }

  /**
   * The best live server for `strategy` that takes requests.
   * @param accepts which ones come into question; without it all do
   */
  best(
    strategy: FreelanceStrategy,
    accepts?: (server: Server<Try>) => boolean,
  ): Server<Try> | undefined {
    let best: Server<Try> | undefined;
    for (const server of this.#live) {
      if (!takesRequests(server) || accepts?.(server) === false) continue;
      if (strategy !== 'fastest') return server;
      if (best === undefined || timeOf(server) < timeOf(best)) best = server;
    }
    return best;
  }

  /** Connects to those that are not there yet. */
  connect(now: Instant, endpoints: readonly string[]): void {
    const known = new Set(Array.from(this.#all.values(), ({ endpoint }) => endpoint));
    for (const endpoint of endpoints) {
      if (known.has(endpoint)) continue;
      known.add(endpoint);
      const server: Server<Try> = {
        endpoint,
        port: `server-${this.#all.size}`,
        state: 'lost',
        heartbeat: startHeartbeat(now, this.#settings),
        reconnectAt: now,
        failures: 0,
        pingedAt: Infinity,
        responseTime: undefined,
        isWritable: true,
        isClosing: false,
        closingAt: Infinity,
        tries: new NumberMap(),
        lastTry: 0,
      };
      this.#all.set(server.port, server);
      this.#connect(now, server);
    }
  }

  /** Closes all sockets for good. */
  close(): void {
    for (const server of this.#all.values()) {
      if (server.state !== 'lost') this.#outbox.close(server.port);
      server.state = 'closed';
      this.#wakes.delete(server);
    }
    this.#live = [];
  }

  // What is heard

  /** It said something that it may say. */
  heard(now: Instant, server: Server<Try>): void {
    heard(server.heartbeat, now, this.#settings);
  }

  /** True if it is live from now on. */
  handlePong(now: Instant, server: Server<Try>): boolean {
    this.heard(now, server);
    if (server.state === 'connecting') {
      this.#enliven(now, server);
      return true;
    }
    if (server.pingedAt < Infinity) this.measured(server, now - server.pingedAt);
    server.pingedAt = Infinity;
    return false;
  }

  /** An answer took so many milliseconds. */
  measured(server: Server<Try>, milliseconds: number): void {
    server.responseTime = smoothed(server.responseTime, milliseconds);
  }

  /** It has not answered for so many milliseconds, and what comes now is not measured: a time it exceeds. */
  exceeded(server: Server<Try>, milliseconds: number): void {
    if (milliseconds > (server.responseTime ?? 0)) this.measured(server, milliseconds);
  }

  /** It is about to leave: it is passed over until it comes anew, or for one expiry. */
  handleClosing(now: Instant, server: Server<Try>): void {
    server.isClosing = true;
    server.closingAt = now;
  }

  /** Returns what was under way there, in the order of its sending. */
  handlePeerGone(now: Instant, port: ServerPort): readonly Try[] {
    const server = this.#all.get(port);
    return server === undefined || !isOpen(server)
      ? NOTHING
      : this.#lose(now, server, 'linkBroken');
  }

  handleWritable(port: ServerPort): void {
    const server = this.#all.get(port);
    if (server !== undefined) server.isWritable = true;
  }

  /** Returns what was under way at servers that are lost now. */
  handleTimeout(now: Instant): readonly Try[] {
    let lost: readonly Try[] = NOTHING;
    for (;;) {
      const late = now - this.#wakes.next;
      const server = this.#wakes.takeDue(now);
      if (server === undefined) return lost;
      if (server.state === 'lost') {
        this.#connect(now, server);
        continue;
      }
      const { heartbeat } = server;
      // Who was stopped itself has not heard the server: that is no evidence against it.
      if (late > this.#settings.heartbeatInterval) forgive(heartbeat, now, this.#settings);
      if (heartbeat.expiresAt <= now) lost = [...lost, ...this.#lose(now, server, 'silent')];
      else if (heartbeat.beatAt <= now) this.#ping(now, server);
      else this.#wakes.set(server, nextDue(heartbeat));
    }
  }

  // Its life

  /** On a fresh socket: what an older one was asked is not answered here. */
  #connect(now: Instant, server: Server<Try>): void {
    server.state = 'connecting';
    server.reconnectAt = Infinity;
    server.isWritable = true;
    server.isClosing = false;
    server.closingAt = Infinity;
    server.heartbeat.expiresAt = now + expiryOf(this.#settings);
    this.#outbox.open(server.port, server.endpoint);
    this.#ping(now, server);
  }

  #enliven(now: Instant, server: Server<Try>): void {
    server.state = 'live';
    server.failures = 0;
    this.#live = [...this.#all.values()].filter(isLive);
    this.#outbox.emit({ type: 'serverLive', endpoint: server.endpoint });
    // Not at once: pings that waited for it to come are answered first, and say nothing of its speed.
    beaten(server.heartbeat, now, this.#settings);
  }

  #lose(now: Instant, server: Server<Try>, reason: ServerLossReason): readonly Try[] {
    const { endpoint, port, tries } = server;
    const wasLive = server.state === 'live';
    const { reconnectInterval: backoff, reconnectLimit: backoffLimit, random } = this.#settings;
    server.state = 'lost';
    server.reconnectAt = now + backoffDelay({ backoff, backoffLimit }, server.failures, random);
    server.failures++;
    server.pingedAt = Infinity;
    this.#outbox.close(port);
    this.#wakes.set(server, server.reconnectAt);
    if (!wasLive) return NOTHING;
    this.#live = this.#live.filter(isLive);
    this.#outbox.emit({ type: 'serverLost', endpoint, reason });
    const lost = [...tries.values()];
    tries.clear();
    return lost;
  }

  #ping(now: Instant, server: Server<Try>): void {
    beaten(server.heartbeat, now, this.#settings);
    // Where nobody tells of broken links, another process may be at the end of this one by now.
    if (now >= server.closingAt + expiryOf(this.#settings)) server.isClosing = false;
    this.#wakes.set(server, nextDue(server.heartbeat));
    // A full queue is no reason to give a server up: what it says counts, not what it is told.
    const isSent = this.#outbox.send(server.port, '', { type: 'ping' });
    if (isSent && isLive(server)) server.pingedAt = Math.min(server.pingedAt, now);
  }
}

const NOTHING: readonly never[] = [];

function isLive({ state }: Server<object>): boolean {
  return state === 'live';
}

function isOpen({ state }: Server<object>): boolean {
  return state === 'live' || state === 'connecting';
}

/** True for a live one that has room and is not about to leave. */
export function takesRequests({ isWritable, isClosing }: Server<object>): boolean {
  return isWritable && !isClosing;
}

/** One that was never measured comes after all others. */
function timeOf({ responseTime = Infinity }: Server<object>): number {
  return responseTime;
}
