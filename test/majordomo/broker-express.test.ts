/** Express at the broker: sessions, requests and how they end. */
import { describe, expect, test } from 'vitest';
import { decodeText } from '../../src/core/frames.ts';
import { ExpressBroker, NOTHING_LEFT } from './express-stories.ts';
import { body } from './stories.ts';

/** A client and a worker, welcomed. */
function brokerWith(credit = 1, ...settings: ConstructorParameters<typeof ExpressBroker>) {
  const broker = new ExpressBroker(...settings);
  broker.hello('c');
  broker.serve('w', credit);
  broker.heardNow();
  return broker;
}

describe('a client says hello', () => {
  test('and is welcomed with the slower of both settings', () => {
    const broker = new ExpressBroker();
    broker.hello('c', 'session', { heartbeatInterval: 250, heartbeatLiveness: 2 });
    expect(broker.sent).toEqual([
      {
        to: 'c',
        command: {
          type: 'welcome',
          dialect: 'express',
          resumed: false,
          heartbeatInterval: 250,
          heartbeatLiveness: 3,
        },
      },
    ]);
    broker.wait(749);
    expect(broker.took('clientLost')).toEqual([]);
    broker.wait(1);
    expect(broker.took('clientLost')).toMatchObject([{ client: 'c', reason: 'gone' }]);
  });

  test('again from elsewhere, and goes on with what it has', () => {
    const broker = brokerWith();
    broker.ask('c', 'work');
    broker.gone('c');
    broker.wait(49);
    broker.hello('c2', 'c');
    broker.wait(50);
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual(['w < work', 'c2 welcome back', 'c2 1 = done']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('with a new session where another was, which is over', () => {
    const broker = brokerWith();
    broker.ask('c', 'work');
    broker.hello('c', 'another');
    expect(broker.heardNow()).toEqual(['w < work', 'w cancel 0', 'c welcome']);
    expect(broker.took('clientLost')).toMatchObject([{ reason: 'replaced' }]);
    expect(broker.machine.status().clients).toBe(1);
  });

  test('and is one too many', () => {
    const broker = new ExpressBroker({ clientLimit: 1 });
    broker.hello('c');
    broker.hello('d');
    broker.hello('c');
    expect(broker.heardNow()).toEqual(['c welcome', 'd disconnect', 'c welcome back']);
  });
});

describe('a request', () => {
  test('is given out with all that it brings', () => {
    const broker = brokerWith();
    const headers = Uint8Array.of(1, 2);
    broker.ask('c', 'work', { timeLeft: 500, headers, priority: 3 });
    expect(broker.given('w')).toEqual({
      type: 'dispatch',
      dialect: 'express',
      envelope: [],
      body: body('work'),
      number: 0,
      attempt: 1,
      timeLeft: 500,
      key: undefined,
      headers,
      window: undefined,
    });
  });

  test('under a key is given out without a time, as others may wait for longer', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { timeLeft: 20, key: 'key' });
    expect(broker.given('w')).toMatchObject({ key: 'key', timeLeft: undefined });
    broker.hello('d');
    broker.ask('d', 'work', { timeLeft: 100, key: 'key' });
    broker.heardNow();
    broker.wait(30);
    expect(broker.heardNow()).toEqual([]);
    broker.done('w', 'reply', { sequence: 0 });
    expect(broker.heardNow()).toEqual(['c 1 = reply', 'd 1 = reply']);
  });

  test('owns the bytes that wait', () => {
    const broker = brokerWith(0);
    // Shorter frames are copied when they are read.
    const long = 'work'.repeat(20);
    const [text, headers] = [body(long), Uint8Array.of(1, 2)];
    broker.ask('c', '', { body: text, headers });
    for (const frame of [...text, headers]) frame.fill(0);
    broker.say('w', { type: 'capacity', credit: 1 });
    expect(broker.given('w')).toMatchObject({ body: body(long), headers: Uint8Array.of(1, 2) });
  });

  test('has less time left for having waited, and the attempt says how often it was given out', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { timeLeft: 500 });
    broker.wait(60);
    broker.gone('w');
    broker.wait(30);
    broker.wait(10.5);
    broker.serve('w2');
    expect(broker.given('w2')).toMatchObject({ attempt: 2, number: 1, timeLeft: 400 });
  });

  test('under a number that was used is not done again', () => {
    const broker = brokerWith(2);
    broker.ask('c', 'work', { number: 5 });
    broker.ask('c', 'again', { number: 5 });
    broker.ask('c', 'older', { number: 4 });
    expect(broker.heardNow()).toEqual(['w < work']);
    expect(broker.took('unexpectedCommand')).toHaveLength(2);
  });

  test('is refused at once if it cannot wait and nobody offers the service', () => {
    const broker = brokerWith();
    broker.ask('c', 'no', { service: 'nobody', failFast: true });
    broker.ask('c', 'runs', { failFast: true });
    broker.ask('c', 'waits', { failFast: true });
    expect(broker.heardNow()).toEqual(['c 1 = ERR_NO_SERVICE', 'w < runs']);
    expect(broker.took('requestRefused')).toMatchObject([{ reason: 'noService' }]);
    expect(broker.machine.status()).toMatchObject({ queued: 1, inFlight: 1 });
  });

  test('that finds the queue full is told when to try again', () => {
    const broker = brokerWith(1, { queueLimit: 1 });
    for (const text of ['runs', 'waits', 'one too many']) broker.ask('c', text);
    const said = broker.sent.at(-1)!.command;
    expect(said).toMatchObject({
      number: 3,
      failure: { code: 'ERR_QUEUE_FULL', retryAfter: 10_000 },
    });
    expect(broker.machine.status().requests.accepted).toBe(2);
  });

  test('counts its headers against the queue', () => {
    const broker = brokerWith(0, { queueBytes: 2000 });
    broker.ask('c', 'work', { headers: new Uint8Array(2000) });
    expect(broker.heardNow()).toEqual(['c 1 = ERR_QUEUE_FULL']);
  });

  test('goes to the other worker if the queue of the first one is full', () => {
    const broker = brokerWith();
    broker.serve('w2');
    broker.full.add('w');
    broker.heardNow();
    broker.ask('c', 'work');
    expect(broker.heardNow()).toEqual(['w2 < work']);
    expect(broker.took('requestRequeued')).toEqual([]);
  });

  test('of higher priority goes first', () => {
    const broker = brokerWith(0);
    broker.ask('c', 'low');
    broker.ask('c', 'high', { priority: 5 });
    broker.say('w', { type: 'capacity', credit: 2 });
    expect(broker.heardNow()).toEqual(['w < high', 'w < low']);
  });
});

/** What is answered to this question for the versions of express: the same in stock MDP and in express. */
function versionFor(asked: string): string {
  const broker = new ExpressBroker();
  broker.request('probe', asked, 'mmi.express', 'mdp0.1');
  broker.hello('c');
  broker.ask('c', asked, { service: 'mmi.express' });
  const [stock, , express] = broker.heardNow();
  expect(express).toBe(stock!.replace('probe', 'c 1'));
  expect(broker.leftovers).toEqual(NOTHING_LEFT);
  return stock!;
}

describe('mmi', () => {
  test('says which version of express to speak, in any dialect', () => {
    expect(versionFor('1')).toBe('probe = 200|1');
    expect(versionFor('3,1,2')).toBe('probe = 200|1');
  });

  test('and that there is none', () => {
    for (const asked of ['2', '', '11', 'one']) expect(versionFor(asked)).toBe('probe = 501');
  });
});

describe('a client gives a request up', () => {
  test('that is queued: it is never begun', () => {
    const broker = brokerWith();
    broker.ask('c', 'runs');
    broker.cancel('c', broker.ask('c', 'queued'));
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual(['w < runs', 'c 1 = done']);
    expect(broker.machine.status().requests).toMatchObject({ cancelled: 1, replied: 1 });
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('that runs: its worker is told, and is free when it says so', () => {
    const broker = brokerWith();
    broker.cancel('c', broker.ask('c', 'runs'));
    broker.ask('c', 'next');
    expect(broker.heardNow()).toEqual(['w < runs', 'w cancel 0']);
    const failure = { code: 'ERR_CANCELLED', message: 'nobody waits' } as const;
    broker.done('w', '', { number: 0, body: [], failure });
    expect(broker.heardNow()).toEqual(['w < next']);
    expect(broker.took('replyRefused')).toMatchObject([{ reason: 'requestEnded' }]);
  });

  test('that it never made, or that has ended: nothing happens', () => {
    const broker = brokerWith();
    const number = broker.ask('c', 'work');
    broker.done('w', 'done');
    broker.heardNow();
    for (const other of [number, 0, 99]) broker.cancel('c', other);
    expect(broker.heardNow()).toEqual([]);
  });
});

describe('the time of a request is over', () => {
  test('before a worker was free', () => {
    const broker = brokerWith(0);
    broker.ask('c', 'work', { timeLeft: 150 });
    broker.live({ c: [1], w: [] }, 149);
    expect(broker.heardNow()).toEqual([]);
    broker.wait(1);
    expect(broker.heardNow()).toEqual(['c 1 = ERR_REQUEST_EXPIRED']);
    expect(broker.sent.at(-1)!.command).toMatchObject({ failure: { attempts: 0 } });
    expect(broker.took('requestExpired')).toMatchObject([{ running: false }]);
  });

  test('while a worker has it: that is told, and free when it says so', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { timeLeft: 150 });
    broker.ask('c', 'next');
    broker.live({ c: [1, 2], w: [0] }, 149);
    expect(broker.heardNow()).toEqual(['w < work']);
    broker.wait(1);
    expect(broker.heardNow()).toEqual(['w cancel 0', 'c 1 = ERR_REQUEST_EXPIRED']);
    expect(broker.sent.at(-1)!.command).toMatchObject({ failure: { attempts: 1 } });
    broker.done('w', 'too late', { number: 0 });
    expect(broker.heardNow()).toEqual(['w < next']);
  });
});

describe('a client leaves', () => {
  test('with a goodbye: what it wanted is stopped at once', () => {
    const broker = brokerWith();
    broker.ask('c', 'runs');
    broker.ask('c', 'queued');
    broker.say('c', { type: 'disconnect' });
    expect(broker.heardNow()).toEqual(['w < runs', 'w cancel 0']);
    expect(broker.took('clientLost')).toMatchObject([{ reason: 'disconnected' }]);
    broker.done('w', 'done', { number: 0 });
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('as its link broke: after clientGrace', () => {
    const broker = brokerWith();
    broker.ask('c', 'runs');
    broker.gone('c');
    broker.wait(49);
    expect(broker.heardNow()).toEqual(['w < runs']);
    broker.wait(1);
    expect(broker.heardNow()).toEqual(['w cancel 0']);
  });

  test('in silence: after interval × liveness', () => {
    const broker = brokerWith();
    broker.ask('c', 'runs');
    broker.live({ w: [0] }, 299);
    expect(broker.heardNow()).toEqual(['w < runs']);
    broker.wait(1);
    expect(broker.heardNow()).toEqual(['w cancel 0']);
    expect(broker.took('clientLost')).toMatchObject([{ reason: 'gone' }]);
  });
});

describe('idempotency keys', () => {
  const keyed = { key: 'key' };

  test('join what is queued or runs, and all who wait get its reply', () => {
    const broker = brokerWith();
    broker.hello('d');
    broker.ask('c', 'work', keyed);
    broker.ask('d', 'work', keyed);
    broker.ask('c', 'work', keyed);
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual([
      'd welcome',
      'w < work',
      'c 1 = done',
      'd 1 = done',
      'c 2 = done',
    ]);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('get the stored reply for as long as it is kept', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', keyed);
    broker.done('w', 'done');
    broker.ask('c', 'work', keyed);
    expect(broker.heardNow()).toEqual(['w < work', 'c 1 = done', 'c 2 = done']);
    expect(broker.took('requestJoined')).toMatchObject([{ stored: true }]);
    broker.live({ c: [], w: [] }, 1000);
    expect(broker.machine.status().kept).toEqual({ replies: 0, bytes: 0 });
    broker.ask('c', 'work', keyed);
    expect(broker.heardNow()).toEqual(['w < work']);
  });

  test('go on for the one who still waits', () => {
    const broker = brokerWith();
    broker.hello('d');
    const number = broker.ask('c', 'work', keyed);
    broker.ask('d', 'work', keyed);
    broker.heardNow();
    broker.cancel('c', number);
    expect(broker.heardNow()).toEqual([]);
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual(['d 1 = done']);
  });

  test('stop when the last one has given up', () => {
    const broker = brokerWith();
    broker.cancel('c', broker.ask('c', 'work', keyed));
    expect(broker.heardNow()).toEqual(['w < work', 'w cancel 0']);
    expect(broker.leftovers).toMatchObject({ keys: 0, open: 0 });
  });

  test('go on when their client is gone, and are there for its next life', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', keyed);
    broker.gone('c');
    broker.wait(50);
    expect(broker.heardNow()).toEqual(['w < work']);
    broker.hello('c', 'next life');
    broker.ask('c', 'work', { ...keyed, number: 1 });
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual(['c welcome', 'c 1 = done']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('start anew when nothing came of the first', () => {
    const broker = brokerWith(1, { maxAttempts: 1 });
    broker.ask('c', 'work', keyed);
    broker.gone('w');
    broker.wait(30);
    broker.serve('w2');
    broker.ask('c', 'work', keyed);
    expect(broker.heardNow()).toEqual([
      'w < work',
      'c 1 = ERR_ATTEMPTS_EXHAUSTED',
      'w2 welcome',
      'w2 < work',
    ]);
  });

  test('take the whole reply: a window means nothing', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { ...keyed, window: 1000 });
    expect(broker.given('w').window).toBeUndefined();
    broker.part('w', 'a', 0);
    broker.done('w', 'b', { sequence: 1 });
    expect(broker.heardNow()).toEqual(['w < work', 'c 1 = a|b']);
  });
});

describe('dead letters', () => {
  test('go to the service for them, with what is known of them', () => {
    const broker = brokerWith(1, { maxAttempts: 1, deadLetterService: 'graveyard' });
    broker.serve('digger', 1, { service: 'graveyard' });
    broker.ask('c', 'poison');
    broker.gone('w');
    broker.wait(30);
    expect(broker.heardNow()).toEqual([
      'digger welcome',
      'w < poison',
      'c 1 = ERR_ATTEMPTS_EXHAUSTED',
      'digger < poison',
    ]);
    broker.ask('c', 'other');
    broker.done('digger', 'thanks', { number: 1 });
    expect(broker.took('deadLetter')).toMatchObject([{ client: 'c', attempts: 1 }]);
  });

  test('say where they come from', () => {
    const broker = brokerWith(1, { maxAttempts: 1, deadLetterService: 'graveyard' });
    broker.serve('digger', 1, { service: 'graveyard' });
    broker.ask('c', 'poison');
    broker.say('w', { type: 'heartbeat', beat: 1, echo: 0, held: [0] });
    broker.say('w', { type: 'disconnect' });
    const { headers } = broker.given('digger');
    expect(JSON.parse(decodeText(headers!))).toEqual({ service: 'echo', attempts: '1' });
    broker.gone('digger');
    broker.wait(30);
    expect(broker.machine.status().requests).toMatchObject({ accepted: 2, failed: 2 });
  });
});
