/** Laws of the simulated network that hold under any faults: order, no duplicates, conservation. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import { seededRandom } from '../../src/core/random.ts';
import { addEffects, countLost, noEffects } from '../../src/testing/effects.ts';
import { SimNetwork, type SimNetworkSettings } from '../../src/testing/sim-network.ts';
import type { SimProcess } from '../../src/testing/sim-process.ts';
import { SimWorld } from '../../src/testing/sim-world.ts';
import type { TransportSocket } from '../../src/transport/transport.ts';

const WORKERS = ['worker-1', 'worker-2', 'worker-3'];
const DURATION = 1000;

const FAULTS = [
  'reset',
  'half-open reset',
  'partition',
  'one-way partition',
  'drop',
  'slow link',
  'pause',
  'pause before send',
  'stop reading',
  'crash',
  'crash after effects',
  'exit',
  'reopen',
  'steal identity',
] as const;

interface Fault {
  readonly at: number;
  readonly kind: (typeof FAULTS)[number];
  readonly worker: string;
  readonly atBroker: boolean;
  readonly size: number;
}

interface Plan {
  readonly seed: number;
  readonly settings: Partial<SimNetworkSettings>;
  readonly faults: readonly Fault[];
}

const plans: fc.Arbitrary<Plan> = fc.record({
  seed: fc.nat(),
  settings: fc.record({
    latency: fc.constantFrom(0, 0.5, 5),
    jitter: fc.constantFrom(0, 0.5, 10),
    bandwidth: fc.constantFrom(Infinity, 20),
    receiveWindow: fc.constantFrom(1, 3, 1000),
    highWaterMark: fc.constantFrom(1, 4, 1000),
    reconnectInterval: fc.constantFrom(1, 20, 100),
    notices: fc.boolean(),
    noticeDelay: fc.constantFrom(0, 3),
    ghostDelay: fc.constantFrom(0, 50),
    identities: fc.constantFrom('stable' as const, 'automatic' as const),
  }),
  faults: fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: DURATION }),
      kind: fc.constantFrom(...FAULTS),
      worker: fc.constantFrom(...WORKERS),
      atBroker: fc.boolean(),
      size: fc.integer({ min: 0, max: 8 }),
    }),
    { maxLength: 12, size: 'max' },
  ),
});

/** A broker and workers that talk at random, and news for all of them; every message carries its socket and a running number. */
class Chatter {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  readonly #sockets = new Map<string, TransportSocket>();
  readonly #processes = new Map<string, SimProcess>();
  readonly #addresses: string[] = [];
  readonly #last = new Map<string, number>();
  readonly #intruders = new Map<string, number>();
  #sent = 0;
  #opened = 0;

  constructor(plan: Plan) {
    this.world = new SimWorld({ random: seededRandom(plan.seed) });
    this.network = new SimNetwork(this.world, plan.settings);
    for (const name of ['broker', ...WORKERS]) this.#boot(name);
    for (const fault of plan.faults) this.world.schedule(fault.at, () => this.#inject(fault));
    // Restarts whoever has crashed.
    for (let at = 50; at < DURATION; at += 50) this.world.schedule(at, () => this.#revive());
  }

  /** Runs the plan, heals the world, waits until nothing is on its way; returns what still is. */
  finish(): number {
    while (this.world.now < DURATION && this.world.step()) this.check();
    this.network.healAll();
    this.#revive();
    for (const process of this.#processes.values()) {
      process.crashAfterEffects(Infinity);
      process.resume();
      process.startReading();
    }
    const end = DURATION * 100;
    while (this.network.inTransit() > 0 && this.world.now < end && this.world.step()) this.check();
    return this.network.inTransit();
  }

  check(): void {
    const { effects } = this.world;
    const accounted = effects.delivered + countLost(effects) + this.network.inTransit();
    if (accounted !== effects.sent) {
      throw new Error(`${effects.sent} sent, but ${accounted} accounted for at ${this.world.now}`);
    }
  }

  #boot(name: string): void {
    const lateness = (): number => (name === 'worker-3' ? this.world.random() : 0);
    const process = this.world.start(name, { lateness });
    this.#processes.set(name, process);
    this.#open(name, process);
    this.#openNews(name, process);
    this.#talk(name, process);
  }

  #openNews(name: string, process: SimProcess): void {
    const opened = ++this.#opened;
    const socket = this.network.transport(process).open(name === 'broker' ? 'pub' : 'sub', {
      onMessage: (from, frames) => this.#read(opened, from, decodeText(frames[0]!)),
      onPeerGone: () => {
        throw new Error('nobody is told of connections where there is news');
      },
    });
    if (name !== 'broker') return socket.connect('ipc://news');
    socket.bind('ipc://news', () => undefined);
    this.#sockets.set('news', socket);
  }

  #open(name: string, process: SimProcess, routingId?: string): void {
    const opened = ++this.#opened;
    const options = routingId === undefined ? {} : { routingId };
    const socket = this.network
      .transport(process, options)
      .open(name === 'broker' ? 'router' : 'dealer', {
        onMessage: (from, frames) => {
          if (name === 'broker' && !this.#addresses.includes(from)) this.#addresses.push(from);
          this.#read(opened, from, decodeText(frames[0]!));
        },
        onPeerGone: () => undefined,
      });
    if (name === 'broker') socket.bind('ipc://broker', () => undefined);
    else socket.connect('ipc://broker');
    this.#sockets.set(name, socket);
  }

  /** Numbers only grow from one sender's socket to one reader's socket and address. */
  #read(reader: number, from: string, text: string): void {
    const [writer, number] = text.split(':');
    const stream = `${writer} → ${reader} ${from}`;
    const last = this.#last.get(stream) ?? 0;
    if (Number(number) <= last) throw new Error(`${stream}: ${number} after ${last}`);
    this.#last.set(stream, Number(number));
  }

  #talk(name: string, process: SimProcess): void {
    if (process.isOver || this.world.now >= DURATION) return;
    process.wakeAt(process.now() + 10 * this.world.random(), () => {
      process.atTurnEnd(() => {
        for (let count = this.world.random() * 4; count > 0; count--) this.#send(name);
        this.#talk(name, process);
      });
    });
  }

  #send(name: string): void {
    const to =
      name === 'broker'
        ? (this.#addresses[Math.floor(this.world.random() * this.#addresses.length)] ?? '')
        : '';
    const padding = 'x'.repeat(this.world.random() * 20);
    const text = `${name}:${++this.#sent}:${padding}`;
    this.#sockets.get(name)!.send(to, [encodeText(text)], () => undefined);
    if (name !== 'broker' || this.world.random() < 0.5) return;
    const news = encodeText(`news:${++this.#sent}`);
    this.#sockets.get('news')!.send('', [news], () => undefined);
  }

  #inject({ kind, worker, atBroker, size }: Fault): void {
    const { network } = this;
    const process = this.#processes.get(atBroker ? 'broker' : worker)!;
    const duration = size * 30;
    const [from, to] = atBroker ? ['broker', worker] : [worker, 'broker'];
    if (kind === 'reset') network.reset(from, to);
    else if (kind === 'half-open reset') network.reset(from, to, { halfOpen: true });
    else if (kind === 'partition') network.partition(from, to, { duration });
    else if (kind === 'one-way partition') network.partition(from, to, { duration, oneWay: true });
    else if (kind === 'drop') network.drop(from, to, size);
    else if (kind === 'slow link') network.shape(from, to, { latency: size * 5 });
    else if (kind === 'pause') process.pause(duration);
    else if (kind === 'pause before send') process.pauseBeforeSend(duration);
    else if (kind === 'stop reading') process.stopReading(duration);
    else if (kind === 'crash') process.crash();
    else if (kind === 'crash after effects') process.crashAfterEffects(size);
    else if (kind === 'exit') process.exit();
    else if (kind === 'reopen') this.#reopen(process, duration);
    else this.#steal(worker);
  }

  #reopen(process: SimProcess, linger: number): void {
    process.run(() => {
      this.#sockets.get(process.name)!.close(linger);
      this.#open(process.name, process);
    });
  }

  #steal(worker: string): void {
    const address = this.#addresses.find((known) => known.startsWith(worker));
    if (address === undefined) return;
    const count = (this.#intruders.get(worker) ?? 0) + 1;
    this.#intruders.set(worker, count);
    const name = `intruder-${count} of ${worker}`;
    const process = this.world.start(name);
    this.#processes.set(name, process);
    this.#open(name, process, address);
    this.#talk(name, process);
  }

  #revive(): void {
    for (const [name, process] of this.#processes) {
      if (process.isOver && !name.startsWith('intruder')) this.#boot(name);
    }
  }
}

describe('any faults', () => {
  const total = noEffects();

  it('conserve messages at every step, keep order, duplicate nothing, and come to rest', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const chatter = new Chatter(plan);
        const left = chatter.finish();
        // What a ROUTER has for a half-open peer stays there: it never learns.
        const isHalfOpen = plan.faults.some(({ kind }) => kind === 'half-open reset');
        expect(isHalfOpen ? 0 : left).toBe(0);
        addEffects(total, chatter.world.effects);
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it('each had an effect', () => {
    const silent = Object.entries(total).filter(([, count]) => count === 0);
    expect(silent).toEqual([]);
  });

  it('leave the same trace for the same seed', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const [first, second] = [new Chatter(plan), new Chatter(plan)];
        first.finish();
        second.finish();
        expect(second.world.trace.digest).toBe(first.world.trace.digest);
        expect(second.world.effects).toEqual(first.world.effects);
      }),
      { numRuns: 30, seed: 2 },
    );
  });
});
