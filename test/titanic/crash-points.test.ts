/**
 * Every crash point of every workload of up to three operations, exhaustively: each request acknowledged
 * is done, dead or closed in the end, nothing comes back, and disk and memory agree.
 */
import { expect, test } from 'vitest';
import { crashEverywhere, type WorkloadStep } from '../../src/testing/titanic/crash-points.ts';
import type { PlannedRequest } from '../../src/testing/titanic/plan.ts';

const PLAIN: PlannedRequest = {
  service: 0,
  isOwn: true,
  behaviour: 'reply',
  work: 1,
  size: 0,
  delay: undefined,
  deadline: undefined,
  retries: undefined,
  backoff: undefined,
};

/** Retention keeps one of what has ended: a second one discards the first. */
const REQUESTS: readonly PlannedRequest[] = [
  PLAIN,
  { ...PLAIN, behaviour: 'fail', retries: 0 },
  { ...PLAIN, behaviour: 'lose', delay: 3 },
];

/** Twice the same submit is a duplicate; of an id that nobody knows, a close leaves a mark. */
const STEPS: readonly WorkloadStep[] = [
  { kind: 'submit', request: 0 },
  { kind: 'fetch', request: 0 },
  { kind: 'close', request: 0 },
  { kind: 'submit', request: 1 },
  { kind: 'resubmit', request: 1 },
  { kind: 'close', request: 1 },
  { kind: 'submit', request: 2 },
];

/** All at once, and one after the other. */
const PACES = [0, 8];

/** Asking about what nobody has submitted or closed yet changes nothing: a shorter workload does the same. */
function isIdle(before: readonly WorkloadStep[], { kind, request }: WorkloadStep): boolean {
  if (kind !== 'fetch' && kind !== 'resubmit') return false;
  return !before.some((step) => step.request === request);
}

function workloads(length: number): WorkloadStep[][] {
  if (length === 0) return [[]];
  return workloads(length - 1).flatMap((before) =>
    STEPS.filter((step) => !isIdle(before, step)).map((step) => [...before, step]),
  );
}

test.each([
  [1, 40],
  [2, 1000],
  [3, 10_000],
])(
  'workloads of %i operations survive a crash at each of their points',
  (length, least) => {
    let runs = 0;
    for (const steps of workloads(length)) {
      for (const pace of length === 1 ? [0] : PACES) {
        const report = crashEverywhere(REQUESTS, steps, pace);
        expect({ ...report, runs: 0 }).toEqual({ runs: 0, violation: undefined, point: '' });
        runs += report.runs;
      }
    }
    expect(runs).toBeGreaterThanOrEqual(least);
  },
  120_000,
);
