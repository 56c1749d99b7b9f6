/** What the client promises over real sockets and express: maps, broadcasts, codecs, streams, keys. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  InvalidArgumentError,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  RequestError,
  type ClientOptions,
  type Reply,
  type WorkerHandler,
  type WorkerOptions,
  type WorkerRequest,
} from '../../src/index.ts';
import { signal } from '../../src/transport/closing.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((it) => it.close()));
});

function closing<Closable extends { close(): Promise<void> }>(it: Closable): Closable {
  open.push(it);
  return it;
}

async function broker(): Promise<string> {
  return await closing(new MajordomoBroker()).bind('tcp://127.0.0.1:*');
}

/** At an endpoint that another has just left. */
async function newBroker(endpoint: string): Promise<void> {
  const next = closing(new MajordomoBroker());
  await expect.poll(() => next.bind(endpoint).catch(() => undefined)).toBe(endpoint);
}

async function serve(
  endpoint: string,
  handler: (request: WorkerRequest) => unknown,
  { codec = 'bytes', ...options }: WorkerOptions = {},
): Promise<MajordomoWorker> {
  const settings = { drainTimeout: 0, codec, ...options };
  const worker = closing(new MajordomoWorker('x', handler, settings));
  worker.connect(endpoint);
  await worker.ready();
  return worker;
}

function clientAt(endpoint: string, options?: ClientOptions): MajordomoClient {
  const client = closing(new MajordomoClient({ drainTimeout: 0, ...options }));
  client.connect(endpoint);
  return client;
}

/** A client with a session, and a worker that runs `handler` 100 at a time. */
async function pair(handler: WorkerHandler, options?: ClientOptions): Promise<MajordomoClient> {
  const endpoint = await broker();
  await serve(endpoint, handler, { concurrency: 100 });
  return clientAt(endpoint, options);
}

const texts = async (replies: AsyncIterable<Reply>): Promise<string[]> => {
  const all: string[] = [];
  for await (const reply of replies) all.push(reply.text());
  return all;
};

/** An endless input that says how far it was read, and whether it was closed. */
function counter(): { input: Iterable<string>; read: () => number; isClosed: () => boolean } {
  let read = 0;
  let closed = false;
  function* numbers(): Generator<string> {
    try {
      for (;;) yield String(read++);
    } finally {
      closed = true;
    }
  }
  return { input: numbers(), read: () => read, isClosed: () => closed };
}

async function* twoInputs(): AsyncGenerator<string | Uint8Array> {
  yield 'one';
  yield new Uint8Array([0x32]);
}

async function* oneAndNoMore(): AsyncGenerator<string> {
  yield 'first';
  await new Promise(() => {});
}

function* brokenInput(): Generator<string> {
  yield 'one';
  throw new Error('broken input');
}

/** A handler that holds each request back until it is let go by its text. */
function gates(): { handler: WorkerHandler; letGo: (text: string) => void; held: () => number } {
  const waiting = new Map<string, () => void>();
  let held = 0;
  const gateOf = (text: string) => new Promise<void>((go) => waiting.set(text, go));
  return {
    handler: async (request) => {
      held++;
      await gateOf(request.text());
      held--;
      return request.text();
    },
    letGo: (text) => waiting.get(text)?.(),
    held: () => held,
  };
}

describe('map', () => {
  test('gives the results in the order of the inputs, whatever comes first', async () => {
    const { handler, letGo, held } = gates();
    const client = await pair(handler);
    const all = texts(client.map('x', ['a', 'b', 'c'], { concurrency: 3 }));
    await expect.poll(held).toBe(3);
    for (const text of ['c', 'b', 'a']) letGo(text);
    expect(await all).toEqual(['a', 'b', 'c']);
  });

  test('or as they come', async () => {
    const { handler, letGo, held } = gates();
    const client = await pair(handler);
    const results = client.map('x', ['a', 'b'], { ordered: false });
    const first = results.next();
    await expect.poll(held).toBe(2);
    letGo('b');
    expect((await first).value?.text()).toBe('b');
    letGo('a');
    expect(await texts(results)).toEqual(['a']);
  });

  test('takes async inputs, an empty one, and bodies of bytes', async () => {
    const client = await pair((request) => request.body);
    expect(await texts(client.map('x', twoInputs()))).toEqual(['one', '2']);
    expect(await texts(client.map('x', []))).toEqual([]);
  });

  test('reads no further than its concurrency, however slow the reader is', async () => {
    const client = await pair((request) => request.body);
    const { input, read, isClosed } = counter();
    let taken = 0;
    for await (const reply of client.map('x', input, { concurrency: 4 })) {
      expect(reply.text()).toBe(String(taken));
      taken++;
      expect(read()).toBeLessThanOrEqual(taken + 4);
      if (taken === 50) break;
    }
    expect(isClosed()).toBe(true);
    expect(read()).toBeLessThanOrEqual(54);
  });

  test('ends with the first failure: what is under way is cancelled, the input closed', async () => {
    const { handler, held } = gates();
    const aborted = signal();
    const client = await pair((request) => {
      if (request.text() === '2') throw new Error('no twos');
      request.signal.addEventListener('abort', aborted.fire);
      return handler(request);
    });
    const { input, isClosed } = counter();
    const failure = texts(client.map('x', input, { concurrency: 3 }));
    await expect(failure).rejects.toMatchObject({ code: 'ERR_HANDLER_FAILED', message: 'no twos' });
    expect(isClosed()).toBe(true);
    await aborted.promise;
    expect(held()).toBe(2);
  });

  test('or gives failures as values, and goes on', async () => {
    const client = await pair((request) => {
      if (request.text() === '1') throw new Error('no ones');
      return request.body;
    });
    const results: string[] = [];
    for await (const result of client.map('x', ['0', '1', '2'], { failures: 'yield' })) {
      results.push(result instanceof RequestError ? result.code : result.text());
    }
    expect(results).toEqual(['0', 'ERR_HANDLER_FAILED', '2']);
  });

  test('left while an input is awaited does not wait for it', async () => {
    const client = await pair((request) => request.body);
    for await (const reply of client.map('x', oneAndNoMore())) {
      expect(reply.text()).toBe('first');
      break;
    }
  });

  test('fails as its input does, and for a body that is none', async () => {
    const client = await pair((request) => request.body);
    await expect(texts(client.map('x', brokenInput()))).rejects.toThrow('broken input');
    await expect(texts(client.map('x', [{}]))).rejects.toThrow(InvalidArgumentError);
  });
});

describe('broadcast', () => {
  test('has one entry for each worker', async () => {
    const endpoint = await broker();
    await serve(endpoint, () => 'one');
    await serve(endpoint, () => {
      throw new Error('two fails');
    });
    const client = clientAt(endpoint);
    const entries = await client.broadcast('x', 'who is there?');
    const shown = entries.map(({ reply, error }) => reply?.text() ?? error?.message);
    expect(new Set(shown)).toEqual(new Set(['one', 'two fails']));
    expect(shown).toHaveLength(2);
  });
});

describe('a broker that is replaced', () => {
  test('loses nothing: what it refused or lost is asked of the next one', async () => {
    const first = closing(new MajordomoBroker());
    const endpoint = await first.bind('tcp://127.0.0.1:*');
    await serve(endpoint, (request) => request.body, { concurrency: 10 });
    const client = clientAt(endpoint);
    const ready: unknown[] = [];
    client.on('ready', (event) => ready.push(event));
    let asked = 0;
    const inputs = function* (): Generator<string> {
      while (ready.length < 2 || asked % 500 !== 0) yield String(asked++);
    };
    let answered = 0;
    for await (const reply of client.map('x', inputs(), { concurrency: 50 })) {
      expect(reply.text()).toBe(String(answered++));
      if (answered === 300) void first.close().then(() => newBroker(endpoint));
    }
    expect(answered).toBe(asked);
  });
});

describe('over a plain broker', () => {
  test.each([{ idempotencyKey: 'k' }, { failFast: true }])(
    '%o is not supported',
    async (option) => {
      const client = clientAt(await broker(), { protocol: 'mdp0.2' });
      const refused = client.request('x', '', option);
      await expect(refused).rejects.toMatchObject({ code: 'ERR_NOT_SUPPORTED', retriable: false });
      await expect(client.broadcast('x', '')).rejects.toMatchObject({ code: 'ERR_NOT_SUPPORTED' });
    },
  );
});

describe('options of a request', () => {
  test('reach the handler: headers and key', async () => {
    const client = await pair(({ headers, idempotencyKey }) =>
      JSON.stringify({ headers, idempotencyKey }),
    );
    const reply = await client.request('x', '', { headers: { trace: 'ä' }, idempotencyKey: 'k' });
    expect(reply.json()).toEqual({ headers: { trace: 'ä' }, idempotencyKey: 'k' });
  });

  test('a key runs once', async () => {
    let runs = 0;
    const client = await pair(() => String(++runs));
    const ask = () => client.request('x', '', { idempotencyKey: 'order 7' });
    const replies = await Promise.all([ask(), ask()]);
    replies.push(await ask());
    expect(replies.map((reply) => reply.text())).toEqual(['1', '1', '1']);
    expect((await client.request('x', '')).text()).toBe('2');
  });

  test('failFast: nobody is there', async () => {
    const client = clientAt(await broker());
    const refused = client.request('nobody', '', { failFast: true });
    await expect(refused).rejects.toMatchObject({ code: 'ERR_NO_SERVICE', retriable: true });
  });

  test('a signal aborts the handler', async () => {
    const [started, aborted] = [signal(), signal()];
    const client = await pair(async (request) => {
      request.signal.addEventListener('abort', aborted.fire);
      started.fire();
      await aborted.promise;
    });
    const controller = new AbortController();
    const cancelled = client.request('x', '', { signal: controller.signal });
    await started.promise;
    controller.abort(new Error('enough'));
    await expect(cancelled).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    await aborted.promise;
  });
});

describe('a stream', () => {
  test('that is read slowly holds its worker back, not the broker', async () => {
    const [size, parts] = [10_000, 100];
    let written = 0;
    const client = await pair(
      async (request) => {
        for (let part = 0; part < parts; part++) {
          await request.write(new Uint8Array(size));
          written++;
        }
      },
      { streamWindow: 50_000 },
    );
    let read = 0;
    for await (const part of client.stream('x', '')) {
      read += part.bytes().byteLength;
      expect(written * size).toBeLessThanOrEqual(read + 200_000);
    }
    expect(read).toBe(size * parts);
  });

  test('has no idempotency key', async () => {
    const client = await pair(() => '');
    const refused = client.stream('x', '', { idempotencyKey: 'k' }).next();
    await expect(refused).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' });
  });
});

describe('codecs', () => {
  const samples = Float64Array.from({ length: 200_000 }, (_, index) => index / 3);
  const value = { samples, name: 'sensor', list: [1, { deep: null }] };

  test.each([
    ['auto', 'msgpack'],
    ['auto', 'json'],
    ['mdp0.1', 'msgpack'],
    ['mdp0.2', 'json'],
  ] as const)('over %s: %s, with a typed array in a frame of its own', async (protocol, codec) => {
    const endpoint = await broker();
    const frames: number[] = [];
    await serve(
      endpoint,
      (request) => {
        frames.push(request.body.length);
        return request.value();
      },
      { codec },
    );
    const client = clientAt(endpoint, { protocol, codecs: { x: codec } });
    const reply = await client.request('x', value);
    expect(reply.value()).toEqual(value);
    expect(frames).toEqual([2]);
    expect(reply.body).toHaveLength(2);
    const results = client.map('x', [{ index: 0 }, { index: 1 }]);
    const values: unknown[] = [];
    for await (const each of results) values.push(each.value());
    expect(values).toEqual([{ index: 0 }, { index: 1 }]);
  });

  test('of one request', async () => {
    const client = await pair((request) => JSON.stringify(request.json()));
    const reply = await client.request('x', { a: 1 }, { codec: 'json' });
    expect(reply.value()).toEqual({ a: 1 });
    await expect(client.request('x', { a: 1 })).rejects.toMatchObject({ code: 'ERR_INVALID_BODY' });
  });
});
