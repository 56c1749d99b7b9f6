/**
 * What must hold at a Freelance client about its servers: silent ones are given up in time and others
 * are not, back-off grows, is bounded and starts anew, and only live ones are asked, the best one first.
 */
import type { Instant } from '../../core/machine.ts';
import type { ClientInput } from '../../freelance/commands.ts';
import type { ServerLossReason, ServerPort, ServerSettings } from '../../freelance/servers.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import { requireThat } from '../violation.ts';

/** Milliseconds by which two sums of the same instants may differ. */
const ROUNDING = 1e-3;

/** One server, as it can be told from what comes from it and goes there. */
export interface ServerView {
  readonly port: ServerPort;
  readonly endpoint: string;
  /** Its place in the order of connecting. */
  readonly rank: number;
  state: 'connecting' | 'live' | 'lost';
  /** When it last said what only it may say, or its socket was opened. */
  heardAt: Instant;
  /** Until when silence is no reason to give it up, at the latest. */
  patientUntil: Instant;
  pingedAt: Instant;
  lostAt: Instant;
  /** How often it was given up since it was last live. */
  failures: number;
  /** Its queue is full. */
  isFull: boolean;
  /** When it has said that it is closing. */
  closingAt: Instant;
}

export class ServersChecker {
  readonly #name: string;
  readonly #settings: ServerSettings;
  readonly #views = new Map<ServerPort, ServerView>();
  #now: Instant = 0;
  #gone: ServerPort | undefined;
  #ponged: ServerPort | undefined;
  /** Whose socket was closed last in this step, and in what state it was. */
  #closed: { readonly port: ServerPort; readonly wasLive: boolean } | undefined;
  /** The client has ended: its sockets are closed for good. */
  isOver = false;

  constructor(name: string, settings: ServerSettings) {
    this.#name = name;
    this.#settings = settings;
  }

  /** The server at a port, which must have been opened. */
  of(port: ServerPort): ServerView {
    return this.#views.get(port)!;
  }

  /** Live, and neither full nor closing: it may be asked. One that was closing is seen at its next ping. */
  able(): ServerView[] {
    const { heartbeatInterval } = this.#settings;
    const closed = this.#now - expiryOf(this.#settings) - heartbeatInterval;
    return [...this.#views.values()].filter(
      ({ state, isFull, closingAt }) => state === 'live' && !isFull && closingAt < closed,
    );
  }

  // Inputs

  /** @param overslept the client was stopped itself, which is no evidence against anybody */
  begin(now: Instant, overslept: boolean): void {
    this.#now = now;
    this.#gone = undefined;
    this.#ponged = undefined;
    this.#closed = undefined;
    if (!overslept) return;
    const until = now + this.#settings.heartbeatInterval;
    for (const view of this.#views.values()) {
      view.patientUntil = Math.max(view.patientUntil, until);
    }
  }

  noteGone(port: ServerPort): void {
    this.#gone = port;
  }

  /** Anything came from there; undefined: it was malformed. */
  heard(port: ServerPort, command: ClientInput | undefined): void {
    const view = this.#views.get(port);
    if (view === undefined) return;
    view.patientUntil = this.#now + expiryOf(this.#settings);
    if (command?.type !== 'pong') return;
    view.heardAt = this.#now;
    this.#ponged = port;
  }

  /** It refuses as it closes. One expiry later another process may be at the end of its link. */
  noteClosing(port: ServerPort): void {
    this.of(port).closingAt = this.#now;
  }

  noteWritable(port: ServerPort): void {
    const view = this.#views.get(port);
    if (view !== undefined) view.isFull = false;
  }

  // Outputs

  opened(port: ServerPort, endpoint: string): void {
    const now = this.#now;
    const former = this.#views.get(port);
    const view: ServerView = {
      port,
      endpoint,
      rank: former?.rank ?? this.#views.size,
      state: 'connecting',
      heardAt: now,
      patientUntil: now + expiryOf(this.#settings),
      pingedAt: now,
      lostAt: Infinity,
      failures: former?.failures ?? 0,
      isFull: false,
      closingAt: -Infinity,
    };
    this.#views.set(port, view);
    if (former === undefined) return;
    requireThat(former.state === 'lost', 'one socket a server', () => {
      return `${this.#name} opens ${port}, which is ${former.state}`;
    });
    const least = this.#ceilingOf(former) / 2;
    requireThat(now >= former.lostAt + least - ROUNDING, 'back-off', () => {
      return `${this.#name} connects ${port} again after ${now - former.lostAt} ms, not ${least}`;
    });
  }

  closed(port: ServerPort): void {
    const view = this.of(port);
    const isSilent = this.#now >= view.heardAt + expiryOf(this.#settings) - ROUNDING;
    requireThat(isSilent || this.#gone === port || this.isOver, 'a living server is kept', () => {
      return `${this.#name} gives ${port} up at ${this.#now}, heard at ${view.heardAt}`;
    });
    this.#closed = { port, wasLive: view.state === 'live' };
    view.state = 'lost';
    view.lostAt = this.#now;
    view.failures++;
  }

  toldLive(endpoint: string): void {
    const view = [...this.#views.values()].find((it) => it.endpoint === endpoint);
    const isTrue = view?.state === 'connecting' && view.port === this.#ponged;
    requireThat(isTrue, 'only live servers are asked', () => {
      return `${endpoint} is ${view?.state}, and called live without a PONG`;
    });
    view.state = 'live';
    view.failures = 0;
    // The pings that waited for it to come are answered first.
    view.pingedAt = this.#now;
  }

  toldLost(endpoint: string, reason: ServerLossReason): void {
    const { port, wasLive } = this.#closed ?? {};
    const view = port === undefined ? undefined : this.#views.get(port);
    const isTrue = wasLive === true && view?.endpoint === endpoint;
    const expected = this.#gone === port ? 'linkBroken' : 'silent';
    requireThat(isTrue && reason === expected, 'a living server is kept', () => {
      return `${endpoint} is called lost, ${reason}; its socket is ${view?.state ?? 'open'}`;
    });
  }

  pinged(port: ServerPort): void {
    this.of(port).pingedAt = this.#now;
  }

  /** A request is sent there. */
  checkAsked(port: ServerPort, id: string): void {
    const { state, closingAt } = this.of(port);
    requireThat(state === 'live', 'only live servers are asked', () => {
      return `${this.#name} asks ${port}, which is ${state}, for ${id}`;
    });
    requireThat(
      this.#now >= closingAt + expiryOf(this.#settings),
      'only live servers are asked',
      () => {
        return `${this.#name} asks ${port}, which is closing, for ${id}`;
      },
    );
  }

  /** After each step. */
  end(): void {
    if (this.isOver) return;
    const gone = this.#gone === undefined ? undefined : this.#views.get(this.#gone);
    requireThat(gone === undefined || gone.state === 'lost', 'broken links are noticed', () => {
      return `the link to ${gone?.port} broke, and it is ${gone?.state}`;
    });
    for (const view of this.#views.values()) this.#checkDue(view);
  }

  #checkDue(view: ServerView): void {
    const now = this.#now - ROUNDING;
    const { port, state, lostAt, patientUntil, pingedAt } = view;
    if (state === 'lost') {
      requireThat(now < lostAt + this.#ceilingOf(view), 'back-off', () => {
        return `${this.#name} has not connected ${port} again since ${lostAt}`;
      });
      return;
    }
    requireThat(now < patientUntil, 'silent servers are lost', () => {
      return `${port} is ${state} at ${this.#now}, and should be lost since ${patientUntil}`;
    });
    requireThat(now < pingedAt + this.#settings.heartbeatInterval, 'servers are pinged', () => {
      return `${port} was pinged at ${pingedAt}, and it is ${this.#now}`;
    });
  }

  /** The longest that a lost server may rest. */
  #ceilingOf({ failures }: ServerView): number {
    const { reconnectInterval, reconnectLimit } = this.#settings;
    return Math.min(reconnectLimit, reconnectInterval * 2 ** Math.max(0, failures - 1));
  }
}
