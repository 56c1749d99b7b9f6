/** What the Pirate workers promise over real sockets: against raw ROUTERs, and against our queues. */
import { Router } from 'zeromq';
import { describe, expect, test, vi } from 'vitest';
import { decodeFailure } from '../../src/core/error-body.ts';
import {
  ClosedError,
  InvalidArgumentError,
  LazyPirateClient,
  NotReadyError,
  ParanoidPirateQueue,
  ParanoidPirateWorker,
  SimplePirateQueue,
  SimplePirateWorker,
  systemEnvironment,
  type HandlerRequest,
  type ParanoidPirateWorkerOptions,
  type PirateHandler,
  type PirateWorkerEvent,
  type PirateWorkerOptions,
} from '../../src/pirate/index.ts';
import { hasDisconnectNotices } from '../../src/transport/zeromq.ts';
import { cleanUp, failureOf, raw } from '../transport/peers.ts';

const READY = '\x01';
const HEARTBEAT = '\x02';

const upper: PirateHandler = (request) => request.text().toUpperCase();

/** A queue of the protocol's letter and no more: it keeps what it heard, and says what the test says. */
class RawQueue {
  readonly router = raw(new Router());
  /** All but heartbeats, as `frame|frame`; a failure as its code and message. */
  readonly heard: string[] = [];
  readonly workers: Buffer[] = [];
  beats = 0;

  static async bound(endpoint = 'tcp://127.0.0.1:*'): Promise<RawQueue> {
    const queue = new RawQueue();
    await vi.waitFor(() => queue.router.bind(endpoint), { interval: 10, timeout: 5000 });
    void queue.#hear();
    return queue;
  }

  get endpoint(): string {
    return this.router.lastEndpoint!;
  }

  /** To who came last. */
  async say(...frames: (string | Uint8Array)[]): Promise<void> {
    await this.router.send([this.workers.at(-1)!, ...frames]);
  }

  /** Waits for so many messages that are no heartbeats, and gives the last. */
  async message(count: number): Promise<string> {
    await vi.waitUntil(() => this.heard.length >= count, { interval: 1, timeout: 5000 });
    return this.heard[count - 1]!;
  }

  /** Until the test closes the socket. */
  async #hear(): Promise<void> {
    for await (const [from, ...frames] of this.router) {
      if (!this.workers.some((known) => known.equals(from!))) this.workers.push(from!);
      const failure = decodeFailure(frames.slice(-2));
      const text = frames.join('|');
      if (text === HEARTBEAT) this.beats++;
      else this.heard.push(failure === undefined ? text : `${failure.code} ${failure.message}`);
    }
  }
}

function closing<Closable extends { close(): unknown }>(it: Closable): Closable {
  cleanUp.push(async () => void (await it.close()));
  return it;
}

function paranoid(handler: PirateHandler, options?: ParanoidPirateWorkerOptions) {
  return closing(new ParanoidPirateWorker(handler, { drainTimeout: 0, ...options }));
}

function simple(handler: PirateHandler, options?: PirateWorkerOptions) {
  return closing(new SimplePirateWorker(handler, { drainTimeout: 0, ...options }));
}

function eventsOf(worker: SimplePirateWorker | ParanoidPirateWorker): PirateWorkerEvent[] {
  const events: PirateWorkerEvent[] = [];
  worker.on('event', (event) => events.push(event));
  return events;
}

/** An argument that the types would refuse. */
const given = (value: unknown) => value as never;

/** A raw queue, and a paranoid worker that is ready. */
async function pair(handler: PirateHandler, options?: ParanoidPirateWorkerOptions) {
  const queue = await RawQueue.bound();
  const worker = paranoid(handler, options);
  const events = eventsOf(worker);
  worker.connect(queue.endpoint);
  await queue.message(1);
  await queue.say(HEARTBEAT);
  await worker.ready();
  return { queue, worker, events };
}

/** A handler that is done when the test says so. */
function gate() {
  const held: { readonly request: HandlerRequest; readonly release: (text: string) => void }[] = [];
  const handler: PirateHandler = (request) =>
    new Promise((release) => held.push({ request, release }));
  const until = (count: number): Promise<unknown> =>
    vi.waitUntil(() => held.length === count, { interval: 1 });
  return { held, handler, until };
}

describe('a paranoid worker', () => {
  test('says READY, beats, and returns the stack of a request with its reply', async () => {
    const { queue } = await pair(upper, { heartbeatInterval: 20, heartbeatLiveness: 100 });
    expect(queue.heard).toEqual([READY]);
    await queue.say('one', 'two', '', 'work');
    expect(await queue.message(2)).toBe('one|two||WORK');
    await queue.say('', 'more');
    expect(await queue.message(3)).toBe('|MORE');
    await queue.say('no', 'envelope');
    expect(await queue.message(4)).toBe('NOENVELOPE');
    await vi.waitUntil(() => queue.beats > 1, { interval: 1 });
  });

  test('counts what runs, one at a time, and what is malformed disturbs nothing', async () => {
    const { held, handler, until } = gate();
    const { queue, worker, events } = await pair(handler);
    await queue.say('tag', '');
    await queue.say('tag', '', 'work');
    await until(1);
    expect(worker.running).toBe(1);
    expect(events.filter(({ type }) => type === 'malformed')).toHaveLength(1);
    held[0]!.release('done');
    expect(await queue.message(2)).toBe('tag||done');
    expect(worker.running).toBe(0);
  });

  test('goes to the next endpoint where nobody answers', async () => {
    const [silent, good] = [await RawQueue.bound(), await RawQueue.bound()];
    const worker = paranoid(upper, { heartbeatInterval: 25, reconnectInterval: 1 });
    worker.connect([silent.endpoint, good.endpoint]);
    expect(await good.message(1)).toBe(READY);
    expect(silent.heard).toEqual([READY]);
  });

  test('says READY to a queue that was restarted, though that knows nothing of it', async () => {
    const { queue, worker } = await pair(upper, { heartbeatInterval: 50, reconnectInterval: 1 });
    const lost = new Promise((resolve) => worker.once('queueLost', resolve));
    const { endpoint } = queue;
    queue.router.close();
    const next = await RawQueue.bound(endpoint);
    expect(await next.message(1)).toBe(READY);
    await next.say('tag', '', 'work');
    expect(await next.message(2)).toBe('tag||WORK');
    expect(await lost).toMatchObject({ endpoint });
  });

  test('whose session is lost tells its handler, and is ready anew only after that', async () => {
    const { held, handler, until } = gate();
    const { queue, worker, events } = await pair(handler, {
      heartbeatInterval: 100,
      reconnectInterval: 1,
    });
    await queue.say('tag', '', 'work');
    await until(1);
    const { signal } = held[0]!.request;
    expect(signal.aborted).toBe(false);
    await vi.waitUntil(() => signal.aborted, { interval: 1 });
    expect(queue.heard).toEqual([READY]);
    held[0]!.release('late');
    expect(await queue.message(2)).toBe(READY);
    expect(queue.workers).toHaveLength(2);
    expect(worker.running).toBe(0);
    const told = events.map(({ type }) => type).filter((type) => /Lost|Dropped/.test(type));
    expect(told).toEqual(['queueLost', 'requestLost', 'replyDropped']);
  });
});

describe('a simple worker', () => {
  test('says and hears what a REQ socket would', async () => {
    const queue = await RawQueue.bound();
    const worker = simple(upper);
    worker.connect(queue.endpoint);
    expect(await queue.message(1)).toBe(`|${READY}`);
    await queue.say('', 'client', '', 'work');
    expect(await queue.message(2)).toBe('|client||WORK');
  });

  test.runIf(hasDisconnectNotices)('says READY when the queue is there again', async () => {
    const queue = await RawQueue.bound();
    const worker = simple(upper, { reconnectInterval: 1 });
    const events = eventsOf(worker);
    const { endpoint } = queue;
    worker.connect(endpoint);
    await queue.message(1);
    queue.router.close();
    const next = await RawQueue.bound(endpoint);
    expect(await next.message(1)).toBe(`|${READY}`);
    expect(events).toContainEqual({ type: 'queueLost', endpoint, reason: 'linkBroken' });
  });
});

describe('a handler', () => {
  test.each([
    [
      'throws',
      () => {
        throw new Error('boom');
      },
      'boom',
    ],
    [
      'rejects',
      async () => {
        throw new Error('later');
      },
      'later',
    ],
    [
      'throws what has no text',
      () => {
        throw Object.create(null);
      },
      'has no text',
    ],
    ['returns what is no body', () => 7 as unknown as string, 'a body is text'],
    ['promises what is no body', async () => ({}) as unknown as string, 'a body is text'],
  ] as [string, PirateHandler, string][])(
    'that %s is a failure',
    async (_name, handler, message) => {
      const { queue } = await pair(handler);
      await queue.say('tag', '', 'work');
      expect(await queue.message(2)).toMatch(new RegExp(`^ERR_HANDLER_FAILED .*${message}`));
      await queue.say('tag', '', 'more');
      await queue.message(3);
    },
  );

  test('that returns nothing has replied with an empty body', async () => {
    const { queue } = await pair(() => undefined);
    await queue.say('tag', '', 'work');
    expect(await queue.message(2)).toBe('tag||');
  });

  test('may close its worker: the reply still leaves', async () => {
    const { queue, worker } = await pair(
      (request) => {
        void worker.close();
        return request.text();
      },
      { drainTimeout: 5000 },
    );
    await queue.say('tag', '', 'work');
    expect(await queue.message(2)).toBe('tag||work');
    await worker.close();
  });
});

describe('close', () => {
  test('lets what runs finish, and its reply leaves', async () => {
    const { held, handler, until } = gate();
    const { queue, worker } = await pair(handler, { drainTimeout: 5000 });
    await queue.say('tag', '', 'work');
    await until(1);
    const closed = worker.close();
    held[0]!.release('done');
    await closed;
    expect(await queue.message(2)).toBe('tag||done');
    expect(held[0]!.request.signal.aborted).toBe(false);
  });

  test('aborts what never returns, and does not wait for it', async () => {
    const { held, handler, until } = gate();
    const { queue, worker, events } = await pair(handler, { drainTimeout: 20 });
    await queue.say('tag', '', 'work');
    await until(1);
    await worker.close();
    expect(held[0]!.request.signal).toMatchObject({
      aborted: true,
      reason: { name: 'AbortError' },
    });
    held[0]!.release('late');
    await worker.close();
    expect(events.filter(({ type }) => type === 'drained')).toHaveLength(1);
    expect(queue.heard).toEqual([READY]);
  });

  test('ends a worker that was never connected', async () => {
    const worker = simple(upper);
    await worker.close();
    expect(() => worker.connect('tcp://127.0.0.1:9')).toThrow(ClosedError);
  });
});

describe('ready', () => {
  test('has a hint where nobody answers, and where nobody was asked', async () => {
    const worker = paranoid(upper);
    await expect(worker.ready()).rejects.toThrow(/call connect/);
    worker.connect('tcp://127.0.0.1:9');
    const error = await failureOf(worker.ready({ timeout: 20 }));
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error.message).toMatch(/no queue answers at tcp:\/\/127\.0\.0\.1:9 .* 6\/PPP/);
  });

  test('ends with the worker', async () => {
    const worker = paranoid(upper);
    worker.connect('tcp://127.0.0.1:9');
    const waiting = failureOf(worker.ready());
    await worker.close();
    expect(await waiting).toBeInstanceOf(ClosedError);
    expect(await failureOf(worker.ready())).toBeInstanceOf(ClosedError);
  });
});

describe('a bad argument is refused by name', () => {
  test.each([
    ['no handler', () => new ParanoidPirateWorker(given('upper')), /handler must be a function/],
    [
      'no handler',
      () => new SimplePirateWorker(given(undefined)),
      /SimplePirateWorker: the handler/,
    ],
    [
      'a heartbeat of a simple worker',
      () => new SimplePirateWorker(upper, given({ heartbeatInterval: 10 })),
      /no option 'heartbeatInterval'/,
    ],
    [
      'a liveness of one',
      () => new ParanoidPirateWorker(upper, { heartbeatLiveness: 1 }),
      /'heartbeatLiveness' must be/,
    ],
    [
      'an interval that is none',
      () => new SimplePirateWorker(upper, { reconnectInterval: NaN }),
      /'reconnectInterval' must be/,
    ],
    ['no endpoint', () => paranoid(upper).connect('nowhere'), /nowhere/],
    ['an endpoint to bind to', () => simple(upper).connect(['tcp://*:5555']), /tcp:\/\/\*:5555/],
  ])('%s', (_name, call, message) => {
    expect(call).toThrow(InvalidArgumentError);
    expect(call).toThrow(message);
  });

  test('a timeout that is none', async () => {
    await expect(paranoid(upper).ready({ timeout: -1 })).rejects.toThrow(/'timeout' must be/);
  });
});

test('a socket that cannot be opened is told, and tried again', async () => {
  const system = systemEnvironment();
  let refused = 2;
  const environment = {
    ...system,
    transport: {
      open: ((kind, handler) => {
        if (refused-- > 0) throw new Error('no socket left');
        return system.transport.open(kind, handler);
      }) satisfies typeof system.transport.open,
    },
  };
  const queue = closing(new ParanoidPirateQueue());
  const endpoint = await queue.bindBackend('tcp://127.0.0.1:*');
  const options = { heartbeatInterval: 20, reconnectInterval: 1, drainTimeout: 0 };
  const worker = closing(new ParanoidPirateWorker(upper, options, environment));
  const events = eventsOf(worker);
  worker.connect(endpoint);
  await worker.ready();
  expect(events.filter(({ type }) => type === 'socketFailed')).toHaveLength(2);
});

describe.each([
  ['simple', () => new SimplePirateQueue({ drainTimeout: 0 }), simple],
  ['paranoid', () => new ParanoidPirateQueue({ drainTimeout: 0 }), paranoid],
] as const)('with our %s queue', (_name, queueOf, workerOf) => {
  async function trio(handler: PirateHandler, options?: PirateWorkerOptions) {
    const queue = closing(queueOf());
    const frontend = await queue.bindFrontend('tcp://127.0.0.1:*');
    const backend = await queue.bindBackend('tcp://127.0.0.1:*');
    const worker = workerOf(handler, options);
    worker.connect(backend);
    const client = closing(new LazyPirateClient({ drainTimeout: 0 }));
    client.connect(frontend);
    return { queue, frontend, backend, worker, client };
  }

  test('requests are answered, and failures reach their clients', async () => {
    const { client } = await trio((request) => {
      if (request.text() === 'bad') throw new Error('no such thing');
      return upper(request);
    });
    expect((await client.request('work')).text()).toBe('WORK');
    const error = await failureOf(client.request('bad'));
    expect(error).toMatchObject({ code: 'ERR_HANDLER_FAILED', message: 'no such thing' });
    expect((await client.request('more')).text()).toBe('MORE');
  });

  test('many requests are answered by many workers, each its own', async () => {
    const { client, backend } = await trio(upper);
    for (let count = 0; count < 3; count++) {
      workerOf(async (request) => request.text().toUpperCase()).connect(backend);
    }
    const texts = Array.from({ length: 300 }, (_, index) => `request ${index}`);
    const replies = await Promise.all(texts.map((text) => client.request(text)));
    expect(replies.map((reply) => reply.text())).toEqual(texts.map((text) => text.toUpperCase()));
  });

  test.runIf(hasDisconnectNotices)('a worker outlives the restart of its queue', async () => {
    const { queue, backend, frontend, client } = await trio(upper, { reconnectInterval: 1 });
    expect((await client.request('before')).text()).toBe('BEFORE');
    await queue.close();
    const next = closing(queueOf());
    await vi.waitFor(() => next.bindBackend(backend), { interval: 10, timeout: 5000 });
    await vi.waitFor(() => next.bindFrontend(frontend), { interval: 10, timeout: 5000 });
    expect((await client.request('after')).text()).toBe('AFTER');
  });

  test.runIf(hasDisconnectNotices)('what a closed worker held goes to another one', async () => {
    const { held, handler, until } = gate();
    const { queue, worker, client, backend } = await trio(handler);
    const reply = client.request('work');
    await until(1);
    const other = workerOf(upper);
    other.connect(backend);
    await vi.waitUntil(() => queue.status().idle === 1, { interval: 1 });
    await worker.close();
    expect((await reply).text()).toBe('WORK');
    held[0]!.release('late');
    expect(queue.status().requests).toMatchObject({ accepted: 1, replied: 1 });
  });
});
