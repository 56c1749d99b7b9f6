/**
 * What the clients of a simulated pair ask, and what its servers answer: the plainest protocol that shows
 * its epochs. A server asks its guard before each answer, as any server does that a pair protects. The
 * servers copy each other's state by it too.
 */
import { decodeText, encodeText } from '../../core/frames.ts';
import type { Epoch } from '../../core/election.ts';
import type { Frames } from '../../core/machine.ts';

const TYPES = ['ask', 'served', 'refused', 'copy', 'copied', 'recorded'] as const;

export interface Word {
  /** `ask`: of a client; `copy` and `recorded`: of a passive server; the others answer them. */
  readonly type: (typeof TYPES)[number];
  readonly number: number;
  /** The highest that an asker has seen; the one that an answer is given under. */
  readonly epoch: Epoch;
  /** Of `refused`: who is believed to serve. */
  readonly endpoint: string;
}

export function encodeWord({ type, number, epoch, endpoint }: Word): Frames {
  return [type, String(number), String(epoch), endpoint].map(encodeText);
}

export function decodeWord(frames: Frames): Word {
  const [type, number, epoch, endpoint = ''] = frames.map(decodeText);
  const known = TYPES.find((one) => one === type);
  if (known === undefined) throw new Error(`${type} is no word of a simulated pair`);
  return { type: known, number: Number(number), epoch: Number(epoch), endpoint };
}
