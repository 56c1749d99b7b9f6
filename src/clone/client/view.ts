/** What users read: the part of a replica under a subtree, as a read-only Map of values. */
import type { ReplicaItem } from './replica.ts';
import { isUnder } from '../key.ts';
import { decodeValue, type ValueCodecName } from '../values.ts';

/** What is visible of a replica at this instant, as bytes. */
export type Items = ReadonlyMap<string, ReplicaItem>;

/**
 * A live view: it shows at each instant a map that the server had. It changes only between two turns of
 * the event loop, so what is read without an `await` in between belongs together; `new Map(view)` keeps it.
 * Each read decodes anew.
 */
export class MapView<Value> implements ReadonlyMap<string, Value> {
  readonly #items: () => Items;
  readonly #codec: ValueCodecName;
  readonly #subtree: string;
  readonly #isWhole: boolean;

  /**
   * @param items asked anew for each read
   * @param isWhole all that is there is under the subtree
   */
  constructor(items: () => Items, codec: ValueCodecName, subtree: string, isWhole: boolean) {
    this.#items = items;
    this.#codec = codec;
    this.#subtree = subtree;
    this.#isWhole = isWhole;
  }

  /** Keys under it; of a part of what is followed they are counted, one by one. */
  get size(): number {
    if (this.#isWhole) return this.#items().size;
    let count = 0;
    for (const key of this.#items().keys()) if (isUnder(this.#subtree, key)) count++;
    return count;
  }

  /**
   * The value of a key; undefined if there is none here.
   * @throws SyntaxError if it was not written with this codec
   */
  get(key: string): Value | undefined {
    const item = this.has(key) ? this.#items().get(key) : undefined;
    return item === undefined ? undefined : this.#decode(key, item);
  }

  has(key: string): boolean {
    return this.#items().has(key) && (this.#isWhole || isUnder(this.#subtree, key));
  }

  *keys(): MapIterator<string> {
    for (const key of this.#items().keys()) {
      if (this.#isWhole || isUnder(this.#subtree, key)) yield key;
    }
  }

  *values(): MapIterator<Value> {
    for (const [, value] of this) yield value;
  }

  *entries(): MapIterator<[string, Value]> {
    for (const [key, item] of this.#items()) {
      if (this.#isWhole || isUnder(this.#subtree, key)) yield [key, this.#decode(key, item)];
    }
  }

  [Symbol.iterator](): MapIterator<[string, Value]> {
    return this.entries();
  }

  forEach(visit: (value: Value, key: string, view: ReadonlyMap<string, Value>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }

  /** The type of a value is the user's to promise. */
  #decode(key: string, { value }: ReplicaItem): Value {
    return decodeValue(this.#codec, key, value) as Value;
  }
}
