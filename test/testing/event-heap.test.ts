import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventHeap, ScheduledEvent } from '../../src/testing/event-heap.ts';

describe('event heap', () => {
  it('orders by instant, then by insertion, and skips what was cancelled', () => {
    const plan = fc.array(
      fc.record({ at: fc.integer({ min: 0, max: 20 }), isCancelled: fc.boolean() }),
      { maxLength: 700, size: 'max' },
    );
    fc.assert(
      fc.property(plan, (entries) => {
        const heap = new EventHeap();
        const seen: number[] = [];
        const events = entries.map((_, index) => new ScheduledEvent(() => void seen.push(index)));
        entries.forEach(({ at }, index) => heap.push(at, events[index]!));
        entries.forEach(({ isCancelled }, index) => {
          if (isCancelled) events[index]!.cancel();
        });
        for (;;) {
          const at = heap.next;
          const event = heap.pop();
          if (event === undefined) break;
          event.run();
          expect(entries[seen.at(-1)!]!.at).toBe(at);
        }
        const expected = entries
          .map(({ at, isCancelled }, index) => ({ at, isCancelled, index }))
          .filter(({ isCancelled }) => !isCancelled)
          .toSorted((a, b) => a.at - b.at || a.index - b.index);
        expect(seen).toEqual(expected.map(({ index }) => index));
        expect(heap.size).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps its order while events come and go', () => {
    const heap = new EventHeap();
    const times = [5, 3, 9, 1, 7];
    for (const at of times) heap.push(at, new ScheduledEvent(() => undefined));
    expect(heap.next).toBe(1);
    heap.pop();
    heap.push(2, new ScheduledEvent(() => undefined));
    const order: number[] = [];
    for (; heap.next < Infinity; heap.pop()) order.push(heap.next);
    expect(order).toEqual([2, 3, 5, 7, 9]);
  });

  it('runs an event once', () => {
    let runs = 0;
    const event = new ScheduledEvent(() => runs++);
    event.run();
    event.run();
    expect(runs).toBe(1);
    expect(event.isOver).toBe(true);
  });
});
