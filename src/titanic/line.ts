/**
 * A line that a thing stands in, one at a time, with the links in the thing itself.
 *
 * A million requests stand in lines: waiting for their service, or for their end. A Map for each line
 * would cost another fifty bytes a request; three fields cost half of it, and anyone leaves in O(1).
 */

/** Symbols: no part of the plain data. */
const LINE = Symbol('line');
const BEFORE = Symbol('before');
const BEHIND = Symbol('behind');

/** What can stand in a line. */
export abstract class Linked {
  [LINE]: Line<Linked> | undefined = undefined;
  [BEFORE]: Linked | undefined = undefined;
  [BEHIND]: Linked | undefined = undefined;

  /** True while it stands in any line. */
  get isInLine(): boolean {
    return this[LINE] !== undefined;
  }

  /** Leaves the line that it stands in, if any. */
  leaveLine(): void {
    this[LINE]?.delete(this);
  }
}

export class Line<Item extends Linked> implements Iterable<Item> {
  #first: Item | undefined;
  #last: Item | undefined;
  #size = 0;

  get first(): Item | undefined {
    return this.#first;
  }

  get size(): number {
    return this.#size;
  }

  has(item: Item): boolean {
    return item[LINE] === this;
  }

  /** Puts an item, which leaves the line it stood in, behind all others. */
  push(item: Item): void {
    item.leaveLine();
    item[LINE] = this;
    item[BEFORE] = this.#last;
    if (this.#last === undefined) this.#first = item;
    else this.#last[BEHIND] = item;
    this.#last = item;
    this.#size++;
  }

  /** False if it does not stand here. */
  delete(item: Item): boolean {
    if (item[LINE] !== this) return false;
    const before = item[BEFORE] as Item | undefined;
    const behind = item[BEHIND] as Item | undefined;
    if (before === undefined) this.#first = behind;
    else before[BEHIND] = behind;
    if (behind === undefined) this.#last = before;
    else behind[BEFORE] = before;
    item[LINE] = item[BEFORE] = item[BEHIND] = undefined;
    this.#size--;
    return true;
  }

  *[Symbol.iterator](): Generator<Item> {
    for (let item = this.#first; item !== undefined; item = item[BEHIND] as Item | undefined) {
      yield item;
    }
  }
}
