/** A Clone server over real sockets: where it binds, what it stores, and how it closes. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  BindError,
  ClosedError,
  CloneServer,
  InvalidArgumentError,
  StorageError,
  type CloneServerEvent,
} from '../../src/clone/index.ts';
import { MemoryEngine } from '../../src/storage/index.ts';
import {
  closing,
  connect,
  eventsOf,
  failureOf,
  fileIn,
  follow,
  makeServer,
  ownEndpoint,
  shows,
  startServer,
  until,
} from './shells.ts';
import { threePorts } from '../ports.ts';

describe('bad arguments are refused by name', () => {
  test.each([
    [{ store: '' }, /^CloneServer: option 'store' must be a folder, or an Engine, not ''/],
    [{ store: {} }, /option 'store'/],
    [{ storage: 5 }, /option 'storage'/],
    [{ storage: {} }, /^CloneServer: option 'storage' is for .* with option 'store'/],
    [{ failover: {} }, /option 'failover' must be an election/],
    [{ replication: 'maybe' }, /option 'replication' must be one of 'sync', 'async'/],
    [{ historyLimit: 0 }, /option 'historyLimit'/],
    [{ writerTtl: 1000 }, /option 'writerTtl' must be milliseconds, 300000 or more/],
    [{ wibble: 1 }, /CloneServer has no option 'wibble'/],
  ])('in %j', (options, message) => {
    const make = () => closing(new CloneServer(options as object));
    expect(make).toThrow(InvalidArgumentError);
    expect(make).toThrow(message);
  });

  test.each<[string, object, string]>([
    ['tcp://127.0.0.1', {}, 'ERR_INVALID_ENDPOINT'],
    ['tcp://127.0.0.1:*', { stock: true }, 'ERR_INVALID_ENDPOINT'],
    ['tcp://127.0.0.1:65534', { stock: true }, 'ERR_INVALID_ENDPOINT'],
    ['inproc://x', { stock: true }, 'ERR_INVALID_ENDPOINT'],
    ['tcp://127.0.0.1:*', { stock: 1 }, 'ERR_INVALID_OPTION'],
    ['tcp://127.0.0.1:*', { wibble: 1 }, 'ERR_UNKNOWN_OPTION'],
  ])('in bind %j, %j', async (endpoint, options, code) => {
    const server = makeServer();
    const error = await failureOf(server.bind(endpoint, options));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect(error).toMatchObject({ code });
    expect(server.endpoints).toEqual([]);
  });

  test('such as options of the storage, when it is opened', async () => {
    const server = makeServer({ store: fileIn('store'), storage: { wibble: 1 } as object });
    const error = await failureOf(server.bind('tcp://127.0.0.1:*'));
    expect(error).toMatchObject({ code: 'ERR_UNKNOWN_OPTION' });
  });
});

describe('bind', () => {
  test('takes several endpoints of all kinds', async () => {
    const server = makeServer();
    expect(server.endpoint).toBeUndefined();
    expect(server.status()).toMatchObject({ state: 'passive', keys: 0, storage: undefined });
    const tcp = await server.bind('tcp://127.0.0.1:*');
    const ipc = await server.bind(`ipc://${fileIn('clone')}`);
    const inproc = await server.bind('inproc://clone');
    expect(server.endpoint).toBe(tcp);
    expect(server.endpoints).toEqual([tcp, ipc, inproc]);
    const writer = await follow(inproc);
    const [one, other] = [await follow(tcp), await follow(ipc)];
    await writer.set('/k', 'v');
    await shows(one, { '/k': 'v' });
    await shows(other, { '/k': 'v' });
    expect(server.status()).toMatchObject({ state: 'active', keys: 1, backup: 'none' });
    expect(server.status().followers).toHaveLength(3);
  });

  test('says who has the port', async () => {
    const { endpoint } = await startServer();
    const error = await failureOf(makeServer().bind(endpoint));
    expect(error).toBeInstanceOf(BindError);
    expect(error).toMatchObject({ code: 'ERR_ADDRESS_IN_USE', endpoint });
  });

  test('for stock clients needs two ports more, and our client can be one', async () => {
    const port = await threePorts();
    const server = makeServer();
    const endpoint = await server.bind(`tcp://127.0.0.1:${port}`, { stock: true });
    const own = await follow(endpoint);
    await own.set('/before', '1');
    const stock = await follow(endpoint, { protocol: 'chp', timeout: 5000 });
    expect(Object.fromEntries(stock)).toEqual({ '/before': '1' });
    const watch = stock.watch();
    await stock.set('/stock', '2');
    await shows(own, { '/before': '1', '/stock': '2' });
    await own.delete('/before');
    await shows(stock, { '/stock': '2' });
    expect((await watch.next()).value).toMatchObject({ type: 'set', key: '/stock', value: '2' });
    expect((await watch.next()).value).toMatchObject({ type: 'deleted', former: '1' });
    expect(await failureOf(stock.set('/stock', '3', { ifMatch: 1 }))).toMatchObject({
      code: 'ERR_NOT_SUPPORTED',
    });
    expect(() => stock.connect('ipc:///tmp/x')).toThrow('is none of 12/CHP');
    const rival = await failureOf(makeServer().bind(`tcp://127.0.0.1:${port + 1}`));
    expect(rival).toBeInstanceOf(BindError);
  });

  test('tells our client of it what is different after a stock server began anew', async () => {
    const endpoint = `tcp://127.0.0.1:${await threePorts()}`;
    const former = makeServer();
    await former.bind(endpoint, { stock: true });
    const stock = await follow(endpoint, { protocol: 'chp' });
    for (const value of ['1', '2', '3', '4']) await stock.set('/a', value);
    const watch = stock.watch();
    await former.close();
    const again = makeServer();
    await until(() => again.bind(endpoint, { stock: true }));
    await shows(stock, {});
    expect((await watch.next()).value).toMatchObject({ type: 'deleted', former: '4' });
    await stock.set('/b', '5');
    expect((await watch.next()).value).toMatchObject({ type: 'set', key: '/b' });
  });

  test('tells a watch that begins in an event nothing twice', async () => {
    const endpoint = `tcp://127.0.0.1:${await threePorts()}`;
    await makeServer().bind(endpoint, { stock: true });
    const own = await follow(endpoint);
    await own.set('/a', '1');
    const stock = connect<string>(endpoint, { codec: 'text', protocol: 'chp' });
    stock.watch();
    const lines: string[] = [];
    stock.on('snapshotLoaded', () => {
      const watch = stock.watch('', { initial: true });
      void (async () => {
        for await (const { key, value } of watch) lines.push(`${key} ${value}`);
      })();
    });
    await stock.synchronised();
    await own.set('/b', '2');
    await until(() => expect(lines).toContain('/b 2'));
    expect(lines).toEqual(['/a 1', '/b 2']);
  });

  test('clears for our client as a stock server what that follows, and says so', async () => {
    const endpoint = `tcp://127.0.0.1:${await threePorts()}`;
    await makeServer().bind(endpoint, { stock: true });
    const own = await follow(endpoint);
    await own.set('/a/1', '1');
    await own.set('/b/1', '1');
    const stock = connect(endpoint, { protocol: 'chp', subtree: '/a/' });
    await stock.clear('/a/');
    await shows(own, { '/b/1': '1' });
    const error = await failureOf(stock.clear('/b/'));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect((error as Error).message).toBe(
      "cannot clear '/b/': this client has what is under '/a/' only",
    );
  });

  test('says of a port that nobody named what it is for', async () => {
    const other = await startServer();
    const below = other.endpoint.replace(/\d+$/, (port) => `${Number(port) - 1}`);
    const error = await failureOf(makeServer().bind(below, { stock: true }));
    expect(error).toBeInstanceOf(BindError);
    expect(error).toMatchObject({ code: 'ERR_ADDRESS_IN_USE', endpoint: other.endpoint });
    const message = /^stock clients are served on the two ports above: cannot bind tcp.+in use/;
    expect(error).toMatchObject({ message: expect.stringMatching(message) });
  });

  test('for stock clients may be tried again', async () => {
    const port = await threePorts();
    const other = await startServer({}, `tcp://127.0.0.1:${port}`);
    const server = makeServer();
    const error = await failureOf(server.bind(other.endpoint, { stock: true }));
    expect(error).toMatchObject({ code: 'ERR_ADDRESS_IN_USE', endpoint: other.endpoint });
    await other.server.close();
    await until(() => server.bind(other.endpoint, { stock: true }));
    await follow(other.endpoint, { protocol: 'chp' });
  });
});

describe('a server that begins anew', () => {
  test('without a store has nothing, and all of its clients know it', async () => {
    const { server, endpoint } = await startServer({}, ownEndpoint());
    const client = await follow(endpoint);
    await client.set('/k', 'gone');
    const before = client.at;
    await server.close();
    const again = makeServer();
    await again.bind(endpoint);
    await shows(client, {});
    await client.synchronised();
    expect(client.at.epoch).toBeGreaterThan(before.epoch);
    await client.set('/k', 'new');
    expect(client.get('/k')).toBe('new');
  });

  test('with a store has what it had, with the time that was left', async () => {
    const store = fileIn('state');
    const { server, endpoint } = await startServer({ store }, ownEndpoint());
    const client = await follow(endpoint);
    await client.set('/k', 'kept');
    await client.set('/short', 'x', { ttl: 60_000 });
    await client.set('/gone', 'x');
    await client.delete('/gone');
    const { revision } = await client.set('/ends', 'x', { ttl: 30 });
    expect(server.status().storage).toMatchObject({ state: 'open', durability: 'fsync' });
    const events = eventsOf(client);
    await server.close();
    const again = makeServer({ store });
    await again.bind(endpoint);
    await shows(client, { '/k': 'kept', '/short': 'x' });
    const late = await follow(endpoint);
    await shows(late, { '/k': 'kept', '/short': 'x' });
    expect(client.revision('/k')).toBe(late.revision('/k'));
    expect(client.at.sequence).toBeGreaterThan(revision);
    expect(events.map(({ type }) => type)).toContain('failedOver');
    await until(() => expect(again.status().digest).toEqual(late.status().digest));
  });

  test('twice, having stored under another engine', async () => {
    const engine = new MemoryEngine();
    for (const round of [1, 2, 3]) {
      const { server, endpoint } = await startServer({ store: engine });
      const client = await follow(endpoint);
      expect(client.size).toBe(round - 1);
      await client.set(`/k/${round}`, 'x');
      await client.close();
      await server.close();
    }
  });
});

describe('a store', () => {
  test('has one server at a time', async () => {
    const store = fileIn('state');
    const former = await startServer({ store });
    const latter = makeServer({ store });
    const error = await failureOf(latter.bind('tcp://127.0.0.1:*'));
    expect(error).toBeInstanceOf(StorageError);
    expect(error).toMatchObject({ code: 'ERR_STORAGE_IN_USE' });
    await former.server.close();
    await latter.bind('tcp://127.0.0.1:*');
  });

  test('of somebody else is refused', async () => {
    mkdirSync(fileIn('file'));
    writeFileSync(fileIn('file/x'), 'x');
    const error = await failureOf(
      makeServer({ store: fileIn('file/x') }).bind('tcp://127.0.0.1:*'),
    );
    expect(error).toMatchObject({ code: 'ERR_STORAGE_UNAVAILABLE' });
  });
});

describe('close', () => {
  test('brings out what was taken, ends watches, and may be called twice', async () => {
    const { server, endpoint } = await startServer({ store: fileIn('state') });
    const client = await follow(endpoint);
    const changes: string[] = [];
    const watching = (async () => {
      for await (const { key } of client.watch()) changes.push(key);
    })();
    const write = client.set('/last', 'x');
    await client.close();
    expect(await write).toMatchObject({ replicated: false });
    await watching;
    const closed = server.close();
    expect(server.close()).toBe(closed);
    await closed;
    expect(await failureOf(server.bind('tcp://127.0.0.1:*'))).toBeInstanceOf(ClosedError);
    expect(server.status().state).toBe('closed');
    const again = await startServer({ store: fileIn('state') });
    await shows(await follow(again.endpoint), { '/last': 'x' });
  });

  test('of one that was never bound is nothing', async () => {
    const server = makeServer({ store: fileIn('state') });
    await server.close();
    expect(await failureOf(server.bind('tcp://127.0.0.1:*'))).toBeInstanceOf(ClosedError);
  });

  test('while it opens waits for that', async () => {
    const server = makeServer({ store: fileIn('state') });
    const binding = failureOf(server.bind('tcp://127.0.0.1:*'));
    await server.close();
    expect(await binding).toMatchObject({ code: 'ERR_CLOSED' });
    await startServer({ store: fileIn('state') });
  });

  test('is what `await using` does', async () => {
    const { endpoint } = await startServer();
    let used;
    {
      await using client = await follow(endpoint);
      used = client;
    }
    expect(await failureOf(used.set('/k', 'v'))).toBeInstanceOf(ClosedError);
  });
});

test('a server tells what happens', async () => {
  const server = makeServer();
  const events: CloneServerEvent[] = [];
  server.on('event', (event: CloneServerEvent) => void events.push(event));
  const endpoint = await server.bind('tcp://127.0.0.1:*');
  const client = await follow(endpoint);
  await client.set('/k', 'v');
  await client.close();
  await until(() => expect(events.map(({ type }) => type)).toContain('followerLost'));
  expect(events.map(({ type }) => type).slice(0, 4)).toEqual([
    'becameActive',
    'followerBegan',
    'published',
    'followerLost',
  ]);
  expect(server.status().events).toMatchObject({ published: 1 });
});
