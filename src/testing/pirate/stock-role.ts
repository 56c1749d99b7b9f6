/**
 * A client that is none of ours: it writes address stacks of every kind, or none. What it gets back must
 * carry the very stack that it wrote, with the reply to what it asked.
 */
import { decodeFailure } from '../../core/error-body.ts';
import { EMPTY_FRAME, encodeText, toAddress } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { decodeAnswer, encodeWork } from '../work.ts';
import { frontendOf, type PirateStage } from './stage.ts';

/** Bytes that some of its requests have, and their replies. */
const LARGE = 1000;

/** It reads nothing for so many milliseconds, and how many requests lie between. */
const DEAF = 500;
const DEAF_EVERY = 12;

export class StockRole {
  readonly process: SimProcess;
  readonly #stage: PirateStage;
  readonly #pace: number;
  readonly #socket: TransportSocket;
  #asked = 0;

  constructor(stage: PirateStage, queue: string, pace: number) {
    this.#stage = stage;
    this.#pace = pace;
    this.process = stage.world.start('stock', stage.processOptions());
    this.#socket = stage.network.transport(this.process).open('dealer', {
      onMessage: (_from, frames) => this.#check(frames),
      onPeerGone: () => undefined,
    });
    this.#socket.connect(frontendOf(queue));
  }

  /** Asks again and again, until the run is healed. */
  start(): void {
    this.process.wakeAt(this.process.now() + this.#pace, () => {
      if (this.#stage.isHealed) return;
      this.#ask();
      this.start();
    });
  }

  #ask(): void {
    const number = this.#asked++;
    const size = number % 3 === 0 ? LARGE : 0;
    const work = { id: `stock.${number}`, behaviour: 'echo', duration: 5, size };
    if (number % DEAF_EVERY === 5) this.process.stopReading(DEAF);
    this.#socket.send('', [...frontOf(number), ...encodeWork(work)], () => undefined);
    // No body, and no way to tell: it gets no answer.
    if (number % 8 === 7) this.#socket.send('', [encodeText('x'), EMPTY_FRAME], () => undefined);
  }

  #check(frames: Frames): void {
    const end = frames.findIndex(({ length }) => length === 0);
    const body = frames.slice(end + 1);
    const front = frames
      .slice(0, end + 1)
      .map(toAddress)
      .join('|');
    if (decodeFailure(body) !== undefined) return this.#stage.count('stock.refused');
    const { id = '' } = decodeAnswer(body) ?? {};
    const number = Number(/^stock\.(\d+)$/.exec(id)?.[1] ?? NaN);
    const isOwn = number < this.#asked && front === frontOf(number).map(toAddress).join('|');
    requireThat(isOwn, 'stacks are untouched', () => {
      return `the reply to '${id}' comes behind '${front}'`;
    });
    this.#stage.count('stock.reply');
  }
}

/** What stands before the body: nothing, an empty frame, or ids and an empty frame. */
function frontOf(number: number): Frames {
  switch (number % 4) {
    case 0:
      return [EMPTY_FRAME];
    case 1:
      return [];
    case 2:
      return [encodeText(`id-${number}`), EMPTY_FRAME];
    default:
      return [encodeText('one'), Uint8Array.of(number & 255), EMPTY_FRAME];
  }
}
