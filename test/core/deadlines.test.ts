/** Deadlines against a naive model: a list, sorted anew for each question. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Deadlines } from '../../src/core/deadlines.ts';

interface Named {
  readonly name: string;
}

interface Entry {
  readonly key: string;
  readonly at: number;
}

/** The latest set stands last, so that a stable sort leaves ties in the order of insertion. */
class Model {
  #entries: readonly Entry[] = [];

  get sorted(): readonly Entry[] {
    return this.#entries.toSorted((a, b) => a.at - b.at);
  }

  set(key: string, at: number): void {
    this.delete(key);
    if (at !== Infinity) this.#entries = [...this.#entries, { key, at }];
  }

  delete(key: string): void {
    this.#entries = this.#entries.filter((entry) => entry.key !== key);
  }
}

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const key = fc.constantFrom(...KEYS);
const at = fc.oneof(fc.nat(10), fc.constant(Infinity), fc.constant(-1));
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('set' as const), key, at }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('takeDue' as const), now: fc.nat(10) }) },
);

describe('Deadlines', () => {
  test('agree with a sorted list', () => {
    const operations = fc.array(operation, { maxLength: 80, size: 'max' });
    fc.assert(
      fc.property(operations, (steps) => {
        const deadlines = new Deadlines<Named>();
        const keys = new Map(KEYS.map((name) => [name, { name }]));
        const model = new Model();
        const taken: (string | undefined)[] = [];
        const expected: (string | undefined)[] = [];
        for (const step of steps) {
          if (step.type === 'set') {
            deadlines.set(keys.get(step.key)!, step.at);
            model.set(step.key, step.at);
          } else if (step.type === 'delete') {
            deadlines.delete(keys.get(step.key)!);
            model.delete(step.key);
          } else {
            const first = model.sorted[0];
            const due = first !== undefined && first.at <= step.now ? first.key : undefined;
            taken.push(deadlines.takeDue(step.now)?.name);
            expected.push(due);
            if (due !== undefined) model.delete(due);
          }
          const { sorted } = model;
          expect(deadlines.size).toBe(sorted.length);
          expect(deadlines.next).toBe(sorted[0]?.at ?? Infinity);
          for (const name of KEYS) {
            expect(deadlines.at(keys.get(name)!)).toBe(
              sorted.find((entry) => entry.key === name)?.at ?? Infinity,
            );
          }
        }
        expect(taken).toEqual(expected);
        for (const entry of model.sorted) expect(deadlines.takeDue(Infinity)?.name).toBe(entry.key);
        expect(deadlines.takeDue(Infinity)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  test('keys are compared by identity', () => {
    const deadlines = new Deadlines<object>();
    const [one, twin] = [{}, {}];
    deadlines.set(one, 1);
    deadlines.delete(twin);
    expect(deadlines.at(one)).toBe(1);
    expect(deadlines.at(twin)).toBe(Infinity);
  });

  test('what is set to the same instant again goes behind its equals', () => {
    const deadlines = new Deadlines<Named>();
    const [first, second] = [{ name: 'first' }, { name: 'second' }];
    for (const each of [first, second, first]) deadlines.set(each, 5);
    expect([deadlines.takeDue(5), deadlines.takeDue(5)]).toEqual([second, first]);
  });
});
