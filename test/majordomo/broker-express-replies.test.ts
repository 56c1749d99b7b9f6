/** Express at the broker: replies in parts, broadcasts, and peers of other dialects. */
import { describe, expect, test, vi } from 'vitest';
import { sizeOf } from '../../src/core/frames.ts';
import { encodeFailure } from '../../src/core/error-body.ts';
import { ExpressBroker, NOTHING_LEFT } from './express-stories.ts';
import { body } from './stories.ts';

function brokerWith(credit = 1, ...settings: ConstructorParameters<typeof ExpressBroker>) {
  const broker = new ExpressBroker(...settings);
  broker.hello('c');
  broker.serve('w', credit);
  broker.heardNow();
  return broker;
}

describe('a reply in parts', () => {
  const PART = sizeOf(body('part'));

  test('passes one by one, numbered, to who gave a window', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { window: 1000 });
    expect(broker.given('w').window).toBe(1000);
    broker.part('w', 'a', 0);
    broker.part('w', 'b', 1);
    broker.done('w', 'end', { sequence: 2 });
    expect(broker.heardNow()).toEqual(['w < work', 'c 1 = a …', 'c 1 = b …', 'c 1 = end']);
    const replies = broker.sent.filter(({ command }) => command.type === 'reply');
    expect(replies.map(({ command }) => command)).toMatchObject([
      { sequence: 0 },
      { sequence: 1 },
      { sequence: 2 },
    ]);
  });

  test('is joined for who did not', () => {
    const broker = brokerWith();
    broker.ask('c', 'work');
    broker.part('w', 'a', 0);
    broker.done('w', 'end', { sequence: 1 });
    expect(broker.heardNow()).toEqual(['w < work', 'c 1 = a|end']);
    expect(broker.sent.at(-1)!.command).toMatchObject({ sequence: 0 });
  });

  test('is not joined without a bound', () => {
    const broker = brokerWith();
    broker.ask('c', 'work');
    broker.part('w', 'x'.repeat(800), 0);
    broker.part('w', 'y', 1);
    expect(broker.heardNow()).toEqual(['w < work', 'w cancel 0', 'c 1 = ERR_REPLY_TOO_LARGE']);
  });

  test('goes on as its reader gives credit, and never for more than was sent', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { window: 1000 });
    broker.part('w', 'part', 0);
    broker.part('w', 'part', 1);
    broker.heardNow();
    broker.say('c', { type: 'credit', number: 1, bytes: PART });
    expect(broker.heardNow()).toEqual([`w credit 0: ${PART}`]);
    broker.say('c', { type: 'credit', number: 1, bytes: Number.MAX_SAFE_INTEGER });
    expect(broker.heardNow()).toEqual([`w credit 0: ${2 * PART}`]);
    broker.say('c', { type: 'credit', number: 1, bytes: 0 });
    expect(broker.heardNow()).toEqual([]);
    expect(broker.took('unexpectedCommand')).toHaveLength(1);
  });

  test('needs no credit any more when it has ended', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { window: 1000 });
    broker.part('w', 'part', 0);
    broker.done('w', 'end', { sequence: 1 });
    broker.heardNow();
    broker.say('c', { type: 'credit', number: 1, bytes: PART });
    expect(broker.heardNow()).toEqual([]);
    expect(broker.took('unexpectedCommand')).toEqual([]);
  });

  test('fails when its worker is lost in the middle', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { window: 1000 });
    broker.part('w', 'part', 0);
    broker.gone('w');
    broker.wait(30);
    broker.serve('v');
    expect(broker.heardNow()).toEqual([
      'w < work',
      'c 1 = part …',
      'c 1 = ERR_WORKER_LOST',
      'v welcome',
    ]);
    expect(broker.sent.at(-2)!.command).toMatchObject({ sequence: 1, final: true });
  });

  test('and goes on when that worker comes back', () => {
    const broker = brokerWith();
    broker.ask('c', 'work', { window: 1000 });
    broker.part('w', 'part', 0);
    broker.gone('w');
    broker.serve('w2', 1, { session: 'w' });
    broker.done('w2', 'end', { number: 0, sequence: 1 });
    expect(broker.heardNow().at(-1)).toBe('c 1 = end');
  });

  test('that fails in the end says so instead of a body', () => {
    const broker = brokerWith();
    broker.ask('c', 'work');
    broker.part('w', 'a', 0);
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    broker.done('w', '', { body: [], sequence: 1, failure });
    expect(broker.sent.at(-1)!.command).toMatchObject({ body: [], failure, final: true });
  });
});

function serviceOf(...workers: string[]): ExpressBroker {
  const broker = new ExpressBroker();
  broker.hello('c');
  for (const worker of workers) broker.serve(worker);
  broker.heardNow();
  return broker;
}

describe('a broadcast', () => {
  test('gets a part from each worker, and then its end', () => {
    const broker = serviceOf('v', 'w');
    broker.ask('c', 'all', { broadcast: true });
    broker.done('w', 'W');
    broker.done('v', 'V');
    expect(broker.heardNow()).toEqual(['v < all', 'w < all', 'c 1 = W …', 'c 1 = V …', 'c 1 = ']);
    expect(broker.sent.at(-1)!.command).toMatchObject({ sequence: 2, body: [] });
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('is told which worker failed or was lost, and not done twice', () => {
    const broker = serviceOf('u', 'v', 'w');
    broker.ask('c', 'all', { broadcast: true });
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    broker.done('u', '', { body: [], failure });
    broker.gone('v');
    broker.wait(30);
    broker.done('w', 'W');
    expect(broker.heardNow().slice(3)).toEqual([
      'c 1 = ERR_HANDLER_FAILED …',
      'c 1 = ERR_WORKER_LOST …',
      'c 1 = W …',
      'c 1 = ',
    ]);
    expect(broker.took('deadLetter')).toEqual([]);
    expect(broker.took('requestRequeued')).toEqual([]);
  });

  test('waits for the busy, before what else waits', () => {
    const broker = serviceOf('w');
    broker.ask('c', 'runs');
    broker.ask('c', 'waits');
    broker.ask('c', 'all', { broadcast: true });
    broker.done('w', 'done');
    expect(broker.heardNow()).toEqual(['w < runs', 'c 1 = done', 'w < all']);
    broker.say('w', { type: 'disconnect' });
    expect(broker.heardNow()).toEqual(['c 3 = ERR_WORKER_LOST …', 'c 3 = ']);
    expect(broker.leftovers).toMatchObject({ queues: 1, open: 1 });
  });

  test('to workers that leave before they have begun it ends all the same', () => {
    const broker = serviceOf('w');
    broker.ask('c', 'runs');
    broker.ask('c', 'all', { broadcast: true });
    broker.gone('w');
    broker.wait(30);
    expect(broker.heardNow()).toEqual(['w < runs', 'c 2 = ERR_WORKER_LOST …', 'c 2 = ']);
    expect(broker.machine.requests.state.queues.size).toBe(1);
  });

  test('is cancelled everywhere', () => {
    const broker = serviceOf('v', 'w');
    broker.ask('c', 'runs');
    broker.cancel('c', broker.ask('c', 'all', { broadcast: true }));
    expect(broker.heardNow()).toEqual(['v < runs', 'w < all', 'w cancel 1']);
    broker.done('v', 'done');
    broker.done('w', 'late');
    expect(broker.heardNow()).toEqual(['c 1 = done']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('is given up with its client', () => {
    const broker = serviceOf('w');
    broker.ask('c', 'all', { broadcast: true });
    broker.say('c', { type: 'disconnect' });
    broker.done('w', 'late');
    expect(broker.heardNow()).toEqual(['w < all', 'w cancel 0']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('expires for those that have not answered', () => {
    const broker = serviceOf('v', 'w');
    broker.ask('c', 'all', { broadcast: true, timeLeft: 150 });
    broker.done('v', 'V');
    broker.live({ w: [1], v: [], c: [1] }, 100);
    broker.wait(50);
    expect(broker.heardNow().slice(2)).toEqual([
      'c 1 = V …',
      'w cancel 1',
      'c 1 = ERR_REQUEST_EXPIRED …',
      'c 1 = ',
    ]);
  });

  test('needs somebody who takes work', () => {
    const broker = serviceOf('w');
    broker.say('w', { type: 'capacity', credit: 0 });
    broker.ask('c', 'all', { broadcast: true });
    expect(broker.heardNow()).toEqual(['c 1 = ERR_NO_SERVICE']);
  });

  test('counts as many requests as there are workers', () => {
    const full = new ExpressBroker({ queueLimit: 2 });
    full.hello('c');
    for (const worker of ['u', 'v', 'w']) full.serve(worker);
    full.ask('c', 'all', { broadcast: true });
    expect(full.heardNow().at(-1)).toBe('c 1 = ERR_QUEUE_FULL');
    full.say('u', { type: 'disconnect' });
    full.ask('c', 'all', { broadcast: true });
    expect(full.heardNow()).toEqual(['v < all', 'w < all']);
  });

  test('reaches stock workers too', () => {
    const broker = serviceOf('w');
    broker.ready('stock', 'echo', 'mdp0.1');
    broker.ask('c', 'all', { broadcast: true });
    broker.answer('stock', 'old');
    broker.done('w', 'new');
    expect(broker.heardNow().slice(2)).toEqual(['c 1 = old …', 'c 1 = new …', 'c 1 = ']);
  });
});

describe('dialects meet', () => {
  const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;

  test.each(['mdp0.1', 'mdp0.2'] as const)('a %s client and an express worker', (dialect) => {
    const broker = brokerWith();
    const ends: string[] = [];
    broker.request('old', 'work', 'echo', dialect);
    broker.done('w', 'done');
    ends.push(broker.heardNow().at(-1)!);
    broker.request('old', 'work', 'echo', dialect);
    broker.done('w', '', { body: [], failure });
    ends.push(broker.heardNow().at(-1)!);
    expect(broker.sent.at(-1)!.command).toMatchObject({ dialect, body: encodeFailure(failure) });
    // Stock MDP has no message without a body.
    broker.request('old', 'work', 'echo', dialect);
    broker.done('w', '', { body: [] });
    expect(broker.sent.at(-1)!.command).toMatchObject({ dialect, body: body('') });
    expect(ends).toEqual(['old = done', 'old = ERR_HANDLER_FAILED']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('partial replies reach a client of 0.2 as they come, one of 0.1 joined', () => {
    const broker = brokerWith();
    for (const dialect of ['mdp0.1', 'mdp0.2'] as const) {
      broker.request('old', 'work', 'echo', dialect);
      broker.part('w', 'a', 0);
      broker.done('w', 'b', { sequence: 1 });
    }
    expect(broker.heardNow()).toEqual([
      'w < work',
      'old = a|b',
      'w < work',
      'old = a …',
      'old = b',
    ]);
  });

  test.each(['mdp0.1', 'mdp0.2'] as const)('an express client and a %s worker', (dialect) => {
    const broker = new ExpressBroker();
    broker.hello('c');
    broker.ready('old', 'echo', dialect);
    const ask = (): void => {
      broker.ask('c', 'work', { headers: Uint8Array.of(1), key: undefined, priority: 3 });
      expect(broker.given('old').dialect).toBe(dialect);
    };
    ask();
    broker.answer('old', 'done');
    ask();
    const { envelope } = broker.given('old');
    const result = { type: 'result', dialect, envelope, final: true } as const;
    broker.hear('old', { ...result, body: encodeFailure(failure) });
    expect(broker.heardNow()).toEqual([
      'c welcome',
      'old < work',
      'c 1 = done',
      'old < work',
      'c 2 = ERR_HANDLER_FAILED',
    ]);
    expect(broker.sent.at(-1)!.command).toMatchObject({ body: [], failure });
  });

  test('a stream of a 0.2 worker reaches an express client, whose credit it cannot hear', () => {
    const broker = new ExpressBroker();
    broker.hello('c');
    broker.ready('old');
    broker.ask('c', 'work', { window: 1000 });
    broker.answer('old', 'a', false);
    broker.say('c', { type: 'credit', number: 1, bytes: sizeOf(body('a')) });
    broker.answer('old', 'b');
    expect(broker.heardNow()).toEqual(['c welcome', 'old < work', 'c 1 = a …', 'c 1 = b']);
    expect(broker.took('unexpectedCommand')).toEqual([]);
  });

  test('a cancel does not disturb a stock worker: its late reply is dropped', () => {
    const broker = new ExpressBroker();
    broker.hello('c');
    broker.ready('old');
    broker.cancel('c', broker.ask('c', 'work'));
    broker.answer('old', 'late');
    expect(broker.heardNow()).toEqual(['c welcome', 'old < work']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('a peer that mixes them has a new session, or none', () => {
    const broker = brokerWith();
    broker.ready('w');
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'unexpectedCommand' }]);
    broker.ready('w');
    broker.serve('w');
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'replaced' }]);
    broker.hear('w', { type: 'heartbeat', dialect: 'mdp0.2' });
    expect(broker.took('workerLost')).toMatchObject([{ reason: 'unexpectedCommand' }]);
    expect(broker.machine.status().workers).toBe(0);
  });
});

test('a stock client whose request is refused leaves nothing behind', () => {
  const broker = new ExpressBroker({ queueLimit: 1 });
  broker.request('first', 'waits');
  broker.request('old', 'one too many');
  expect(broker.heardNow()).toEqual(['old = ERR_QUEUE_FULL']);
  expect([...broker.machine.clients.state.stock.keys()]).toEqual(['first']);
});

test('a part that its client has no room for ends the stream, with a failure that follows what came', () => {
  const broker = brokerWith();
  broker.ask('c', 'stream', { window: 10_000 });
  broker.part('w', 'a', 0);
  vi.spyOn(broker.full, 'has').mockReturnValueOnce(true);
  broker.part('w', 'b', 1);
  expect(broker.heardNow()).toContain('c 1 = ERR_STREAM_OVERFLOW');
  const [end] = broker.sent.filter(({ command }) => command.type === 'reply' && command.final);
  expect(end?.command).toMatchObject({ number: 1, sequence: 1 });
});
