/** How a shell's `ready()` waits for an answer of the other side, or gives a hint why none came. */
import { ClosedError, NotReadyError } from '../core/errors.ts';
import { completeOptions, milliseconds } from '../core/options.ts';
import type { Clock } from './transport.ts';

const RULES = { timeout: milliseconds(10_000) };

export class Readiness {
  readonly #what: string;
  readonly #who: readonly [role: string, protocol: string];
  readonly #clock: Clock;
  /** Settles who waits. */
  readonly #waiting = new Set<(error?: Error) => void>();
  #wasAnswered = false;
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

  /** The other side answered: whoever waits need not any more. */
  answered(): void {
    this.#wasAnswered = true;
    for (const settle of this.#waiting) settle();
  }

  /** Whoever waits, now or later, does so in vain. */
  close(): void {
    this.#isClosed = true;
    for (const settle of this.#waiting) settle(new ClosedError(this.#what));
  }

  /**
   * @param endpoints it was asked to connect to
   * @param options.timeout milliseconds, default 10,000
   * @param isReady whether there is nothing to wait for; left out: whether there ever was an answer
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when nobody answered in time
   * @throws ClosedError also when it is closed meanwhile
   */
  async wait(
    endpoints: readonly string[],
    options: { readonly timeout?: number } | undefined,
    isReady = this.#wasAnswered,
  ): Promise<void> {
    const { timeout } = completeOptions('ready', RULES, options);
    if (this.#isClosed) throw new ClosedError(this.#what);
    if (endpoints.length === 0) throw new NotReadyError([], timeout);
    if (isReady) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        disarm();
        this.#waiting.delete(settle);
        if (error === undefined) resolve();
        else reject(error);
      };
      const disarm = this.#clock.wakeAt(this.#clock.now() + timeout, () =>
        settle(new NotReadyError(endpoints, timeout, this.#who)),
      );
      this.#waiting.add(settle);
    });
  }
}
