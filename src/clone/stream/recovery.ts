/**
 * How a follower gets what is missing: at once the first time, and ever more slowly while that does not
 * help. Many who miss the same are so kept from asking all at the same instant, again and again.
 */
import type { Instant } from '../../core/machine.ts';
import { backoffDelay, type Random } from '../../core/retry.ts';
import type { Sequence } from '../commands.ts';

/** Milliseconds that a recovery waits at most after others have failed. */
const LONGEST = 1000;

export class Recovery {
  readonly #settings: { readonly reconnectInterval: number; readonly random: Random };
  /** Plain data, for the fingerprint. */
  readonly state = {
    /** Streams that were given up, one after another. */
    failures: 0,
    /** What is missing, and since when. */
    gap: undefined as { readonly foundAt: Instant; readonly needs: Sequence } | undefined,
  };

  constructor(settings: { readonly reconnectInterval: number; readonly random: Random }) {
    this.#settings = settings;
  }

  /** All up to `needs` is missing. */
  note(now: Instant, needs: Sequence): void {
    this.state.gap ??= { foundAt: now, needs };
  }

  get isMissing(): boolean {
    return this.state.gap !== undefined;
  }

  /** Milliseconds to wait before a stream is asked for in the place of the present one. */
  next(): number {
    const { reconnectInterval: backoff, random } = this.#settings;
    const { failures } = this.state;
    this.state.failures++;
    if (failures === 0) return 0;
    return backoffDelay({ backoff, backoffLimit: LONGEST }, failures - 1, random);
  }

  /** All up to `complete` is here. Returns how many milliseconds something was missing, if it is no more. */
  repair(now: Instant, complete: Sequence): number | undefined {
    const { gap } = this.state;
    if (gap === undefined || complete < gap.needs) return undefined;
    this.state.gap = undefined;
    this.state.failures = 0;
    return now - gap.foundAt;
  }

  /** All is well. */
  succeed(): void {
    this.state.failures = 0;
  }
}
