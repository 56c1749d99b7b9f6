/**
 * The retry budget: further copies of requests in proportion to requests, so that retries never storm.
 *
 * A token bucket. It is full at first; each request puts a part of a token in, each further copy takes a
 * whole one out. When everybody is slow at once, what is added to their load stays within that part.
 */
export interface RetryBudgetSettings {
  /** Tokens that each request earns: further copies for each request, in the long run. */
  readonly retryBudget: number;
  /** Tokens that the bucket holds: further copies that may come at once. */
  readonly retryBurst: number;
}

/** Tokens are counted in millionths, as whole numbers: ten tenths must make one. */
const TOKEN = 1_000_000;

export class RetryBudget {
  readonly #earning: number;
  readonly #limit: number;
  #millionths: number;

  constructor({ retryBudget, retryBurst }: RetryBudgetSettings) {
    this.#earning = Math.round(retryBudget * TOKEN);
    this.#limit = retryBurst * TOKEN;
    this.#millionths = this.#limit;
  }

  /** How many further copies could leave now, and the part of the next one. */
  get tokens(): number {
    return this.#millionths / TOKEN;
  }

  /** A request was accepted. */
  earn(): void {
    this.#millionths = Math.min(this.#limit, this.#millionths + this.#earning);
  }

  /** A further copy is about to leave. False: there is no token for it, and nothing happened. */
  spend(): boolean {
    if (this.#millionths < TOKEN) return false;
    this.#millionths -= TOKEN;
    return true;
  }
}
