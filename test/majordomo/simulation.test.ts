/** The Majordomo suite on the simulator: 5,000 schedules from a fixed seed, and every stored failure. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { replay, runSuite, type Repro } from '../../src/testing/suite.ts';
import { suites } from '../../src/testing/suites.ts';

const SEED = 20_261_122;
const SCHEDULES = 5000;

const repros = new URL('../repro/', import.meta.url);

describe.each(Object.entries(suites))('the %s suite', (_name, suite) => {
  test(`breaks no invariant in ${SCHEDULES} schedules, and reaches its gates`, () => {
    const report = runSuite(suite, { schedules: SCHEDULES, seed: SEED });
    expect(report.repro?.message).toBeUndefined();
    expect(report.shortfalls).toEqual([]);
    expect(report.schedules).toBe(SCHEDULES);
    expect(report.determinismChecks).toBe(SCHEDULES / 100);
  }, 120_000);
});

describe('stored failures stay mended', () => {
  const files = readdirSync(repros).filter((file) => file.endsWith('.json'));
  test.each(files)('%s', (file) => {
    const repro: Repro = JSON.parse(readFileSync(new URL(file, repros), 'utf8'));
    const suite = suites[repro.suite];
    expect(suite).toBeDefined();
    const { violation, transcript } = replay(suite!, repro.plan);
    expect(violation?.message).toBeUndefined();
    expect(transcript.length).toBeGreaterThan(10);
  });
});
