/** What a client does until a request has its one outcome, each told as a story. */
import { describe, expect, test } from 'vitest';
import { encodeFailure } from '../../src/core/error-body.ts';
import { body, ClientStory } from './stories.ts';

function connected(settings?: ConstructorParameters<typeof ClientStory>[0]): ClientStory {
  const client = new ClientStory(settings);
  client.connect('tcp://a', 'tcp://b');
  return client;
}

describe('a request', () => {
  test('has a lane of its own; an answered lane is used again', () => {
    const client = connected();
    client.request('first');
    client.request('second');
    client.request('third');
    expect(client.asked).toEqual(['lane-0 < first', 'lane-1 < second']);
    client.hear('lane-1', body('done'));
    expect(client.asked.at(-1)).toBe('lane-1 < third');
    expect(client.outcomes).toEqual(['1 = done']);
    expect(client.sockets).toEqual(['open lane-0 tcp://a', 'open lane-1 tcp://a']);
  });

  test('waits for an endpoint', () => {
    const client = new ClientStory();
    client.request('early');
    expect(client.asked).toEqual([]);
    client.connect('tcp://a');
    expect(client.asked).toEqual(['lane-0 < early']);
  });

  test('is tried again on a new socket at the next endpoint, after a growing rest', () => {
    const client = connected();
    client.request('work');
    const triedAt: number[] = [];
    for (let attempt = 2; attempt <= 4; attempt++) {
      while (client.took('retry').length === 0) client.wait(10);
      triedAt.push(client.now);
    }
    expect(triedAt).toEqual([1100, 2300, 3600]);
    expect(client.sockets).toEqual([
      'open lane-0 tcp://a',
      'close lane-0',
      'open lane-1 tcp://b',
      'close lane-1',
      'open lane-0 tcp://a',
      'close lane-0',
      'open lane-1 tcp://b',
    ]);
    client.wait(1000);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT']);
  });

  test('ends at its own deadline, resting, sent or waiting', () => {
    const client = connected({ lanes: 1 });
    client.request('sent', { timeout: 500 });
    client.request('waiting', { timeout: 400 });
    client.wait(450);
    expect(client.outcomes).toEqual(['1 ! ERR_REQUEST_TIMEOUT']);
    const [failed] = client.took('failed');
    expect(failed!.message).toContain('could not be asked');
    expect(failed!.attempts).toBe(0);
    client.wait(50);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT']);
    client.request('resting', { timeout: 1050 });
    client.wait(1050);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT', '2 ! ERR_REQUEST_TIMEOUT']);
    expect(client.machine.outstanding).toBe(0);
  });

  test('that rested goes before those that wait', () => {
    const client = connected({ lanes: 1 });
    client.request('first', { attemptTimeout: 100 });
    client.request('second', { attemptTimeout: 150 });
    client.request('third');
    client.wait(260);
    expect(client.asked).toEqual(['lane-0 < first', 'lane-0 < second', 'lane-0 < first']);
  });

  test('that a closing broker refused is tried again; any other failure is its outcome', () => {
    const client = connected();
    client.request('work');
    client.hear('lane-0', encodeFailure({ code: 'ERR_BROKER_CLOSING', message: 'bye' }));
    expect(client.outcomes).toEqual([]);
    client.wait(100);
    client.hear('lane-1', encodeFailure({ code: 'ERR_QUEUE_FULL', message: 'full' }));
    expect(client.outcomes).toEqual(['0 ! ERR_QUEUE_FULL']);
    client.request('last try', { retries: 0 });
    client.hear('lane-1', encodeFailure({ code: 'ERR_BROKER_CLOSING', message: 'bye' }));
    expect(client.outcomes.at(-1)).toBe('1 ! ERR_BROKER_CLOSING');
  });
});

describe('replies', () => {
  test('that nobody asked for are refused', () => {
    const client = connected();
    client.request('work');
    client.hear('lane-1', body('not yours'));
    client.hear('lane-9', body('no such lane'));
    client.hear('lane-0', body('wrong dialect'), true, 'mdp0.1');
    client.hear('lane-0', body('done'));
    client.hear('lane-0', body('twice'));
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.took('replyRefused').map(({ lane }) => lane)).toEqual([1, -1, 0, 0]);
  });

  test('in parts are joined, and bounded', () => {
    const client = connected();
    client.request('joined');
    client.hear('lane-0', body('a'), false);
    client.hear('lane-0', body('b', 'c'));
    client.request('large');
    client.hear('lane-0', body('x'.repeat(801)), false);
    expect(client.outcomes).toEqual(['0 = a|b|c', '1 ! ERR_REPLY_TOO_LARGE']);
    expect(client.sockets.at(-1)).toBe('close lane-0');
  });

  test('in parts are told one by one to a stream, which is not tried again after the first', () => {
    const client = connected();
    client.request('stream', { streaming: true });
    for (let part = 0; part < 3; part++) {
      client.wait(900);
      client.hear('lane-0', body(`part ${part}`), false);
    }
    expect(client.took('partial')).toHaveLength(3);
    client.wait(1000);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT']);
    expect(client.took('retry')).toEqual([]);
  });

  test('in one piece may still come after the link broke, for a grace', () => {
    const client = connected();
    client.request('answered', { dialect: 'mdp0.1' });
    client.request('lost', { dialect: 'mdp0.1' });
    client.machine.handlePeerGone(client.now, 'lane-0');
    client.machine.handlePeerGone(client.now, 'lane-1');
    client.wait(19);
    client.hear('lane-0', body('done'), true, 'mdp0.1');
    client.wait(101);
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.took('retry')).toMatchObject([{ id: 1, attempt: 2 }]);
  });

  test('in parts may have a hole when the link breaks: another try, or none after the first part', () => {
    const client = connected();
    client.request('fresh');
    client.machine.handlePeerGone(client.now, 'lane-0');
    client.wait(100);
    expect(client.took('retry')).toHaveLength(1);
    client.hear('lane-1', body('done'));
    client.request('begun', { streaming: true });
    client.hear('lane-1', body('part'), false);
    client.machine.handlePeerGone(client.now, 'lane-1');
    expect(client.outcomes).toEqual(['0 = done', '1 ! ERR_WORKER_LOST']);
  });
});

describe('a cancel', () => {
  test('while it waits leaves no trace', () => {
    const client = connected({ lanes: 1 });
    client.request('sent');
    client.cancel(client.request('waiting'));
    expect(client.outcomes).toEqual(['1 ! ERR_CANCELLED']);
    client.hear('lane-0', body('done'));
    expect(client.asked).toEqual(['lane-0 < sent']);
    expect(client.machine.waiting).toBe(0);
  });

  test('while it is sent closes its lane, so that the reply meets no later request', () => {
    const client = connected({ lanes: 1 });
    const id = client.request('sent');
    client.request('next');
    client.cancel(id);
    client.cancel(id);
    client.wait(1);
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED']);
    expect(client.sockets).toEqual(['open lane-0 tcp://a', 'close lane-0', 'open lane-0 tcp://a']);
    expect(client.asked.at(-1)).toBe('lane-0 < next');
  });

  test('while it rests ends it at once', () => {
    const client = connected();
    const id = client.request('work');
    client.wait(1050);
    client.cancel(id);
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED']);
    client.wait(1);
    expect(client.machine.nextTimeout).toBe(Infinity);
  });
});

describe('bounds and closing', () => {
  test('a full queue refuses by name, by count and by bytes', () => {
    const client = connected({ lanes: 1, queueLimit: 2, queueBytes: 410 });
    client.request('on its lane');
    client.request('12345');
    client.request('123456');
    client.request('x');
    client.request('y');
    expect(client.outcomes).toEqual(['2 ! ERR_QUEUE_FULL', '4 ! ERR_QUEUE_FULL']);
  });

  test('drain takes nothing new and waits for what is outstanding', () => {
    const client = connected();
    client.request('work');
    client.call({ type: 'drain' });
    client.request('new');
    expect(client.outcomes).toEqual(['1 ! ERR_CANCELLED']);
    expect(client.took('drained')).toEqual([]);
    client.hear('lane-0', body('done'));
    expect(client.took('drained')).toHaveLength(1);
    expect(client.sockets.at(-1)).toBe('close lane-0');
  });

  test('stop cancels it', () => {
    const client = connected({ lanes: 1 });
    client.request('sent');
    client.request('waiting');
    client.call({ type: 'stop' });
    client.call({ type: 'drain' });
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED', '1 ! ERR_CANCELLED']);
    expect(client.asked).toEqual(['lane-0 < sent']);
    expect(client.took('drained')).toHaveLength(1);
  });
});
