/** What a broker does in the situations that Majordomo is about, each told as a story. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import type { BrokerInput } from '../../src/majordomo/wire/commands.ts';
import { encodeFailure } from '../../src/core/error-body.ts';
import { body, BrokerStory } from './stories.ts';

function busyBroker(): BrokerStory {
  const broker = new BrokerStory({ requestTtl: 1000 });
  broker.ready('w1');
  broker.request('client', 'running');
  broker.request('client', 'queued');
  return broker;
}

describe('a worker is lost', () => {
  test('its request goes to the head of the queue, and to the next worker', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    for (const text of ['first', 'second', 'third']) broker.request('client', text);
    broker.wait(50);
    broker.disconnect('w1');
    broker.ready('w2');
    broker.answer('w2', 'done');
    broker.answer('w2', 'done');
    expect(broker.traffic.filter((line) => line.includes('<'))).toEqual([
      'w1 < first',
      'w2 < first',
      'w2 < second',
      'w2 < third',
    ]);
    expect(broker.took('requestRequeued')).toMatchObject([{ attempts: 1 }]);
  });

  test('silence ends it after interval × liveness, idle or busy', () => {
    const broker = new BrokerStory();
    broker.ready('busy');
    broker.ready('idle');
    broker.request('client', 'work');
    broker.waitWith(['idle'], 299);
    expect(broker.took('workerLost')).toEqual([]);
    broker.waitWith(['idle'], 1);
    expect(broker.took('workerLost')).toMatchObject([
      { worker: 'busy', reason: 'expired', held: true },
    ]);
    expect(broker.traffic).toEqual(['busy < work', 'busy disconnect', 'idle < work']);
  });

  test('silence ends each of them, whoever came before it is still heard', () => {
    const broker = new BrokerStory();
    broker.ready('heard');
    broker.ready('silent 1');
    broker.ready('silent 2');
    broker.waitWith(['heard'], 300);
    expect(broker.took('workerLost').map(({ worker }) => worker)).toEqual(['silent 1', 'silent 2']);
  });

  test('those that are silent at the same instant do not cost a request an attempt each', () => {
    const broker = new BrokerStory();
    for (const worker of ['w1', 'w2', 'w3', 'heard']) broker.ready(worker);
    for (const text of ['work', 'y', 'z', 'v']) broker.request('client', text);
    for (const worker of ['w2', 'w3', 'heard']) broker.answer(worker, 'done');
    broker.waitWith(['heard'], 300);
    expect(broker.took('workerLost').map(({ worker }) => worker)).toEqual(['w1', 'w2', 'w3']);
    expect(broker.traffic.filter((line) => line.endsWith('< work'))).toEqual([
      'w1 < work',
      'heard < work',
    ]);
    expect(broker.took('requestRequeued')).toMatchObject([{ attempts: 1 }]);
  });

  test('a request that costs too many workers is a dead letter', () => {
    const broker = new BrokerStory({ maxAttempts: 2 });
    broker.request('client', 'poison');
    for (const worker of ['w1', 'w2', 'w3']) {
      broker.ready(worker);
      broker.wait(1);
      broker.disconnect(worker);
    }
    expect(broker.traffic).toEqual([
      'w1 < poison',
      'w2 < poison',
      'client = ERR_ATTEMPTS_EXHAUSTED',
    ]);
    expect(broker.took('deadLetter')).toMatchObject([
      { service: 'echo', client: 'client', attempts: 2, body: body('poison') },
    ]);
    expect(broker.machine.status().requests).toMatchObject({ accepted: 1, failed: 1 });
  });

  test('a worker that leaves in the turn of its dispatch hands back, at no cost', () => {
    const broker = new BrokerStory({ maxAttempts: 1 });
    broker.ready('leaving');
    broker.request('client', 'work');
    broker.disconnect('leaving');
    expect(broker.took('deadLetter')).toEqual([]);
    broker.ready('w2');
    expect(broker.traffic).toEqual(['leaving < work', 'w2 < work']);
  });

  test('after a partial has gone out its request fails: it must not look whole', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work');
    broker.answer('w1', 'part', false);
    broker.wait(10);
    broker.disconnect('w1');
    broker.ready('w2');
    expect(broker.traffic).toEqual(['w1 < work', 'client = part …', 'client = ERR_WORKER_LOST']);
  });

  test('a notice is taken back by a sign of life within the grace', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.gone('w1');
    broker.wait(29);
    broker.hear('w1', { type: 'heartbeat', dialect: 'mdp0.2' });
    broker.wait(50);
    expect(broker.took('workerLost')).toEqual([]);
    broker.gone('w1');
    broker.wait(30);
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'gone', held: false }]);
  });

  test('a broker that was stopped itself forgives, then expects to hear them', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.sleep(10_000);
    expect(broker.took('workerLost')).toEqual([]);
    broker.wait(100);
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'expired' }]);
  });
});

describe('a worker holds a request', () => {
  test('without a word for attemptTimeout: it goes to another, and the late reply is refused', () => {
    const broker = new BrokerStory({ attemptTimeout: 500 });
    broker.ready('hung');
    broker.request('client', 'work');
    broker.waitWith(['hung'], 400);
    broker.wait(100);
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'attemptTimeout', held: true }]);
    broker.ready('w2');
    broker.answer('hung', 'late');
    broker.answer('w2', 'done');
    expect(broker.traffic).toEqual([
      'hung < work',
      'hung disconnect',
      'w2 < work',
      'hung disconnect',
      'client = done',
    ]);
    expect(broker.took('replyRefused')).toMatchObject([{ reason: 'unknownWorker' }]);
  });

  test('and each part gives it attemptTimeout anew', () => {
    const broker = new BrokerStory({ attemptTimeout: 500 });
    broker.ready('slow');
    broker.request('client', 'work');
    for (let part = 0; part < 3; part++) {
      broker.waitWith(['slow'], 400);
      broker.answer('slow', 'part', false);
    }
    broker.answer('slow', 'end');
    expect(broker.took('workerLost')).toEqual([]);
    expect(broker.traffic.at(-1)).toBe('client = end');
  });

  test('a second READY from it ends its session', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work');
    broker.wait(1);
    broker.ready('w1');
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'unexpectedCommand', held: true }]);
    expect(broker.traffic).toEqual(['w1 < work', 'w1 disconnect']);
    broker.ready('w1');
    expect(broker.traffic.at(-1)).toBe('w1 < work');
  });

  test('a reply for anything but its last dispatch is refused', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work');
    const forged = [body('client'), [...body('x'), ...body('y')], [encodeText('\x01')]];
    for (const envelope of forged) {
      broker.hear('w1', {
        type: 'result',
        dialect: 'mdp0.2',
        envelope,
        body: body('no'),
        final: true,
      });
    }
    broker.answer('w1', 'done');
    broker.answer('w1', 'done twice');
    expect(broker.took('replyRefused')).toHaveLength(4);
    expect(broker.traffic).toEqual(['w1 < work', 'client = done']);
  });

  test('and no other can answer for it, even under the right tag', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work');
    const given = broker.sent.at(-1)!.command;
    broker.ready('w2');
    const envelope = given.type === 'dispatch' ? given.envelope : [];
    const stolen = {
      type: 'result',
      dialect: 'mdp0.2',
      envelope,
      body: body('stolen'),
      final: true,
    };
    broker.hear('w2', stolen as BrokerInput);
    expect(broker.took('replyRefused')).toMatchObject([{ worker: 'w2', reason: 'stale' }]);
    broker.answer('w1', 'done');
    expect(broker.traffic).toEqual(['w1 < work', 'client = done']);
  });

  test('and its client has gone: nothing is run again, but a reply is still sent', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'running');
    broker.request('client', 'queued');
    broker.gone('client');
    broker.wait(30);
    expect(broker.took('requestCancelled')).toHaveLength(1);
    broker.answer('w1', 'done');
    expect(broker.traffic).toEqual(['w1 < running', 'client = done']);
    broker.request('client', 'again');
    broker.gone('client');
    broker.wait(30);
    broker.disconnect('w1');
    broker.ready('w2');
    expect(broker.took('requestCancelled')).toHaveLength(1);
    expect(broker.traffic.at(-1)).toBe('w1 < again');
  });

  test('past its time to live: the client is told, and the worker waited for', () => {
    const broker = new BrokerStory({ requestTtl: 200 });
    broker.ready('w1');
    broker.request('client', 'running');
    broker.request('client', 'queued');
    broker.waitWith(['w1'], 200);
    expect(broker.took('requestExpired')).toMatchObject([{ running: true }, { running: false }]);
    broker.request('client', 'next');
    broker.answer('w1', 'too late');
    expect(broker.traffic).toEqual([
      'w1 < running',
      'client = ERR_REQUEST_EXPIRED',
      'client = ERR_REQUEST_EXPIRED',
      'w1 < next',
    ]);
    expect(broker.took('replyRefused')).toMatchObject([{ reason: 'requestEnded' }]);
  });
});

describe('dialects meet', () => {
  test('a 0.1 client gets the partials of a 0.2 worker joined', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work', 'echo', 'mdp0.1');
    broker.answer('w1', 'a', false);
    broker.answer('w1', 'b', false);
    broker.answer('w1', 'c');
    expect(broker.traffic).toEqual(['w1 < work', 'client = a|b|c']);
    expect(broker.sent.at(-1)!.command.dialect).toBe('mdp0.1');
  });

  test('and none of the parts of a lost worker', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work', 'echo', 'mdp0.1');
    broker.answer('w1', 'a', false);
    broker.wait(1);
    broker.disconnect('w1');
    broker.ready('w2');
    broker.answer('w2', 'whole');
    expect(broker.traffic).toEqual(['w1 < work', 'w2 < work', 'client = whole']);
  });

  test('and an error when they exceed replyBufferBytes', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work', 'echo', 'mdp0.1');
    broker.answer('w1', 'x'.repeat(800), false);
    broker.answer('w1', 'y', false);
    expect(broker.traffic.at(-1)).toBe('client = ERR_REPLY_TOO_LARGE');
  });

  test('a worker that changes its dialect breaks the protocol', () => {
    const broker = new BrokerStory();
    broker.ready('w1', 'echo', 'mdp0.1');
    broker.hear('w1', { type: 'heartbeat', dialect: 'mdp0.2' });
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'unexpectedCommand' }]);
    expect(broker.sent.at(-1)!.command).toEqual({ type: 'disconnect', dialect: 'mdp0.1' });
  });
});

describe('names of its own', () => {
  test('are answered at once, and belong to no worker', () => {
    const broker = new BrokerStory();
    broker.ready('w1', 'mmi.service');
    broker.ready('w2');
    broker.request('client', 'echo', 'mmi.service');
    broker.request('client', 'nobody', 'mmi.service');
    broker.request('client', '', 'mmi.unknown');
    expect(broker.took('workerRefused')).toMatchObject([{ reason: 'reservedName' }]);
    expect(broker.traffic).toEqual([
      'w1 disconnect',
      'client = 200',
      'client = 404',
      'client = 501',
    ]);
    expect(broker.machine.status().requests.accepted).toBe(0);
  });

  test('list the services, with what waits for nobody yet', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'x', 'unserved');
    broker.request('client', '', 'mmi.services');
    const services = [
      { name: 'echo', workers: 1, waiting: 1, stalled: 0, running: 0, credit: 1, queued: 0 },
      { name: 'unserved', workers: 0, waiting: 0, stalled: 0, running: 0, credit: 0, queued: 1 },
    ];
    expect(broker.traffic).toEqual([`client = 200|${JSON.stringify(services)}`]);
  });
});

test('a request that waits owns the bytes of its body', () => {
  const broker = new BrokerStory();
  const borrowed = body('hello');
  broker.hear('client', { type: 'request', dialect: 'mdp0.2', service: 'echo', body: borrowed });
  borrowed[0]!.fill(0);
  broker.ready('w1');
  expect(broker.traffic).toEqual(['w1 < hello']);
});

describe('bounds', () => {
  test('a full queue refuses by name, and takes in again', () => {
    const broker = new BrokerStory({ queueLimit: 2 });
    for (const text of ['a', 'b', 'c']) broker.request('client', text);
    expect(broker.traffic).toEqual(['client = ERR_QUEUE_FULL']);
    expect(broker.took('requestRefused')).toMatchObject([{ reason: 'queueFull' }]);
    broker.ready('w1');
    broker.request('client', 'd');
    expect(broker.machine.status()).toMatchObject({ queued: 2, inFlight: 1 });
  });

  test('one worker too many is told to disconnect', () => {
    const broker = new BrokerStory({ workerLimit: 1 });
    broker.ready('w1');
    broker.ready('w2');
    expect(broker.traffic).toEqual(['w2 disconnect']);
    expect(broker.took('workerRefused')).toMatchObject([{ worker: 'w2', reason: 'workerLimit' }]);
  });

  test('a worker whose queue is full is passed over until it is writable', () => {
    const broker = new BrokerStory({ maxAttempts: 1 });
    broker.ready('full');
    broker.full.add('full');
    broker.request('client', 'work');
    expect(broker.traffic).toEqual([]);
    broker.full.clear();
    broker.machine.handleWritable(broker.now, 'peers', 'full');
    expect(broker.traffic).toEqual(['full < work']);
  });

  test('a client that does not read a stream is told that parts are missing', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work');
    broker.full.add('client');
    broker.answer('w1', 'part', false);
    broker.full.clear();
    expect(broker.took('replyRefused')).toMatchObject([{ reason: 'clientQueueFull' }]);
    expect(broker.machine.status().requests.failed).toBe(1);
  });
});

describe('closing', () => {
  test('drain fails what is queued, lets what runs finish, and says goodbye', () => {
    const broker = busyBroker();
    broker.call({ type: 'drain' });
    broker.request('client', 'new');
    broker.ready('w2');
    expect(broker.took('drained')).toHaveLength(0);
    broker.answer('w1', 'done');
    expect(broker.took('drained')).toHaveLength(1);
    expect(broker.traffic).toEqual([
      'w1 < running',
      'client = ERR_BROKER_CLOSING',
      'client = ERR_BROKER_CLOSING',
      'w2 disconnect',
      'client = done',
      'w1 disconnect',
    ]);
  });

  test('stop does not wait', () => {
    const broker = busyBroker();
    broker.call({ type: 'drain' });
    broker.call({ type: 'stop' });
    broker.call({ type: 'stop' });
    expect(broker.took('drained')).toHaveLength(1);
    expect(broker.machine.status()).toMatchObject({ queued: 0, inFlight: 0, workers: 0 });
    expect(broker.traffic.filter((line) => line.includes('CLOSING'))).toHaveLength(2);
  });

  test('a worker lost meanwhile does not hold it up, nor does a request that expires', () => {
    const lost = busyBroker();
    lost.call({ type: 'drain' });
    lost.wait(300);
    expect(lost.took('drained')).toHaveLength(1);
    const expired = busyBroker();
    expired.call({ type: 'drain' });
    expired.waitWith(['w1'], 1000);
    expect(expired.took('drained')).toHaveLength(1);
  });

  test('a reply that fails in mid-stream does not hold it up', () => {
    const broker = new BrokerStory();
    broker.ready('w1');
    broker.request('client', 'work', 'echo', 'mdp0.1');
    broker.call({ type: 'drain' });
    broker.answer('w1', 'x'.repeat(801), false);
    expect(broker.took('drained')).toHaveLength(1);
  });
});

test('an error body of a worker is an ordinary reply to the broker', () => {
  const broker = new BrokerStory();
  broker.ready('w1');
  broker.request('client', 'work');
  const given = broker.sent.at(-1)!.command;
  if (given.type !== 'dispatch') throw new Error('nothing was given out');
  const failure = encodeFailure({ code: 'ERR_HANDLER_FAILED', message: 'no' });
  const { envelope } = given;
  broker.hear('w1', { type: 'result', dialect: 'mdp0.2', envelope, body: failure, final: true });
  expect(broker.traffic.at(-1)).toBe('client = ERR_HANDLER_FAILED');
  expect(broker.machine.status().requests.replied).toBe(1);
});
