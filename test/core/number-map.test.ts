/** NumberMap against a Map. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NumberMap } from '../../src/core/number-map.ts';

interface Value {
  readonly number: number;
}

type Step =
  | { readonly type: 'add'; readonly gap: number }
  | { readonly type: 'delete'; readonly which: number }
  | { readonly type: 'keepOnly'; readonly every: number }
  | { readonly type: 'clear' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('add' as const),
      gap: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 40 })),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant('delete' as const), which: fc.nat(1000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('keepOnly' as const), every: fc.nat(20) }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'clear' as const }) },
);

describe('a NumberMap', () => {
  test('is a Map, if numbers are set in ascending order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600, size: 'max' }), (steps) => {
        const map = new NumberMap<Value>();
        const model = new Map<number, Value>();
        let number = -1;
        const deleted: [boolean, boolean][] = [];
        const forget = (key: number): void => {
          deleted.push([map.delete(key), model.delete(key)]);
        };
        for (const action of steps) {
          if (action.type === 'clear') {
            map.clear();
            model.clear();
          } else if (action.type === 'add') {
            number += action.gap;
            map.set(number, { number });
            model.set(number, { number });
          } else if (action.type === 'delete') {
            forget(action.which);
          } else {
            for (const key of [...model.keys()].filter((_, index) => index % 20 !== action.every)) {
              forget(key);
            }
          }
          expect(map.size).toBe(model.size);
        }
        for (const [ours, theirs] of deleted) expect(ours).toBe(theirs);
        expect([...map]).toEqual([...model]);
        expect([...map.keys()]).toEqual([...model.keys()]);
        expect([...map.values()]).toEqual([...model.values()]);
        for (let key = -1; key <= number + 1; key++) {
          expect(map.get(key)).toEqual(model.get(key));
          expect(map.has(key)).toBe(model.has(key));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('one that stays does not keep the places of thousands that left', () => {
    const map = new NumberMap<Value>();
    map.set(0, { number: 0 });
    for (let number = 1; number < 100_000; number++) {
      map.set(number, { number });
      if (number > 10) map.delete(number - 10);
    }
    expect(map.get(0)).toEqual({ number: 0 });
    expect([...map.keys()].slice(0, 2)).toEqual([0, 99_990]);
  });

  test('several that stay are all found, while thousands come and go', () => {
    const map = new NumberMap<Value>();
    const stay = [0, 1, 2];
    for (const number of stay) map.set(number, { number });
    for (let number = 3; number < 5000; number++) {
      map.set(number, { number });
      map.delete(number);
      expect(stay.map((each) => map.get(each)?.number)).toEqual(stay);
    }
    expect(stay.map((number) => map.delete(number))).toEqual([true, true, true]);
    expect(map.size).toBe(0);
  });

  test('may be deleted from while it is iterated', () => {
    const map = new NumberMap<Value>();
    for (let number = 0; number < 1000; number++) map.set(number, { number });
    const seen: number[] = [];
    for (const key of map.keys()) {
      seen.push(key);
      map.delete(key);
      map.delete(key + 1);
    }
    expect(seen).toEqual(Array.from({ length: 500 }, (_, index) => 2 * index));
    expect(map.size).toBe(0);
  });

  test('takes a lower number too, which then comes after the old ones', () => {
    const map = new NumberMap<Value>();
    map.set(10, { number: 10 });
    map.set(5, { number: 5 });
    map.set(5, { number: 6 });
    expect(map.size).toBe(2);
    expect(map.get(5)).toEqual({ number: 6 });
  });
});
