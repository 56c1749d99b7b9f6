/** What a queue does in the situations that the Pirates are about, each told as a story. */
import { describe, expect, test } from 'vitest';
import type { Frames } from '../../src/core/machine.ts';
import { body } from '../actor.ts';
import { QueueStory, SIMPLE } from './queue-story.ts';

const lost = (queue: QueueStory) =>
  queue.took('workerLost').map(({ worker, reason, held }) => `${worker} ${reason} ${held}`);
const refused = (queue: QueueStory) => queue.took('replyRefused').map(({ reason }) => reason);

/** One request is running at `w1`, another is queued. */
function busyQueue(settings: ConstructorParameters<typeof QueueStory>[0] = {}): QueueStory {
  const queue = new QueueStory(settings);
  queue.ready('w1');
  queue.request('client', 'running');
  queue.request('client', 'queued');
  return queue;
}

/** `slow` has held a request for longer than it may. */
function lateQueue(): QueueStory {
  const queue = new QueueStory({ attemptTimeout: 250 });
  queue.ready('slow');
  queue.request('client', 'x');
  queue.waitWith(['slow'], 250);
  return queue;
}

describe('requests and replies', () => {
  test('the least recently used worker is next', () => {
    const queue = new QueueStory();
    queue.ready('w1', 'w2', 'w3');
    queue.request('client', 'a');
    queue.answer('w1', 'A');
    for (const text of ['b', 'c', 'd']) queue.request('client', text);
    const given = queue.traffic.filter((line) => line.includes('<'));
    expect(given).toEqual(['w1 < a', 'w2 < b', 'w3 < c', 'w1 < d']);
  });

  test('a worker is given one request at a time, and the next one when it answers', () => {
    const queue = busyQueue();
    expect(queue.machine.status()).toMatchObject({ workers: 1, idle: 0, queued: 1, inFlight: 1 });
    queue.answer('w1', 'done');
    expect(queue.traffic).toEqual(['w1 < running', 'client = done', 'w1 < queued']);
  });

  test('the stack of the client returns untouched, and the worker sees none of it', () => {
    const queue = new QueueStory();
    queue.ready('w1');
    const stacks = [[], body('id'), body('one', 'two'), null];
    for (const stack of stacks) {
      queue.request('client', 'x', stack);
      queue.answer('w1', 'y');
    }
    const replies = queue.sent.flatMap(({ command }) =>
      command.type === 'reply' ? [command] : [],
    );
    expect(replies.map(({ stack }) => stack ?? null)).toEqual(stacks);
    const given = queue.stacksOf('w1');
    expect(given.map((stack) => stack.map(({ byteLength }) => byteLength))).toEqual([
      [8],
      [8],
      [8],
      [8],
    ]);
    expect(new Set(given.map(String)).size).toBe(4);
  });

  test('a client with many requests does not keep one with a single request waiting', () => {
    const queue = new QueueStory();
    for (const text of ['1', '2', '3']) queue.request('greedy', text);
    queue.request('modest', '4');
    queue.ready('w1', 'w2');
    expect(queue.traffic).toEqual(['w1 < 1', 'w2 < 4']);
  });

  test('all are accounted for', () => {
    const queue = busyQueue();
    queue.answer('w1', 'done');
    const { requests, events, queuedBytes } = queue.machine.status();
    expect(requests).toEqual({ accepted: 2, replied: 1, failed: 0, expired: 0, cancelled: 0 });
    expect([queuedBytes, events.workerReady]).toEqual([0, 1]);
  });
});

describe('a worker says READY', () => {
  test('and is known, and told so by a heartbeat at once', () => {
    const queue = new QueueStory();
    queue.ready('w1');
    expect(queue.beats).toEqual(['w1']);
    expect(queue.took('workerReady')).toEqual([{ type: 'workerReady', worker: 'w1' }]);
  });

  test('again while it is idle: that changes nothing, and is answered', () => {
    const queue = new QueueStory();
    queue.ready('w1', 'w2', 'w1');
    expect(queue.beats).toEqual(['w1', 'w2', 'w1']);
    expect(queue.machine.status()).toMatchObject({ workers: 2, idle: 2 });
    queue.request('client', 'x');
    expect(queue.traffic).toEqual(['w1 < x']);
    expect(lost(queue)).toEqual([]);
  });

  test('while it holds a request: it has begun anew, and the request is lost', () => {
    const queue = busyQueue();
    queue.ready('w1');
    expect(lost(queue)).toEqual(['w1 replaced true']);
    expect(queue.traffic).toEqual(['w1 < running', 'w1 < running']);
    expect(queue.took('requestRequeued')).toMatchObject([{ client: 'client', attempts: 1 }]);
    const [old] = queue.stacksOf('w1');
    queue.answer('w1', 'of the old life', old);
    expect(refused(queue)).toEqual(['stale']);
    expect(queue.machine.status()).toMatchObject({ workers: 1, inFlight: 1 });
  });

  test('after a notice, while it is idle: it is given one request, once', () => {
    const queue = new QueueStory();
    queue.ready('w1');
    queue.gone('backend', 'w1');
    queue.request('client', 'x');
    queue.ready('w1');
    expect(queue.traffic).toEqual(['w1 < x']);
    expect(lost(queue)).toEqual([]);
  });

  test('beyond the limit: it is refused', () => {
    const queue = new QueueStory({ workerLimit: 1 });
    queue.ready('w1', 'w2', 'w1');
    expect(queue.took('workerRefused')).toMatchObject([{ worker: 'w2', reason: 'workerLimit' }]);
    expect(queue.beats).toEqual(['w1', 'w1']);
    queue.wait(300);
    queue.ready('w2');
    expect(queue.machine.status().workers).toBe(1);
  });
});

describe('a heartbeat', () => {
  test('registers nobody', () => {
    const queue = new QueueStory();
    queue.beat('w1');
    queue.request('client', 'x');
    expect(queue.traffic).toEqual([]);
    expect(queue.machine.status().workers).toBe(0);
  });

  test('frees nobody', () => {
    const queue = busyQueue();
    queue.beat('w1');
    expect(queue.traffic).toEqual(['w1 < running']);
  });

  test('goes to idle and to busy workers, each interval', () => {
    const queue = new QueueStory();
    queue.ready('w1', 'w2');
    queue.request('client', 'x');
    queue.wait(200);
    expect(queue.beats.toSorted()).toEqual(['w1', 'w1', 'w1', 'w2', 'w2', 'w2']);
  });

  test('keeps a worker; the silence of another ends it, idle or busy', () => {
    const queue = new QueueStory();
    queue.ready('busy', 'idle', 'heard');
    queue.request('client', 'x');
    queue.waitWith(['heard'], 299);
    expect(lost(queue)).toEqual([]);
    queue.wait(1);
    expect(lost(queue).toSorted()).toEqual(['busy expired true', 'idle expired false']);
    expect(queue.traffic).toEqual(['busy < x', 'heard < x']);
  });
});

describe('a worker is lost', () => {
  test('its request goes to the head of the queue, and to the next worker', () => {
    const queue = busyQueue();
    queue.request('other', 'third');
    queue.wait(300);
    queue.ready('w2');
    for (const text of ['A', 'B', 'C']) queue.answer('w2', text);
    const given = queue.traffic.filter((line) => line.includes('<'));
    expect(given).toEqual(['w1 < running', 'w2 < running', 'w2 < queued', 'w2 < third']);
    expect(queue.machine.status().requests).toMatchObject({ accepted: 3, replied: 3 });
  });

  test('with a link: only when it is not heard within the grace', () => {
    const queue = busyQueue();
    queue.gone('backend', 'w1');
    queue.wait(29);
    expect(lost(queue)).toEqual([]);
    queue.wait(1);
    expect(lost(queue)).toEqual(['w1 gone true']);
  });

  test('or not: any word within the grace takes the notice back', () => {
    const queue = busyQueue();
    queue.gone('backend', 'w1');
    queue.wait(29);
    queue.beat('w1');
    queue.wait(50);
    queue.answer('w1', 'done');
    expect(queue.traffic).toEqual(['w1 < running', 'client = done', 'w1 < queued']);
    expect(lost(queue)).toEqual([]);
  });

  test('or perhaps: until it is heard it is given nothing', () => {
    const queue = new QueueStory();
    queue.ready('w1');
    queue.gone('backend', 'w1');
    queue.request('client', 'x');
    expect(queue.traffic).toEqual([]);
    queue.answer('w1', 'what is not asked', body('tag'));
    expect(queue.traffic).toEqual(['w1 < x']);
  });

  test('a second notice does not prolong the grace', () => {
    const queue = busyQueue();
    queue.gone('backend', 'w1');
    queue.wait(20);
    queue.gone('backend', 'w1');
    queue.wait(10);
    expect(lost(queue)).toEqual(['w1 gone true']);
  });

  test('and its late reply reaches no one', () => {
    const queue = busyQueue();
    const [stack] = queue.stacksOf('w1');
    queue.wait(300);
    queue.answer('w1', 'late', stack);
    expect(refused(queue)).toEqual(['unknownWorker']);
    expect(queue.traffic).toEqual(['w1 < running']);
    expect(queue.machine.status()).toMatchObject({ workers: 0, queued: 2 });
  });

  test('too often for one request: it is a dead letter', () => {
    const queue = new QueueStory({ maxAttempts: 2 });
    queue.request('client', 'poison');
    for (const worker of ['w1', 'w2', 'w3']) {
      queue.ready(worker);
      queue.wait(300);
    }
    expect(queue.traffic).toEqual([
      'w1 < poison',
      'w2 < poison',
      'client = ERR_ATTEMPTS_EXHAUSTED',
    ]);
    expect(queue.took('deadLetter')).toEqual([
      { type: 'deadLetter', client: 'client', body: body('poison'), attempts: 2 },
    ]);
    expect(queue.machine.status().requests).toMatchObject({ accepted: 1, failed: 1 });
  });
});

describe('a reply counts only for what its worker holds', () => {
  test.each([
    ['another tag', body('x'.repeat(8))],
    ['a stack behind it', (tag: Frames) => [...tag, ...body('more')]],
    ['a longer tag', (tag: Frames) => [Buffer.concat([...tag, Buffer.from('x')])]],
    ['no stack', []],
  ])('not with %s', (_what, stack) => {
    const queue = busyQueue();
    const [tag] = queue.stacksOf('w1');
    queue.answer('w1', 'forged', typeof stack === 'function' ? stack(tag!) : stack);
    expect(refused(queue)).toEqual(['stale']);
    expect(queue.traffic).toEqual(['w1 < running']);
    queue.answer('w1', 'done', tag);
    expect(queue.traffic).toEqual(['w1 < running', 'client = done', 'w1 < queued']);
  });

  test('not with the tag of another worker, which keeps what it has', () => {
    const queue = busyQueue();
    queue.ready('w2');
    queue.answer('w2', 'stolen', queue.stacksOf('w1')[0]);
    expect(refused(queue)).toEqual(['stale']);
    expect(queue.traffic).toEqual(['w1 < running', 'w2 < queued']);
  });

  test('not a second time', () => {
    const queue = new QueueStory();
    queue.ready('w1');
    queue.request('client', 'x');
    queue.answer('w1', 'done');
    queue.answer('w1', 'done');
    expect(refused(queue)).toEqual(['stale']);
    expect(queue.traffic).toEqual(['w1 < x', 'client = done']);
    expect(queue.machine.status().idle).toBe(1);
  });

  test('not in another life of the queue', () => {
    const [before, after] = [busyQueue(), busyQueue({ random: () => 0.5 })];
    after.answer('w1', 'of another life', before.stacksOf('w1')[0]);
    expect(refused(after)).toEqual(['stale']);
  });

  test('not from someone unknown, who is registered by READY alone', () => {
    const queue = busyQueue();
    queue.answer('stranger', 'forged', queue.stacksOf('w1')[0]);
    expect(refused(queue)).toEqual(['unknownWorker']);
    expect(queue.machine.status()).toMatchObject({ workers: 1, queued: 1, inFlight: 1 });
  });
});

describe('a worker holds a request for too long', () => {
  test('the request goes to another, and the worker gets nothing', () => {
    const queue = lateQueue();
    expect(queue.took('workerOverdue')).toEqual([{ type: 'workerOverdue', worker: 'slow' }]);
    expect(queue.machine.status()).toMatchObject({ workers: 1, idle: 0, overdue: 1, queued: 1 });
    expect(queue.took('requestRequeued')).toMatchObject([{ attempts: 1 }]);
    queue.waitWith(['slow'], 1000);
    queue.ready('w2');
    expect(queue.traffic).toEqual(['slow < x', 'w2 < x']);
    expect(queue.took('workerOverdue')).toEqual([]);
  });

  test('until it answers: the answer is dropped, and it is idle', () => {
    const queue = lateQueue();
    queue.answer('slow', 'too late');
    expect(refused(queue)).toEqual(['stale']);
    expect(queue.took('workerRecovered')).toHaveLength(1);
    expect(queue.traffic).toEqual(['slow < x', 'slow < x']);
    queue.answer('slow', 'in time');
    expect(queue.traffic.at(-1)).toBe('client = in time');
  });

  test('until it begins anew', () => {
    const queue = lateQueue();
    queue.ready('slow');
    expect(lost(queue)).toEqual(['slow replaced false']);
    expect(queue.traffic).toEqual(['slow < x', 'slow < x']);
    expect(queue.machine.status()).toMatchObject({ workers: 1, overdue: 0 });
  });

  test('until it is lost, which costs the request nothing more', () => {
    const queue = lateQueue();
    queue.wait(300);
    expect(lost(queue)).toEqual(['slow expired false']);
    expect(queue.took('requestRequeued')).toHaveLength(1);
    expect(queue.machine.status()).toMatchObject({ workers: 0, queued: 1 });
  });

  test('a wrong answer does not free it', () => {
    const queue = lateQueue();
    queue.answer('slow', 'forged', body('tag'));
    expect(queue.machine.status()).toMatchObject({ overdue: 1, queued: 1 });
  });

  test('and is due for a heartbeat in the same moment: it gets that', () => {
    const queue = new QueueStory({ attemptTimeout: 100 });
    queue.ready('slow');
    queue.request('client', 'x');
    const beats = queue.beats.length;
    queue.wait(100);
    expect(queue.took('workerOverdue')).toHaveLength(1);
    expect(queue.beats.slice(beats)).toEqual(['slow']);
    expect(queue.machine.nextTimeout).toBeGreaterThan(queue.now);
  });

  test('the last attempt is spent by it', () => {
    const queue = new QueueStory({ attemptTimeout: 250, maxAttempts: 1 });
    queue.ready('slow');
    queue.request('client', 'x');
    queue.waitWith(['slow'], 250);
    expect(queue.traffic).toEqual(['slow < x', 'client = ERR_ATTEMPTS_EXHAUSTED']);
    expect(queue.machine.status()).toMatchObject({ overdue: 1, inFlight: 0 });
  });
});

describe('a request expires', () => {
  test('queued: the client is told, and no worker gets it', () => {
    const queue = new QueueStory({ requestTtl: 100 });
    queue.request('client', 'x');
    queue.wait(99);
    expect(queue.traffic).toEqual([]);
    queue.wait(1);
    queue.ready('w1');
    expect(queue.traffic).toEqual(['client = ERR_REQUEST_EXPIRED']);
    expect(queue.took('requestExpired')).toMatchObject([{ client: 'client', running: false }]);
  });

  test('running: its worker is busy until it answers, and the answer is dropped', () => {
    const queue = new QueueStory({ requestTtl: 100 });
    queue.ready('w1');
    queue.request('client', 'x');
    queue.wait(100);
    expect(queue.took('requestExpired')).toMatchObject([{ running: true }]);
    queue.request('client', 'next');
    expect(queue.traffic).toEqual(['w1 < x', 'client = ERR_REQUEST_EXPIRED']);
    queue.answer('w1', 'late');
    expect(refused(queue)).toEqual(['requestEnded']);
    expect(queue.traffic.slice(2)).toEqual(['w1 < next']);
  });

  test('and its worker never answers: it is overdue like any other', () => {
    const queue = new QueueStory({ requestTtl: 100, attemptTimeout: 200 });
    queue.ready('w1');
    queue.request('client', 'x');
    queue.waitWith(['w1'], 300);
    expect(queue.machine.status()).toMatchObject({ overdue: 1, queued: 0 });
    queue.answer('w1', 'at last');
    expect(queue.machine.status()).toMatchObject({ overdue: 0, idle: 1 });
    expect(queue.traffic).toEqual(['w1 < x', 'client = ERR_REQUEST_EXPIRED']);
  });
});

describe('a client is gone', () => {
  test('what is queued is dropped, what runs goes on, and its reply is dropped', () => {
    const queue = busyQueue();
    queue.gone('frontend', 'client');
    queue.wait(30);
    expect(queue.took('requestCancelled')).toHaveLength(2);
    expect(queue.machine.status()).toMatchObject({ queued: 0, inFlight: 0, idle: 0 });
    queue.answer('w1', 'for nobody');
    expect(refused(queue)).toEqual(['requestEnded']);
    expect(queue.traffic).toEqual(['w1 < running']);
    expect(queue.machine.status()).toMatchObject({ idle: 1, requests: { cancelled: 2 } });
  });

  test('unless it is heard within the grace', () => {
    const queue = busyQueue();
    queue.gone('frontend', 'client');
    queue.wait(29);
    queue.request('client', 'another', body('with an id'));
    queue.wait(100);
    expect(queue.took('requestCancelled')).toEqual([]);
    expect(queue.machine.status()).toMatchObject({ queued: 2, inFlight: 1 });
  });

  test('and is back as a REQ socket, which cannot tell old replies from new ones: it gets no old ones', () => {
    const queue = busyQueue();
    queue.gone('frontend', 'client');
    queue.request('client', 'new');
    expect(queue.took('requestCancelled')).toHaveLength(2);
    queue.answer('w1', 'old');
    queue.answer('w1', 'NEW');
    expect(queue.traffic).toEqual(['w1 < running', 'w1 < new', 'client = NEW']);
  });

  test('and others are not concerned, nor is a worker of the same name', () => {
    const queue = busyQueue();
    queue.request('w1', 'of a client with that name');
    queue.gone('frontend', 'w1');
    queue.gone('frontend', 'nobody');
    queue.gone('backend', 'client');
    queue.wait(30);
    expect(queue.took('requestCancelled')).toMatchObject([{ client: 'w1' }]);
    expect(lost(queue)).toEqual([]);
  });

  test('who has got all replies: nothing of it stays', () => {
    const queue = new QueueStory({ ...SIMPLE, attemptTimeout: Infinity, requestTtl: Infinity });
    queue.ready('w1');
    queue.request('client', 'x');
    queue.gone('frontend', 'client');
    queue.answer('w1', 'done');
    expect(queue.traffic).toEqual(['w1 < x', 'client = done']);
    expect(queue.machine.nextTimeout).toBe(Infinity);
    expect(queue.machine.requests.clients.size).toBe(0);
  });

  test('whose request was lost by a worker: it does not come back', () => {
    const queue = busyQueue();
    queue.gone('frontend', 'client');
    queue.wait(30);
    queue.wait(300);
    queue.ready('w2');
    expect(queue.took('requestRequeued')).toEqual([]);
    expect(queue.traffic).toEqual(['w1 < running']);
  });
});

describe('somebody does not read', () => {
  test('a worker: its request goes to another at no cost, until there is room', () => {
    const queue = new QueueStory({ maxAttempts: 1 });
    queue.ready('full', 'w2');
    queue.full.add('full');
    queue.request('client', 'x');
    queue.request('client', 'y');
    expect(queue.traffic).toEqual(['w2 < x']);
    expect(queue.machine.status()).toMatchObject({ idle: 0, queued: 1, inFlight: 1 });
    queue.writable('full');
    expect(queue.traffic).toEqual(['w2 < x', 'full < y']);
    queue.wait(300);
    expect(queue.took('deadLetter')).toMatchObject([{ attempts: 1 }, { attempts: 1 }]);
  });

  test('a client: its reply is dropped and counted, and its worker goes on', () => {
    const queue = busyQueue();
    queue.full.add('client');
    queue.answer('w1', 'done');
    expect(refused(queue)).toEqual(['clientQueueFull']);
    expect(queue.traffic).toEqual(['w1 < running', 'w1 < queued']);
    expect(queue.machine.status().requests.replied).toBe(1);
  });
});

describe('the queue is full', () => {
  test('of requests: the next is refused, unless a worker is free at once', () => {
    const queue = new QueueStory({ queueLimit: 1 });
    queue.request('client', '1');
    queue.request('client', '2', body('id'));
    expect(queue.traffic).toEqual(['client = ERR_QUEUE_FULL']);
    expect(queue.sent.at(-1)?.command).toMatchObject({ stack: body('id') });
    expect(queue.took('requestRefused')).toMatchObject([{ reason: 'queueFull' }]);
    queue.ready('w1', 'w2');
    queue.request('client', '3');
    expect(queue.traffic.slice(1)).toEqual(['w1 < 1', 'w2 < 3']);
    expect(queue.machine.status().requests.accepted).toBe(2);
  });

  test('of bytes, of which the stack has some', () => {
    const queue = new QueueStory({ queueBytes: 3000 });
    queue.request('client', 'x'.repeat(3000));
    queue.request('client', 'x', body('y'.repeat(3000)));
    expect(queue.traffic).toEqual(['client = ERR_QUEUE_FULL', 'client = ERR_QUEUE_FULL']);
    queue.request('client', 'x');
    expect(queue.machine.status().queued).toBe(1);
  });

  test('and takes back all the same what a worker lost', () => {
    const queue = new QueueStory({ queueLimit: 1 });
    queue.ready('w1');
    queue.request('client', '1');
    queue.request('client', '2');
    queue.wait(300);
    expect(queue.machine.status().queued).toBe(2);
  });
});

describe('the queue closes', () => {
  test('what is queued fails, what is new is refused, what runs finishes', () => {
    const queue = busyQueue();
    queue.call({ type: 'drain' });
    queue.request('client', 'new');
    queue.ready('w2');
    expect(queue.traffic.slice(1)).toEqual([
      'client = ERR_SERVER_CLOSING',
      'client = ERR_SERVER_CLOSING',
    ]);
    expect(queue.took('requestRefused')).toMatchObject([{ reason: 'closing' }]);
    expect(queue.took('workerRefused')).toMatchObject([{ worker: 'w2', reason: 'closing' }]);
    expect(queue.took('drained')).toEqual([]);
    queue.answer('w1', 'done');
    expect(queue.traffic.at(-1)).toBe('client = done');
    expect(lost(queue)).toEqual(['w1 closing false']);
    expect(queue.took('drained')).toHaveLength(1);
    expect(queue.machine.nextTimeout).toBe(Infinity);
  });

  test('and a worker is lost meanwhile: its request fails', () => {
    const queue = busyQueue();
    queue.call({ type: 'drain' });
    queue.wait(300);
    expect(queue.traffic.at(-1)).toBe('client = ERR_SERVER_CLOSING');
    expect(queue.took('drained')).toHaveLength(1);
    expect(queue.machine.status().requests).toMatchObject({ accepted: 2, failed: 2 });
  });

  test('at once when stopped, and once', () => {
    const queue = busyQueue();
    queue.call({ type: 'stop' });
    queue.call({ type: 'stop' });
    queue.call({ type: 'drain' });
    expect(queue.machine.status()).toMatchObject({ inFlight: 0, queued: 0, workers: 0 });
    expect(queue.took('drained')).toHaveLength(1);
  });

  test('and does not wait for workers whose request has ended', () => {
    const queue = new QueueStory({ requestTtl: 100 });
    queue.ready('w1');
    queue.request('client', 'x');
    queue.wait(100);
    queue.call({ type: 'drain' });
    expect(queue.took('drained')).toHaveLength(1);
  });
});

describe('a queue that was stopped itself', () => {
  test('gives workers and clients one more interval', () => {
    const queue = busyQueue({ attemptTimeout: 400 });
    queue.ready('w2');
    queue.gone('backend', 'w2');
    queue.gone('frontend', 'client');
    queue.sleep(1000);
    expect(lost(queue)).toEqual([]);
    expect(queue.took('workerOverdue')).toEqual([]);
    queue.request('client', 'still here', body('with an id'));
    queue.beat('w2');
    queue.wait(100);
    expect(lost(queue)).toEqual(['w1 expired true']);
    expect(queue.took('requestCancelled')).toEqual([]);
  });

  test('without heartbeats, too', () => {
    const queue = busyQueue({ ...SIMPLE, attemptTimeout: 400 });
    queue.sleep(1000);
    queue.answer('w1', 'done');
    expect(queue.took('workerOverdue')).toEqual([]);
    expect(queue.traffic).toContain('client = done');
  });
});

describe('a simple queue', () => {
  test('beats to nobody, and silence says nothing', () => {
    const queue = busyQueue({ ...SIMPLE, attemptTimeout: Infinity, requestTtl: Infinity });
    queue.wait(1_000_000);
    expect(queue.beats).toEqual([]);
    expect(queue.machine.nextTimeout).toBe(Infinity);
    expect(queue.machine.status()).toMatchObject({ workers: 1, inFlight: 1, queued: 1 });
  });

  test('registers who replies, as it waits for a request; the reply is dropped', () => {
    const queue = new QueueStory(SIMPLE);
    queue.request('client', 'x');
    queue.answer('w1', 'of an earlier queue', body('old tag'));
    expect(refused(queue)).toEqual(['unknownWorker']);
    expect(queue.took('workerReady')).toMatchObject([{ worker: 'w1' }]);
    expect(queue.traffic).toEqual(['w1 < x']);
    queue.answer('w1', 'done');
    expect(queue.traffic).toEqual(['w1 < x', 'client = done']);
  });

  test('loses a worker by the notice of its end', () => {
    const queue = busyQueue(SIMPLE);
    queue.gone('backend', 'w1');
    queue.wait(30);
    queue.ready('w2');
    expect(lost(queue)).toEqual(['w1 gone true']);
    expect(queue.traffic).toEqual(['w1 < running', 'w2 < running']);
  });
});

test('what cannot be read is counted, and changes nothing', () => {
  const queue = busyQueue();
  const before = queue.machine.fingerprint(queue.now);
  queue.machine.handleMalformed(queue.now, 'backend', 'w1', 'no body');
  const malformed = { port: 'backend', from: 'w1', reason: 'no body' };
  expect(queue.took('malformed')).toEqual([{ type: 'malformed', ...malformed }]);
  expect(queue.machine.fingerprint(queue.now)).toBe(before);
  expect(queue.machine.status().events.malformed).toBe(1);
});

test('workers that are lost at the same instant do not cost a request an attempt each', () => {
  const queue = new QueueStory();
  queue.ready('w1', 'w2', 'w3', 'w4');
  for (const text of ['x', 'y', 'z', 'v']) queue.request('client', text);
  for (const worker of ['w2', 'w3', 'w4']) queue.answer(worker, 'done');
  queue.waitWith(['w4'], 300);
  expect(lost(queue)).toEqual(['w1 expired true', 'w2 expired false', 'w3 expired false']);
  expect(queue.traffic.filter((line) => line.endsWith('< x'))).toEqual(['w1 < x', 'w4 < x']);
  expect(queue.took('requestRequeued')).toMatchObject([{ attempts: 1 }]);
});
