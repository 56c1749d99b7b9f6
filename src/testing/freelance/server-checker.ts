/**
 * What must hold at a Freelance server after every step: each accepted request is in one place, is
 * answered once under its own control frame, and waits no longer than it must, fairly to all clients.
 */
import { decodeFailure, encodeFailure } from '../../core/error-body.ts';
import { sizeOf, toAddress } from '../../core/frames.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import type { ServerInput, ServerOutput } from '../../freelance/commands.ts';
import type { FreelanceRefusal, FreelanceServerEvent } from '../../freelance/server-events.ts';
import {
  NOTICE_GRACE,
  type ServerCall,
  type ServerMachine,
  type ServerPort,
  type ServerSettings,
} from '../../freelance/server-machine.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { textOf } from '../work.ts';

/** A request, from its coming to its end. */
interface Entry {
  readonly client: Address;
  readonly control: string;
  /** Its body. */
  readonly text: string;
  readonly bytes: number;
  /** How many had left the queue when it came. */
  readonly cameAfter: number;
  state: 'waiting' | 'running' | 'ended';
}

/** Milliseconds by which two sums of the same instants may differ. */
const ROUNDING = 1e-3;

/** Bytes that a queued request may cost beside its body. */
const COST = 1000;

export class ServerChecker implements MachineChecker<
  ServerPort,
  ServerInput,
  ServerOutput,
  ServerCall,
  FreelanceServerEvent
> {
  readonly #name: string;
  readonly #settings: ServerSettings;
  readonly #machine: () => ServerMachine;
  /** Those that wait, by client, the oldest first. */
  readonly #waiting = new Map<Address, Entry[]>();
  /** What handlers have in their hands, by token; those that nobody waits for as well. */
  readonly #running = new Map<number, Entry>();
  /** What must be told that the server closes. */
  readonly #owed = new Set<Entry>();
  /** How many had left the queue when a client was served last. */
  readonly #served = new Map<Address, number>();
  #count = 0;
  /** When a client is gone whose link broke, unless it is heard before. */
  readonly #goneAt = new Map<Address, Instant>();
  #accepted = 0;
  #now: Instant = -Infinity;
  #phase: 'serving' | 'draining' | 'drained' = 'serving';
  /** Of this step: what came, who pinged, which request's handler is done, and what it said. */
  #came: Entry | undefined;
  #pingedBy: Address | undefined;
  #done: Entry | undefined;
  #result: Frames | undefined;

  constructor(name: string, settings: ServerSettings, machine: () => ServerMachine) {
    this.#name = name;
    this.#settings = settings;
    this.#machine = machine;
  }

  // Inputs

  before(now: Instant, input: Input<ServerPort, ServerInput, ServerCall>): void {
    requireThat(now >= this.#now, 'monotonic time', () => `${now} after ${this.#now}`);
    this.#now = now;
    this.#came = undefined;
    this.#pingedBy = undefined;
    this.#done = undefined;
    this.#forgive(now);
    if (input.kind === 'command') this.#noteCommand(input.from, input.command);
    else if (input.kind === 'malformed') this.#goneAt.delete(input.from);
    else if (input.kind === 'peerGone') this.#noteGone(now, input.from);
    else if (input.kind === 'call') this.#noteCall(input.call);
  }

  /** Who was stopped itself has not heard its clients. */
  #forgive(now: Instant): void {
    for (const [client, goneAt] of this.#goneAt) {
      if (now - goneAt > NOTICE_GRACE) this.#goneAt.set(client, now + NOTICE_GRACE);
    }
  }

  #noteGone(now: Instant, client: Address): void {
    if (this.#knows(client) && !this.#goneAt.has(client))
      this.#goneAt.set(client, now + NOTICE_GRACE);
  }

  #noteCommand(from: Address, command: ServerInput): void {
    this.#goneAt.delete(from);
    if (command.type === 'ping') {
      this.#pingedBy = from;
      return;
    }
    const entry: Entry = {
      client: from,
      control: toAddress(command.control),
      text: textOf(command.body),
      bytes: sizeOf(command.body),
      cameAfter: this.#count,
      state: 'waiting',
    };
    this.#came = entry;
    this.#accepted++;
    const line = this.#waiting.get(from);
    if (line === undefined) this.#waiting.set(from, [entry]);
    else line.push(entry);
  }

  #noteCall(call: ServerCall): void {
    switch (call.type) {
      case 'reply':
      case 'fail':
        this.#done = this.#running.get(call.token);
        this.#running.delete(call.token);
        this.#result = call.type === 'reply' ? call.body : encodeFailure(call.failure);
        return;
      case 'stop':
        for (const entry of this.#running.values()) this.#owe(entry);
        this.#running.clear();
        return this.#close();
      case 'drain':
        return this.#close();
    }
  }

  #close(): void {
    if (this.#phase === 'serving') this.#phase = 'draining';
    for (const line of this.#waiting.values()) for (const entry of line) this.#owe(entry);
    this.#waiting.clear();
  }

  #owe(entry: Entry): void {
    if (entry.state === 'ended') return;
    entry.state = 'ended';
    this.#owed.add(entry);
  }

  // Outputs

  said(_port: ServerPort, to: Address, command: ServerOutput): void {
    if (command.type === 'pong') {
      requireThat(this.#pingedBy === to, 'pings are answered', () => 'nobody asked for a PONG');
      this.#pingedBy = undefined;
      return;
    }
    const control = toAddress(command.control);
    const code = decodeFailure(command.body)?.code;
    const isOf = (entry: Entry): boolean => entry.client === to && entry.control === control;
    if (code === 'ERR_SERVER_CLOSING' || code === 'ERR_QUEUE_FULL') {
      const entry = [...this.#owed].find(isOf) ?? this.#came;
      requireThat(entry !== undefined && isOf(entry), 'control frames are untouched', () => {
        return `${this.#name} says ${code} to ${to} under '${control}', which nobody asked`;
      });
      this.#owed.delete(entry);
      return;
    }
    this.#checkAnswer(to, control, command.body);
  }

  /** What a handler said leaves, for the one who asked. */
  #checkAnswer(to: Address, control: string, body: Frames): void {
    const entry = this.#done;
    requireThat(entry?.state === 'running', 'one outcome', () => {
      return `${this.#name} answers ${to} under '${control}', which is over or never was`;
    });
    requireThat(
      entry.client === to && entry.control === control,
      'control frames are untouched',
      () => {
        return `${this.#name} answers ${to} under '${control}', not ${entry.client} under '${entry.control}'`;
      },
    );
    requireThat(textOf(body) === textOf(this.#result!), 'reply integrity', () => {
      return `${this.#name} says '${textOf(body)}', and its handler did not`;
    });
    entry.state = 'ended';
  }

  // Events

  told(event: FreelanceServerEvent): void {
    switch (event.type) {
      case 'request':
        return this.#start(event.token, event.client, event.body);
      case 'requestRefused':
        return this.#refuse(event.reason);
      case 'requestLost':
        return this.#lose(event.token);
      case 'clientGone':
        return this.#leave(event);
      case 'drained':
        this.#phase = 'drained';
        return;
      default:
    }
  }

  #start(token: number, client: Address, body: Frames): void {
    const line = this.#waiting.get(client);
    const entry = line?.[0];
    requireThat(
      entry !== undefined && entry.text === textOf(body),
      'requests arrive intact',
      () => {
        return `${this.#name} starts '${textOf(body)}', and '${entry?.text}' is next`;
      },
    );
    const isWanted =
      this.#phase === 'serving' && this.#now < (this.#goneAt.get(client) ?? Infinity);
    requireThat(isWanted, 'nothing runs for nobody', () => {
      return `${this.#name} starts '${entry.text}' of ${client}, which is gone, or as it closes`;
    });
    this.#checkFair(entry);
    line!.shift();
    if (line!.length === 0) this.#waiting.delete(client);
    entry.state = 'running';
    this.#running.set(token, entry);
    const { concurrency } = this.#settings;
    requireThat(this.#running.size <= concurrency, 'concurrency is kept', () => {
      return `${this.#name} runs ${this.#running.size} handlers, not ${concurrency}`;
    });
    this.#count++;
    this.#served.set(client, this.#count);
  }

  /** Nobody has waited since before its client was served the last time. */
  #checkFair({ client, text }: Entry): void {
    const lastServed = this.#served.get(client);
    if (lastServed === undefined) return;
    for (const [other, [first]] of this.#waiting) {
      if (other === client || first === undefined) continue;
      const isFair = first.cameAfter >= lastServed || (this.#served.get(other) ?? -1) > lastServed;
      requireThat(isFair, 'fair to every client', () => {
        return `'${text}' goes before '${first.text}', whose client waits for longer`;
      });
    }
  }

  /** What came is not taken in. */
  #refuse(reason: FreelanceRefusal): void {
    const entry = this.#came;
    requireThat(
      entry?.state === 'waiting',
      'refusals are true',
      () => `${this.#name} was not asked`,
    );
    const { client, bytes } = entry;
    const line = this.#waiting.get(client)!;
    line.pop();
    if (line.length === 0) this.#waiting.delete(client);
    entry.state = 'ended';
    this.#accepted--;
    const { queueLimit, queueBytes, concurrency } = this.#settings;
    const { queuedBytes } = this.#machine().requests.state;
    // What a request costs beside its body is the server's own business.
    const isFull = this.#queued >= queueLimit || queuedBytes + 2 * bytes + COST > queueBytes;
    const isTrue =
      reason === 'closing'
        ? this.#phase !== 'serving'
        : isFull && this.#running.size >= concurrency;
    requireThat(isTrue, 'refusals are true', () => {
      return `${this.#name} refuses as ${reason}; ${this.#queued} wait, ${this.#running.size} run`;
    });
  }

  /** Nobody waits any more for what a handler does. */
  #lose(token: number): void {
    // All of them are, once a server stops.
    if (this.#phase !== 'serving' && this.#running.size === 0) return;
    const entry = this.#running.get(token);
    requireThat(entry?.state === 'running', 'one outcome', () => {
      return `${this.#name} loses what runs under ${token}, which is ${entry?.state}`;
    });
    entry.state = 'ended';
  }

  /** The link of a client broke, and nothing was heard of it since. */
  #leave({
    client,
    queued,
    inFlight,
  }: Extract<FreelanceServerEvent, { type: 'clientGone' }>): void {
    const goneAt = this.#goneAt.get(client) ?? Infinity;
    requireThat(this.#now >= goneAt - ROUNDING, 'a break is graced', () => {
      return `${this.#name} gives ${client} up at ${this.#now}, not at ${goneAt}`;
    });
    const line = this.#waiting.get(client) ?? [];
    const running = this.#inFlightOf(client).length;
    requireThat(line.length === queued && running === inFlight, 'conservation', () => {
      return `${client} has ${line.length} and ${running}, not ${queued} and ${inFlight}`;
    });
    this.#waiting.delete(client);
    this.#goneAt.delete(client);
  }

  /** Something of it waits or runs. */
  #knows(client: Address): boolean {
    return this.#waiting.has(client) || this.#inFlightOf(client).length > 0;
  }

  #inFlightOf(client: Address): Entry[] {
    return [...this.#running.values()].filter(
      (entry) => entry.client === client && entry.state === 'running',
    );
  }

  get #queued(): number {
    let queued = 0;
    for (const line of this.#waiting.values()) queued += line.length;
    return queued;
  }

  // After each step

  after(now: Instant): void {
    const queued = this.#queued;
    const { concurrency, queueLimit } = this.#settings;
    requireThat(this.#pingedBy === undefined, 'pings are answered', () => {
      return `${this.#name} does not answer ${this.#pingedBy}`;
    });
    requireThat(this.#done?.state !== 'running', 'one outcome', () => {
      return `the handler of '${this.#done?.text}' is done, and nobody is told`;
    });
    requireThat(this.#owed.size === 0, 'one outcome', () => {
      return `${this.#name} closes, and ${this.#owed.size} clients are not told`;
    });
    requireThat(queued <= queueLimit, 'bounded queue', () => `${queued} wait at ${this.#name}`);
    requireThat(queued === 0 || this.#running.size >= concurrency, 'no idle handlers', () => {
      return `${queued} wait at ${this.#name}, and ${this.#running.size} run`;
    });
    for (const [client, goneAt] of this.#goneAt) {
      if (!this.#knows(client)) this.#goneAt.delete(client);
      else
        requireThat(now < goneAt + ROUNDING, 'nothing runs for nobody', () => {
          return `${client} is gone since ${goneAt}, and ${this.#name} works for it`;
        });
    }
    this.#checkConservation(queued);
  }

  #checkConservation(queued: number): void {
    const { requests, running } = this.#machine();
    const { state } = requests;
    let inFlight = 0;
    for (const entry of this.#running.values()) if (entry.state === 'running') inFlight++;
    const ended = Object.values(state.ended).reduce((sum, count) => sum + count, 0);
    const isTrue =
      state.queued === queued &&
      state.inFlight === inFlight &&
      state.accepted === this.#accepted &&
      state.accepted === queued + inFlight + ended &&
      running === this.#running.size;
    requireThat(isTrue, 'conservation', () => {
      return `${this.#name}: of ${state.accepted} (${this.#accepted}) accepted ${state.queued} (${queued}) are queued, ${state.inFlight} (${inFlight}) in flight, ${ended} ended; ${running} (${this.#running.size}) handlers run`;
    });
  }
}
