/** The suite runner's own honesty: it finds what breaks, shrinks it, and fails when nothing was tested. */
import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { noEffects } from '../../src/testing/effects.ts';
import {
  GATED_FROM,
  replay,
  runSuite,
  type RunResult,
  type Suite,
} from '../../src/testing/suite.ts';
import { suites } from '../../src/testing/suites.ts';
import { Violation } from '../../src/testing/violation.ts';

/** A run in which all went well: enough deliveries, faults, completed and disturbed operations. */
const GOOD: RunResult = {
  violation: undefined,
  trace: 'same',
  effects: { ...noEffects(), delivered: 300, dropped: 1 },
  tally: { 'crash × idle': 1, 'it happened': 1 },
  faults: 3,
  completed: 1,
  disturbed: true,
  virtualTime: 1000,
};

function suiteOf(run: (plan: number) => Partial<RunResult>): Suite<number> {
  return {
    name: 'toy',
    plans: fc.nat({ max: 10_000 }),
    probes: ['it happened', 'dropped'],
    cells: ['crash × idle'],
    run: (plan) => ({ ...GOOD, ...run(plan) }),
  };
}

const options = { schedules: GATED_FROM, seed: 1 };

test('every stored failure is of a suite that there is', () => {
  const files = readdirSync('test/repro').filter((file) => file.endsWith('.json'));
  expect(files.length).toBeGreaterThan(0);
  const stray = files.filter((file) => !Object.keys(suites).includes(file.split('-', 1)[0]!));
  expect(stray).toEqual([]);
});

describe('a suite', () => {
  test('passes when every gate is reached', () => {
    const report = runSuite(
      suiteOf(() => ({})),
      options,
    );
    expect(report.shortfalls).toEqual([]);
    expect(report.repro).toBeUndefined();
    expect(report.schedules).toBe(GATED_FROM);
  });

  test('reports a broken invariant with the smallest plan that breaks it', () => {
    const suite = suiteOf((plan) =>
      plan >= 777 ? { violation: new Violation('below 777', `${plan}`) } : {},
    );
    const { repro } = runSuite(suite, options);
    expect(repro).toMatchObject({ suite: 'toy', seed: 1, invariant: 'below 777', plan: 777 });
    expect(replay(suite, repro?.plan as number).violation?.invariant).toBe('below 777');
  });

  test('does not hide an error of the suite itself', () => {
    const suite = suiteOf(() => {
      throw new TypeError('a bug in the suite');
    });
    expect(() => runSuite(suite, options)).toThrow('a bug in the suite');
  });

  test('stops at its time limit', () => {
    const report = runSuite(
      suiteOf(() => ({})),
      { ...options, timeLimit: 0 },
    );
    expect(report.schedules).toBeLessThan(GATED_FROM);
  });

  test.each<[string, (plan: number) => Partial<RunResult>]>([
    ['the same plan gave two histories', () => ({ trace: `${Math.random()}` })],
    ['completed an operation', (plan) => ({ completed: plan % 10 === 0 ? 0 : 1 })],
    ['had to recover', (plan) => ({ disturbed: plan % 10 === 0 })],
    ['deliveries', () => ({ effects: { ...GOOD.effects, delivered: 199 } })],
    ['faults with effect', () => ({ faults: 1 })],
    ['never happened: it happened', () => ({ tally: { 'crash × idle': 1 } })],
    ['never happened: dropped', () => ({ effects: { ...GOOD.effects, dropped: 0 } })],
    ['crash × idle: 0 hits', () => ({ tally: { 'it happened': 1 } })],
  ])('fails when a gate is not reached: %s', (shortfall, run) => {
    const { shortfalls } = runSuite(suiteOf(run), options);
    expect(shortfalls).toHaveLength(1);
    expect(shortfalls[0]).toContain(shortfall);
  });
});
