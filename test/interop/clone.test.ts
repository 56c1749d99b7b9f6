/** Our Clone server and Python clients, a Python server and our client: 12/CHP. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  BinaryStar,
  CloneClient,
  CloneServer,
  WitnessServer,
  type CloneClientOptions,
  type CloneServerOptions,
} from '../../src/index.ts';
import { endAll, freshFolder } from '../cli/commands.ts';
import type { Child } from '../processes/child.ts';
import { threePorts } from '../ports.ts';
import { closeAfterwards, HEARTBEAT, startPeer, withoutPeers } from './peers.ts';

/** One update as the Python client prints it. */
interface PrintedUpdate {
  readonly key: string;
  readonly value: string;
  readonly sequence: number;
  /** Its own KVSET came back. */
  readonly own?: boolean;
  readonly properties?: Readonly<Record<string, string>>;
}

const ANY = 'tcp://127.0.0.1:*';

afterEach(endAll);

async function bindServer(
  options?: CloneServerOptions,
): Promise<{ server: CloneServer; endpoint: string }> {
  const server = new CloneServer({ heartbeatInterval: HEARTBEAT, drainTimeout: 0, ...options });
  closeAfterwards(() => server.close());
  return {
    server,
    endpoint: await server.bind(`tcp://127.0.0.1:${await threePorts()}`, { stock: true }),
  };
}

/** A client of ours whose values are texts. */
function connectClient(
  endpoint: string | readonly string[],
  options?: CloneClientOptions,
): CloneClient<string> {
  const client = new CloneClient({
    heartbeatInterval: HEARTBEAT,
    drainTimeout: 0,
    ...options,
    codec: 'text',
  });
  closeAfterwards(() => client.close());
  client.connect(endpoint);
  return client;
}

/** A client of a stock server. */
function connectStock(endpoint: string, options?: CloneClientOptions): CloneClient<string> {
  return connectClient(endpoint, { protocol: 'chp', ...options });
}

/** A Python client that is synchronised, and hears updates: its subscription has arrived. */
async function startClient(
  endpoints: readonly string[],
  ...args: string[]
): Promise<{ client: Child; state: string }> {
  const connect = endpoints.flatMap((endpoint) => ['--connect', endpoint]);
  const client = startPeer('chp_client', ...connect, '--heartbeat', `${HEARTBEAT}`, ...args);
  const state = await client.line(/^synchronised /);
  await client.line(/^hugz /);
  return { client, state };
}

async function startServer(...args: string[]): Promise<{ server: Child; endpoint: string }> {
  const server = startPeer('chp_server', '--bind', ANY, '--heartbeat', `${HEARTBEAT}`, ...args);
  return { server, endpoint: (await server.line(/^ready /)).slice('ready '.length) };
}

/** The next update of this key that a Python client prints. */
async function updateOf(client: Child, key: string): Promise<PrintedUpdate> {
  const line = await client.line(new RegExp(`^{"key": "${key}"`));
  const update: PrintedUpdate = JSON.parse(line);
  return update;
}

/** The map of a Python peer. */
async function mapOf(peer: Child): Promise<Readonly<Record<string, string>>> {
  peer.write('dump');
  const printed: { map: Readonly<Record<string, string>> } = JSON.parse(
    await peer.line(/^{"map": /),
  );
  return printed.map;
}

/** Resolves when a client of ours has this map. */
async function has(client: CloneClient<string>, map: Readonly<Record<string, string>>) {
  const isThere = (): boolean =>
    client.size === Object.keys(map).length &&
    Object.entries(map).every(([key, value]) => client.get(key) === value);
  await vi.waitUntil(isThere, { interval: 1, timeout: 10_000 });
}

describe.skipIf(withoutPeers)('our server and a Python client', () => {
  test('a snapshot, then updates in their order, and deletes', async () => {
    const { endpoint } = await bindServer();
    const ours = connectClient(endpoint);
    await ours.set('/a', 'one');
    await ours.set('/b/c', 'two');
    const { client, state } = await startClient([endpoint]);
    expect(state).toBe(`synchronised ${endpoint} 2 keys at 2`);
    await ours.set('/b/d', 'three');
    expect(await updateOf(client, '/b/d')).toEqual({ key: '/b/d', value: 'three', sequence: 3 });
    await ours.delete('/a');
    expect(await updateOf(client, '/a')).toEqual({ key: '/a', value: '', sequence: 4 });
    expect(await mapOf(client)).toEqual({ '/b/c': 'two', '/b/d': 'three' });
  });

  test('an empty map is one, too, and a subtree has its own updates alone', async () => {
    const { endpoint } = await bindServer();
    const ours = connectClient(endpoint);
    await ours.set('/other/x', 'x');
    const { client, state } = await startClient([endpoint], '--subtree', '/config/');
    expect(state).toMatch(/ 0 keys at \d+$/);
    await ours.set('/other/y', 'y');
    await ours.set('/config/a', 'a');
    await updateOf(client, '/config/a');
    expect(await mapOf(client)).toEqual({ '/config/a': 'a' });
    const { state: late } = await startClient([endpoint], '--subtree', '/config/');
    expect(late).toMatch(/ 1 keys at /);
  });

  test('what it sets and deletes is everybody’s, and returns under its UUID', async () => {
    const { endpoint } = await bindServer();
    const ours = connectClient(endpoint);
    const { client } = await startClient([endpoint], '--uuid');
    client.write('set /a/b hello');
    expect(await updateOf(client, '/a/b')).toMatchObject({ value: 'hello', own: true });
    await has(ours, { '/a/b': 'hello' });
    client.write('delete /a/b');
    expect(await updateOf(client, '/a/b')).toMatchObject({ value: '', own: true });
    await has(ours, {});
  });

  test('a KVSET that is repeated is done once', async () => {
    const { server, endpoint } = await bindServer();
    const { client } = await startClient([endpoint], '--uuid');
    client.write('set /a once\nagain\nset /b next');
    const first = await updateOf(client, '/a');
    expect((await updateOf(client, '/b')).sequence).toBe(first.sequence + 1);
    expect(server.status().events.stockWriteIgnored).toBe(1);
  });

  test('a ttl is in seconds, and ends for everybody', async () => {
    const { endpoint } = await bindServer();
    const ours = connectClient(endpoint);
    await ours.synchronised();
    const { client } = await startClient([endpoint]);
    client.write('set /short theirs 1');
    expect(await updateOf(client, '/short')).toMatchObject({ properties: { ttl: '1' } });
    const begun = performance.now();
    await has(ours, { '/short': 'theirs' });
    expect(await updateOf(client, '/short')).toMatchObject({ value: '' });
    expect(performance.now() - begun).toBeGreaterThan(800);
    await has(ours, {});
    await ours.set('/short', 'ours', { ttl: 500 });
    const { properties } = await updateOf(client, '/short');
    expect(Number(properties?.['ttl'])).toBeGreaterThan(0);
    expect(await updateOf(client, '/short')).toMatchObject({ value: '' });
  });

  test('a subtree that is cleared is deleted key by key, under numbers that ascend', async () => {
    const { endpoint } = await bindServer();
    const ours = connectClient(endpoint);
    const { client } = await startClient([endpoint]);
    for (const key of ['/a/1', '/a/2', '/a/3', '/b']) await ours.set(key, 'x');
    await updateOf(client, '/b');
    await ours.clear('/a/');
    await ours.set('/b', 'y');
    await updateOf(client, '/b');
    expect(await mapOf(client)).toEqual({ '/b': 'y' });
  });

  test('what is no key, or a word of the protocol, changes nothing and ends nobody', async () => {
    const { server, endpoint } = await bindServer();
    const { client } = await startClient([endpoint], '--uuid');
    const refused = [
      'HUGZ',
      'KTHXBAI',
      'ICANHAZ?',
      'a/b',
      '/a//b',
      '/a/',
      '/',
      `/${'k'.repeat(300)}`,
    ];
    client.write([...refused, '/fine'].map((key) => `set ${key} x`).join('\n'));
    await updateOf(client, '/fine');
    expect(await mapOf(client)).toEqual({ '/fine': 'x' });
    expect(server.status().events.malformed).toBe(refused.length);
  });

  test('ten thousand updates arrive whole and in order', async () => {
    const { endpoint } = await bindServer();
    const ours = connectClient(endpoint);
    const { client } = await startClient([endpoint]);
    const writes = Array.from({ length: 10_000 }, (_, index) =>
      ours.set(`/load/${index % 100}`, `${index}`),
    );
    await Promise.all(writes);
    await ours.set('/end', 'x');
    await updateOf(client, '/end');
    expect(client.lines.filter((line) => line.startsWith('{'))).toHaveLength(10_001);
    expect(await mapOf(client)).toEqual(Object.fromEntries(ours));
  });

  test('of a pair the passive one is silent, and has everything when it serves', async () => {
    const { path, remove } = freshFolder();
    closeAfterwards(async () => remove());
    const witness = new WitnessServer({ store: path('witness') });
    closeAfterwards(() => witness.close());
    const voter = await witness.bind(`ipc://${path('voter')}`);
    const both = await Promise.all(
      (['primary', 'backup'] as const).map(async (role) => {
        const other = role === 'primary' ? 'backup' : 'primary';
        const star = new BinaryStar({
          role,
          peer: `ipc://${path(other)}-star`,
          witness: voter,
          store: path(`${role}-epochs`),
          heartbeatInterval: 50,
          lease: 300,
        });
        closeAfterwards(() => star.close());
        const { server, endpoint } = await bindServer({ failover: star });
        await star.bind(`ipc://${path(role)}-star`);
        return { star, server, endpoint };
      }),
    );
    const isActive = (at: number): boolean => both[at]!.server.status().state === 'active';
    await vi.waitUntil(() => isActive(0) || isActive(1), { timeout: 10_000 });
    const [active, passive] = isActive(0) ? [both[0]!, both[1]!] : [both[1]!, both[0]!];
    const ours = connectClient([active.endpoint, passive.endpoint]);
    await ours.set('/kept', 'x');
    await vi.waitUntil(() => active.server.status().backup === 'synchronised', { timeout: 10_000 });
    const { client, state } = await startClient([passive.endpoint, active.endpoint], '--uuid');
    expect(state).toBe(`synchronised ${active.endpoint} 1 keys at 1`);
    expect(client.lines).toContain(`lost ${passive.endpoint}`);
    client.write('set /theirs y');
    await updateOf(client, '/theirs');
    await active.server.close();
    await active.star.close();
    await client.line(new RegExp(`^synchronised ${passive.endpoint} 2 keys`));
    expect(await mapOf(client)).toEqual({ '/kept': 'x', '/theirs': 'y' });
  });
});

describe.skipIf(withoutPeers).each([
  ['by the text', []],
  ['as is common practice', ['--practice']],
])('a Python server (%s) and our client', (_, variant) => {
  test('a snapshot, then updates and deletes', async () => {
    const { server, endpoint } = await startServer(...variant, '--keys', '3');
    const ours = connectStock(endpoint);
    await ours.synchronised();
    await has(ours, { '/preset/0': '0', '/preset/1': '1', '/preset/2': '2' });
    server.write('set /a new\ndelete /preset/1');
    await has(ours, { '/preset/0': '0', '/preset/2': '2', '/a': 'new' });
    expect(await mapOf(server)).toEqual(Object.fromEntries(ours));
  });

  test('a subtree has its own updates alone', async () => {
    const { server, endpoint } = await startServer(...variant, '--keys', '2');
    const ours = connectStock(endpoint, { subtree: '/config/' });
    await ours.synchronised();
    expect(ours.size).toBe(0);
    server.write('set /preset/0 y\nset /config/a 1');
    await has(ours, { '/config/a': '1' });
  });

  test('what is set and deleted is done when it is heard of, and theirs, too', async () => {
    const { server, endpoint } = await startServer(...variant);
    const ours = connectStock(endpoint);
    await ours.synchronised();
    await ours.set('/a/b', 'hello');
    expect(ours.get('/a/b')).toBe('hello');
    expect(await mapOf(server)).toEqual({ '/a/b': 'hello' });
    await ours.delete('/a/b');
    expect(ours.has('/a/b')).toBe(false);
    expect(await mapOf(server)).toEqual({});
  });

  test('a ttl is said in seconds, and the server ends it', async () => {
    const { server, endpoint } = await startServer(...variant);
    const ours = connectStock(endpoint);
    await ours.synchronised();
    await ours.set('/short', 'x', { ttl: 1000 });
    const kvset: { ttl: string } = JSON.parse(await server.line(/^{"key": "\/short"/));
    expect(Number(kvset.ttl)).toBe(1);
    await has(ours, {});
  });

  test('an update that was lost is missed, and fetched', async () => {
    const { server, endpoint } = await startServer(...variant);
    const ours = connectStock(endpoint);
    await ours.synchronised();
    await ours.set('/first', 'x');
    const repaired = new Promise((resolve) => ours.once('gapRepaired', resolve));
    server.write('drop 1\nset /lost x\nset /next x');
    expect(await repaired).toMatchObject({ by: 'snapshot' });
    await has(ours, { '/first': 'x', '/lost': 'x', '/next': 'x' });
  });

  test('a server that was started anew is found, and its map is the map', async () => {
    const first = await startServer(...variant, '--keys', '50');
    const ours = connectStock(first.endpoint);
    await ours.synchronised();
    await has(
      ours,
      Object.fromEntries(Array.from({ length: 50 }, (__, at) => [`/preset/${at}`, `${at}`])),
    );
    await first.server.end('SIGKILL');
    const second = await startServer(...variant, '--keys', '1', '--bind', first.endpoint);
    await has(ours, { '/preset/0': '0' });
    second.server.write('set /a b');
    await has(ours, { '/preset/0': '0', '/a': 'b' });
    expect(await mapOf(second.server)).toEqual(Object.fromEntries(ours));
  });

  test('many writes keep their order', async () => {
    const { server, endpoint } = await startServer(...variant);
    const ours = connectStock(endpoint);
    await ours.synchronised();
    const writes = Array.from({ length: 1000 }, (__, index) => ours.set('/counter', `${index}`));
    await Promise.all(writes);
    expect(await mapOf(server)).toEqual({ '/counter': '999' });
    const received = server.lines.filter((line) => line.startsWith('{"key"'));
    const values = received.map((line): string => (JSON.parse(line) as PrintedUpdate).value);
    expect(values).toEqual(Array.from({ length: 1000 }, (__, index) => `${index}`));
  });
});

describe.skipIf(withoutPeers)('a Python server, as is common practice, and our client', () => {
  test('an update that was lost as the last one is missed by HUGZ', async () => {
    const { server, endpoint } = await startServer('--practice');
    const ours = connectStock(endpoint);
    await ours.synchronised();
    await ours.set('/first', 'x');
    server.write('drop 1\nset /lost x');
    await has(ours, { '/first': 'x', '/lost': 'x' });
    expect(await mapOf(server)).toEqual(Object.fromEntries(ours));
  });
});
