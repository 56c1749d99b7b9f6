/** Bare server machines, one or a pair of them, with clients, a storage each, and whoever decides: all played. */
import { isDeepStrictEqual } from 'node:util';
import type { StorageBatch } from '../../src/core/batch.ts';
import type { Epoch, Guard } from '../../src/core/election.ts';
import { StorageError } from '../../src/core/errors.ts';
import { keepFrames } from '../../src/core/frames.ts';
import type { Frames, Instant } from '../../src/core/machine.ts';
import { completeOptions } from '../../src/core/options.ts';
import { seededRandom } from '../../src/core/random.ts';
import {
  weightOf,
  type FollowerInput,
  type FollowerOutput,
  type ResultCommand,
  type ServerInput,
  type ServerOutput,
  type UpdateCommand,
  type WriteCommand,
} from '../../src/clone/commands.ts';
import { serverRules } from '../../src/clone/options.ts';
import { Recovery } from '../../src/clone/server/records.ts';
import { ServerMachine, type ServerSettings } from '../../src/clone/server/server-machine.ts';
import type { CloneServerEvent, ServerCall, ServerPort } from '../../src/clone/server-events.ts';

/** Who decides, as the story says. */
export class PlayedGuard implements Guard {
  epoch: Epoch = 0;
  highestEpoch: Epoch = 0;
  activeEndpoint = '';
  votes = 0;

  epochAt(): Epoch {
    return this.epoch;
  }

  seen(_now: Instant, epoch: Epoch): void {
    if (epoch > this.epoch) this.epoch = 0;
    this.highestEpoch = Math.max(this.highestEpoch, epoch);
  }

  asked(): void {
    this.votes++;
  }
}

/** What `status()` and the tests look at. */
type EventType = CloneServerEvent['type'];

type Delivery = () => void;

export interface ServerOptions extends Partial<ServerSettings> {
  /** Batches are durable at once; otherwise the story says when. */
  readonly storesAtOnce?: boolean;
}

/** Nobody has this much of a wall clock by chance. */
export const WALL = 1_000_000;

const EVERYTHING = 1024 * 1024;

export class World {
  now: Instant = 1000;
  readonly servers = new Map<string, PlayedServer>();
  readonly clients: PlayedClient[] = [];
  /** Ways on which everything is lost, as `from>to`. */
  readonly lossy = new Set<string>();
  readonly #queue: Delivery[] = [];
  #lives = 0;

  /** A server that decides for itself. */
  lone(options: ServerOptions = {}, disk = new PlayedDisk()): PlayedServer {
    return this.#add('lone', { epoch: ++this.#lives, ...options }, disk, undefined);
  }

  /** One of a pair. */
  member(name: string, options: ServerOptions = {}, disk = new PlayedDisk()): PlayedServer {
    return this.#add(name, options, disk, new PlayedGuard());
  }

  /** Two of which the first serves, alone until the second has all. */
  pair(options: ServerOptions = {}): [PlayedServer, PlayedServer] {
    const a = this.member('a', options);
    const b = this.member('b', options);
    this.elect(a, 1);
    this.pass(10);
    return [a, b];
  }

  /** It is decided that this one serves; the others learn of it. */
  elect(server: PlayedServer, epoch: Epoch): void {
    for (const other of this.servers.values()) {
      if (other.guard === undefined) continue;
      other.guard.epoch = other === server ? epoch : 0;
      other.guard.highestEpoch = epoch;
      other.guard.activeEndpoint = server.name;
    }
    for (const other of this.servers.values()) {
      if (other === server) continue;
      other.call({ type: 'standBy', epoch: epoch - 1 });
      other.call({ type: 'follow', epoch, endpoint: server.name });
    }
    server.call({ type: 'activate', epoch });
    this.settle();
  }

  client(server: PlayedServer, subtree = ''): PlayedClient {
    const client = new PlayedClient(this, server, `client${this.clients.length}`, subtree);
    this.clients.push(client);
    this.settle();
    return client;
  }

  later(delivery: Delivery): void {
    this.#queue.push(delivery);
  }

  /** Delivers all that is on its way, and what follows from it. */
  settle(): void {
    for (let count = 0; this.#queue.length > 0; count++) {
      if (count > 100_000) throw new Error('it does not come to rest');
      this.#queue.shift()!();
    }
  }

  /** Lets time pass, with all that is due in it. */
  pass(milliseconds: number): void {
    const until = this.now + milliseconds;
    for (;;) {
      this.settle();
      const next = Math.min(...Array.from(this.servers.values(), ({ nextTimeout }) => nextTimeout));
      if (next > until) break;
      this.now = Math.max(this.now, next);
      for (const server of this.servers.values()) server.wake();
    }
    this.now = until;
    this.settle();
  }

  #add(
    name: string,
    options: ServerOptions,
    disk: PlayedDisk,
    guard: PlayedGuard | undefined,
  ): PlayedServer {
    const server = new PlayedServer(this, name, options, disk, guard);
    this.servers.set(name, server);
    server.wake();
    return server;
  }
}

/** What survives a crash. */
export class PlayedDisk {
  readonly records = new Map<string, Frames>();

  write({ puts, deletes }: StorageBatch): void {
    for (const key of deletes) this.records.delete(key);
    for (const { key, value } of puts) this.records.set(key, keepFrames(value));
  }

  recovery(): Recovery {
    const recovery = new Recovery();
    for (const [key, frames] of this.records) recovery.add(key, frames);
    return recovery;
  }
}

export class PlayedServer {
  readonly machine: ServerMachine;
  readonly name: string;
  readonly guard: PlayedGuard | undefined;
  readonly disk: PlayedDisk;
  readonly events: CloneServerEvent[] = [];
  /** Batches that are not answered. */
  readonly batches: { readonly token: number; readonly batch: StorageBatch }[] = [];
  /** Nothing gets in or out. */
  isCut = false;
  isDead = false;
  holds: Epoch = 0;
  isAloneWanted = false;
  /** Serves alone as soon as it asks. */
  grantsAlone = true;
  readonly #world: World;
  readonly #options: ServerOptions;
  #active = '';

  constructor(
    world: World,
    name: string,
    options: ServerOptions,
    disk: PlayedDisk,
    guard: PlayedGuard | undefined,
  ) {
    this.#world = world;
    this.name = name;
    this.guard = guard;
    this.disk = disk;
    this.#options = options;
    const { storesAtOnce: _storesAtOnce, ...settings } = options;
    const defaults = completeOptions('Clone', serverRules, { heartbeatInterval: 1000 });
    const recovery = disk.recovery();
    this.holds = recovery.holds;
    this.machine = new ServerMachine(
      {
        open: (_port, endpoint) => this.#open(endpoint),
        close: () => void (this.#active = ''),
        send: (port, to, command) => this.#send(port, to, command),
        store: (token, batch) => this.#store(token, batch as StorageBatch),
        emit: (event) => this.#note(event),
      },
      {
        ...defaults,
        guard,
        epoch: 1,
        random: seededRandom(name.charCodeAt(0)),
        isDurable: false,
        wallClock: WALL,
        noticeGrace: 100,
        backupWindow: 1_000_000,
        ...settings,
      },
      settings.isDurable === true ? recovery : undefined,
    );
  }

  get nextTimeout(): Instant {
    return this.isDead ? Infinity : this.machine.nextTimeout;
  }

  wake(): void {
    if (this.isDead || this.machine.nextTimeout > this.#world.now) return;
    this.machine.handleTimeout(this.#world.now);
    if (this.machine.nextTimeout <= this.#world.now) throw new Error('due for ever');
  }

  call(call: ServerCall): void {
    this.#enter(() => this.machine.handleCall(this.#world.now, call));
  }

  hear(port: ServerPort, from: string, command: ServerInput | FollowerInput): void {
    this.#enter(() => this.machine.handleCommand(this.#world.now, port, from, command));
  }

  /** The first batch that waits ends so. */
  stored(error?: Error): void {
    const { token, batch } = this.batches.shift()!;
    if (error === undefined) this.disk.write(batch);
    this.#enter(() => this.machine.handleStored(this.#world.now, token, error));
    this.#world.settle();
  }

  /** The process ends, and all see that its links break. */
  crash(): void {
    this.isDead = true;
    this.#world.servers.delete(this.name);
    for (const other of this.#world.servers.values()) other.lose(this.name);
    this.#world.settle();
  }

  /** The link to this peer broke. */
  lose(peer: string): void {
    this.#enter(() => {
      if (this.#active === peer) this.machine.handlePeerGone(this.#world.now, 'active', '');
      this.machine.handlePeerGone(this.#world.now, 'peers', peer);
    });
  }

  value(key: string): string | undefined {
    const entry = this.machine.publication.entries.get(key);
    return entry && Buffer.from(entry.value).toString();
  }

  /** Key and value of all that is public here. */
  get map(): Record<string, string> {
    const { entries } = this.machine.publication;
    return Object.fromEntries(
      Array.from(entries, ({ key, value }) => [key, Buffer.from(value).toString()]),
    );
  }

  count(type: EventType): number {
    return this.events.filter((event) => event.type === type).length;
  }

  #enter(input: () => void): void {
    if (this.isDead) return;
    this.wake();
    input();
  }

  #open(endpoint: string): void {
    this.#active = endpoint;
  }

  #send(port: ServerPort, to: string, command: ServerOutput | FollowerOutput): boolean {
    const kept = keep(command);
    const world = this.#world;
    const target = port === 'active' ? this.#active : to;
    world.later(() => {
      const server = world.servers.get(target);
      if (this.isCut || server?.isCut === true || world.lossy.has(`${this.name}>${target}`)) return;
      if (port === 'active') server?.hear('peers', this.name, kept as ServerInput);
      else if (server !== undefined) {
        // It may have opened another link since.
        if (server.#active === this.name) server.hear('active', '', kept as FollowerInput);
      } else world.clients.find(({ name }) => name === to)?.hear(this, kept as FollowerInput);
    });
    return true;
  }

  #store(token: number, batch: StorageBatch): void {
    this.batches.push({ token, batch });
    if (this.#options.storesAtOnce === true) this.#world.later(() => this.stored());
  }

  #note(event: CloneServerEvent): void {
    this.events.push(event);
    if (event.type === 'holds') this.holds = event.epoch;
    if (event.type !== 'alone') return;
    this.isAloneWanted = event.alone;
    if (!event.alone || !this.grantsAlone) return;
    this.#world.later(() => this.grant());
  }

  /** Who decides knows that it serves alone. */
  grant(): void {
    const { epoch } = this.guard!;
    if (this.isAloneWanted && epoch > 0) this.call({ type: 'servesAlone', epoch });
  }
}

/** Writes, and keeps what it is told. */
export class PlayedClient {
  readonly name: string;
  readonly writer: string;
  readonly results: ResultCommand[] = [];
  readonly updates: UpdateCommand[] = [];
  readonly commands: FollowerInput[] = [];
  server: PlayedServer;
  number = 0;
  floor = 1;
  #stream = 0;
  #received = 0;
  #sequence = 0;
  readonly #world: World;
  readonly #subtree: string;

  constructor(world: World, server: PlayedServer, name: string, subtree: string) {
    this.#world = world;
    this.name = name;
    this.writer = name.padEnd(8, '.');
    this.server = server;
    this.#subtree = subtree;
    this.connect(server);
  }

  /** Follows from the beginning. */
  connect(server: PlayedServer, epoch = 0): void {
    this.server = server;
    this.#received = 0;
    this.say({
      type: 'follow',
      stream: ++this.#stream,
      subtree: this.#subtree,
      window: EVERYTHING,
      epoch,
      isBackup: false,
      writer: this.writer,
      heartbeatInterval: 1000,
      heartbeatLiveness: 3,
    });
  }

  say(command: ServerInput): void {
    const { server } = this;
    this.#world.later(() => {
      if (!server.isCut) server.hear('peers', this.name, command);
    });
  }

  /** Asks, and lets everything come to rest. */
  write(write: Partial<WriteCommand>): number {
    const number = write.number ?? ++this.number;
    this.number = Math.max(this.number, number);
    this.say({
      type: 'write',
      number,
      floor: this.floor,
      kind: 'set',
      key: '/key',
      value: [],
      ...write,
    });
    this.#world.settle();
    return number;
  }

  set(key: string, value: string, rest: Partial<WriteCommand> = {}): number {
    return this.write({ kind: 'set', key, value: [Buffer.from(value)], ...rest });
  }

  delete(key: string, rest: Partial<WriteCommand> = {}): number {
    return this.write({ kind: 'delete', key, ...rest });
  }

  /** How the write of this number ended; undefined: it has not. */
  result(number: number): ResultCommand | undefined {
    return this.results.findLast((result) => result.number === number);
  }

  hear(server: PlayedServer, command: FollowerInput): void {
    if (server !== this.server) return;
    this.commands.push(command);
    if (command.type === 'result') this.results.push(command);
    if (command.type === 'update') this.updates.push(command);
    if (!('stream' in command)) return;
    if (command.type === 'begin') this.#received = 0;
    this.#received += weightOf(command);
    if (command.type === 'update') this.#sequence = command.sequence;
    if (command.type !== 'beat') return;
    const { stream } = command;
    const [received, sequence] = [this.#received, this.#sequence];
    this.say({ type: 'progress', stream, received, sequence, epoch: command.epoch });
  }
}

/** What was sent may be filled anew by the one who sends it. */
function keep<Command extends object>(command: Command): Command {
  const kept = { ...command };
  if ('value' in kept && Array.isArray(kept.value)) kept.value = [...(kept.value as Frames)];
  return kept;
}

export function diskFull(): StorageError {
  return new StorageError('ERR_STORAGE_FULL', 'no room');
}

export function diskBroken(): StorageError {
  return new StorageError('ERR_STORAGE_FAILED', 'broken');
}

/** True if both have the same map, with revisions and digests. */
export function areEqual(one: PlayedServer, other: PlayedServer): boolean {
  const { publication: first } = one.machine;
  const { publication: second } = other.machine;
  return (
    first.history.published === second.history.published &&
    isDeepStrictEqual(first.feed.digest, second.feed.digest) &&
    isDeepStrictEqual(one.map, other.map)
  );
}
