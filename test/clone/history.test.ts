/** The history of a stream, and the lineage that says whose history it is. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { History } from '../../src/clone/stream/history.ts';
import { Lineage, LINEAGE_LIMIT } from '../../src/clone/stream/lineage.ts';
import { updateOf, type Update } from '../../src/clone/stream/update.ts';

function updateAt(sequence: number, bytes = 10): Update {
  return updateOf({ sequence, kind: 'set', key: '/k', value: [new Uint8Array(bytes)] });
}

/** @param count accepted and published */
function historyOf(count: number, historyLimit = 10, historyBytes = 100_000): History {
  const history = new History({ historyLimit, historyBytes });
  for (let sequence = 1; sequence <= count; sequence++) {
    history.accept(updateAt(sequence));
    history.publish();
  }
  return history;
}

describe('a history', () => {
  test('keeps no more than its bounds, and twice as much of what somebody needs', () => {
    const history = historyOf(50);
    history.trim(Infinity);
    expect([history.first, history.size]).toEqual([41, 10]);
    const needed = historyOf(50);
    needed.trim(45);
    expect([needed.first, needed.size]).toEqual([41, 10]);
    const long = historyOf(50);
    long.trim(38);
    expect([long.first, long.size]).toEqual([38, 13]);
    const longest = historyOf(50);
    longest.trim(1);
    expect([longest.first, longest.size]).toEqual([31, 20]);
  });

  test('counts bytes too, and may keep nothing at all', () => {
    const { weight } = updateAt(1);
    const history = historyOf(10, 100, 3 * weight);
    history.trim(Infinity);
    expect([history.size, history.bytes]).toEqual([3, 3 * weight]);
    history.accept(updateAt(11, 10_000));
    history.publish();
    history.trim(Infinity);
    expect([history.size, history.bytes, history.first]).toEqual([0, 0, 12]);
  });

  test('never lets go of what is not public', () => {
    const history = historyOf(3, 1);
    for (let sequence = 4; sequence <= 20; sequence++) history.accept(updateAt(sequence));
    history.trim(Infinity);
    expect([history.first, history.published, history.accepted]).toEqual([3, 3, 20]);
    history.dropStaged(10);
    expect(history.accepted).toBe(9);
    history.dropStaged();
    expect([history.accepted, history.stagedBytes]).toEqual([3, 0]);
  });

  test('takes each update in its turn alone', () => {
    const history = historyOf(3);
    expect(() => history.accept(updateAt(5))).toThrow(RangeError);
    expect(() => history.accept(updateAt(3))).toThrow(RangeError);
    expect(() => history.publish()).toThrow(RangeError);
    history.restart(7);
    history.accept(updateAt(8));
    expect(history.next.sequence).toBe(8);
  });

  test('has any of them at hand, whatever was done', () => {
    const steps = fc.array(fc.constantFrom('accept', 'accept', 'publish', 'trim', 'drop'), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(steps, (each) => {
        const history = new History({ historyLimit: 5, historyBytes: 100_000 });
        const model = new Map<number, Update>();
        for (const step of each) {
          const { accepted, published } = history;
          if (step === 'accept') {
            const update = updateAt(accepted + 1, accepted % 7);
            model.set(update.sequence, update);
            history.accept(update);
          } else if (step === 'publish' && published < accepted) history.publish();
          else if (step === 'trim') history.trim(Infinity);
          else if (step === 'drop') {
            history.dropStaged();
            for (let one = published + 1; one <= accepted; one++) model.delete(one);
          }
        }
        const { first, accepted } = history;
        expect(history.get(first - 1)).toBeUndefined();
        expect(history.get(accepted + 1)).toBeUndefined();
        const all = Array.from({ length: history.size }, (_, index) => first + index);
        expect(all.map((one) => history.get(one))).toEqual(all.map((one) => model.get(one)));
        const bytes = all.reduce((sum, one) => sum + model.get(one)!.weight, 0);
        expect(history.bytes + history.stagedBytes).toBe(bytes);
      }),
      { numRuns: 300, seed: 6 },
    );
  });
});

describe('a lineage', () => {
  test('knows the positions of its past, and those of others not', () => {
    const lineage = new Lineage();
    lineage.begin(3, 0);
    lineage.begin(5, 10);
    lineage.begin(6, 12);
    const has = (epoch: number, sequence: number): boolean => lineage.has({ epoch, sequence }, 20);
    expect([has(3, 10), has(3, 11)]).toEqual([true, false]);
    expect([has(5, 12), has(5, 13)]).toEqual([true, false]);
    expect([has(6, 20), has(6, 21)]).toEqual([true, false]);
    // Who follows a reign calls by that epoch also what it took over.
    expect(has(6, 1)).toBe(true);
    expect([has(4, 10), has(4, 0)]).toEqual([false, true]);
    expect(lineage.epoch).toBe(6);
  });

  test('remembers so many reigns', () => {
    const lineage = new Lineage();
    for (let epoch = 1; epoch <= LINEAGE_LIMIT + 5; epoch++) lineage.begin(epoch, epoch);
    expect(lineage.reigns).toHaveLength(LINEAGE_LIMIT);
    expect(lineage.has({ epoch: 5, sequence: 5 }, 1000)).toBe(false);
    expect(lineage.has({ epoch: 6, sequence: 6 }, 1000)).toBe(true);
  });
});
