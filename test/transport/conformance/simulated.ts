/** The simulator as a world of the conformance suite: virtual time, one process a socket. */
import { encodeText } from '../../../src/core/frames.ts';
import { seededRandom } from '../../../src/core/random.ts';
import { SimNetwork } from '../../../src/testing/sim-network.ts';
import type { SimProcess } from '../../../src/testing/sim-process.ts';
import { SimWorld } from '../../../src/testing/sim-world.ts';
import type { SocketKind, TransportSocket } from '../../../src/transport/transport.ts';
import {
  eventOf,
  Peer,
  type Child,
  type Event,
  type Listener,
  type OpenOptions,
  type Wire,
  type World,
} from './world.ts';

/** Marks a connection as one of those that a wire's faults befall. */
const WIRED = 'over a wire: ';

/** Virtual milliseconds: a minute of waiting costs nothing here. */
const DEADLINE = 60_000;

export class SimulatedWorld implements World {
  readonly name = 'simulator';
  readonly sim: SimWorld;
  readonly #networks = new Map<boolean, SimNetwork>();
  readonly #processes = new Map<string, SimProcess>();
  /** Which processes have a DEALER on which wire. */
  readonly #wired = new Map<string, Set<string>>();
  readonly #routers = new Map<Peer, { readonly name: string; readonly network: SimNetwork }>();
  #count = 0;

  constructor(seed: number) {
    this.sim = new SimWorld({ random: seededRandom(seed) });
  }

  endpoint(): string {
    return 'tcp://127.0.0.1:*';
  }

  async vacantEndpoint(): Promise<string> {
    return 'tcp://127.0.0.1:5555';
  }

  open(kind: SocketKind, options: OpenOptions = {}): Peer {
    const { identity = 'own' } = options;
    const name = options.process ?? `${kind} ${++this.#count}`;
    const process = this.#process(name);
    const events: Event[] = [];
    const { highWaterMark } = options;
    const network = this.#network(options.notices !== false);
    // The reader's high-water mark is the receive window here.
    if (highWaterMark !== undefined) this.#narrow(network, name, highWaterMark);
    const transport = network.transport(process, {
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
      ...(identity === 'automatic' ? { identities: identity } : {}),
      ...(typeof identity === 'object' ? identity : {}),
    });
    const inner = transport.open(kind, {
      onMessage: (from, frames) => void events.push(eventOf(from, frames)),
      onPeerGone: (from) => void events.push({ type: 'gone', from }),
    });
    const socket: TransportSocket = {
      bind: (endpoint, done) => inner.bind(endpoint, done),
      send: (to, frames, done) => inner.send(to, frames, done),
      close: (linger) => inner.close(linger),
      connect: (endpoint) => {
        this.#wired.get(endpoint)?.add(name);
        inner.connect(endpoint.replace(WIRED, ''));
      },
    };
    if (options.reads === false) process.stopReading(Infinity);
    const peer = new Peer(
      this,
      socket,
      events,
      (work) => process.run(work),
      () => process.startReading(),
    );
    if (kind !== 'dealer') this.#routers.set(peer, { name, network });
    return peer;
  }

  talker(endpoint: string): Child {
    return controlsOf(this.#talk(`talker ${++this.#count}`, endpoint));
  }

  stumbler(router: Peer): void {
    const { name, network } = this.#routerOf(router);
    this.#talk('stumbler', router.endpoint);
    const stumble = (): void => {
      network.reset('stumbler', name, { halfOpen: this.sim.random() < 0.5 });
      this.sim.after(40, stumble);
    };
    stumble();
  }

  #talk(name: string, endpoint: string): SimProcess {
    const process = this.#process(name);
    const socket = this.#network(true)
      .transport(process)
      .open('dealer', { onMessage: () => undefined, onPeerGone: () => undefined });
    socket.connect(endpoint);
    let said = 0;
    const say = (): void => {
      socket.send('', [encodeText(String(said++))], () => undefined);
      process.wakeAt(process.now() + 0.1, say);
    };
    process.run(say);
    return process;
  }

  async listener(): Promise<Listener> {
    const process = this.#process(`listener ${++this.#count}`);
    const socket = this.#network(true)
      .transport(process)
      .open('router', {
        onMessage: (from) => socket.send(from, [encodeText('welcome')], () => undefined),
        onPeerGone: () => undefined,
      });
    let endpoint = '';
    process.run(() => socket.bind(this.endpoint(), (_error, real) => (endpoint = real)));
    await this.until('the answer to a bind', () => endpoint !== '');
    return { endpoint, ...controlsOf(process) };
  }

  block(router: Peer, duration: number): void {
    this.#process(this.#routerOf(router).name).stopReading(duration);
  }

  async wire(router: Peer): Promise<Wire> {
    const { name, network } = this.#routerOf(router);
    await Promise.resolve();
    const dealers = new Set<string>();
    this.#wired.set(WIRED + router.endpoint, dealers);
    return new SimulatedWire(network, WIRED + router.endpoint, name, dealers);
  }

  now(): number {
    return this.sim.now;
  }

  until(what: string, condition: () => boolean): Promise<void> {
    return this.untilAsync(what, async () => condition());
  }

  async untilAsync(what: string, attempt: () => Promise<boolean>): Promise<void> {
    const deadline = this.sim.now + DEADLINE;
    while (!(await attempt())) {
      if (this.sim.now > deadline) throw new Error(`waited in vain for ${what}`);
      // A moment even if nothing is due: whoever tries again does so later.
      if (!this.sim.step() || this.sim.next > deadline) this.sim.run(this.sim.now + 1);
    }
  }

  async end(): Promise<void> {
    for (const process of this.#processes.values()) process.exit();
    await Promise.resolve();
  }

  #routerOf(peer: Peer): { readonly name: string; readonly network: SimNetwork } {
    const router = this.#routers.get(peer);
    if (router === undefined) throw new Error('not a ROUTER of this world');
    return router;
  }

  #process(name: string): SimProcess {
    const process = this.#processes.get(name) ?? this.sim.start(name);
    this.#processes.set(name, process);
    return process;
  }

  /** Notices are a setting of a network; a test uses one or the other. */
  #network(notices: boolean): SimNetwork {
    const network =
      this.#networks.get(notices) ??
      new SimNetwork(this.sim, { latency: 1, jitter: 1, reconnectInterval: 10, notices });
    this.#networks.set(notices, network);
    return network;
  }

  #narrow(network: SimNetwork, name: string, receiveWindow: number): void {
    for (const other of this.#processes.keys()) {
      network.shape(name, other, { receiveWindow });
      network.shape(other, name, { receiveWindow });
    }
  }
}

function controlsOf(process: SimProcess): Child {
  return {
    crash: async () => process.crash(),
    pause: () => process.pause(),
    resume: () => process.resume(),
  };
}

class SimulatedWire implements Wire {
  readonly endpoint: string;
  readonly #network: SimNetwork;
  readonly #router: string;
  readonly #dealers: ReadonlySet<string>;

  constructor(network: SimNetwork, endpoint: string, router: string, dealers: ReadonlySet<string>) {
    this.#network = network;
    this.endpoint = endpoint;
    this.#router = router;
    this.#dealers = dealers;
  }

  hold(direction?: 'up' | 'down'): void {
    for (const dealer of this.#dealers) {
      const ends: [string, string] = [dealer, this.#router];
      const [from, to] = direction === 'down' ? ends.toReversed() : ends;
      this.#network.partition(from ?? '', to ?? '', { oneWay: direction !== undefined });
    }
  }

  release(): void {
    this.#network.healAll();
  }

  holdsSomething(): boolean {
    return this.#network.inTransit() > 0;
  }

  reset(options: { readonly halfOpen?: boolean } = {}): number {
    let count = 0;
    for (const dealer of this.#dealers) count += this.#network.reset(dealer, this.#router, options);
    return count;
  }

  cutNextMessage(): void {
    // A message of the simulator is whole or not there: it is cut by being held and then reset.
    const { world } = this.#network;
    this.hold('up');
    const watch = (): void => {
      if (!this.holdsSomething()) {
        world.after(1, watch);
        return;
      }
      this.reset();
      this.release();
    };
    watch();
  }

  slow(latency: number): void {
    for (const dealer of this.#dealers) this.#network.shape(dealer, this.#router, { latency });
  }
}
