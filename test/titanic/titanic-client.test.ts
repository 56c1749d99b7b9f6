/** The Titanic client as its users meet it: whoever restarts, and whatever they do wrong. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  ClosedError,
  RequestError,
  TitanicClient,
  TitanicError,
  UnsinkableError,
  type TitanicClientEvent,
} from '../../src/index.ts';
import { closing, gate, OddEngine, until, upper, World } from './world.ts';

const ID = '0123456789abcdef0123456789abcdef';

describe('a restart of the Titanic', () => {
  test('in the middle of submit makes one request', async () => {
    const engine = new OddEngine();
    const world = await World.make({}, engine);
    const client = world.client({ attemptTimeout: 1000 });
    const held = gate();
    engine.held = held.opened;
    const submitted = client.submit('nobody', 'x');
    await until(() => world.titanic.status().writing === 1);
    const closed = world.titanic.close();
    engine.held = undefined;
    held.open();
    await closed;
    await world.startTitanic();
    const id = await submitted;
    expect(world.pending).toBe(1);
    expect(await client.status(id)).toMatchObject({ service: 'nobody' });
  });

  test('before submit is waited for', async () => {
    const world = await World.make();
    await world.titanic.close();
    const submitted = world.client({ attemptTimeout: 100 }).submit('nobody', 'x');
    await world.startTitanic();
    await submitted;
    expect(world.pending).toBe(1);
  });

  test('in the middle of fetch is bridged', async () => {
    const world = await World.make();
    const client = world.client();
    const id = await client.submit('upper', 'x');
    const fetched = client.fetch(id, { wait: 30_000 });
    await until(() => world.titanic.status().waiters === 1);
    await world.titanic.close();
    await world.startTitanic();
    await until(() => world.titanic.status().waiters === 1);
    await world.worker('upper', upper);
    expect((await fetched)?.text()).toBe('X');
  });

  test('in the middle of forget leaves nothing', async () => {
    const engine = new OddEngine();
    const world = await World.make({}, engine);
    const client = world.client({ attemptTimeout: 1000 });
    const id = await client.submit('nobody', 'x');
    const held = gate();
    engine.held = held.opened;
    const forgotten = client.forget(id);
    await until(() => world.titanic.status().writing === 1);
    const closed = world.titanic.close();
    engine.held = undefined;
    held.open();
    await closed;
    await world.startTitanic();
    await forgotten;
    expect(await client.status(id)).toBeUndefined();
    expect(world.pending).toBe(0);
  });

  test('and of the broker, all the time, loses no call', async () => {
    const world = await World.make({ heartbeatInterval: 50 });
    const quick = { heartbeatInterval: 50, reconnectInterval: 10 };
    await world.worker('upper', upper, quick);
    const client = world.client({ attemptTimeout: 500, heartbeatInterval: 50, timeout: 30_000 });
    const indices = Array.from({ length: 200 }, (_, index) => index);
    const outcomes = Promise.allSettled(
      indices.map(async (index) => {
        const delay = (index % 10) * 100;
        return (await client.call('upper', `request ${index}`, { delay, retries: 20 })).text();
      }),
    );
    for (let round = 0; round < 3; round++) {
      await world.titanic.close();
      await world.startTitanic();
      await world.broker.close();
      await world.startBroker();
      await world.titanic.ready();
    }
    expect(await outcomes).toEqual(
      indices.map((index) => ({ status: 'fulfilled', value: `REQUEST ${index}` })),
    );
    expect(world.pending).toBe(0);
    expect(world.titanic.status()).toMatchObject({ done: 0, dead: 0 });
  }, 40_000);
});

describe('submit', () => {
  test('twice with one id makes one request, also later and in upper case', async () => {
    const world = await World.make();
    let runs = 0;
    await world.worker('count', () => String(++runs));
    const client = world.client();
    const both = [ID, ID.toUpperCase()].map((id) => client.submit('count', 'x', { id }));
    expect(await Promise.all(both)).toEqual([ID, ID]);
    expect((await client.fetch(ID, { wait: 5000 }))?.text()).toBe('1');
    expect(await client.submit('count', 'x', { id: ID })).toBe(ID);
    expect((await client.fetch(ID))?.text()).toBe('1');
    expect(runs).toBe(1);
  });

  test.each([
    ['another service', 'other', 'x'],
    ['another body', 'count', 'y'],
  ])('with an id of %s is refused', async (_name, service, body) => {
    const world = await World.make();
    const client = world.client();
    await client.submit('count', 'x', { id: ID });
    const refused = { code: 'ERR_ID_IN_USE', id: ID, name: 'TitanicError' };
    await expect(client.submit(service, body, { id: ID })).rejects.toMatchObject(refused);
    await client.forget(ID);
    await expect(client.submit('count', 'x', { id: ID })).rejects.toMatchObject(refused);
  });

  test('beyond the limit is refused, and may be tried again', async () => {
    const world = await World.make({ pendingLimit: 1 });
    const client = world.client();
    const id = await client.submit('nobody', '');
    const error: unknown = await client.submit('nobody', '').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TitanicError);
    expect(error).toMatchObject({ code: 'ERR_QUEUE_FULL', retriable: true });
    await client.forget(id);
    await client.submit('nobody', '');
  });
});

describe('call', () => {
  test('leaves nothing behind', async () => {
    const world = await World.make();
    await world.worker('upper', upper);
    const client = world.client();
    expect((await client.call('upper', 'x')).text()).toBe('X');
    expect(world.titanic.status()).toMatchObject({ done: 0, closed: 1 });
  });

  test('that is aborted forgets its request, unless it was given the id', async () => {
    const world = await World.make();
    const client = world.client();
    const abort = new AbortController();
    const { signal } = abort;
    const calls = [
      client.call('nobody', '', { signal }),
      client.call('nobody', '', { signal, id: ID }),
    ];
    await until(() => world.titanic.status().waiters === 2);
    const reason = new Error('enough');
    abort.abort(reason);
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({ code: 'ERR_CANCELLED', cause: reason });
    }
    await until(() => world.titanic.status().closed === 1);
    expect(await client.status(ID)).toMatchObject({ service: 'nobody' });
    expect(world.pending).toBe(1);
    expect(world.titanic.status().waiters).toBe(0);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('that was aborted before asks nobody', async () => {
    const world = await World.make();
    const call = world.client().call('nobody', '', { signal: AbortSignal.abort() });
    await expect(call).rejects.toMatchObject({ name: 'AbortError' });
    expect(world.pending).toBe(0);
  });

  test('waits no longer than it was told, and the request stays', async () => {
    const world = await World.make();
    const client = world.client();
    await expect(client.call('nobody', '', { wait: 50, id: ID })).rejects.toMatchObject({
      code: 'ERR_REQUEST_TIMEOUT',
      message: expect.stringContaining(ID),
    });
    expect(await client.status(ID)).toMatchObject({ service: 'nobody' });
  });

  test('of a service that fails says why, and leaves the dead letter', async () => {
    const world = await World.make({ retries: 0 });
    await world.worker('fails', () => {
      throw new Error('no luck');
    });
    const client = world.client();
    const error: unknown = await client.call('fails', '').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TitanicError);
    expect(error).toMatchObject({ code: 'ERR_HANDLER_FAILED', message: 'no luck' });
    expect(await client.status((error as TitanicError).id)).toMatchObject({ state: 'dead' });
  });

  test('gives the reply also if it cannot be forgotten', async () => {
    const engine = new OddEngine();
    const world = await World.make({}, engine);
    await world.worker('upper', upper);
    const client = world.client();
    const id = await client.submit('upper', 'x', { id: ID });
    await client.fetch(id, { wait: 5000 });
    engine.isBroken = true;
    expect((await client.call('upper', 'x', { id: ID })).text()).toBe('X');
  });
});

describe('fetch', () => {
  test('without a wait tells at once that it is pending', async () => {
    const world = await World.make();
    const client = world.client();
    const id = await client.submit('nobody', '');
    expect(await client.fetch(id)).toBeUndefined();
    expect(await client.fetch(id, { wait: 30 })).toBeUndefined();
  });

  test('goes on in slices as long as it is told to', async () => {
    const world = await World.make();
    const client = world.client();
    const id = await client.submit('nobody', '');
    const begun = performance.now();
    expect(await client.fetch(id, { wait: 300 })).toBeUndefined();
    expect(performance.now() - begun).toBeGreaterThanOrEqual(299);
  });

  test('of an unknown id fails; its status is none, and to forget it is easy', async () => {
    const world = await World.make();
    const client = world.client();
    const unknown = { code: 'ERR_UNKNOWN_REQUEST', id: ID, retriable: false };
    await expect(client.fetch(ID, { wait: 5000 })).rejects.toMatchObject(unknown);
    expect(await client.status(ID)).toBeUndefined();
    await client.forget(ID);
  });
});

describe('nobody there', () => {
  test('is a RequestError when the time is over, and was told before', async () => {
    const world = await World.make();
    await world.titanic.close();
    const client = world.client({ timeout: 500, attemptTimeout: 50 });
    const retries: TitanicClientEvent[] = [];
    client.on('retry', (event) => retries.push(event));
    const error: unknown = await client.submit('upper', '').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RequestError);
    // The client's clock says so, or the broker's.
    const code = expect.stringMatching(/^ERR_REQUEST_(?:TIMEOUT|EXPIRED)$/);
    const message = 'no Titanic answers within 500 ms: is one there, and its broker?';
    expect(error).toMatchObject({ code, service: 'titanic.submit', message });
    expect(retries[0]).toMatchObject({ service: 'titanic.submit', code });
  });

  test('is said before anything is asked', async () => {
    const client = closing(new TitanicClient());
    const error: unknown = await client.submit('upper', '').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnsinkableError);
    expect(error).toMatchObject({ code: 'ERR_NOT_CONNECTED' });
    await expect(client.ready()).rejects.toMatchObject({ code: 'ERR_NOT_READY' });
  });

  test('does not keep an aborted call waiting', async () => {
    const world = await World.make();
    await world.titanic.close();
    const client = world.client({ attemptTimeout: 10, backoff: 5000, backoffLimit: 5000 });
    const abort = new AbortController();
    const submitted = client.submit('upper', '', { signal: abort.signal });
    await new Promise((resolve) => client.once('retry', resolve));
    abort.abort();
    await expect(submitted).rejects.toMatchObject({ name: 'AbortError' });
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0);
  });

  test('does not keep the client from closing', async () => {
    const world = await World.make();
    await world.titanic.close();
    const client = world.client({ attemptTimeout: 10, backoff: 5000, backoffLimit: 5000 });
    const submitted = client.submit('upper', '').catch((error: unknown) => error);
    await new Promise((resolve) => client.once('retry', resolve));
    await client.close();
    expect(await submitted).toBeInstanceOf(ClosedError);
  });
});

test('one signal for many calls is listened to once', async () => {
  const world = await World.make();
  const warnings: Error[] = [];
  const warn = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warn);
  const client = world.client();
  const abort = new AbortController();
  const polls = Array.from({ length: 100 }, async () => {
    const id = await client.submit('nobody', '', { signal: abort.signal });
    await client.fetch(id, { wait: Infinity, signal: abort.signal });
  });
  await until(() => world.titanic.status().waiters === 100);
  abort.abort();
  const outcomes = await Promise.allSettled(polls);
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', warn);
  expect(warnings).toEqual([]);
});

describe('what is no Titanic of this library', () => {
  test.each<[string, string[]]>([
    ['no status', []],
    ['an odd status', ['404 not found']],
    ['no JSON', ['200', 'state']],
    ['JSON of something else', ['200', '{"state":7}']],
    ['nothing behind the status', ['200']],
  ])('and answers with %s is refused as such', async (_name, answer) => {
    const world = await World.make();
    await world.titanic.close();
    await world.worker('titanic.status', () => answer);
    await expect(world.client().status(ID)).rejects.toMatchObject({
      code: 'ERR_NOT_SUPPORTED',
      name: 'TitanicError',
      message: expect.stringContaining('no Titanic of this library'),
    });
  });

  test('and fails is not asked again and again', async () => {
    const world = await World.make();
    await world.titanic.close();
    let asked = 0;
    await world.worker('titanic.submit', () => {
      throw new Error(`asked ${++asked}`);
    });
    await expect(world.client().submit('upper', '')).rejects.toMatchObject({
      code: 'ERR_HANDLER_FAILED',
      message: 'asked 1',
    });
  });
});

describe('a wrong call', () => {
  const client = new TitanicClient();
  const lax = client as unknown as Record<string, (...given: unknown[]) => Promise<unknown>>;

  test.each<[string, unknown[], RegExp]>([
    ['submit', ['', 'x'], /1 to 255 bytes/],
    ['submit', [7, 'x'], /1 to 255 bytes/],
    ['submit', ['mmi.service', 'x'], /'mmi\.'/],
    ['submit', ['titanic.request', 'x'], /'titanic\.'/],
    ['submit', ['s', { a: 1 }], /body/],
    ['submit', ['s', 'x', { dealy: 1 }], /no option 'dealy'/],
    ['submit', ['s', 'x', { id: '../x' }], /'id' must be/],
    ['submit', ['s', 'x', { delay: -1 }], /'delay' must be/],
    ['submit', ['s', 'x', { deadline: Infinity }], /'deadline' must be/],
    ['submit', ['s', 'x', { retries: 1.5 }], /'retries' must be/],
    ['submit', ['s', 'x', { backoff: '1' }], /'backoff' must be/],
    ['submit', ['s', 'x', { timeout: 0 }], /'timeout' must be/],
    ['submit', ['s', 'x', { signal: {} }], /'signal' must be/],
    ['fetch', [undefined], /32 hexadecimal/],
    ['fetch', ['a'.repeat(33)], /32 hexadecimal/],
    ['fetch', [`${ID}\n`], /32 hexadecimal/],
    ['fetch', [ID, { wait: -1 }], /'wait' must be/],
    ['status', ['*'], /32 hexadecimal/],
    ['forget', [ID, { wait: 1 }], /no option 'wait'/],
    ['call', ['s', 'x', { wait: NaN }], /'wait' must be/],
  ])('to %s with %j is refused by name', async (method, given, message) => {
    const call = lax[method]!.apply(client, given);
    await expect(call).rejects.toThrow(message);
    await expect(call).rejects.toMatchObject({ name: 'InvalidArgumentError' });
  });

  test('with an id of a megabyte says nothing of it', async () => {
    const error: unknown = await client.fetch('a'.repeat(1 << 20)).catch((it: unknown) => it);
    expect(String(error).length).toBeLessThan(200);
  });

  test('to the operator’s side too', async () => {
    await expect(client.admin.inspect('x')).rejects.toThrow(/32 hexadecimal/);
    await expect(client.admin.resubmit('x')).rejects.toThrow(/32 hexadecimal/);
    await expect(client.admin.overview({ timeout: -1 })).rejects.toThrow(/'timeout'/);
    const state = 'sunk' as 'dead';
    await expect(client.admin.list({ state }).next()).rejects.toThrow(/'state' must be one of/);
  });

  test.each([
    [{ retires: 1 }, /no option 'retires'/],
    [{ timeout: -1 }, /'timeout'/],
    [{ lanes: 1000 }, /'lanes'/],
  ])('to make one with %j', (options, message) => {
    expect(() => new TitanicClient(options as object)).toThrow(message);
  });

  test('after the close', async () => {
    const closed = new TitanicClient();
    await closed.close();
    expect(() => closed.connect('tcp://127.0.0.1:5555')).toThrow(ClosedError);
    await expect(closed.submit('s', '')).rejects.toThrow(ClosedError);
    await expect(closed.ready()).rejects.toThrow(ClosedError);
  });
});
