/** What a Lazy Pirate client promises over real sockets, against servers that are raw ROUTERs. */
import { Router } from 'zeromq';
import { describe, expect, test, vi } from 'vitest';
import { encodeFailure } from '../../src/core/error-body.ts';
import {
  ClosedError,
  InvalidArgumentError,
  LazyPirateClient,
  RequestError,
  type LazyPirateClientEvent,
  type LazyPirateClientOptions,
  type PirateRequestOptions,
} from '../../src/pirate/index.ts';
import { cleanUp, failureOf, raw, textOf } from '../transport/peers.ts';

/** A server that keeps what it was asked, and answers when it is told to. */
class Server {
  readonly router = raw(new Router());
  readonly asked: string[] = [];
  readonly #from: Buffer[] = [];

  static async bound(endpoint = 'tcp://127.0.0.1:*'): Promise<Server> {
    const server = new Server();
    await server.router.bind(endpoint);
    void server.#serve();
    return server;
  }

  get endpoint(): string {
    return this.router.lastEndpoint!;
  }

  async answer(index: number, ...body: (string | Uint8Array)[]): Promise<void> {
    await vi.waitUntil(() => index < this.#from.length, { interval: 1 });
    await this.router.send([this.#from[index]!, '', ...body]);
  }

  /** Until the test closes the socket. */
  async #serve(): Promise<void> {
    for await (const [from, ...frames] of this.router) {
      this.#from.push(from!);
      this.asked.push(frames.map(textOf).join('|'));
    }
  }
}

function clientOf(options?: LazyPirateClientOptions): LazyPirateClient {
  const client = new LazyPirateClient({ drainTimeout: 0, ...options });
  cleanUp.push(() => client.close());
  return client;
}

async function pair(options?: LazyPirateClientOptions) {
  const server = await Server.bound();
  const client = clientOf(options);
  client.connect(server.endpoint);
  return { server, client };
}

function eventsOf(client: LazyPirateClient): LazyPirateClientEvent[] {
  const events: LazyPirateClientEvent[] = [];
  client.on('event', (event) => events.push(event));
  return events;
}

describe('a request', () => {
  test('is what a REQ socket would send; its reply is the body behind the empty frame', async () => {
    const { server, client } = await pair();
    const reply = client.request(['two', Uint8Array.of(0x66)]);
    await server.answer(0, 'one', '', 'three');
    expect((await reply).body.map(textOf)).toEqual(['one', '', 'three']);
    expect(server.asked).toEqual(['|two|f']);
    const json = client.request('again');
    await server.answer(1, '{"a":1}');
    expect((await json).json()).toEqual({ a: 1 });
  });

  test('of many at once has its own reply, in whatever order they come', async () => {
    const { server, client } = await pair({ lanes: 8 });
    const replies = Array.from({ length: 8 }, (_, index) => client.request(String(index)));
    await vi.waitUntil(() => server.asked.length === 8, { interval: 1 });
    for (let index = 7; index >= 0; index--) await server.answer(index, server.asked[index]!);
    const texts = (await Promise.all(replies)).map((reply) => reply.text());
    expect(texts).toEqual(['|0', '|1', '|2', '|3', '|4', '|5', '|6', '|7']);
  });

  test('is asked again elsewhere; the late reply of the first server reaches nobody', async () => {
    const [slow, good] = [await Server.bound(), await Server.bound()];
    const client = clientOf({ lanes: 1, backoff: 1 });
    const events = eventsOf(client);
    client.connect([slow.endpoint, good.endpoint]);
    const reply = client.request('work', { attemptTimeout: 500, timeout: 20_000 });
    await good.answer(0, 'good');
    await slow.answer(0, 'late');
    expect((await reply).text()).toBe('good');
    const next = client.request('next');
    await good.answer(1, 'for next');
    expect((await next).text()).toBe('for next');
    expect(events.filter(({ type }) => type !== 'reply')).toEqual([
      { type: 'retry', id: 0, attempt: 2, endpoint: good.endpoint },
    ]);
  });

  test('outlives a server that is replaced', async () => {
    const { server, client } = await pair({ noticeGrace: 10, backoff: 1 });
    const reply = client.request('work', { attemptTimeout: 2000, timeout: 20_000, retries: 9 });
    await vi.waitUntil(() => server.asked.length === 1, { interval: 1 });
    const { endpoint } = server;
    server.router.close();
    const next = await vi.waitFor(() => Server.bound(endpoint), { interval: 10, timeout: 5000 });
    await next.answer(0, 'done');
    expect((await reply).text()).toBe('done');
  });

  test('of somebody who closes is asked elsewhere', async () => {
    const [leaving, good] = [await Server.bound(), await Server.bound()];
    const client = clientOf({ backoff: 1 });
    client.connect([leaving.endpoint, good.endpoint]);
    const reply = client.request('work');
    await leaving.answer(0, ...encodeFailure({ code: 'ERR_SERVER_CLOSING', message: 'bye' }));
    await good.answer(0, 'done');
    expect((await reply).text()).toBe('done');
  });

  test('fails with what the server says', async () => {
    const { server, client } = await pair();
    const reply = client.request('work');
    const failure = failureOf(reply);
    await server.answer(0, ...encodeFailure({ code: 'ERR_QUEUE_FULL', message: 'later' }));
    const error = await failure;
    expect(error).toBeInstanceOf(RequestError);
    expect(error).toMatchObject({ code: 'ERR_QUEUE_FULL', message: 'later', service: '' });
    expect(error.retriable).toBe(true);
  });

  test('that nobody answers says so', async () => {
    const { client } = await pair();
    const error = await failureOf(client.request('work', { timeout: 50, retries: 0 }));
    expect(error.code).toBe('ERR_REQUEST_TIMEOUT');
    expect(error.message).toContain('no reply after 1 try within 50 ms');
  });

  test('too many is refused, not kept', async () => {
    const { client } = await pair({ lanes: 1, queueLimit: 1 });
    const first = failureOf(client.request('sent'));
    const second = failureOf(client.request('waits'));
    expect((await failureOf(client.request('too many'))).code).toBe('ERR_QUEUE_FULL');
    await client.close();
    expect([(await first).code, (await second).code]).toEqual(['ERR_CANCELLED', 'ERR_CANCELLED']);
  });
});

describe('a signal', () => {
  test('cancels what it was given to, with its reason as the cause', async () => {
    const { server, client } = await pair();
    const controller = new AbortController();
    const { signal } = controller;
    const cancelled = [client.request('a', { signal }), client.request('b', { signal })];
    const kept = client.request('c');
    await vi.waitUntil(() => server.asked.length === 3, { interval: 1 });
    const reason = new Error('enough');
    controller.abort(reason);
    for (const promise of cancelled) {
      const error = await failureOf(promise);
      expect(error).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError', cause: reason });
    }
    await server.answer(server.asked.indexOf('|c'), 'done');
    expect((await kept).text()).toBe('done');
  });

  test('that has aborted before sends nothing', async () => {
    const { server, client } = await pair();
    const cancelled = client.request('never', { signal: AbortSignal.abort('no') });
    expect(await failureOf(cancelled)).toMatchObject({ code: 'ERR_CANCELLED', cause: 'no' });
    const reply = client.request('only this');
    await server.answer(0, '');
    await reply;
    expect(server.asked).toEqual(['|only this']);
  });

  test('is let go when the request has ended', async () => {
    const { server, client } = await pair();
    const { signal } = new AbortController();
    const removed = vi.spyOn(signal, 'removeEventListener');
    const reply = client.request('work', { signal });
    await server.answer(0, 'done');
    await reply;
    expect(removed).toHaveBeenCalledOnce();
  });
});

describe('a wrong call', () => {
  test.each<[string, LazyPirateClientOptions]>([
    ['timeout', { timeout: 0 }],
    ['attemptTimeout', { attemptTimeout: -1 }],
    ['retries', { retries: 1.5 }],
    ['backoff', { backoff: Number.NaN }],
    ['backoffLimit', { backoffLimit: 0 }],
    ['noticeGrace', { noticeGrace: -1 }],
    ['lanes', { lanes: 257 }],
    ['queueLimit', { queueLimit: 0 }],
    ['queueBytes', { queueBytes: 0.5 }],
  ])('of the constructor names %s', (name, options) => {
    const create = (): unknown => new LazyPirateClient(options);
    expect(create).toThrow(InvalidArgumentError);
    expect(create).toThrow(`LazyPirateClient: option '${name}'`);
  });

  test.each<[string, PirateRequestOptions]>([
    ['timeout', { timeout: -1 }],
    ['attemptTimeout', { attemptTimeout: Infinity }],
    ['retries', { retries: -1 }],
    ['signal', { signal: {} as AbortSignal }],
  ])('of request names %s', async (name, options) => {
    const { client } = await pair();
    const error = await failureOf(client.request('x', options));
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION' });
    expect(error.message).toContain(`request: option '${name}'`);
  });

  test('names an option that there is not', async () => {
    const { client } = await pair();
    const options = { retires: 3 } as PirateRequestOptions;
    const error = await failureOf(client.request('x', options));
    expect(error).toMatchObject({ code: 'ERR_UNKNOWN_OPTION' });
    expect(error.message).toContain("'retires'");
  });

  test('is a body that is none, an endpoint that is none, and a request before connect', async () => {
    const client = clientOf();
    expect((await failureOf(client.request('x'))).code).toBe('ERR_NOT_CONNECTED');
    expect(() => client.connect('nonsense')).toThrow(InvalidArgumentError);
    client.connect([]);
    expect((await failureOf(client.request('x'))).code).toBe('ERR_NOT_CONNECTED');
    expect((await failureOf(client.request(42 as never))).code).toBe('ERR_INVALID_BODY');
  });
});

describe('closing', () => {
  test('waits for what is outstanding', async () => {
    const { server, client } = await pair({ drainTimeout: 20_000 });
    const reply = client.request('work');
    await vi.waitUntil(() => server.asked.length === 1, { interval: 1 });
    const closed = client.close();
    await server.answer(0, 'done');
    expect((await reply).text()).toBe('done');
    await closed;
  });

  test('cancels the rest, and settles each promise once', async () => {
    const { client } = await pair({ lanes: 1 });
    const failures = [client.request('sent'), client.request('waits')].map(failureOf);
    await Promise.all([client.close(), client.close()]);
    const codes = (await Promise.all(failures)).map(({ code }) => code);
    expect(codes).toEqual(['ERR_CANCELLED', 'ERR_CANCELLED']);
  });

  test('is the end', async () => {
    const { server, client } = await pair();
    await client[Symbol.asyncDispose]();
    expect(await failureOf(client.request('x'))).toBeInstanceOf(ClosedError);
    expect(() => client.connect(server.endpoint)).toThrow(ClosedError);
  });

  test('of one that never connected is at once', async () => {
    await expect(clientOf({ drainTimeout: 60_000 }).close()).resolves.toBeUndefined();
  });
});

test('what nobody asked for and what nobody understands is told, and harms nobody', async () => {
  const { server, client } = await pair();
  const events = eventsOf(client);
  const first = client.request('work');
  await vi.waitUntil(() => server.asked.length === 1, { interval: 1 });
  await server.answer(0);
  await server.answer(0, 'done');
  await server.answer(0, 'twice');
  expect((await first).text()).toBe('done');
  await vi.waitUntil(() => events.some(({ type }) => type === 'replyRefused'), { interval: 1 });
  const next = client.request('next');
  await server.answer(1, 'for next');
  expect((await next).text()).toBe('for next');
  expect(events.map(({ type }) => type)).toEqual(['malformed', 'reply', 'replyRefused', 'reply']);
});
