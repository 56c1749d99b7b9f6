/** What every suite owes `npm test`: schedules from a fixed seed, and each of its stored failures. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { replay, runSuite, type Repro } from '../../src/testing/suite.ts';
import { suites } from '../../src/testing/suites.ts';

const SEED = 20_261_122;
const SCHEDULES = 5000;

const repros = new URL('../repro/', import.meta.url);

function readRepro(file: string): Repro {
  return JSON.parse(readFileSync(new URL(file, repros), 'utf8'));
}

/** Declares the tests of the suite of this name. */
export function testSimulation(name: string): void {
  const suite = suites[name];
  if (suite === undefined) throw new Error(`there is no suite '${name}'`);

  describe(`the ${name} suite`, () => {
    test(`breaks no invariant in ${SCHEDULES} schedules, and reaches its gates`, () => {
      const report = runSuite(suite, { schedules: SCHEDULES, seed: SEED });
      expect(report.repro?.message).toBeUndefined();
      expect(report.shortfalls).toEqual([]);
      expect(report.schedules).toBe(SCHEDULES);
      expect(report.determinismChecks).toBe(SCHEDULES / 100);
    }, 240_000);

    // Of two suites one may be named as the other begins: what is in the file says which it is of.
    const files = readdirSync(repros)
      .filter((file) => file.startsWith(`${name}-`))
      .filter((file) => readRepro(file).suite === name);
    test.each(files)('keeps %s mended', (file) => {
      const repro = readRepro(file);
      const { violation, transcript } = replay(suite, repro.plan);
      expect(violation?.message).toBeUndefined();
      expect(transcript.length).toBeGreaterThan(10);
    });
  });
}
