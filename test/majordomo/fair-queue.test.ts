/** Fairness between clients, and what comes back goes first. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  append,
  createFairQueue,
  isEmpty,
  itemsOf,
  putBack,
  remove,
  take,
  type FairQueue,
  type Queued,
} from '../../src/majordomo/fair-queue.ts';

function queueOf(...clients: string[]): FairQueue<Queued> {
  const queue = createFairQueue<Queued>();
  for (const [id, client] of clients.entries()) append(queue, { id, client });
  return queue;
}

function takeAll(queue: FairQueue<Queued>): string[] {
  const taken: string[] = [];
  for (let item = take(queue); item !== undefined; item = take(queue)) {
    taken.push(item.client + item.id);
  }
  return taken;
}

describe('a fair queue', () => {
  test('serves one request of each client in turn', () => {
    expect(takeAll(queueOf('a', 'a', 'a', 'b', 'b', 'c'))).toEqual([
      'a0',
      'b3',
      'c5',
      'a1',
      'b4',
      'a2',
    ]);
  });

  test('does not let a thousand requests of one client starve the one of another', () => {
    const queue = queueOf(...Array.from({ length: 1000 }, () => 'greedy'));
    take(queue);
    append(queue, { id: 1000, client: 'modest' });
    expect([take(queue)?.client, take(queue)?.client]).toEqual(['greedy', 'modest']);
  });

  test('waits at most one round: a client that asks again stands behind all others', () => {
    const queue = queueOf('a', 'b', 'c');
    take(queue);
    append(queue, { id: 3, client: 'a' });
    expect(takeAll(queue)).toEqual(['b1', 'c2', 'a3']);
  });

  test('serves what came back before all others, the oldest first', () => {
    const queue = queueOf('a', 'b', 'a', 'b');
    const [a0, b1, a2] = [take(queue)!, take(queue)!, take(queue)!];
    for (const item of [a2, a0, b1]) putBack(queue, item);
    expect(takeAll(queue)).toEqual(['a0', 'b1', 'a2', 'b3']);
  });

  test('agrees with a naive model, and loses and doubles nothing', () => {
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('append'), which: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('take'), which: fc.constant(0) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('putBack'), which: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('remove'), which: fc.nat(9) }) },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80, size: 'max' }), (operations) => {
        const queue = createFairQueue<Queued>();
        let returned: Queued[] = [];
        let fresh: Queued[] = [];
        let round: string[] = [];
        const out: Queued[] = [];
        const actual: unknown[] = [];
        const model: unknown[] = [];
        for (const [id, { do: what, which }] of operations.entries()) {
          if (what === 'append') {
            const item = { id, client: `c${which}` };
            append(queue, item);
            fresh.push(item);
            if (!round.includes(item.client)) round.push(item.client);
          } else if (what === 'take') {
            const client = round[0];
            const expected = returned[0] ?? fresh.find((item) => item.client === client);
            actual.push(take(queue));
            model.push(expected);
            if (expected === undefined) continue;
            out.push(expected);
            if (returned.length === 0) round.push(round.shift()!);
            returned = returned.filter((item) => item !== expected);
            fresh = fresh.filter((item) => item !== expected);
          } else if (what === 'putBack') {
            const [item] = out.splice(which, 1);
            if (item === undefined) continue;
            putBack(queue, item);
            returned = [...returned, item].toSorted((a, b) => a.id - b.id);
          } else {
            const item = [...returned, ...fresh][which] ?? { id: -1, client: 'nobody' };
            actual.push(remove(queue, item));
            model.push(item.id >= 0);
            returned = returned.filter((other) => other !== item);
            fresh = fresh.filter((other) => other !== item);
          }
          expect(actual).toEqual(model);
          round = round.filter((client) => fresh.some((item) => item.client === client));
          expect(new Set(itemsOf(queue))).toEqual(new Set([...returned, ...fresh]));
          expect(isEmpty(queue)).toBe(returned.length + fresh.length === 0);
        }
      }),
      { numRuns: 300 },
    );
  });
});
