/** What the Freelance client promises over real sockets, to servers that are bare ROUTERs. */
import { Router } from 'zeromq';
import { describe, expect, test } from 'vitest';
import { encodeFailure } from '../../src/core/error-body.ts';
import type { Frames } from '../../src/core/machine.ts';
import {
  ClosedError,
  FreelanceClient,
  InvalidArgumentError,
  NotReadyError,
  RequestError,
  type FreelanceClientEvent,
  type FreelanceClientOptions,
} from '../../src/freelance/index.ts';
import { clientRules, requestRules } from '../../src/freelance/options.ts';
import { cleanUp, failureOf, raw } from '../transport/peers.ts';

/** What JavaScript lets a caller pass and TypeScript does not. */
function wrongly(value: unknown): never;
function wrongly(value: unknown): unknown {
  return value;
}

interface RawServer {
  readonly endpoint: string;
  /** The bodies it was asked, as text. */
  readonly asked: string[];
  close(): void;
}

type Answer = (body: Frames, asked: string) => Frames | undefined;

const text = (frames: Frames): string => frames.map((frame) => Buffer.from(frame)).join('|');
const says =
  (...words: string[]): Answer =>
  () =>
    words.map((word) => Buffer.from(word));
const echo: Answer = (body) => body;
const silence: Answer = () => undefined;

/** A server as 10/FLP describes it, and no more. */
async function serve(answer: Answer = echo, at = 'tcp://127.0.0.1:*'): Promise<RawServer> {
  const router = raw(new Router());
  router.sendTimeout = 0;
  await router.bind(at);
  const asked: string[] = [];
  const run = async (): Promise<void> => {
    for await (const [client, ...frames] of router) {
      const [control, ...body] = frames;
      if (body.length > 0) asked.push(text(body));
      const reply = body.length === 0 ? [Buffer.from('PONG')] : answer(body, text(body));
      if (reply === undefined) continue;
      await router.send([client!, ...(body.length === 0 ? [] : [control!]), ...reply]);
    }
  };
  run().catch((error: unknown) => {
    if (!router.closed) throw error;
  });
  return { endpoint: router.lastEndpoint!, asked, close: () => router.close() };
}

/** A client that only notices can help: its heartbeats are too slow. */
function clientAt(
  servers: readonly RawServer[],
  options?: FreelanceClientOptions,
): FreelanceClient {
  const client = new FreelanceClient({
    heartbeatInterval: 60_000,
    reconnectInterval: 20,
    drainTimeout: 0,
    ...options,
  });
  cleanUp.push(() => client.close());
  if (servers.length > 0) client.connect(servers.map(({ endpoint }) => endpoint));
  return client;
}

async function isLive(client: FreelanceClient, ...expected: readonly string[]): Promise<void> {
  await expect.poll(() => client.servers().map(({ state }) => state)).toEqual(expected);
}

/** A client that is connected, though to nobody. */
function connectedClient(): FreelanceClient {
  const client = clientAt([]);
  client.connect('inproc://nobody-is-there');
  return client;
}

describe('a request', () => {
  test('comes back with its reply, in frames as they were sent', async () => {
    const client = clientAt([await serve()]);
    await client.ready();
    const reply = await client.request(['one', new Uint8Array([0, 255]), '']);
    expect(reply.body.map((frame) => [...frame])).toEqual([[111, 110, 101], [0, 255], []]);
    expect((await client.request('{"a":1}')).json()).toEqual({ a: 1 });
  });

  test('of thousands at once finds its own', async () => {
    const client = clientAt([await serve(), await serve()]);
    const texts = Array.from({ length: 3000 }, (_, index) => `request ${index}`);
    const replies = await Promise.all(texts.map((each) => client.request(each)));
    expect(replies.map((reply) => reply.text())).toEqual(texts);
  });

  test('is sent to all of them where it says so', async () => {
    const servers = [await serve(silence), await serve(silence), await serve(says('third'))];
    const client = clientAt(servers);
    await isLive(client, 'live', 'live', 'live');
    expect((await client.request('x', { strategy: 'all' })).text()).toBe('third');
    for (const { asked } of servers) await expect.poll(() => asked).toEqual(['x']);
  });

  test('rejects as the handler failed', async () => {
    const failing = await serve(() => encodeFailure({ code: 'ERR_HANDLER_FAILED', message: 'no' }));
    const failure = await failureOf(clientAt([failing]).request('x'));
    expect(failure).toBeInstanceOf(RequestError);
    expect(failure).toMatchObject({ code: 'ERR_HANDLER_FAILED', message: 'no', service: '' });
  });

  test('has its deadline, and says how many servers are live', async () => {
    const client = clientAt([await serve(silence)]);
    await client.ready();
    const failure = await failureOf(client.request('x', { timeout: 30, retries: 0 }));
    expect(failure).toMatchObject({ code: 'ERR_REQUEST_TIMEOUT', retriable: true });
    expect(failure.message).toBe('no reply after 1 try within 30 ms, with 1 of 1 server live');
  });

  test('has a second copy when the first one is late', async () => {
    const slow = await serve((body, asked) => (asked === 'late' ? undefined : body));
    const client = clientAt([slow, await serve(says('from b'))], { hedge: true });
    await isLive(client, 'live', 'live');
    for (let index = 0; index < 20; index++) await client.request('quick');
    const hedges: FreelanceClientEvent[] = [];
    client.on('hedge', (event) => hedges.push(event));
    expect((await client.request('late')).text()).toBe('from b');
    expect(hedges).toHaveLength(1);
  });
});

describe('servers that end', () => {
  test('two of three: every request is answered, though one after the other took them all', async () => {
    const servers = [await serve(silence), await serve(silence), await serve()];
    const [first, second] = servers;
    const client = clientAt(servers);
    await isLive(client, 'live', 'live', 'live');
    const lost: string[] = [];
    client.on('serverLost', ({ endpoint, reason }) => lost.push(`${endpoint} ${reason}`));
    const texts = Array.from({ length: 200 }, (_, index) => `request ${index}`);
    const replies = Promise.all(texts.map((each) => client.request(each)));
    await expect.poll(() => first!.asked.length).toBe(200);
    first!.close();
    await expect.poll(() => second!.asked.length).toBe(200);
    expect(second!.asked).toEqual(texts);
    second!.close();
    expect((await replies).map((reply) => reply.text())).toEqual(texts);
    expect(lost).toEqual([`${first!.endpoint} linkBroken`, `${second!.endpoint} linkBroken`]);
  });

  test('and come back are asked again, in their old rank', async () => {
    const first = await serve(says('a'));
    const client = clientAt([first, await serve(says('b'))]);
    await isLive(client, 'live', 'live');
    expect((await client.request('x')).text()).toBe('a');
    first.close();
    await expect.poll(() => client.servers()[0]!.state).not.toBe('live');
    expect((await client.request('x')).text()).toBe('b');
    await expect.poll(() => serve(says('a again'), first.endpoint).then(() => true)).toBe(true);
    await isLive(client, 'live', 'live');
    expect((await client.request('x')).text()).toBe('a again');
  });

  test('before they are there do not matter: the request waits for one', async () => {
    const server = await serve();
    server.close();
    const client = clientAt([server]);
    const reply = client.request('early');
    await expect.poll(() => serve(echo, server.endpoint).then(() => true)).toBe(true);
    expect((await reply).text()).toBe('early');
  });
});

describe('a signal', () => {
  test('cancels its request, with its reason as the cause', async () => {
    const server = await serve(silence);
    const client = clientAt([server]);
    const controller = new AbortController();
    const cancelled = failureOf(client.request('x', { signal: controller.signal }));
    await expect.poll(() => server.asked).toEqual(['x']);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await cancelled).toMatchObject({
      code: 'ERR_CANCELLED',
      name: 'AbortError',
      cause: reason,
    });
  });

  test('that has aborted before sends nothing', async () => {
    const server = await serve();
    const client = clientAt([server]);
    const failure = await failureOf(client.request('never', { signal: AbortSignal.abort() }));
    expect(failure.code).toBe('ERR_CANCELLED');
    await client.request('after');
    expect(server.asked).toEqual(['after']);
  });
});

describe('ready', () => {
  test('resolves when a server is live, at once if one is', async () => {
    const nobody = await serve();
    nobody.close();
    const client = clientAt([nobody, await serve()]);
    await client.ready();
    await client.ready({ timeout: 1 });
    expect(client.servers()[1]).toMatchObject({ state: 'live', inFlight: 0 });
  });

  test('rejects with a hint when nobody answers', async () => {
    const nobody = await serve();
    nobody.close();
    const failure = await failureOf(clientAt([nobody]).ready({ timeout: 20 }));
    expect(failure).toBeInstanceOf(NotReadyError);
    expect(failure.message).toBe(
      `no server answers at ${nobody.endpoint} within 20 ms: is one bound there, and does it speak 10/FLP?`,
    );
    expect((await failureOf(clientAt([]).ready())).message).toContain('call connect(endpoint)');
  });
});

describe('close', () => {
  test('waits for what is outstanding', async () => {
    const client = clientAt([await serve()], { drainTimeout: 5000 });
    const reply = client.request('x');
    await client.close();
    expect((await reply).text()).toBe('x');
  });

  test('cancels it when that takes too long, and who waits to be ready', async () => {
    const server = await serve(silence);
    const client = clientAt([server], { inFlightLimit: 1 });
    await client.ready();
    const pending = ['sent', 'waiting'].map((each) => failureOf(client.request(each)));
    const other = clientAt([server]);
    const expectant = failureOf(other.ready());
    await Promise.all([client.close(), client.close(), other.close()]);
    for (const failure of pending) expect(await failure).toMatchObject({ code: 'ERR_CANCELLED' });
    expect(await expectant).toBeInstanceOf(ClosedError);
    expect(client.servers()).toEqual([]);
  });

  test('is the end', async () => {
    const client = clientAt([await serve()]);
    await client[Symbol.asyncDispose]();
    expect(() => client.connect('tcp://127.0.0.1:5555')).toThrow(ClosedError);
    await expect(client.request('x')).rejects.toThrow(ClosedError);
    await expect(client.ready()).rejects.toThrow(ClosedError);
  });
});

describe('a wrong call is refused by name', () => {
  test.each(Object.keys(clientRules))('the client’s option %s', (name) => {
    const make = (): unknown => new FreelanceClient({ [name]: wrongly(Symbol('wrong')) });
    expect(make).toThrow(InvalidArgumentError);
    expect(make).toThrow(`FreelanceClient: option '${name}' must be`);
  });

  test.each(Object.keys(requestRules))('the request’s option %s', async (name) => {
    const failure = await failureOf(
      connectedClient().request('x', { [name]: wrongly(Symbol('wrong')) }),
    );
    expect(failure).toMatchObject({ code: 'ERR_INVALID_OPTION' });
    expect(failure.message).toContain(`request: option '${name}' must be`);
  });

  test.each([
    ['an unknown option', { retrys: 3 }, "request has no option 'retrys'; it has: strategy"],
    ['a strategy', { strategy: 'last' }, "one of 'first', 'fastest', 'all', not 'last'"],
    ['options', 7, 'request: options must be an object'],
  ])('%s', async (_what, options, message) => {
    expect((await failureOf(connectedClient().request('x', wrongly(options)))).message).toContain(
      message,
    );
  });

  test('an endpoint, a body, and the order of calls', async () => {
    expect(() => connectedClient().connect('127.0.0.1:5555')).toThrow('must begin with tcp://');
    const failure = await failureOf(connectedClient().request(wrongly({ a: 1 })));
    expect(failure).toMatchObject({ code: 'ERR_INVALID_BODY' });
    const early = await failureOf(clientAt([]).request('x'));
    expect(early).toMatchObject({ code: 'ERR_NOT_CONNECTED' });
    await expect(connectedClient().ready({ timeout: 0 })).rejects.toThrow(
      "ready: option 'timeout'",
    );
  });
});

test('what happens is told to listeners and to the log', async () => {
  const lines: string[] = [];
  const log = (level: string) => (_fields: object, message: string) => {
    lines.push(`${level} ${message}`);
  };
  const logger = {
    debug: log('debug'),
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
  };
  const server = await serve(() => [Buffer.from('x')]);
  const client = clientAt([server], { logger });
  await client.ready();
  await client.request('x');
  server.close();
  await expect.poll(() => lines).toContain('warn serverLost');
  expect(lines).toEqual(['info serverLive', 'debug reply', 'warn serverLost']);
});
