/**
 * The tag of a dispatch: the one frame that our queue writes into the stack, and expects back. Eight
 * bytes: four that are random for each life of a queue, so that an answer to an earlier one fits nothing,
 * and a count.
 */
import type { Frames } from '../core/machine.ts';
import type { Random } from '../core/retry.ts';

const WORD = 2 ** 32;
const TAG_LENGTH = 8;

export class DispatchTags {
  readonly #life: number;
  #next = 0;

  constructor(random: Random) {
    this.#life = Math.floor(random() * WORD);
  }

  /** The number of the next dispatch: part of the queue's state. */
  get next(): number {
    return this.#next;
  }

  /** The number of a new dispatch; after 2³² they begin anew. */
  count(): number {
    const number = this.#next;
    this.#next = (number + 1) % WORD;
    return number;
  }

  stackFor(number: number): Frames {
    const tag = new Uint8Array(TAG_LENGTH);
    writeWord(tag, 0, this.#life);
    writeWord(tag, 4, number);
    return [tag];
  }

  /** True if this stack is the tag of that dispatch, and nothing else. */
  isOf(number: number, stack: Frames | undefined): boolean {
    const tag = stack?.[0];
    if (stack?.length !== 1 || tag?.byteLength !== TAG_LENGTH) return false;
    return readWord(tag, 4) === number && readWord(tag, 0) === this.#life;
  }
}

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  for (let index = 0; index < 4; index++) bytes[at + index] = word >>> (24 - 8 * index);
}

function readWord(bytes: Uint8Array, at: number): number {
  let word = 0;
  for (let index = 0; index < 4; index++) word = word * 256 + bytes[at + index]!;
  return word;
}
