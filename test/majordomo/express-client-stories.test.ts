/** What a client does with an express session, and how it finds out that there can be one. */
import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../src/core/frames.ts';
import { body, ClientStory } from './stories.ts';

type Settings = ConstructorParameters<typeof ClientStory>[0];

/** It asks first. */
function asking(settings?: Settings): ClientStory {
  const client = new ClientStory({ protocol: 'auto', ...settings });
  client.connect('tcp://a', 'tcp://b');
  return client;
}

/** It has a session. */
function welcomed(settings?: Settings): ClientStory {
  const client = new ClientStory({ protocol: 'express', ...settings });
  client.connect('tcp://a', 'tcp://b');
  client.welcome();
  return client;
}

const sessions = (client: ClientStory): string[] =>
  client.sent.flatMap(({ command }) => (command.type === 'hello' ? [command.session] : []));

describe('negotiation', () => {
  test('asks first, and sends nothing before it knows', () => {
    const client = asking();
    client.request('early');
    expect(client.asked).toEqual(['probe < 1']);
    client.answerProbe('200', '1');
    expect(client.said).toEqual(['hello']);
    client.welcome();
    expect(client.said).toEqual(['hello', '#1 early']);
    expect(client.took('ready')).toEqual([{ type: 'ready', endpoint: 'tcp://a' }]);
    expect(client.sockets).toEqual(['open probe tcp://a', 'close probe', 'open express tcp://a']);
  });

  test('goes on with lanes, at the endpoint that answered, if the broker is a stock one', () => {
    const client = asking();
    client.request('early', { dialect: 'mdp0.1' });
    client.wait(250);
    client.answerProbe('501');
    expect(client.asked).toEqual(['probe < 1', 'probe < 1', 'lane-0 < early']);
    expect(client.sockets.at(-1)).toBe('open lane-0 tcp://b');
  });

  test('of a silent broker: lanes for now, and a late answer moves new requests to express', () => {
    const client = asking();
    client.request('first');
    client.request('second');
    client.wait(500);
    expect(client.asked.slice(2)).toEqual(['lane-0 < first', 'lane-1 < second']);
    client.hear('lane-1', body('done'));
    client.wait(300);
    client.answerProbe('200', '1');
    client.request('third');
    client.welcome();
    expect(client.said).toEqual(['hello', '#1 third']);
    expect(client.sockets.at(-1)).toBe('close lane-1');
    client.hear('lane-0', body('late'));
    expect(client.sockets.at(-1)).toBe('close lane-0');
    expect(client.outcomes).toEqual(['1 = done', '0 = late']);
  });

  test('asks a stock broker again when a lane let it down', () => {
    const client = asking({ lanes: 1 });
    client.answerProbe('501');
    client.request('work');
    client.wait(1000);
    client.answerProbe('200', '1');
    client.welcome();
    client.wait(100);
    expect(client.said).toEqual(['hello', '#1 work']);
    expect(client.took('retry')).toMatchObject([{ attempt: 2, endpoint: 'tcp://b' }]);
  });

  test('asks again when the link to a stock broker broke, though nothing was under way', () => {
    const client = asking();
    client.answerProbe('501');
    client.request('work');
    client.hear('lane-0', body('done'));
    client.machine.handlePeerGone(client.now, 'lane-0');
    client.request('next');
    expect(client.asked).toEqual(['probe < 1', 'lane-0 < work', 'probe < 1']);
    client.answerProbe('501');
    expect(client.asked.at(-1)).toBe('lane-0 < next');
  });

  test('with a protocol given needs no question', () => {
    expect(welcomed().asked).toEqual([]);
    const stock = new ClientStory({ protocol: 'mdp0.1' });
    stock.connect('tcp://a');
    stock.request('work', { dialect: 'mdp0.1' });
    expect(stock.asked).toEqual(['lane-0 < work']);
  });
});

describe('what only express can do', () => {
  test('waits for a broker that may come, and is refused by one that cannot', () => {
    const client = asking();
    client.request('keyed', { key: 'k' });
    client.request('plain');
    client.wait(600);
    expect(client.asked.slice(2)).toEqual(['lane-0 < plain']);
    expect(client.outcomes).toEqual([]);
    client.answerProbe('501');
    expect(client.outcomes).toEqual(['0 ! ERR_NOT_SUPPORTED']);
    client.request('all', { broadcast: true });
    client.request('now', { failFast: true });
    expect(client.outcomes.slice(1)).toEqual(['2 ! ERR_NOT_SUPPORTED', '3 ! ERR_NOT_SUPPORTED']);
    client.request('soon', { priority: 9, headers: new Uint8Array(1) });
    expect(client.asked.at(-1)).toBe('lane-1 < soon');
  });

  test('travels with the request', () => {
    const client = welcomed();
    const headers = Uint8Array.of(1);
    client.request('work', { key: 'k', priority: 3, headers, failFast: true, timeout: 700.2 });
    client.request('parts', { streaming: true, timeout: Infinity });
    const [first, second] = client.sent.flatMap(({ command }) =>
      command.type === 'request' ? [command] : [],
    );
    expect(first).toMatchObject({ key: 'k', priority: 3, headers, failFast: true, timeLeft: 701 });
    expect(first!.window).toBeUndefined();
    expect(second).toMatchObject({ window: 600, timeLeft: undefined });
  });

  test('a large body is announced', () => {
    const client = welcomed();
    client.request('x'.repeat(1024 * 1024));
    expect(client.said[1]).toBe('announce');
  });
});

describe('in a session', () => {
  test('requests are told apart by number, up to a limit', () => {
    const client = welcomed();
    for (const text of ['a', 'b', 'c', 'd']) client.request(text);
    expect(client.said).toEqual(['hello', '#1 a', '#2 b', '#3 c']);
    client.answer(2, 'B');
    expect(client.said.at(-1)).toBe('#4 d');
    client.answer(2, 'again');
    client.answer(9, 'never asked');
    client.answer(4, 'D');
    expect(client.outcomes).toEqual(['1 = B', '3 = D']);
    expect(client.took('replyRefused')).toHaveLength(1);
  });

  test('a failure is the outcome, with when to come again', () => {
    const client = welcomed();
    client.request('work');
    const failure = { code: 'ERR_QUEUE_FULL', message: 'full', retryAfter: 50 } as const;
    client.answer(1, '', { body: [], failure });
    expect(client.took('failed')).toMatchObject([{ code: 'ERR_QUEUE_FULL', retryAfter: 50 }]);
  });

  test('the broker has the last word if its time is shorter, and knows who had the request', () => {
    const client = welcomed();
    client.request('work', { timeout: 1000, requestTtl: 900 });
    expect(client.sent.at(-1)!.command).toMatchObject({ type: 'request', timeLeft: 900 });
    const failure = { code: 'ERR_REQUEST_EXPIRED', message: 'too late', attempts: 0 } as const;
    client.answer(1, '', { body: [], failure });
    expect(client.took('failed')).toMatchObject([{ code: 'ERR_REQUEST_EXPIRED', attempts: 0 }]);
  });

  test('no time is set to a try unless the caller does', () => {
    const client = welcomed();
    client.request('patient', { attemptTimeout: undefined, timeout: 5000 });
    client.request('hasty', { attemptTimeout: 50 });
    client.wait(60);
    expect(client.said.slice(3)).toEqual(['cancel #2', '#3 hasty']);
    for (let beat = 1; beat < 60; beat++) {
      client.beat(beat, 0, 1);
      client.wait(100);
    }
    expect(client.outcomes).toEqual(['1 ! ERR_REQUEST_TIMEOUT', '0 ! ERR_REQUEST_TIMEOUT']);
    expect(client.said.slice(-2)).toEqual(['cancel #5', 'cancel #1']);
  });

  test('a cancel reaches the broker; the reply that crosses it is in order', () => {
    const client = welcomed();
    client.cancel(client.request('work'));
    expect(client.said).toEqual(['hello', '#1 work', 'cancel #1']);
    client.answer(1, 'late');
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED']);
    expect(client.took('replyRefused')).toEqual([]);
  });

  test('a full queue holds requests back until there is room', () => {
    const client = welcomed();
    client.full.add('express');
    client.request('first');
    client.request('second');
    expect(client.said).toEqual(['hello']);
    client.full.clear();
    client.machine.handleWritable(client.now, 'express');
    expect(client.said).toEqual(['hello', '#1 first', '#2 second']);
  });

  test('drain waits for what is under way, and says goodbye', () => {
    const client = welcomed();
    client.request('work');
    client.call({ type: 'drain' });
    expect(client.took('drained')).toEqual([]);
    client.answer(1, 'done');
    expect(client.said.at(-1)).toBe('disconnect');
    expect(client.sockets.at(-1)).toBe('close express flushed');
    expect(client.took('drained')).toHaveLength(1);
    expect(client.machine.nextTimeout).toBe(Infinity);
  });
});

describe('parts', () => {
  test('are told one by one, and credit goes back in steps of half a window', () => {
    const client = welcomed();
    const id = client.request('parts', { streaming: true });
    const part = body('x');
    for (let sequence = 0; sequence < 3; sequence++) {
      client.answer(1, '', { body: part, final: false, sequence });
      if (sequence < 2) client.call({ type: 'taken', id, bytes: sizeOf(part) });
    }
    expect(client.said.slice(2)).toEqual(['credit #1 402']);
    client.answer(1, 'end', { sequence: 3 });
    expect(client.took('partial')).toHaveLength(3);
    expect(client.outcomes).toEqual(['0 = end']);
    client.call({ type: 'taken', id, bytes: 5000 });
    expect(client.said).toHaveLength(3);
  });

  test('of which one was lost end the stream; a whole reply is asked for again', () => {
    const client = welcomed();
    client.request('parts', { streaming: true });
    client.answer(1, 'one', { final: false });
    client.answer(1, 'three', { final: false, sequence: 2 });
    expect(client.outcomes).toEqual(['0 ! ERR_WORKER_LOST']);
    client.request('whole');
    client.answer(2, 'the end of something', { sequence: 4 });
    expect(client.said.slice(2)).toEqual(['cancel #1', '#2 whole', 'cancel #2', '#3 whole']);
    client.answer(3, 'whole');
    expect(client.outcomes.at(-1)).toBe('1 = whole');
  });

  test('of a broadcast are told with their failures, and bounded', () => {
    const client = welcomed();
    const id = client.request('all', { broadcast: true });
    client.answer(1, 'one', { final: false });
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    client.answer(1, '', { final: false, sequence: 1, body: [], failure });
    client.answer(1, '', { sequence: 2, body: [] });
    expect(client.took('partial')).toMatchObject([{ id }, { id, failure }]);
    expect(client.outcomes).toEqual(['0 = ']);
    client.request('all', { broadcast: true });
    client.answer(2, 'x'.repeat(2000), { final: false });
    expect(client.outcomes.at(-1)).toBe('1 ! ERR_REPLY_TOO_LARGE');
  });
});

describe('what is lost', () => {
  test('on a living link is found by heartbeats, and sent again under another number', () => {
    const client = welcomed();
    client.request('lost');
    client.request('working');
    client.wait(100);
    client.request('just sent');
    client.beat(1, 2, 2);
    expect(client.said.slice(1)).toEqual(['#1 lost', '#2 working', '#3 just sent', '#4 lost']);
    expect(client.took('retry')).toMatchObject([{ id: 0, attempt: 2 }]);
  });

  test('is given up when no try is left', () => {
    const client = welcomed();
    client.request('work', { retries: 0 });
    client.wait(100);
    client.beat(1, 2);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT']);
  });

  test('with a link is not: the session goes on if the broker knows it', () => {
    const client = welcomed();
    client.request('work');
    client.machine.handlePeerGone(client.now, 'express');
    client.request('meanwhile');
    expect(client.said).toEqual(['hello', '#1 work', 'hello']);
    const [first, second] = sessions(client);
    expect(second).toBe(first);
    client.wait(19);
    client.welcome(true);
    expect(client.said.at(-1)).toBe('#2 meanwhile');
    client.answer(1, 'done');
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.took('retry')).toEqual([]);
    expect(client.took('ready')).toHaveLength(1);
  });

  test('with the broker is sent again at once to the one that came back', () => {
    const client = welcomed();
    client.request('work');
    client.request('parts', { streaming: true });
    client.answer(2, 'part', { final: false });
    client.machine.handlePeerGone(client.now, 'express');
    client.welcome(false);
    expect(client.said.at(-1)).toBe('#3 work');
    expect(client.outcomes).toEqual(['1 ! ERR_WORKER_LOST']);
  });

  test.each([
    ['when no WELCOME comes after the link broke', 20, 'silent'],
    ['when the broker is silent', 300, 'silent'],
    ['when it says goodbye', 0, 'disconnected'],
  ])('%s: another session at the next endpoint, after a rest', (_name, after, reason) => {
    const client = welcomed();
    client.request('work');
    if (after === 20) client.machine.handlePeerGone(client.now, 'express');
    if (after === 0) client.say('express', { type: 'disconnect', dialect: 'express' });
    client.wait(after);
    expect(client.took('brokerLost')).toEqual([
      { type: 'brokerLost', endpoint: 'tcp://a', reason },
    ]);
    expect(client.sockets.at(-1)).toBe('close express');
    client.wait(100);
    expect(client.sockets.at(-1)).toBe('open express tcp://b');
    client.welcome();
    expect(client.said.at(-1)).toBe('#2 work');
  });

  test('when it asks first, it asks again', () => {
    const client = asking();
    client.answerProbe('200', '1');
    client.welcome();
    client.request('work');
    client.say('express', { type: 'disconnect', dialect: 'express' });
    client.wait(100);
    expect(client.sockets.at(-1)).toBe('open probe tcp://b');
    client.answerProbe('501');
    expect(client.asked.at(-1)).toBe('lane-0 < work');
  });

  test.each([
    ['is cancelled', (client: ClientStory): void => client.cancel(0)],
    ['was lost', (client: ClientStory): void => client.beat(1, 2)],
  ])('a broker that closes is left when the last request %s, too', (_how, end) => {
    const client = welcomed();
    client.request('taken', { retries: 0 });
    client.request('refused');
    client.wait(100);
    const failure = { code: 'ERR_BROKER_CLOSING', message: 'bye' } as const;
    client.answer(2, '', { body: [], failure });
    end(client);
    expect(client.said.at(-1)).toBe('disconnect');
    client.wait(100);
    client.welcome();
    expect(client.said.at(-1)).toBe('#3 refused');
  });

  test('a broker that closes has taken nothing: no try is spent, and others are asked', () => {
    const client = welcomed();
    client.request('taken');
    client.request('refused', { retries: 0 });
    const failure = { code: 'ERR_BROKER_CLOSING', message: 'bye' } as const;
    client.answer(2, '', { body: [], failure });
    client.request('later');
    expect(client.said).toEqual(['hello', '#1 taken', '#2 refused']);
    client.answer(1, 'done');
    expect(client.said.at(-1)).toBe('disconnect');
    client.wait(100);
    client.welcome();
    expect(client.said.slice(-2)).toEqual(['#3 refused', '#4 later']);
    expect(client.sockets.at(-1)).toBe('open express tcp://b');
    expect(client.took('retry')).toEqual([]);
  });
});

describe('heartbeats', () => {
  test('name what is under way, at once after a WELCOME and at the slower pace of both', () => {
    const client = welcomed();
    client.request('one');
    client.request('two', { attemptTimeout: undefined });
    client.answer(1, 'done');
    const slow = { heartbeatInterval: 400, heartbeatLiveness: 5 };
    client.say('express', { type: 'welcome', dialect: 'express', resumed: true, ...slow });
    client.wait(1900);
    const beats = client.sent.flatMap(({ command }) =>
      command.type === 'heartbeat' ? [command] : [],
    );
    expect(beats.map(({ beat, held }) => `${beat}: ${held?.join()}`)).toEqual([
      '1: ',
      '2: 2',
      '3: 2',
      '4: 2',
      '5: 2',
      '6: 2',
    ]);
    expect(client.took('brokerLost')).toEqual([]);
    client.wait(100);
    expect(client.took('brokerLost')).toHaveLength(1);
  });

  test('everything that comes is a sign of life, and a large message gets patience', () => {
    const client = welcomed();
    client.wait(250);
    client.answer(7, 'whatever');
    client.wait(250);
    expect(client.took('brokerLost')).toEqual([]);
    client.say('express', { type: 'announce', dialect: 'express', bytes: 10 * 1024 * 1024 });
    client.wait(9000);
    expect(client.took('brokerLost')).toEqual([]);
    client.wait(2000);
    expect(client.took('brokerLost')).toHaveLength(1);
  });

  test('who was stopped itself blames nobody', () => {
    const client = welcomed();
    client.sleep(10_000);
    client.beat(1, 0);
    client.wait(299);
    expect(client.took('brokerLost')).toEqual([]);
    client.wait(1);
    expect(client.took('brokerLost')).toHaveLength(1);
  });
});
