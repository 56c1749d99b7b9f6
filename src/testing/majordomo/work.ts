/** What travels in the bodies of simulated requests, so that every reply proves whose it is. */
import { decodeText, encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { Behaviour } from './plan.ts';

/** What a request asks of the simulated handler. */
export interface Work {
  /** Unique in a run. */
  readonly id: string;
  readonly behaviour: Behaviour;
  readonly duration: number;
  /** Bytes of ballast, in the request and in each part of the reply. */
  readonly size: number;
}

/** How many parts a reply in parts has before its end. */
export const PARTS = 5;

/** How many parts the handler of `behaviour` writes before its reply or failure. */
export function partsOf(behaviour: Behaviour): number {
  return behaviour === 'parts' || behaviour === 'partsThenFail' ? PARTS : 0;
}

/** True if the handler of `behaviour` ends with a failure. */
export function fails(behaviour: Behaviour): boolean {
  return behaviour === 'fail' || behaviour === 'partsThenFail';
}

export function encodeWork({ id, behaviour, duration, size }: Work): Frames {
  const head = encodeText(`${id} ${behaviour} ${duration} ${size}`);
  return size === 0 ? [head] : [head, ballastOf(id, size)];
}

/** The work in a body, or undefined if the body did not arrive as it was sent. */
export function decodeWork(body: Frames): Work | undefined {
  const [head, ballast] = body;
  if (head === undefined) return undefined;
  const [id, behaviour, duration, size] = decodeText(head).split(' ');
  if (id === undefined || size === undefined) return undefined;
  if (ballast !== undefined && !isIntact(ballast, id)) return undefined;
  return {
    id,
    behaviour: behaviour as Behaviour,
    duration: Number(duration),
    size: Number(size),
  };
}

export function partOf({ id, size }: Work, index: number): Frames {
  return [encodeText(`part ${index} of ${id}${'.'.repeat(size)}`)];
}

export function replyTo(id: string): Frames {
  return [encodeText(`reply to ${id}`)];
}

/** The text of all frames, to compare replies by. */
export function textOf(body: Frames): string {
  return body.map(decodeText).join('|');
}

/** The one reply to a request when its parts are joined. */
export function wholeReplyTo(work: Work): Frames {
  const frames = Array.from(
    { length: partsOf(work.behaviour) },
    (_, index) => partOf(work, index)[0]!,
  );
  return [...frames, ...replyTo(work.id)];
}

function ballastOf(id: string, size: number): Uint8Array {
  return new Uint8Array(size).fill(mark(id));
}

function isIntact(ballast: Uint8Array, id: string): boolean {
  const expected = mark(id);
  return ballast[0] === expected && ballast[ballast.length - 1] === expected;
}

function mark(id: string): number {
  let sum = 0;
  for (let index = 0; index < id.length; index++) sum = (sum * 31 + id.charCodeAt(index)) & 0xff;
  return sum;
}
