/** What clients of express say of themselves: their sessions, from HELLO to the end. */
import { slowerOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import { nextBeat } from '../../core/reconciliation.ts';
import type { ClientGoneReason } from './broker-events.ts';
import type { Client, ClientTable } from './clients.ts';
import type {
  AnnounceCommand,
  BrokerInput,
  CancelCommand,
  CreditCommand,
  HeartbeatCommand,
  HelloCommand,
  RequestNumber,
} from '../wire/commands.ts';
import { expectLarge } from '../wire/large.ts';
import type { Pair } from './pair.ts';
import type { RequestEnds } from './request-ends.ts';
import type { Voice } from './voice.ts';

export interface ClientDeskSettings extends HeartbeatSettings {
  readonly clientLimit: number;
}

export class ClientDesk {
  readonly #clients: ClientTable;
  readonly #ends: RequestEnds;
  readonly #settings: ClientDeskSettings;
  readonly #voice: Voice;
  readonly #pair: Pair | undefined;

  constructor(
    clients: ClientTable,
    ends: RequestEnds,
    settings: ClientDeskSettings,
    voice: Voice,
    pair?: Pair,
  ) {
    this.#pair = pair;
    this.#clients = clients;
    this.#ends = ends;
    this.#settings = settings;
    this.#voice = voice;
  }

  handleHello(now: Instant, from: Address, command: HelloCommand, isClosing: boolean): void {
    const known = this.#clients.ofSession(command.session);
    const present = this.#clients.express(from);
    if (present !== undefined && present !== known) this.end(now, present, 'replaced');
    const isFull = this.#clients.state.sessions.size >= this.#settings.clientLimit;
    if (known === undefined && (isClosing || isFull)) return this.#dismiss(from);
    const client =
      known ?? this.#clients.open(now, from, command.session, slowerOf(this.#settings, command));
    if (known === undefined) this.#voice.emit({ type: 'clientReady', client: from });
    else this.#clients.reattach(now, client, from);
    const { heartbeatInterval, heartbeatLiveness } = client.session!.settings;
    const resumed = known !== undefined;
    this.#voice.send(from, {
      type: 'welcome',
      dialect: 'express',
      resumed,
      heartbeatInterval,
      heartbeatLiveness,
      epoch: this.#pair?.standing.epoch,
    });
  }

  /** The sender, heard of now. Who has no session is told so, and begins anew. */
  clientOf(now: Instant, from: Address, command: BrokerInput): Client | undefined {
    const client = this.#clients.express(from);
    if (client !== undefined) {
      this.#clients.heard(now, client);
      return client;
    }
    this.#voice.emit({ type: 'unexpectedCommand', from, command: command.type.toUpperCase() });
    this.#dismiss(from);
    return undefined;
  }

  /** False for a request that came twice: its number was used. */
  isNew(client: Client, number: RequestNumber): boolean {
    const session = client.session!;
    if (number > session.lastNumber) {
      session.lastNumber = number;
      return true;
    }
    const { address: from } = client;
    this.#voice.emit({ type: 'unexpectedCommand', from, command: 'REQUEST' });
    return false;
  }

  handleCancel(now: Instant, from: Address, command: CancelCommand): void {
    const client = this.clientOf(now, from, command);
    if (client !== undefined) this.#ends.abandon(now, client, command.number);
  }

  handleCredit(now: Instant, from: Address, command: CreditCommand): void {
    const client = this.clientOf(now, from, command);
    if (client === undefined) return;
    if (this.#ends.credit(client, command.number, command.bytes)) return;
    this.#voice.emit({ type: 'unexpectedCommand', from, command: 'CREDIT' });
  }

  /**
   * The client names all that it waits for. What it asked for before and does not name it has given
   * up, and the word about it was lost. What it does not get a reply for it finds in our heartbeat.
   */
  handleHeartbeat(now: Instant, from: Address, command: HeartbeatCommand): void {
    const client = this.clientOf(now, from, command);
    if (client?.session === undefined) return;
    const { session, awaited } = client;
    session.beats.heard = Math.max(session.beats.heard, command.beat ?? 0);
    // Both ascend: one pass over both is enough, however long the list.
    const { held = [] } = command;
    let at = 0;
    for (const number of Array.from(awaited.keys())) {
      while (at < held.length && held[at]! < number) at++;
      if (held[at] !== number) this.#ends.abandon(now, client, number);
    }
    if (session.isNew) this.#beat(client);
  }

  handleAnnounce(now: Instant, from: Address, command: AnnounceCommand): void {
    const session = this.clientOf(now, from, command)?.session;
    if (session !== undefined) expectLarge(session.heartbeat, now, command.bytes);
  }

  handleDisconnect(now: Instant, from: Address): void {
    const client = this.#clients.express(from);
    if (client !== undefined) this.end(now, client, 'disconnected');
  }

  handleTimeout(now: Instant): void {
    for (;;) {
      const taken = this.#clients.takeDue(now);
      if (taken === undefined) return;
      const { client, due } = taken;
      if (due === 'beat') this.#beat(client);
      else if (client.session === undefined) this.#ends.clientGone(now, client);
      else this.end(now, client, 'gone');
    }
  }

  /** Ends a session; the client is told unless it knows or cannot be reached. */
  end(now: Instant, client: Client, reason: ClientGoneReason): void {
    const { address } = client;
    this.#voice.emit({ type: 'clientLost', client: address, reason });
    this.#ends.clientGone(now, client);
    if (reason === 'closing') this.#dismiss(address);
  }

  #beat(client: Client): void {
    const session = client.session!;
    session.isNew = false;
    this.#voice.send(client.address, {
      type: 'heartbeat',
      dialect: 'express',
      ...nextBeat(session.beats),
      held: [...client.awaited.keys()],
    });
  }

  #dismiss(to: Address): void {
    this.#voice.send(to, { type: 'disconnect', dialect: 'express' });
  }
}
