/** The simulator as a world of the conformance suite: virtual time, one process a socket. */
import { encodeText } from '../../../src/core/frames.ts';
import { seededRandom } from '../../../src/core/random.ts';
import { SimNetwork } from '../../../src/testing/sim-network.ts';
import type { SimProcess } from '../../../src/testing/sim-process.ts';
import { SimWorld } from '../../../src/testing/sim-world.ts';
import type { SocketKind } from '../../../src/transport/transport.ts';
import {
  eventOf,
  Peer,
  type Event,
  type OpenOptions,
  type Talker,
  type Wire,
  type World,
} from './world.ts';

/** Virtual milliseconds: a minute of waiting costs nothing here. */
const DEADLINE = 60_000;

export class SimulatedWorld implements World {
  readonly name = 'simulator';
  readonly sim: SimWorld;
  readonly #networks = new Map<boolean, SimNetwork>();
  readonly #processes = new Map<string, SimProcess>();
  readonly #dealers: string[] = [];
  readonly #routers = new Map<Peer, string>();
  #count = 0;

  constructor(seed: number) {
    this.sim = new SimWorld({ random: seededRandom(seed) });
  }

  endpoint(): string {
    return 'tcp://127.0.0.1:*';
  }

  open(kind: SocketKind, options: OpenOptions = {}): Peer {
    const { identity = 'stable' } = options;
    const name = options.process ?? `${kind} ${++this.#count}`;
    const process = this.#process(name);
    const events: Event[] = [];
    const { highWaterMark } = options;
    const network = this.#network(options.notices !== false);
    // The reader's high-water mark is the receive window here.
    if (highWaterMark !== undefined) this.#narrow(network, name, highWaterMark);
    const transport = network.transport(process, {
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
      ...(typeof identity === 'string' ? { identities: identity } : identity),
    });
    const socket = transport.open(kind, {
      onMessage: (from, frames) => void events.push(eventOf(from, frames)),
      onPeerGone: (from) => void events.push({ type: 'gone', from }),
    });
    if (options.reads === false) process.stopReading(Infinity);
    const peer = new Peer(
      this,
      socket,
      events,
      (work) => process.run(work),
      () => process.startReading(),
    );
    if (kind === 'dealer') this.#dealers.push(name);
    else this.#routers.set(peer, name);
    return peer;
  }

  talker(endpoint: string): Talker {
    const name = `talker ${++this.#count}`;
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
    return {
      crash: async () => {
        process.crash();
        await Promise.resolve();
      },
    };
  }

  async wire(router: Peer): Promise<Wire> {
    const name = this.#routers.get(router);
    if (name === undefined) throw new Error('a wire leads to a ROUTER of this world');
    await Promise.resolve();
    return new SimulatedWire(this.#network(true), router.endpoint, name, this.#dealers);
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

class SimulatedWire implements Wire {
  readonly endpoint: string;
  readonly #network: SimNetwork;
  readonly #router: string;
  readonly #dealers: readonly string[];

  constructor(network: SimNetwork, endpoint: string, router: string, dealers: readonly string[]) {
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
