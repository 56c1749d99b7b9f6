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
} from '../../src/core/fair-queue.ts';

const AGEING = 1000;

interface Item extends Queued {
  readonly owner: string;
}

const itemOf = (id: number, owner: string, more: Partial<Item> = {}): Item => ({
  id,
  owner,
  priority: 0,
  acceptedAt: 0,
  ...more,
});

function queueOf(...owners: string[]): FairQueue<Item> {
  const queue = createFairQueue<Item>();
  for (const [id, owner] of owners.entries()) append(queue, itemOf(id, owner));
  return queue;
}

function takeAll(queue: FairQueue<Item>): string[] {
  const taken: string[] = [];
  for (let item = take(queue, AGEING); item !== undefined; item = take(queue, AGEING)) {
    taken.push(item.owner + item.id);
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
    take(queue, AGEING);
    append(queue, itemOf(1000, 'modest'));
    expect([take(queue, AGEING)?.owner, take(queue, AGEING)?.owner]).toEqual(['greedy', 'modest']);
  });

  test('waits at most one round: a client that asks again stands behind all others', () => {
    const queue = queueOf('a', 'b', 'c');
    take(queue, AGEING);
    append(queue, itemOf(3, 'a'));
    expect(takeAll(queue)).toEqual(['b1', 'c2', 'a3']);
  });

  test('serves what came back before all others, the oldest first', () => {
    const queue = queueOf('a', 'b', 'a', 'b');
    const [a0, b1, a2] = [take(queue, AGEING)!, take(queue, AGEING)!, take(queue, AGEING)!];
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
        const queue = createFairQueue<Item>();
        let returned: Item[] = [];
        let fresh: Item[] = [];
        let round: string[] = [];
        const out: Item[] = [];
        const actual: unknown[] = [];
        const model: unknown[] = [];
        for (const [id, { do: what, which }] of operations.entries()) {
          if (what === 'append') {
            const item = itemOf(id, `c${which}`);
            append(queue, item);
            fresh.push(item);
            if (!round.includes(item.owner)) round.push(item.owner);
          } else if (what === 'take') {
            const client = round[0];
            const expected = returned[0] ?? fresh.find((item) => item.owner === client);
            actual.push(take(queue, AGEING));
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
            const item = [...returned, ...fresh][which] ?? itemOf(-1, 'nobody');
            actual.push(remove(queue, item));
            model.push(item.id >= 0);
            returned = returned.filter((other) => other !== item);
            fresh = fresh.filter((other) => other !== item);
          }
          expect(actual).toEqual(model);
          round = round.filter((client) => fresh.some((item) => item.owner === client));
          expect(new Set(itemsOf(queue))).toEqual(new Set([...returned, ...fresh]));
          expect(isEmpty(queue)).toBe(returned.length + fresh.length === 0);
        }
      }),
      { numRuns: 300 },
    );
  });
});

function orderOf(...items: Item[]): number[] {
  const queue = createFairQueue<Item>();
  for (const item of items) append(queue, item);
  return takeAll(queue).map((name) => Number(name.replace(/\D/g, '')));
}

describe('priorities', () => {
  test('go first, and equal ones in the order in which they came', () => {
    const low = itemOf(0, 'a');
    const high = itemOf(1, 'a', { priority: 5, acceptedAt: 10 });
    const alsoHigh = itemOf(2, 'b', { priority: 5, acceptedAt: 11 });
    expect(orderOf(low, high, alsoHigh)).toEqual([1, 2, 0]);
  });

  test('age: a step is worth so much waiting, and no more', () => {
    const old = itemOf(0, 'a', { acceptedAt: 0 });
    const soon = itemOf(1, 'b', { priority: 2, acceptedAt: 1999 });
    const late = itemOf(2, 'c', { priority: 2, acceptedAt: 2001 });
    expect(orderOf(old, soon, late)).toEqual([1, 0, 2]);
  });

  test('starve nobody, however many come', () => {
    const queue = createFairQueue<Item>();
    append(queue, itemOf(0, 'patient'));
    let waited = 0;
    for (let now = 0; now < 20 * AGEING; now += 100) {
      append(queue, itemOf(1 + now, 'urgent', { priority: 9, acceptedAt: now }));
      if (take(queue, AGEING)?.owner === 'patient') break;
      waited = now;
    }
    expect(waited).toBe(9 * AGEING - 100);
  });

  test('do not let one client starve another of the same priority', () => {
    const many = [0, 1, 2].map((id) => itemOf(id, 'greedy', { priority: 3 }));
    expect(orderOf(...many, itemOf(3, 'modest', { priority: 3, acceptedAt: 500 }))).toEqual([
      0, 3, 1, 2,
    ]);
  });

  test('do not count among what came back', () => {
    const queue = createFairQueue<Item>();
    append(queue, itemOf(0, 'a', { priority: 9 }));
    putBack(queue, itemOf(1, 'b'));
    expect(take(queue, AGEING)?.id).toBe(1);
  });

  test('leave no level behind', () => {
    const queue = createFairQueue<Item>();
    const item = itemOf(0, 'a', { priority: 4 });
    append(queue, item);
    remove(queue, item);
    append(queue, itemOf(1, 'a', { priority: 5 }));
    take(queue, AGEING);
    expect([queue.levels.size, queue.size]).toEqual([0, 0]);
  });
});
