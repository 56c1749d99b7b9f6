/**
 * How long a client asks, and when again: pure, so that no test of it waits.
 *
 * All that a client asks may be asked twice, so whatever was lost on the way (a reply, the broker, the
 * Titanic itself) is bridged by asking again until the time is over. A long poll is a row of such
 * questions, each of which the Titanic answers when it knows something, or when its slice is over.
 */
import { RequestError } from '../core/errors.ts';
import type { Instant } from '../core/machine.ts';
import { backoffDelay, type BackoffSettings, type Random } from '../core/retry.ts';

/** Milliseconds that one question of a long poll waits at most. */
export const SLICE = 20_000;

export interface AskingSettings extends BackoffSettings {
  /** Milliseconds for one try, beside what the Titanic is to wait. */
  readonly attemptTimeout: number;
  readonly random: Random;
}

export interface AskingTerms {
  /** Milliseconds for all tries, beside `wait`. */
  readonly timeout: number;
  /** Milliseconds to wait for a request that is pending. */
  readonly wait: number;
  /** Asking twice does no harm. Otherwise it is asked again only if surely nobody heard it. */
  readonly isRepeatable: boolean;
}

/** These say that asking again would end the same. */
const FINAL: ReadonlySet<string> = new Set([
  'ERR_CANCELLED',
  'ERR_HANDLER_FAILED',
  'ERR_NOT_SUPPORTED',
  'ERR_REPLY_TOO_LARGE',
]);

/** One question until its answer. */
export class Asking {
  readonly #settings: AskingSettings;
  readonly #isRepeatable: boolean;
  readonly #waitEndsAt: Instant;
  readonly #deadlineAt: Instant;
  /** When the slice of the present try is over. */
  #sliceEndsAt: Instant = -Infinity;
  /** Tries in a row that brought nothing. */
  #vain = 0;

  constructor(now: Instant, terms: AskingTerms, settings: AskingSettings) {
    this.#settings = settings;
    this.#isRepeatable = terms.isRepeatable;
    this.#waitEndsAt = now + terms.wait;
    this.#deadlineAt = this.#waitEndsAt + terms.timeout;
  }

  /** The try that begins now: what the Titanic is to wait, and its time in all, both milliseconds. */
  begin(now: Instant): { readonly wait: number; readonly timeout: number } {
    const wait = Math.max(0, Math.ceil(Math.min(SLICE, this.#waitEndsAt - now)));
    this.#sliceEndsAt = now + wait;
    const left = Math.max(1, this.#deadlineAt - now);
    return { wait, timeout: Math.min(wait + this.#settings.attemptTimeout, left) };
  }

  /** Milliseconds to rest before the next try; undefined: the error is how it ends. */
  restAfterError(now: Instant, error: unknown): number | undefined {
    if (!(error instanceof RequestError) || FINAL.has(error.code)) return undefined;
    if (!this.#isRepeatable && error.attempts !== 0) return undefined;
    const rest = Math.max(this.#backoff(), error.retryAfter ?? 0);
    return now + rest < this.#deadlineAt ? rest : undefined;
  }

  /** The same after the answer that the request is pending; undefined: `wait` is over. */
  restWhilePending(now: Instant): number | undefined {
    if (now >= this.#waitEndsAt) return undefined;
    // Told early: too many wait there, or the Titanic closes.
    if (now < this.#sliceEndsAt) return Math.min(this.#backoff(), this.#waitEndsAt - now);
    this.#vain = 0;
    return 0;
  }

  #backoff(): number {
    return backoffDelay(this.#settings, this.#vain++, this.#settings.random);
  }
}
