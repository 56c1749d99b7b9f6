/**
 * The clients of a broker: who waits for what.
 *
 * A stock client is an address with requests, and forgotten with the last of them. A client of express
 * has a session: it is heard of by heartbeats, and may come back under another address.
 */
import { Deadlines } from '../../core/deadlines.ts';
import {
  beaten,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import { startBeats, type Beats } from '../../core/reconciliation.ts';
import type { Broadcast } from './broadcast.ts';
import type { RequestNumber, SessionId } from '../wire/commands.ts';
import type { PendingRequest } from './requests.ts';

/** What only a client of express has. */
export interface ClientSession {
  readonly id: SessionId;
  readonly settings: HeartbeatSettings;
  readonly heartbeat: Heartbeat;
  readonly beats: Beats;
  /** The highest number it gave a request: one that is not higher came twice. */
  lastNumber: RequestNumber;
  /** A heartbeat is owed at once: it has just come (back), and may have lost something on the way. */
  isNew: boolean;
}

export interface Client {
  /** Where it is reached. */
  address: Address;
  readonly session: ClientSession | undefined;
  /** What it waits for: by its own numbers in express, else by the broker's. */
  readonly awaited: NumberMap<PendingRequest | Broadcast>;
  /** When the notice that its link broke becomes its end; `Infinity` without a notice. */
  goneAt: Instant;
}

/** What became due for a client. */
export type ClientDue = 'gone' | 'beat';

export class ClientTable {
  /** Plain data, for the fingerprint and for checkers. Stock clients are there while they wait. */
  readonly state = {
    stock: new Map<Address, Client>(),
    express: new Map<Address, Client>(),
    sessions: new Map<SessionId, Client>(),
  };
  readonly #due = new Deadlines<Client>();

  get nextDue(): Instant {
    return this.#due.next;
  }

  /** The stock client at this address; it is known from now on. */
  stock(address: Address): Client {
    let client = this.state.stock.get(address);
    if (client === undefined) {
      client = { address, session: undefined, awaited: new NumberMap(), goneAt: Infinity };
      this.state.stock.set(address, client);
    }
    return client;
  }

  /** The client whose session is at this address. */
  express(address: Address): Client | undefined {
    return this.state.express.get(address);
  }

  ofSession(id: SessionId): Client | undefined {
    return this.state.sessions.get(id);
  }

  /** Begins a session. What had one under this address must have been removed. */
  open(now: Instant, address: Address, id: SessionId, settings: HeartbeatSettings): Client {
    const session: ClientSession = {
      id,
      settings,
      heartbeat: startHeartbeat(now, settings),
      beats: startBeats(),
      lastNumber: -1,
      isNew: true,
    };
    const client: Client = { address, session, awaited: new NumberMap(), goneAt: Infinity };
    this.state.express.set(address, client);
    this.state.sessions.set(id, client);
    this.#reschedule(client);
    return client;
  }

  /** The session goes on under this address. */
  reattach(now: Instant, client: Client, address: Address): void {
    this.state.express.delete(client.address);
    client.address = address;
    this.state.express.set(address, client);
    if (client.session !== undefined) client.session.isNew = true;
    this.heard(now, client);
  }

  /** A sign of life. */
  heard(now: Instant, client: Client): void {
    const { session } = client;
    if (session !== undefined) heard(session.heartbeat, now, session.settings);
    if (client.goneAt === Infinity) return;
    client.goneAt = Infinity;
    this.#reschedule(client);
  }

  /** The link to what is at this address broke: unless it is heard within `grace`, it is gone. */
  noticed(now: Instant, address: Address, grace: { stock: number; express: number }): void {
    const { stock, express } = this.state;
    this.#notice(stock.get(address), now + grace.stock);
    this.#notice(express.get(address), now + grace.express);
  }

  /** The client has nothing here any more and will not be waited for. */
  remove(client: Client): void {
    const { stock, express, sessions } = this.state;
    if (client.session === undefined) stock.delete(client.address);
    else {
      express.delete(client.address);
      sessions.delete(client.session.id);
    }
    this.#due.delete(client);
  }

  /** Nobody expires before one more interval: this side did not listen for a while. */
  forgive(now: Instant): void {
    for (const client of this.state.sessions.values()) {
      const { session } = client;
      if (session === undefined) continue;
      forgive(session.heartbeat, now, session.settings);
      client.goneAt = Math.max(client.goneAt, now + session.settings.heartbeatInterval);
      this.#reschedule(client);
    }
  }

  /** The next client for which something is due; after `gone` the caller decides what is left of it. */
  takeDue(now: Instant): { client: Client; due: ClientDue } | undefined {
    for (;;) {
      const client = this.#due.takeDue(now);
      if (client === undefined) return undefined;
      const { session } = client;
      if (client.goneAt <= now || (session !== undefined && session.heartbeat.expiresAt <= now)) {
        client.goneAt = Infinity;
        return { client, due: 'gone' };
      }
      const isDue = session !== undefined && session.heartbeat.beatAt <= now;
      if (isDue) beaten(session.heartbeat, now, session.settings);
      this.#reschedule(client);
      if (isDue) return { client, due: 'beat' };
    }
  }

  #notice(client: Client | undefined, goneAt: Instant): void {
    if (client === undefined) return;
    client.goneAt = Math.min(client.goneAt, goneAt);
    this.#reschedule(client);
  }

  /** The heartbeat's expiry may be later than it says here: what is due is looked at again. */
  #reschedule(client: Client): void {
    const { session, goneAt } = client;
    this.#due.set(
      client,
      Math.min(goneAt, session === undefined ? Infinity : nextDue(session.heartbeat)),
    );
  }
}
