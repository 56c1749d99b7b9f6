/** Our subscriber and a Python publisher of key-value cache events, our publisher and a hand-written subscriber. */
import { afterEach, describe, expect, test } from 'vitest';
import { ReplayPublisher, ReplaySubscriber, type ReplayMessage } from '../../src/index.ts';
import { endAll } from '../cli/commands.ts';
import type { Child } from '../processes/child.ts';
import { closeAfterwards, startPeer, withoutPeers } from './peers.ts';

const ANY = 'tcp://127.0.0.1:*';
const LAYOUTS = ['topic', 'plain'] as const;

afterEach(endAll);

async function startPublisher(
  layout: string,
  ...more: string[]
): Promise<{ publisher: Child; endpoint: string; replay: string }> {
  const args = ['--bind', ANY, '--replay', ANY, '--layout', layout, ...more];
  const publisher = startPeer('kv_publisher', ...args);
  const [, endpoint = '', replay = ''] = (await publisher.line(/^ready /)).split(' ');
  return { publisher, endpoint, replay };
}

/** Tells the publisher what to do, and waits until that is done. */
async function tell(publisher: Child, ...lines: string[]): Promise<void> {
  for (const line of lines) {
    publisher.passOver();
    publisher.write(line);
    await publisher.line(new RegExp(`^did ${line}$`));
  }
}

function subscribe(
  endpoint: string,
  replay: string,
  options: ConstructorParameters<typeof ReplaySubscriber>[0] = {},
): ReplaySubscriber {
  const subscriber = new ReplaySubscriber({
    protocol: 'kv-events',
    from: 'oldest',
    reconnectInterval: 20,
    pollInterval: 200,
    ...options,
  });
  closeAfterwards(() => subscriber.close());
  subscriber.connect(endpoint, { replay });
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

const texts = (messages: readonly ReplayMessage[]): string[] => messages.map((one) => one.text());
const numbers = (count: number, first = 0): string[] =>
  Array.from({ length: count }, (_, index) => `${first + index}`);

describe.skipIf(withoutPeers).each(LAYOUTS)('a Python publisher in the layout %s', (layout) => {
  test('messages that were lost on the way come from its buffer, in order', async () => {
    const { publisher, endpoint, replay } = await startPublisher(layout);
    await tell(publisher, 'publish 10');
    const subscriber = subscribe(endpoint, replay);
    expect(texts(await take(subscriber, 10))).toEqual(numbers(10));
    const gaps: unknown[] = [];
    subscriber.on('gapRepaired', (event) => gaps.push(event));
    await tell(publisher, 'publish 5', 'drop 4', 'publish 10');
    const got = await take(subscriber, 15);
    expect(texts(got)).toEqual(numbers(15, 10));
    expect(got.every(({ lost }) => lost === undefined)).toBe(true);
    expect(got.every(({ topic }) => topic === 'kv-events')).toBe(true);
    // That the last ones are missing no message says: it is asked after a silence.
    await tell(publisher, 'drop 3', 'publish 3');
    expect(texts(await take(subscriber, 3))).toEqual(numbers(3, 25));
  });

  test('what its buffer has no more is told', async () => {
    const { publisher, endpoint, replay } = await startPublisher(layout, '--buffer', '6');
    await tell(publisher, 'publish 20');
    const subscriber = subscribe(endpoint, replay, { from: 2 });
    const got = await take(subscriber, 6);
    expect(texts(got)).toEqual(numbers(6, 14));
    expect(got[0]!.lost).toEqual({ from: 2, to: 13 });
    expect(got.slice(1).every(({ lost }) => lost === undefined)).toBe(true);
  });

  test('a restart is told, and the new life is read from its beginning', async () => {
    const { publisher, endpoint, replay } = await startPublisher(layout, '--life');
    await tell(publisher, 'publish 8');
    const subscriber = subscribe(endpoint, replay);
    expect(texts(await take(subscriber, 8)).at(-1)).toBe('1:7');
    // It starts again, and nobody hears of its first messages.
    await tell(publisher, 'restart', 'drop 9', 'publish 12');
    const got = await take(subscriber, 12);
    expect(texts(got)).toEqual(numbers(12).map((number) => `2:${number}`));
    expect(got.map(({ isRestart }) => isRestart)).toEqual([true, ...Array(11).fill(false)]);
  });
});

describe.skipIf(withoutPeers).each(LAYOUTS)('our publisher in the layout %s', (layout) => {
  test('is read by a subscriber that somebody wrote by hand', async () => {
    const ours = new ReplayPublisher({ protocol: 'kv-events', replayLayout: layout });
    closeAfterwards(() => ours.close());
    for (let count = 0; count < 5; count++) ours.publish('kv-events', `${count}`);
    const endpoint = await ours.bind(ANY, { replay: ANY });
    const args = ['--connect', endpoint, '--replay', ours.replayEndpoint!, '--layout', layout];
    const theirs = startPeer('kv_subscriber', ...args, '--count', '200', '--deaf', '7');
    await theirs.line(/^listening$/);
    const publishing = setInterval(() => {
      for (let count = 0; count < 10; count++) {
        ours.publish('kv-events', `${ours.status().sequence + 1}`);
      }
    }, 5);
    const { code } = await theirs.ended;
    clearInterval(publishing);
    expect([code, theirs.errors]).toEqual([0, '']);
    const printed = theirs.lines.filter((line) => /^\d/.test(line)).map((line) => line.split(' '));
    expect(printed.map(([number]) => number)).toEqual(numbers(printed.length));
    expect(printed.map(([, , payload]) => payload)).toEqual(numbers(printed.length));
    expect(printed.some(([, how]) => how === 'repeated')).toBe(true);
    expect(printed.some(([, how]) => how === 'live')).toBe(true);
  });
});
