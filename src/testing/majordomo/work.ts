/** What travels in the bodies of simulated requests, so that every reply proves whose it is. */
import { decodeText, encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import { LARGE, type Behaviour } from './plan.ts';

/** What a request asks of the simulated handler. */
export interface Work {
  /** Unique in a run. */
  readonly id: string;
  /** What the reply says: the id, or under an idempotency key what all requests under it share. */
  readonly name: string;
  readonly behaviour: Behaviour;
  readonly duration: number;
  /** Bytes of ballast, in the request and in each part of the reply. */
  readonly size: number;
}

/** How many parts a reply in parts has before its end. */
export const PARTS = 5;

/** Parts of a reply are no larger than this, whatever the request is. */
const PART_SIZE = 3000;

/** Stands for a name that is the id: transcripts show short bodies. */
const SAME = '-';

/** Frames from this size on are compared by their length. */
const SHOWN = 8192;

/** One for all: it is never written to. */
const largeBallast = new Uint8Array(LARGE);

/** How many parts the handler of `behaviour` writes before its reply or failure. */
export function partsOf(behaviour: Behaviour): number {
  return behaviour === 'parts' || behaviour === 'partsThenFail' ? PARTS : 0;
}

/** True if the handler of `behaviour` ends with a failure. */
export function fails(behaviour: Behaviour): boolean {
  return behaviour === 'fail' || behaviour === 'partsThenFail';
}

export function encodeWork({ id, name, behaviour, duration, size }: Work): Frames {
  const shown = name === id ? SAME : name;
  const head = encodeText(`${id} ${shown} ${behaviour} ${duration} ${size}`);
  return size === 0 ? [head] : [head, ballastOf(id, size)];
}

/** The work in a body, or undefined if the body did not arrive as it was sent. */
export function decodeWork(body: Frames): Work | undefined {
  const [head, ballast] = body;
  if (head === undefined) return undefined;
  const [id, name, behaviour, duration, size] = decodeText(head).split(' ');
  if (id === undefined || name === undefined || size === undefined) return undefined;
  if (ballast !== undefined && !isIntact(ballast, id, Number(size))) return undefined;
  return {
    id,
    name: name === SAME ? id : name,
    behaviour: behaviour as Behaviour,
    duration: Number(duration),
    size: Number(size),
  };
}

/** The id of the work in a body, intact or not. */
export function workIdOf(body: Frames): string {
  return decodeText(body[0]!.subarray(0, 32)).split(' ', 1)[0]!;
}

export function partOf({ name, size }: Work, index: number): Frames {
  return [encodeText(`part ${index} of ${name}${'.'.repeat(Math.min(size, PART_SIZE))}`)];
}

/** How the handler's reply ends, or all of it if it has no parts. */
export function replyTo({ name, behaviour, size }: Work): Frames {
  const text = encodeText(`reply to ${name}`);
  return behaviour === 'echo' ? [text, ballastOf(name, size)] : [text];
}

/** The text of all frames, to compare replies by. */
export function textOf(body: Frames): string {
  return body
    .map((frame) => (frame.length < SHOWN ? decodeText(frame) : `${frame.length} bytes`))
    .join('|');
}

/** The one reply to a request when its parts are joined. */
export function wholeReplyTo(work: Work): Frames {
  const frames = Array.from(
    { length: partsOf(work.behaviour) },
    (_, index) => partOf(work, index)[0]!,
  );
  return [...frames, ...replyTo(work)];
}

function ballastOf(id: string, size: number): Uint8Array {
  return size === LARGE ? largeBallast : new Uint8Array(size).fill(mark(id));
}

function isIntact(ballast: Uint8Array, id: string, size: number): boolean {
  if (ballast.length !== size) return false;
  const expected = size === LARGE ? 0 : mark(id);
  return ballast[0] === expected && ballast[ballast.length - 1] === expected;
}

function mark(id: string): number {
  let sum = 0;
  for (let index = 0; index < id.length; index++) sum = (sum * 31 + id.charCodeAt(index)) & 0xff;
  return sum;
}
