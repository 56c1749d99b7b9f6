/** How long replies take of late. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ResponseTimes, smoothed } from '../../src/freelance/response-times.ts';

const timesOf = (all: readonly number[]): ResponseTimes => {
  const times = new ResponseTimes();
  for (const milliseconds of all) times.add(milliseconds);
  return times;
};

/** The same by sorting. */
function sortedP95(all: readonly number[]): number {
  const sorted = all.slice(-100).toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1]!;
}

describe('the p95 of recent times', () => {
  test('is not known before there are twenty', () => {
    const times = timesOf(Array.from({ length: 19 }, (_, index) => index));
    expect(times.p95).toBeUndefined();
    times.add(100);
    expect(times.p95).toBe(18);
  });

  test('is the 95th of a hundred', () => {
    expect(timesOf(Array.from({ length: 100 }, (_, index) => 100 - index)).p95).toBe(95);
  });

  test('forgets what was before the last hundred', () => {
    const times = timesOf(Array.from({ length: 100 }, () => 1000));
    for (let index = 0; index < 94; index++) times.add(1);
    expect(times.p95).toBe(1000);
    times.add(1);
    expect(times.p95).toBe(1);
    expect([...times].filter((time) => time === 1000)).toHaveLength(5);
  });

  test('is what sorting gives, with times that repeat too', () => {
    const time = fc.oneof(fc.nat(5), fc.nat(10_000), fc.double({ min: 0, max: 50, noNaN: true }));
    const all = fc.array(time, { minLength: 20, maxLength: 350, size: 'max' });
    fc.assert(
      fc.property(all, (given) => {
        const times = timesOf(given);
        expect(times.p95).toBe(sortedP95(given));
        expect([...times]).toEqual(given.slice(-100));
      }),
      { numRuns: 200 },
    );
  });
});

describe('the smoothed time', () => {
  test('begins with the first one, and follows slowly', () => {
    expect(smoothed(undefined, 80)).toBe(80);
    expect(smoothed(80, 0)).toBe(70);
    expect(smoothed(0, 80)).toBe(10);
  });

  test('comes to what all are, from wherever it began', () => {
    let average = 10_000;
    for (let index = 0; index < 100; index++) average = smoothed(average, 5);
    expect(average).toBeCloseTo(5, 1);
  });
});
