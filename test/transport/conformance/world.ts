/**
 * What a fact is asserted against: sockets, the processes they are in, and the wire between them.
 *
 * One suite, two worlds. In the simulator time is virtual and `until` makes it pass; over real
 * sockets it is awaited, with a deadline, never slept through.
 */
import { decodeText, encodeText } from '../../../src/core/frames.ts';
import type { Address, Frames } from '../../../src/core/machine.ts';
import type { SendOutcome, SocketKind, TransportSocket } from '../../../src/transport/transport.ts';

export const WORLDS = ['simulator', 'tcp', 'ipc', 'inproc'] as const;
export type WorldName = (typeof WORLDS)[number];

export interface OpenOptions {
  /** The process it is in; sockets with the same name share one. Default: one of its own. */
  readonly process?: string;
  /** Messages that wait for one peer, and as many again at the reader. */
  readonly highWaterMark?: number;
  /** False: it reads nothing before `startReading`. */
  readonly reads?: boolean;
  /** A DEALER's routing id: as our sockets have it, one that zeromq makes, or this one. */
  readonly identity?: 'own' | 'automatic' | { readonly routingId: string };
  readonly notices?: boolean;
}

export interface World {
  readonly name: WorldName;
  /** A fresh endpoint to bind. */
  endpoint(): string;
  /** One that nobody has had, with its port: a closed ROUTER may still take messages for a moment. */
  vacantEndpoint(): Promise<string>;
  open(kind: SocketKind, options?: OpenOptions): Peer;
  /** A process of its own with one DEALER, which sends 0, 1, 2, … until it crashes. */
  talker(endpoint: string): Child;
  /** As a talker with a routing id of its own, over a link that is reset again and again. */
  stumbler(router: Peer): void;
  /** A process of its own with one ROUTER, which says `welcome` to each message. */
  listener(): Promise<Listener>;
  /** Keeps a ROUTER's process from reading for so many milliseconds; its sockets go on. */
  block(router: Peer, duration: number): void;
  /** A wire that breaks, which leads to what a ROUTER, a PUB or a SUB has bound. */
  wire(router: Peer): Promise<Wire>;
  /** Milliseconds, virtual or real. */
  now(): number;
  /** Lets time pass until it holds. @throws after a deadline, saying what was awaited */
  until(what: string, condition: () => boolean): Promise<void>;
  /** As `until`, trying something each time that has an outcome itself. */
  untilAsync(what: string, attempt: () => Promise<boolean>): Promise<void>;
  end(): Promise<void>;
}

/** A process that can be killed (SIGKILL), stopped (SIGSTOP) and continued. */
export interface Child {
  crash(): Promise<void>;
  pause(): void;
  resume(): void;
}

/** A process with a ROUTER. */
export interface Listener extends Child {
  readonly endpoint: string;
}

/** All connections made to `endpoint`, and the faults that a network has. */
export interface Wire {
  readonly endpoint: string;
  /** Nothing gets through in these directions; `up` is from the DEALERs to the ROUTER. */
  hold(direction?: 'up' | 'down'): void;
  release(): void;
  /** True once something is on a wire that is held or slow. */
  holdsSomething(): boolean;
  /** Resets every connection; `halfOpen`: the ROUTER is not told. Returns how many. */
  reset(options?: { readonly halfOpen?: boolean }): number;
  /** Resets the connection while the next message is on the way up, from its middle on. */
  cutNextMessage(): void;
  /** What is sent from now on takes `latency` milliseconds. */
  slow(latency: number): void;
}

export type Event =
  | { readonly type: 'message'; readonly from: Address; readonly text: string[] }
  | { readonly type: 'gone'; readonly from: Address };

/** A socket and all that it has told its owner, in order. */
export class Peer {
  readonly world: World;
  readonly socket: TransportSocket;
  readonly events: Event[];
  /** What it has bound, once it has. */
  endpoint = '';
  readonly #turn: (work: () => void) => void;
  readonly #read: () => void;

  constructor(
    world: World,
    socket: TransportSocket,
    events: Event[],
    turn: (work: () => void) => void,
    startReading: () => void,
  ) {
    this.world = world;
    this.socket = socket;
    this.events = events;
    this.#turn = turn;
    this.#read = startReading;
  }

  /** The messages as text, their frames joined by `|`. */
  get texts(): string[] {
    return this.events.flatMap((event) => (event.type === 'message' ? [event.text.join('|')] : []));
  }

  /** Whose messages came, each address once. */
  get addresses(): Address[] {
    const from = this.events.flatMap((event) => (event.type === 'message' ? [event.from] : []));
    return [...new Set(from)];
  }

  /**
   * Who is gone, in the order of the notices. Those of peers that were not heard before are left
   * out: they say that somebody new has come.
   */
  get gone(): Address[] {
    const heard = new Set<Address>(['']);
    const gone: Address[] = [];
    for (const event of this.events) {
      if (event.type === 'message') heard.add(event.from);
      else if (heard.has(event.from)) gone.push(event.from);
    }
    return gone;
  }

  /** What came of one peer, from its first message on. */
  eventsOf(address: Address): Event[] {
    const own = this.events.filter(({ from }) => from === address);
    return own.slice(own.findIndex(({ type }) => type === 'message'));
  }

  startReading(): void {
    this.#read();
  }

  /** Binds and returns the real endpoint. Rejects as `bind` fails. */
  async bind(endpoint = this.world.endpoint()): Promise<string> {
    let failure: Error | undefined;
    let real: string | undefined;
    this.#turn(() =>
      this.socket.bind(endpoint, (error, bound) => {
        failure = error;
        real = bound;
      }),
    );
    await this.world.until('the answer to a bind', () => real !== undefined);
    if (failure !== undefined) throw failure;
    this.endpoint = real ?? endpoint;
    return this.endpoint;
  }

  connect(endpoint: string): void {
    this.#turn(() => this.socket.connect(endpoint));
  }

  /** Sends one message of these frames; a DEALER's `to` is empty. */
  async send(to: Address, ...frames: (string | Uint8Array)[]): Promise<SendOutcome> {
    const message = frames.map((frame) => (typeof frame === 'string' ? encodeText(frame) : frame));
    return new Promise((resolve) => {
      this.#turn(() => this.socket.send(to, message, resolve));
    });
  }

  /** Sends several messages of one frame, each after the outcome of the one before. */
  async sendAll(to: Address, texts: readonly string[]): Promise<SendOutcome[]> {
    const outcomes: SendOutcome[] = [];
    for (const text of texts) outcomes.push(await this.send(to, text));
    return outcomes;
  }

  close(linger: number): void {
    this.#turn(() => this.socket.close(linger));
  }

  /** Waits until this message has come, and returns whose it is. */
  async hears(text: string): Promise<Address> {
    await this.world.until(`the message ${text}`, () => this.texts.includes(text));
    for (const event of this.events) {
      if (event.type === 'message' && event.text.join('|') === text) return event.from;
    }
    return '';
  }

  /** Waits for the notice that this peer is gone, or for more of them. */
  async misses(address: Address, count = 1): Promise<void> {
    const isGone = (): boolean => this.gone.filter((from) => from === address).length >= count;
    await this.world.until(`${count} notices of ${address}`, isGone);
  }
}

/** What a handler of such a peer keeps of a message. */
export function eventOf(from: Address, frames: Frames): Event {
  return { type: 'message', from, text: frames.map(decodeText) };
}

/** The texts `first`, `first` + 1, … */
export function numbers(count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, index) => String(first + index));
}

/** A ROUTER that has heard a DEALER: over `wire`, if one is asked for. */
export interface Pair {
  readonly router: Peer;
  readonly dealer: Peer;
  /** The DEALER's address. */
  readonly address: Address;
}

/** A ROUTER, bound, and a DEALER that it has heard say `hello`. */
export async function pair(world: World, options: OpenOptions = {}): Promise<Pair> {
  const router = world.open('router', options);
  const endpoint = await router.bind();
  return { router, ...(await join(world, router, endpoint, options)) };
}

/** As `pair`, over a wire that breaks. */
export async function wired(
  world: World,
  options: OpenOptions = {},
): Promise<Pair & { wire: Wire }> {
  const router = world.open('router', options);
  await router.bind();
  const wire = await world.wire(router);
  return { router, wire, ...(await join(world, router, wire.endpoint, options)) };
}

let greetings = 0;

/** One more DEALER that `router` has heard. */
export async function join(
  world: World,
  router: Peer,
  endpoint: string,
  options: OpenOptions = {},
): Promise<{ dealer: Peer; address: Address }> {
  const dealer = world.open('dealer', options);
  dealer.connect(endpoint);
  const greeting = `hello ${greetings++}`;
  await dealer.send('', greeting);
  return { dealer, address: await router.hears(greeting) };
}
