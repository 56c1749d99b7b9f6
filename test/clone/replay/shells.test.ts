/** Publisher and subscriber over real sockets: both dialects, with and without a store. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ReplayPublisher } from '../../../src/clone/replay/publisher.ts';
import { ReplaySubscriber } from '../../../src/clone/replay/subscriber.ts';
import type {
  ReplayPublisherOptions,
  ReplaySubscriberOptions,
} from '../../../src/clone/replay/options.ts';
import type { ReplayMessage } from '../../../src/clone/replay/message.ts';

let folder = '';
const open: { close(): Promise<void> }[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replay-'));
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
  await rm(folder, { recursive: true });
});

const PROTOCOLS = ['stream', 'kv-events'] as const;
type Protocol = (typeof PROTOCOLS)[number];

async function publisherOf(
  options: ReplayPublisherOptions,
  before: (publisher: ReplayPublisher) => void = () => undefined,
): Promise<ReplayPublisher> {
  const publisher = new ReplayPublisher(options);
  open.push(publisher);
  before(publisher);
  const replay = options.protocol === 'kv-events' ? { replay: `ipc://${folder}/replay` } : {};
  await publisher.bind(`ipc://${folder}/publisher`, replay);
  return publisher;
}

function subscriberOf(options: ReplaySubscriberOptions): ReplaySubscriber {
  const subscriber = new ReplaySubscriber({ reconnectInterval: 20, ...options });
  open.push(subscriber);
  const replay = options.protocol === 'kv-events' ? { replay: `ipc://${folder}/replay` } : {};
  subscriber.connect(`ipc://${folder}/publisher`, replay);
  return subscriber;
}

async function take(subscriber: ReplaySubscriber, count: number): Promise<ReplayMessage[]> {
  const messages: ReplayMessage[] = [];
  for await (const message of subscriber) {
    messages.push(message);
    if (messages.length === count) break;
  }
  return messages;
}

/** The first message with this text. */
async function takeUntil(subscriber: ReplaySubscriber, text: string): Promise<ReplayMessage> {
  for await (const message of subscriber) if (message.text() === text) return message;
  throw new Error(`there was no '${text}'`);
}

/** Publishes so many prices, and returns their numbers. */
function publishAll(publisher: ReplayPublisher, count: number, topic = 'prices/A'): number[] {
  return Array.from({ length: count }, (_, index) => publisher.publish(topic, `${index}`));
}

/** Until the subscriber has got a message of now: PUB says nobody when it knows a subscriber. */
async function joined(publisher: ReplayPublisher, subscriber: ReplaySubscriber): Promise<void> {
  await subscriber.ready();
  if (publisher.status().epoch > 0) return;
  const publishing = setInterval(() => publisher.publish('prices/join', 'hello'), 10);
  await take(subscriber, 1);
  clearInterval(publishing);
}

describe.each(PROTOCOLS)('%s', (protocol: Protocol) => {
  test('all that was published before is there from the oldest on, in order', async () => {
    const publisher = await publisherOf({ protocol });
    const numbers = publishAll(publisher, 500);
    const subscriber = subscriberOf({ protocol, from: 'oldest', pollInterval: 100 });
    const got = await take(subscriber, 500);
    expect(got.map(({ sequence }) => sequence)).toEqual(numbers);
    expect(got.map((message) => message.text())).toEqual(numbers.map((_, index) => `${index}`));
    expect(got.every(({ lost, isRestart }) => lost === undefined && !isRestart)).toBe(true);
    const more = publisher.publish('prices/B', 'later');
    const [last] = await take(subscriber, 1);
    expect([last?.sequence, last?.topic, last?.text()]).toEqual([more, 'prices/B', 'later']);
    expect(subscriber.position.sequence).toBe(more);
  });

  test('a later subscriber goes on from a position', async () => {
    await publisherOf({ protocol }, (publisher) => publishAll(publisher, 10));
    const first = subscriberOf({ protocol, from: 'oldest' });
    const got = await take(first, 4);
    const { position } = first;
    await first.close();
    expect(position.sequence).toBe(got[3]!.sequence);
    const second = subscriberOf({ protocol, from: position });
    const rest = await take(second, 6);
    expect(rest.map((message) => message.text())).toEqual(['4', '5', '6', '7', '8', '9']);
  });

  test('a number to begin with is a place to begin, too', async () => {
    let numbers: number[] = [];
    await publisherOf({ protocol }, (publisher) => (numbers = publishAll(publisher, 10)));
    const subscriber = subscriberOf({ protocol, from: numbers[7]! });
    const got = await take(subscriber, 3);
    expect(got.map(({ sequence }) => sequence)).toEqual(numbers.slice(7));
  });

  test('a number that nobody has given yet is taken for one of a former life', async () => {
    const publisher = await publisherOf({ protocol });
    const numbers = publishAll(publisher, 10);
    const subscriber = subscriberOf({ protocol, from: 1_000_000, pollInterval: 100 });
    const told: unknown[] = [];
    subscriber.on('publisherRestarted', ({ isContinued }) => told.push(isContinued));
    // Of `kv-events` nothing but a lower number shows it.
    const publishing = setInterval(() => publisher.publish('prices/A', 'now'), 10);
    const got = await take(subscriber, 10);
    clearInterval(publishing);
    expect(got.map(({ sequence }) => sequence)).toEqual(numbers);
    expect(got.map(({ isRestart }) => isRestart)).toEqual(numbers.map((_, index) => index === 0));
    expect(told).toEqual([false]);
  });

  test('what the history has no more is told, in the place where it is missing', async () => {
    let numbers: number[] = [];
    const options = { protocol, historyLimit: 5 };
    await publisherOf(options, (publisher) => (numbers = publishAll(publisher, 20)));
    const subscriber = subscriberOf({ protocol, from: numbers[3]! });
    const told: unknown[] = [];
    subscriber.on('historyLost', ({ from, to, reason }) => told.push([from, to, reason]));
    const got = await take(subscriber, 5);
    expect(got.map(({ sequence }) => sequence)).toEqual(numbers.slice(15));
    expect(got[0]!.lost).toEqual({ from: numbers[3], to: numbers[14] });
    expect(got[1]!.lost).toBeUndefined();
    expect(told).toEqual([[numbers[3], numbers[14], 'gone']]);
  });

  test('topics are chosen by how they begin, and the others leave no holes', async () => {
    const publisher = await publisherOf({ protocol });
    const subscriber = subscriberOf({ protocol, from: 'oldest', topics: ['prices/', 'news'] });
    const gaps: unknown[] = [];
    subscriber.on('gapDetected', (event) => gaps.push(event));
    for (const topic of ['prices/A', 'volumes/A', 'newsflash', 'price', 'prices/'])
      publisher.publish(topic, topic);
    const got = await take(subscriber, 3);
    expect(got.map(({ topic }) => topic)).toEqual(['prices/A', 'newsflash', 'prices/']);
    expect(gaps).toEqual([]);
  });

  test('a slow user gets all of it in the end, and what waits is bounded', async () => {
    const window = 4096;
    const publisher = await publisherOf({ protocol, historyBytes: 64 * 2 ** 20 });
    const subscriber = subscriberOf({ protocol, from: 'oldest', window });
    const body = new Uint8Array(200);
    for (let count = 0; count < 1000; count++) publisher.publish('prices/A', body);
    const first = protocol === 'stream' ? 1 : 0;
    for (let count = 0; count < 1000; count++) {
      const [message] = await take(subscriber, 1);
      expect(message!.lost).toBeUndefined();
      expect(message!.sequence).toBe(first + count);
      expect(subscriber.status().waiting).toBeLessThanOrEqual(window + 300);
    }
  });

  test('a publisher with a store goes on with its numbers and its history', async () => {
    const store = join(folder, 'store');
    const first = await publisherOf({ protocol, store, historyLimit: 100 });
    const numbers = publishAll(first, 50);
    await first.close();
    const second = await publisherOf({ protocol, store, historyLimit: 100 });
    expect(second.publish('prices/A', 'after')).toBe(numbers.at(-1)! + 1);
    const subscriber = subscriberOf({ protocol, from: numbers[20]! });
    const got = await take(subscriber, 31);
    expect(got.map(({ sequence }) => sequence)).toEqual([
      ...numbers.slice(20),
      numbers.at(-1)! + 1,
    ]);
    expect(got.at(-1)!.text()).toBe('after');
  });

  test('a subscriber that stays is told of a restart, with a store as without', async () => {
    const store = join(folder, 'store');
    for (const options of [{ store }, {}]) {
      const first = await publisherOf({ protocol, ...options });
      const subscriber = subscriberOf({ protocol, heartbeatInterval: 50, pollInterval: 50 });
      await joined(first, subscriber);
      const restarts: boolean[] = [];
      subscriber.on('publisherRestarted', ({ isContinued }) => restarts.push(isContinued));
      publishAll(first, 3);
      const former = await takeUntil(subscriber, '2');
      await first.close();
      const second = await publisherOf({ protocol, ...options });
      const sequence = second.publish('prices/A', 'new life');
      const [message] = await take(subscriber, 1);
      expect(message!.text()).toBe('new life');
      const goesOn = 'store' in options;
      expect(sequence === former.sequence + 1).toBe(goesOn);
      expect(message!.isRestart).toBe(!goesOn);
      // What goes on with its numbers is no other publisher, where nothing but numbers is told.
      const expected = goesOn ? (protocol === 'stream' ? [true] : []) : [false];
      expect(restarts).toEqual(expected);
      await Promise.all([second.close(), subscriber.close()]);
    }
  });
});

function code(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

test('whoever asks for a number that is ahead is told what the history has no more', async () => {
  await publisherOf({ historyLimit: 5 }, (publisher) => publishAll(publisher, 20));
  const subscriber = subscriberOf({ from: 1000 });
  const [first] = await take(subscriber, 1);
  expect(first).toMatchObject({ sequence: 16, isRestart: true, lost: { from: 1, to: 15 } });
});

test('what does not fit beside what waits for the store is refused at the call, and nothing else', async () => {
  const refused: number[] = [];
  const publisher = await publisherOf({ store: join(folder, 'state'), pendingBytes: 1000 });
  publisher.on('publishRefused', ({ sequence }) => void refused.push(sequence));
  const codes = Array.from({ length: 30 }, () => code(() => publisher.publish('prices/A', 'x')));
  expect(codes).toContain('ERR_QUEUE_FULL');
  await vi.waitFor(() => expect(publisher.status().pending).toBe(0));
  expect(publisher.publish('prices/A', 'x')).toBe(publisher.status().sequence + 1);
  expect(refused).toEqual([]);
});

test('a publisher whose clock was put back while it was gone is followed all the same', async () => {
  const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
  const former = await publisherOf({});
  clock.mockRestore();
  const subscriber = subscriberOf({ from: 'oldest' });
  former.publish('prices/A', 'old');
  await takeUntil(subscriber, 'old');
  await former.close();
  const latter = await publisherOf({});
  latter.publish('prices/A', 'new');
  expect(await takeUntil(subscriber, 'new')).toMatchObject({ sequence: 1, isRestart: true });
});

test('what could not be bound beside a replay endpoint can be bound later', async () => {
  const former = await publisherOf({ protocol: 'stream' });
  const latter = new ReplayPublisher({ protocol: 'kv-events' });
  open.push(latter);
  const bind = () => latter.bind(`ipc://${folder}/publisher`, { replay: `ipc://${folder}/replay` });
  await expect(bind()).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE' });
  await former.close();
  expect(await bind()).toBe(`ipc://${folder}/publisher`);
});

test('a plain publisher has the topic that it had before', async () => {
  const store = join(folder, 'state');
  const options = { protocol: 'kv-events', replayLayout: 'plain', store } as const;
  const former = await publisherOf(options);
  former.publish('one', 'x');
  await former.close();
  const latter = await publisherOf(options);
  expect(code(() => latter.publish('two', 'x'))).toBe('ERR_INVALID_ARGUMENT');
  expect(latter.publish('one', 'y')).toBe(1);
});

test('a publisher whose store was in use opens it when that is free', async () => {
  const store = join(folder, 'state');
  const former = await publisherOf({ store });
  const latter = new ReplayPublisher({ store });
  open.push(latter);
  const endpoint = `ipc://${folder}/other`;
  await expect(latter.bind(endpoint)).rejects.toMatchObject({ code: 'ERR_STORAGE_IN_USE' });
  await former.close();
  expect(await latter.bind(endpoint)).toBe(endpoint);
});

test('what is wrong with a call is said by name', async () => {
  const publisher = await publisherOf({ protocol: 'kv-events', replayLayout: 'plain' });
  publisher.publish('one', 'x');
  expect(code(() => publisher.publish('two', 'x'))).toBe('ERR_INVALID_ARGUMENT');
  expect(code(() => publisher.publish('one', ['a', 'b']))).toBe('ERR_INVALID_BODY');
  expect(code(() => publisher.publish('\ud800', 'x'))).toBe('ERR_INVALID_ARGUMENT');
  expect(code(() => publisher.publish('x'.repeat(256), 'x'))).toBe('ERR_INVALID_ARGUMENT');
  expect(code(() => new ReplayPublisher({ historyLimit: 0 }))).toBe('ERR_INVALID_OPTION');
  expect(code(() => new ReplaySubscriber({ topics: [] }))).toBe('ERR_INVALID_OPTION');
  expect(code(() => new ReplaySubscriber({ from: -1 }))).toBe('ERR_INVALID_OPTION');
  const stored = new ReplayPublisher({ store: join(folder, 'never') });
  expect(code(() => stored.publish('one', 'x'))).toBe('ERR_NOT_CONNECTED');
  await stored.close();
  const subscriber = new ReplaySubscriber();
  expect(code(() => subscriber.connect('tcp://127.0.0.1:1', { replay: 'tcp://127.0.0.1:2' }))).toBe(
    'ERR_INVALID_OPTION',
  );
  subscriber.connect('tcp://127.0.0.1:1');
  expect(code(() => subscriber.connect('tcp://127.0.0.1:2'))).toBe('ERR_INVALID_ARGUMENT');
  await expect(subscriber.ready({ timeout: 20 })).rejects.toMatchObject({ code: 'ERR_NOT_READY' });
  await subscriber.close();
  expect(code(() => subscriber.connect('tcp://127.0.0.1:2'))).toBe('ERR_CLOSED');
  expect(await subscriber[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined });
});
