/** The fingerprint: equal for equal futures, different for anything that matters. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BoundedQueue } from '../../src/core/bounded-queue.ts';
import { fingerprintOf } from '../../src/core/fingerprint.ts';

const of = (state: unknown, now = 0): string => fingerprintOf(state, now);

const at = (now: number) => ({ link: { beatAt: now + 5, expiresAt: now + 9 }, count: 3 });

const ring = (count: number): object => {
  const state = { count, self: {} as object, list: [] as object[] };
  state.self = state;
  state.list.push(state);
  return state;
};

describe('instants', () => {
  test('enter relative to now, under any depth', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), (now) => {
        expect(of(at(now), now)).toBe(of(at(0)));
      }),
    );
    expect(of({ beatAt: 6 })).not.toBe(of({ beatAt: 5 }));
  });

  test('that never come are never, at any time', () => {
    expect(of({ dueAt: Infinity }, 7)).toBe(of({ dueAt: Infinity }));
  });

  test('other numbers enter as they are', () => {
    expect(of({ count: 5 }, 7)).toBe(of({ count: 5 }));
    expect(of({ count: 5 }, 1)).not.toBe(of({ count: 4 }, 0));
  });

  test('also as the items of a collection named so', () => {
    expect(of({ dueAt: [3, 4] }, 1)).toBe(of({ dueAt: [2, 3] }));
    expect(of({ dueAt: new Map([['a', 3]]) }, 1)).toBe(of({ dueAt: new Map([['a', 2]]) }));
  });
});

describe('what differs has another fingerprint', () => {
  test.each<[what: string, a: unknown, b: unknown]>([
    ['the order of an array', [1, 2], [2, 1]],
    ['the order of a set', new Set([1, 2]), new Set([2, 1])],
    ['the order of a map', new Map([['a', 1], ['b', 2]]), new Map([['b', 2], ['a', 1]])], // prettier-ignore
    ['a key', { a: 1 }, { b: 1 }],
    ['a type', ['1'], [1]],
    ['null and undefined', [null], [undefined]],
    ['a boolean', [true], [false]],
    ['bytes', [Uint8Array.of(1)], [Uint8Array.of(2)]],
    ['where one frame ends', [Uint8Array.of(1), Uint8Array.of(2)], [Uint8Array.of(1, 2)]],
    ['where one text ends', ['ab', 'c'], ['a', 'bc']],
    ['where one text ends, if it looks like the border', ['a', 'b'], ['a;string:b']],
    ['nesting', [[1], 2], [[1, 2]]],
    ['what an iterable holds', queueOf('a'), queueOf('b')],
    ['how much an iterable holds', queueOf('a'), queueOf('a', 'a2')],
    ['the order of an iterable', queueOf('a', 'b'), queueOf('b', 'a')],
    ['a shared object and two equal ones', shared(true), shared(false)],
  ])('%s', (_what, a, b) => {
    expect(of(a)).not.toBe(of(b));
  });

  test('any two different lists of words', () => {
    const words = fc.array(fc.string());
    fc.assert(
      fc.property(words, words, (a, b) => {
        expect(of(a) === of(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('any state', () => {
  test('may hold cycles', () => {
    expect(of(ring(1))).toBe(of(ring(1)));
    expect(of(ring(1))).not.toBe(of(ring(2)));
  });

  test('must be data', () => {
    expect(() => of({ go: () => 1 })).toThrow('go is a function');
    expect(() => of({ name: Symbol('x') })).toThrow('name is a symbol');
  });

  test('is left as it was, and gives 16 hexadecimal digits', () => {
    const state = new Map([['a', new Set([1])]]);
    expect(of(state)).toMatch(/^[0-9a-f]{16}$/);
    expect(of(state)).toBe(of(structuredClone(state)));
  });
});

function queueOf(...items: string[]): BoundedQueue<string> {
  const queue = new BoundedQueue<string>({ limit: 9, bytes: 99 });
  for (const item of items) queue.push(item, 1);
  return queue;
}

function shared(isShared: boolean): object[] {
  const one = { at: 1 };
  return [one, isShared ? one : { at: 1 }];
}
