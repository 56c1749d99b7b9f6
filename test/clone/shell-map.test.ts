/** A client as a map, over real sockets: what it shows, and how it is written. */
import { describe, expect, test } from 'vitest';
import {
  CloneClient,
  CloneError,
  InvalidArgumentError,
  type CloneClientOptions,
} from '../../src/clone/index.ts';
import { closing, connect, failureOf, follow, shows, startServer, until } from './shells.ts';

describe('a replica', () => {
  test('is read like a Map', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    await client.set('/a', 'one');
    const { revision } = await client.set('/b/c', 'two');
    expect(client.get('/a')).toBe('one');
    expect(client.has('/b/c')).toBe(true);
    expect(client.get('/b')).toBeUndefined();
    expect(client.has('/b')).toBe(false);
    expect(client.size).toBe(2);
    expect([...client]).toEqual([
      ['/a', 'one'],
      ['/b/c', 'two'],
    ]);
    expect([...client.keys()]).toEqual(['/a', '/b/c']);
    expect([...client.values()]).toEqual(['one', 'two']);
    expect([...client.entries()]).toEqual([...client]);
    const seen: unknown[] = [];
    client.forEach((value, key, map) => void seen.push([key, value, map === client]));
    expect(seen).toEqual([
      ['/a', 'one', true],
      ['/b/c', 'two', true],
    ]);
    expect(client.revision('/b/c')).toBe(revision);
    expect(client.revision('/none')).toBe(0);
    expect(client.at.sequence).toBe(revision);
    expect(client.at.epoch).toBeGreaterThan(0);
    expect(new Map(client)).toBeInstanceOf(Map);
  });

  test('is the same everywhere', async () => {
    const { server, endpoint } = await startServer();
    const writer = await follow(endpoint);
    const early = await follow(endpoint);
    for (let index = 0; index < 100; index++) await writer.set(`/k/${index % 10}`, `v${index}`);
    const late = await follow(endpoint);
    const expected = Object.fromEntries(writer);
    expect(Object.keys(expected)).toHaveLength(10);
    await shows(early, expected);
    await shows(late, expected);
    await until(() => expect(early.status().digest).toEqual(server.status().digest));
    expect(late.status()).toMatchObject({ state: 'synchronised', size: 10 });
  });

  test('has only what it follows', async () => {
    const { endpoint } = await startServer();
    const writer = await follow(endpoint);
    const under = await follow(endpoint, { subtree: '/a/' });
    const one = await follow(endpoint, { subtree: '/a/x' });
    await writer.set('/a/x', '1');
    await writer.set('/a/y', '2');
    await writer.set('/b', '3');
    await shows(under, { '/a/x': '1', '/a/y': '2' });
    await shows(one, { '/a/x': '1' });
    await writer.clear('/a/');
    await shows(under, {});
    await shows(one, {});
    expect(Object.fromEntries(writer)).toEqual({ '/b': '3' });
  });

  test('has views on its parts', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const view = client.subtree('/a/');
    await client.set('/a/x', '1');
    await client.set('/a/b/y', '2');
    await client.set('/c', '3');
    expect(view.size).toBe(2);
    expect([...view.keys()]).toEqual(['/a/x', '/a/b/y']);
    expect([...view.values()]).toEqual(['1', '2']);
    expect(view.get('/a/x')).toBe('1');
    expect(view.get('/c')).toBeUndefined();
    expect(view.has('/c')).toBe(false);
    expect([...client.subtree('/c')]).toEqual([['/c', '3']]);
    const keys: string[] = [];
    view.forEach((_value, key) => void keys.push(key));
    expect(keys).toEqual(['/a/x', '/a/b/y']);
    await client.delete('/a/x');
    expect([...view]).toEqual([['/a/b/y', '2']]);
  });

  test('stays as it was while no server is there', async () => {
    const { server, endpoint } = await startServer();
    const client = await follow(endpoint);
    await client.set('/a', 'kept');
    await server.close();
    await until(() => expect(client.status().state).not.toBe('synchronised'));
    expect(client.get('/a')).toBe('kept');
    await client.close();
    expect(client.get('/a')).toBe('kept');
  });
});

describe('values', () => {
  test('go through a codec', async () => {
    const { endpoint } = await startServer();
    const json = connect<{ n: number }>(endpoint, { codec: 'json' });
    const packed = connect<unknown>(endpoint, { codec: 'msgpack' });
    const bytes = connect(endpoint);
    await json.set('/j', { n: 1 });
    await packed.set('/m', { bytes: Uint8Array.of(1, 2), list: [1n] });
    await bytes.set('/b', Uint8Array.of(255));
    await until(() => expect(bytes.size).toBe(3));
    expect(Buffer.from(bytes.get('/j')!).toString()).toBe('{"n":1}');
    expect(json.get('/j')).toEqual({ n: 1 });
    await until(() => expect(packed.has('/b')).toBe(true));
    expect(packed.get('/m')).toEqual({ bytes: Uint8Array.of(1, 2), list: [1n] });
  });

  test('that another codec wrote are errors where they are read, and nowhere else', async () => {
    const { endpoint } = await startServer();
    const json = connect<unknown>(endpoint, { codec: 'json' });
    const text = await follow(endpoint);
    await json.set('/good', 1);
    await text.set('/bad', '{');
    await until(() => expect(json.size).toBe(2));
    expect(() => json.get('/bad')).toThrow("the value of '/bad' is no json");
    expect(() => [...json]).toThrow(SyntaxError);
    expect([...json.keys()]).toEqual(['/good', '/bad']);
    expect(json.get('/good')).toBe(1);
  });

  test('may have 100 MB', { timeout: 60_000 }, async () => {
    const { endpoint } = await startServer();
    const [writer, reader] = [connect(endpoint), connect(endpoint)];
    await reader.synchronised();
    const value = new Uint8Array(100 * 2 ** 20).fill(5);
    value[value.length - 1] = 9;
    await writer.set('/big', value, { timeout: 60_000 });
    await until(() => expect(reader.has('/big')).toBe(true));
    expect(Buffer.compare(reader.get('/big')!, value)).toBe(0);
    await reader.set('/small', Uint8Array.of(1));
    await until(() => expect(writer.has('/small')).toBe(true));
  });

  test('larger than the server takes are refused', async () => {
    const { endpoint } = await startServer({ valueBytes: 10 });
    const client = await follow(endpoint);
    await client.set('/k', '0123456789');
    const error = await failureOf(client.set('/k', '0123456789x'));
    expect(error).toMatchObject({ code: 'ERR_VALUE_TOO_LARGE', key: '/k', retriable: false });
    expect(client.get('/k')).toBe('0123456789');
  });
});

describe('bad arguments are refused by name', () => {
  test.each([
    [{ subtree: 'a' }, /^CloneClient: option 'subtree' must be .*'\/a\/b\/'.*, not 'a'/],
    [{ subtree: '/a//' }, /option 'subtree'/],
    [{ codec: 'xml' }, /option 'codec' must be one of 'bytes', 'text', 'json', 'msgpack'/],
    [{ protocol: 'mqtt' }, /option 'protocol'/],
    [{ timeout: 300_001 }, /option 'timeout' must be milliseconds, 1 to 300000/],
    [{ window: 10 }, /option 'window'/],
    [{ wibble: 1 }, /CloneClient has no option 'wibble'/],
  ])('in %j', (options, message) => {
    const make = () => closing(new CloneClient(options as CloneClientOptions));
    expect(make).toThrow(InvalidArgumentError);
    expect(make).toThrow(message);
  });

  test.each([
    '',
    'a',
    'HUGZ',
    'KTHXBAI',
    '/',
    '/a/',
    '/a//b',
    '/a\n',
    '/\uD800',
    `/${'x'.repeat(255)}`,
    `/${'ä'.repeat(128)}`,
    `/${'x'.repeat(2 ** 16)}`,
    7,
    null,
    undefined,
  ])('in the key %j', async (key) => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const any = key as string;
    for (const call of [
      () => client.set(any, 'x'),
      () => client.delete(any),
      () => client.update(any, () => 'x'),
    ]) {
      const error = await failureOf(call);
      expect(error).toBeInstanceOf(CloneError);
      expect(error).toMatchObject({ code: 'ERR_INVALID_KEY', retriable: false, maybeDone: false });
      const { message } = error as Error;
      expect(message).toMatch(/is no key: a key is a path such as '\/config\/db\/host'/);
      expect(message.length).toBeLessThan(300);
    }
    expect(client.has(any)).toBe(false);
    expect(client.get(any)).toBeUndefined();
  });

  test('in a subtree', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint, { subtree: '/a/' });
    for (const bad of ['a', '//', 7]) {
      const subtree = bad as string;
      const error = await failureOf(client.clear(subtree));
      expect(error).toMatchObject({ code: 'ERR_INVALID_KEY' });
      expect(() => client.watch(subtree)).toThrow('is no subtree');
      expect(() => client.subtree(subtree)).toThrow('is no subtree');
    }
    expect(() => client.watch('')).toThrow("cannot follow '': this client has what is under '/a/'");
    expect(() => client.subtree('/b/')).toThrow(InvalidArgumentError);
    expect(await failureOf(client.update('/b/c', () => 'x'))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: "cannot update '/b/c': this client has what is under '/a/' only",
    });
  });

  test('in connect, also if it names nobody', async () => {
    const client = closing(new CloneClient());
    const error = await failureOf(() => client.connect([]));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_ENDPOINT' });
    expect(error).toMatchObject({ message: expect.stringMatching(/^connect: .+ not \[\]$/) });
  });

  test('in the options of a call', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const calls: [() => unknown, string][] = [
      [() => client.set('/k', 'v', { ttl: 0 }), "set: option 'ttl'"],
      [() => client.set('/k', 'v', { ifMatch: -1 }), "set: option 'ifMatch'"],
      [() => client.set('/k', 'v', { ifMatch: 1.5 }), "set: option 'ifMatch'"],
      [() => client.set('/k', 'v', { timeout: 300_001 }), "set: option 'timeout'"],
      [() => client.delete('/k', { ttl: 5 } as object), "delete has no option 'ttl'"],
      [() => client.clear('/k/', { ifMatch: 5 } as object), "clear has no option 'ifMatch'"],
      [() => client.update('/k', () => 'v', { ifMatch: 5 } as object), 'update has no option'],
      [
        () => client.update('/k', 'v' as never),
        'update: what changes the value must be a function',
      ],
      [() => client.watch('', { bufferLimit: 0 }), "watch: option 'bufferLimit'"],
      [() => client.synchronised({ timeout: -1 }), "synchronised: option 'timeout'"],
      [() => client.connect('tcp://*:5'), 'endpoint'],
      [() => client.set('/k', 7 as unknown as string), "the value for '/k' cannot be written"],
    ];
    for (const [call, message] of calls) {
      const error = await failureOf(call);
      expect(error).toBeInstanceOf(InvalidArgumentError);
      expect((error as Error).message).toContain(message);
    }
    expect(await failureOf(client.set('/k', ''))).toMatchObject({ code: 'ERR_EMPTY_VALUE' });
    expect(client.size).toBe(0);
    expect(client.status().pending).toBe(0);
  });
});
