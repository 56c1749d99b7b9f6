/**
 * What a worker remembers to have answered under idempotency keys.
 *
 * A broker of a pair may die with an answer that it had, or that was on its way to it. Whoever takes over
 * asks its workers, and is told from here: nothing that is remembered has to be done again.
 */
import type { Failure } from '../../core/errors.ts';
import { Fifo } from '../../core/fifo.ts';
import { sizeOf } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { KEYS_SIZE } from '../wire/express-format.ts';

/** Bytes of all outcomes that a worker remembers, oldest first out. A larger one is remembered alone. */
export const REMEMBERED_BYTES = 16 * 1024 * 1024;

/** Milliseconds for which a worker remembers an outcome: longer than any takeover takes. */
export const REMEMBERED_TIME = 60_000;

/** How a request ended in its handler. */
export interface Outcome {
  readonly body: Frames;
  /** Instead of a body. */
  readonly failure: Failure | undefined;
}

interface Remembered extends Outcome {
  readonly bytes: number;
  readonly keyBytes: number;
  readonly forgottenAt: Instant;
}

export class Outcomes {
  /** Plain data, for the fingerprint of the machine that it is part of. The first one is the oldest. */
  readonly state = { kept: new Fifo<string, Remembered>(), bytes: 0, keyBytes: 0 };

  get size(): number {
    return this.state.kept.size;
  }

  get bytes(): number {
    return this.state.bytes;
  }

  /** Of all that ended at that instant or later; the latest last. */
  *keysSince(since: Instant): Iterable<string> {
    const { kept } = this.state;
    for (const key of kept) if (kept.get(key)!.forgottenAt >= since + REMEMBERED_TIME) yield key;
  }

  get(key: string): Outcome | undefined {
    return this.state.kept.get(key);
  }

  /** Takes the place of an earlier outcome under the same key. */
  remember(now: Instant, key: string, { body, failure }: Outcome): void {
    const { state } = this;
    this.#forget(key);
    const bytes = sizeOf(body) + (failure?.message.length ?? 0);
    // In a report each has its length in front.
    const keyBytes = Buffer.byteLength(key) + 2;
    state.kept.push(key, { body, failure, bytes, keyBytes, forgottenAt: now + REMEMBERED_TIME });
    state.bytes += bytes;
    state.keyBytes += keyBytes;
    this.expire(now);
    while (state.bytes > REMEMBERED_BYTES || state.keyBytes > KEYS_SIZE) {
      if (state.kept.size === 1) return;
      this.#forget(state.kept.first!);
    }
  }

  /** Forgets what was remembered long enough. */
  expire(now: Instant): void {
    const { kept } = this.state;
    for (;;) {
      const { first } = kept;
      if (first === undefined || kept.get(first)!.forgottenAt > now) return;
      this.#forget(first);
    }
  }

  #forget(key: string): void {
    const { state } = this;
    const found = state.kept.get(key);
    if (found === undefined) return;
    state.kept.delete(key);
    state.bytes -= found.bytes;
    state.keyBytes -= found.keyBytes;
  }
}
