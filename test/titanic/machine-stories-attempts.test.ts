/** How a Titanic tries: attempts, absent services, delays, deadlines, and what a crash costs. */
import { describe, expect, test } from 'vitest';
import { decodeText } from '../../src/core/frames.ts';
import { A, B, C, D, idOf, TitanicStory } from './titanic-story.ts';

const deadLetters = (titanic: TitanicStory) =>
  titanic.took('deadLetter').map(({ code, attempts, reason }) => `${code} ${attempts}: ${reason}`);
const keysOf = (titanic: TitanicStory) => titanic.executions.map((each) => each.idempotencyKey);

/** The only attempt under way fails each time; the waits between are as long as they have to be. */
function failAll(titanic: TitanicStory, end: 'failed' | 'lost', times: number): void {
  for (let time = 0; time < times; time++) {
    for (const execution of titanic.executions) titanic.fail(execution, end, `no ${time + 1}`);
    titanic.wait(1000);
  }
}

describe('an attempt', () => {
  test('is stored before it begins: the first with the submit, each further one by itself', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    expect(titanic.records).toEqual(['request:a']);
    titanic.fail(1);
    titanic.hold();
    titanic.wait(100);
    expect([titanic.begun, titanic.writing]).toEqual([['a#1'], ['attempts:a']]);
    titanic.release();
    expect(titanic.begun).toEqual(['a#2']);
  });

  test('that waited for its service is stored when there is room', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    expect([titanic.begun, titanic.stateOf(B)]).toEqual([['a#1'], 'waiting']);
    titanic.hold();
    titanic.reply(1);
    expect(titanic.writing).toEqual(['reply:a -request:a', 'attempts:b']);
    titanic.stored(true, `attempts:${B}`);
    expect(titanic.begun).toEqual(['b#1']);
  });

  test('that the store refuses does not begin, and costs nothing', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    titanic.hold();
    titanic.reply(1);
    titanic.stored();
    titanic.stored('ERR_STORAGE_FULL');
    expect(titanic.begun).toEqual(['a#1']);
    titanic.release();
    titanic.wait(1000);
    expect(titanic.begun).toEqual(['b#1']);
  });

  test('follows a failed one after a rest that doubles; the last makes a dead letter with its words', () => {
    const titanic = new TitanicStory({ retries: 2 });
    titanic.submit(A);
    titanic.fail(1, 'failed', 'no 1');
    expect(titanic.machine.summary(A)).toMatchObject({ state: 'delayed', due: 1_000_050 });
    titanic.wait(49);
    expect(titanic.begun).toEqual(['a#1']);
    titanic.wait(1);
    titanic.fail(2, 'failed', 'no 2');
    titanic.wait(99);
    expect(titanic.begun).toEqual(['a#2']);
    titanic.wait(1);
    titanic.fail(3, 'failed', 'no 3');
    expect(deadLetters(titanic)).toEqual(['ERR_HANDLER_FAILED 3: no 3']);
    titanic.fetch(A);
    expect(titanic.answers.at(-1)).toBe('2 500 ERR_HANDLER_FAILED');
    expect(titanic.records).toEqual(['dead:a', 'request:a']);
  });

  test('as often as the submit says, with its own back-off', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { retries: 0 });
    titanic.submit(B, 'x', { retries: 1, backoff: 600 });
    titanic.fail(1);
    titanic.fail(2);
    expect(deadLetters(titanic)).toEqual(['ERR_HANDLER_FAILED 1: no luck']);
    expect(titanic.machine.summary(B)).toMatchObject({ due: 1_000_300 });
  });

  test('that may have run, or still run, is capped like the others', () => {
    const titanic = new TitanicStory({ retries: 1 });
    titanic.submit(A);
    failAll(titanic, 'lost', 2);
    expect(deadLetters(titanic)).toEqual(['ERR_ATTEMPTS_EXHAUSTED 2: no 2']);
  });

  test('shares its idempotency key with one before it that may still run, and with no other', () => {
    const titanic = new TitanicStory({ retries: 3 });
    titanic.submit(A);
    titanic.fail(1, 'lost');
    titanic.wait(1000);
    titanic.fail(2, 'failed');
    titanic.wait(1000);
    expect(keysOf(titanic)).toEqual([0, 0, 1].map((failures) => `${A}:1000000:${failures}`));
    const next = titanic.restart();
    expect(keysOf(next)).toEqual([`${A}:1000000:1`]);
  });

  test('never has the key of an earlier request under its id, whose reply a broker may still have', () => {
    const titanic = new TitanicStory({ closedAge: 100 });
    titanic.finish(A);
    titanic.close(A);
    titanic.executions.splice(0);
    titanic.wait(100);
    titanic.submit(A, 'another');
    expect(keysOf(titanic)).toEqual([`${A}:1000100:0`]);
  });

  test('of a poisonous request is the last one', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.fail(1, 'poison', 'three workers are gone');
    expect(deadLetters(titanic)).toEqual(['ERR_ATTEMPTS_EXHAUSTED 1: three workers are gone']);
  });

  test('that is over is over: what is said of it later changes nothing', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.fail(1);
    titanic.reply(1);
    titanic.fail(1);
    titanic.wait(1000);
    expect(titanic.begun).toEqual(['a#1', 'a#2']);
    titanic.reply(99);
    titanic.fail(0);
    expect(titanic.stateOf(A)).toBe('running');
  });
});

describe('without a broker', () => {
  test('nothing begins, and what was asked is taken in', () => {
    const titanic = new TitanicStory();
    titanic.call({ type: 'link', isUp: false });
    titanic.submit(A);
    expect([titanic.answers, titanic.begun]).toEqual([['1 200 a'], []]);
    titanic.call({ type: 'link', isUp: true });
    expect(titanic.begun).toEqual(['a#1']);
  });

  test('that goes while an attempt is being stored: it is handed back, on the disk too', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A);
    titanic.call({ type: 'link', isUp: false });
    titanic.release();
    expect([titanic.begun, titanic.stateOf(A)]).toEqual([[], 'waiting']);
    titanic.hold();
    titanic.call({ type: 'link', isUp: true });
    expect([titanic.writing, titanic.begun]).toEqual([['attempts:a'], []]);
    titanic.release();
    expect(titanic.begun).toEqual(['a#1']);
  });

  test('that goes while the Titanic drains: what did not start has its only attempt in the next life', () => {
    const titanic = new TitanicStory({ retries: 0 });
    titanic.hold();
    titanic.submit(A);
    titanic.call({ type: 'drain' });
    titanic.stored();
    expect([titanic.begun, titanic.writing]).toEqual([[], ['attempts:a']]);
    expect(titanic.took('drained')).toEqual([]);
    titanic.stored();
    expect(titanic.took('drained')).toHaveLength(1);
    expect(titanic.restart().begun).toEqual(['a#1']);
  });

  test('that goes, what was not started says nothing of its service', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.call({ type: 'link', isUp: false });
    titanic.fail(1, 'unstarted');
    expect(titanic.took('serviceAbsent')).toEqual([]);
    titanic.call({ type: 'link', isUp: true });
    expect(titanic.begun).toEqual(['a#1', 'a#1']);
  });
});

describe('a service that nobody offers', () => {
  test('rests, and then one request goes first; that one found, all follow', () => {
    const titanic = new TitanicStory({ concurrency: 3 });
    for (const id of [A, B, C, D]) titanic.submit(id);
    for (const execution of titanic.executions) titanic.fail(execution, 'unstarted');
    expect(titanic.took('serviceAbsent')).toEqual([{ type: 'serviceAbsent', service: 'echo' }]);
    titanic.wait(49);
    expect(titanic.begun).toEqual([]);
    titanic.wait(1);
    expect(titanic.begun).toEqual(['a#1']);
    titanic.reply(4);
    expect(titanic.took('serviceFound')).toEqual([{ type: 'serviceFound', service: 'echo' }]);
    expect(titanic.begun).toEqual(['b#1', 'c#1', 'd#1']);
  });

  test('is found absent by one that began before its rest: that tells nothing new', () => {
    const titanic = new TitanicStory({ concurrency: 2 });
    for (const id of [A, B]) titanic.submit(id);
    const [first, second] = titanic.executions;
    titanic.fail(first!, 'unstarted');
    titanic.wait(50);
    const [probe] = titanic.executions;
    titanic.fail(second!, 'unstarted');
    titanic.fail(probe!, 'unstarted');
    titanic.wait(99);
    expect(titanic.begun).toEqual([]);
    titanic.wait(1);
    expect(titanic.begun).toHaveLength(1);
  });

  test('rests for longer each time, up to a limit, and costs no attempt', () => {
    const titanic = new TitanicStory({ absenceLimit: 300, retries: 0 });
    titanic.submit(A);
    const rests: number[] = [];
    for (let time = 0; time < 5; time++) {
      titanic.fail(titanic.executions[0]!, 'unstarted');
      const since = titanic.now;
      titanic.wait(titanic.machine.nextTimeout - titanic.now);
      rests.push(titanic.now - since);
    }
    expect(rests).toEqual([50, 100, 150, 150, 150]);
    expect(titanic.begun).toEqual(['a#1']);
    expect(titanic.took('serviceAbsent')).toHaveLength(1);
  });

  test('costs no attempt, however often the Titanic is restarted meanwhile', () => {
    let titanic = new TitanicStory({ retries: 0 });
    titanic.submit(A);
    for (let life = 0; life < 5; life++) {
      expect(titanic.begun).toEqual(['a#1']);
      titanic.fail(1, 'unstarted');
      titanic = titanic.restart();
    }
    titanic.reply(titanic.executions[0]!);
    expect(titanic.machine.summary(A)).toMatchObject({ state: 'done', attempts: 1 });
  });

  test('is told what a full disk did not let be handed back: it begins as the same attempt', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.hold();
    titanic.fail(1, 'unstarted');
    expect([titanic.writing, titanic.stateOf(A)]).toEqual([['attempts:a'], 'waiting']);
    titanic.stored('ERR_STORAGE_FULL');
    titanic.release();
    expect(titanic.executions).toHaveLength(1);
    titanic.wait(2000);
    expect(titanic.begun).toEqual(['a#1']);
  });

  test('and is found by a failure, too', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.fail(1, 'unstarted');
    titanic.wait(50);
    titanic.submit(B);
    expect(titanic.begun).toEqual(['a#1', 'a#1']);
    titanic.fail(2, 'failed');
    expect(titanic.begun).toEqual(['b#1']);
  });

  test('delays no other, nor does a slow one', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A, 'x', {}, 'absent');
    titanic.fail(1, 'unstarted');
    titanic.submit(B, 'x', {}, 'slow');
    titanic.submit(C, 'x', {}, 'slow');
    titanic.submit(D, 'x', {}, 'quick');
    titanic.finish(idOf(0xe), 'y', 'other');
    expect([A, B, C, D].map((id) => titanic.stateOf(id))).toEqual([
      'waiting',
      'running',
      'waiting',
      'running',
    ]);
    expect(titanic.stateOf(idOf(0xe))).toBe('done');
  });

  test('probed by a request that is closed meanwhile: the next one goes', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.submit(B);
    for (const execution of titanic.executions) titanic.fail(execution, 'unstarted');
    titanic.wait(50);
    titanic.close(A);
    expect(titanic.begun).toEqual(['a#1', 'b#1']);
  });
});

describe('a delay', () => {
  test('holds the first attempt back', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { delay: 500 });
    expect(titanic.machine.summary(A)).toMatchObject({ state: 'delayed', due: 1_000_500 });
    titanic.wait(499);
    expect(titanic.begun).toEqual([]);
    titanic.wait(1);
    expect(titanic.begun).toEqual(['a#1']);
  });

  test('goes on across a restart', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { delay: 500 });
    titanic.wait(200);
    const next = titanic.restart();
    next.wait(299);
    expect(next.begun).toEqual([]);
    next.wait(1);
    expect(next.begun).toEqual(['a#1']);
  });

  test('is not stretched by a wall clock that was set back, and is over if it was set forward', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { delay: 500 });
    const back = titanic.restart({ wallClock: 0 });
    back.wait(499);
    expect(back.begun).toEqual([]);
    back.wait(1);
    expect(back.begun).toEqual(['a#1']);
    expect(titanic.restart({ wallClock: 9_000_000 }).begun).toEqual(['a#1']);
  });
});

describe('a deadline', () => {
  const expired = ['ERR_REQUEST_EXPIRED 0: its deadline has passed'];

  test('ends a request that waits for its service, or for its time', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B, 'x', { deadline: 200 });
    titanic.submit(C, 'x', { delay: 500, deadline: 200 });
    titanic.wait(199);
    expect(deadLetters(titanic)).toEqual([]);
    titanic.wait(1);
    expect(deadLetters(titanic)).toEqual([...expired, ...expired]);
    titanic.reply(1);
    titanic.wait(1000);
    expect(titanic.begun).toEqual(['a#1']);
  });

  test('ends one that runs: it is abandoned first, and its reply is nothing', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { deadline: 200 });
    expect(titanic.executions).toMatchObject([{ timeout: 200 }]);
    titanic.wait(200);
    expect(titanic.took('abandon')).toMatchObject([{ execution: 1 }]);
    titanic.reply(1);
    titanic.fetch(A);
    expect(titanic.answers).toEqual(['1 200 a', '2 500 ERR_REQUEST_EXPIRED']);
  });

  test('that passes while an attempt is being stored: that one never begins', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B, 'x', { deadline: 200 });
    titanic.hold();
    titanic.reply(1);
    titanic.stored();
    titanic.wait(200);
    titanic.release();
    expect([titanic.begun, deadLetters(titanic)]).toEqual([['a#1'], expired]);
  });

  test('that passes while the submit is being stored: it is acknowledged, and never executed', () => {
    const titanic = new TitanicStory();
    titanic.hold();
    titanic.submit(A, 'x', { deadline: 200 });
    titanic.submit(B, 'x', { deadline: 200, delay: 100 });
    titanic.wait(200);
    titanic.release();
    expect(titanic.answers).toEqual(['1 200 a', '2 200 b']);
    expect([titanic.begun, deadLetters(titanic)]).toEqual([[], [...expired, ...expired]]);
  });

  test('that passes while its reply is being stored comes too late', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'x', { deadline: 200 });
    titanic.hold();
    titanic.reply(1);
    titanic.wait(300);
    titanic.release();
    expect(titanic.stateOf(A)).toBe('done');
  });

  test('passes while nobody is there', () => {
    const titanic = new TitanicStory();
    titanic.call({ type: 'link', isUp: false });
    titanic.submit(A, 'x', { deadline: 200 });
    titanic.wait(150);
    const next = titanic.restart();
    expect(next.executions).toMatchObject([{ timeout: 50 }]);
    const late = titanic.restart({ wallClock: 1_000_200 });
    late.wait(0);
    expect([late.begun.length, deadLetters(late)]).toEqual([0, expired]);
  });

  test('is not stretched by a wall clock that was set back', () => {
    const titanic = new TitanicStory();
    titanic.call({ type: 'link', isUp: false });
    titanic.submit(A, 'x', { deadline: 200 });
    expect(titanic.restart({ wallClock: 0 }).executions).toMatchObject([{ timeout: 200 }]);
  });
});

describe('after a crash', () => {
  test('an attempt that was begun counts, also if its end was only being stored', () => {
    const titanic = new TitanicStory();
    titanic.submit(A);
    titanic.hold();
    titanic.reply(1);
    const next = titanic.restart();
    expect(next.begun).toEqual(['a#2']);
    const last = next.restart();
    expect(last.begun).toEqual(['a#3']);
    const dead = last.restart();
    expect([dead.begun, deadLetters(dead)]).toEqual([
      [],
      ['ERR_ATTEMPTS_EXHAUSTED 3: its last attempt was under way when the Titanic ended'],
    ]);
    expect(dead.records).toEqual(['dead:a', 'request:a']);
  });

  test('one that was only waiting has lost nothing', () => {
    const titanic = new TitanicStory({ concurrency: 1 });
    titanic.submit(A);
    titanic.submit(B);
    const next = titanic.restart({ concurrency: 5 });
    expect(next.begun).toEqual(['a#2', 'b#1']);
  });

  test('requests wait in the order in which they were submitted', () => {
    const titanic = new TitanicStory();
    titanic.call({ type: 'link', isUp: false });
    for (const id of [C, A, D, B]) {
      titanic.submit(id);
      titanic.wait(1);
    }
    expect(titanic.restart({ concurrency: 5 }).begun).toEqual(['c#1', 'a#1', 'd#1', 'b#1']);
  });

  test('nothing is taken over before it is time, and then once', () => {
    const titanic = new TitanicStory();
    titanic.finish(A);
    const next = titanic.restart();
    expect(next.took('recovered')).toHaveLength(1);
    next.wait(100);
    next.call({ type: 'link', isUp: true });
    expect(next.took('recovered')).toEqual([]);
  });

  test('the body is what it was', () => {
    const titanic = new TitanicStory();
    titanic.submit(A, 'question');
    const [order] = titanic.restart().executions;
    expect(titanic.disk.get(order!.key)?.slice(1).map(decodeText)).toEqual(['question']);
  });
});
