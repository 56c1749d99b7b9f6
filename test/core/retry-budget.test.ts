/** How many further copies may leave. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RetryBudget } from '../../src/core/retry-budget.ts';

const spendAll = (budget: RetryBudget): number => {
  let spent = 0;
  while (budget.spend()) spent++;
  return spent;
};

const earn = (budget: RetryBudget, requests: number): void => {
  for (let request = 0; request < requests; request++) budget.earn();
};

describe('the retry budget', () => {
  test('is full at first, and no fuller later', () => {
    const budget = new RetryBudget({ retryBudget: 0.5, retryBurst: 3 });
    expect(budget.tokens).toBe(3);
    earn(budget, 100);
    expect(budget.tokens).toBe(3);
    expect(spendAll(budget)).toBe(3);
    expect(budget.spend()).toBe(false);
    expect(budget.tokens).toBe(0);
  });

  test('gains a token with ten tenths, and not with nine', () => {
    const budget = new RetryBudget({ retryBudget: 0.1, retryBurst: 10 });
    spendAll(budget);
    earn(budget, 9);
    expect(budget.spend()).toBe(false);
    earn(budget, 1);
    expect(budget.spend()).toBe(true);
    expect(budget.tokens).toBe(0);
  });

  test.each([
    [{ retryBudget: 0, retryBurst: 2 }, 2],
    [{ retryBudget: 10, retryBurst: 0 }, 0],
  ])('of %o is never more than %d', (settings, most) => {
    const budget = new RetryBudget(settings);
    let spent = spendAll(budget);
    for (let request = 0; request < 50; request++) {
      budget.earn();
      spent += spendAll(budget);
    }
    expect(spent).toBe(most);
  });

  test('in the long run lets out its part, whenever it is spent', () => {
    const steps = fc.array(fc.boolean(), { maxLength: 400, size: 'max' });
    const parts = fc.constantFrom(0.1, 0.25, 1 / 3, 1, 2);
    fc.assert(
      fc.property(parts, fc.nat(5), steps, (retryBudget, retryBurst, isRequest) => {
        const budget = new RetryBudget({ retryBudget, retryBurst });
        let [requests, spent] = [0, 0];
        for (const step of isRequest) {
          if (step) {
            budget.earn();
            requests++;
          } else if (budget.spend()) spent++;
          expect(spent).toBeLessThanOrEqual(retryBurst + requests * retryBudget + 1e-3);
        }
      }),
      { numRuns: 200 },
    );
  });
});
