/** The checker of what is written down around a Titanic: each way to be wrong is noticed, and by its name. */
import { describe, expect, test } from 'vitest';
import {
  checkTitanicHistory,
  type TitanicHistoryEntry,
  type TitanicHistoryReport,
} from '../../src/testing/titanic-history.ts';

const id = 'a'.repeat(32);

/** Each is about the one request of these histories, at its own time. */
const submitting = (at: number, more?: object): TitanicHistoryEntry =>
  Object.assign(
    { type: 'submitting', id, at, delay: 0, fate: 'reply', failures: 0 } as const,
    more,
  );
const submitted = (at: number): TitanicHistoryEntry => ({ type: 'submitted', id, at });
const handled = (at: number): TitanicHistoryEntry => ({ type: 'handled', id, at, worker: 'w' });
const fetched = (at: number, more?: object): TitanicHistoryEntry =>
  Object.assign(
    { type: 'fetched', id, at, askedAt: at - 1, reply: 'r', intact: true } as const,
    more,
  );
const told = (type: 'pending' | 'dead' | 'unknown', at: number): TitanicHistoryEntry =>
  Object.assign({ type, id, at, askedAt: at - 1 });
const closing = (at: number): TitanicHistoryEntry => ({ type: 'closing', id, at });
const closed = (at: number): TitanicHistoryEntry => ({ type: 'closed', id, at });
const killed = (at: number): TitanicHistoryEntry => ({ type: 'killed', at, name: 'titanic' });
const listed = (...ids: string[]): TitanicHistoryEntry => ({ type: 'listed', ids });

/** Another request, of which all is as it should be. */
const SOUND = [submitting(1), submitted(2), handled(3), fetched(4), closing(5), closed(6)].map(
  (entry) => ({ ...entry, id: 'b'.repeat(32) }),
);

function check(...entries: TitanicHistoryEntry[]): TitanicHistoryReport {
  return checkTitanicHistory([...SOUND, ...entries]);
}

/** Begun, acknowledged and executed. */
const EXECUTED = [submitting(10), submitted(11), handled(12)];

describe('a history is sound', () => {
  test.each<[string, TitanicHistoryEntry[]]>([
    [
      'from submit to close',
      [...EXECUTED, fetched(13), fetched(14), closing(15), closed(16), told('unknown', 18)],
    ],
    ['pending, done, and kept', [...EXECUTED, told('pending', 13), fetched(20), listed(id)]],
    ['submitted twice under one id', [submitting(9), ...EXECUTED, submitted(12), fetched(13)]],
    ['never acknowledged, and unknown', [submitting(10), told('unknown', 12), listed()]],
    [
      'unknown before it was acknowledged',
      [submitting(10), told('unknown', 12), submitted(12), handled(13), fetched(14)],
    ],
    ['executed twice around a kill', [...EXECUTED, killed(13), handled(14), fetched(15)]],
    [
      'a dead letter after two attempts',
      [
        submitting(10, { fate: 'dead', failures: 1 }),
        submitted(11),
        handled(12),
        handled(13),
        told('dead', 14),
        told('dead', 16),
      ],
    ],
    [
      'closed before it was due',
      [submitting(10, { delay: 100 }), submitted(11), closing(12), closed(13)],
    ],
    [
      'closed while it was on its way',
      [submitting(10), submitted(11), closing(12), closed(13), handled(14)],
    ],
  ])('%s', (_, entries) => {
    expect(check(...entries).violations).toEqual([]);
  });

  test('and is told in numbers, in any order', () => {
    const entries = [...EXECUTED, killed(13), handled(14), fetched(15)];
    const { violations, ...figures } = check(...entries.toReversed());
    expect(violations).toEqual([]);
    expect(figures).toMatchObject({ submitted: 2, fetched: 2, dead: 0, closed: 1 });
    expect(figures).toMatchObject({ executed: 3, repeated: 1, overtaken: 0, kills: 1, failed: {} });
  });
});

describe('a history is not sound', () => {
  test.each<[string, string, TitanicHistoryEntry[]]>([
    ['lost', 'unknown after it was acknowledged', [...EXECUTED, fetched(13), told('unknown', 15)]],
    ['lost', 'not listed', [...EXECUTED, fetched(13), listed()]],
    ['unanswered', 'no outcome in the end', [...EXECUTED, listed(id)]],
    ['changed', 'another reply', [...EXECUTED, fetched(13), fetched(14, { reply: 's' })]],
    ['corrupt', 'the reply to another', [...EXECUTED, fetched(13, { intact: false })]],
    ['forged', 'a reply of nobody', [submitting(10), submitted(11), fetched(13)]],
    ['wrongFate', 'dead, though its handler is sound', [...EXECUTED, told('dead', 14)]],
    [
      'wrongFate',
      'a reply of a failing handler',
      [submitting(10, { fate: 'dead' }), handled(11), fetched(12)],
    ],
    ['regressed', 'pending again', [...EXECUTED, fetched(13), told('pending', 15)]],
    [
      'early',
      'before its delay was over',
      [submitting(10, { delay: 100 }), submitted(11), handled(90), fetched(120)],
    ],
    ['resurrected', 'fetched after its close', [...EXECUTED, closing(13), closed(14), fetched(16)]],
    ['resurrected', 'listed after its close', [...EXECUTED, closing(13), closed(14), listed(id)]],
    [
      'executedAfterClose',
      'done when it was closed',
      [...EXECUTED, fetched(13), closing(14), closed(15), killed(16), handled(17)],
    ],
    [
      'executedAfterClose',
      'not due when it was closed',
      [submitting(10, { delay: 100 }), submitted(11), closing(12), closed(13), handled(120)],
    ],
    [
      'executedAfterClose',
      'long after',
      [submitting(10), submitted(11), closing(12), closed(13), handled(3000)],
    ],
    ['excess', 'executed twice without a kill', [...EXECUTED, killed(9), handled(14), fetched(15)]],
    ['unexpected', 'nobody submitted it', [handled(12)]],
    ['unexpected', 'listed, though nobody submitted it', [listed(id)]],
    ['duplicated', 'listed twice', [...EXECUTED, fetched(13), listed(id, id)]],
  ])('%s: %s', (invariant, _, entries) => {
    expect(check(...entries).violations.map((each) => each.invariant)).toEqual([invariant]);
  });

  test('changed, and of the wrong fate: a reply, and a dead letter', () => {
    const { violations } = check(...EXECUTED, fetched(13), told('dead', 14));
    expect(violations.map(({ invariant }) => invariant)).toEqual(['changed', 'wrongFate']);
  });

  test('empty: without a reply it proves nothing', () => {
    const { violations } = checkTitanicHistory([submitting(10)]);
    expect(violations.map(({ invariant }) => invariant)).toEqual(['empty']);
  });
});
