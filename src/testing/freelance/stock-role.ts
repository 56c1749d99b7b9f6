/**
 * A client of the plainest kind: it never pings, asks one server after the other, and writes what it
 * likes into its control frames. What it gets back must be just that, with the reply to what it asked.
 */
import { decodeFailure } from '../../core/error-body.ts';
import { encodeText, toAddress } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { ROGUE } from './rogue-role.ts';
import { endpointOf, type FreelanceStage } from './stage.ts';
import { decodeAnswer, encodeWork } from '../work.ts';

/** Bytes of its longest control frame. */
const LONG = 300;

/** Every so-manieth message is none of the protocol. */
const NONSENSE = 7;

/** What it asked of one server, and has no answer to: by control frame, the ids of the work. */
type Pending = Map<string, Set<string>>;

interface Line {
  readonly server: string;
  readonly socket: TransportSocket;
  readonly pending: Pending;
}

export class StockRole {
  readonly process: SimProcess;
  readonly #stage: FreelanceStage;
  readonly #lines: readonly Line[];
  readonly #pace: number;
  #asked = 0;

  constructor(stage: FreelanceStage, servers: readonly string[], pace: number) {
    this.#stage = stage;
    this.#pace = pace;
    this.process = stage.world.start('stock', stage.processOptions());
    this.#lines = servers.map((server) => this.#connect(server));
    this.#goOn();
  }

  #connect(server: string): Line {
    const pending: Pending = new Map();
    const socket = this.#stage.network.transport(this.process).open('dealer', {
      onMessage: (_from, frames) => this.#check(server, pending, frames),
      onPeerGone: () => undefined,
    });
    socket.connect(endpointOf(server));
    return { server, socket, pending };
  }

  #goOn(): void {
    this.process.wakeAt(this.process.now() + this.#pace, () => {
      this.#ask();
      this.#goOn();
    });
  }

  #ask(): void {
    const number = this.#asked++;
    if (number % NONSENSE === NONSENSE - 1) return this.#talkNonsense();
    const { socket, pending } = this.#lines[number % this.#lines.length]!;
    const control = controlOf(number);
    const id = `stock.0.${number}`;
    const key = toAddress(control);
    pending.set(key, (pending.get(key) ?? new Set()).add(id));
    const work = { id, behaviour: 'reply', duration: 5, size: 0 } as const;
    socket.send('', [control, ...encodeWork(work)], () => undefined);
  }

  /** One frame that is no command: nobody answers, and nobody minds. */
  #talkNonsense(): void {
    for (const { socket } of this.#lines) socket.send('', [encodeText('HELLO')], () => undefined);
  }

  #check(server: string, pending: Pending, [control, ...body]: Frames): void {
    // What a rogue says proves nothing.
    if (server === ROGUE || control === undefined) return;
    const ids = pending.get(toAddress(control));
    requireThat(ids !== undefined && ids.size > 0, 'control frames are untouched', () => {
      return `${server} answers with '${toAddress(control)}', which nobody asked`;
    });
    if (decodeFailure(body) !== undefined) return this.#stage.count('stock.refused');
    const answer = decodeAnswer(body);
    const isOwn = answer !== undefined && answer.server === server && ids.delete(answer.id);
    requireThat(isOwn, 'reply integrity', () => {
      return `${server} answers ${answer?.id ?? 'garbage'} where ${[...ids].join(', ')} was asked`;
    });
    this.#stage.count('stock.reply');
  }
}

/** Control frames of every kind: long, empty, one and the same, and one that looks like a command. */
function controlOf(number: number): Uint8Array {
  switch (number % 4) {
    case 0:
      return new Uint8Array(LONG).fill(number & 255);
    case 1:
      return new Uint8Array(0);
    case 2:
      return encodeText('PING');
    default:
      return Uint8Array.of(number >> 8, number & 255);
  }
}
