/** Express at the broker: beacons, large messages, strangers, and the end. */
import { describe, expect, test } from 'vitest';
import { ExpressBroker, NOTHING_LEFT } from './express-stories.ts';

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

function stuck(broker: ExpressBroker, milliseconds: number, session = 'w'): void {
  broker.say('beside', { type: 'beacon', session, stuck: milliseconds });
}

describe('a beacon', () => {
  test('of a stuck worker keeps it, with what it has, but gets it no more', () => {
    const broker = brokerWith(2);
    askAll(broker, 'computes');
    for (let waited = 100; waited <= 3000; waited += 100) {
      broker.wait(100);
      stuck(broker, waited);
    }
    broker.ask('c', 'next');
    broker.live({ c: [1, 2] }, 100);
    expect(broker.took('workerLost')).toEqual([]);
    expect(broker.took('workerStalled')).toHaveLength(1);
    expect(broker.machine.status().services[0]).toMatchObject({ stalled: 1, running: 1 });
  });

  test('of one that turns again gets it work', () => {
    const broker = brokerWith(2);
    stuck(broker, 100);
    askAll(broker, 'work');
    expect(broker.heardNow()).toEqual([]);
    stuck(broker, 0);
    expect(broker.heardNow()).toEqual(['w < work']);
    expect(broker.took('workerRecovered')).toHaveLength(1);
  });

  test('is outdone by what the worker itself says', () => {
    const broker = brokerWith(2);
    stuck(broker, 100);
    askAll(broker, 'work');
    broker.beat('w');
    expect(broker.took('workerRecovered')).toHaveLength(1);
    expect(broker.heardNow()).toEqual(['w < work']);
  });

  test('is outdone by a word that takes nothing more: then it gets nothing', () => {
    const broker = brokerWith(2);
    stuck(broker, 100);
    askAll(broker, 'work');
    broker.say('w', { type: 'capacity', credit: 0 });
    expect(broker.took('workerRecovered')).toHaveLength(1);
    expect(broker.heardNow()).toEqual([]);
  });

  test('that ends lets the worker expire', () => {
    const broker = brokerWith();
    stuck(broker, 100);
    broker.wait(300);
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'expired' }]);
  });

  test('for nobody is nothing', () => {
    const broker = brokerWith();
    stuck(broker, 100, 'nobody');
    expect(broker.heardNow()).toEqual([]);
    expect(broker.took('workerStalled')).toEqual([]);
  });
});

describe('a large message', () => {
  const LARGE = 2 * 1024 * 1024;

  test('is announced, and its sender waited for', () => {
    const broker = brokerWith();
    askAll(broker, 'work');
    broker.say('w', { type: 'announce', bytes: LARGE });
    broker.say('c', { type: 'announce', bytes: LARGE });
    broker.wait(2299);
    expect([...broker.took('workerLost'), ...broker.took('clientLost')]).toEqual([]);
    broker.wait(1);
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'expired' }]);
    expect(broker.took('clientLost')).toMatchObject([{ reason: 'gone' }]);
  });

  test('of the broker is announced too', () => {
    const broker = brokerWith(1, { queueBytes: 2 * LARGE });
    broker.ask('c', '', { body: [new Uint8Array(LARGE)] });
    broker.done('w', '', { body: [new Uint8Array(LARGE)] });
    const announced = broker.heardNow().filter((line) => line.includes('announce'));
    expect(announced).toEqual([`w announce ${LARGE}`, `c announce ${LARGE}`]);
  });
});

test('strangers are told that they have no session here', () => {
  const broker = new ExpressBroker();
  broker.ask('x1', 'work');
  broker.cancel('x2', 1);
  broker.say('x3', { type: 'credit', number: 1, bytes: 1 });
  broker.beat('x4');
  broker.say('x5', { type: 'announce', bytes: 5 });
  broker.say('x6', { type: 'capacity', credit: 1 });
  broker.say('x7', { type: 'handBack', number: 1 });
  broker.done('x8', 'done', { number: 1 });
  broker.say('x9', { type: 'disconnect' });
  const told = Array.from({ length: 8 }, (_, index) => `x${index + 1} disconnect`);
  expect(broker.heardNow()).toEqual(told);
  expect(broker.took('unexpectedCommand')).toHaveLength(8);
  expect(broker.leftovers).toEqual(NOTHING_LEFT);
});

describe('closing', () => {
  test('drains: what is queued fails, what runs is answered, and all are told goodbye', () => {
    const broker = brokerWith();
    broker.ask('c', 'runs');
    broker.ask('c', 'waits');
    broker.call({ type: 'drain' });
    broker.ask('c', 'new');
    broker.hello('d');
    broker.serve('v');
    expect(broker.heardNow()).toEqual([
      'w < runs',
      'c 2 = ERR_BROKER_CLOSING',
      'c 3 = ERR_BROKER_CLOSING',
      'd disconnect',
      'v disconnect',
    ]);
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual(['c 1 = done', 'w disconnect', 'c disconnect']);
    expect(broker.took('drained')).toHaveLength(1);
    expect(broker.machine.status()).toMatchObject({ workers: 0, clients: 0 });
  });

  test('lets peers whose link broke come back to what runs', () => {
    const broker = brokerWith();
    broker.ask('c', 'runs');
    broker.call({ type: 'drain' });
    broker.serve('w2', 1, { session: 'w' });
    broker.hello('c2', 'c');
    broker.done('w2', 'done', { number: 0 });
    expect(broker.heardNow()).toEqual([
      'w < runs',
      'w2 welcome back',
      'c2 welcome back',
      'c2 1 = done',
      'w2 disconnect',
      'c2 disconnect',
    ]);
  });

  test('is not held up by what is handed back, lost, cancelled or broadcast', () => {
    const broker = brokerWith(4);
    broker.ask('c', 'handed back');
    broker.ask('c', 'cancelled');
    broker.ask('c', 'to all', { broadcast: true });
    broker.ask('c', 'lost');
    broker.call({ type: 'drain' });
    broker.heardNow();
    broker.say('w', { type: 'handBack', number: 0 });
    broker.cancel('c', 2);
    expect(broker.heardNow()).toEqual(['c 1 = ERR_BROKER_CLOSING', 'w cancel 1']);
    broker.gone('w');
    broker.wait(30);
    expect(broker.heardNow()).toEqual(['c 3 = ERR_WORKER_LOST …', 'c 3 = ', 'c disconnect']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test.each([
    ['waits for another', 0],
    ['another has not begun', 1],
  ])('says nothing of what one worker has begun and %s: it may have been done', (_name, others) => {
    const broker = brokerWith();
    broker.ask('c', 'begun');
    broker.beat('w', [0]);
    if (others > 0) broker.serve('v');
    broker.gone('w');
    broker.wait(30);
    expect(broker.took('requestRequeued')).toHaveLength(1);
    broker.heardNow();
    broker.call({ type: 'drain' });
    if (others > 0) broker.say('v', { type: 'handBack', number: 1 });
    expect(broker.heardNow().filter((line) => line.startsWith('c'))).toEqual(['c disconnect']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('at once stops what runs; that it may have been done the end of the session says', () => {
    const broker = brokerWith();
    broker.ask('c', 'runs');
    broker.call({ type: 'stop' });
    expect(broker.heardNow()).toEqual(['w < runs', 'w cancel 0', 'w disconnect', 'c disconnect']);
  });
});
