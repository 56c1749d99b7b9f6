/**
 * An intruder: it says again what it overheard, speaks for another pair, sends garbage, and shows epochs
 * that nobody can have reached. None of that may refresh, promise or depose anything.
 */
import { encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { PairInput } from '../../failover/commands.ts';
import { pairCodec } from '../../failover/protocol.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { encodeWord } from './asking.ts';
import type { Mischief } from './plan.ts';
import { endpointOf, otherOf, PAIR, SERVERS, WITNESS, type FailoverStage } from './stage.ts';

export const ROGUE = 'rogue';

/** Milliseconds between two pieces of mischief. */
const PACE = 25;

/** Further than anybody is believed to have come. */
const ABSURD = 2 ** 40;

const GARBAGE: readonly Frames[] = [
  [],
  [encodeText('')],
  [encodeText('3')],
  [encodeText('UNSXBS01'), encodeText('{"type":"state"')],
  [encodeText('UNSXBS01'), encodeText('{"type":"state","pair":"pair","role":"primary"}')],
  [encodeText('UNSXBS02'), encodeText('{}')],
  [encodeText('UNSXBS01'), encodeText('{}'), encodeText('{}')],
];

export class RogueRole {
  readonly process: SimProcess;
  readonly #stage: FailoverStage;
  readonly #mischiefs: readonly Mischief[];
  readonly #sockets = new Map<string, TransportSocket>();
  #turn = 0;

  constructor(stage: FailoverStage, mischiefs: readonly Mischief[]) {
    this.#stage = stage;
    this.#mischiefs = mischiefs;
    this.process = stage.world.start(ROGUE, stage.processOptions());
    const endpoints = SERVERS.flatMap((server) => [
      endpointOf(server, 'pair'),
      endpointOf(server, 'clients'),
    ]);
    if (stage.hasWitness) endpoints.push(endpointOf(WITNESS, 'claims'));
    for (const endpoint of endpoints) {
      const socket = stage.network.transport(this.process).open('dealer', {
        onMessage: () => undefined,
        onPeerGone: () => undefined,
      });
      socket.connect(endpoint);
      this.#sockets.set(endpoint, socket);
    }
    this.#pester();
  }

  #pester(): void {
    this.process.wakeAt(this.process.now() + PACE, () => {
      const mischief = this.#mischiefs[this.#turn++ % this.#mischiefs.length]!;
      if (this.#do(mischief)) this.#stage.count(`rogue.${mischief}`);
      this.#pester();
    });
  }

  #do(mischief: Mischief): boolean {
    if (mischief === 'implausible') return this.#showAbsurd();
    // A stock pair has no place where anybody could be heard.
    if (this.#stage.isStock) return false;
    if (mischief === 'garbage') return this.#sendGarbage();
    const { overheardWords, world } = this.#stage;
    const word = overheardWords[Math.floor(world.random() * overheardWords.length)];
    if (word === undefined) return false;
    const { to, by, command } = word;
    const target =
      to === 'witness' ? endpointOf(WITNESS, 'claims') : endpointOf(otherOf(by), 'pair');
    if (mischief === 'replay') return this.#say(target, command);
    if (mischief === 'otherPair') return this.#say(target, later(command, 'other'));
    // To its own speaker, as if that had a double.
    return this.#say(endpointOf(by, 'pair'), later(command));
  }

  #sendGarbage(): true {
    const frames = GARBAGE[this.#turn % GARBAGE.length]!;
    for (const [endpoint, socket] of this.#sockets) {
      if (!this.#isForClients(endpoint)) socket.send('', frames, () => undefined);
    }
    return true;
  }

  #isForClients(endpoint: string): boolean {
    return SERVERS.some((server) => endpoint === endpointOf(server, 'clients'));
  }

  #showAbsurd(): true {
    for (const index of [0, 1]) {
      const frames = encodeWord({ type: 'ask', number: 0, epoch: ABSURD, endpoint: '' });
      this.#clientsOf(index).send('', frames, () => undefined);
    }
    return true;
  }

  #clientsOf(index: number): TransportSocket {
    return this.#sockets.get(endpointOf(SERVERS[index]!, 'clients'))!;
  }

  #say(endpoint: string, command: PairInput): true {
    const { frames } = pairCodec.encode('peer', command, undefined);
    this.#sockets.get(endpoint)!.send('', frames, () => undefined);
    return true;
  }
}

/** As if it had been said long after. */
function later(command: PairInput, pair = PAIR): PairInput {
  return command.type === 'stockState' ? command : { ...command, pair, life: command.life + 100 };
}
