/**
 * The digest of a map: the sum of a hash of each of its items, so that one change costs one addition, and
 * the order does not matter.
 *
 * An item is its key, its revision and its value. It tells whether two maps that were brought about by the
 * same updates are equal; it is no proof against somebody who makes maps up.
 */
import type { Digest, Sequence } from './commands.ts';

/** Of an empty map. */
export const EMPTY_DIGEST: Digest = { high: 0, low: 0 };

/** Of larger values this much of the beginning and of the end counts, and the length. */
const SAMPLE = 2048;

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;
const OTHER_PRIME = 0x85ebca6b;

/** A digest that grows and shrinks with a map. */
export class RunningDigest {
  #high = 0;
  #low = 0;

  get value(): Digest {
    return { high: this.#high, low: this.#low };
  }

  add(item: Digest): void {
    this.#high = (this.#high + item.high) >>> 0;
    this.#low = (this.#low + item.low) >>> 0;
  }

  remove(item: Digest): void {
    this.#high = (this.#high - item.high) >>> 0;
    this.#low = (this.#low - item.low) >>> 0;
  }

  clear(): void {
    this.#high = 0;
    this.#low = 0;
  }
}

export function equalDigests(one: Digest, other: Digest): boolean {
  return one.high === other.high && one.low === other.low;
}

/** The share of one item. */
export function digestOf(key: string, revision: Sequence, value: Uint8Array): Digest {
  let high = OFFSET ^ (revision >>> 0);
  let low = Math.imul(OFFSET ^ (revision / 2 ** 32), OTHER_PRIME) ^ value.length;
  for (let index = 0; index < key.length; index++) {
    const code = key.charCodeAt(index);
    high = Math.imul(high ^ code, PRIME);
    low = Math.imul(low ^ code, OTHER_PRIME) + (low >>> 15);
  }
  const { length } = value;
  const end = length > 2 * SAMPLE ? SAMPLE : length;
  for (let index = 0; index < end; index++) {
    high = Math.imul(high ^ value[index]!, PRIME);
    low = Math.imul(low ^ value[index]!, OTHER_PRIME) + (low >>> 15);
  }
  for (let index = Math.max(end, length - SAMPLE); index < length; index++) {
    high = Math.imul(high ^ value[index]!, PRIME);
    low = Math.imul(low ^ value[index]!, OTHER_PRIME) + (low >>> 15);
  }
  return { high: mixed(high), low: mixed(low) };
}

/** Sums of similar hashes must not be similar. */
function mixed(hash: number): number {
  let bits = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return (bits ^ (bits >>> 16)) >>> 0;
}
