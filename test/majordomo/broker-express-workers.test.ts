/** Express at the broker: its workers, their credit, and what is lost on the way. */
import { describe, expect, test } from 'vitest';
import { ExpressBroker } from './express-stories.ts';

function brokerWith(credit = 1, ...settings: ConstructorParameters<typeof ExpressBroker>) {
  const broker = new ExpressBroker(...settings);
  broker.hello('c');
  broker.serve('w', credit);
  broker.heardNow();
  return broker;
}

function askAll(broker: ExpressBroker, ...texts: string[]): void {
  for (const text of texts) broker.ask('c', text);
}

describe('credit', () => {
  test('is never overspent, and comes back with each end', () => {
    const broker = brokerWith(2);
    askAll(broker, 'a', 'b', 'c');
    expect(broker.heardNow()).toEqual(['w < a', 'w < b']);
    broker.part('w', 'part', 0);
    expect(broker.heardNow()).toEqual([]);
    broker.done('w', 'A', { number: 0 });
    expect(broker.heardNow()).toEqual(['c 1 = A', 'w < c']);
  });

  test('is not more for having reattached', () => {
    const broker = brokerWith(2);
    askAll(broker, 'a', 'b', 'c', 'd');
    broker.gone('w');
    broker.serve('w again', 2, { session: 'w', held: [0, 1] });
    broker.beat('w again', [0, 1]);
    expect(broker.heardNow()).toEqual(['w < a', 'w < b', 'w again welcome back']);
    broker.done('w again', 'A', { number: 0 });
    expect(broker.heardNow()).toEqual(['c 1 = A', 'w again < c']);
    expect(broker.machine.status().inFlight).toBe(2);
  });

  test('that shrinks is kept to, and one that grows is used', () => {
    const broker = brokerWith(2);
    askAll(broker, 'a', 'b', 'c', 'd');
    broker.say('w', { type: 'capacity', credit: 1 });
    broker.done('w', 'A', { number: 0 });
    expect(broker.heardNow()).toEqual(['w < a', 'w < b', 'c 1 = A']);
    broker.say('w', { type: 'capacity', credit: 3 });
    expect(broker.heardNow()).toEqual(['w < c', 'w < d']);
  });

  test('goes to the least loaded, and of these to the least recently used', () => {
    const broker = brokerWith(2);
    broker.serve('v', 2);
    broker.heardNow();
    askAll(broker, 'a', 'b', 'c');
    expect(broker.heardNow()).toEqual(['w < a', 'v < b', 'w < c']);
    broker.done('w', 'A', { number: 0 });
    broker.done('w', 'C', { number: 2 });
    broker.done('v', 'B', { number: 1 });
    broker.heardNow();
    // A heartbeat is not use.
    broker.beat('w');
    askAll(broker, 'd', 'e');
    expect(broker.heardNow()).toEqual(['w < d', 'v < e']);
  });
});

describe('a worker drains', () => {
  test('it gets nothing new, and what it hands back costs no attempt', () => {
    const broker = brokerWith(2, { maxAttempts: 1 });
    askAll(broker, 'runs', 'waits');
    broker.say('w', { type: 'capacity', credit: 0 });
    broker.say('w', { type: 'handBack', number: 1 });
    askAll(broker, 'late');
    expect(broker.took('workerDraining')).toHaveLength(1);
    expect(broker.took('requestHandedBack')).toHaveLength(1);
    broker.serve('v', 2);
    expect(broker.heardNow()).toEqual([
      'w < runs',
      'w < waits',
      'v welcome',
      'v < waits',
      'v < late',
    ]);
    expect(broker.given('v').attempt).toBe(1);
    broker.done('w', 'done', { number: 0 });
    broker.say('w', { type: 'disconnect' });
    expect(broker.heardNow()).toEqual(['c 1 = done']);
  });

  test('what was on its way when it left costs no attempt either', () => {
    const broker = brokerWith(2, { maxAttempts: 1 });
    askAll(broker, 'begun', 'on its way');
    broker.wait(5);
    broker.beat('w', [0]);
    broker.say('w', { type: 'disconnect' });
    broker.serve('v', 2);
    expect(broker.heardNow()).toEqual([
      'w < begun',
      'w < on its way',
      'c 1 = ERR_ATTEMPTS_EXHAUSTED',
      'v welcome',
      'v < on its way',
    ]);
    expect(broker.given('v').attempt).toBe(1);
  });

  test('what it never had it cannot hand back', () => {
    const broker = brokerWith();
    askAll(broker, 'runs');
    broker.say('w', { type: 'handBack', number: 7 });
    broker.serve('v');
    broker.hear('v', { type: 'handBack', dialect: 'express', number: 0 });
    expect(broker.took('requestHandedBack')).toEqual([]);
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual(['w < runs', 'v welcome', 'c 1 = done']);
  });
});

describe('a result counts', () => {
  test('only for what this session has and has not answered', () => {
    const broker = brokerWith();
    broker.serve('v');
    broker.heardNow();
    askAll(broker, 'work');
    broker.done('v', 'stolen', { number: 0 });
    broker.done('w', 'future', { number: 1 });
    expect(broker.heardNow()).toEqual(['w < work']);
    broker.done('w', 'done');
    broker.done('w', 'twice');
    expect(broker.heardNow()).toEqual(['c 1 = done']);
    expect(broker.took('replyRefused').map(({ reason }) => reason)).toEqual([
      'stale',
      'stale',
      'stale',
    ]);
  });

  test('not when it is of an attempt that was given to another', () => {
    const broker = brokerWith();
    askAll(broker, 'work');
    broker.gone('w');
    broker.wait(30);
    broker.serve('w', 1, { session: 'new' });
    broker.done('w', 'late', { number: 0 });
    expect(broker.heardNow()).toEqual(['w < work', 'w welcome', 'w < work']);
    broker.done('w', 'done', { number: 1 });
    expect(broker.heardNow()).toEqual(['c 1 = done']);
  });

  test('not with a hole in it: it is done again, unless the client has seen some of it', () => {
    const broker = brokerWith();
    askAll(broker, 'whole');
    broker.part('w', 'a', 0);
    broker.done('w', 'c', { sequence: 2 });
    expect(broker.took('replyRefused')).toMatchObject([{ reason: 'incomplete' }]);
    expect(broker.heardNow()).toEqual(['w < whole', 'w < whole']);
    broker.done('w', 'all');
    broker.ask('c', 'stream', { window: 1000 });
    broker.part('w', 'a', 0);
    broker.part('w', 'c', 2);
    expect(broker.heardNow()).toEqual([
      'c 1 = all',
      'w < stream',
      'c 2 = a …',
      'w cancel 2',
      'c 2 = ERR_WORKER_LOST',
    ]);
  });
});

describe('a worker is lost', () => {
  test('when its link broke and it does not come back in time', () => {
    const broker = brokerWith(2);
    askAll(broker, 'a', 'b');
    broker.gone('w');
    broker.wait(29);
    expect(broker.took('workerLost')).toEqual([]);
    broker.wait(1);
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'gone', held: true }]);
    broker.serve('v', 2);
    expect(broker.heardNow()).toEqual(['w < a', 'w < b', 'v welcome', 'v < a', 'v < b']);
    expect(broker.given('v').attempt).toBe(2);
  });

  test('but not when it comes back: it goes on, and gets what waits', () => {
    const broker = brokerWith();
    broker.gone('w');
    askAll(broker, 'work');
    expect(broker.heardNow()).toEqual([]);
    broker.wait(10);
    broker.serve('w2', 1, { session: 'w' });
    expect(broker.heardNow()).toEqual(['w2 welcome back', 'w2 < work']);
    expect(broker.took('workerReattached')).toHaveLength(1);
    broker.wait(100);
    expect(broker.took('workerLost')).toEqual([]);
  });

  test('in whose place another session begins: it is not told, as that would hear it', () => {
    const broker = brokerWith();
    askAll(broker, 'work');
    broker.serve('w', 1, { session: 'new' });
    expect(broker.heardNow()).toEqual(['w < work', 'w welcome', 'w < work']);
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'replaced', held: true }]);
  });

  test('that a session belongs to another service is refused', () => {
    const broker = brokerWith();
    broker.serve('w2', 1, { session: 'w', service: 'other' });
    expect(broker.heardNow()).toEqual(['w2 disconnect']);
    expect(broker.took('workerRefused')).toMatchObject([{ reason: 'otherService' }]);
  });

  test('a stock worker that is heard again after a notice gets what waits', () => {
    const broker = new ExpressBroker();
    broker.hello('c');
    broker.ready('stock');
    broker.gone('stock');
    askAll(broker, 'work');
    broker.hear('stock', { type: 'heartbeat', dialect: 'mdp0.2' });
    expect(broker.heardNow()).toEqual(['c welcome', 'stock < work']);
  });
});

describe('heartbeats find', () => {
  test('a dispatch that never arrived', () => {
    const broker = brokerWith();
    askAll(broker, 'work');
    broker.wait(100);
    expect(broker.beatOf('w').held).toEqual([0]);
    broker.beat('w', []);
    expect(broker.took('dispatchLost')).toHaveLength(1);
    expect(broker.heardNow()).toEqual(['w < work', 'w < work']);
    expect(broker.given('w')).toMatchObject({ number: 1, attempt: 2 });
  });

  test('a result that never arrived: the credit is free again', () => {
    const broker = brokerWith();
    askAll(broker, 'work', 'next');
    broker.cancel('c', 1);
    broker.live({ w: [0], c: [2] }, 100);
    expect(broker.heardNow()).toEqual(['w < work', 'w cancel 0', 'w cancel 0']);
    broker.wait(50);
    broker.beat('w', []);
    expect(broker.heardNow()).toEqual(['w < next']);
  });

  test('nothing in what is still on its way', () => {
    const broker = brokerWith(2);
    broker.wait(100);
    askAll(broker, 'work');
    broker.beat('w', []);
    expect(broker.took('dispatchLost')).toEqual([]);
    broker.live({ w: [0], c: [1] }, 1000);
    expect(broker.took('dispatchLost')).toEqual([]);
    expect(broker.heardNow()).toEqual(['w < work']);
  });

  test('nothing in an answer to an earlier life', () => {
    const broker = brokerWith();
    askAll(broker, 'work');
    broker.wait(100);
    broker.beat('w', [], 99);
    expect(broker.took('dispatchLost')).toEqual([]);
  });

  test('a cancel that never arrived', () => {
    const broker = brokerWith();
    askAll(broker, 'work');
    broker.full.add('w');
    broker.cancel('c', 1);
    broker.full.clear();
    expect(broker.heardNow()).toEqual(['w < work']);
    broker.beat('w', [0]);
    expect(broker.heardNow()).toEqual(['w cancel 0']);
    expect(broker.machine.status().services[0]).toMatchObject({ running: 1 });
  });

  test('work that nobody gave out', () => {
    const broker = brokerWith();
    broker.beat('w', [41, 42]);
    expect(broker.heardNow()).toEqual(['w cancel 41', 'w cancel 42']);
  });

  test('a request that its client gave up, though the cancel was lost', () => {
    const broker = brokerWith();
    askAll(broker, 'runs', 'waits');
    broker.beat('c', [1]);
    broker.beat('c', []);
    expect(broker.heardNow()).toEqual(['w < runs', 'w cancel 0']);
    expect(broker.machine.status().requests).toMatchObject({ cancelled: 2 });
  });

  test('a lost reply: the broker names only what it has', () => {
    const broker = brokerWith();
    askAll(broker, 'a', 'b');
    broker.done('w', 'A', { number: 0 });
    broker.wait(100);
    expect(broker.beatOf('c').held).toEqual([2]);
  });

  test('it all in a round trip after a link broke', () => {
    const broker = brokerWith();
    broker.beat('w');
    broker.beat('c');
    askAll(broker, 'work');
    broker.gone('w');
    broker.serve('w2', 1, { session: 'w' });
    const before = broker.sent.length;
    broker.beat('w2');
    const [beat] = broker.sent.slice(before);
    expect(beat).toMatchObject({ to: 'w2', command: { type: 'heartbeat', beat: 2, held: [0] } });
    broker.beat('w2', []);
    expect(broker.took('dispatchLost')).toHaveLength(1);
    broker.hello('c2', 'c');
    broker.beat('c2', [1]);
    expect(broker.beatOf('c2').held).toEqual([1]);
  });
});
