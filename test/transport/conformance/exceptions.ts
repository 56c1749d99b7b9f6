/**
 * Where a fact does not apply, and where the simulator differs on purpose: one table each, so that
 * nothing is skipped in silence. A row that names no fact fails the suite.
 */
import { expect } from 'vitest';
import type { SimNetworkSettings } from '../../../src/testing/sim-network.ts';
import { SmallWorld } from '../../testing/small-world.ts';
import type { WorldName } from './world.ts';

export interface Exception {
  /** Facts, by the beginning of their sentence. */
  readonly facts: readonly string[];
  readonly worlds: readonly WorldName[];
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    facts: [
      'resets make gaps',
      'a ROUTER is told of each gap',
      'without notices nobody is told of a reset',
      'an automatic identity is another one',
      'what a ROUTER had sent before a reset',
      'a reset is told to both sides',
      'a message cut in its middle',
      'what a DEALER sends while it is disconnected',
      'while it is disconnected a DEALER',
      'a dead link fills up',
      'a peer that was full when',
      'over a dead link',
      'a link that is dead one way',
      'of a half-open connection',
      'the last message of a closed socket',
      'what arrived at a ROUTER that closes',
      'what is published while a subscriber is cut off',
      'resets leave gaps in what a subscriber gets',
      'what a PUB that connects sends while it is cut off',
    ],
    worlds: ['ipc', 'inproc'],
    reason:
      'a wire is needed that breaks, and inside one machine there is none: ends die, links do not',
  },
  {
    facts: [
      'of what a killed process had sent',
      'of a process that stands still',
      'to a process that stands still',
      'a DEALER is told that its ROUTER was killed',
    ],
    worlds: ['inproc'],
    reason: 'both ends are in one process, and die and stand still together',
  },
  {
    facts: [
      'a DEALER is told that its ROUTER closed',
      'a DEALER finds the successor',
      'the one that was taken over comes back',
      'a publisher that is bound again',
      'a SUB that is bound again',
    ],
    worlds: ['inproc'],
    reason:
      'inproc has neither hiccup notices nor reconnection: who connects stays with what was found',
  },
  {
    facts: ['a DEALER finds no PUB'],
    worlds: ['inproc'],
    reason: 'inproc has no handshake in which one says what kind it is',
  },
  {
    facts: ['a ROUTER is told when a peer comes'],
    worlds: ['inproc'],
    reason:
      'libzmq announces the connections of its engines, and inproc has none; nor does it reconnect',
  },
  {
    facts: ['what the one that was taken over sends'],
    worlds: ['inproc'],
    reason:
      'inproc takes the pipe away from the old peer: its sends are full, though it gets no event',
  },
  {
    facts: ['close without linger drops', 'close with linger drops'],
    worlds: ['inproc'],
    reason: 'an inproc send puts the message into the queue of the reader: nothing is left to drop',
  },
];

/** One thing that the simulator does otherwise than zeromq, and what shows that it still does. */
export interface Difference {
  readonly what: string;
  readonly reason: string;
  readonly shows: () => void;
}

/**
 * Always to the worse: what survives the simulator survives zeromq. Besides, it leaves out what no
 * driver uses: a DEALER that binds or connects twice, a ROUTER that connects, `ipc://` and `inproc://`
 * being other than `tcp://`.
 */
export const DIFFERENCES: readonly Difference[] = [
  {
    what: 'a crash may lose what was already handed to the kernel',
    reason: 'a machine may lose its power too; after SIGKILL alone the kernel sends what it has',
    shows: () => {
      const { small, worker } = start({ latency: 10, lossAtCrash: 1 });
      for (const text of ['1', '2', '3']) worker.say(text);
      small.run(5);
      worker.process.crash();
      expect(small.world.effects.lostInFlight).toBeGreaterThan(0);
    },
  },
  {
    what: 'single messages may vanish on a connection that lives',
    reason:
      'stands for proxies and older peers that drop at their high-water mark; zeromq resets first',
    shows: () => {
      const { small, broker, worker } = start();
      small.network.drop('worker', 'broker', 1);
      for (const text of ['1', '2']) worker.say(text);
      small.run(10);
      expect(broker.received).toEqual(['worker#2: 2']);
    },
  },
  {
    what: 'the last messages of a closed socket may be late on a link that is not slow',
    reason: 'so that ghosts come in most schedules, and not only where a link was made slow',
    shows: () => {
      const { small, broker, worker } = start({ ghostDelay: 500 });
      worker.say('last');
      worker.socket.close(100);
      const successor = small.connect(worker.process);
      successor.say('first');
      small.run(1000);
      expect(broker.received.slice(0, 2)).toEqual(['worker#3: first', 'worker#2: last']);
    },
  },
  {
    what: 'a reset may lose any part of what is on the wire, however short the wire is',
    reason: 'over a real loopback most of it has arrived; a long line loses as much as this',
    shows: () => {
      const { small, worker } = start();
      for (const text of ['1', '2', '3', '4', '5', '6', '7', '8']) worker.say(text);
      small.network.reset('worker', 'broker');
      expect(small.world.effects.lostInFlight).toBeGreaterThan(0);
    },
  },
  {
    what: 'frames are overwritten when the turn that read them is over',
    reason:
      'zeromq leaves them alone, so that a machine which keeps what it borrowed would go unseen',
    shows: () => {
      const { small, worker } = start();
      const kept: Uint8Array[] = [];
      const reader = small.world.start('reader');
      const socket = small.network.transport(reader).open('router', {
        onMessage: (_, frames) => void kept.push(...frames),
        onPeerGone: () => undefined,
      });
      socket.bind('tcp://127.0.0.1:6666', () => undefined);
      const dealer = small.open(worker.process, 'dealer');
      dealer.socket.connect('tcp://127.0.0.1:6666');
      dealer.say('hello');
      small.run(10);
      expect(kept).toEqual([new Uint8Array(5).fill(0xdb)]);
    },
  },
  {
    what: 'buffers are counted in messages, not in bytes',
    reason: 'a high-water mark of two and a window of three make back-pressure in any schedule',
    shows: () => {
      const { small, broker, worker } = start({ highWaterMark: 2, receiveWindow: 3 });
      broker.process.stopReading(100);
      for (let count = 0; count < 6; count++) worker.say('x');
      expect(worker.outcomes).toEqual([...Array(5).fill('sent'), 'full']);
      small.run(200);
      expect(broker.received).toHaveLength(5);
    },
  },
];

function start(settings: Partial<SimNetworkSettings> = {}) {
  const small = new SmallWorld(settings, 3);
  const broker = small.broker();
  const worker = small.worker();
  small.run(50);
  return { small, broker, worker };
}
