/**
 * The waiting line of a client whose broker may speak plain MDP: then those that need express are
 * passed over.
 */
import type { QueueBounds } from '../../core/bounded-queue.ts';
import { RequestLine } from '../../core/request-line.ts';

interface Waiting {
  readonly needsExpress: boolean;
}

export class SelectiveLine<Item extends Waiting> extends RequestLine<Item> {
  readonly #isExpress: () => boolean;
  /** Those that any broker can be asked, in the same order. */
  readonly #plain: RequestLine<Item>;

  /** @param isExpress true while the broker can be asked everything */
  constructor(bounds: QueueBounds, isExpress: () => boolean) {
    super(bounds);
    this.#isExpress = isExpress;
    this.#plain = new RequestLine(bounds);
  }

  override push(item: Item, bytes: number): boolean {
    if (!super.push(item, bytes)) return false;
    if (!item.needsExpress) this.#plain.push(item, bytes);
    return true;
  }

  override pushAgain(item: Item): void {
    super.pushAgain(item);
    if (!item.needsExpress) this.#plain.pushAgain(item);
  }

  override take(): Item | undefined {
    if (this.#isExpress()) return super.take();
    const next = this.#plain.take();
    if (next !== undefined) super.delete(next);
    return next;
  }

  override delete(item: Item): void {
    super.delete(item);
    if (!item.needsExpress) this.#plain.delete(item);
  }

  /** Removes and returns those that plain MDP cannot carry. */
  takeNeedingExpress(): readonly Item[] {
    if (this.size === this.#plain.size) return NONE;
    const needing = [...this].filter((item) => item.needsExpress);
    for (const item of needing) this.delete(item);
    return needing;
  }
}

const NONE: readonly never[] = [];
