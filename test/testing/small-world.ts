/** A world with one network and sockets that remember what they received: what these tests share. */
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Address, Frames } from '../../src/core/machine.ts';
import { seededRandom } from '../../src/core/random.ts';
import {
  SimNetwork,
  type SimNetworkSettings,
  type SimTransportOptions,
} from '../../src/testing/sim-network.ts';
import type { SimProcess } from '../../src/testing/sim-process.ts';
import { SimWorld } from '../../src/testing/sim-world.ts';
import { Transcript } from '../../src/testing/transcript.ts';
import type { SendOutcome, TransportSocket } from '../../src/transport/transport.ts';

export interface Peer {
  readonly process: SimProcess;
  readonly socket: TransportSocket;
  /**
   * Each message as `from: text`, for a DEALER as `text`; each notice as `gone` after it, but for the
   * first one that a ROUTER has of an address: that only says that somebody new has come.
   */
  readonly received: string[];
  /** Addresses in the order in which they were first seen. */
  readonly addresses: Address[];
  readonly outcomes: SendOutcome[];
  say(text: string, to?: Address): void;
}

export const ENDPOINT = 'tcp://127.0.0.1:5555';

/** No chance but the one a test asks for: latency 1, no jitter. */
export class SmallWorld {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  readonly transcript = new Transcript();

  constructor(settings: Partial<SimNetworkSettings> = {}, seed = 1) {
    this.world = new SimWorld({ random: seededRandom(seed), transcript: this.transcript });
    this.network = new SimNetwork(this.world, { latency: 1, jitter: 0, ...settings });
  }

  broker(name = 'broker', options: SimTransportOptions = {}): Peer {
    const process = this.world.start(name);
    const peer = this.open(process, 'router', options);
    peer.socket.bind(ENDPOINT, (error) => {
      if (error !== undefined) throw error;
    });
    return peer;
  }

  worker(name = 'worker', options: SimTransportOptions = {}): Peer {
    return this.connect(this.world.start(name), options);
  }

  /** One more DEALER of a process, connected to the broker. */
  connect(process: SimProcess, options: SimTransportOptions = {}): Peer {
    const peer = this.open(process, 'dealer', options);
    peer.socket.connect(ENDPOINT);
    return peer;
  }

  open(process: SimProcess, kind: 'router' | 'dealer', options: SimTransportOptions = {}): Peer {
    const received: string[] = [];
    const addresses: Address[] = [];
    const outcomes: SendOutcome[] = [];
    const known = new Set<Address>(kind === 'dealer' ? [''] : []);
    const socket = this.network.transport(process, options).open(kind, {
      onMessage: (from, frames) => {
        if (!addresses.includes(from)) addresses.push(from);
        received.push(prefix(from) + textOf(frames));
      },
      onPeerGone: (from) => {
        if (known.has(from)) received.push(`${prefix(from)}gone`);
        known.add(from);
      },
    });
    const say = (text: string, to: Address = ''): void =>
      process.run(() =>
        socket.send(to, [encodeText(text)], (outcome) => void outcomes.push(outcome)),
      );
    return { process, socket, received, addresses, outcomes, say };
  }

  run(duration: number): void {
    this.world.run(this.world.now + duration);
  }
}

function prefix(from: Address): string {
  return from === '' ? '' : `${from}: `;
}

export function textOf(frames: Frames): string {
  return frames.map(decodeText).join('|');
}
