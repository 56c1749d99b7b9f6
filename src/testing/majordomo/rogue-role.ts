/**
 * A worker that speaks the wire and keeps no rule: double and forged replies, second READYs, stolen
 * dispatch tags, reserved names, garbage. Whatever it does may cost its own requests their reply, and
 * nobody else's.
 */
import { encodeText, fromAddress } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { WorkerInput, WorkerOutput } from '../../majordomo/commands.ts';
import { encode, workerCodec } from '../../majordomo/protocol.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { BROKER_ENDPOINT } from './broker-role.ts';
import { SERVICES, type Mischief } from './plan.ts';
import type { Stage } from './stage.ts';
import { decodeWork, wholeReplyTo, type Work } from './work.ts';

/** What no honest worker replies. */
const FORGED = [encodeText('forged')];

/** Milliseconds between two pieces of junk. */
const PACE = 60;

export class RogueRole {
  readonly process: SimProcess;
  readonly #stage: Stage;
  readonly #service: string;
  readonly #mischiefs: readonly Mischief[];
  #socket: TransportSocket;
  #turn = 0;

  constructor(stage: Stage, service: number, mischiefs: readonly Mischief[]) {
    this.#stage = stage;
    this.#service = SERVICES[service]!;
    this.#mischiefs = mischiefs;
    this.process = stage.world.start('rogue', stage.processOptions());
    this.#socket = this.#connect(this.#service);
    this.#pester();
  }

  /** A fresh socket that registers for `service`. */
  #connect(service: string): TransportSocket {
    const { network } = this.#stage;
    const socket = network.transport(this.process).open('dealer', {
      onMessage: (_from, frames) => {
        workerCodec.decode('broker', frames, (command) => this.#handle(command));
      },
      onPeerGone: () => undefined,
    });
    socket.connect(BROKER_ENDPOINT);
    this.#socket = socket;
    this.#say({ type: 'ready', dialect: 'mdp0.2', service });
    return socket;
  }

  #handle(command: WorkerInput): void {
    const { type } = command;
    if (type === 'disconnect') {
      this.#socket.close(0);
      this.#connect(this.#service);
    } else if (type === 'dispatch') {
      const work = decodeWork(command.body);
      if (work !== undefined) this.#answer(command.envelope, work);
    }
  }

  #answer(envelope: Frames, work: Work): void {
    const mischief = this.#next();
    this.#stage.count(`rogue.${mischief}`);
    const honest = {
      type: 'result',
      dialect: 'mdp0.2',
      envelope,
      body: wholeReplyTo(work),
      final: true,
    } as const;
    switch (mischief) {
      case 'double':
        this.#say(honest);
        return this.#say(honest);
      case 'forge':
        for (const { address, dealer } of this.#stage.network.connections) {
          if (!dealer.process.name.startsWith('client')) continue;
          this.#say({ ...honest, envelope: [fromAddress(address)], body: FORGED });
        }
        this.#say({ ...honest, envelope: [...envelope, ...envelope], body: FORGED });
        return this.#say(honest);
      case 'steal':
        for (const tag of this.#stage.tags) {
          const stolen = fromAddress(tag);
          if (Buffer.compare(stolen, envelope[0]!) === 0) continue;
          this.#say({ ...honest, envelope: [stolen], body: FORGED });
        }
        return this.#say(honest);
      case 'readyAgain':
        return this.#say({ type: 'ready', dialect: 'mdp0.2', service: this.#service });
      case 'garbage':
        this.#send([encodeText('MDPW02'), Uint8Array.of(4), envelope[0]!]);
        return this.#send([encodeText('MDPW02'), Uint8Array.of(99)]);
      case 'silent':
    }
  }

  /** Junk at a steady pace, with heartbeats so that the session goes on. */
  #pester(): void {
    const { process } = this;
    process.wakeAt(process.now() + PACE, () => {
      this.#say({ type: 'heartbeat', dialect: 'mdp0.2' });
      const { random } = this.#stage.world;
      const junk = Array.from({ length: Math.floor(random() * 4) }, () =>
        Uint8Array.from({ length: Math.floor(random() * 8) }, () => Math.floor(random() * 256)),
      );
      if (this.#next() === 'garbage') this.#send([encodeText('MDPC01'), ...junk]);
      if (random() < 0.05) this.#connect('mmi.service');
      this.#pester();
    });
  }

  #next(): Mischief {
    return this.#mischiefs[this.#turn++ % this.#mischiefs.length]!;
  }

  #say(command: WorkerOutput): void {
    this.#send(encode(command).frames);
  }

  #send(frames: Frames): void {
    this.#socket.send('', frames, () => undefined);
  }
}
