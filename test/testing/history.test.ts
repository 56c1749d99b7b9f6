/** The history checker sees what was planted, and nothing in a sound history. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkHistory, type HistoryEntry } from '../../src/testing/history.ts';

const requested = (id: string, client = 'c'): HistoryEntry => ({ type: 'requested', id, client });
const handled = (id: string, worker = 'w'): HistoryEntry => ({ type: 'handled', id, worker });
const failed = (id: string, client = 'c', code = 'ERR_WORKER_LOST'): HistoryEntry => ({
  type: 'failed',
  id,
  client,
  code,
});
const killed = (client: string): HistoryEntry => ({ type: 'killed', client });
const replied = (id: string, more: object = {}): HistoryEntry => ({
  type: 'replied',
  id,
  client: 'c',
  answers: id,
  worker: 'w',
  intact: true,
  ...more,
});

/** Three requests: replied at once, replied at the second worker, failed. */
const SOUND: readonly HistoryEntry[] = [
  requested('1'),
  handled('1'),
  replied('1'),
  requested('2'),
  handled('2', 'dead'),
  handled('2'),
  replied('2'),
  requested('3'),
  failed('3'),
];

const invariantsOf = (entries: readonly HistoryEntry[]): string[] =>
  checkHistory(entries).violations.map(({ invariant }) => invariant);

const without = (type: HistoryEntry['type'], id: string): HistoryEntry[] =>
  SOUND.filter((entry) => entry.type !== type || !('id' in entry) || entry.id !== id);

describe('the history checker', () => {
  test('counts a sound history', () => {
    expect(checkHistory(SOUND)).toEqual({
      requested: 3,
      replied: 2,
      failed: { ERR_WORKER_LOST: 1 },
      abandoned: 0,
      repeated: 1,
      violations: [],
    });
  });

  test('does not depend on the order of the entries', () => {
    const permutations = fc.shuffledSubarray([...SOUND], { minLength: SOUND.length });
    fc.assert(
      fc.property(permutations, (entries) => {
        expect(checkHistory(entries)).toEqual(checkHistory(SOUND));
      }),
    );
  });

  const PLANTED: [what: string, invariant: string, entries: readonly HistoryEntry[]][] = [
    ['a request without an outcome', 'lost', [...SOUND, requested('4')]],
    ['a lost reply', 'lost', without('replied', '2')],
    ['a lost failure', 'lost', without('failed', '3')],
    ['a second reply', 'duplicated', [...SOUND, replied('1')]],
    ['a second failure', 'duplicated', [...SOUND, failed('3')]],
    ['a reply after a failure', 'duplicated', [...SOUND, failed('1')]],
    ['a reply to what nobody asked', 'unexpected', without('requested', '1')],
    ['a failure of what nobody asked', 'unexpected', [...SOUND, failed('9')]],
    ['a handler of what nobody asked', 'unexpected', [...SOUND, handled('9')]],
    [
      'the reply of another request',
      'misdelivered',
      [...without('replied', '1'), replied('1', { answers: '2' })],
    ],
    [
      'the reply at another client',
      'misdelivered',
      [...without('replied', '1'), replied('1', { client: 'd' })],
    ],
    [
      'the failure at another client',
      'misdelivered',
      [...without('failed', '3'), failed('3', 'd')],
    ],
    ['a reply that no worker made', 'forged', without('handled', '1')],
    [
      'a reply of a worker that did not have it',
      'forged',
      [...without('replied', '1'), replied('1', { worker: 'x' })],
    ],
    ['another payload', 'corrupt', [...without('replied', '1'), replied('1', { intact: false })]],
    ['an id of two clients', 'reusedId', [...SOUND, requested('1', 'd')]],
    ['an id used again', 'reusedId', [...SOUND, requested('1')]],
    [
      'a client killed, but not the one that waits',
      'lost',
      [...SOUND, requested('4'), killed('d')],
    ],
    ['an empty history', 'empty', []],
    ['a history without a reply', 'empty', [requested('1'), failed('1')]],
  ];

  test.each(PLANTED)('sees %s', (_what, invariant, entries) => {
    expect(invariantsOf(entries)).toEqual([invariant]);
  });

  test('asks no outcome of a killed client, but allows one', () => {
    const entries = [...SOUND, requested('4'), killed('c')];
    expect(checkHistory(entries)).toMatchObject({ abandoned: 1, replied: 2, violations: [] });
  });

  test('names the request and what happened to it', () => {
    const [violation] = checkHistory([...SOUND, replied('1')]).violations;
    expect(violation?.message).toBe('duplicated: request 1: ended 2 times: replied, replied');
  });
});
