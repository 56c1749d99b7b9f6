/** What a server does about what it reads in etcd. */
import { describe, expect, test } from 'vitest';
import {
  decide,
  viewOf,
  type Candidate,
  type ElectionView,
} from '../../src/failover/etcd-decision.ts';

const LEADER = { server: 'first', epoch: 4, endpoint: 'tcp://first:5555', lease: '7' };
const LAST = { server: 'first', epoch: 4, alone: false };
const SECOND: Candidate = {
  server: 'second',
  lease: undefined,
  holds: Infinity,
  highest: 4,
  isPromoted: false,
  patientUntil: 100,
};
const FIRST = { ...SECOND, server: 'first' };
const VACANT: ElectionView = { leader: undefined, last: LAST };

function decided(candidate: Candidate, view: ElectionView, now = 0): string {
  const { type, ...rest } = decide(now, view, candidate);
  return 'epoch' in rest ? `${type} ${rest.epoch}` : type;
}

describe('somebody leads', () => {
  test.each([
    ['another one', SECOND, 'follow'],
    ['another one, whatever was said to us', { ...SECOND, isPromoted: true }, 'follow'],
    ['another one, while we have a lease too', { ...SECOND, lease: '8' }, 'follow'],
    ['ourselves in an earlier life', { ...FIRST, lease: '8' }, 'follow'],
    ['ourselves', { ...FIRST, lease: '7' }, 'serve 4'],
    ['ourselves, and there was a later reign', { ...FIRST, lease: '7', highest: 5 }, 'release'],
  ])('%s', (_, candidate, decision) => {
    expect(decided(candidate, { leader: LEADER, last: LAST })).toBe(decision);
  });
});

describe('nobody leads', () => {
  test.each([
    ['without state anybody may', SECOND, 'claim 5'],
    ['the epoch is above all that is known', { ...SECOND, highest: 9 }, 'claim 10'],
    ['one that has all the state may', { ...SECOND, holds: 4 }, 'claim 5'],
    ['one that lacks some may not', { ...SECOND, holds: 3 }, 'standBack'],
    ['unless it was told to', { ...SECOND, holds: 0, isPromoted: true }, 'claim 5'],
    ['the last leader may at once if it has its state', { ...FIRST, holds: 4 }, 'claim 5'],
    ['and waits for those who have it if it lost it', { ...FIRST, holds: 0 }, 'wait'],
  ])('%s', (_, candidate, decision) => {
    expect(decided(candidate, VACANT)).toBe(decision);
  });

  test('the last leader does not wait for ever', () => {
    expect(decided({ ...FIRST, holds: 0 }, VACANT, 99)).toBe('wait');
    expect(decided({ ...FIRST, holds: 0 }, VACANT, 100)).toBe('claim 5');
  });

  test('and nobody ever did', () => {
    const never = { leader: undefined, last: undefined };
    expect(decided({ ...SECOND, holds: 0, highest: 0 }, never)).toBe('claim 1');
  });

  test.each([
    ['who served alone goes first', { ...FIRST, holds: 0 }, 'claim 5'],
    ['nobody else may, as nobody has what it did', { ...SECOND, holds: 4 }, 'standBack'],
    ['unless told to', { ...SECOND, holds: 4, isPromoted: true }, 'claim 5'],
  ])('after one that served alone: %s', (_, candidate, decision) => {
    const view = { leader: undefined, last: { ...LAST, alone: true } };
    expect(decided(candidate, view)).toBe(decision);
  });
});

const textOf = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));

const keys = (leader?: unknown, last?: unknown) =>
  new Map(
    Object.entries({ leader, last, other: 'x' })
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, { value: textOf(value), lease: '7' }]),
  );

describe('what the keys hold', () => {
  const { lease: _, ...leader } = LEADER;

  test('is read', () => {
    expect(viewOf(keys())).toEqual({ leader: undefined, last: undefined });
    expect(viewOf(keys(leader, LAST))).toEqual({ leader: LEADER, last: LAST });
    const later = { ...leader, added: 'in a later version' };
    expect(viewOf(keys(later)).leader).toEqual(LEADER);
  });

  test.each([
    ['leader', keys('')],
    ['leader', keys('null')],
    ['leader', keys({ ...leader, epoch: 0 })],
    ['leader', keys({ ...leader, epoch: '4' })],
    ['leader', keys({ ...leader, endpoint: 5555 })],
    ['last', keys(leader, '{')],
    ['last', keys(leader, [LAST])],
    ['last', keys(leader, { ...LAST, alone: 'no' })],
    ['last', keys(leader, { ...LAST, epoch: 2 ** 60 })],
  ])('is refused if it is nothing of ours: %s', (key, values) => {
    expect(() => viewOf(values)).toThrow(`the key '${key}'`);
  });
});
