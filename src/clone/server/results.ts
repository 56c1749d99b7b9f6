/**
 * The results of writes on their way to the writers. One that finds no room, behind a large value, leaves as
 * soon as there is some: its writer would ask again only after an expiry.
 */
import type { Address } from '../../core/machine.ts';
import type { ResultCommand } from '../commands.ts';
import type { Voice } from './voice.ts';

/** Results that wait for room, of one writer; whoever has more under way asks again for the rest. */
const WAITING_LIMIT = 1000;

export class Results {
  readonly #voice: Voice;
  readonly #waiting = new Map<Address, ResultCommand[]>();

  constructor(voice: Voice) {
    this.#voice = voice;
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    return this.#waiting;
  }

  send(to: Address, result: ResultCommand): void {
    const waiting = this.#waiting.get(to);
    if (waiting !== undefined) {
      if (waiting.length < WAITING_LIMIT) waiting.push(result);
    } else if (!this.#voice.send(to, result)) this.#waiting.set(to, [result]);
  }

  handleWritable(to: Address): void {
    const waiting = this.#waiting.get(to);
    this.#waiting.delete(to);
    for (const result of waiting ?? []) this.send(to, result);
  }

  /** Who comes back asks again. */
  handleGone(from: Address): void {
    this.#waiting.delete(from);
  }

  clear(): void {
    this.#waiting.clear();
  }
}
