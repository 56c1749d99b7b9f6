/** Nothing under a key is given to a worker before it is known that no other one has it. */
import { describe, expect, test } from 'vitest';
import { contradictions } from './broker-conservation.ts';
import { NOTHING_LEFT } from './express-stories.ts';
import { PairBroker, reply, roster } from './failover-stories.ts';

/** It has copied that these workers are there; those of `here` stand by at it too. Then it serves, under 5. */
function taking(known: readonly string[], here = known, settings = {}): PairBroker {
  const broker = new PairBroker(settings);
  broker.call({ type: 'follow', epoch: 4, endpoint: 'tcp://active:1' });
  known.forEach((worker, index) => broker.tell(index + 1, roster(worker)));
  broker.tell(known.length + 1, reply('kept', 'KEPT'));
  broker.tell(known.length + 2, { kind: 'complete', epoch: 4 });
  for (const worker of here) broker.serveIn(worker, 2);
  broker.rise(5);
  broker.hello('client');
  broker.heardNow();
  broker.stood();
  return broker;
}

const asks = (broker: PairBroker, key: string, more = {}): number =>
  broker.ask('client', key, { key, ...more });

describe('a takeover', () => {
  test('asks all workers that are here, and again with each heartbeat until they have said', () => {
    const broker = new PairBroker();
    broker.serveIn('one');
    broker.rise(5);
    broker.serve('old');
    expect(broker.heardNow()).toEqual(['one welcome', 'one active 5 ', 'old welcome']);
    broker.live({ one: [], old: [] }, 200);
    expect(broker.heardNow()).toEqual(['one active 5 ', 'one active 5 ']);
    broker.report('one', [], 3);
    broker.live({ one: [], old: [] }, 100);
    expect(broker.heardNow()).toEqual(['one active 5 ']);
    expect(broker.failover.awaited).toBe(1);
    broker.report('one');
    broker.live({ one: [], old: [] }, 100);
    expect(broker.heardNow()).toEqual([]);
    expect(broker.stood().at(-1)).toBe('complete 300: 1 0');
  });

  test('waits for the workers that the broker had itself, if nobody served in between', () => {
    const broker = taking(['one']);
    broker.report('one');
    asks(broker, 'a');
    expect(broker.heardNow()).toEqual(['one < a']);
    broker.fall(5);
    // The session of `one` expires, but not what it runs.
    broker.wait(400);
    broker.rise(7);
    broker.hello('client');
    broker.serveIn('two');
    broker.report('two', [], 7);
    broker.heardNow();
    asks(broker, 'a');
    expect(broker.heardNow()).toEqual([]);
    expect(broker.failover.awaited).toBe(1);
  });

  test('parks what has a key until all of its service have said what they run', () => {
    const broker = taking(['one', 'two']);
    asks(broker, 'a');
    broker.ask('client', 'plain');
    expect(broker.heardNow()).toEqual(['one < plain']);
    expect(broker.took('requestParked')).toMatchObject([{ service: 'echo', client: 'client' }]);
    expect(broker.machine.status()).toMatchObject({
      queued: 1,
      services: [{ name: 'echo', queued: 1 }],
    });
    broker.report('one');
    expect(broker.heardNow()).toEqual([]);
    broker.report('two');
    expect(broker.heardNow()).toEqual(['two < a']);
    expect(broker.stood()).toEqual(['complete 0: 2 0']);
    expect(contradictions(broker.machine)).toEqual([]);
  });

  test('parks nothing of services whose workers are not waited for', () => {
    const broker = taking(['one']);
    broker.serveIn('other', 1, { service: 'other' });
    broker.report('other');
    broker.heardNow();
    asks(broker, 'a', { service: 'other' });
    expect(broker.heardNow()).toEqual(['other < a']);
  });

  test('answers what is known already, at once', () => {
    const broker = taking(['one']);
    asks(broker, 'kept');
    expect(broker.heardNow()).toEqual(['client 1 = KEPT']);
  });

  test('waits one expiry for workers that are not here', () => {
    const broker = taking(['one', 'away'], ['one']);
    broker.report('one');
    asks(broker, 'a');
    broker.live({ one: [], client: [1] }, 299);
    expect(broker.heardNow()).toEqual([]);
    broker.wait(1);
    expect(broker.heardNow()).toEqual(['one < a']);
    expect(broker.stood()).toEqual(['complete 300: 2 0']);
  });

  test('waits for those that come meanwhile until they have said', () => {
    const broker = taking(['away'], []);
    asks(broker, 'a');
    broker.live({ client: [1] }, 200);
    broker.serveIn('away');
    broker.live({ client: [1], away: [] }, 200);
    expect(broker.heardNow().filter((line) => line.includes('<'))).toEqual([]);
    broker.report('away');
    expect(broker.heardNow()).toEqual(['away < a']);
  });

  test('does not wait for who said goodbye, and for who broke off as for who is not here', () => {
    const broker = taking(['one', 'two', 'three']);
    broker.report('three');
    asks(broker, 'a');
    broker.disconnect('one');
    broker.gone('two');
    broker.live({ three: [], client: [1] }, 299);
    expect(broker.heardNow()).toEqual([]);
    expect(broker.failover.awaited).toBe(1);
    broker.wait(1);
    expect(broker.heardNow()).toEqual(['three < a']);
  });

  test('does not wait after that for who is lost', () => {
    const broker = taking(['one', 'two']);
    broker.report('two');
    asks(broker, 'a');
    broker.live({ one: [], two: [], client: [1] }, 300);
    expect(broker.heardNow().filter((line) => line.includes('<'))).toEqual([]);
    broker.live({ two: [], client: [1] }, 300);
    expect(broker.heardNow().at(-1)).toBe('two < a');
  });

  test('asks one whose link broke again', () => {
    const broker = taking(['one']);
    broker.serveIn('one again', 2, { session: 'one', worker: 'id of one' });
    expect(broker.heardNow()).toEqual(['one again welcome back', 'one again active 5 ']);
    broker.report('one again');
    expect(broker.stood()).toEqual(['complete 0: 1 0']);
  });

  test('forgets what it waited for when the broker steps down', () => {
    const broker = taking(['one']);
    broker.report('one', ['a']);
    broker.fall(6);
    broker.wait(100);
    expect(broker.failover.awaited).toBe(0);
    broker.rise(7);
    broker.report('one');
    broker.hello('client');
    broker.heardNow();
    asks(broker, 'a');
    expect(broker.heardNow()).toEqual(['one < a']);
  });
});

describe('a parked request', () => {
  test('keeps its place, ahead of what came later', () => {
    const broker = taking(['one'], ['one']);
    for (const key of ['a', 'b', 'c']) asks(broker, key);
    broker.report('one');
    asks(broker, 'd');
    expect(broker.heardNow()).toEqual(['one < a', 'one < b']);
    broker.done('one', 'B');
    broker.done('one', 'A', { number: broker.given('one').number! - 2 });
    expect(broker.heardNow().filter((line) => line.includes('<'))).toEqual(['one < c', 'one < d']);
  });

  test('expires, can be cancelled, is joined, and counts', () => {
    const broker = taking(['one'], [], { queueLimit: 3 });
    asks(broker, 'short', { timeLeft: 50 });
    const cancelled = asks(broker, 'cancelled');
    asks(broker, 'joined');
    asks(broker, 'joined');
    asks(broker, 'too many');
    expect(broker.heardNow()).toEqual(['client 5 = ERR_QUEUE_FULL']);
    broker.cancel('client', cancelled);
    broker.wait(50);
    expect(broker.heardNow()).toEqual(['client 1 = ERR_REQUEST_EXPIRED']);
    expect(contradictions(broker.machine)).toEqual([]);
    broker.fall(6);
    const { accepted, failed, expired, cancelled: gone } = broker.machine.status().requests;
    expect([accepted, failed, expired, gone]).toEqual([3, 1, 1, 1]);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('fails with the broker that closes', () => {
    const broker = taking(['one']);
    asks(broker, 'a');
    broker.call({ type: 'drain' });
    expect(broker.heardNow()).toContain('client 1 = ERR_BROKER_CLOSING');
    expect(broker.took('drained')).toHaveLength(1);
  });

  test('that must not wait for a worker is refused if there is none', () => {
    const broker = taking(['away'], []);
    asks(broker, 'a', { failFast: true });
    expect(broker.heardNow()).toEqual(['client 1 = ERR_NO_SERVICE']);
  });
});

describe('what runs elsewhere', () => {
  test('is waited for, whenever it was asked for, and told when it has ended', () => {
    const broker = taking(['one', 'two']);
    asks(broker, 'a');
    broker.report('one', ['a', 'b']);
    broker.report('two');
    expect(broker.stood()).toEqual(['complete 0: 2 2']);
    asks(broker, 'b');
    asks(broker, 'c');
    expect(broker.heardNow()).toEqual(['one < c']);
    broker.finished('one', 'a', 'A');
    broker.finished('one', 'b', 'B');
    expect(broker.heardNow()).toEqual(['client 1 = A', 'client 2 = B']);
    expect(broker.machine.status().kept.replies).toBe(3);
    broker.done('one', 'C');
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
    expect(broker.machine.pair?.takeover.state.runsOf.size).toBe(0);
  });

  test('is parked as soon as that is known, even if it was about to be given away', () => {
    const broker = taking(['away'], []);
    asks(broker, 'a');
    broker.live({ client: [1] }, 300);
    broker.serveIn('away', 0);
    broker.report('away', ['a']);
    broker.serveIn('new');
    broker.report('new');
    expect(broker.heardNow().filter((line) => line.includes('<'))).toEqual([]);
    expect(broker.took('requestParked')).toHaveLength(2);
    expect(contradictions(broker.machine)).toEqual([]);
    broker.disconnect('away');
    expect(broker.heardNow()).toEqual(['new < a']);
    expect(broker.given('new').attempt).toBe(2);
  });

  test('is told of once the follower has it', () => {
    const broker = taking(['one']);
    asks(broker, 'a');
    broker.report('one', ['a', 'b']);
    broker.synchronise();
    broker.heardNow();
    broker.finished('one', 'a', 'A');
    broker.finished('one', 'b', 'B');
    asks(broker, 'b');
    expect(broker.heardNow()).toEqual(['follower record 4 a = A', 'follower record 5 b = B']);
    expect(contradictions(broker.machine)).toEqual([]);
    broker.record(4);
    broker.record(5);
    expect(broker.heardNow()).toEqual(['client 1 = A', 'client 2 = B']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('goes to another worker when all who ran it are lost, and that has cost an attempt', () => {
    const broker = taking(['one', 'two', 'three']);
    asks(broker, 'a');
    broker.report('one', ['a']);
    broker.report('two', ['a']);
    broker.report('three');
    broker.disconnect('one');
    expect(broker.heardNow()).toEqual([]);
    broker.disconnect('two');
    expect(broker.heardNow()).toEqual(['three < a']);
    expect(broker.given('three').attempt).toBe(2);
  });

  test('that has cost too many workers is given up', () => {
    const broker = taking(['one'], ['one'], { maxAttempts: 1 });
    asks(broker, 'a');
    broker.report('one', ['a']);
    broker.disconnect('one');
    expect(broker.heardNow()).toEqual(['client 1 = ERR_ATTEMPTS_EXHAUSTED']);
    expect(broker.took('deadLetter')).toMatchObject([{ attempts: 1 }]);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('and was stopped there is done here', () => {
    const broker = taking(['one']);
    asks(broker, 'a');
    broker.report('one', ['a']);
    const failure = { code: 'ERR_CANCELLED', message: 'stopped' } as const;
    broker.finished('one', 'a', '', { body: [], failure });
    expect(broker.heardNow()).toEqual(['one < a']);
    expect(broker.machine.status().kept.replies).toBe(1);
  });

  test('and is not named any more after a broken link is done here', () => {
    const broker = taking(['one']);
    asks(broker, 'a');
    broker.report('one', ['a']);
    broker.serveIn('one again', 2, { session: 'one', worker: 'id of one' });
    broker.heardNow();
    broker.report('one again');
    expect(broker.heardNow()).toEqual(['one again < a']);
  });

  test('is asked for again once in each expiry, as the word of its end may be lost', () => {
    const broker = taking(['one']);
    asks(broker, 'a');
    broker.report('one', ['a']);
    broker.live({ one: [], client: [1] }, 600);
    expect(broker.heardNow()).toEqual(['one active 5 ', 'one active 5 ']);
    broker.report('one', [], 5, ['a', 'kept']);
    expect(broker.heardNow()).toEqual([]);
    expect(broker.machine.pair?.takeover.state.runs.size).toBe(1);
    broker.finished('one', 'a', 'A');
    expect(broker.heardNow()).toEqual(['client 1 = A']);
    broker.live({ one: [], client: [] }, 600);
    expect(broker.heardNow()).toEqual([]);
  });

  test('does not count if it was given out here', () => {
    const broker = taking(['one']);
    broker.report('one');
    asks(broker, 'a');
    broker.report('one', ['a']);
    expect(broker.machine.pair?.takeover.state.runs.size).toBe(0);
    broker.heardNow();
    broker.done('one', 'A');
    expect(broker.heardNow()).toEqual(['client 1 = A']);
  });

  test('and ended before it was asked for is an answer, which stays the first one', () => {
    const broker = taking(['one', 'two']);
    broker.finished('one', 'a', 'A');
    broker.finished('two', 'a', 'another');
    broker.finished('two', 'kept', 'another');
    broker.report('one');
    broker.report('two');
    asks(broker, 'a');
    asks(broker, 'kept');
    expect(broker.heardNow()).toEqual(['client 1 = A', 'client 2 = KEPT']);
  });

  test('and ends after all while it is done a second time: the first end counts', () => {
    const broker = taking(['one', 'away'], ['one']);
    broker.report('one');
    asks(broker, 'a');
    broker.live({ one: [], client: [1] }, 300);
    const { number = 0 } = broker.given('one');
    broker.serveIn('away');
    broker.synchronise();
    broker.heardNow();
    broker.finished('away', 'a', 'FIRST');
    expect(broker.heardNow()).toEqual(['one cancel ' + number, 'follower record 5 a = FIRST']);
    broker.done('one', 'SECOND', { number });
    expect(broker.took('replyRefused')).toMatchObject([{ reason: 'requestEnded' }]);
    broker.record();
    expect(broker.heardNow()).toEqual(['client 1 = FIRST']);
    expect(contradictions(broker.machine)).toEqual([]);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('and ends while it is queued is not given to a worker', () => {
    const broker = taking(['one', 'away'], ['one']);
    broker.report('one');
    broker.ask('client', 'busy');
    broker.ask('client', 'busy');
    asks(broker, 'a');
    const { number = 0 } = broker.given('one');
    broker.live({ one: [number - 1, number], client: [1, 2, 3] }, 300);
    broker.synchronise();
    broker.serveIn('away', 0);
    broker.heardNow();
    broker.finished('away', 'a', 'A');
    broker.done('one', 'busy');
    expect(broker.heardNow().filter((line) => line.startsWith('one'))).toEqual([]);
    expect(broker.machine.status()).toMatchObject({ queued: 0, inFlight: 2 });
    expect(contradictions(broker.machine)).toEqual([]);
    broker.record();
    expect(broker.heardNow()).toEqual(['client 3 = A']);
  });

  test('is told by its own worker to a broker that serves, and by nobody else', () => {
    const broker = taking(['one']);
    broker.report('stranger');
    broker.finished('stranger', 'a', 'A');
    expect(broker.heardNow()).toEqual(['stranger disconnect', 'stranger disconnect']);
    broker.fall(6);
    broker.finished('one', 'a', 'A');
    broker.report('one', ['a']);
    expect(broker.machine.status().kept.replies).toBe(1);
    expect(broker.machine.pair?.takeover.state.runs.size).toBe(0);
  });
});
