/**
 * What must hold at a broker about its clients: who asks is answered, once, under the number that it
 * gave; a goodbye counts at once, and a broken link only after its grace.
 */
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { BrokerEvent } from '../../majordomo/broker/broker-events.ts';
import type { BrokerMachine, BrokerSettings } from '../../majordomo/broker/broker-machine.ts';
import type {
  BrokerInput,
  BrokerOutput,
  HelloCommand,
  ReplyCommand,
  RequestCommand,
} from '../../majordomo/wire/commands.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import { requireThat } from '../violation.ts';
import { agreed, listed, PeerView, ROUNDING } from './peer-view.ts';

/** An express client's session, as it can be told from what it said. */
class ClientView extends PeerView {
  /** What it asked and was not answered; how many parts of each answer it got. */
  readonly asked = new Map<number, number>();
  lastNumber = -1;
}

/** A client that speaks stock MDP. */
interface StockView {
  /** Requests without an answer. */
  asked: number;
  noticedAt: Instant;
}

export class ClientsChecker {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  readonly #views = new Map<Address, ClientView>();
  readonly #bySession = new Map<string, ClientView>();
  readonly #stock = new Map<Address, StockView>();
  /** The broker was asked to end. */
  isClosing = false;
  #input: BrokerInput | undefined;
  /** The end of a reply that was refused last: another try follows at once. */
  #refused = '';
  #from: Address = '';
  #stalledAt: Instant = -Infinity;

  constructor(settings: BrokerSettings, machine: () => BrokerMachine) {
    this.#settings = settings;
    this.#machine = machine;
  }

  // Inputs

  begin(now: Instant, overslept: boolean): void {
    if (overslept) this.#stalledAt = now;
    this.#input = undefined;
  }

  noteGone(now: Instant, from: Address): void {
    this.#views.get(from)?.noticed(now, this.#settings.clientGrace);
    const stock = this.#stock.get(from);
    if (stock !== undefined) stock.noticedAt = Math.min(stock.noticedAt, now);
  }

  noteCommand(now: Instant, from: Address, command: BrokerInput): void {
    this.#input = command;
    this.#from = from;
    if (command.type === 'hello') return this.#noteHello(now, from, command);
    if (command.type === 'request' && command.dialect !== 'express') return this.#noteStock(from);
    const view = this.#views.get(from);
    if (view === undefined || command.dialect !== 'express') return;
    switch (command.type) {
      case 'request':
        view.heard(now);
        return this.#noteRequest(view, command);
      case 'cancel':
        view.heard(now);
        view.asked.delete(command.number);
        return;
      case 'credit':
        return view.heard(now);
      case 'announce':
        view.heard(now);
        return view.announced(command.bytes);
      case 'heartbeat': {
        view.heard(now);
        const named = new Set(command.held);
        for (const number of view.asked.keys()) if (!named.has(number)) view.asked.delete(number);
        return;
      }
      default:
    }
  }

  #noteHello(now: Instant, from: Address, command: HelloCommand): void {
    const known = this.#bySession.get(command.session);
    if (known !== undefined) {
      if (this.#views.get(known.address) === known) this.#views.delete(known.address);
      known.address = from;
      known.heard(now);
      this.#views.set(from, known);
      return;
    }
    const view = new ClientView(now, from, command.session, agreed(this.#settings, command));
    this.#views.set(from, view);
    this.#bySession.set(command.session, view);
  }

  #noteStock(from: Address): void {
    const view = this.#stock.get(from) ?? { asked: 0, noticedAt: Infinity };
    // What was queued when its link broke may have been dropped since.
    if (view.noticedAt < Infinity) {
      view.asked = this.#machine().clients.state.stock.get(from)?.awaited.size ?? 0;
    }
    view.asked++;
    view.noticedAt = Infinity;
    this.#stock.set(from, view);
  }

  #noteRequest(view: ClientView, command: RequestCommand): void {
    const { number = -1 } = command;
    requireThat(number > view.lastNumber, 'correlation', () => {
      return `${view.address} uses number ${number} after ${view.lastNumber}`;
    });
    view.lastNumber = number;
    view.asked.set(number, 0);
  }

  // Outputs

  /** The broker says something to a client, whether or not there was room for it. */
  said(to: Address, command: BrokerOutput, accepted: boolean): void {
    if (command.type === 'reply') this.#checkReply(to, command, accepted);
    const view = this.#views.get(to);
    if (view === undefined) return;
    if (command.type === 'heartbeat') {
      const held = command.held ?? [];
      const isTrue = held.length === view.asked.size && held.every((it) => view.asked.has(it));
      requireThat(isTrue, 'heartbeats tell the truth', () => {
        return `${to} is told of ${listed(held)}, and waits for ${listed(view.asked.keys())}`;
      });
    } else if (command.type === 'welcome') {
      const { heartbeatInterval, heartbeatLiveness } = view.settings;
      requireThat(
        command.heartbeatInterval === heartbeatInterval &&
          command.heartbeatLiveness === heartbeatLiveness,
        'the slower heartbeat wins',
        () => `${to} is told ${command.heartbeatInterval} × ${command.heartbeatLiveness}`,
      );
    }
  }

  #checkReply(
    to: Address,
    { dialect, number = -1, final, sequence }: ReplyCommand,
    accepted: boolean,
  ): void {
    if (dialect !== 'express') {
      const stock = this.#stock.get(to);
      if (final && stock !== undefined) stock.asked--;
      return;
    }
    const asked = this.#views.get(to)?.asked;
    const parts = asked?.get(number);
    requireThat(parts !== undefined, 'correlation', () => {
      return `${to} gets a reply to ${number}, and waits for ${listed(asked?.keys() ?? [])}`;
    });
    requireThat(sequence === parts, 'partials in order', () => {
      return `${to} gets part ${sequence} of the reply to ${number} after ${parts} parts`;
    });
    // An end for which there was no room is followed by a smaller one, and then the client finds that
    // it is lost.
    const isFirstRefusal = final && !accepted && this.#refused !== `${to} ${number}`;
    this.#refused = isFirstRefusal ? `${to} ${number}` : '';
    if (isFirstRefusal) return;
    if (final) asked!.delete(number);
    else if (accepted) asked!.set(number, parts + 1);
  }

  told(now: Instant, event: BrokerEvent): void {
    if (event.type !== 'clientLost') return;
    const view = this.#views.get(event.client);
    if (view === undefined) return;
    if (event.reason === 'gone' && !view.isGone(now)) {
      view.checkPatience(now);
    }
    if (event.reason === 'disconnected') {
      const saidSo = this.#input?.type === 'disconnect' && this.#from === view.address;
      requireThat(saidSo, 'a break is graced', () => `${view.address} said no goodbye`);
    }
  }

  /** A request may go to a worker: somebody waits for it, or may come back for it. */
  checkWanted(now: Instant, request: PendingRequest): void {
    const { owner, key, broadcast, waiters } = request;
    if (owner === undefined || key !== undefined) return;
    // After a stall of its own a broker gives everyone one more interval.
    if (now - this.#stalledAt <= this.#settings.heartbeatInterval) return;
    const clients =
      broadcast === undefined ? waiters.map((it) => it.client) : [broadcast.waiter.client];
    const isWanted = clients.some(({ address, session }) => {
      if (session === undefined) {
        const { noticedAt = Infinity } = this.#stock.get(address) ?? {};
        return now <= noticedAt + this.#settings.noticeGrace;
      }
      const view = this.#views.get(address);
      return view !== undefined && !view.isGone(now - 2 * ROUNDING);
    });
    requireThat(isWanted, 'nothing runs for nobody', () => {
      return `request ${request.id} is dispatched at ${now}; its client has gone`;
    });
  }

  // After each step

  end(now: Instant): void {
    const { express, sessions, stock } = this.#machine().clients.state;
    for (const [address, view] of this.#views) {
      const client = express.get(address);
      if (client?.session?.id === view.session) this.#checkView(now, view, client!.awaited);
      else {
        this.#views.delete(address);
        if (this.#bySession.get(view.session!) === view) this.#bySession.delete(view.session!);
      }
    }
    const { clientLimit } = this.#settings;
    requireThat(
      sessions.size <= clientLimit && express.size === sessions.size,
      'bounded clients',
      () => {
        return `${sessions.size} sessions at ${express.size} addresses, ${clientLimit} are allowed`;
      },
    );
    for (const address of express.keys()) {
      requireThat(this.#views.has(address), 'sessions', () => `${address} never said HELLO`);
    }
    if (this.#input?.type === 'disconnect') {
      requireThat(!express.has(this.#from), 'a goodbye is immediate', () => {
        return `client ${this.#from} said goodbye, and has a session`;
      });
    }
    for (const [address, { asked, noticedAt }] of this.#stock) {
      if (asked <= 0 || noticedAt < Infinity) {
        if (!stock.has(address)) this.#stock.delete(address);
        continue;
      }
      const awaited = stock.get(address)?.awaited.size ?? 0;
      requireThat(awaited >= asked, 'nobody is forgotten', () => {
        return `${address} waits for ${asked} replies, and the broker knows of ${awaited}`;
      });
    }
  }

  #checkView(now: Instant, view: ClientView, awaited: { has(number: number): boolean }): void {
    for (const number of view.asked.keys()) {
      // Of what was begun when the broker closes the end of the session tells.
      if (this.isClosing && !awaited.has(number)) view.asked.delete(number);
      else
        requireThat(awaited.has(number), 'nobody is forgotten', () => {
          return `${view.address} waits for the reply to ${number}, which nobody will give`;
        });
    }
    const expiry = expiryOf(view.settings);
    if (now - this.#stalledAt <= expiry) return;
    requireThat(
      now <= Math.max(view.heardAt + expiry, view.patientUntil) + ROUNDING,
      'silent clients expire',
      () => `${view.address} has a session at ${now}, last heard at ${view.heardAt}`,
    );
  }
}
