/**
 * Those who ask for a part of the map that nobody follows yet.
 *
 * Its digest takes a look at each key. After such a look the server rests, and all who ask meanwhile share
 * the next one: so thousands who come at once, each for a part of their own, cost a few.
 */
import type { Address, Instant } from '../../core/machine.ts';
import type { FollowCommand } from '../commands.ts';

/** Keys that are looked at for each millisecond of rest. */
const KEYS = 10_000;

export class Askers {
  readonly #asking = new Map<Address, FollowCommand>();
  #restsUntil: Instant = -Infinity;

  /** When those who wait have their turn. */
  get nextDue(): Instant {
    return this.#asking.size === 0 ? Infinity : this.#restsUntil;
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    return { asking: this.#asking, restsAt: this.#restsUntil };
  }

  /** Who they are. */
  get addresses(): Iterable<Address> {
    return this.#asking.keys();
  }

  /** True: this one waits. False: now so many keys are looked at for it. */
  waits(now: Instant, from: Address, command: FollowCommand, keys: number): boolean {
    const isCheap = keys < KEYS;
    const isWaiting = !isCheap && now < this.#restsUntil;
    if (isWaiting) this.#asking.set(from, command);
    else if (!isCheap) this.#rest(now, keys);
    return isWaiting;
  }

  /** It asks for something else, or for nothing any more. */
  delete(from: Address): void {
    this.#asking.delete(from);
  }

  clear(): void {
    this.#asking.clear();
  }

  /** Those whose turn it is: so many keys are looked at for all of them. */
  takeDue(now: Instant, keys: number): (readonly [Address, FollowCommand])[] {
    if (this.nextDue > now) return [];
    const due = [...this.#asking];
    this.#asking.clear();
    this.#rest(now, keys);
    return due;
  }

  #rest(now: Instant, keys: number): void {
    this.#restsUntil = now + keys / KEYS;
  }
}
