/**
 * What really was published: kept by the run, never seen by anything that is tested.
 *
 * A message says in its body of which life it is, so that numbers that come again are not mixed up. Lives
 * with one store count on; without a store each life counts for itself.
 */
import { decodeText, encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import { requireThat } from '../violation.ts';

export interface Told {
  readonly life: number;
  readonly sequence: number;
  readonly topic: string;
}

/** All messages that were counted in one go. */
export interface Numbering {
  readonly messages: Map<number, Told>;
  /** The oldest that the history still has. */
  first: number;
  newest: number;
}

export class Truth {
  readonly #isStored: boolean;
  readonly #numberings = new Map<number, Numbering>();
  /** The present one, from 1. */
  life = 0;

  constructor(isStored: boolean) {
    this.#isStored = isStored;
  }

  /** Which life's numbers a life goes on with. */
  numberOf(life: number): number {
    return this.#isStored ? 1 : life;
  }

  numbering(life: number): Numbering {
    const number = this.numberOf(life);
    const known = this.#numberings.get(number);
    if (known !== undefined) return known;
    const numbering: Numbering = { messages: new Map(), first: 0, newest: -1 };
    this.#numberings.set(number, numbering);
    return numbering;
  }

  /** It may be seen by everybody from now on. */
  published(told: Told): void {
    const numbering = this.numbering(told.life);
    const former = numbering.messages.get(told.sequence);
    requireThat(former === undefined || former.life === told.life, 'numbers are given once', () => {
      return `${told.sequence} is published in life ${told.life}, and was in ${former?.life}`;
    });
    numbering.messages.set(told.sequence, told);
    numbering.newest = Math.max(numbering.newest, told.sequence);
  }

  /** True if exactly this was published. */
  has({ life, sequence, topic }: Told): boolean {
    const known = this.numbering(life).messages.get(sequence);
    return known?.life === life && known.topic === topic;
  }
}

/** A body that says what it is. */
export function bodyOf({ life, sequence, topic }: Told, size: number): Uint8Array {
  return encodeText(`${life}|${sequence}|${topic}|${'x'.repeat(size)}`);
}

/** What a body says; undefined for what nobody published. */
export function toldBy(body: Frames): Told | undefined {
  const match = /^(\d+)\|(\d+)\|([^|]*)\|x*$/.exec(body.map(decodeText).join(''));
  if (match === null) return undefined;
  return { life: Number(match[1]), sequence: Number(match[2]), topic: match[3]! };
}
