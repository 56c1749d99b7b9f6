/**
 * A map from ascending numbers, for what is numbered as it comes and leaves soon.
 *
 * The young ones stand side by side in an array, so that nothing is hashed and nothing is rebuilt when
 * thousands come and go (a Map of 1,000 that turns over costs 60 bytes of garbage for each). One that
 * stays while the others leave is moved to a Map, so that the array holds mostly what is there.
 */

/** Numbers left out between two that follow each other, before the array is begun anew. */
const WIDEST_GAP = 16;

/** The array may be this many times as long as it has values, and so much longer. */
const SPARSENESS = 4;
const SLACK = 256;

/** Like a Map, if numbers are set in ascending order; also its iteration is then ascending. */
export class NumberMap<Value extends object> implements Iterable<[number, Value]> {
  readonly #old = new Map<number, Value>();
  readonly #young: (Value | undefined)[] = [];
  /** The number of `#young[0]`, where its values begin, and how many there are. */
  #base = 0;
  #head = 0;
  #count = 0;

  get size(): number {
    return this.#old.size + this.#count;
  }

  get(number: number): Value | undefined {
    const index = number - this.#base;
    // Before the head stand holes alone: what was there is gone, or old by now.
    if (index >= this.#head && index < this.#young.length) return this.#young[index];
    return this.#old.size === 0 ? undefined : this.#old.get(number);
  }

  has(number: number): boolean {
    return this.get(number) !== undefined;
  }

  set(number: number, value: Value): this {
    const young = this.#young;
    if (this.#count === 0) this.#restart(number);
    const index = number - this.#base;
    if (index < this.#head) {
      this.#old.set(number, value);
      return this;
    }
    if (index > young.length + WIDEST_GAP) {
      while (this.#count > 0) this.#ageFirst();
      this.#restart(number);
      young.push(value);
    } else if (index < young.length) {
      if (young[index] === undefined) this.#count++;
      young[index] = value;
      return this;
    } else {
      while (young.length < index) young.push(undefined);
      young.push(value);
    }
    this.#count++;
    if (young.length - this.#head > this.#count * SPARSENESS + SLACK) this.#ageFirst();
    return this;
  }

  delete(number: number): boolean {
    const young = this.#young;
    const index = number - this.#base;
    if (index < this.#head || index >= young.length) {
      return this.#old.size > 0 && this.#old.delete(number);
    }
    if (young[index] === undefined) return false;
    young[index] = undefined;
    this.#count--;
    this.#moveHead();
    return true;
  }

  clear(): void {
    this.#old.clear();
    this.#count = 0;
    this.#restart(0);
  }

  *[Symbol.iterator](): Generator<[number, Value]> {
    yield* this.#old;
    // By number and not by index: values may be deleted meanwhile.
    for (let number = this.#base + this.#head; number < this.#base + this.#young.length; number++) {
      const value = this.#young[number - this.#base];
      if (value !== undefined) yield [number, value];
    }
  }

  *keys(): Generator<number> {
    for (const [number] of this) yield number;
  }

  *values(): Generator<Value> {
    for (const [, value] of this) yield value;
  }

  #restart(number: number): void {
    this.#young.length = 0;
    this.#head = 0;
    this.#base = number;
  }

  /** The first of the young ones is old now. */
  #ageFirst(): void {
    const value = this.#young[this.#head]!;
    this.#old.set(this.#base + this.#head, value);
    this.#young[this.#head] = undefined;
    this.#count--;
    this.#moveHead();
  }

  #moveHead(): void {
    const young = this.#young;
    if (this.#count === 0) this.#head = young.length;
    while (this.#head < young.length && young[this.#head] === undefined) this.#head++;
    if (this.#head < SLACK || this.#head * 2 < young.length) return;
    young.splice(0, this.#head);
    this.#base += this.#head;
    this.#head = 0;
  }
}
