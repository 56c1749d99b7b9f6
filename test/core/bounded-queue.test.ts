/** The bounded queue against a plain array. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BoundedQueue } from '../../src/core/bounded-queue.ts';

interface Item {
  readonly id: number;
  readonly bytes: number;
}

const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('push' as const), bytes: fc.nat(12) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('shift' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const), index: fc.nat(6) }) },
);

describe('BoundedQueue', () => {
  test('agrees with an array, and never exceeds its bounds', () => {
    const bounds = fc.record({ limit: fc.nat(5), bytes: fc.nat(30) });
    const operations = fc.array(operation, { maxLength: 60, size: 'max' });
    fc.assert(
      fc.property(bounds, operations, ({ limit, bytes: byteLimit }, steps) => {
        const queue = new BoundedQueue<Item>({ limit, bytes: byteLimit });
        let model: Item[] = [];
        const total = () => model.reduce((sum, { bytes }) => sum + bytes, 0);
        for (const [id, step] of steps.entries()) {
          let actual: unknown;
          let expected: unknown;
          if (step.type === 'push') {
            const item = { id, bytes: step.bytes };
            const fits = model.length < limit && total() + item.bytes <= byteLimit;
            actual = queue.push(item, item.bytes);
            expected = fits;
            if (fits) model.push(item);
          } else if (step.type === 'shift') {
            actual = [queue.peek(), queue.shift()];
            expected = [model[0], model.shift()];
          } else {
            const item = model[step.index] ?? { id: -1, bytes: 0 };
            actual = queue.delete(item);
            expected = model.includes(item);
            model = model.filter((other) => other !== item);
          }
          expect(actual).toEqual(expected);
          expect([...queue]).toEqual(model);
          expect(queue.size).toBe(model.length);
          expect(queue.bytes).toBe(total());
          expect(queue.bytes).toBeLessThanOrEqual(byteLimit);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('refuses rather than drops, and takes in again once there is room', () => {
    const queue = new BoundedQueue<string>({ limit: 2, bytes: 10 });
    expect([queue.push('a', 6), queue.push('b', 5), queue.push('c', 4)]).toEqual([
      true,
      false,
      true,
    ]);
    expect(queue.push('d', 0)).toBe(false);
    expect(queue.shift()).toBe('a');
    expect(queue.push('b', 6)).toBe(true);
    expect([...queue]).toEqual(['c', 'b']);
  });
});
