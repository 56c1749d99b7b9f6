/** What travels in the bodies of simulated requests, so that every reply proves whose it is. */
import { decodeText, encodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';

/** Frames from this size on are compared by their length. */
const SHOWN = 400;

/** What a request asks of the simulated handler. */
export interface Work {
  /** Unique in a run: client, incarnation, number. */
  readonly id: string;
  /** What the handler does: a word of the pattern's plans. `echo` sends the ballast back. */
  readonly behaviour: string;
  /** How long the handler takes. */
  readonly duration: number;
  /** Bytes of ballast in the request, and in the reply that echoes it. */
  readonly size: number;
}

/** What a reply says of itself. */
export interface Answer {
  /** Of the work. */
  readonly id: string;
  /** Who did it, and which of all executions of the run it is. */
  readonly server: string;
  readonly execution: number;
  /** Bytes of ballast. */
  readonly size: number;
}

export function encodeWork({ id, behaviour, duration, size }: Work): Frames {
  const head = encodeText(`${id} ${behaviour} ${duration} ${size}`);
  return size === 0 ? [head] : [head, new Uint8Array(size).fill(mark(id))];
}

/** The work in a body, or undefined if the body did not arrive as it was sent. */
export function decodeWork(body: Frames): Work | undefined {
  const [head, ballast] = body;
  if (head === undefined || body.length > 2) return undefined;
  const [id, behaviour, duration, size] = decodeText(head).split(' ');
  if (id === undefined || size === undefined) return undefined;
  if (!isIntact(ballast, id, Number(size))) return undefined;
  return {
    id,
    behaviour: behaviour!,
    duration: Number(duration),
    size: Number(size),
  };
}

export function replyTo({ id, behaviour, size }: Work, server: string, execution: number): Frames {
  const echoed = behaviour === 'echo' ? size : 0;
  const head = encodeText(`reply ${id} ${server} ${execution} ${echoed}`);
  return echoed === 0 ? [head] : [head, new Uint8Array(echoed).fill(mark(id))];
}

/** What a reply says, or undefined if no handler of the run wrote it so. */
export function decodeAnswer(body: Frames): Answer | undefined {
  const [head, ballast] = body;
  if (head === undefined || body.length > 2) return undefined;
  const [word, id, server, execution, size] = decodeText(head).split(' ');
  if (word !== 'reply' || id === undefined || server === undefined || size === undefined) {
    return undefined;
  }
  if (!isIntact(ballast, id, Number(size))) return undefined;
  return { id, server, execution: Number(execution), size: Number(size) };
}

/** Bytes of ballast in the reply to `work`. */
export function echoedBy({ behaviour, size }: Work): number {
  return behaviour === 'echo' ? size : 0;
}

/** A body in words, to compare bodies by. */
export function textOf(body: Frames): string {
  return body
    .map((frame) => (frame.length < SHOWN ? decodeText(frame) : `${frame.length}`))
    .join('|');
}

function isIntact(ballast: Uint8Array | undefined, id: string, size: number): boolean {
  if (ballast === undefined) return size === 0;
  const expected = mark(id);
  return ballast.length === size && ballast[0] === expected && ballast[size - 1] === expected;
}

function mark(id: string): number {
  let sum = 0;
  for (let index = 0; index < id.length; index++) sum = (sum * 31 + id.charCodeAt(index)) & 0xff;
  return sum;
}
