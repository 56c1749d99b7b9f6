/**
 * A worker that speaks the wire and keeps no rule: double and forged replies, second READYs, stolen
 * dispatches, answers to what it gave up, reserved names, garbage. Whatever it does may cost its own
 * requests their reply, and nobody else's.
 */
import { encodeText, fromAddress, keepFrames } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { DispatchCommand, WorkerInput, WorkerOutput } from '../../majordomo/wire/commands.ts';
import { encode, workerCodec } from '../../majordomo/wire/protocol.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { BROKER_ENDPOINT, SERVICES, type Mischief, type PlannedRogue } from './plan.ts';
import type { MajordomoStage } from './stage.ts';
import { decodeWork, wholeReplyTo } from './work.ts';

/** What no honest worker replies. */
const FORGED = [encodeText('forged')];

/** Milliseconds between two pieces of junk. */
const PACE = 60;

/** Which dispatch a result is for: the tag of stock MDP, or the number of express. */
type Target = Pick<DispatchCommand, 'envelope' | 'number'>;

export class RogueRole {
  readonly process: SimProcess;
  readonly #stage: MajordomoStage;
  readonly #service: string;
  readonly #mischiefs: readonly Mischief[];
  readonly #dialect: 'mdp0.2' | 'express';
  #socket: TransportSocket;
  #session = '';
  #beats = 0;
  #heardBeat = 0;
  /** What it keeps for itself, and says so. */
  #kept: number[] = [];
  /** What it was given before, answered or not. */
  #former: (() => void) | undefined;
  #turn = 0;

  constructor(stage: MajordomoStage, { service, mischiefs, express }: PlannedRogue) {
    this.#stage = stage;
    this.#service = SERVICES[service]!;
    this.#mischiefs = mischiefs;
    this.#dialect = express ? 'express' : 'mdp0.2';
    this.process = stage.world.start('rogue', stage.processOptions());
    this.#socket = this.#connect(this.#service);
    this.#pester();
  }

  /** A fresh socket that registers for `service`. */
  #connect(service: string): TransportSocket {
    const { network } = this.#stage;
    const socket = network.transport(this.process).open('dealer', {
      onMessage: (_from, frames) => {
        const port = this.#dialect === 'express' ? 'express' : 'stock-0';
        workerCodec.decode(port, frames, (command) => this.#handle(command));
      },
      onPeerGone: () => undefined,
    });
    socket.connect(BROKER_ENDPOINT);
    this.#socket = socket;
    this.#former = undefined;
    this.#sayReady(service, true);
    return socket;
  }

  /** @param anew in express: as another session */
  #sayReady(service: string, anew: boolean): void {
    const { random } = this.#stage.world;
    if (this.#dialect !== 'express') {
      return this.#say({ type: 'ready', dialect: this.#dialect, service });
    }
    if (anew) {
      this.#session = String.fromCharCode(
        ...Array.from({ length: 16 }, () => Math.floor(random() * 256)),
      );
      this.#beats = 0;
      this.#heardBeat = 0;
      this.#kept = [];
    }
    this.#say({
      type: 'ready',
      dialect: 'express',
      service,
      session: this.#session,
      credit: 2,
      heartbeatInterval: 50,
      heartbeatLiveness: 2,
      held: this.#kept,
    });
  }

  #handle(command: WorkerInput): void {
    switch (command.type) {
      case 'disconnect':
        this.#socket.close(0);
        this.#connect(this.#service);
        return;
      case 'heartbeat':
        this.#heardBeat = command.beat ?? 0;
        return;
      case 'dispatch':
        return this.#answer(command);
      default:
    }
  }

  #answer(dispatch: DispatchCommand): void {
    const work = decodeWork(dispatch.body);
    if (work === undefined) return;
    const mischief = this.#next();
    this.#stage.count(`rogue.${mischief}`);
    const { number } = dispatch;
    const target = { envelope: keepFrames(dispatch.envelope), number };
    const honest = (): void => this.#result(target, wholeReplyTo(work));
    const former = this.#former;
    this.#former = honest;
    switch (mischief) {
      case 'double':
        honest();
        return honest();
      case 'forge':
        this.#forge(dispatch);
        return honest();
      case 'steal':
        this.#steal(dispatch);
        return honest();
      case 'readyAgain':
        return this.#sayReady(this.#service, this.#stage.world.random() < 0.5);
      case 'garbage':
        return this.#sendGarbage(dispatch);
      case 'silent':
        if (number !== undefined) this.#kept.push(number);
        return;
      case 'late':
        // It denies that it has the request, and then answers it all the same.
        former?.();
        this.#beat();
        this.#later(() => {
          this.#beat();
          this.#later(honest);
        });
    }
  }

  /** Unless it has another session by then. */
  #later(act: () => void): void {
    const socket = this.#socket;
    this.process.wakeAt(this.process.now() + PACE, () => {
      if (this.#socket === socket) act();
    });
  }

  #forge({ envelope, number = 0 }: Target): void {
    if (this.#dialect === 'express') {
      for (const step of [1000, 5000]) this.#result({ envelope, number: number + step }, FORGED);
      return;
    }
    for (const { address, dealer } of this.#stage.network.connections) {
      if (!dealer.process.name.startsWith('client')) continue;
      this.#result({ envelope: [fromAddress(address)] }, FORGED);
    }
    this.#result({ envelope: [...envelope, ...envelope] }, FORGED);
  }

  #steal({ envelope, number }: Target): void {
    if (this.#dialect === 'express') {
      for (const stolen of this.#stage.numbers) {
        if (stolen !== number) this.#result({ envelope: [], number: stolen }, FORGED);
      }
      return;
    }
    for (const tag of this.#stage.tags) {
      const stolen = fromAddress(tag);
      if (Buffer.compare(stolen, envelope[0]!) === 0) continue;
      this.#result({ envelope: [stolen] }, FORGED);
    }
  }

  #sendGarbage({ envelope }: Target): void {
    if (this.#dialect === 'express') {
      const [header] = encode({ type: 'heartbeat', dialect: 'express' }).frames;
      this.#send([header!.subarray(0, -1)]);
      return this.#send([new Uint8Array([...header!, 99, 1, 2])]);
    }
    this.#send([encodeText('MDPW02'), Uint8Array.of(4), envelope[0]!]);
    return this.#send([encodeText('MDPW02'), Uint8Array.of(99)]);
  }

  /** Junk at a steady pace, with heartbeats so that the session goes on. */
  #pester(): void {
    const { process } = this;
    process.wakeAt(process.now() + PACE, () => {
      this.#beat();
      const { random } = this.#stage.world;
      const junk = Array.from({ length: Math.floor(random() * 4) }, () =>
        Uint8Array.from({ length: Math.floor(random() * 8) }, () => Math.floor(random() * 256)),
      );
      if (this.#next() === 'garbage') this.#send([encodeText('MDPC01'), ...junk]);
      if (random() < 0.05) this.#connect('mmi.service');
      this.#pester();
    });
  }

  #beat(): void {
    this.#beats++;
    this.#say({
      type: 'heartbeat',
      dialect: this.#dialect,
      beat: this.#beats,
      echo: this.#heardBeat,
      held: this.#kept,
    });
  }

  #result({ envelope, number }: Target, body: Frames): void {
    const { random } = this.#stage.world;
    const dialect = this.#dialect;
    const sequence = random() < 0.9 ? 0 : 1;
    this.#say({ type: 'result', dialect, envelope, number, body, final: true, sequence });
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
