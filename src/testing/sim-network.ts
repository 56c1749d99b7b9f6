/**
 * A simulated network: sockets for simulated processes, and every fault that a network has.
 *
 * `transport(process)` is what the driver runs over. What gets lost, and what does not, is what
 * zeromq loses; the transport conformance suite asserts the same facts against both.
 */
import { BindError } from '../core/errors.ts';
import type { Address, Frames } from '../core/machine.ts';
import type { Transport } from '../transport/transport.ts';
import { SimConnection } from './sim-connection.ts';
import { type Lane, type LinkSettings, Message } from './sim-lane.ts';
import { POISON_LIMIT, type ProcessWatcher, type SimProcess } from './sim-process.ts';
import { SimPub, SimSub } from './sim-pubsub.ts';
import {
  SimDealer,
  SimRouter,
  SimSocket,
  type SimBinder,
  type SimConnector,
} from './sim-socket.ts';
import type { SimWorld } from './sim-world.ts';

export interface SimNetworkSettings extends LinkSettings {
  /** Messages that a socket queues for each peer, at most. */
  readonly highWaterMark: number;
  /** Milliseconds before a DEALER connects again, and at most as many more at random. */
  readonly reconnectInterval: number;
  /**
   * Whether sockets tell their owners that a peer is gone, and a ROUTER that one has come on a new
   * connection (the draft options of libzmq).
   */
  readonly notices: boolean;
  /** Milliseconds between the end of a connection and the other side learning of it. */
  readonly noticeDelay: number;
  /** Milliseconds by which the last messages of a closed socket may be late: ghosts. */
  readonly ghostDelay: number;
  /** How often a crash also loses some of what was already handed over. */
  readonly lossAtCrash: number;
  /**
   * A DEALER's routing id: its own until it closes, or another one at each connection. Default, as
   * our adapter has it: stable with notices, automatic without them.
   */
  readonly identities: 'stable' | 'automatic';
  /**
   * Messages are copied when sent and overwritten when the turn that read them ends, so that a
   * machine that keeps borrowed frames is caught. Off: by reference.
   */
  readonly poison: boolean;
}

/** Loopback, as zeromq.js has it by default. */
export const NETWORK_DEFAULTS: SimNetworkSettings = {
  latency: 0.5,
  jitter: 0.5,
  bandwidth: Infinity,
  receiveWindow: 1000,
  highWaterMark: 1000,
  reconnectInterval: 100,
  notices: true,
  noticeDelay: 3,
  ghostDelay: 0,
  lossAtCrash: 0.5,
  identities: 'stable',
  poison: true,
};

/** What one process's sockets do differently from the network's settings. */
export interface SimTransportOptions {
  readonly highWaterMark?: number;
  readonly identities?: 'stable' | 'automatic';
  /** One routing id for all its DEALERs: what our own peers never do. */
  readonly routingId?: Address;
}

export interface PartitionOptions {
  /** Only what goes from the first to the second is held. */
  readonly oneWay?: boolean;
  /** Milliseconds until it heals. Default: for ever. */
  readonly duration?: number;
}

const SOCKETS = { router: SimRouter, dealer: SimDealer, pub: SimPub, sub: SimSub } as const;

interface Partition {
  readonly from: string;
  readonly to: string;
  readonly oneWay: boolean;
}

export class SimNetwork implements ProcessWatcher {
  readonly world: SimWorld;
  readonly settings: SimNetworkSettings;
  /** The connections of which one side at least does not know that they ended. */
  readonly connections = new Set<SimConnection>();
  readonly #sockets = new Set<SimSocket>();
  readonly #processes = new Set<SimProcess>();
  readonly #endpoints = new Map<string, SimBinder>();
  readonly #links = new Map<string, Partial<LinkSettings>>();
  readonly #partitions = new Set<Partition>();
  #serial = 0;
  #port = 49152;
  #automaticIds = 0;

  constructor(world: SimWorld, settings: Partial<SimNetworkSettings> = {}) {
    this.world = world;
    const identities = settings.notices === false ? 'automatic' : NETWORK_DEFAULTS.identities;
    this.settings = { ...NETWORK_DEFAULTS, identities, ...settings };
  }

  /** The sockets of one process. */
  transport(process: SimProcess, options: SimTransportOptions = {}): Transport {
    process.watch(this);
    this.#processes.add(process);
    return {
      open: (kind, handler) => {
        const socket = new SOCKETS[kind](this, process, handler, options);
        if (socket instanceof SimSocket && !process.isOver) this.add(socket);
        return socket;
      },
    };
  }

  /** Messages accepted, neither delivered nor lost: counted where they are, for conservation checks. */
  inTransit(): number {
    let count = 0;
    for (const socket of this.#sockets) count += socket.queued;
    for (const { up, down } of this.connections) count += up.inFlight + down.inFlight;
    for (const { unread } of this.#processes) {
      for (const arrival of unread) if (arrival instanceof Message) count++;
    }
    return count;
  }

  /** Bytes of the largest message on its way: while one is, what is behind it waits. */
  largestInTransit(): number {
    let largest = 0;
    for (const { largest: bytes } of this.#lanes()) largest = Math.max(largest, bytes);
    return largest;
  }

  // Faults

  /** Changes how messages travel from one process to another, from now on; partial, and it lasts. */
  shape(from: string, to: string, change: Partial<LinkSettings>): void {
    this.world.note(`link ${from} → ${to} changes: ${JSON.stringify(change)}`);
    this.#links.set(direction(from, to), { ...this.#links.get(direction(from, to)), ...change });
    for (const lane of this.#lanes()) {
      if (lane.from.process.name !== from || lane.to.process.name !== to) continue;
      lane.link = this.link(from, to);
      lane.pump();
    }
  }

  /**
   * Holds messages between two processes, which their senders do not notice, as TCP would retransmit.
   * Returns what heals it.
   */
  partition(from: string, to: string, options: PartitionOptions = {}): () => void {
    const partition = { from, to, oneWay: options.oneWay === true };
    this.world.note(`partition ${from} ${partition.oneWay ? '→' : '↔'} ${to}`);
    this.#partitions.add(partition);
    this.#holdLanes();
    const heal = (): void => {
      if (!this.#partitions.delete(partition)) return;
      this.world.note(`partition between ${from} and ${to} heals`);
      this.#holdLanes();
    };
    if (options.duration !== undefined) this.world.after(options.duration, heal);
    return heal;
  }

  /** Ends every partition. */
  healAll(): void {
    if (this.#partitions.size > 0) this.world.note('all partitions heal');
    this.#partitions.clear();
    this.#holdLanes();
  }

  /**
   * Resets the connections between two processes and returns how many: what is in flight is lost, but
   * for a prefix. `halfOpen`: the ROUTER does not learn of it.
   */
  reset(a: string, b: string, options: { readonly halfOpen?: boolean } = {}): number {
    let count = 0;
    for (const connection of this.connections) {
      if (!connection.joins(a, b) || !connection.isLive) continue;
      this.world.note(`reset between ${a} and ${b}`);
      connection.reset(options.halfOpen === true);
      count++;
    }
    return count;
  }

  /** The next `count` messages from one process to another vanish; returns on how many connections. */
  drop(from: string, to: string, count: number): number {
    let lanes = 0;
    for (const lane of this.#lanes()) {
      if (lane.from.process.name !== from || lane.to.process.name !== to) continue;
      this.world.note(`the next ${count} from ${from} to ${to} are dropped`);
      lane.drop(count);
      lanes++;
    }
    return lanes;
  }

  /** Takes back every `drop` that has not happened yet. */
  dropNone(): void {
    for (const lane of this.#lanes()) lane.dropNone();
  }

  // For sockets and connections

  nextSerial(): number {
    this.#serial++;
    return this.#serial;
  }

  /** How messages travel from one process to another now. */
  link(from: string, to: string): LinkSettings {
    const change = this.#links.get(direction(from, to));
    return change === undefined ? this.settings : { ...this.settings, ...change };
  }

  /** Registers an endpoint and returns the real one: a port of `*` or 0 is chosen. */
  bind(router: SimBinder, endpoint: string): string | BindError {
    const real = endpoint.replace(/:(\*|0)$/, () => `:${this.#port++}`);
    if (this.#endpoints.has(real)) {
      return new BindError(
        'ERR_ADDRESS_IN_USE',
        real,
        `${real} is in use: choose another endpoint`,
      );
    }
    this.#endpoints.set(real, router);
    return real;
  }

  unbind(socket: SimSocket): void {
    for (const [endpoint, router] of this.#endpoints) {
      if (router === socket) this.#endpoints.delete(endpoint);
    }
  }

  /** Connects a DEALER, or returns undefined if nobody can answer now. */
  establish(dealer: SimConnector): SimConnection | undefined {
    const router = this.#endpoints.get(dealer.endpoint ?? '');
    if (router === undefined || !router.process.isRunning || !dealer.process.canWrite) {
      return undefined;
    }
    if (!router.speaksWith(dealer)) return undefined;
    const [client, server] = [dealer.process.name, router.process.name];
    if (this.#isHeld(client, server) || this.#isHeld(server, client)) return undefined;
    const address = dealer.routingId ?? this.#automaticId();
    const connection = new SimConnection(this, dealer, router, address);
    this.connections.add(connection);
    this.world.note(`${client} connects to ${server}`);
    router.accept(connection);
    return connection;
  }

  /** A frame list of its own for each message, so that it can be overwritten. */
  copy(frames: Frames): Frames {
    if (!this.settings.poison) return frames;
    return frames.map((frame) => (frame.length <= POISON_LIMIT ? new Uint8Array(frame) : frame));
  }

  /** Takes down that a message is being read. */
  delivered(lane: Lane, frames: Frames): void {
    const { effects, trace, transcript, now } = this.world;
    effects.delivered++;
    if (lane.isSuperseded && lane.from.isClosed) effects.ghostDelivered++;
    trace.addNumber(now);
    trace.addNumber(lane.to.serial);
    trace.addFrames(frames);
    transcript?.message(now, lane.from.process.name, lane.to.process.name, frames);
    if (this.settings.poison) lane.to.process.lend(frames);
  }

  forget(connection: SimConnection): void {
    this.connections.delete(connection);
  }

  add(socket: SimSocket): void {
    this.#sockets.add(socket);
  }

  remove(socket: SimSocket): void {
    this.#sockets.delete(socket);
  }

  processCrashed(process: SimProcess): void {
    for (const socket of this.#sockets) if (socket.process === process) socket.die();
    this.#processes.delete(process);
  }

  processExited(process: SimProcess): void {
    for (const socket of this.#sockets) if (socket.process === process) socket.close(0);
  }

  processResumed(process: SimProcess): void {
    for (const socket of this.#sockets) if (socket.process === process) socket.pump();
  }

  *#lanes(): Generator<Lane> {
    for (const { up, down } of this.connections) {
      yield up;
      yield down;
    }
  }

  #holdLanes(): void {
    for (const lane of this.#lanes()) {
      lane.setHeld(this.#isHeld(lane.from.process.name, lane.to.process.name));
    }
  }

  #isHeld(from: string, to: string): boolean {
    for (const partition of this.#partitions) {
      if (partition.from === from && partition.to === to) return true;
      if (!partition.oneWay && partition.from === to && partition.to === from) return true;
    }
    return false;
  }

  /** Five bytes, the first of them zero, as libzmq makes them. */
  #automaticId(): Address {
    const id = ++this.#automaticIds;
    const bytes = [0, id >>> 24, (id >>> 16) & 255, (id >>> 8) & 255, id & 255];
    return String.fromCharCode(...bytes);
  }
}

function direction(from: string, to: string): string {
  return `${from}→${to}`;
}
