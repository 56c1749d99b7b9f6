/** What a handler has in its hands, over express and over stock MDP, with real sockets. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  type ClientOptions,
  type WorkerEvent,
  type WorkerHandler,
  type WorkerOptions,
  type WorkerRequest,
} from '../../src/index.ts';

const open: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((it) => it.close()));
});

function closing<Closable extends { close(): unknown }>(it: Closable): Closable {
  open.push(it);
  return it;
}

interface Settings {
  readonly worker?: WorkerOptions;
  readonly client?: ClientOptions;
}

/** A broker, a worker for `service` with this handler, and a client, all of express. */
async function trio(handler: WorkerHandler, settings: Settings = {}) {
  const broker = closing(new MajordomoBroker());
  const endpoint = await broker.bind('tcp://127.0.0.1:*');
  const options = { drainTimeout: 0, ...settings.worker };
  const worker = closing(new MajordomoWorker('service', handler, options));
  worker.connect(endpoint);
  await worker.ready();
  const client = closing(new MajordomoClient({ drainTimeout: 0, ...settings.client }));
  client.connect(endpoint);
  await client.ready();
  return { broker, endpoint, worker, client };
}

/** Resolves when the signal aborts, with its reason. */
function aborted({ signal }: WorkerRequest): Promise<unknown> {
  return new Promise((resolve) =>
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true }),
  );
}

function sum(request: WorkerRequest): unknown {
  const { numbers } = request.value<{ numbers: Float64Array }>();
  return { sum: numbers.reduce((one, other) => one + other, 0) };
}

describe('a request', () => {
  test('has its attempt, key, headers and the time that is left', async () => {
    let seen: WorkerRequest | undefined;
    const { client } = await trio((request) => {
      seen = request;
    });
    const headers = { traceparent: '00-ab', 'x-ü': '🚢' };
    await client.request('service', '', { idempotencyKey: 'order 7' });
    expect(seen).toMatchObject({ attempt: 1, idempotencyKey: 'order 7', timeLeft: Infinity });
    await client.request('service', '', { headers, timeout: 5000 });
    expect(seen).toMatchObject({ attempt: 1, idempotencyKey: undefined, headers });
    expect(Object.isFrozen(seen!.headers)).toBe(true);
    expect(seen!.timeLeft).toBeGreaterThan(3000);
    expect(seen!.timeLeft).toBeLessThanOrEqual(5000);
  });

  test('of a stock client has none of these', async () => {
    let seen: WorkerRequest | undefined;
    const { client } = await trio(
      (request) => {
        seen = request;
      },
      { client: { protocol: 'mdp0.1' } },
    );
    await client.request('service', '');
    expect(seen).toMatchObject({ attempt: 1, idempotencyKey: undefined, headers: {} });
    // As long as the broker lets it live.
    expect(seen!.timeLeft).toBeGreaterThan(200_000);
  });

  test('aborts when its client cancels, within a moment', async () => {
    const reasons: unknown[] = [];
    const { client, worker } = await trio(async (request) => {
      reasons.push(await aborted(request));
    });
    const abort = new AbortController();
    const reply = client.request('service', '', { signal: abort.signal });
    await vi.waitUntil(() => worker.running === 1, { interval: 1 });
    abort.abort();
    await expect(reply).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    await vi.waitUntil(() => worker.running === 0, { timeout: 500, interval: 1 });
    expect(reasons).toMatchObject([{ name: 'AbortError' }]);
  });

  test('aborts when its time is over', async () => {
    const events: WorkerEvent[] = [];
    const { client, worker } = await trio(async (request) => {
      // The worker's own clock says so, unless the client's cancel comes first.
      expect(await aborted(request)).toHaveProperty('name', expect.stringMatching(/Timeout|Abort/));
      return 'too late';
    });
    worker.on('requestCancelled', (event) => events.push(event));
    await expect(client.request('service', '', { timeout: 60 })).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_REQUEST_(?:TIMEOUT|EXPIRED)/),
    });
    await vi.waitUntil(() => worker.running === 0, { timeout: 500, interval: 1 });
    expect(events).toHaveLength(1);
  });

  test('whose signal is first looked at when all is over finds it aborted', async () => {
    const seen: boolean[] = [];
    const { client, worker } = await trio(async (request) => {
      await new Promise((resolve) => worker.once('requestCancelled', resolve));
      seen.push(request.signal.aborted);
    });
    const reply = client.request('service', '', { signal: AbortSignal.timeout(50) });
    await expect(reply).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    await vi.waitUntil(() => worker.running === 0, { timeout: 500, interval: 1 });
    expect(seen).toEqual([true]);
  });
});

describe('write', () => {
  test('waits for a slow reader', async () => {
    let written = 0;
    const part = 'x'.repeat(10_000);
    const { client } = await trio(
      async (request) => {
        while (written < 50) {
          await request.write(part);
          written++;
        }
      },
      { client: { streamWindow: 30_000 } },
    );
    let read = 0;
    for await (const { body } of client.stream('service', '')) {
      if (body[0]!.length === 0) continue;
      read++;
      expect(written).toBeLessThan(read + 12);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(read).toBe(50);
  });

  test('that nobody awaits is bounded', async () => {
    const { client } = await trio(
      async (request) => {
        for (let count = 0; count < 100; count++) void request.write('x'.repeat(1000));
      },
      { worker: { replyBufferBytes: 20_000 }, client: { streamWindow: 2000 } },
    );
    const read = async (): Promise<void> => {
      for await (const part of client.stream('service', '')) {
        expect(part.body).toHaveLength(1);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await expect(read()).rejects.toMatchObject({ code: 'ERR_STREAM_OVERFLOW' });
  });

  test('resolves, even where it leads nowhere any more', async () => {
    let ended = false;
    const { client, worker } = await trio(
      async (request) => {
        for (let count = 0; count < 100; count++) await request.write('x'.repeat(10_000));
        ended = true;
      },
      { client: { streamWindow: 1000 } },
    );
    for await (const part of client.stream('service', '')) {
      expect(part.body).toHaveLength(1);
      break;
    }
    await vi.waitUntil(() => worker.running === 0, { timeout: 1000, interval: 1 });
    expect(ended).toBe(true);
  });

  test('resolves when the handler has returned, and when its worker was closed', async () => {
    const late: WorkerRequest[] = [];
    const { client, worker } = await trio(async (request) => {
      await aborted(request);
      await worker.close();
      await request.write('nobody reads this');
      late.push(request);
    });
    void client.request('service', '').catch(() => undefined);
    await vi.waitUntil(() => worker.running === 1);
    await worker.close();
    await vi.waitUntil(() => late.length === 1);
    await expect(late[0]!.write('nor this')).resolves.toBeUndefined();
  });

  test.each(['mdp0.1', 'mdp0.2'] as const)('resolves at once over %s', async (protocol) => {
    const { client } = await trio(
      async (request) => {
        await request.write('a');
        await request.write('b');
        return 'c';
      },
      { worker: { protocol } },
    );
    expect((await client.request('service', '')).text()).toBe('abc');
  });
});

describe('a handler', () => {
  test('may return a promise or not, and each runs among the others', async () => {
    const waiting: (() => void)[] = [];
    const { client, worker } = await trio(
      (request) => {
        expect(worker.running).toBeGreaterThan(0);
        if (request.text() === 'now') return 'at once';
        return new Promise((resolve) => waiting.push(() => resolve('later')));
      },
      { worker: { concurrency: 3 } },
    );
    const later = [client.request('service', 'wait'), client.request('service', 'wait')];
    expect((await client.request('service', 'now')).text()).toBe('at once');
    await vi.waitUntil(() => waiting.length === 2, { interval: 1 });
    expect(worker.running).toBe(2);
    for (const release of waiting) release();
    for (const reply of later) expect((await reply).text()).toBe('later');
    expect(worker.running).toBe(0);
  });

  test.each(['json', 'msgpack'] as const)('has values instead of bytes with %s', async (codec) => {
    const broker = closing(new MajordomoBroker());
    const endpoint = await broker.bind('tcp://127.0.0.1:*');
    const worker = closing(new MajordomoWorker('sum', sum, { codec }));
    worker.connect(endpoint);
    const client = closing(new MajordomoClient({ codecs: { sum: codec } }));
    client.connect(endpoint);
    const reply = await client.request('sum', { numbers: Float64Array.of(1, 2, 3.5) });
    expect(reply.value()).toEqual({ sum: 6.5 });
  });

  test('that returns what its codec cannot write gives an error', async () => {
    const { broker, client } = await trio(() => '');
    const worker = closing(new MajordomoWorker('broken', () => 1n, { codec: 'json' }));
    worker.connect(broker.endpoint!);
    await expect(client.request('broken', '')).rejects.toMatchObject({
      code: 'ERR_HANDLER_FAILED',
    });
  });
});

describe('closing', () => {
  test('hands back what was on its way: that costs no attempt, and nobody has to ask twice', async () => {
    const attempts = new Set<number>();
    const echo = (request: WorkerRequest) => {
      attempts.add(request.attempt);
      return request.body;
    };
    const { broker, endpoint, client, worker } = await trio(echo);
    const another = closing(new MajordomoWorker('service', echo));
    another.connect(endpoint);
    await another.ready();
    const replies = Array.from({ length: 500 }, (_, number) =>
      client.request('service', String(number), { retries: 0 }),
    );
    await worker.close();
    const texts = (await Promise.all(replies)).map((reply) => reply.text());
    expect(texts).toEqual(Array.from({ length: 500 }, (_, number) => String(number)));
    expect([...attempts]).toEqual([1]);
    expect(broker.status().requests).toMatchObject({ accepted: 500, replied: 500 });
  });
});
