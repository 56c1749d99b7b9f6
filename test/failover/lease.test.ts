/** A lease is never used for longer than the promise behind it, whatever the clocks and the network do. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextEpoch, otherRole, roleOf } from '../../src/failover/epochs.ts';
import { claimInterval, promiseEndsAt, usableLease, useEndsAt } from '../../src/failover/lease.ts';
import { Claims, newClaims } from '../../src/failover/claims.ts';

/** A clock that began anywhere and runs at any rate that is allowed. */
const clockOf = (drift: number): fc.Arbitrary<{ readonly offset: number; readonly rate: number }> =>
  fc.record({
    offset: fc.integer({ min: 0, max: 1_000_000 }),
    rate: fc.oneof(
      fc.constantFrom(1 - drift, 1 + drift),
      fc.double({ min: 1 - drift, max: 1 + drift, noNaN: true }),
    ),
  });

const cases = fc.constantFrom(0, 0.01, 0.2).chain((clockDrift) =>
  fc.record({
    clockDrift: fc.constant(clockDrift),
    lease: fc.constantFrom(10, 1000, 60_000),
    candidate: clockOf(clockDrift),
    voter: clockOf(clockDrift),
    sentAt: fc.integer({ min: 0, max: 10_000 }),
    transit: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100_000 })),
  }),
);

describe('under any clocks', () => {
  test('the use ends before the promise does', () => {
    fc.assert(
      fc.property(cases, ({ clockDrift, lease, candidate, voter, sentAt, transit }) => {
        const at = (clock: typeof voter, time: number): number => clock.offset + clock.rate * time;
        const timeOf = (clock: typeof voter, shown: number): number =>
          (shown - clock.offset) / clock.rate;
        const useEnds = timeOf(candidate, useEndsAt(at(candidate, sentAt), { lease, clockDrift }));
        const promiseEnds = timeOf(voter, promiseEndsAt(at(voter, sentAt + transit), lease));
        expect(useEnds).toBeLessThanOrEqual(promiseEnds + 1e-6);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test('no longer use would do: the slowest candidate and the fastest voter end together', () => {
    const [lease, clockDrift] = [1000, 0.1];
    const use = usableLease({ lease, clockDrift }) / (1 - clockDrift);
    expect(use).toBeCloseTo(lease / (1 + clockDrift), 9);
  });

  test('with clocks that agree all of it is used, and it is claimed again three times before', () => {
    expect(usableLease({ lease: 1000, clockDrift: 0 })).toBe(1000);
    expect(claimInterval({ lease: 1000, clockDrift: 0 })).toBe(250);
  });
});

describe('the claims of one server', () => {
  const settings = { lease: 1000, clockDrift: 0 };
  const grant = { type: 'grant', pair: 'p', role: 'primary', life: 1, epoch: 1 } as const;

  test('count from their sending, and not from their grant', () => {
    const claims = new Claims(newClaims(), settings);
    expect(claims.sent(100, 1, false)).toBe(1);
    expect(claims.granted(900, { ...grant, number: 1 })).toBe(true);
    expect(claims.leaseEndsAt).toBe(1100);
  });

  test('a grant that comes when its use is over is none', () => {
    const claims = new Claims(newClaims(), settings);
    claims.sent(100, 1, false);
    expect(claims.granted(1100, { ...grant, number: 1 })).toBe(false);
    expect(claims.leaseEndsAt).toBe(-Infinity);
  });

  test('an earlier one makes the lease no shorter', () => {
    const claims = new Claims(newClaims(), settings);
    claims.sent(100, 1, false);
    claims.sent(350, 1, false);
    claims.granted(400, { ...grant, number: 2 });
    expect(claims.granted(401, { ...grant, number: 1 })).toBe(false);
    expect(claims.leaseEndsAt).toBe(1350);
  });

  test('what was forgotten is not granted', () => {
    const claims = new Claims(newClaims(), settings);
    claims.sent(100, 1, false);
    claims.forget();
    expect(claims.answers({ number: 1, epoch: 1 })).toBe(false);
    expect(claims.granted(200, { ...grant, number: 1 })).toBe(false);
  });

  test('their memory is bounded', () => {
    const state = newClaims();
    const claims = new Claims(state, settings);
    for (let count = 0; count < 100; count++) claims.sent(100, 1, false);
    expect(state.outstanding).toHaveLength(16);
    claims.sent(2000, 1, false);
    expect(state.outstanding).toHaveLength(1);
  });
});

describe('epochs', () => {
  test('are odd for the primary and even for the backup, above all that is known', () => {
    expect([0, 1, 2, 3].map((known) => nextEpoch('primary', known))).toEqual([1, 3, 3, 5]);
    expect([0, 1, 2, 3].map((known) => nextEpoch('backup', known))).toEqual([2, 2, 4, 4]);
    expect([0, 1, 2].map(roleOf)).toEqual([undefined, 'primary', 'backup']);
    expect(otherRole('primary')).toBe('backup');
  });
});
