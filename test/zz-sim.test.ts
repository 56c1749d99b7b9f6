import { test } from 'vitest';
import { writeFileSync } from 'node:fs';
import { runSuite } from '/work/main/src/testing/suite.ts';
import { majordomoSuite } from '/work/main/src/testing/majordomo/suite.ts';
test('sim', () => {
  const report = runSuite(majordomoSuite, { schedules: Number(process.env.N ?? 500), seed: Number(process.env.SEED ?? 1) });
  const { repro, ...rest } = report;
  writeFileSync('/tmp/report.json', JSON.stringify(rest, null, 1));
  console.log(rest.schedules / rest.seconds, 'schedules/s', rest.schedules, rest.shortfalls);
  if (repro) { writeFileSync('/tmp/repro.json', JSON.stringify(repro, null, 1)); console.log(repro.message, JSON.stringify(repro.plan)); console.log(repro.transcript.slice(-60).join('\n')); }
}, 200000);
