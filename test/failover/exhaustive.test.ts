/**
 * The exhaustive search of pair and witness: nothing is found in the real machines, and what is wrong with
 * planted ones is. `SEARCH_TICKS=2` and `SEARCH_FAULTS=1` make it larger.
 */
import { describe, expect, test } from 'vitest';
import { PairMachine } from '../../src/failover/pair-machine.ts';
import { WitnessMachine } from '../../src/failover/witness-machine.ts';
import type { Machines } from '../../src/testing/failover/actors.ts';
import { search, type SearchOptions } from '../../src/testing/failover/search.ts';

/** How many ticks and faults more than usual: each costs several times as much. */
const MORE_TICKS = Number(process.env['SEARCH_TICKS'] ?? 0);
const MORE_FAULTS = Number(process.env['SEARCH_FAULTS'] ?? 0);

/** Where the search begins: with a pair that starts, and with one that serves. */
const searches: readonly (readonly [string, SearchOptions])[] = [
  ['with a witness, from the start', { hasWitness: true, prelude: 0, ticks: 10, faults: 1 }],
  ['with a witness, once one serves', { hasWitness: true, prelude: 20, ticks: 12, faults: 1 }],
  ['with a witness and two faults', { hasWitness: true, prelude: 20, ticks: 8, faults: 2 }],
  ['with votes, from the start', { hasWitness: false, prelude: 0, ticks: 8, faults: 1 }],
  ['with votes, once one serves', { hasWitness: false, prelude: 12, ticks: 10, faults: 1 }],
];

describe('the exhaustive search', () => {
  test.each(searches)(
    'finds nothing %s',
    (name, options) => {
      const { ticks, faults } = options;
      const report = search({
        ...options,
        ticks: ticks + MORE_TICKS,
        faults: faults + MORE_FAULTS,
      });
      const { worlds, steps, states, settled, isCut, violation, trail } = report;
      process.stdout.write(
        `${name}: ${worlds} worlds, ${steps} steps, ${states} states of a machine, ${settled} settled\n`,
      );
      expect({ message: violation?.message, trail }).toEqual({ message: undefined, trail: [] });
      expect(isCut).toBe(false);
      expect(worlds).toBeGreaterThan(1000);
      expect(settled).toBeGreaterThan(50);
    },
    3_600_000,
  );
});

/** A witness that forgets its word: when the backup claims, its clock runs ahead. */
class Forgetful extends WitnessMachine {
  override handleCommand(now: number, ...rest: Tail<WitnessMachine['handleCommand']>): void {
    const [, , { role }] = rest;
    super.handleCommand(role === 'backup' ? now + 1000 : now, ...rest);
  }
}

/** A server that uses its lease for longer than it has it. */
class Late extends PairMachine {
  override epochAt(now: number): number {
    return super.epochAt(now - 60);
  }
}

type Tail<Method> = Method extends (now: number, ...rest: infer Rest) => void ? Rest : never;

describe('what is wrong is found', () => {
  const planted: readonly (readonly [string, string, Partial<Machines>])[] = [
    [
      'a witness that does not keep its word',
      'one serves',
      {
        witness: (outbox, records, state) =>
          new Forgetful(outbox, { pairLimit: 1 }, records, state),
      },
    ],
    [
      'a lease that is used for too long',
      'one serves',
      { pair: (outbox, settings, record, state) => new Late(outbox, settings, record, state) },
    ],
  ];

  test.each(planted)('%s', (_, invariant, machines) => {
    const report = search({ hasWitness: true, prelude: 20, ticks: 14, faults: 1, machines });
    expect(report.violation?.invariant).toBe(invariant);
    expect(report.trail.length).toBeGreaterThan(10);
  });
});
