/**
 * Somebody who speaks to the publisher twice at a time and keeps no rule: noise, questions without end, and
 * never an ear.
 */
import { encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import { kvSubscriberCodec } from '../../clone/replay/kv-codec.ts';
import { streamSubscriberCodec } from '../../clone/replay/stream-codec.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { ROGUE_WINDOW } from './publisher-checker.ts';
import { PUBLISHER, REPLAY, type ReplayStage } from './stage.ts';

const PACE = 30;

export class RogueRole {
  readonly process: SimProcess;
  readonly #stage: ReplayStage;
  readonly #sockets: readonly TransportSocket[];
  #said = 0;

  constructor(stage: ReplayStage) {
    this.#stage = stage;
    this.process = stage.world.start('rogue', stage.processOptions());
    this.process.stopReading(Infinity);
    this.#sockets = [0, 1].map(() => {
      const socket = stage.network.transport(this.process).open('dealer', {
        onMessage: () => undefined,
        onPeerGone: () => undefined,
      });
      socket.connect(stage.isStream ? PUBLISHER : REPLAY);
      return socket;
    });
    this.#goOn();
  }

  #goOn(): void {
    this.process.wakeAt(this.process.now() + PACE, () => {
      this.#sockets[this.#said % 2]!.send('', this.#next(), () => undefined);
      this.#goOn();
    });
  }

  #next(): Frames {
    const number = this.#said++;
    const { random } = this.#stage.world;
    if (number % 3 === 0) return [encodeText('noise'), new Uint8Array([255 * random()])];
    if (number % 3 === 1 || !this.#stage.isStream) return this.#ask(number);
    const received = Math.floor(1000 * random());
    return streamSubscriberCodec.encode(
      'server',
      { type: 'progress', stream: number, received, sequence: number, epoch: 0 },
      undefined,
    ).frames;
  }

  #ask(number: number): Frames {
    const from = Math.floor(40 * this.#stage.world.random());
    if (!this.#stage.isStream) {
      return kvSubscriberCodec.encode('replay', { type: 'ask', from }, undefined).frames;
    }
    return streamSubscriberCodec.encode(
      'server',
      {
        type: 'follow',
        stream: number,
        subtree: number % 2 === 0 ? '' : 'prices/',
        position: { epoch: 0, sequence: from },
        window: ROGUE_WINDOW,
        epoch: 0,
        isBackup: number % 4 === 0,
        writer: 'rogue-00',
        heartbeatInterval: 20,
        heartbeatLiveness: 2,
      },
      undefined,
    ).frames;
  }
}
