/** What a client does when its brokers are a pair: it finds the active one, and leaves it when it fails. */
import { describe, expect, test } from 'vitest';
import type { ClientOutput } from '../../src/majordomo/wire/commands.ts';
import { body, ClientStory } from './stories.ts';

const A = 'tcp://a';
const B = 'tcp://b';

class PairStory extends ClientStory {
  constructor(settings: ConstructorParameters<typeof ClientStory>[0] = {}) {
    super({ protocol: 'express', backoff: 100, noticeGrace: 1000, ...settings });
    this.connect(A, B);
  }

  /** The broker it is connected to serves under this epoch. */
  serve(epoch: number, resumed = false): void {
    const heartbeat = { heartbeatInterval: 100, heartbeatLiveness: 3 };
    this.say('express', { type: 'welcome', dialect: 'express', resumed, ...heartbeat, epoch });
  }
  /** It does not; `endpoint` is where the other one does. */
  turnAway(epoch: number, endpoint = ''): void {
    this.say('express', { type: 'standing', dialect: 'express', active: false, epoch, endpoint });
  }
  /** It does from now on. */
  takeOver(epoch: number): void {
    this.say('express', {
      type: 'standing',
      dialect: 'express',
      active: true,
      epoch,
      endpoint: '',
    });
  }
  gone(): void {
    this.machine.handlePeerGone(this.now, 'express');
  }
  all<Type extends ClientOutput['type']>(type: Type): Extract<ClientOutput, { type: Type }>[] {
    const commands = this.sent.map(({ command }) => command);
    return commands.filter(
      (command): command is Extract<ClientOutput, { type: Type }> => command.type === type,
    );
  }
  /** Where the socket of express was opened, one after the other. */
  get visited(): string[] {
    const opening = 'open express ';
    const opened = this.sockets.filter((line) => line.startsWith(opening));
    return opened.map((line) => line.slice(opening.length));
  }
}

/** Served by A under this epoch. */
function served(epoch = 1, settings?: ConstructorParameters<typeof ClientStory>[0]): PairStory {
  const client = new PairStory(settings);
  client.serve(epoch);
  return client;
}

describe('finding the active one', () => {
  test('a passive one says where it is, and it is asked at once', () => {
    const client = new PairStory();
    client.request('work', { retries: 0 });
    client.turnAway(4, B);
    client.wait(1);
    expect(client.visited).toEqual([A, B]);
    client.serve(4);
    client.answer(1, 'done');
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.took('ready')).toEqual([{ type: 'ready', endpoint: B, epoch: 4 }]);
    expect(client.took('failedOver')).toEqual([]);
    expect(client.took('brokerLost')).toEqual([]);
  });

  test('who knows of nobody is stayed with, and greeted again when it serves itself', () => {
    const client = new PairStory();
    client.turnAway(0);
    client.wait(900);
    expect(client.visited).toEqual([A]);
    client.takeOver(2);
    expect(client.all('hello').map(({ epoch }) => epoch)).toEqual([undefined, 2]);
    client.serve(2);
    client.request('work');
    expect(client.said).toEqual(['hello', 'hello', '#1 work']);
  });

  test('but for no longer than a second; then the other one is asked, and so on', () => {
    const client = new PairStory();
    client.turnAway(0);
    client.wait(999);
    expect(client.visited).toEqual([A]);
    client.wait(2);
    expect(client.visited).toEqual([A, B]);
    client.turnAway(0);
    client.wait(1002);
    expect(client.visited).toEqual([A, B, A]);
  });

  test('who names itself is stayed with', () => {
    const client = new PairStory();
    client.turnAway(3, A);
    client.wait(900);
    expect(client.visited).toEqual([A]);
    client.turnAway(3, B);
    client.wait(1);
    expect(client.visited).toEqual([A, B]);
  });

  test('who names one that is not in the list: the next one is asked, as it may have two names', () => {
    const client = new PairStory();
    client.turnAway(3, 'tcp://elsewhere');
    client.wait(1);
    expect(client.visited).toEqual([A, B]);
  });

  test('two who send it to each other are asked ever more rarely', () => {
    const client = new PairStory({ backoffLimit: 2000 });
    for (let time = 0; time < 10_000; time += 5) {
      if (client.said.length > 0) client.turnAway(3, client.visited.at(-1) === A ? B : A);
      client.sent.length = 0;
      client.wait(5);
    }
    // 100, 200, 400 … 2,000 ms apart.
    expect(client.visited.length).toBeGreaterThan(7);
    expect(client.visited.length).toBeLessThan(12);
  });

  test('costs no try, whatever it takes; if nobody serves until the end, the error says so', () => {
    const client = new PairStory();
    client.request('work', { timeout: 2500, retries: 0 });
    client.turnAway(0);
    client.wait(1001);
    client.turnAway(0);
    client.wait(1001);
    client.turnAway(0);
    client.wait(500);
    expect(client.took('retry')).toEqual([]);
    expect(client.took('failed')).toMatchObject([
      {
        code: 'ERR_REQUEST_TIMEOUT',
        attempts: 0,
        message: expect.stringContaining('passive, and knows no active one'),
      },
    ]);
  });

  test('one that is not in its list is named in the error', () => {
    const client = new PairStory();
    client.request('work', { timeout: 1500, retries: 0 });
    client.turnAway(3, 'tcp://elsewhere');
    client.wait(1500);
    expect(client.took('failed')).toMatchObject([
      { message: expect.stringContaining('the active one is at tcp://elsewhere: connect to that') },
    ]);
  });

  test('asks the passive one first whether it speaks express, and then nobody any more', () => {
    const client = new PairStory({ protocol: 'auto' });
    client.answerProbe('200', '1');
    client.turnAway(1, B);
    client.wait(1);
    expect(client.sockets).toEqual([
      `open probe ${A}`,
      'close probe',
      `open express ${A}`,
      'close express',
      `open express ${B}`,
    ]);
  });

  test('asks again what they speak when neither was heard for long: others may be there now', () => {
    const client = new PairStory({ protocol: 'auto' });
    client.answerProbe('200', '1');
    client.serve(1);
    client.wait(30_000);
    expect(client.asked).toEqual(['probe < 1']);
    client.wait(2000);
    expect(client.asked.length).toBeGreaterThan(1);
    client.answerProbe('501');
    client.request('work');
    expect(client.asked.at(-1)).toBe('lane-0 < work');
  });
});

describe('the active one is killed', () => {
  test('the other one is asked 100 ms after the link broke, with what was in flight', () => {
    const client = served();
    client.request('work', { key: 'k' });
    client.gone();
    client.wait(99);
    expect(client.visited).toEqual([A]);
    client.wait(2);
    expect(client.visited).toEqual([A, B]);
    expect(client.took('brokerLost')).toMatchObject([{ endpoint: A, reason: 'silent' }]);
    expect(client.all('hello').at(-1)).toMatchObject({ epoch: 1 });
    client.turnAway(1);
    client.wait(40);
    client.takeOver(2);
    client.serve(2);
    expect(client.took('failedOver')).toEqual([{ type: 'failedOver', endpoint: B, epoch: 2 }]);
    expect(client.all('request').at(-1)).toMatchObject({ key: 'k', number: 2 });
    expect(client.took('retry')).toMatchObject([{ id: 0, attempt: 2, endpoint: B }]);
    client.answer(2, 'done');
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('that costs one try: who has none left is told', () => {
    const client = served();
    client.request('once', { retries: 0 });
    client.gone();
    client.wait(101);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT']);
  });

  test('a reset is no death: the session goes on', () => {
    const client = served();
    client.request('work');
    client.gone();
    client.wait(50);
    client.serve(1, true);
    client.answer(1, 'done');
    expect(client.visited).toEqual([A]);
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('one that does not answer a greeting costs 250 ms, and more where nobody does', () => {
    const client = new PairStory({ heartbeatInterval: 1000 });
    client.serve(1);
    client.gone();
    client.wait(101);
    const from = client.now;
    const begun: number[] = [];
    while (begun.length < 6) {
      client.wait(1);
      if (client.visited.length > 2 + begun.length) begun.push(client.now - from);
    }
    const pauses = begun.map((at, index) => at - (begun[index - 1] ?? 0));
    expect(pauses).toEqual([251, 501, 1001, 2001, 3001, 3001]);
  });

  test('where nobody else is in the list, a broken link has all of its grace', () => {
    const client = new ClientStory({ protocol: 'express', noticeGrace: 1000 });
    client.connect(A);
    const welcome = { type: 'welcome', dialect: 'express', resumed: false, epoch: 1 } as const;
    client.say('express', { ...welcome, heartbeatInterval: 100, heartbeatLiveness: 3 });
    client.machine.handlePeerGone(client.now, 'express');
    client.wait(999);
    expect(client.took('brokerLost')).toEqual([]);
  });
});

describe('the active one steps down', () => {
  test('says where the other one is: what was in flight is tried there', () => {
    const client = served();
    client.request('work', { key: 'k' });
    client.wait(100);
    client.turnAway(2, B);
    expect(client.took('brokerLost')).toMatchObject([{ endpoint: A, reason: 'passive' }]);
    client.wait(1);
    client.serve(2);
    expect(client.all('request').at(-1)).toMatchObject({ key: 'k' });
    expect(client.took('failedOver')).toEqual([{ type: 'failedOver', endpoint: B, epoch: 2 }]);
  });

  test('knows nobody: it is greeted as a new client, and waited for', () => {
    const client = served();
    client.request('work');
    client.request('parts', { streaming: true });
    client.answer(2, 'part', { final: false });
    client.turnAway(2);
    expect(client.outcomes).toEqual(['1 ! ERR_WORKER_LOST']);
    const [first, second] = client.all('hello');
    expect(client.all('hello')).toHaveLength(2);
    expect(second).toMatchObject({ epoch: 2 });
    expect(first!.session).toHaveLength(16);
    client.turnAway(2);
    client.takeOver(3);
    client.serve(3);
    expect(client.visited).toEqual([A]);
    expect(client.said.at(-1)).toBe('#3 work');
    expect(client.took('brokerLost')).toHaveLength(1);
  });

  test('and serves again before it was heard: the session is another one', () => {
    const client = served();
    client.request('work');
    client.takeOver(1);
    expect(client.all('hello')).toHaveLength(1);
    client.takeOver(3);
    expect(client.all('hello')).toHaveLength(2);
    client.serve(3);
    expect(client.said.at(-1)).toBe('#2 work');
  });
});

describe('epochs', () => {
  test('a lower one than was seen is refused, and told of the higher one', () => {
    const client = served(5);
    client.turnAway(6, B);
    client.wait(1);
    client.serve(5);
    expect(client.said.slice(-2)).toEqual(['seen', 'disconnect']);
    expect(client.all('seen')).toMatchObject([{ epoch: 6 }]);
    expect(client.sockets.at(-1)).toBe('close express flushed');
    client.wait(100);
    expect(client.visited).toEqual([A, B, A]);
    expect(client.took('ready')).toHaveLength(1);
  });

  test('that cannot be are not believed', () => {
    const client = served(5);
    client.turnAway(2 ** 51, B);
    client.wait(1);
    client.serve(2 ** 51);
    expect(client.took('malformed')).toHaveLength(1);
    expect(client.took('ready')).toHaveLength(1);
    client.serve(7);
    expect(client.took('ready')).toMatchObject([{ endpoint: B, epoch: 7 }]);
  });

  test('a broker without any is taken as it is', () => {
    const client = served(5);
    client.say('express', { type: 'disconnect', dialect: 'express' });
    client.wait(1);
    client.welcome();
    expect(client.took('ready').at(-1)).toEqual({ type: 'ready', endpoint: B });
    expect(client.took('failedOver')).toEqual([]);
  });
});

describe('in stock MDP', () => {
  const failure = body('\0UNSINKABLE-ERR1', '{"code":"ERR_NOT_ACTIVE","message":"no"}');

  test('a passive one costs no try: the other one is asked, after a rest that grows', () => {
    const client = new PairStory({ protocol: 'mdp0.2', lanes: 1, backoffLimit: 1000 });
    client.request('work', { retries: 1, timeout: 60_000 });
    const asked: number[] = [];
    for (let round = 0; round < 5; round++) {
      client.hear('lane-0', failure);
      const before = client.asked.length;
      while (client.asked.length === before) client.wait(10);
      asked.push(client.now);
    }
    expect(client.sockets.filter((line) => line.startsWith('open'))).toEqual(
      [A, B, A, B, A, B].map((endpoint) => `open lane-0 ${endpoint}`),
    );
    expect(asked).toEqual([100, 300, 700, 1500, 2500]);
    expect(client.took('retry')).toEqual([]);
    client.hear('lane-0', body('done'));
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('who wants no retry is told instead', () => {
    const client = new PairStory({ protocol: 'mdp0.2' });
    client.request('work', { retries: 0 });
    client.hear('lane-0', failure);
    expect(client.outcomes).toEqual(['0 ! ERR_NOT_ACTIVE']);
  });
});
