/** A store that is full, fails or is damaged; how long things are kept; operators; and the end. */
import { describe, expect, test } from 'vitest';
import { decodeText } from '../../src/core/frames.ts';
import type { RequestPage, TitanicMachineStatus } from '../../src/titanic/admin-view.ts';
import type { Question, RequestSummary } from '../../src/titanic/commands.ts';
import { Recovery } from '../../src/titanic/recovery.ts';
import { TitanicMachine } from '../../src/titanic/titanic-machine.ts';
import { body } from '../actor.ts';
import { A, B, C, D, idOf, short, storySettings, TitanicStory } from './titanic-story.ts';

const discarded = (titanic: TitanicStory) =>
  titanic.took('discarded').map(({ id, reason }) => `${short(id)} ${reason}`);

function told<Value>(titanic: TitanicStory, question: Question): Value {
  const token = titanic.ask(question);
  const given = titanic.took('answer').find((event) => event.token === token);
  return JSON.parse(decodeText(given!.answer.body![0]!)) as Value;
}

/** One that is dead. */
function kill(titanic: TitanicStory, id: string, message = 'no luck'): void {
  titanic.submit(id, 'x', { retries: 0 });
  for (const execution of titanic.executions) {
    if (execution.id === id) titanic.fail(execution, 'failed', message);
  }
}

/** A life in which these keys cannot be read. */
function damaged(titanic: TitanicStory, ...keys: string[]): TitanicStory {
  const disk = new Map(titanic.disk);
  for (const key of keys) disk.set(key, body('{ not JSON'));
  return new TitanicStory(titanic.settings, disk);
}

describe('a full store', () => {
  test('refuses submits with 500, and fetches and closes go on', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    titanic.call({ type: 'storage', state: 'full' });
    titanic.hold();
    titanic.submit(B);
    expect(titanic.stores[0]?.batch.urgent).toBeUndefined();
    titanic.stored('ERR_STORAGE_FULL');
    titanic.fetch(A);
    titanic.close(A);
    expect(titanic.stores[0]?.batch.urgent).toBe(true);
    titanic.stored();
    expect(titanic.answers.slice(1)).toEqual([
      '2 500 ERR_STORAGE_FULL',
      '3 stored reply:a',
      '4 200',
    ]);
    expect(titanic.took('storeFailed')).toHaveLength(1);
  });

  test('begins nothing, and is asked every second whether it takes anything', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.call({ type: 'storage', state: 'full' });
    titanic.fail(1, 'poison');
    titanic.hold();
    titanic.wait(999);
    expect([titanic.writing, titanic.begun]).toEqual([[], ['a#1']]);
    titanic.wait(1);
    expect(titanic.stores.map(({ batch }) => batch)).toEqual([{ puts: [], deletes: [] }]);
    titanic.stored('ERR_STORAGE_FULL');
    titanic.wait(1000);
    expect(titanic.stores).toHaveLength(1);
    titanic.call({ type: 'storage', state: 'open' });
    titanic.release();
    expect(titanic.begun).toEqual(['b#1']);
    expect(titanic.records).toEqual(['attempts:b', 'dead:a', 'request:a', 'request:b']);
  });

  test('a reply that it refuses is kept, shown to nobody, and stored later', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.fetch(A, 60_000);
    titanic.hold();
    titanic.reply(1, 'precious');
    titanic.stored('ERR_STORAGE_FULL');
    titanic.call({ type: 'storage', state: 'full' });
    titanic.fetch(A);
    expect(titanic.answers).toEqual(['1 200 a', '3 300']);
    expect(titanic.machine.status()).toMatchObject({ running: 1, keptBytes: 8, executing: 0 });
    titanic.call({ type: 'storage', state: 'open' });
    titanic.release();
    expect(titanic.answers).toEqual(['2 stored reply:a']);
    expect(titanic.disk.get(`reply:${A}`)?.slice(1).map(decodeText)).toEqual(['precious']);
    expect(titanic.machine.status().keptBytes).toBe(0);
  });

  test('a kept reply is tried again also if nobody says that there is room', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.submit(B);
    titanic.hold();
    titanic.reply(1);
    titanic.stored('ERR_STORAGE_FULL');
    titanic.reply(2);
    expect(titanic.writing).toEqual([]);
    titanic.wait(1000);
    expect(titanic.writing).toEqual(['']);
    titanic.stored();
    expect(titanic.writing).toEqual(['reply:a -request:a', 'reply:b -request:b']);
    titanic.release();
    expect([titanic.stateOf(A), titanic.stateOf(B)]).toEqual(['done', 'done']);
  });

  test('what is kept is bounded: beyond that an attempt is lost', () => {
    const titanic = new TitanicStory({ pendingBytes: 10, retries: 5 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.call({ type: 'storage', state: 'full' });
    titanic.hold();
    titanic.reply(1, '12345678');
    titanic.reply(2, '123');
    expect(titanic.machine.status().keptBytes).toBe(8);
    expect(titanic.took('attemptFailed')).toMatchObject([{ id: B, end: 'lost' }]);
  });

  test('what is kept is bounded, also if it is refused only in the end', () => {
    const titanic = new TitanicStory({ pendingBytes: 10, retries: 5 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.hold();
    titanic.reply(1, '12345678');
    titanic.reply(2, '123');
    titanic.stored('ERR_STORAGE_FULL');
    titanic.stored('ERR_STORAGE_FULL');
    expect(titanic.machine.status().keptBytes).toBe(8);
    expect(titanic.took('attemptFailed')).toMatchObject([{ id: B, end: 'lost' }]);
    titanic.call({ type: 'storage', state: 'open' });
    titanic.release();
    titanic.wait(1000);
    expect(titanic.begun).toEqual(['a#1', 'b#1', 'b#2']);
  });

  test('a kept reply of a request that is closed is forgotten', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.call({ type: 'storage', state: 'full' });
    titanic.reply(1, 'precious');
    titanic.close(A);
    titanic.call({ type: 'storage', state: 'open' });
    expect([titanic.records, titanic.machine.status().keptBytes]).toEqual([['closed:a'], 0]);
  });
});

test('a store that has failed is not asked again, but for what clients ask', () => {
  const titanic = new TitanicStory();
  titanic.submit(A);
  titanic.submit(B, 'x', { delay: 10 });
  titanic.call({ type: 'storage', state: 'failed' });
  titanic.hold();
  titanic.reply(1);
  titanic.wait(60_000);
  expect([titanic.writing, titanic.machine.nextTimeout]).toEqual([[], Infinity]);
  titanic.submit(C);
  titanic.close(A);
  titanic.stored('ERR_STORAGE_FAILED');
  titanic.stored('ERR_STORAGE_FAILED');
  const refused = '500 ERR_STORAGE_FAILED';
  expect(titanic.answers.slice(2)).toEqual([`3 ${refused}`, `4 ${refused}`]);
  expect(titanic.stateOf(A)).toBe('running');
});

describe('what has ended is kept', () => {
  test('for so long, by the wall clock', () => {
    const titanic = new TitanicStory({ retentionAge: 1000 });
    titanic.finish(A);
    titanic.wait(400);
    kill(titanic, B);
    const next = titanic.restart();
    next.wait(599);
    expect(discarded(next)).toEqual([]);
    next.wait(1);
    expect(discarded(next)).toEqual(['a age']);
    next.wait(400);
    expect(discarded(next)).toEqual(['b age']);
    expect(next.records).toEqual([]);
    next.fetch(A);
    expect(next.answers).toEqual(['1 400 ERR_UNKNOWN_REQUEST']);
  });

  test('for no longer if the wall clock was set back', () => {
    const titanic = new TitanicStory({ retentionAge: 1000, closedAge: 1000 });
    titanic.finish(A);
    titanic.close(B);
    const next = titanic.restart({ wallClock: 0 });
    next.wait(1000);
    expect(next.records).toEqual([]);
  });

  test('up to so many, the oldest goes first', () => {
    const titanic = new TitanicStory({ retentionCount: 2 });
    titanic.submit(D, 'x', { delay: 1000 });
    for (const id of [C, A, B]) titanic.finish(id);
    expect(discarded(titanic)).toEqual(['c count']);
    expect(titanic.records).toEqual(['reply:a', 'reply:b', 'request:d']);
  });

  test('up to so many bytes', () => {
    const titanic = new TitanicStory({ retentionBytes: 10 });
    titanic.finish(A, '12345');
    titanic.finish(B, '12345');
    expect(discarded(titanic)).toEqual([]);
    titanic.finish(C, '12');
    expect(discarded(titanic)).toEqual(['a bytes']);
    expect(titanic.machine.status().retainedBytes).toBe(7);
  });

  test('what is pending is never discarded, whatever the bounds', () => {
    const settings = { retentionAge: 10, retentionCount: 1, retentionBytes: 1 };
    const titanic = new TitanicStory({ ...settings, concurrency: 1 });
    titanic.submit(A, 'long enough');
    titanic.submit(B, 'long enough');
    titanic.submit(C, 'long enough', { delay: 5000 });
    titanic.wait(1000);
    const next = titanic.restart();
    next.wait(1000);
    const records = ['attempts:a', 'request:a', 'request:b', 'request:c'];
    expect([next.records, discarded(next)]).toEqual([records, []]);
  });

  test('many are discarded in one batch, and one batch at a time', () => {
    const titanic = new TitanicStory({ retentionAge: 1000 });
    for (let number = 1; number <= 1200; number++) titanic.finish(idOf(number));
    const next = titanic.restart({ retentionCount: 2000 });
    next.hold();
    next.wait(1000);
    expect(next.stores.map(({ batch }) => [batch.deletes.length, batch.urgent])).toEqual([
      [100, true],
    ]);
  });

  test('what cannot be discarded stays as it was, and is tried again later', () => {
    const titanic = new TitanicStory({ retentionAge: 1000 });
    titanic.finish(A);
    titanic.hold();
    titanic.wait(1000);
    titanic.stored('ERR_STORAGE_FULL');
    expect([titanic.writing, titanic.stateOf(A)]).toEqual([[], 'done']);
    titanic.wait(1000);
    expect(titanic.writing).toEqual(['', '-reply:a']);
    titanic.release();
    expect(titanic.stateOf(A)).toBeUndefined();
  });

  test('one that is closed while it is discarded is remembered as closed', () => {
    const titanic = new TitanicStory({ retentionAge: 1000 });
    titanic.finish(A);
    titanic.hold();
    titanic.wait(1000);
    titanic.close(A);
    expect(titanic.writing).toEqual(['-reply:a']);
    titanic.release();
    expect(titanic.records).toEqual(['closed:a']);
    expect(titanic.answers.at(-1)).toBe('2 200');
  });

  test('closed ids are remembered for so long, and so many', () => {
    const titanic = new TitanicStory({ closedAge: 1000, closedCount: 2 });
    for (const id of [A, B, C]) {
      titanic.close(id);
      titanic.wait(100);
    }
    expect(titanic.records).toEqual(['closed:b', 'closed:c']);
    const next = titanic.restart();
    next.wait(800);
    expect(next.records).toEqual(['closed:c']);
    next.submit(B);
    next.wait(100);
    expect([next.answers, next.records]).toEqual([['1 200 b'], ['request:b']]);
  });
});

describe('a dead letter', () => {
  test('is submitted again: all its attempts are before it, without delay and deadline', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { retries: 1, deadline: 5000 });
    titanic.fail(1);
    titanic.wait(1000);
    titanic.fail(2);
    expect(titanic.stateOf(A)).toBe('dead');
    titanic.wait(10_000);
    titanic.ask({ type: 'resubmit', id: A });
    expect(titanic.answers).toEqual(['1 200 a', '2 200']);
    expect(titanic.took('requestResubmitted')).toMatchObject([{ id: A }]);
    expect(titanic.records).toEqual(['attempts:a', 'request:a']);
    const orders = titanic.executions.slice(2);
    expect(orders).toMatchObject([{ attempt: 1, timeout: 5000, idempotencyKey: `${A}:1000000:3` }]);
    const next = titanic.restart();
    expect(next.begun).toEqual(['a#2']);
    next.fail(1);
    expect(next.stateOf(A)).toBe('dead');
  });

  test('is dead until that is durable, and stays so if the store refuses', () => {
    const titanic = new TitanicStory();
    kill(titanic, A);
    titanic.hold();
    titanic.ask({ type: 'resubmit', id: A });
    titanic.fetch(A);
    titanic.ask({ type: 'resubmit', id: A });
    titanic.stored('ERR_STORAGE_FULL');
    expect(titanic.answers.slice(1)).toEqual([
      '3 500 ERR_HANDLER_FAILED',
      '4 400 ERR_INVALID_ARGUMENT',
      '2 500 ERR_STORAGE_FULL',
    ]);
    expect(titanic.machine.status()).toMatchObject({ dead: 1, pendingBytes: 0, retainedBytes: 8 });
  });

  test('only: nothing else is submitted again, nor more than may be pending', () => {
    const titanic = new TitanicStory({ pendingLimit: 1 });
    kill(titanic, A);
    titanic.submit(B);
    for (const id of [B, C, A]) titanic.ask({ type: 'resubmit', id });
    expect(titanic.answers.slice(2)).toEqual([
      '3 400 ERR_INVALID_ARGUMENT',
      '4 400 ERR_UNKNOWN_REQUEST',
      '5 500 ERR_QUEUE_FULL',
    ]);
  });

  test('is still one after a restart, with the same words', () => {
    const titanic = new TitanicStory();
    kill(titanic, A, 'no such file');
    const next = titanic.restart();
    expect(next.machine.summary(A)).toEqual(titanic.machine.summary(A));
    expect(next.machine.summary(A)).toMatchObject({ message: 'no such file', attempts: 1 });
    next.ask({ type: 'resubmit', id: A });
    expect(next.begun).toEqual(['a#1']);
  });
});

describe('an operator', () => {
  const list = { type: 'list', state: undefined, service: undefined, limit: 100 } as const;

  test('lists requests in the order of submission, by state and service, in pages', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    for (const id of [D, B, A]) titanic.submit(id);
    titanic.submit(C);
    titanic.submit(idOf(0xe), 'x', {}, 'other');
    const ids = (question: Partial<Extract<Question, { type: 'list' }>>) => {
      const page = told<RequestPage>(titanic, { ...list, after: undefined, ...question });
      return [page.requests.map(({ id }) => short(id)).join(''), page.after && short(page.after)];
    };
    expect(ids({})).toEqual(['dbace', undefined]);
    expect(ids({ state: 'waiting' })).toEqual(['bac', undefined]);
    expect(ids({ service: 'other' })).toEqual(['e', undefined]);
    expect(ids({ limit: 2 })).toEqual(['db', 'b']);
    expect(ids({ limit: 2, after: B })).toEqual(['ac', 'c']);
    // Also behind one that was closed meanwhile.
    titanic.close(B);
    expect(ids({ after: B })).toEqual(['ace', undefined]);
    titanic.ask({ ...list, after: idOf(99) });
    expect(titanic.answers.at(-1)).toContain('400 ERR_UNKNOWN_REQUEST');
    // Not even its closed id is remembered for ever.
    titanic.wait(titanic.settings.closedAge ?? 30_000);
    expect(ids({})).toEqual(['dace', undefined]);
    for (const id of [D, idOf(0xe)]) titanic.close(id);
    titanic.wait(30_000);
    expect(ids({})).toEqual(['ac', undefined]);
    titanic.submit(D);
    expect(ids({ after: C })).toEqual(['d', undefined]);
  });

  test('looks at one request, and at all', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A, 'four');
    titanic.submit(B, '', { delay: 10 });
    for (const type of ['inspect', 'status'] as const) {
      expect(told<RequestSummary>(titanic, { type, id: A })).toEqual({
        id: A,
        service: 'echo',
        state: 'running',
        attempts: 1,
        submitted: 1_000_000,
      });
    }
    titanic.ask({ type: 'inspect', id: C });
    expect(titanic.answers.at(-1)).toContain('400 ERR_UNKNOWN_REQUEST');
    const all = told<TitanicMachineStatus>(titanic, { type: 'overview' });
    expect(all).toEqual(titanic.machine.status());
    expect(all).toMatchObject({ delayed: 1, running: 1, pendingBytes: 4, executing: 1 });
    expect(all.services).toEqual({
      echo: { delayed: 1, waiting: 0, running: 1, done: 0, dead: 0, isAbsent: false },
    });
  });

  test('sees a service for as long as it has requests', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    expect(Object.keys(titanic.machine.status().services)).toEqual(['echo']);
    titanic.close(A);
    expect(titanic.machine.status().services).toEqual({});
  });
});

describe('a record that cannot be read', () => {
  const corrupt = '500 ERR_STORAGE_CORRUPT';

  test('of a pending request: it is dead, is never executed, and is said so', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.submit(B);
    const next = damaged(titanic, `request:${A}`);
    expect(next.begun).toEqual(['b#2']);
    expect(next.took('recordUnreadable')).toMatchObject([{ id: A }]);
    next.fetch(A);
    next.submit(A);
    next.ask({ type: 'resubmit', id: A });
    expect(next.answers).toEqual([`1 ${corrupt}`, `2 ${corrupt}`, `3 ${corrupt}`]);
    next.close(A);
    expect(next.records).toEqual(['attempts:b', 'closed:a', 'request:b']);
  });

  test('of a reply: it is never served, nor executed again', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    const next = damaged(titanic, `reply:${A}`);
    next.fetch(A, 1000);
    expect([next.answers, next.begun]).toEqual([[`1 ${corrupt}`], []]);
  });

  test('of attempts or of a death: it is dead, and an operator may submit it again', () => {
    for (const kind of ['attempts', 'dead']) {
      const titanic = new TitanicStory({ retries: 0 });
      titanic.submit(A);
      const next = damaged(titanic, `${kind}:${A}`);
      next.fetch(A);
      next.ask({ type: 'resubmit', id: A });
      expect(next.answers).toEqual([`1 ${corrupt}`, '2 200']);
      expect([next.begun, next.records]).toEqual([['a#1'], ['attempts:a', 'request:a']]);
    }
  });

  test('of a closed id: it is closed', () => {
    const titanic = new TitanicStory();
    titanic.close(A);
    const next = damaged(titanic, `closed:${A}`);
    next.submit(A);
    expect(next.answers).toEqual(['1 400 ERR_ID_IN_USE']);
    expect(next.took('recordUnreadable')).toHaveLength(1);
  });

  test('that only the storage could tell: the same, and so for keys that are not ours', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    const recovery = new Recovery();
    recovery.unreadable(`request:${A}`, 'its checksum fails');
    recovery.unreadable('what:ever', 'its checksum fails');
    recovery.add('request:short', []);
    const seen: string[] = [];
    const machine = new TitanicMachine(
      {
        open: () => {},
        close: () => {},
        send: () => true,
        store: () => {},
        emit: (event) => {
          if (event.type === 'recordUnreadable') seen.push(`${short(event.id)} ${event.reason}`);
        },
      },
      storySettings,
      recovery,
    );
    machine.handleTimeout(0);
    expect(seen.map(short)).toEqual([
      'a request:a: its checksum fails',
      ' what:ever: no key of a Titanic',
      ' request:short: no key of a Titanic',
    ]);
    expect(machine.summary(A)).toMatchObject({ state: 'dead', code: 'ERR_STORAGE_CORRUPT' });
  });

  test('that is missing: the same', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.reply(1);
    kill(titanic, C);
    const disk = new Map(titanic.disk);
    disk.delete(`request:${B}`);
    const next = new TitanicStory({}, disk);
    expect(next.took('recordUnreadable')).toMatchObject([
      { id: B, reason: `request:${B} is missing` },
    ]);
    next.fetch(B);
    next.close(B);
    expect(next.answers).toEqual([`1 ${corrupt}`, '2 200']);
  });

  test('that the store finds later: a running request is dead at once', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.finish(B);
    titanic.fetch(A, 1000);
    for (const id of [A, B, C]) titanic.call({ type: 'unreadable', id, reason: 'rust' });
    titanic.fetch(B);
    expect(titanic.answers.slice(2)).toEqual([`3 ${corrupt}`, `4 ${corrupt}`]);
    titanic.reply(1);
    expect(titanic.machine.status()).toMatchObject({ running: 0, dead: 2, executing: 0 });
    expect(titanic.took('recordUnreadable').map(({ id }) => short(id))).toEqual(['a', 'b']);
  });

  test('left over beside a reply is deleted with it', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    const left = titanic.disk.get(`request:${A}`)!;
    titanic.reply(1);
    titanic.disk.set(`request:${A}`, left);
    const next = titanic.restart();
    expect([next.stateOf(A), next.begun]).toEqual(['done', []]);
    next.close(A);
    expect(next.records).toEqual(['closed:a']);
  });
});

describe('the end', () => {
  test('a drain begins nothing, and ends when nothing runs and all is written', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.call({ type: 'drain' });
    titanic.submit(C, 'x', {}, 'other');
    titanic.fetch(A, 60_000);
    titanic.hold();
    titanic.reply(1);
    expect(titanic.took('drained')).toEqual([]);
    titanic.release();
    expect(titanic.took('drained')).toHaveLength(1);
    expect(titanic.begun).toEqual(['a#1']);
    expect(titanic.answers).toEqual(['1 200 a', '2 200 b', '3 200 c', '4 stored reply:a']);
    expect(titanic.machine.nextTimeout).toBe(Infinity);
  });

  test('an idle one is drained at once, and its long polls are answered', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { delay: 1000 });
    titanic.fetch(A, 60_000);
    titanic.call({ type: 'drain' });
    expect(titanic.took('drained')).toHaveLength(1);
    titanic.submit(B);
    titanic.fetch(A, 1000);
    titanic.close(A);
    const closing = '500 ERR_STORAGE_FAILED';
    expect(titanic.answers).toEqual(['1 200 a', '2 300', `3 ${closing}`, '4 300', `5 ${closing}`]);
    expect(titanic.records).toEqual(['request:a']);
  });

  test('a stop does not wait: what runs is abandoned, and nobody is left without an answer', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.fetch(A, 60_000);
    titanic.hold();
    titanic.submit(B);
    titanic.submit(B);
    titanic.close(C);
    titanic.call({ type: 'stop' });
    const closing = '500 ERR_STORAGE_FAILED';
    expect(titanic.answers).toEqual([
      '1 200 a',
      `3 ${closing}`,
      `4 ${closing}`,
      `5 ${closing}`,
      '2 300',
    ]);
    expect(titanic.took('abandon')).toMatchObject([{ execution: 1 }]);
    expect(titanic.took('drained')).toHaveLength(1);
    titanic.release();
    titanic.reply(1);
    titanic.call({ type: 'stop' });
    expect([titanic.answers, titanic.took('drained')]).toEqual([[], []]);
    const next = titanic.restart();
    expect(next.begun).toEqual(['a#2', 'b#2']);
  });

  test('an attempt that is being stored when a drain begins is handed back', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.call({ type: 'drain' });
    titanic.release();
    expect([titanic.begun, titanic.took('drained').length]).toEqual([[], 1]);
  });
});
