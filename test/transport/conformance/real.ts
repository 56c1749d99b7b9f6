/** Real zeromq sockets as a world of the conformance suite, with a chaos proxy for a wire. */
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { Dealer, Router, Subscriber } from 'zeromq';
import { ChaosProxy } from '../../../src/testing/chaos-proxy.ts';
import { fromAddress, toAddress } from '../../../src/core/frames.ts';
import type {
  SendOutcome,
  SocketHandler,
  SocketKind,
  TransportSocket,
} from '../../../src/transport/transport.ts';
import type { Address, Frames } from '../../../src/core/machine.ts';
import { zeromqTransport } from '../../../src/transport/zeromq.ts';
import { freshFolder, removeFolder, run, type Child as RealChild } from '../processes.ts';
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

/** Real milliseconds, generous for busy machines. */
const DEADLINE = 15_000;

export class RealWorld implements World {
  readonly name: 'tcp' | 'ipc' | 'inproc';
  readonly #sockets: TransportSocket[] = [];
  readonly #proxies: ChaosProxy[] = [];
  readonly #children: RealChild[] = [];
  readonly #folders: string[] = [];

  constructor(name: 'tcp' | 'ipc' | 'inproc') {
    this.name = name;
  }

  endpoint(): string {
    if (this.name === 'tcp') return 'tcp://127.0.0.1:*';
    if (this.name === 'inproc') return `inproc://conformance-${Math.random()}`;
    const folder = freshFolder();
    this.#folders.push(folder);
    return `ipc://${join(folder, 'socket')}`;
  }

  async vacantEndpoint(): Promise<string> {
    if (this.name !== 'tcp') return this.endpoint();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    if (address === null || typeof address === 'string') throw new Error('no port was given');
    return `tcp://127.0.0.1:${address.port}`;
  }

  open(kind: SocketKind, options: OpenOptions = {}): Peer {
    const events: Event[] = [];
    const handler: SocketHandler = {
      onMessage: (from, frames) => void events.push(eventOf(from, frames)),
      onPeerGone: (from) => void events.push({ type: 'gone', from }),
    };
    const { identity = 'own', reads = true, highWaterMark, notices = true } = options;
    // A PUB has no reader.
    const isOurs = (identity === 'own' && reads) || kind === 'pub';
    const raw = isOurs ? undefined : new RawSocket(kind, handler, options);
    const mark = highWaterMark === undefined ? {} : { sendHighWaterMark: highWaterMark };
    const socket = raw ?? zeromqTransport({ notices, ...mark }).open(kind, handler);
    this.#sockets.push(socket);
    return new Peer(
      this,
      socket,
      events,
      (work) => work(),
      () => raw?.startReading(),
    );
  }

  talker(endpoint: string): Child {
    return controlsOf(this.#run(TALKER, endpoint));
  }

  stumbler(router: Peer): void {
    this.#run(STUMBLER, router.endpoint);
  }

  async listener(): Promise<Listener> {
    const child = this.#run(LISTENER, this.endpoint());
    return { endpoint: await child.line(), ...controlsOf(child) };
  }

  block(_router: Peer, duration: number): void {
    const end = performance.now() + duration;
    while (performance.now() < end);
  }

  async wire(router: Peer): Promise<Wire> {
    const proxy = await ChaosProxy.open({ port: Number(router.endpoint.split(':').at(-1)) });
    this.#proxies.push(proxy);
    return new RealWire(proxy);
  }

  now(): number {
    return performance.now();
  }

  until(what: string, condition: () => boolean): Promise<void> {
    return this.untilAsync(what, async () => condition());
  }

  async untilAsync(what: string, attempt: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + DEADLINE;
    while (!(await attempt())) {
      if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
      await delay(1);
    }
  }

  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.close(0);
    for (const proxy of this.#proxies) await proxy.close();
    for (const child of this.#children) await child.kill();
    for (const folder of this.#folders) removeFolder(folder);
  }

  #run(source: string, endpoint: string): RealChild {
    const child = run(source, [endpoint]);
    this.#children.push(child);
    return child;
  }
}

function controlsOf(child: RealChild): Child {
  return {
    crash: () => child.kill(),
    pause: () => void child.process.kill('SIGSTOP'),
    resume: () => void child.process.kill('SIGCONT'),
  };
}

/** Fills the pipe as fast as it can, so that a kill finds it with messages at every stage. */
const TALKER = `
  import { Dealer } from 'zeromq';
  const dealer = new Dealer();
  dealer.connect(process.argv[1]);
  for (let said = 0; ; said++) await dealer.send(String(said));
`;

/** The link and what resets it are in the talker's process, so that they go on while we are blocked. */
const STUMBLER = `
  import { connect, createServer } from 'node:net';
  import { Dealer } from 'zeromq';
  const [nears, fars] = [new Set(), new Set()];
  const keep = (ends, end) => ends.add(end.on('error', () => {}).on('close', () => ends.delete(end)));
  const server = createServer((near) => {
    const far = connect(Number(process.argv[1].split(':').at(-1)), '127.0.0.1');
    near.pipe(far).pipe(near);
    keep(nears, near);
    keep(fars, far);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const reset = (ends) => ends.forEach((end) => end.resetAndDestroy());
  let isHalf = false;
  setInterval(() => {
    isHalf = !isHalf;
    reset(nears);
    if (!isHalf) reset(fars);
  }, 40);
  const dealer = new Dealer({ routingId: 'stumbler', reconnectInterval: 1 });
  dealer.connect('tcp://127.0.0.1:' + server.address().port);
  for (let said = 0; ; said++) {
    await dealer.send(String(said));
    if (said % 10 === 0) await new Promise((later) => setTimeout(later, 1));
  }
`;

const LISTENER = `
  import { Router } from 'zeromq';
  const router = new Router();
  router.bindSync(process.argv[1]);
  console.log(router.lastEndpoint);
  for await (const [from] of router) await router.send([from, 'welcome']);
`;

class RealWire implements Wire {
  readonly endpoint: string;
  readonly #proxy: ChaosProxy;

  constructor(proxy: ChaosProxy) {
    this.#proxy = proxy;
    this.endpoint = `tcp://127.0.0.1:${proxy.port}`;
  }

  hold(direction: 'up' | 'down' | 'both' = 'both'): void {
    this.#proxy.pause(direction);
  }

  release(): void {
    this.#proxy.resume();
  }

  holdsSomething(): boolean {
    return this.#proxy.heldBytes > 0;
  }

  reset(options: { readonly halfOpen?: boolean } = {}): number {
    return this.#proxy.reset({ side: options.halfOpen === true ? 'client' : 'both' });
  }

  cutNextMessage(): void {
    this.#proxy.cutAfter(1000, 'up');
  }

  slow(latency: number): void {
    this.#proxy.shape({ latency }, 'up');
  }
}

function rawSocket(kind: SocketKind): Dealer | Router | Subscriber {
  if (kind === 'router') return new Router();
  return kind === 'dealer' ? new Dealer() : new Subscriber();
}

/** A peer that is not ours: routing ids that clash or change, and readers that do not read. */
class RawSocket implements TransportSocket {
  readonly #socket: Dealer | Router | Subscriber;
  readonly #handler: SocketHandler;
  #isClosed = false;

  constructor(kind: SocketKind, handler: SocketHandler, options: OpenOptions) {
    const { identity, highWaterMark } = options;
    this.#handler = handler;
    this.#socket = rawSocket(kind);
    this.#socket.linger = 0;
    this.#socket.reconnectInterval = 10;
    if (this.#socket instanceof Subscriber) this.#socket.subscribe();
    else this.#socket.sendTimeout = 0;
    if (this.#socket instanceof Router) this.#socket.handover = true;
    else if (this.#socket instanceof Dealer && typeof identity === 'object') {
      this.#socket.routingId = identity.routingId;
    }
    if (highWaterMark !== undefined) {
      this.#socket.receiveHighWaterMark = highWaterMark;
      if (!(this.#socket instanceof Subscriber)) this.#socket.sendHighWaterMark = highWaterMark;
    }
    if (options.reads !== false) this.startReading();
  }

  startReading(): void {
    void this.#receiveLoop();
  }

  bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void {
    this.#socket.bindSync(endpoint);
    queueMicrotask(() => done(undefined, this.#socket.lastEndpoint ?? endpoint));
  }

  connect(endpoint: string): void {
    this.#socket.connect(endpoint);
    // Connecting can swallow the signal that a message has come; this looks again.
    if (!(this.#socket instanceof Subscriber)) void this.#socket.send([]);
  }

  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    void this.#send(to, frames, done);
  }

  close(linger: number): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.linger = linger;
    this.#socket.close();
  }

  async #send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): Promise<void> {
    if (this.#socket instanceof Subscriber) return done('unroutable');
    const message = this.#socket instanceof Router ? [fromAddress(to), ...frames] : [...frames];
    let outcome: SendOutcome = 'sent';
    try {
      await this.#socket.send(message);
    } catch {
      outcome = this.#isClosed ? 'closed' : 'full';
    }
    done(outcome);
  }

  async #receiveLoop(): Promise<void> {
    while (!this.#isClosed) {
      const frames = await this.#socket.receive().catch(() => undefined);
      if (frames === undefined || this.#isClosed) return;
      const routingId = this.#socket instanceof Router ? frames.shift() : undefined;
      this.#handler.onMessage(routingId === undefined ? '' : toAddress(routingId), frames);
    }
  }
}
