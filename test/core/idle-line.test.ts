/** Who gets work next: the least loaded, then the one that has waited longest. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IdleLine } from '../../src/core/idle-line.ts';

function lineOf(loads: Readonly<Record<string, number>>): IdleLine<string> {
  const line = new IdleLine<string>();
  for (const [worker, load] of Object.entries(loads)) line.enter(worker, load);
  return line;
}

describe('the idle line', () => {
  test('is empty at first, and when all have left', () => {
    const line = new IdleLine<string>();
    expect([line.first, line.size]).toEqual([undefined, 0]);
    line.enter('a', 3);
    line.leave('a');
    line.leave('a');
    expect([line.first, line.size, [...line]]).toEqual([undefined, 0, []]);
  });

  test('begins with the least loaded, and of these with who came first', () => {
    expect([...lineOf({ a: 2, b: 0, c: 1, d: 0 })]).toEqual(['b', 'd', 'c', 'a']);
    expect(lineOf({ a: 2, b: 1 }).first).toBe('b');
  });

  test('puts a worker that comes back to a load behind the others with it', () => {
    const line = lineOf({ a: 0, b: 0 });
    line.enter('a', 1);
    expect([...line]).toEqual(['b', 'a']);
    line.enter('a', 0);
    expect([...line]).toEqual(['b', 'a']);
  });

  test('keeps the place of a worker whose load has not changed', () => {
    const line = lineOf({ a: 0, b: 0 });
    line.enter('a', 0);
    expect([...line]).toEqual(['a', 'b']);
  });

  test('agrees with sorting', () => {
    const step = fc.record({ worker: fc.nat(5), load: fc.option(fc.nat(4), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const line = new IdleLine<number>();
        let model: { worker: number; load: number }[] = [];
        for (const { worker, load } of steps) {
          const stays = model.some((entry) => entry.worker === worker && entry.load === load);
          if (!stays) model = model.filter((entry) => entry.worker !== worker);
          if (load === undefined) line.leave(worker);
          else {
            line.enter(worker, load);
            if (!stays) model.push({ worker, load });
          }
          const sorted = model.toSorted((a, b) => a.load - b.load).map((entry) => entry.worker);
          expect([...line]).toEqual(sorted);
          expect(line.first).toBe(sorted[0]);
          expect(line.size).toBe(sorted.length);
        }
      }),
      { numRuns: 300 },
    );
  });
});
