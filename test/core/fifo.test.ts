/** A Fifo against a plain array. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fifo } from '../../src/core/fifo.ts';

type Step =
  | { readonly type: 'push' }
  | { readonly type: 'pushAgain'; readonly which: number }
  | { readonly type: 'delete'; readonly which: number }
  | { readonly type: 'pushMany'; readonly count: number }
  | { readonly type: 'shiftMany'; readonly count: number }
  | { readonly type: 'deleteMany'; readonly count: number }
  | { readonly type: 'first' };

const aKey = fc.nat(300);
/** Enough that the engine moves what is left to another place. */
const howMany = fc.nat(200);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('push' as const) }),
  fc.record({ type: fc.constant('pushAgain' as const), which: aKey }),
  fc.record({ type: fc.constant('delete' as const), which: aKey }),
  fc.record({ type: fc.constant('pushMany' as const), count: howMany }),
  fc.record({ type: fc.constant('shiftMany' as const), count: howMany }),
  fc.record({ type: fc.constant('deleteMany' as const), count: howMany }),
  fc.record({ type: fc.constant('first' as const) }),
);

/** What a Fifo is, kept in an array. */
class Model {
  #keys: number[] = [];

  get size(): number {
    return this.#keys.length;
  }

  get first(): number | undefined {
    return this.#keys[0];
  }

  has(key: number): boolean {
    return this.#keys.includes(key);
  }

  get(key: number): string | undefined {
    return this.has(key) ? `of ${key}` : undefined;
  }

  push(key: number, _value: string): void {
    if (!this.has(key)) this.#keys.push(key);
  }

  delete(key: number): boolean {
    const isThere = this.has(key);
    if (isThere) this.#keys.splice(this.#keys.indexOf(key), 1);
    return isThere;
  }

  entries(): [number, string][] {
    return this.#keys.map((key) => [key, `of ${key}`]);
  }
}

type Queue = Model | Fifo<number, string>;

/** Returns what was answered. */
function run(queue: Queue, next: Step, fresh: number): unknown[] {
  const push = (key: number): void => queue.push(key, `of ${key}`);
  const keys = [...queue.entries()].map(([key]) => key);
  const { type } = next;
  if (type === 'first') return [queue.first];
  if (type === 'push') return [push(fresh)];
  if (type === 'pushAgain') return [push(keys[next.which] ?? next.which)];
  if (type === 'delete') return [queue.delete(keys[next.which] ?? next.which)];
  // The first stays.
  if (type === 'deleteMany') return keys.slice(1, next.count).map((key) => queue.delete(key));
  const numbers = Array.from({ length: next.count }, (_, index) => fresh + index);
  if (type === 'pushMany') return numbers.map(push);
  return numbers.map(() => {
    const { first } = queue;
    return [first, queue.delete(first ?? -1)];
  });
}

describe('a Fifo', () => {
  test('agrees with an array', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const fifo = new Fifo<number, string>();
        const model = new Model();
        for (const [index, next] of steps.entries()) {
          const fresh = 1000 * (1 + index);
          expect(run(fifo, next, fresh)).toEqual(run(model, next, fresh));
          const entries = model.entries();
          expect([...fifo.entries()]).toEqual(entries);
          expect([...fifo]).toEqual(entries.map(([key]) => key));
          expect([...fifo.values()]).toEqual(entries.map(([, value]) => value));
          expect(fifo.size).toBe(model.size);
          const keys = [1000, fresh, ...entries.slice(0, 2).map(([key]) => key)];
          for (const key of keys) {
            expect([fifo.has(key), fifo.get(key)]).toEqual([model.has(key), model.get(key)]);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test('holds keys without a value, and has no first when all have left', () => {
    const fifo = new Fifo<string>();
    for (const key of ['a', 'b', 'a']) fifo.push(key);
    expect([...fifo, fifo.first]).toEqual(['a', 'b', 'a']);
    fifo.delete('a');
    fifo.push('a');
    expect([...fifo, fifo.first]).toEqual(['b', 'a', 'b']);
    for (const key of fifo) fifo.delete(key);
    expect([fifo.first, fifo.size, fifo.delete('a')]).toEqual([undefined, 0, false]);
  });

  test('finds its first as fast among many as among few', () => {
    const few = timeOfDraining(1000, 100);
    // The machine may do something else meanwhile.
    const many = Math.min(timeOfDraining(100_000, 1), timeOfDraining(100_000, 1));
    // A look over all who have left would be some hundred times as slow.
    expect(many).toBeLessThan(20 * few);
  });

  test('keeps nobody in memory who has left, while the first stays', async () => {
    const fifo = new Fifo<object>();
    fifo.push({});
    expect(fifo.first).toBeDefined();
    const left = turnOver(fifo, 10_000, 100);
    // A WeakRef holds what it was made for until the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    expect(left.filter((key) => key.deref() !== undefined).length).toBeLessThan(1000);
    expect(fifo.size).toBe(101);
  });
});

/** So many come, and each leaves when so many have come after it. Returns those that left. */
function turnOver(fifo: Fifo<object>, count: number, waiting: number): WeakRef<object>[] {
  const keys: object[] = [];
  const left: WeakRef<object>[] = [];
  for (let index = 0; index < count; index++) {
    keys.push({ index });
    fifo.push(keys.at(-1)!);
    if (keys.length <= waiting) continue;
    const key = keys.shift()!;
    fifo.delete(key);
    left.push(new WeakRef(key));
  }
  return left;
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
}

/** Milliseconds of taking so many from the head, so many times. */
function timeOfDraining(size: number, times: number): number {
  const start = performance.now();
  for (let round = 0; round < times; round++) {
    const fifo = new Fifo<number>();
    for (let key = 0; key < size; key++) fifo.push(key);
    while (fifo.size > 0) fifo.delete(fifo.first!);
  }
  return performance.now() - start;
}
