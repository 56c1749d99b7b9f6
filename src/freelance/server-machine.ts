/**
 * The Freelance server as a pure machine, 10/FLP.
 *
 * A ping is answered at once, also while all handlers are busy or the server drains: it says that the
 * server lives, and no more. Requests go to handlers, so many at a time; the others wait, fairly for each
 * client. Clients have no sessions here: one is known for as long as a request of it is.
 */
import { Deadlines } from '../core/deadlines.ts';
import { encodeFailure } from '../core/error-body.ts';
import type { Failure } from '../core/errors.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { keepFrames, sizeOf } from '../core/frames.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import { NumberMap } from '../core/number-map.ts';
import { REQUEST_OVERHEAD, RequestBook, type BookedRequest } from '../core/request-book.ts';
import type { RequestCommand, ServerInput, ServerOutput } from './commands.ts';
import {
  noEvents,
  type FreelanceRefusal,
  type FreelanceServerEvent,
  type FreelanceServerStatus,
} from './server-events.ts';

export type ServerPort = 'clients';

/**
 * `reply`, `fail`: the handler of `token` is done. `drain`: take nothing new, fail what waits, let what
 * runs finish. `stop`: the same without waiting.
 */
export type ServerCall =
  | { readonly type: 'reply'; readonly token: number; readonly body: Frames }
  | { readonly type: 'fail'; readonly token: number; readonly failure: Failure }
  | { readonly type: 'drain' }
  | { readonly type: 'stop' };

export interface ServerSettings {
  readonly concurrency: number;
  readonly queueLimit: number;
  readonly queueBytes: number;
}

/**
 * Milliseconds between the notice that the link to a client broke and what follows from it: a TCP reset
 * of a living peer gives the same notice as its death.
 */
export const NOTICE_GRACE = 100;

/** What a client is told whose request is not answered. */
const FAILURES: Readonly<Record<FreelanceRefusal, Failure>> = {
  queueFull: {
    code: 'ERR_QUEUE_FULL',
    message: "the server's queue is full: try another, or later",
  },
  closing: { code: 'ERR_SERVER_CLOSING', message: 'the server is closing: try another' },
};

interface ServerRequest extends BookedRequest {
  readonly client: Client;
  readonly control: Uint8Array;
}

/** Who waits for something here. */
interface Client {
  readonly address: Address;
  readonly requests: Set<ServerRequest>;
}

export class ServerMachine implements Machine<ServerPort, ServerInput, ServerCall> {
  readonly requests: RequestBook<ServerRequest>;
  readonly #settings: ServerSettings;
  readonly #outbox: Outbox<ServerPort, ServerOutput, FreelanceServerEvent>;
  readonly #clients = new Map<Address, Client>();
  /** Clients whose link broke, and until when they may be heard again. */
  readonly #noticed = new Deadlines<Client>();
  /** What handlers have in their hands, by its id; also if nobody waits for it any more. */
  readonly #running = new NumberMap<ServerRequest>();
  readonly #events = noEvents();
  #phase: 'serving' | 'draining' | 'drained' = 'serving';

  constructor(
    outbox: Outbox<ServerPort, ServerOutput, FreelanceServerEvent>,
    settings: ServerSettings,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    // Clients alone know how long they wait.
    this.requests = new RequestBook({ ...settings, requestTtl: Infinity });
  }

  get nextTimeout(): Instant {
    return this.#noticed.next;
  }

  /** Handlers that are not done. */
  get running(): number {
    return this.#running.size;
  }

  fingerprint(now: Instant): string {
    const noticedAt = Array.from(this.#clients.values(), (client) => this.#noticed.at(client));
    const clients = this.#clients.values();
    const state = [this.requests.state, clients, this.#running, this.#phase, { noticedAt }];
    return fingerprintOf(state, now);
  }

  status(): FreelanceServerStatus {
    const { accepted, ended, queued, queuedBytes, inFlight } = this.requests.state;
    const { replied, failed, cancelled } = ended;
    return {
      queued,
      queuedBytes,
      inFlight,
      running: this.running,
      requests: { accepted, replied, failed, cancelled },
      events: { ...this.#events },
    };
  }

  handleCommand(now: Instant, _port: ServerPort, from: Address, command: ServerInput): void {
    this.#heard(from);
    if (command.type === 'request') this.#take(now, from, command);
    else this.#outbox.send('clients', from, { type: 'pong' });
  }

  handleMalformed(_now: Instant, _port: ServerPort, from: Address, reason: string): void {
    this.#heard(from);
    this.#emit({ type: 'malformed', from, reason });
  }

  handleCall(_now: Instant, call: ServerCall): void {
    if (call.type === 'reply') this.#finish(call.token, 'replied', call.body);
    else if (call.type === 'fail') this.#finish(call.token, 'failed', encodeFailure(call.failure));
    else if (call.type === 'drain') this.#drain();
    else this.#stop();
  }

  handlePeerGone(now: Instant, _port: ServerPort, from: Address): void {
    const client = this.#clients.get(from);
    if (client === undefined || this.#noticed.at(client) < Infinity) return;
    this.#noticed.set(client, now + NOTICE_GRACE);
  }

  /** Nothing waits for room: a reply that does not fit is dropped. */
  handleWritable(): void {}

  handleStored(): void {}

  handleTimeout(now: Instant): void {
    for (;;) {
      const dueAt = this.#noticed.next;
      const client = this.#noticed.takeDue(now);
      if (client === undefined) return;
      // Who was stopped itself has not heard the client: that is no evidence against it.
      if (now - dueAt > NOTICE_GRACE) this.#noticed.set(client, now + NOTICE_GRACE);
      else this.#dismiss(client);
    }
  }

  // Requests

  #take(now: Instant, from: Address, command: RequestCommand): void {
    if (this.#phase !== 'serving') return this.#refuse(from, command.control, 'closing');
    const starts = this.#running.size < this.#settings.concurrency;
    const bytes = sizeOf([command.control]) + sizeOf(command.body) + REQUEST_OVERHEAD;
    if (!starts && !this.requests.fits(bytes)) {
      return this.#refuse(from, command.control, 'queueFull');
    }
    const [control, ...body] = keepFrames([command.control, ...command.body]);
    const client = this.#clients.get(from) ?? { address: from, requests: new Set() };
    const request: ServerRequest = {
      id: this.requests.state.accepted,
      client,
      owner: client,
      control: control!,
      body,
      bytes,
      line: '',
      priority: 0,
      acceptedAt: now,
      expiresAt: Infinity,
      state: starts ? 'inFlight' : 'queued',
      attempts: starts ? 1 : 0,
    };
    this.requests.admit(request);
    this.#clients.set(from, client);
    client.requests.add(request);
    if (starts) this.#start(request);
  }

  #startNext(): void {
    while (this.#running.size < this.#settings.concurrency) {
      const request = this.requests.takeNext();
      if (request === undefined) return;
      this.#start(request);
    }
  }

  #start(request: ServerRequest): void {
    const { id: token, client, body } = request;
    this.#running.set(token, request);
    this.#emit({ type: 'request', token, client: client.address, body });
  }

  /** A handler is done; whoever it was running for may have gone. */
  #finish(token: number, how: 'replied' | 'failed', body: Frames): void {
    const request = this.#running.get(token);
    if (request === undefined) return;
    this.#running.delete(token);
    const client = request.client.address;
    if (!this.#end(request, how)) {
      this.#emit({ type: 'replyDropped', token, client, reason: 'requestEnded' });
    } else if (!this.#say(client, request.control, body)) {
      this.#emit({ type: 'replyDropped', token, client, reason: 'clientQueueFull' });
    }
    this.#startNext();
    this.#settle();
  }

  #refuse(client: Address, control: Uint8Array, reason: FreelanceRefusal): void {
    this.#emit({ type: 'requestRefused', client, reason });
    this.#say(client, control, encodeFailure(FAILURES[reason]));
  }

  #say(client: Address, control: Uint8Array, body: Frames): boolean {
    return this.#outbox.send('clients', client, { type: 'reply', control, body });
  }

  /** False if it had ended before. */
  #end(request: ServerRequest, how: 'replied' | 'failed' | 'cancelled'): boolean {
    const { client } = request;
    if (!this.requests.end(request, how)) return false;
    client.requests.delete(request);
    if (client.requests.size > 0) return true;
    this.#clients.delete(client.address);
    this.#noticed.delete(client);
    return true;
  }

  // Clients

  #heard(from: Address): void {
    const client = this.#clients.get(from);
    if (client !== undefined) this.#noticed.delete(client);
  }

  #dismiss(client: Client): void {
    const requests = [...client.requests];
    const inFlight = requests.filter(({ state }) => state === 'inFlight').length;
    const queued = requests.length - inFlight;
    this.#emit({ type: 'clientGone', client: client.address, queued, inFlight });
    for (const request of requests) this.#abandon(request, 'cancelled');
  }

  #abandon(request: ServerRequest, how: 'failed' | 'cancelled'): void {
    const { id: token, client, state } = request;
    this.#end(request, how);
    if (state === 'inFlight') {
      this.#emit({ type: 'requestLost', token, client: client.address });
    }
  }

  // The end

  #drain(): void {
    if (this.#phase === 'serving') this.#phase = 'draining';
    for (const request of this.requests.queued()) this.#failClosing(request);
    this.#settle();
  }

  #stop(): void {
    this.#drain();
    for (const request of this.#running.values()) this.#failClosing(request);
    this.#running.clear();
    this.#settle();
  }

  #failClosing(request: ServerRequest): void {
    if (request.state !== 'queued' && request.state !== 'inFlight') return;
    const { client, control } = request;
    this.#abandon(request, 'failed');
    this.#say(client.address, control, encodeFailure(FAILURES.closing));
  }

  #settle(): void {
    if (this.#phase !== 'draining' || this.#running.size > 0) return;
    this.#phase = 'drained';
    this.#emit({ type: 'drained' });
  }

  #emit(event: FreelanceServerEvent): void {
    this.#events[event.type]++;
    this.#outbox.emit(event);
  }
}
