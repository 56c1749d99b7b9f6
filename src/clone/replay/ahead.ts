/** Messages that came before those they follow: kept as far as there is room. Plain bookkeeping. */
import { equalBytes, keepFrames } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { Sequence } from '../commands.ts';

export interface KeptMessage {
  /** Undefined: nobody said. */
  readonly topic: string | undefined;
  /** One frame. */
  readonly body: Frames;
  readonly weight: number;
}

export class Ahead {
  readonly #messages = new Map<Sequence, KeptMessage>();
  #weight = 0;

  get size(): number {
    return this.#messages.size;
  }

  get weight(): number {
    return this.#weight;
  }

  /** The lowest number; `Infinity` if there is none. */
  get first(): Sequence {
    let first = Infinity;
    for (const sequence of this.#messages.keys()) first = Math.min(first, sequence);
    return first;
  }

  has(sequence: Sequence): boolean {
    return this.#messages.has(sequence);
  }

  /** True if another message is kept under this number. */
  hasOther(sequence: Sequence, body: Uint8Array): boolean {
    const kept = this.#messages.get(sequence);
    return kept !== undefined && !equalBytes(kept.body[0]!, body);
  }

  /** @param body borrowed: it is copied */
  keep(sequence: Sequence, topic: string | undefined, body: Uint8Array, weight: number): void {
    this.#messages.set(sequence, { topic, body: keepFrames([body]), weight });
    this.#weight += weight;
  }

  /** Gives a message out, if it is there. */
  take(sequence: Sequence): KeptMessage | undefined {
    const kept = this.#messages.get(sequence);
    if (kept === undefined) return undefined;
    this.#messages.delete(sequence);
    this.#weight -= kept.weight;
    return kept;
  }

  clear(): void {
    this.#messages.clear();
    this.#weight = 0;
  }

  /** For the fingerprint. */
  [Symbol.iterator](): Iterator<readonly [Sequence, KeptMessage]> {
    return this.#messages.entries();
  }
}
