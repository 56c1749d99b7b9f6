/** What a Titanic does with a request, from its submit to its close, each told as a story. */
import { describe, expect, test } from 'vitest';
import { decodeText } from '../../src/core/frames.ts';
import { body } from '../actor.ts';
import { A, B, C, idOf, TitanicStory } from './titanic-story.ts';

describe('from submit to close', () => {
  test('everything is stored before it is said', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    expect([titanic.answers, titanic.begun, titanic.writing]).toEqual([[], [], ['request:a']]);
    expect(titanic.stateOf(A)).toBeUndefined();
    titanic.stored();
    expect(titanic.answers).toEqual(['1 200 a']);
    expect(titanic.stateOf(A)).toBe('running');
    titanic.reply(1, 'the answer');
    titanic.fetch(A);
    expect([titanic.answers, titanic.writing]).toEqual([['2 300'], ['reply:a -request:a']]);
    titanic.stored();
    titanic.fetch(A);
    expect(titanic.answers).toEqual(['3 stored reply:a']);
    titanic.close(A);
    expect([titanic.answers, titanic.writing]).toEqual([[], ['closed:a -reply:a']]);
    titanic.stored();
    titanic.fetch(A);
    expect(titanic.answers).toEqual(['4 200', '5 400 ERR_UNKNOWN_REQUEST']);
    expect(titanic.records).toEqual(['closed:a']);
  });

  test('the order to execute names the body, and the reply is stored as it came', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'question');
    expect(titanic.executions).toEqual([
      {
        type: 'execute',
        execution: 1,
        id: A,
        service: 'echo',
        key: `request:${A}`,
        attempt: 1,
        idempotencyKey: `${A}:1000000:0`,
        timeout: 5000,
      },
    ]);
    expect(titanic.disk.get(`request:${A}`)?.slice(1).map(decodeText)).toEqual(['question']);
    titanic.call({ type: 'replied', execution: 1, body: body('one', '', 'two') });
    expect(titanic.disk.get(`reply:${A}`)?.slice(1).map(decodeText)).toEqual(['one', '', 'two']);
  });

  test('an id is made for who has none', () => {
    const titanic = new TitanicStory();
    titanic.submit(undefined);
    titanic.submit(undefined);
    expect(titanic.answers).toEqual(['1 200 101', '2 200 102']);
  });

  test('what was acknowledged is there after a crash, and so is the reply', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    titanic.submit(B);
    titanic.close(C);
    const next = titanic.restart();
    expect(next.took('recovered')).toMatchObject([{ pending: 1, done: 1, dead: 0 }]);
    for (const id of [A, B, C]) next.fetch(id);
    expect(next.answers).toEqual(['1 stored reply:a', '2 300', '3 400 ERR_UNKNOWN_REQUEST']);
    expect(next.begun).toEqual(['b#2']);
  });
});

describe('submitted twice under one id', () => {
  test('while the first is being written: it waits for that, and both get the same', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.submit(A);
    expect([titanic.writing, titanic.answers]).toEqual([['request:a'], []]);
    titanic.release();
    expect(titanic.answers).toEqual(['1 200 a', '2 200 a']);
    expect(titanic.begun).toEqual(['a#1']);
  });

  test('while the first is being written, which fails: neither is acknowledged, and it may be tried again', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.submit(A);
    titanic.stored('ERR_STORAGE_FULL');
    expect(titanic.answers).toEqual(['1 500 ERR_STORAGE_FULL', '2 500 ERR_STORAGE_FULL']);
    expect([titanic.begun, titanic.records, titanic.stateOf(A)]).toEqual([[], [], undefined]);
    titanic.release();
    titanic.submit(A);
    expect(titanic.answers).toEqual(['3 200 a']);
  });

  test('later, in any state: it is acknowledged at once, and runs once', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.submit(A);
    titanic.reply(1);
    titanic.hold();
    titanic.submit(A);
    expect(titanic.answers).toEqual(['1 200 a', '2 200 a', '3 200 a']);
    expect([titanic.begun, titanic.writing]).toEqual([['a#1'], []]);
  });

  test('also after a crash', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    titanic.submit(B, 'x', { delay: 1000 });
    const next = titanic.restart();
    for (const id of [A, B]) next.submit(id);
    next.submit(B, 'something else');
    expect(next.answers).toEqual(['1 200 a', '2 200 b', '3 400 ERR_ID_IN_USE']);
  });

  test('with another body or for another service: the id is in use', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.submit(A, 'another');
    titanic.release();
    titanic.submit(A, 'x', {}, 'other');
    titanic.submit(A, 'another');
    const refused = '400 ERR_ID_IN_USE';
    expect(titanic.answers).toEqual([`2 ${refused}`, '1 200 a', `3 ${refused}`, `4 ${refused}`]);
  });

  test('where the Titanic has chosen the id: that is in use', () => {
    const titanic = new TitanicStory({ newId: () => A });
    titanic.submit(undefined);
    titanic.submit(A);
    titanic.submit(undefined);
    const refused = '400 ERR_ID_IN_USE';
    expect(titanic.answers).toEqual(['1 200 a', `2 ${refused}`, `3 ${refused}`]);
  });

  test('after it was closed: a late copy does not bring it back', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    titanic.close(A);
    titanic.close(B);
    const next = titanic.restart();
    for (const id of [A, B]) next.submit(id);
    expect(next.answers).toEqual(['1 400 ERR_ID_IN_USE', '2 400 ERR_ID_IN_USE']);
  });
});

describe('a close', () => {
  test('of a request that waits: it is not executed any more from the moment it is asked', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.hold();
    titanic.close(B);
    titanic.reply(1);
    titanic.release();
    expect(titanic.begun).toEqual(['a#1']);
    expect(titanic.answers).toEqual(['1 200 a', '2 200 b', '3 200']);
    expect(titanic.records).toEqual(['closed:b', 'reply:a']);
  });

  test('of one that runs: the attempt is abandoned when the close is durable, and its late reply is nothing', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.hold();
    titanic.close(A);
    expect(titanic.took('abandon')).toEqual([]);
    titanic.release();
    expect(titanic.took('abandon')).toMatchObject([{ execution: 1 }]);
    titanic.reply(1, 'late');
    expect(titanic.records).toEqual(['closed:a']);
    expect(titanic.machine.status()).toMatchObject({ running: 0, closed: 1, executing: 0 });
  });

  test('while its reply is being written: it waits for that, and nothing is left', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.hold();
    titanic.reply(1);
    titanic.close(A);
    expect(titanic.writing).toEqual(['reply:a -request:a']);
    titanic.stored();
    expect(titanic.writing).toEqual(['closed:a -reply:a']);
    titanic.release();
    expect(titanic.records).toEqual(['closed:a']);
  });

  test('while it is being submitted: it is acknowledged, not executed, and closed', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.close(A);
    titanic.stored();
    expect(titanic.writing).toEqual(['closed:a -request:a']);
    titanic.release();
    expect(titanic.answers).toEqual(['1 200 a', '2 200']);
    expect(titanic.begun).toEqual([]);
  });

  test('while it is being submitted, which fails: the id is closed all the same', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.close(A);
    titanic.stored('ERR_STORAGE_FULL');
    expect(titanic.writing).toEqual(['closed:a']);
    titanic.release();
    expect(titanic.answers).toEqual(['1 500 ERR_STORAGE_FULL', '2 200']);
  });

  test('while an attempt is about to begin: it does not', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.submit(C);
    titanic.executions.splice(0);
    titanic.hold();
    titanic.reply(1);
    expect(titanic.writing).toEqual(['reply:a -request:a', 'attempts:b']);
    titanic.close(B);
    titanic.stored();
    titanic.stored();
    expect(titanic.writing).toEqual(['closed:b -request:b -attempts:b', 'attempts:c']);
    titanic.release();
    expect(titanic.begun).toEqual(['c#1']);
  });

  test('of an unknown id, or once more: 200, and it is remembered', () => {
    const titanic = new TitanicStory();
    for (const id of [A, A]) titanic.close(id);
    expect(titanic.answers).toEqual(['1 200', '2 200']);
    expect(titanic.took('requestClosed')).toEqual([]);
    expect(titanic.records).toEqual(['closed:a']);
  });

  test('by several at once: one write, and an answer to each', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    titanic.hold();
    titanic.close(A);
    titanic.close(A);
    expect([titanic.writing.length, titanic.answers]).toEqual([1, ['1 200 a']]);
    titanic.release();
    expect(titanic.answers).toEqual(['2 200', '3 200']);
  });

  test('that the store refuses leaves it as it was', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.submit(C, 'x', { delay: 500 });
    titanic.hold();
    for (const id of [A, B, C]) {
      titanic.close(id);
      titanic.stored('ERR_STORAGE_FULL');
    }
    const refused = '500 ERR_STORAGE_FULL';
    expect(titanic.answers.slice(3)).toEqual([`4 ${refused}`, `5 ${refused}`, `6 ${refused}`]);
    expect([A, B, C].map((id) => titanic.stateOf(id))).toEqual(['running', 'waiting', 'delayed']);
    titanic.call({ type: 'storage', state: 'open' });
    titanic.release();
    titanic.reply(1);
    titanic.reply(2);
    titanic.wait(500);
    titanic.reply(3);
    expect(titanic.records).toEqual(['reply:a', 'reply:b', 'reply:c']);
  });

  test('that the store refuses, with the reply come meanwhile: that is stored', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.hold();
    titanic.close(A);
    titanic.reply(1);
    expect(titanic.writing).toEqual(['closed:a -request:a']);
    titanic.stored('ERR_STORAGE_FULL');
    titanic.call({ type: 'storage', state: 'open' });
    titanic.release();
    titanic.fetch(A);
    expect(titanic.answers).toEqual(['1 200 a', '2 500 ERR_STORAGE_FULL', '3 stored reply:a']);
  });

  test('holds across a crash, and what was not durable has not happened', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.hold();
    titanic.close(A);
    const before = titanic.restart();
    expect(before.begun).toEqual(['a#2']);
    titanic.release();
    const after = titanic.restart();
    expect([after.begun, after.machine.status().closed]).toEqual([[], 1]);
  });
});

describe('a fetch', () => {
  test('waits for the reply, for as long as it says', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.fetch(A, 1000);
    titanic.fetch(A, 50);
    titanic.wait(60);
    expect(titanic.answers).toEqual(['1 200 a', '3 300']);
    titanic.reply(1);
    expect(titanic.answers).toEqual(['2 stored reply:a']);
  });

  test('is not answered before the reply is durable', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.fetch(A, 1000);
    titanic.hold();
    titanic.reply(1);
    titanic.fetch(A);
    expect(titanic.answers).toEqual(['1 200 a', '3 300']);
    titanic.release();
    expect(titanic.answers).toEqual(['2 stored reply:a']);
  });

  test('that waits learns that the request is dead, or closed', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.submit(B);
    for (const id of [A, B]) titanic.fetch(id, 1000);
    titanic.fail(1, 'poison');
    titanic.close(B);
    expect(titanic.answers.slice(2)).toEqual([
      '3 500 ERR_ATTEMPTS_EXHAUSTED',
      '4 400 ERR_UNKNOWN_REQUEST',
      '5 200',
    ]);
  });

  test('that is withdrawn is not answered', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.call({ type: 'withdraw', token: titanic.fetch(A, 100) });
    titanic.reply(1);
    titanic.wait(200);
    expect([titanic.answers, titanic.machine.status().waiters]).toEqual([['1 200 a'], 0]);
  });

  test('beyond the limit of those that wait is answered at once', () => {
    const titanic = new TitanicStory({ waiterLimit: 1 });
    titanic.submit(A);
    titanic.fetch(A, 100);
    titanic.fetch(A, 100);
    expect(titanic.answers).toEqual(['1 200 a', '3 300']);
  });

  test('of an id that nobody submitted, or that is only being submitted: unknown', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.fetch(A, 1000);
    titanic.fetch(B, 1000);
    const unknown = '400 ERR_UNKNOWN_REQUEST';
    expect(titanic.answers).toEqual([`2 ${unknown}`, `3 ${unknown}`]);
  });
});

test('the status lists services whatever they are called', () => {
  const titanic = new TitanicStory();
  const names = ['__proto__', 'constructor', 'echo'];
  for (const [index, name] of names.entries()) titanic.submit(idOf(index), 'x', {}, name);
  const { services } = titanic.machine.status();
  expect(Object.entries(services).map(([name, { running }]) => [name, running])).toEqual(
    names.map((name) => [name, 1]),
  );
});

describe('bounds', () => {
  test('too many pending requests, or bytes of them: refused, until some are done', () => {
    const titanic = new TitanicStory({ pendingLimit: 2, pendingBytes: 10 });
    titanic.submit(A, '12345');
    titanic.submit(B, '123456');
    titanic.submit(B, '12345');
    titanic.submit(C, '');
    const full = '500 ERR_QUEUE_FULL';
    expect(titanic.answers).toEqual(['1 200 a', `2 ${full}`, '3 200 b', `4 ${full}`]);
    expect(titanic.took('requestRefused').map(({ code }) => code)).toEqual([
      'ERR_QUEUE_FULL',
      'ERR_QUEUE_FULL',
    ]);
    titanic.reply(1, 'done');
    titanic.submit(C, '12345');
    expect(titanic.answers).toEqual(['5 200 c']);
  });

  test('those that are only being written count', () => {
    const titanic = new TitanicStory({ pendingLimit: 1 });
    titanic.hold();
    titanic.submit(A);
    titanic.submit(B);
    expect(titanic.answers).toEqual(['2 500 ERR_QUEUE_FULL']);
    titanic.stored('ERR_STORAGE_FAILED');
    titanic.submit(B);
    expect(titanic.writing).toEqual(['request:b']);
  });

  test('a body over the limit is refused, and nothing is stored', () => {
    const titanic = new TitanicStory({ bodyLimit: 10 });
    titanic.submit(A, 'x'.repeat(11));
    titanic.submit(B, 'x'.repeat(10));
    expect(titanic.answers).toEqual(['1 400 ERR_INVALID_ARGUMENT', '2 200 b']);
    expect(titanic.records).toEqual(['request:b']);
  });

  test('a reply over the limit is a failed attempt', () => {
    const titanic = new TitanicStory({ bodyLimit: 10, retries: 0 });
    titanic.submit(A);
    titanic.reply(1, 'x'.repeat(11));
    titanic.fetch(A);
    expect(titanic.answers).toEqual(['1 200 a', '2 500 ERR_HANDLER_FAILED']);
    expect(titanic.took('deadLetter')[0]?.reason).toContain('11 bytes, more than 10');
  });
});
