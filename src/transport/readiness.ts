/** How a shell's `ready()` waits for the first answer of the other side, or gives a hint why none came. */
import { ClosedError, NotReadyError } from '../core/errors.ts';
import { completeOptions, milliseconds } from '../core/options.ts';
import { signal } from './closing.ts';
import type { Clock } from './transport.ts';

const RULES = { timeout: milliseconds(10_000) };

export class Readiness {
  readonly #what: string;
  readonly #who: readonly [role: string, protocol: string];
  readonly #clock: Clock;
  readonly #answered = signal();
  readonly #closed = signal();
  #isClosed = false;

  /**
   * @param what is waited for, as errors call it: `this worker`
   * @param who should answer, and in what protocol
   */
  constructor(what: string, who: readonly [role: string, protocol: string], clock: Clock) {
    this.#what = what;
    this.#who = who;
    this.#clock = clock;
  }

  /** The other side answered: whoever waits, now or later, need not. */
  answered(): void {
    this.#answered.fire();
  }

  /** Whoever waits, now or later, does so in vain. */
  close(): void {
    this.#isClosed = true;
    this.#closed.fire();
  }

  /**
   * @param endpoints it was asked to connect to
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when nobody answered in time
   * @throws ClosedError also when it is closed meanwhile
   */
  async wait(
    endpoints: readonly string[],
    options: { readonly timeout?: number } | undefined,
  ): Promise<void> {
    const { timeout } = completeOptions('ready', RULES, options);
    if (this.#isClosed) throw new ClosedError(this.#what);
    if (endpoints.length === 0) throw new NotReadyError([], timeout);
    const late = signal();
    const disarm = this.#clock.wakeAt(this.#clock.now() + timeout, late.fire);
    const outcome = await Promise.race([
      this.#answered.promise.then(() => 'answered'),
      late.promise.then(() => 'late'),
      this.#closed.promise.then(() => 'closed'),
    ]);
    disarm();
    if (outcome === 'closed') throw new ClosedError(this.#what);
    if (outcome === 'late') throw new NotReadyError(endpoints, timeout, this.#who);
  }
}
