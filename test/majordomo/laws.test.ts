/** Majordomo's broker machine keeps the five laws; `worker-laws` and `client-laws` are the others. */
import { expect, test } from 'vitest';
import { BROKER_EVENT_TYPES } from '../../src/majordomo/broker/broker-events.ts';
import { checkLaws } from '../../src/testing/laws.ts';
import { broker, counting, type BrokerSubject } from './broker-plans.ts';
import { ONLY_IN_A_PAIR } from './failover-stories.ts';

const RUNS = { numRuns: 800, seed: 20_260 };

test('the five laws hold for the broker, and the plans reach what matters', () => {
  const types = new Set<string>();
  const build: BrokerSubject['build'] = (outbox) =>
    broker.build(counting(outbox, ({ type }) => types.add(type)));
  expect(checkLaws({ ...broker, build }, RUNS)).toBeUndefined();
  const reachable = BROKER_EVENT_TYPES.filter((type) => !ONLY_IN_A_PAIR.includes(type));
  expect([...types].toSorted()).toEqual(reachable.toSorted());
});
