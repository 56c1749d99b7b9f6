/** A Freelance client's machine on a recording outbox, driven by hand: what its stories are told with. */
import { decodeFailure, encodeFailure } from '../../src/core/error-body.ts';
import type { RequestErrorCode } from '../../src/core/errors.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Frames, Instant } from '../../src/core/machine.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientSettings,
  type RequestCall,
  type ServerPort,
} from '../../src/freelance/client-machine.ts';
import type { RequestCommand } from '../../src/freelance/commands.ts';

export const body = (...texts: string[]): Frames => texts.map(encodeText);

/** A body as text: a failure by its code. */
export function textOf(frames: Frames): string {
  return decodeFailure(frames)?.code ?? frames.map(decodeText).join('|');
}

export class ClientStory {
  now: Instant = 1000;
  /** Requests in the order of their sending, with the server that each was sent to. */
  readonly sent: { readonly to: string; readonly command: RequestCommand }[] = [];
  readonly events: ClientEvent[] = [];
  /** `open a`, `close a`. */
  readonly sockets: string[] = [];
  /** Servers whose queue is full. */
  readonly full = new Set<string>();
  /** How many messages each server's queue takes; without one, any number. */
  readonly room = new Map<string, number>();
  readonly machine: ClientMachine;
  readonly #names = new Map<ServerPort, string>();
  #id = 0;

  constructor(settings: Partial<ClientSettings> = {}) {
    this.machine = new ClientMachine(
      {
        open: (port, endpoint) => {
          this.#names.set(port, endpoint);
          this.sockets.push(`open ${endpoint}`);
        },
        close: (port) => void this.sockets.push(`close ${this.#names.get(port)}`),
        send: (port, _to, command) => {
          const to = this.#names.get(port)!;
          if (command.type === 'ping') return true;
          const room = this.room.get(to) ?? Infinity;
          if (this.full.has(to) || room === 0) return false;
          this.room.set(to, room - 1);
          this.sent.push({ to, command });
          return true;
        },
        store: () => {},
        emit: (event) => void this.events.push(event),
      },
      {
        heartbeatInterval: 1000,
        heartbeatLiveness: 3,
        reconnectInterval: 100,
        reconnectLimit: 400,
        inFlightLimit: 5,
        queueLimit: 10,
        queueBytes: 100_000,
        retryBudget: 0.1,
        retryBurst: 3,
        random: () => 1,
        ...settings,
      },
    );
  }

  call(call: ClientCall): void {
    this.machine.handleCall(this.now, call);
  }
  connect(...endpoints: string[]): void {
    this.call({ type: 'connect', endpoints });
  }
  request(text: string, options: Partial<RequestCall> = {}): number {
    const id = this.#id++;
    this.call({
      type: 'request',
      id,
      body: body(text),
      strategy: 'first',
      timeout: 2000,
      retries: 3,
      hedge: false,
      ...options,
    });
    return id;
  }
  cancel(id: number): void {
    this.call({ type: 'cancel', id, reason: 'enough' });
  }

  /** These answer the ping. */
  pong(...servers: string[]): void {
    for (const server of servers) {
      this.machine.handleCommand(this.now, this.#portOf(server), '', { type: 'pong' });
    }
  }
  /** The server answers the copy of `text` that it was sent last. */
  answer(server: string, text: string, reply: Frames = body('done')): void {
    const asked = this.sent.findLast(
      ({ to, command }) => to === server && textOf(command.body) === text,
    );
    if (asked === undefined) throw new Error(`${server} was not asked ${text}`);
    this.reply(server, asked.command.control, reply);
  }
  reply(server: string, control: Uint8Array, reply: Frames = body('done')): void {
    const command = { type: 'reply', control, body: reply } as const;
    this.machine.handleCommand(this.now, this.#portOf(server), '', command);
  }
  fail(server: string, text: string, code: RequestErrorCode): void {
    this.answer(server, text, encodeFailure({ code, message: `no ${text}` }));
  }
  gone(server: string): void {
    this.machine.handlePeerGone(this.now, this.#portOf(server));
  }
  writable(server: string): void {
    this.full.delete(server);
    this.room.delete(server);
    this.machine.handleWritable(this.now, this.#portOf(server));
  }

  /** Time passes. */
  wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.machine.nextTimeout <= until) {
      this.now = Math.max(this.now, this.machine.nextTimeout);
      this.machine.handleTimeout(this.now);
    }
    this.now = until;
  }
  /** Requests that take so many milliseconds each at this server, so that there are reply times. */
  warmUp(server: string, count: number, milliseconds: number): void {
    for (let index = 0; index < count; index++) {
      this.request(`warm ${index}`);
      this.wait(milliseconds);
      this.answer(server, `warm ${index}`);
      this.pong(server);
    }
    this.sent.length = 0;
    this.events.length = 0;
  }

  /** `a < text`. */
  get asked(): string[] {
    return this.sent.map(({ to, command }) => `${to} < ${textOf(command.body)}`);
  }
  /** `0 = text` or `0 ! ERR_…`, in the order of the outcomes. */
  get outcomes(): string[] {
    return this.events.flatMap((event) => {
      if (event.type === 'reply') return [`${event.id} = ${textOf(event.body)}`];
      return event.type === 'failed' ? [`${event.id} ! ${event.code}`] : [];
    });
  }
  /** What was emitted of one type. */
  told<Type extends ClientEvent['type']>(type: Type): Extract<ClientEvent, { type: Type }>[] {
    return this.events.filter(
      (event): event is Extract<ClientEvent, { type: Type }> => event.type === type,
    );
  }
  /** `a live`. */
  get states(): string[] {
    return this.machine.servers.map(({ endpoint, state }) => `${endpoint} ${state}`);
  }

  #portOf(server: string): ServerPort {
    for (const [port, name] of this.#names) if (name === server) return port;
    throw new Error(`nobody connected to ${server}`);
  }
}

/** A client of live servers `a`, `b` and so on, as many as asked. */
export function clientOf(count: number, settings?: Partial<ClientSettings>): ClientStory {
  const client = new ClientStory(settings);
  const names = ['a', 'b', 'c', 'd'].slice(0, count);
  client.connect(...names);
  client.pong(...names);
  client.events.length = 0;
  client.sockets.length = 0;
  return client;
}
