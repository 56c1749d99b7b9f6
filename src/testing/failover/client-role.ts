/**
 * A client of a simulated pair: it asks one server after the other until it is served, shows the highest
 * epoch that it has seen, and takes no answer under a lower one.
 */
import type { Epoch } from '../../core/election.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { Role } from '../roles.ts';
import type { SimProcess } from '../sim-process.ts';
import { decodeWord, encodeWord, type Word } from './asking.ts';
import { endpointOf, SERVERS, type FailoverStage } from './stage.ts';

/** Milliseconds without an answer after which the other server is asked. */
const PATIENCE = 60;

export class ClientRole implements Role {
  readonly name: string;
  readonly #stage: FailoverStage;
  readonly #pace: number;
  #process!: SimProcess;
  #sockets: TransportSocket[] = [];
  #current = 0;
  #number = 0;
  #answered = 0;
  #waitingSince = 0;
  #highest: Epoch = 0;
  /** Answers that it took, of all of its lives. */
  served = 0;

  constructor(stage: FailoverStage, name: string, pace: number) {
    this.#stage = stage;
    this.name = name;
    this.#pace = pace;
    this.start();
  }

  get process(): SimProcess {
    return this.#process;
  }

  /** For the fault × state matrix. */
  get state(): string {
    return this.#number > this.#answered ? 'asking' : 'idle';
  }

  get isDraining(): boolean {
    return false;
  }

  start(): void {
    const { world, network } = this.#stage;
    const process = world.start(this.name, this.#stage.processOptions());
    this.#process = process;
    this.#highest = 0;
    this.#number = 0;
    this.#answered = 0;
    this.#sockets = SERVERS.map((server, index) => {
      const socket = network.transport(process).open('dealer', {
        onMessage: (_from, frames) => this.#hear(index, decodeWord(frames)),
        onPeerGone: () => this.#goOn(index),
      });
      socket.connect(endpointOf(server, 'clients'));
      return socket;
    });
    this.#keepAsking(process);
  }

  drain(): void {
    this.#process.exit();
  }

  stop(): void {
    this.#process.exit();
  }

  #keepAsking(process: SimProcess): void {
    process.wakeAt(process.now() + this.#pace, () => {
      this.#ask(process);
      this.#keepAsking(process);
    });
  }

  #ask(process: SimProcess): void {
    const isWaiting = this.#number > this.#answered;
    if (isWaiting && process.now() > this.#waitingSince + PATIENCE) this.#goOn(this.#current);
    if (this.#number === this.#answered) this.#waitingSince = process.now();
    const word: Word = {
      type: 'ask',
      number: ++this.#number,
      epoch: this.#highest,
      endpoint: '',
    };
    this.#sockets[this.#current]!.send('', encodeWord(word), () => undefined);
  }

  #goOn(from: number): void {
    if (from !== this.#current) return;
    this.#current = 1 - this.#current;
    this.#answered = this.#number;
  }

  #hear(from: number, { type, number, epoch, endpoint }: Word): void {
    if (epoch < this.#highest && type === 'served') {
      // Of one that does not know yet that it was deposed: it is shown what it does not know.
      this.#stage.count('client.refusedLower');
      return this.#goOn(from);
    }
    this.#highest = Math.max(this.#highest, epoch);
    this.#answered = Math.max(this.#answered, number);
    if (type === 'served') {
      this.served++;
      this.#stage.count('client.served');
      return;
    }
    this.#stage.count(endpoint === '' ? 'client.refused' : 'client.redirected');
    const named = SERVERS.findIndex((server) => endpointOf(server, 'clients') === endpoint);
    if (from === this.#current) this.#current = named < 0 ? 1 - from : named;
  }
}
