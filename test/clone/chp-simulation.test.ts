/**
 * Our server and our clients over 12/CHP alone, in a simulated network that loses: whenever one of them says
 * that it is synchronised its map is one that the server had, and in the end all are equal.
 */
import assert from 'node:assert/strict';
import { describe, expect, test } from 'vitest';
import { ChpClientMachine } from '../../src/clone/client/chp-client-machine.ts';
import type {
  ClientCall,
  ClientPort,
  CloneClientEvent,
  WriteOutcome,
} from '../../src/clone/client-events.ts';
import type { ChpClientInput, ChpClientOutput } from '../../src/clone/commands.ts';
import { isUnder } from '../../src/clone/key.ts';
import { ServerMachine } from '../../src/clone/server/server-machine.ts';
import type { CloneServerEvent, ServerCall, ServerPort } from '../../src/clone/server-events.ts';
import {
  chpClientCodec,
  serverCodec,
  type ServerHears,
  type ServerSays,
} from '../../src/clone/wire/protocol.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import { seededRandom } from '../../src/core/random.ts';
import type { Random } from '../../src/core/retry.ts';
import { SimNetwork } from '../../src/testing/sim-network.ts';
import { SimWorld } from '../../src/testing/sim-world.ts';
import { Driver } from '../../src/transport/driver.ts';
import { CHP_SETTINGS } from './chp-story.ts';
import { serverSettings } from './server-stage.ts';

const KEYS = ['/a/1', '/a/2', '/b/1', '/b/2', '/c'];
const ENDPOINT = 'tcp://server:5556';
const KINDS = { server: 'dealer', updates: 'sub', writes: 'pub' } as const;
const PORTS = {
  peers: 'router',
  publisher: 'pub',
  collector: 'sub',
  active: 'dealer',
} as const;

/** Milliseconds in which faults happen, and in which all must be well again. */
const UNREST = 3000;
const REST = 10_000;

type View = Readonly<Record<string, string>>;

function viewOf(
  entries: Iterable<readonly [string, { readonly value: Uint8Array }]>,
  subtree: string,
): View {
  const shown = [...entries].filter(([key]) => isUnder(subtree, key));
  return Object.fromEntries(shown.map(([key, { value }]) => [key, decodeText(value)]));
}

class Server {
  readonly views: View[] = [{}];
  readonly driver: Driver<ServerPort, ServerHears, ServerSays, ServerCall, CloneServerEvent>;
  #machine!: ServerMachine;

  constructor(world: SimWorld, network: SimNetwork) {
    const process = world.start('server');
    this.driver = new Driver({
      machine: (outbox) => {
        const settings = { ...serverSettings, random: world.random };
        const tapped = { ...outbox, emit: (event: CloneServerEvent) => this.#hear(event) };
        this.#machine = new ServerMachine(tapped, settings);
        return this.#machine;
      },
      codec: serverCodec,
      kindOf: (port) => PORTS[port],
      transport: network.transport(process),
      clock: process,
      peerQueueBytes: 2000,
      onEvent: () => undefined,
    });
    process.run(() => {
      this.driver.bind('publisher', 'tcp://server:5557', () => undefined);
      this.driver.bind('collector', 'tcp://server:5558', () => undefined);
      this.driver.bind('peers', ENDPOINT, () => undefined);
      this.driver.call({ type: 'serveStock' });
    });
  }

  get sequence(): number {
    return this.#machine.status().position.sequence;
  }

  view(subtree = ''): View {
    return viewOf(this.#machine.publication.entries.map, subtree);
  }

  /** At once: behind the turn there may be more of it. */
  #hear(event: CloneServerEvent): void {
    if (event.type === 'published') this.views.push(this.view());
  }
}

class Client {
  readonly outcomes = new Map<number, WriteOutcome>();
  readonly seen = new Set<string>();
  readonly subtree: string;
  asked = 0;
  readonly #server: Server;
  readonly #call: (call: ClientCall) => void;
  #machine!: ChpClientMachine;

  constructor(world: SimWorld, network: SimNetwork, server: Server, name: string, subtree: string) {
    const process = world.start(name);
    this.subtree = subtree;
    this.#server = server;
    const settings = {
      ...CHP_SETTINGS,
      subtree,
      heartbeatInterval: 100,
      reconnectInterval: 20,
      reconnectLimit: 100,
      queueLimit: 100,
      random: world.random,
      writer: name.padEnd(8, '.'),
    };
    const driver = new Driver<
      ClientPort,
      ChpClientInput,
      ChpClientOutput,
      ClientCall,
      CloneClientEvent
    >({
      machine: (outbox) => {
        this.#machine = new ChpClientMachine(outbox, settings);
        return this.#machine;
      },
      codec: chpClientCodec,
      kindOf: (port) => KINDS[port],
      transport: network.transport(process),
      clock: process,
      peerQueueBytes: 100_000,
      onEvent: (event) => this.#hear(event),
    });
    this.#call = (call) => process.run(() => driver.call(call));
    this.#call({ type: 'connect', endpoints: [ENDPOINT] });
  }

  get state(): string {
    return this.#machine.status().state;
  }

  view(): View {
    return viewOf(this.#machine.replica, this.subtree);
  }

  write(random: Random): void {
    const token = this.asked++;
    const key = KEYS[Math.floor(random() * KEYS.length)]!;
    const isSet = random() < 0.7;
    this.#call({
      type: 'write',
      token,
      kind: isSet ? 'set' : 'delete',
      key,
      ttl: isSet && random() < 0.2 ? 1000 : undefined,
      ifMatch: undefined,
      value: isSet ? encodeText(`${this.subtree}${token}`) : undefined,
      timeout: 4000,
    });
  }

  #hear(event: CloneClientEvent): void {
    this.seen.add(event.type);
    if (event.type === 'written') {
      const { token, ...outcome } = event;
      assert(!this.outcomes.has(token), 'a write ended twice');
      this.outcomes.set(token, outcome);
    }
    if (event.type !== 'synchronised') return;
    const truth = this.#server.views[event.position.sequence]!;
    const shown = Object.entries(truth).filter(([key]) => isUnder(this.subtree, key));
    assert.deepEqual(this.view(), Object.fromEntries(shown), 'synchronised with what never was');
  }
}

function breakSomething(network: SimNetwork, name: string, random: Random): void {
  const chance = random();
  if (chance < 0.3) network.reset('server', name, { halfOpen: random() < 0.3 });
  else if (chance < 0.5) network.partition('server', name, { duration: 100 + 400 * random() });
  // What it says vanishes now and then; what a snapshot lacks 12/CHP cannot find, so nothing of that does.
  else network.drop(name, 'server', 1);
}

function run(seed: number): Set<string> {
  const random = seededRandom(seed);
  const world = new SimWorld({ random });
  const settings = { latency: 1, jitter: 3, reconnectInterval: 10, highWaterMark: 8 };
  const network = new SimNetwork(world, { ...settings, receiveWindow: 8 });
  const server = new Server(world, network);
  const clients = ['', '/a/', '/c'].map((subtree, index) => {
    return new Client(world, network, server, `client ${index}`, subtree);
  });
  for (let at = 100; at < UNREST; at += 40 * random()) {
    world.schedule(at, () => {
      const index = Math.floor(random() * clients.length);
      for (let burst = 0; burst < 1 + 5 * random(); burst++) clients[index]!.write(random);
      if (random() < 0.15) breakSomething(network, `client ${index}`, random);
    });
  }
  world.run(UNREST);
  network.healAll();
  world.run(UNREST + REST);
  for (const client of clients) {
    assert.equal(client.state, 'synchronised');
    assert.deepEqual(client.view(), server.view(client.subtree));
    assert.equal(client.outcomes.size, client.asked, 'a write has no outcome');
  }
  return new Set(clients.flatMap(({ seen }) => [...seen]));
}

describe('over 12/CHP alone', () => {
  test('replicas show what the server had, and find what they lost', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) for (const type of run(seed)) seen.add(type);
    for (const type of ['gapDetected', 'gapRepaired', 'disconnected', 'written']) {
      expect([...seen]).toContain(type);
    }
  });
});
