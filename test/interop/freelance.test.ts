/** Our Freelance server and Python clients, Python servers and our client: 10/FLP. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  FreelanceClient,
  FreelanceServer,
  type FreelanceClientOptions,
  type FreelanceHandler,
  type FreelanceServerOptions,
} from '../../src/index.ts';
import { endAll, freshFolder, held, start } from '../cli/commands.ts';
import type { Child } from '../processes/child.ts';
import { closeAfterwards, HEARTBEAT, startPeer, withoutPeers } from './peers.ts';
import { bound, textsOf } from './pirates.ts';

/** One reply as the Python client prints it. */
interface PrintedReply {
  readonly server: string;
  readonly body: readonly string[];
}

const ANY = 'tcp://127.0.0.1:*';

afterEach(endAll);

/** Paths in a fresh folder. */
function inFolder(): (name: string) => string {
  const { path, remove } = freshFolder();
  closeAfterwards(async () => remove());
  return path;
}

const upper: FreelanceHandler = (request) => textsOf(request).map((text) => text.toUpperCase());

async function bindServer(
  handler: FreelanceHandler,
  options?: FreelanceServerOptions,
  where = ANY,
): Promise<{ server: FreelanceServer; endpoint: string }> {
  const server = new FreelanceServer(handler, { drainTimeout: 0, ...options });
  closeAfterwards(() => server.close());
  return { server, endpoint: await bound(() => server.bind(where)) };
}

async function startServer(
  behaviour: string,
  where = ANY,
  ...more: string[]
): Promise<{ server: Child; endpoint: string }> {
  const args = ['--bind', where, '--behaviour', behaviour, ...more];
  const server = startPeer('freelance_server', ...args);
  return { server, endpoint: (await server.line(/^ready /)).slice('ready '.length) };
}

function connectClient(
  endpoints: readonly string[],
  options?: FreelanceClientOptions,
): FreelanceClient {
  const client = new FreelanceClient({
    heartbeatInterval: HEARTBEAT,
    drainTimeout: 0,
    ...options,
  });
  closeAfterwards(() => client.close());
  client.connect(endpoints);
  return client;
}

function startClient(endpoints: readonly string[], ...args: string[]): Child {
  const connect = endpoints.flatMap((endpoint) => ['--connect', endpoint]);
  return startPeer('freelance_client', ...connect, '--heartbeat', `${HEARTBEAT}`, ...args);
}

async function repliesOf(client: Child): Promise<readonly PrintedReply[]> {
  const { code } = await client.ended;
  if (code !== 0) throw new Error(`${client.name} ended with ${code}: ${client.errors}`);
  const printed = client.lines.filter((line) => line.startsWith('{'));
  return printed.map((line): PrintedReply => JSON.parse(line));
}

/** Resolves when so many of its servers are live. */
async function live(client: FreelanceClient, count: number): Promise<void> {
  const isEnough = (): boolean =>
    client.servers().filter(({ state }) => state === 'live').length === count;
  await vi.waitUntil(isEnough, { interval: 1, timeout: 10_000 });
}

describe.skipIf(withoutPeers)('our server and a Python client', () => {
  test('requests are answered in their order, under the control frame they came with', async () => {
    const { server, endpoint } = await bindServer(upper);
    const replies = await repliesOf(startClient([endpoint], '--count', '50', 'a'));
    const expected = Array.from({ length: 50 }, (_, index) => ({
      server: endpoint,
      body: ['A', `${index + 1}`],
    }));
    expect(replies).toEqual(expected);
    expect(server.status()).toMatchObject({
      requests: { accepted: 50, replied: 50 },
      events: { malformed: 0, replyDropped: 0 },
    });
  });

  test('the identity is the public endpoint, where that is another', async () => {
    const path = inFolder();
    // Two ways to write one path: what clients connect to is not what the server binds.
    const [binding, publicEndpoint] = [`ipc://${path('server')}`, `ipc://${path('')}/./server`];
    await bindServer(upper, { publicEndpoint }, binding);
    const [reply] = await repliesOf(startClient([publicEndpoint], 'hello'));
    expect(reply).toEqual({ server: publicEndpoint, body: ['HELLO'] });
    // A ROUTER cannot address it by the other one.
    const other = startClient([binding], '--timeout', '300', 'hello');
    expect(await other.ended).toMatchObject({ code: 4 });
  });

  test('a handler that throws is an ordinary body', async () => {
    const { endpoint } = await bindServer(() => {
      throw new Error('no such row');
    });
    const [reply] = await repliesOf(startClient([endpoint], 'x'));
    expect(JSON.parse(reply!.body[1]!)).toEqual({
      code: 'ERR_HANDLER_FAILED',
      message: 'no such row',
    });
  });

  test('pings are answered while handlers run, for longer than an expiry', async () => {
    const { server, endpoint } = await bindServer(
      () => new Promise((resolve) => setTimeout(() => resolve('late'), 5 * HEARTBEAT)),
    );
    const client = startClient([endpoint], 'x');
    expect(await repliesOf(client)).toEqual([{ server: endpoint, body: ['late'] }]);
    expect(server.status().requests.accepted).toBe(1);
    expect(client.lines.filter((line) => line.startsWith('live'))).toHaveLength(1);
  });

  test('the next server answers what one that was killed had in hand', async () => {
    const path = inFolder();
    const { command, started } = held(path);
    const first = start(['freelance-server', '--bind', ANY, '--exec', command]);
    const [, endpoint] = await first.stdout(/^ready freelance-server (\S+)\n/);
    const next = `ipc://${path('next')}`;
    const client = startClient([endpoint!, next], 'hello');
    await started;
    await bindServer(upper, {}, next);
    first.process.kill('SIGKILL');
    expect(await repliesOf(client)).toEqual([{ server: next, body: ['HELLO'] }]);
  });

  test('a server that was restarted where it was is found again', async () => {
    const first = await bindServer(upper);
    const client = startClient([first.endpoint], '--count', '400', '--retry', '500', 'a');
    await client.line(/"A", "10"/);
    await first.server.close();
    await bindServer(upper, {}, first.endpoint);
    expect(await repliesOf(client)).toHaveLength(400);
  });
});

describe.skipIf(withoutPeers)('Python servers and our client', () => {
  test.each(['echo', 'upper', 'slow'])('a server (%s) answers', async (behaviour) => {
    const { endpoint } = await startServer(behaviour, undefined, '--delay', '50');
    const client = connectClient([endpoint]);
    await client.ready();
    const expected = behaviour === 'upper' ? ['AB', 'CD'] : ['ab', 'cd'];
    expect(textsOf(await client.request(['ab', 'cd']))).toEqual(expected);
    const many = Array.from({ length: 100 }, (_, index) => `number ${index}`);
    const replies = await Promise.all(many.map((text) => client.request(text)));
    const texts = many.map((text) => (behaviour === 'upper' ? text.toUpperCase() : text));
    expect(replies.map((reply) => reply.text())).toEqual(texts);
  });

  test('a binary body with empty frames and 300 kB passes whole', async () => {
    const { endpoint } = await startServer('echo');
    const body = ['', Uint8Array.of(0, 255, 1), '', new Uint8Array(300_000).fill(7)];
    const reply = await connectClient([endpoint]).request(body);
    expect(reply.body.map((frame) => frame.byteLength)).toEqual([0, 3, 0, 300_000]);
    expect([...reply.body[1]!]).toEqual([0, 255, 1]);
  });

  test('the next server answers what one that was killed had in hand', async () => {
    const first = await startServer('hang');
    const second = await startServer('upper');
    const client = connectClient([first.endpoint, second.endpoint]);
    await live(client, 2);
    const reply = client.request('hello');
    await first.server.line(/^request/);
    await first.server.end('SIGKILL');
    expect((await reply).text()).toBe('HELLO');
    expect(client.servers().map(({ state }) => state)[1]).toBe('live');
  });

  test('the next server answers what one that was stopped has in hand', async () => {
    const first = await startServer('upper');
    const second = await startServer('upper');
    const client = connectClient([first.endpoint, second.endpoint]);
    await live(client, 2);
    first.server.signal('SIGSTOP');
    const lost = new Promise((resolve) => client.once('serverLost', resolve));
    const reply = client.request('hello');
    expect(await lost).toMatchObject({ endpoint: first.endpoint, reason: 'silent' });
    expect((await reply).text()).toBe('HELLO');
    first.server.signal('SIGCONT');
    await live(client, 2);
    first.server.passOver();
    await client.request('again');
    await first.server.line(/^request/);
  });

  test('a server that was restarted has its old rank', async () => {
    const first = await startServer('upper');
    const second = await startServer('echo');
    const client = connectClient([first.endpoint, second.endpoint]);
    await live(client, 2);
    await first.server.end('SIGKILL');
    await live(client, 1);
    expect((await client.request('one')).text()).toBe('one');
    await startServer('upper', first.endpoint);
    await live(client, 2);
    expect((await client.request('two')).text()).toBe('TWO');
  });

  test('the first answer of all wins', async () => {
    const slow = await startServer('slow', undefined, '--delay', '400');
    const quick = await startServer('upper');
    const client = connectClient([slow.endpoint, quick.endpoint], { strategy: 'all' });
    await live(client, 2);
    const ignored = new Promise((resolve) => client.once('replyIgnored', resolve));
    expect((await client.request('hello')).text()).toBe('HELLO');
    expect(await ignored).toMatchObject({ endpoint: slow.endpoint });
  });

  test('broken replies reach nobody', async () => {
    const { endpoint } = await startServer('broken', undefined, '--delay', '50');
    const client = connectClient([endpoint]);
    const seen = { malformed: 0, replyIgnored: 0 };
    client.on('malformed', () => seen.malformed++);
    client.on('replyIgnored', () => seen.replyIgnored++);
    expect((await client.request('hello')).text()).toBe('hello');
    expect(seen).toEqual({ malformed: 2, replyIgnored: 4 });
  });
});
