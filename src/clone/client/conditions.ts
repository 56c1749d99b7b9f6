/** How calls wait until something holds of a replica: it is looked at whenever that may have changed. */
import type { Instant } from '../../core/machine.ts';
import { SignalWatch } from '../../transport/signal-watch.ts';
import type { Clock } from '../../transport/transport.ts';

export interface Condition {
  isMet(): boolean;
  /** When to stop waiting. */
  readonly deadline: Instant;
  /** What is rejected with then; without it the wait is just over. */
  readonly late?: (() => Error) | undefined;
  readonly signal: AbortSignal | undefined;
  /** What is rejected with when the signal aborts. */
  readonly aborted: (cause: unknown) => Error;
}

interface Waiting {
  readonly condition: Condition;
  readonly settle: (error?: Error) => void;
}

export class Conditions {
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  readonly #signals = new SignalWatch<Waiting>(({ condition: { aborted, signal }, settle }) => {
    settle(aborted(signal?.reason));
  });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something may have changed. */
  check(): void {
    for (const { condition, settle } of this.#waiting) if (condition.isMet()) settle();
  }

  /** Whoever waits does so in vain. */
  fail(error: Error): void {
    for (const { settle } of this.#waiting) settle(error);
  }

  /** Resolves when it is met, which may be at once. */
  wait(condition: Condition): Promise<void> {
    const { deadline, late, signal, aborted } = condition;
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(aborted(signal.reason));
      if (condition.isMet()) return resolve();
      const settle = (error?: Error): void => {
        disarm();
        if (signal !== undefined) this.#signals.delete(signal, waiting);
        this.#waiting.delete(waiting);
        if (error === undefined) resolve();
        else reject(error);
      };
      const waiting = { condition, settle };
      const disarm = this.#clock.wakeAt(deadline, () => settle(late?.()));
      if (signal !== undefined) this.#signals.add(signal, waiting);
      this.#waiting.add(waiting);
    });
  }
}
