/**
 * A worker that speaks the wire and keeps no rule: double, late and forged replies, stolen tags, second
 * READYs, garbage, silence. Whatever it does may cost its own requests their reply, and nobody else's.
 * One that is honest all the time is a stock worker: a REQ socket that asks, answers, and knows no more.
 */
import { encodeText, fromAddress, keepFrames } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { DispatchCommand, WorkerOutput } from '../../pirate/commands.ts';
import { workerCodec } from '../../pirate/protocol.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { decodeWork, replyTo } from '../work.ts';
import type { Mischief, PlannedRogue } from './plan.ts';
import { backendOf, type PirateStage } from './stage.ts';
import { tagOf } from './workers-checker.ts';

export const ROGUE = 'rogue';

/** What no honest worker replies. */
const FORGED = [encodeText('forged')];

/** Milliseconds between two heartbeats, which it sends whatever it does. */
const PACE = 50;

/** Milliseconds by which a late answer is late: longer than most may take. */
const LATE = 320;

/** How often, at each pace, it begins anew on a fresh socket. */
const ANEW = 0.08;

export class RogueRole {
  readonly process: SimProcess;
  readonly #stage: PirateStage;
  readonly #queue: string;
  readonly #mischiefs: readonly Mischief[];
  #socket: TransportSocket;
  #turn = 0;

  constructor(stage: PirateStage, { mischiefs }: PlannedRogue, queue: string) {
    this.#stage = stage;
    this.#queue = queue;
    this.#mischiefs = mischiefs;
    this.process = stage.world.start(ROGUE, stage.processOptions());
    this.#socket = this.#connect();
    this.#pester();
  }

  /** A fresh socket that says READY. */
  #connect(): TransportSocket {
    const { network, plan } = this.#stage;
    const codec = workerCodec(plan.protocol);
    const socket = network.transport(this.process).open('dealer', {
      onMessage: (_from, frames) => {
        codec.decode('queue', frames, (command) => {
          if (command.type === 'dispatch') this.#answer(command);
        });
      },
      onPeerGone: () => undefined,
    });
    socket.connect(backendOf(this.#queue));
    this.#socket = socket;
    this.#say({ type: 'ready' });
    return socket;
  }

  #answer(dispatch: DispatchCommand): void {
    const work = decodeWork(dispatch.body);
    if (work === undefined) return;
    const stack = keepFrames(dispatch.stack ?? []);
    const honest = (): void => {
      const body = replyTo(work, ROGUE, this.#stage.execute(ROGUE, work.id));
      this.#say({ type: 'result', stack, body });
    };
    const mischief = this.#mischiefs[this.#turn++ % this.#mischiefs.length]!;
    this.#stage.count(`rogue.${mischief}`);
    switch (mischief) {
      case 'honest':
        return honest();
      case 'double':
        honest();
        return honest();
      case 'forge':
        this.#forge(stack);
        return honest();
      case 'garbage':
        return this.#sendGarbage(stack);
      case 'late':
        return this.#later(LATE, () => {
          this.#forge(stack);
          this.#later(PACE, honest);
        });
      case 'readyAgain':
        this.#say({ type: 'ready' });
        return this.#later(PACE, honest);
      case 'steal':
        this.#steal(stack);
        return honest();
      case 'silent':
    }
  }

  /** Unless it has another socket by then. */
  #later(delay: number, act: () => void): void {
    const socket = this.#socket;
    this.process.wakeAt(this.process.now() + delay, () => {
      if (this.#socket === socket) act();
    });
  }

  /** Stacks that it was not given: clients themselves, none, too many, and tags close to its own. */
  #forge(stack: Frames): void {
    for (const { address, dealer } of this.#stage.network.connections) {
      if (dealer.process.name.startsWith('client')) this.#result([fromAddress(address)]);
    }
    this.#result([]);
    this.#result([...stack, ...stack]);
    const tag = stack[0]!;
    for (const [index, step] of [
      [tag.length - 1, 1],
      [tag.length - 1, 255],
      [0, 1],
    ] as const) {
      const forged = tag.slice();
      forged[index] = (forged[index]! + step) & 255;
      this.#result([forged]);
    }
  }

  /** Answers what others were given. */
  #steal(stack: Frames): void {
    for (const tag of this.#stage.tags) {
      if (tag !== tagOf(stack)) this.#result([fromAddress(tag)]);
    }
  }

  #sendGarbage(stack: Frames): void {
    const empty = new Uint8Array(0);
    this.#send([...stack]);
    this.#send([...stack, empty]);
    this.#send([Uint8Array.of(9)]);
    this.#send([empty, Uint8Array.of(1, 1)]);
    this.#send([empty]);
  }

  /** Heartbeats all the while, whatever it does; a stock worker of Simple Pirate knows of none. */
  #pester(): void {
    const { process } = this;
    const { world, plan } = this.#stage;
    process.wakeAt(process.now() + PACE, () => {
      if (plan.protocol === 'paranoid') this.#say({ type: 'heartbeat' });
      if (world.random() < ANEW) {
        this.#socket.close(0);
        this.#connect();
      }
      this.#pester();
    });
  }

  #result(stack: Frames): void {
    this.#say({ type: 'result', stack, body: FORGED });
  }

  #say(command: WorkerOutput): void {
    const { frames } = workerCodec(this.#stage.plan.protocol).encode('queue', command, undefined);
    this.#send(frames);
  }

  #send(frames: Frames): void {
    this.#socket.send('', frames, () => undefined);
  }
}
