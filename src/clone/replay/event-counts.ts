/** How often each kind of event was told: for `status()`. */

export class EventCounts<Event extends { readonly type: string }> {
  readonly #counts: Partial<Record<Event['type'], number>> = {};

  add({ type }: { readonly type: Event['type'] }): void {
    this.#counts[type] = (this.#counts[type] ?? 0) + 1;
  }

  /** Only those that were told at all. */
  get all(): Readonly<Partial<Record<Event['type'], number>>> {
    return { ...this.#counts };
  }
}
