/**
 * The driver: runs one machine over a transport and a clock.
 *
 * It receives, decodes, calls the machine, and at the end of the receive turn sends what came of it.
 * It owns the only timer, and one byte-bounded outgoing queue for each (port, peer), so that a slow
 * peer delays nobody else. It is synchronous, so that the simulator runs it too.
 */
import type { Codec } from '../core/codec.ts';
import { ClosedError } from '../core/errors.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import { PeerQueue } from './peer-queue.ts';
import type {
  Clock,
  SendOutcome,
  SocketKind,
  SocketName,
  Transport,
  TransportSocket,
} from './transport.ts';

/** How long a farewell may wait in its queue, in milliseconds. */
const FAREWELL = 1000;

/** How long what was handed over may then take to leave; beyond 500 ms zeromq.js warns on stderr. */
const LINGER = 400;

/** Makes a batch durable and calls back once. Given by rooms that store (Titanic, Binary Star). */
export type Store = (batch: unknown, done: (error?: Error) => void) => void;

export interface DriverOptions<Port extends string, Input, Output, Call, Event> {
  /** Builds the machine on the outbox it is given. */
  readonly machine: (outbox: Outbox<Port, Output, Event>) => Machine<Port, Input, Call>;
  readonly codec: Codec<Port, Input, Output>;
  /** What kind of socket a port is. */
  readonly kindOf: (port: Port) => SocketKind;
  readonly transport: Transport;
  readonly clock: Clock;
  /** Bound of each peer's outgoing queue in bytes. A single larger message still passes. */
  readonly peerQueueBytes: number;
  /** Called after the machine returned, so that a listener may call the driver again. Must not throw. */
  readonly onEvent: (event: Event) => void;
  readonly store?: Store;
  /**
   * A socket that the machine asked for could not be opened. To the machine it looks like a peer that
   * does not answer, so it tries again in its own time.
   */
  readonly onSocketError?: (error: unknown) => void;
}

/** What the driver itself saw, for status pages. */
export interface DriverCounters {
  received: number;
  sent: number;
  malformed: number;
  /** Messages dropped because their peer was unreachable. */
  unroutable: number;
  /** Commands that did not fit into their peer's queue. */
  refused: number;
}

interface OpenPort<Port> {
  readonly port: Port;
  readonly socket: TransportSocket;
  readonly queues: Map<Address, PeerQueue>;
  /** Set while a farewell is leaving: when to close in any case. */
  closeAt: Instant;
}

export class Driver<Port extends string, Input, Output, Call, Event> {
  readonly counters: DriverCounters = {
    received: 0,
    sent: 0,
    malformed: 0,
    unroutable: 0,
    refused: 0,
  };
  readonly #options: DriverOptions<Port, Input, Output, Call, Event>;
  readonly #machine: Machine<Port, Input, Call>;
  readonly #ports = new Map<Port, OpenPort<Port>>();
  readonly #leaving = new Set<OpenPort<Port>>();
  readonly #waiting = new Set<{ owner: OpenPort<Port>; queue: PeerQueue }>();
  readonly #inputs: (() => void)[] = [];
  readonly #events: Event[] = [];
  /** How many of `#events` have left, and of `#inputs` begun: shifting long arrays is slow. */
  #emitted = 0;
  #entered = 0;
  #dirty = new Map<PeerQueue, OpenPort<Port>>();
  #busy = false;
  #turnAt: Instant | undefined;
  #turnEnding = false;
  /** While inputs are at hand: what may still grow waits for their end. */
  #inTurn = false;
  #armedAt: Instant = Infinity;
  #disarm: (() => void) | undefined;
  readonly #closed: (() => void)[] = [];
  #isClosed = false;

  constructor(options: DriverOptions<Port, Input, Output, Call, Event>) {
    this.#options = options;
    this.#machine = options.machine({
      open: (port, endpoint) => this.#connectPort(port, endpoint),
      close: (port, flush) => this.#closePort(port, flush === true),
      send: (port, to, command) => this.#enqueue(port, to, command),
      store: (token, batch) => this.#store(token, batch),
      emit: (event) => this.#events.push(event),
    });
    this.#arm();
  }

  /** Hands a user's call to the machine. From inside an event listener it runs right after. */
  call(call: Call): void {
    if (this.#busy) this.#inputs.push(() => this.#machine.handleCall(this.#now(), call));
    else if (this.#begin()) {
      try {
        this.#machine.handleCall(this.#now(), call);
        this.#drain();
      } finally {
        this.#finish();
      }
    }
  }

  /** Binds `port` to one more endpoint, under `name` if one is given; answers with the real one. */
  bind(
    port: Port,
    endpoint: string,
    done: (error: Error | undefined, endpoint: string) => void,
    name?: SocketName,
  ): void {
    if (this.#isClosed) return done(new ClosedError('this socket'), endpoint);
    const open = this.#ports.get(port) ?? this.#openPort(port);
    open.socket.bind(endpoint, done, name);
  }

  /** Sends what is queued, closes every socket, then calls back. Nothing reaches the machine after. */
  close(done: () => void): void {
    this.#closed.push(done);
    if (this.#isClosed) return this.#finishClosing();
    this.#isClosed = true;
    for (const port of this.#ports.keys()) this.#closePort(port, true);
    this.#arm();
    this.#finishClosing();
  }

  /** The machine's fingerprint, for determinism checks. */
  fingerprint(): string {
    return this.#machine.fingerprint(this.#now());
  }

  /**
   * The time of this turn: one instant for all that is received together. A machine can so tell that
   * what it has just queued cannot have left yet.
   */
  #now(): Instant {
    if (this.#turnAt === undefined) {
      this.#turnAt = this.#options.clock.now();
      this.#endTurn();
    }
    return this.#turnAt;
  }

  #endTurn(): void {
    if (this.#turnEnding) return;
    this.#turnEnding = true;
    this.#inTurn = true;
    this.#options.clock.atTurnEnd(() => {
      const dirty = this.#dirty;
      this.#dirty = new Map();
      this.#inTurn = false;
      for (const [queue, open] of dirty) {
        this.#pump(open, queue);
        if (queue.postponed) queue.keep();
      }
      this.#turnEnding = false;
      this.#turnAt = undefined;
      if (this.#dirty.size > 0) this.#endTurn();
      this.#arm();
    });
  }

  // Inputs: one at a time; events leave after the machine has returned.

  #enter(input: () => void): void {
    if (this.#busy) this.#inputs.push(input);
    else if (this.#begin()) {
      try {
        input();
        this.#drain();
      } finally {
        this.#finish();
      }
    }
  }

  /** Time comes first: no input is seen by a machine that has overlooked a deadline. */
  #begin(): boolean {
    if (this.#isClosed) return false;
    this.#busy = true;
    // The turn that begins here, or goes on, arms the timer at its end.
    const now = this.#now();
    if (this.#machine.nextTimeout <= now) this.#machine.handleTimeout(now);
    return true;
  }

  #drain(): void {
    for (;;) {
      this.#emit();
      // A listener may have closed the driver: then what it called before comes too late.
      if (this.#isClosed || this.#entered === this.#inputs.length) return;
      this.#inputs[this.#entered++]!();
    }
  }

  /** What threw is the caller's to know; the driver goes on. */
  #finish(): void {
    this.#busy = false;
    if (this.#entered > 0) this.#inputs.splice(0, this.#entered);
    this.#entered = 0;
  }

  #emit(): void {
    while (this.#emitted < this.#events.length) {
      this.#options.onEvent(this.#events[this.#emitted++]!);
    }
    this.#events.length = 0;
    this.#emitted = 0;
  }

  #receive(owner: OpenPort<Port>, from: Address, frames: Frames): void {
    this.#enter(() => {
      // Asked here and not before: a deadline that was due first may have closed the socket.
      if (this.#ports.get(owner.port) !== owner) return;
      this.counters.received++;
      const now = this.#now();
      const reason = this.#options.codec.decode(owner.port, frames, (command) =>
        this.#machine.handleCommand(now, owner.port, from, command),
      );
      if (reason === undefined) return;
      this.counters.malformed++;
      this.#machine.handleMalformed(now, owner.port, from, reason);
    });
  }

  #peerGone(owner: OpenPort<Port>, from: Address): void {
    this.#enter(() => {
      if (this.#ports.get(owner.port) !== owner) return;
      this.#machine.handlePeerGone(this.#now(), owner.port, from);
    });
  }

  #store(token: number, batch: unknown): void {
    const store = this.#options.store;
    if (store === undefined)
      throw new Error('this machine stores records: give its driver a store');
    store(batch, (error) =>
      this.#enter(() => this.#machine.handleStored(this.#now(), token, error)),
    );
  }

  // Sockets

  #connectPort(port: Port, endpoint: string): void {
    try {
      this.#openPort(port).socket.connect(endpoint);
    } catch (error) {
      this.#inputs.push(() => this.#options.onSocketError?.(error));
    }
  }

  #openPort(port: Port): OpenPort<Port> {
    this.#closePort(port, false);
    const open: OpenPort<Port> = {
      port,
      queues: new Map(),
      closeAt: Infinity,
      socket: this.#options.transport.open(this.#options.kindOf(port), {
        onMessage: (from, frames) => this.#receive(open, from, frames),
        onPeerGone: (from) => this.#peerGone(open, from),
      }),
    };
    this.#ports.set(port, open);
    return open;
  }

  #closePort(port: Port, flush: boolean): void {
    const open = this.#ports.get(port);
    if (open === undefined) return;
    this.#ports.delete(port);
    if (!flush) {
      open.queues.clear();
      open.socket.close(0);
      return;
    }
    open.closeAt = this.#now() + FAREWELL;
    this.#leaving.add(open);
    for (const queue of open.queues.values()) this.#pump(open, queue);
    this.#closeIfDrained(open);
  }

  #closeIfDrained(open: OpenPort<Port>): void {
    if (!this.#leaving.has(open)) return;
    if (open.queues.size > 0 && this.#now() < open.closeAt) return;
    this.#leaving.delete(open);
    open.queues.clear();
    open.socket.close(LINGER);
    this.#finishClosing();
  }

  #finishClosing(): void {
    if (!this.#isClosed || this.#ports.size > 0 || this.#leaving.size > 0) return;
    this.#disarm?.();
    this.#disarm = undefined;
    for (const done of this.#closed.splice(0)) done();
  }

  // Outgoing queues

  #enqueue(port: Port, to: Address, command: Output): boolean {
    const open = this.#ports.get(port);
    if (open === undefined) return false;
    const queue = open.queues.get(to) ?? new PeerQueue(to, this.#options.peerQueueBytes);
    const last = queue.open;
    const lastBytes = last?.bytes ?? 0;
    if (!queue.hasRoom(0)) return this.#refuse(queue);
    const message = this.#options.codec.encode(port, command, last);
    if (message !== last && !queue.hasRoom(message.bytes)) return this.#refuse(queue);
    if (message === last && message.bytes === lastBytes) return true;
    queue.push(message);
    open.queues.set(to, queue);
    this.#dirty.set(queue, open);
    this.#endTurn();
    if (message.isFull === true) this.#pump(open, queue);
    return true;
  }

  #refuse(queue: PeerQueue): boolean {
    queue.refused = true;
    this.counters.refused++;
    return false;
  }

  #pump(open: OpenPort<Port>, queue: PeerQueue): void {
    while (!queue.sending) {
      const frames = queue.head;
      if (frames === undefined) break;
      if (queue.postponed && queue.retryAt > this.#now()) break;
      if (this.#inTurn && queue.isGrowing) {
        this.#dirty.set(queue, open);
        break;
      }
      queue.sending = true;
      let settled = false;
      let returned = false;
      open.socket.send(queue.to, frames, (outcome) => {
        settled = true;
        this.#sent(open, queue, outcome);
        if (returned) {
          this.#pump(open, queue);
          this.#arm();
        }
      });
      returned = true;
      if (!settled) return;
    }
    if (queue.empty && !queue.sending) this.#retire(open, queue);
  }

  #sent(open: OpenPort<Port>, queue: PeerQueue, outcome: SendOutcome): void {
    queue.sending = false;
    if (outcome === 'full') {
      queue.postpone(this.#now());
      queue.keep();
      this.#waiting.add({ owner: open, queue });
      return;
    }
    if (outcome === 'sent') {
      this.counters.sent++;
      queue.shift();
      if (queue.refused && queue.hasDrained) this.#writable(open, queue);
      return;
    }
    while (!queue.empty) {
      queue.shift();
      this.counters.unroutable++;
    }
    if (outcome === 'unroutable') this.#peerGone(open, queue.to);
    if (queue.refused) this.#writable(open, queue);
  }

  #writable(open: OpenPort<Port>, queue: PeerQueue): void {
    queue.refused = false;
    this.#enter(() => {
      if (this.#ports.get(open.port) !== open) return;
      this.#machine.handleWritable(this.#now(), open.port, queue.to);
    });
  }

  #retire(open: OpenPort<Port>, queue: PeerQueue): void {
    if (open.queues.get(queue.to) === queue) open.queues.delete(queue.to);
    this.#closeIfDrained(open);
  }

  // The one timer

  #arm(): void {
    const next = this.#nextWake();
    if (next >= this.#armedAt) return;
    this.#disarm?.();
    this.#armedAt = next;
    this.#disarm = this.#options.clock.wakeAt(next, () => this.#wake());
  }

  #nextWake(): Instant {
    let next = this.#isClosed ? Infinity : this.#machine.nextTimeout;
    for (const { queue } of this.#waiting) next = Math.min(next, queue.retryAt);
    for (const { closeAt } of this.#leaving) next = Math.min(next, closeAt);
    return next;
  }

  #wake(): void {
    this.#armedAt = Infinity;
    this.#disarm = undefined;
    this.#turnAt = undefined;
    const now = this.#now();
    for (const waiting of this.#waiting) {
      if (waiting.queue.retryAt > now) continue;
      this.#waiting.delete(waiting);
      this.#pump(waiting.owner, waiting.queue);
    }
    for (const open of this.#leaving) this.#closeIfDrained(open);
    if (this.#machine.nextTimeout <= now) this.#enter(() => undefined);
    this.#arm();
  }
}
