/** Sockets in memory, for tests with more clients than a process has sockets: ROUTER and DEALER, in order. */
import type { Address, Frames } from '../../src/core/machine.ts';
import type { Environment } from '../../src/transport/environment.ts';
import { systemClock } from '../../src/transport/system-clock.ts';
import type {
  SendOutcome,
  SocketHandler,
  SocketKind,
  Transport,
  TransportSocket,
} from '../../src/transport/transport.ts';

/** Where all of them meet. */
export class Loopback implements Transport {
  readonly #routers = new Map<string, Socket>();
  /** What is on its way: it arrives together, a little later. */
  #arriving: (() => void)[] = [];
  #count = 0;

  get environment(): Environment {
    return { transport: this, clock: systemClock, random: Math.random };
  }

  open(_kind: SocketKind, handler: SocketHandler): TransportSocket {
    return new Socket(this, handler, `peer ${this.#count++}`);
  }

  bind(endpoint: string, socket: Socket): void {
    this.#routers.set(endpoint, socket);
  }

  router(endpoint: string): Socket | undefined {
    return this.#routers.get(endpoint);
  }

  later(arrive: () => void): void {
    if (this.#arriving.push(arrive) > 1) return;
    setImmediate(() => {
      const arriving = this.#arriving;
      this.#arriving = [];
      for (const each of arriving) each();
    });
  }
}

class Socket implements TransportSocket {
  readonly address: Address;
  readonly #world: Loopback;
  readonly #handler: SocketHandler;
  readonly #peers = new Map<Address, Socket>();
  #isClosed = false;

  constructor(world: Loopback, handler: SocketHandler, address: Address) {
    this.#world = world;
    this.#handler = handler;
    this.address = address;
  }

  bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void {
    this.#world.bind(endpoint, this);
    this.#world.later(() => done(undefined, endpoint));
  }

  connect(endpoint: string): void {
    const router = this.#world.router(endpoint);
    if (router === undefined) throw new Error(`nobody is at ${endpoint}`);
    this.#peers.set('', router);
    router.#peers.set(this.address, this);
  }

  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    const peer = this.#peers.get(to);
    if (peer === undefined || peer.#isClosed) return done('unroutable');
    // A DEALER has one peer, which has many.
    const from = to === '' ? this.address : '';
    const copies = frames.map((frame) => Uint8Array.from(frame));
    this.#world.later(() => {
      if (!peer.#isClosed) peer.#handler.onMessage(from, copies);
    });
    done('sent');
  }

  close(): void {
    this.#isClosed = true;
    for (const [, peer] of this.#peers) {
      this.#world.later(() => {
        if (!peer.#isClosed && peer.#peers.delete(this.address)) {
          peer.#handler.onPeerGone(this.address);
        }
      });
    }
  }
}
