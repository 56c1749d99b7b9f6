/** The life of a request, on a carrier that does as it is told; and the line in which requests wait. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Instant } from '../../src/core/machine.ts';
import {
  RequestLife,
  RequestLives,
  tryTime,
  type Carrier,
  type RequestTerms,
} from '../../src/core/request-lives.ts';
import { RequestLine } from '../../src/core/request-line.ts';

type Request = RequestLife<RequestTerms>;

/** Room for a few requests, each of which gets 100 ms a try. */
class World implements Carrier<Request> {
  now: Instant = 0;
  room = 1;
  rests = true;
  /** The one carried next is refused though there seems to be room. */
  refuses = false;
  onAbandon = (): void => {};
  readonly carried = new Set<Request>();
  /** What carrier and owner were told, in order. */
  readonly told: string[] = [];
  readonly line = new RequestLine<Request>({ limit: 2, bytes: 1000 });
  readonly lives: RequestLives<Request>;

  constructor() {
    const bounds = { queueLimit: 2, queueBytes: 1000 };
    const settings = { backoff: 20, backoffLimit: 50, ...bounds, random: () => 1 };
    this.lives = new RequestLives(settings, this.line, this, {
      handleRetry: ({ call, attempts }) => this.told.push(`${call.id} again, ${attempts}`),
      handleFailure: ({ call }, code) => this.told.push(`${call.id} ! ${code}`),
      handleDrained: () => this.told.push('drained'),
      describeTimeout: (_request, limit) => limit,
    });
  }

  get hasRoom(): boolean {
    return this.carried.size < this.room;
  }
  carry(now: Instant, request: Request): Instant | undefined {
    if (!this.hasRoom || this.refuses) return undefined;
    this.carried.add(request);
    this.told.push(`${request.call.id} sent`);
    return now + 100;
  }
  needsRest(): boolean {
    return this.rests;
  }
  release(_now: Instant, request: Request): void {
    this.carried.delete(request);
  }
  abandon(_now: Instant, request: Request, letDown: boolean): void {
    if (!this.carried.delete(request)) return;
    this.told.push(`${request.call.id} abandoned${letDown ? ', let down' : ''}`);
    this.onAbandon();
  }
  close(): void {
    this.told.push('closed');
  }

  ask(id: number, terms: Partial<RequestTerms> = {}): Request {
    const body = [new Uint8Array(10)];
    const request = new RequestLife(this.now, { id, body, timeout: 1000, retries: 2, ...terms });
    this.lives.accept(this.now, request);
    return request;
  }

  wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.lives.nextTimeout <= until) {
      this.now = Math.max(this.now, this.lives.nextTimeout);
      this.lives.handleTimeout(this.now);
    }
    this.now = until;
  }

  /** What was told since this was last asked. */
  get news(): string[] {
    return this.told.splice(0);
  }
}

let world: World;
beforeEach(() => {
  world = new World();
});

describe('a request', () => {
  test('is sent if there is room, and settled by its answer, which makes room', () => {
    const first = world.ask(1);
    const second = world.ask(2);
    expect([first.state, second.state]).toEqual(['sent', 'waiting']);
    world.lives.settle(world.now, first);
    expect([first.state, second.state]).toEqual(['ended', 'sent']);
    expect(world.news).toEqual(['1 sent', '2 sent']);
    expect(world.lives.outstanding).toBe(1);
  });

  test('is not overtaken by one that comes while room is not given away yet', () => {
    const first = world.ask(1);
    world.ask(2);
    world.lives.cancel(world.now, first.call.id, 'enough');
    world.ask(3);
    world.wait(1);
    expect(world.news.filter((line) => line.endsWith('sent'))).toEqual(['1 sent', '2 sent']);
  });

  test('is tried again after a rest that grows up to its limit', () => {
    world.ask(1, { retries: 3, timeout: 10_000 });
    const sentAt: number[] = [];
    for (let elapsed = 0; elapsed < 600; elapsed++) {
      if (world.news.includes('1 sent')) sentAt.push(world.now);
      world.wait(1);
    }
    expect(sentAt).toEqual([0, 120, 260, 410]);
  });

  test('after one that was answered rests as if it were the first', () => {
    const first = world.ask(1);
    world.wait(230);
    expect(first.attempts).toBe(2);
    world.lives.settle(world.now, first);
    world.news.length = 0;
    world.ask(2);
    world.wait(119);
    expect(world.news).toEqual(['2 sent', '2 abandoned, let down']);
    world.wait(1);
    expect(world.news).toEqual(['2 sent', '2 again, 2']);
  });

  test('without a try left has failed, and so has one whose time is over', () => {
    world.ask(1, { retries: 0 });
    world.wait(100);
    expect(world.news).toEqual(['1 sent', '1 abandoned, let down', '1 ! ERR_REQUEST_TIMEOUT']);
    world.ask(2, { timeout: 70 });
    world.ask(3, { timeout: 70 });
    world.wait(70);
    expect(world.news).toEqual([
      '2 sent',
      '2 abandoned, let down',
      '2 ! ERR_REQUEST_TIMEOUT',
      '3 ! ERR_REQUEST_TIMEOUT',
    ]);
    world.wait(1);
    expect(world.lives.nextTimeout).toBe(Infinity);
  });

  test('whose limit was taken from it has no other try', () => {
    const request = world.ask(1);
    request.attemptLimit = 0;
    world.lives.giveUpTry(world.now, request);
    expect(world.news).toEqual(['1 sent', '1 abandoned, let down', '1 ! ERR_REQUEST_TIMEOUT']);
  });

  test('where no rest is needed is sent again at once, before all that wait', () => {
    world.rests = false;
    world.ask(1);
    world.ask(2);
    world.wait(101);
    expect(world.news).toEqual(['1 sent', '1 abandoned, let down', '1 sent', '1 again, 2']);
  });

  test('known to be lost too', () => {
    const request = world.ask(1);
    world.ask(2);
    world.carried.delete(request);
    world.lives.tryAgain(world.now, request);
    world.lives.fill(world.now);
    expect(world.news).toEqual(['1 sent', '1 sent', '1 again, 2']);
    request.attempts = 3;
    world.carried.delete(request);
    world.lives.tryAgain(world.now, request);
    expect(world.news).toEqual(['1 ! ERR_REQUEST_TIMEOUT']);
  });

  test('given a later step has until then', () => {
    const request = world.ask(1);
    world.lives.step(request, 150);
    world.wait(149);
    expect(world.news).toEqual(['1 sent']);
    world.wait(1);
    expect(world.news).toEqual(['1 abandoned, let down']);
  });
});

test('a request that the carrier refuses after all waits for room, before all others', () => {
  world.room = 2;
  world.refuses = true;
  world.ask(1);
  world.ask(2);
  world.lives.fill(world.now);
  expect([world.news, world.line.size]).toEqual([[], 2]);
  world.refuses = false;
  world.lives.fill(world.now);
  expect(world.news).toEqual(['1 sent', '2 sent']);
});

describe('a cancel', () => {
  test.each(['waiting', 'sent', 'resting'] as const)('ends one that is %s, once', (state) => {
    if (state === 'waiting') world.room = 0;
    const request = world.ask(1);
    if (state === 'resting') world.wait(110);
    expect(request.state).toBe(state);
    world.told.length = 0;
    world.lives.cancel(world.now, 1, 'enough');
    world.lives.cancel(world.now, 1, 'enough');
    const abandoned = state === 'sent' ? ['1 abandoned'] : [];
    expect(world.news).toEqual([...abandoned, '1 ! ERR_CANCELLED']);
    world.room = 1;
    world.wait(1000);
    expect(world.news).toEqual([]);
  });

  test('gives its room to another, but not at once: many may be cancelled together', () => {
    for (const id of [1, 2, 3]) world.ask(id);
    world.lives.cancel(world.now, 1, 'enough');
    world.lives.cancel(world.now, 2, 'enough');
    expect(world.news).toEqual(['1 sent', '1 abandoned', '1 ! ERR_CANCELLED', '2 ! ERR_CANCELLED']);
    world.wait(1);
    expect(world.news).toEqual(['3 sent']);
  });
});

describe('the line', () => {
  test('refuses by count and by bytes, but never who is to be tried again', () => {
    world.room = 0;
    world.ask(1);
    world.ask(2);
    world.ask(3);
    expect(world.news).toEqual(['3 ! ERR_QUEUE_FULL']);
    world.lives.cancel(world.now, 1, '');
    world.ask(4, { body: [new Uint8Array(1000)] });
    expect(world.news).toEqual(['1 ! ERR_CANCELLED', '4 ! ERR_QUEUE_FULL']);
    world.lives.cancel(world.now, 2, '');
    // Larger than the bound: it waits alone.
    world.ask(5, { body: [new Uint8Array(5000)] });
    expect([world.news, world.line.waiting]).toEqual([['2 ! ERR_CANCELLED'], 1]);
  });

  test('has those that are tried again first, each group in its order', () => {
    const line = new RequestLine<string>({ limit: 2, bytes: 10 });
    expect(line.push('a', 4)).toBe(true);
    line.pushAgain('x');
    expect(line.push('b', 4)).toBe(true);
    expect(line.push('c', 1)).toBe(false);
    line.pushAgain('y');
    expect([line.waiting, line.size, [...line]]).toEqual([2, 4, ['x', 'y', 'a', 'b']]);
    line.delete('a');
    line.delete('y');
    expect([line.take(), line.take(), line.take()]).toEqual(['x', 'b', undefined]);
  });
});

describe('the end', () => {
  test('by drain comes with the last outcome; nothing new is taken in', () => {
    const request = world.ask(1);
    world.lives.drain();
    world.ask(2);
    expect(world.news).toEqual(['1 sent', '2 ! ERR_CANCELLED']);
    world.lives.settle(world.now, request);
    world.lives.drain();
    expect(world.news).toEqual(['closed', 'drained']);
    expect([world.lives.isOpen, world.lives.isDrained]).toEqual([false, true]);
  });

  test('by stop cancels all, and opens nothing for those that wait', () => {
    world.ask(1);
    world.ask(2);
    world.onAbandon = () => world.lives.fill(world.now);
    world.lives.stop(world.now);
    world.lives.stop(world.now);
    expect(world.news).toEqual([
      '1 sent',
      '1 abandoned',
      '1 ! ERR_CANCELLED',
      '2 ! ERR_CANCELLED',
      'closed',
      'drained',
    ]);
  });
});

test('a try gets its own time, or its share of the whole, or a minute of a whole without end', () => {
  const terms = { id: 1, body: [], timeout: 3000, retries: 2 };
  expect(tryTime({ ...terms, attemptTimeout: 7 })).toBe(7);
  expect(tryTime(terms)).toBe(1000);
  expect(tryTime({ ...terms, timeout: Infinity })).toBe(60_000);
  expect(tryTime({ ...terms, retries: 1_000_000 })).toBe(10);
});
