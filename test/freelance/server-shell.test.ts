/** The Freelance server on real sockets. Raw DEALERs and ROUTERs of zeromq.js are its clients. */
import { Dealer, Router } from 'zeromq';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { decodeFailure } from '../../src/core/error-body.ts';
import type { HandlerRequest } from '../../src/freelance/index.ts';
import {
  FreelanceServer,
  type FreelanceHandler,
  type FreelanceServerEvent,
  type FreelanceServerOptions,
} from '../../src/freelance/index.ts';

const open: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((it) => it.close()));
});

function closing<Closable extends { close(): unknown }>(it: Closable): Closable {
  open.push(it);
  return it;
}

const upper: FreelanceHandler = (request) => request.text().toUpperCase();

/** A server that is bound, and all it has told. */
async function serving(handler: FreelanceHandler, options?: FreelanceServerOptions) {
  const server = closing(new FreelanceServer(handler, { drainTimeout: 0, ...options }));
  const endpoint = await server.bind('tcp://127.0.0.1:*');
  const events: FreelanceServerEvent[] = [];
  server.on('event', (event) => events.push(event));
  return { server, endpoint, events };
}

function dealer(endpoint: string): Dealer {
  const socket = closing(new Dealer());
  socket.linger = 0;
  socket.receiveTimeout = 5000;
  socket.connect(endpoint);
  return socket;
}

/** As 10/FLP has it: it calls the server by the endpoint that it connects to. */
async function ask(client: Router, name: string, ...frames: string[]): Promise<string[]> {
  await vi.waitFor(() => client.send([name, ...frames]), { interval: 1 });
  return (await client.receive()).map(String);
}

function router(): Router {
  const socket = closing(new Router());
  socket.linger = 0;
  socket.mandatory = true;
  socket.receiveTimeout = 5000;
  return socket;
}

/** What comes back: `control body`, a failure by its code and message. */
async function hear(socket: Dealer): Promise<string> {
  const [control, ...body] = await socket.receive();
  const failure = decodeFailure(body);
  const text = failure === undefined ? body.join('|') : `${failure.code} ${failure.message}`;
  return body.length === 0 ? String(control) : `${String(control)} ${text}`;
}

/** A handler that is done when the test says so. */
function gate() {
  const held: { readonly request: HandlerRequest; readonly release: (text: string) => void }[] = [];
  const handler: FreelanceHandler = (request) =>
    new Promise((release) => held.push({ request, release }));
  const until = (count: number): Promise<unknown> =>
    vi.waitUntil(() => held.length >= count, { interval: 1, timeout: 5000 });
  return { held, handler, until };
}

describe('a raw DEALER', () => {
  test('gets a pong for its ping', async () => {
    const { endpoint, events } = await serving(upper);
    const client = dealer(endpoint);
    await client.send('PING');
    expect((await client.receive()).map(String)).toEqual(['PONG']);
    expect(events).toEqual([]);
  });

  test('gets the reply with its control frame untouched, whatever that is', async () => {
    const { endpoint } = await serving((request) => request.body.toReversed());
    const client = dealer(endpoint);
    for (const control of ['', 'PING', '\0\u00ff7', 'x'.repeat(300)]) {
      await client.send([control, 'one', '', 'three']);
      expect((await client.receive()).map(String)).toEqual([control, 'three', '', 'one']);
    }
  });

  test('is told how a handler failed, in whatever way', async () => {
    const failures: Record<string, FreelanceHandler> = {
      throws: () => {
        throw new Error('thrown');
      },
      rejects: () => Promise.reject(new Error('rejected')),
      throwsText: () => {
        throw 'text';
      },
      // @ts-expect-error: what JavaScript may return all the same
      returnsNumber: () => 7,
      nothing: () => undefined,
    };
    const { server, endpoint } = await serving((request) => failures[request.text()]!(request));
    const client = dealer(endpoint);
    const heard: string[] = [];
    for (const name of Object.keys(failures)) {
      await client.send([name, name]);
      heard.push(await hear(client));
    }
    expect(heard).toEqual([
      'throws ERR_HANDLER_FAILED thrown',
      'rejects ERR_HANDLER_FAILED rejected',
      'throwsText ERR_HANDLER_FAILED text',
      expect.stringContaining('returnsNumber ERR_HANDLER_FAILED a body is text'),
      'nothing ',
    ]);
    expect(server.status().requests).toMatchObject({ accepted: 5, replied: 1, failed: 4 });
  });

  test('that says something else is not answered, and disturbs nobody', async () => {
    const { server, endpoint } = await serving(upper);
    const client = dealer(endpoint);
    await client.send('PONG');
    await client.send(Array.from({ length: 5000 }, () => 'x'));
    await client.send(['1', 'hello']);
    expect(await hear(client)).toBe('1 HELLO');
    expect(server.status().events).toMatchObject({ malformed: 2, request: 1 });
  });

  test('that leaves has its handlers aborted and its waiting requests dropped', async () => {
    const { held, handler, until } = gate();
    const { server, endpoint, events } = await serving(handler, { concurrency: 1 });
    const client = dealer(endpoint);
    await client.send(['1', 'runs']);
    await client.send(['2', 'waits']);
    await until(1);
    await vi.waitUntil(() => server.status().queued === 1, { interval: 1 });
    const { signal } = held[0]!.request;
    expect(signal.aborted).toBe(false);
    client.close();
    await vi.waitUntil(() => signal.aborted, { interval: 1, timeout: 5000 });
    expect(server.status()).toMatchObject({ running: 1, inFlight: 0, queued: 0 });
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'clientGone', queued: 1, inFlight: 1 }),
    );
    held[0]!.release('in vain');
    await vi.waitUntil(() => server.running === 0, { interval: 1 });
    expect(server.status().events).toMatchObject({ replyDropped: 1, request: 1 });
  });
});

describe('a raw ROUTER', () => {
  test('calls servers by their endpoints, each of several', async () => {
    const { server, endpoint: first } = await serving(upper);
    const second = await server.bind('tcp://localhost:*');
    const { endpoint: third } = await serving((request) => `third ${request.text()}`);
    expect(server.endpoints).toEqual([first, second]);
    expect(server.endpoint).toBe(first);
    const client = router();
    for (const endpoint of [first, second, third]) client.connect(endpoint);
    expect(await ask(client, first, 'PING')).toEqual([first, 'PONG']);
    expect(await ask(client, second, '1', 'hello')).toEqual([second, '1', 'HELLO']);
    expect(await ask(client, third, '2', 'hello')).toEqual([third, '2', 'third hello']);
  });

  test('calls it by its public endpoint, where it has one', async () => {
    const publicEndpoint = 'tcp://public.example:5555';
    const server = closing(new FreelanceServer(upper, { publicEndpoint }));
    const bound = await server.bind('tcp://*:*');
    expect(bound).toMatch(/^tcp:\/\/0\.0\.0\.0:\d+$/);
    const client = router();
    client.connect(bound.replace('0.0.0.0', '127.0.0.1'));
    expect(await ask(client, publicEndpoint, '1', 'hello')).toEqual([publicEndpoint, '1', 'HELLO']);
  });
});

describe('more requests than handlers', () => {
  test('wait, run as soon as one is done, and are refused beyond the bound', async () => {
    const { held, handler, until } = gate();
    const options = { concurrency: 2, queueLimit: 2 };
    const { server, endpoint } = await serving(handler, options);
    const client = dealer(endpoint);
    for (const number of ['1', '2', '3', '4', '5']) await client.send([number, 'x']);
    expect(await hear(client)).toMatch(/^5 ERR_QUEUE_FULL /);
    await until(2);
    expect(held).toHaveLength(2);
    expect(server.running).toBe(2);
    expect(server.status()).toMatchObject({ running: 2, queued: 2 });
    await client.send('PING');
    expect(await hear(client)).toBe('PONG');
    held[1]!.release('b');
    await until(3);
    held[2]!.release('c');
    await until(4);
    held[0]!.release('a');
    held[3]!.release('d');
    const heard = [await hear(client), await hear(client), await hear(client), await hear(client)];
    expect(heard).toEqual(['2 b', '3 c', '1 a', '4 d']);
  });

  test('of handlers that return at once never wait', async () => {
    const { server, endpoint } = await serving(upper, { concurrency: 1, queueLimit: 1 });
    const client = dealer(endpoint);
    const numbers = Array.from({ length: 500 }, (_, number) => String(number));
    await Promise.all(numbers.map((number) => client.send([number, 'x'])));
    for (const number of numbers) expect(await hear(client)).toBe(`${number} X`);
    expect(server.status().requests).toMatchObject({ accepted: 500, replied: 500 });
  });
});

describe('closing', () => {
  test('lets what runs finish, and sends what waits and what comes elsewhere', async () => {
    const { held, handler, until } = gate();
    const { server, endpoint } = await serving(handler, { concurrency: 1, drainTimeout: 10_000 });
    const client = dealer(endpoint);
    await client.send(['1', 'runs']);
    await client.send(['2', 'waits']);
    await until(1);
    await vi.waitUntil(() => server.status().queued === 1, { interval: 1 });
    const closed = server.close();
    expect(await hear(client)).toMatch(/^2 ERR_SERVER_CLOSING /);
    await client.send(['3', 'comes']);
    expect(await hear(client)).toMatch(/^3 ERR_SERVER_CLOSING /);
    await client.send('PING');
    expect(await hear(client)).toBe('PONG');
    held[0]!.release('done');
    expect(await hear(client)).toBe('1 done');
    await closed;
    expect(server.running).toBe(0);
  });

  test('aborts what runs longer than the drain may take, and tells its client', async () => {
    const { held, handler, until } = gate();
    const { server, endpoint } = await serving(handler, { drainTimeout: 20 });
    const client = dealer(endpoint);
    await client.send(['1', 'runs']);
    await until(1);
    const closed = server.close();
    expect(await hear(client)).toMatch(/^1 ERR_SERVER_CLOSING /);
    await closed;
    expect(held[0]!.request.signal.aborted).toBe(true);
    held[0]!.release('in vain');
    await vi.waitUntil(() => server.running === 0, { interval: 1 });
    expect(server.status().requests).toMatchObject({ accepted: 1, failed: 1, replied: 0 });
  });

  test('twice is closing once, unbound or not; afterwards it binds no more', async () => {
    const { server, endpoint } = await serving(upper);
    expect(server.close()).toBe(server.close());
    await server.close();
    await expect(server.bind('tcp://127.0.0.1:*')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await new FreelanceServer(upper)[Symbol.asyncDispose]();
    const heir = closing(new FreelanceServer(upper));
    await vi.waitFor(() => heir.bind(endpoint), { interval: 5 });
    expect(heir.endpoint).toBe(endpoint);
  });
});

describe('what is wrong', () => {
  test.each([
    ['a handler', () => new FreelanceServer('text' as never), 'ERR_INVALID_ARGUMENT', /handler/],
    [
      'an option',
      () => new FreelanceServer(upper, { nope: 1 } as never),
      'ERR_UNKNOWN_OPTION',
      /nope/,
    ],
    [
      'concurrency',
      () => new FreelanceServer(upper, { concurrency: 0 }),
      'ERR_INVALID_OPTION',
      /'concurrency'/,
    ],
    [
      'queueLimit',
      () => new FreelanceServer(upper, { queueLimit: 0.5 }),
      'ERR_INVALID_OPTION',
      /'queueLimit'/,
    ],
    [
      'queueBytes',
      () => new FreelanceServer(upper, { queueBytes: -1 }),
      'ERR_INVALID_OPTION',
      /'queueBytes'/,
    ],
    ...['', 'localhost:5555', 'tcp://*:5555', 'tcp://host:*', '\0', `ipc://${'x'.repeat(256)}`].map(
      (publicEndpoint) =>
        [
          `publicEndpoint ${publicEndpoint}`,
          () => new FreelanceServer(upper, { publicEndpoint }),
          'ERR_INVALID_OPTION',
          /'publicEndpoint'/,
        ] as const,
    ),
  ] as const)('with %s is refused by name', (_what, create, code, words) => {
    expect(create).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(words) }),
    );
  });

  test.each(['tcp://*:5555', 'tcp://0.0.0.0:*', 'tcp://[::]:5555', 'ws://*:*/path'])(
    'with binding %s, which nobody can connect to, is refused by name',
    async (endpoint) => {
      const server = closing(new FreelanceServer(upper));
      await expect(server.bind(endpoint)).rejects.toMatchObject({
        code: 'ERR_INVALID_OPTION',
        message: expect.stringContaining("'publicEndpoint'"),
      });
      expect(server.endpoint).toBeUndefined();
    },
  );

  test('with an endpoint is refused, and one in use is told', async () => {
    const { server, endpoint } = await serving(upper);
    await expect(server.bind('nowhere')).rejects.toMatchObject({ code: 'ERR_INVALID_ENDPOINT' });
    const other = closing(new FreelanceServer(upper));
    await expect(other.bind(endpoint)).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE' });
    expect(server.endpoints).toEqual([endpoint]);
  });
});

test('a logger hears of what it refuses, with its fields', async () => {
  const warn = vi.fn<(fields: object, message: string) => void>();
  const logger = {
    debug: vi.fn<() => void>(),
    info: vi.fn<() => void>(),
    warn,
    error: vi.fn<() => void>(),
  };
  const { endpoint } = await serving(upper, { logger });
  const client = dealer(endpoint);
  await client.send('nonsense');
  await vi.waitUntil(() => warn.mock.calls.length > 0, { interval: 1 });
  expect(warn).toHaveBeenCalledWith(
    { from: expect.any(String), reason: 'one frame that is no command' },
    'malformed',
  );
});
