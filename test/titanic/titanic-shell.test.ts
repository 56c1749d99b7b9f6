/** The Titanic as its peers meet it: over a real broker, with the storage in memory. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  ClosedError,
  NotReadyError,
  openStorage,
  StorageError,
  Titanic,
  type TitanicEvent,
} from '../../src/index.ts';
import { systemEnvironment } from '../../src/transport/environment.ts';
import { TITANIC_SERVICES } from '../../src/titanic/commands.ts';
import { BODY_FRAMES } from '../../src/titanic/protocol.ts';
import { closing, gate, OddEngine, temporaryFolder, until, upper, World } from './world.ts';

const ID = '0123456789abcdef0123456789abcdef';

function texts(body: readonly Uint8Array[]): string[] {
  return body.map((frame) => Buffer.from(frame).toString());
}

function noClock(): number {
  throw new Error('no clock');
}

describe('9/TSP', () => {
  test.each(['mdp0.1', 'mdp0.2', 'express'] as const)('is served over %s', async (protocol) => {
    const world = await World.make();
    await world.worker('upper', upper);
    const stock = world.plain({ protocol });
    const ask = async (service: string, ...body: string[]): Promise<string[]> =>
      texts((await stock.request(service, body)).body);
    const [status, id = ''] = await ask('titanic.request', 'upper', 'a', 'b');
    expect([status, id]).toEqual(['200', expect.stringMatching(/^[0-9a-f]{32}$/)]);
    await until(() => world.titanic.status().done === 1);
    expect(await ask('titanic.reply', id)).toEqual(['200', 'AB']);
    expect(await ask('titanic.reply', id.toUpperCase())).toEqual(['200', 'AB']);
    expect(await ask('titanic.close', id)).toEqual(['200']);
    expect(await ask('titanic.close', id)).toEqual(['200']);
    expect(await ask('titanic.reply', id)).toEqual([
      expect.stringMatching(/^400 ERR_UNKNOWN_REQUEST: /),
    ]);
  });

  test('says that a request is pending, or dead, with one frame', async () => {
    const world = await World.make({ retries: 0 });
    const handler = gate();
    await world.worker('late', async () => {
      await handler.opened;
      throw new Error('no luck');
    });
    const stock = world.plain({ protocol: 'mdp0.1' });
    const id = texts((await stock.request('titanic.request', 'late')).body)[1]!;
    expect(texts((await stock.request('titanic.reply', id)).body)).toEqual(['300']);
    handler.open();
    await until(() => world.titanic.status().dead === 1);
    const { body } = await stock.request('titanic.reply', id);
    expect(texts(body)).toEqual(['500 ERR_HANDLER_FAILED: no luck']);
  });
});

describe('a hostile peer', () => {
  const json = JSON.stringify;
  const odd: Readonly<Record<string, (string | Uint8Array)[]>> = {
    nothing: [],
    'an empty frame': [''],
    'many empty frames': Array<string>(3000).fill(''),
    'a path': ['../../etc/passwd'],
    'a wildcard': ['*'],
    'a megabyte': ['a'.repeat(1 << 20)],
    zeros: [new Uint8Array(32)],
    'no text': [new Uint8Array([0xff, 0xfe, 0xc3])],
    'an id and more': [ID, '-1', 'more'],
    'an id and a number too large': [ID, '9'.repeat(400)],
    'an unknown id': [ID],
    'an unknown id and a wait': [ID, '0'],
    'a bomb of brackets': ['['.repeat(60_000), 'service'],
    'a large bomb': ['{"a":'.repeat(1 << 18), 'service'],
    'terms of wrong types': [json({ id: {}, delay: [], retries: 'x' }), 'service', 'body'],
    'inherited terms': ['{"__proto__":{"id":7},"constructor":1}', 'mmi.service'],
    'the Titanic as a service': ['titanic.request', 'titanic.close', ID],
    'a command of wrong types': [json({ do: ['list'], limit: 'all' })],
    'a reply of ours': ['\0UNSINKABLE-ERR1', json({ code: 'ERR_QUEUE_FULL', message: '' })],
  };

  test.each(TITANIC_SERVICES)('of %s gets one of the four statuses', async (service) => {
    const world = await World.make();
    const plain = world.plain();
    let accepted = 0;
    for (const [name, body] of Object.entries(odd)) {
      const { body: answer } = await plain.request(service, body);
      const [status = ''] = texts(answer);
      expect([name, status]).toEqual([name, expect.stringMatching(/^(?:200|300|400|500)(?: |$)/)]);
      if (status === '200') accepted++;
    }
    // Of what was refused nothing was stored, and the Titanic is in good health.
    const { delayed, waiting, running, done, dead, closed } = world.titanic.status();
    expect(delayed + waiting + running + done + dead + closed).toBe(accepted);
    const id = await world.client().submit('upper', 'x');
    expect(await world.client().status(id)).toMatchObject({ service: 'upper' });
  });

  test('learns which body is too large, and nothing of it is stored', async () => {
    const world = await World.make({ bodyLimit: 1000 });
    const events: TitanicEvent[] = [];
    world.titanic.on('requestRefused', (event) => events.push(event));
    await expect(world.client().submit('upper', 'x'.repeat(1001))).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('1001 bytes'),
    });
    expect(events).toMatchObject([{ code: 'ERR_INVALID_ARGUMENT' }]);
    expect(world.titanic.status().storage.records).toBe(0);
  });

  test('with as many frames as fit is served whole, and with one more refused', async () => {
    const world = await World.make();
    await world.worker('echo', (request) => request.body);
    const client = world.client();
    const body = Array.from({ length: BODY_FRAMES }, (_, index) => String(index));
    const id = await client.submit('echo', body, { delay: 50 });
    expect((await client.admin.inspect(id)).body?.body).toHaveLength(BODY_FRAMES);
    expect(texts((await client.fetch(id, { wait: 5000 }))!.body)).toEqual(body);
    await expect(client.submit('echo', [...body, ''])).rejects.toMatchObject({
      code: 'ERR_INVALID_BODY',
    });
  });
});

describe('long polls', () => {
  test('may be ten thousand at once, and all learn of the reply', async () => {
    const world = await World.make();
    const handler = gate();
    await world.worker('late', async () => {
      await handler.opened;
      return 'at last';
    });
    const client = world.client({ timeout: 30_000 });
    const id = await client.submit('late', '');
    const polls = Array.from({ length: 10_000 }, () => client.fetch(id, { wait: Infinity }));
    await until(() => world.titanic.status().waiters === 10_000);
    // In between everything else is served.
    expect(await client.status(id)).toMatchObject({ state: 'running' });
    handler.open();
    const replies = await Promise.all(polls);
    expect(new Set(replies.map((reply) => reply?.text()))).toEqual(new Set(['at last']));
    expect(world.titanic.status().waiters).toBe(0);
  }, 40_000);

  test('beyond the limit are answered at once, and come again', async () => {
    const world = await World.make({ waiterLimit: 1 });
    const handler = gate();
    await world.worker('late', () => handler.opened);
    const client = world.client({ backoff: 5, backoffLimit: 10 });
    const id = await client.submit('late', '');
    const polls = [1, 2, 3].map(() => client.fetch(id, { wait: 5000 }));
    await until(() => world.titanic.status().waiters === 1);
    handler.open();
    expect((await Promise.all(polls)).every((reply) => reply?.text() === '')).toBe(true);
  });

  test('that nobody waits for any more are dropped', async () => {
    const world = await World.make();
    const client = world.client();
    const id = await client.submit('nobody', '');
    const abort = new AbortController();
    const poll = client.fetch(id, { wait: Infinity, signal: abort.signal });
    await until(() => world.titanic.status().waiters === 1);
    abort.abort(new Error('enough'));
    await expect(poll).rejects.toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError' });
    await until(() => world.titanic.status().waiters === 0);
  });
});

describe('execution', () => {
  test('waits for a service that appears later, and costs no attempt until then', async () => {
    const world = await World.make({ retries: 0 });
    const events: string[] = [];
    world.titanic.on('event', ({ type }) => events.push(type));
    const client = world.client();
    const id = await client.submit('upper', 'late');
    await until(() => events.includes('serviceAbsent'));
    await world.worker('upper', upper);
    expect((await client.fetch(id, { wait: 5000 }))?.text()).toBe('LATE');
    expect(await client.status(id)).toMatchObject({ attempts: 1 });
    expect(events).toContain('serviceFound');
  });

  test('a handler that fails is asked again, and then the request is a dead letter', async () => {
    const world = await World.make();
    let attempts = 0;
    await world.worker('fails', () => {
      throw new Error(`attempt ${++attempts}`);
    });
    const client = world.client();
    const id = await client.submit('fails', 'body', { retries: 2 });
    await expect(client.fetch(id, { wait: 5000 })).rejects.toMatchObject({
      code: 'ERR_HANDLER_FAILED',
      id,
      message: 'attempt 3',
    });
    expect(attempts).toBe(3);
    expect(await client.status(id)).toMatchObject({ state: 'dead', attempts: 3 });
  });

  test('a reply of more frames than travel is a failure, not a loss', async () => {
    const world = await World.make({ retries: 0 });
    await world.worker('many', () => Array<string>(BODY_FRAMES + 1).fill('x'));
    const client = world.client();
    const id = await client.submit('many', '');
    await expect(client.fetch(id, { wait: 5000 })).rejects.toMatchObject({
      code: 'ERR_HANDLER_FAILED',
      message: expect.stringContaining('frames'),
    });
  });

  test('one that is forgotten while it runs is cancelled, and its reply is nobody’s', async () => {
    const world = await World.make();
    const started = gate();
    const aborted = gate();
    await world.worker('long', async ({ signal }) => {
      signal.addEventListener('abort', aborted.open);
      started.open();
      await aborted.opened;
      return 'too late';
    });
    const client = world.client();
    const id = await client.submit('long', '');
    await started.opened;
    await client.forget(id);
    await aborted.opened;
    expect(await client.status(id)).toBeUndefined();
    expect(world.titanic.status()).toMatchObject({ done: 0, executing: 0, closed: 1 });
  });

  test('a slow service delays no other', async () => {
    const world = await World.make({ concurrency: 2 });
    const handler = gate();
    await world.worker('slow', () => handler.opened);
    await world.worker('upper', upper);
    const client = world.client();
    await Promise.all(Array.from({ length: 20 }, () => client.submit('slow', '')));
    expect((await client.call('upper', 'fast')).text()).toBe('FAST');
    expect(world.titanic.status().services['slow']).toMatchObject({ running: 2, waiting: 18 });
    handler.open();
    await until(() => world.titanic.status().done === 20);
  });

  test('begins within the delay that was asked for, and ends with the deadline', async () => {
    const world = await World.make();
    await world.worker('upper', upper);
    const client = world.client();
    const begun = performance.now();
    const delayed = client.call('upper', 'x', { delay: 100 });
    await expect(
      client.submit('nobody', '', { deadline: 50 }).then((id) => client.fetch(id, { wait: 5000 })),
    ).rejects.toMatchObject({ code: 'ERR_REQUEST_EXPIRED' });
    await delayed;
    expect(performance.now() - begun).toBeGreaterThanOrEqual(100);
  });
});

describe('an operator', () => {
  test('sees what is dead, looks into it, and tries it again', async () => {
    const world = await World.make({ retries: 0 });
    let isBroken = true;
    await world.worker('fails', (request) => {
      if (isBroken) throw new Error('broken');
      return upper(request);
    });
    const client = world.client();
    const { admin } = client;
    const ids: string[] = [];
    for (const body of ['a', 'b', 'c']) ids.push(await client.submit('fails', [body, 'tail']));
    await until(() => world.titanic.status().dead === 3);
    const listed: string[] = [];
    for await (const { id } of admin.list({ state: 'dead' })) listed.push(id);
    expect(listed).toEqual(ids);
    expect(await admin.overview()).toMatchObject({ dead: 3, storage: { state: 'open' } });
    const inspected = await admin.inspect(ids[1]!);
    expect(inspected).toMatchObject({ state: 'dead', code: 'ERR_HANDLER_FAILED', attempts: 1 });
    expect(texts(inspected.body!.body)).toEqual(['b', 'tail']);
    isBroken = false;
    await admin.resubmit(ids[1]!);
    expect((await client.fetch(ids[1]!, { wait: 5000 }))?.text()).toBe('BTAIL');
    expect((await admin.inspect(ids[1]!)).body).toBeUndefined();
    await expect(admin.resubmit(ids[1]!)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await expect(admin.inspect(ID)).rejects.toMatchObject({ code: 'ERR_UNKNOWN_REQUEST', id: ID });
  });

  test('lists more requests than one answer holds', async () => {
    const world = await World.make();
    const client = world.client();
    const ids = await Promise.all(Array.from({ length: 2500 }, () => client.submit('nobody', '')));
    const listed = new Set<string>();
    for await (const { id } of client.admin.list({ service: 'nobody' })) listed.add(id);
    expect(listed).toEqual(new Set(ids));
  });
});

describe('a broker', () => {
  test('that restarts is found again, by everybody', async () => {
    const world = await World.make({ heartbeatInterval: 50 });
    const events: TitanicEvent[] = [];
    world.titanic.on('brokerLost', (event) => events.push(event));
    await world.worker('upper', upper, { heartbeatInterval: 50, reconnectInterval: 10 });
    const client = world.client({ heartbeatInterval: 50 });
    const id = await client.submit('upper', 'x', { delay: 300 });
    await world.broker.close();
    await until(() => !world.titanic.status().isConnected);
    expect(events).toMatchObject([{ type: 'brokerLost' }]);
    await world.startBroker();
    expect((await client.fetch(id, { wait: 10_000 }))?.text()).toBe('X');
    expect(world.titanic.status()).toMatchObject({ isConnected: true });
  });

  test('of stock MDP will do', async () => {
    const world = await World.make({ protocol: 'mdp0.1', attemptTimeout: 5000, retries: 0 });
    const client = world.client({ protocol: 'mdp0.1' });
    const absent = await client.submit('upper', 'first');
    await until(() => world.titanic.status().services['upper']?.isAbsent === true);
    await world.worker('upper', upper, { protocol: 'mdp0.1', lanes: 4 });
    expect((await client.call('upper', 'second')).text()).toBe('SECOND');
    expect((await client.fetch(absent, { wait: 5000 }))?.text()).toBe('FIRST');
    expect(await client.status(absent)).toMatchObject({ attempts: 1 });
  });
});

describe('the storage', () => {
  test('keeps everything for the next Titanic', async () => {
    const world = await World.make();
    await world.worker('upper', upper);
    const client = world.client();
    const [done, pending, forgotten] = await Promise.all([
      client.submit('upper', 'done'),
      client.submit('nobody', 'pending'),
      client.submit('upper', 'forgotten'),
    ]);
    await client.fetch(done, { wait: 5000 });
    await client.forget(forgotten);
    await world.titanic.close();
    await world.startTitanic();
    expect((await client.fetch(done))?.text()).toBe('DONE');
    expect(await client.fetch(pending)).toBeUndefined();
    await expect(client.fetch(forgotten)).rejects.toMatchObject({ code: 'ERR_UNKNOWN_REQUEST' });
    await world.worker('nobody', upper);
    expect((await client.fetch(pending, { wait: 5000 }))?.text()).toBe('PENDING');
  });

  test('that lost a reply says so, and serves nothing else for it', async () => {
    const engine = new OddEngine();
    const world = await World.make({ storage: { cacheBytes: 0 } }, engine);
    const events: TitanicEvent[] = [];
    world.titanic.on('recordUnreadable', (event) => events.push(event));
    await world.worker('upper', upper);
    const client = world.client();
    const id = await client.submit('upper', 'x');
    await client.fetch(id, { wait: 5000 });
    engine.spoil(`reply:${id}`);
    const corrupt = { code: 'ERR_STORAGE_CORRUPT', id };
    await expect(client.fetch(id)).rejects.toMatchObject(corrupt);
    await expect(client.fetch(id, { wait: 100 })).rejects.toMatchObject(corrupt);
    expect(events).toMatchObject([{ id }]);
    await world.titanic.close();
    await world.startTitanic();
    await expect(client.fetch(id)).rejects.toMatchObject(corrupt);
    await client.forget(id);
    expect(await client.status(id)).toBeUndefined();
  });

  test('that lost a request does not execute it', async () => {
    const engine = new OddEngine();
    const world = await World.make({ storage: { cacheBytes: 0 } }, engine);
    const client = world.client();
    const id = await client.submit('upper', 'x', { delay: 50 });
    let executed = 0;
    await world.worker('upper', () => void executed++);
    engine.spoil(`request:${id}`);
    await expect(client.fetch(id, { wait: 5000 })).rejects.toMatchObject({
      code: 'ERR_STORAGE_CORRUPT',
    });
    expect(executed).toBe(0);
    expect(world.titanic.status().executing).toBe(0);
  });

  test('that is full refuses what is new, and lets go what is old', async () => {
    const engine = new OddEngine();
    const world = await World.make({}, engine);
    const events: TitanicEvent[] = [];
    world.titanic.on('storageChanged', (event) => events.push(event));
    const client = world.client();
    const id = await client.submit('nobody', '');
    engine.isFull = true;
    await expect(client.submit('nobody', '')).rejects.toMatchObject({ code: 'ERR_STORAGE_FULL' });
    expect(events).toMatchObject([{ state: 'full' }]);
    engine.isFull = false;
    await client.forget(id);
    await until(() => world.titanic.status().storage.state === 'open');
    expect(await client.submit('nobody', '')).not.toBe(id);
  });

  test('that is broken keeps what it has, and takes no more', async () => {
    const engine = new OddEngine();
    const world = await World.make({}, engine);
    await world.worker('upper', upper);
    const client = world.client();
    const id = await client.submit('upper', 'x');
    await client.fetch(id, { wait: 5000 });
    engine.isBroken = true;
    const failed = { code: 'ERR_STORAGE_FAILED' };
    await expect(client.submit('upper', '')).rejects.toMatchObject(failed);
    await expect(client.forget(id)).rejects.toMatchObject(failed);
    expect((await client.fetch(id))?.text()).toBe('X');
    engine.isBroken = false;
    await world.titanic.close();
    await world.startTitanic();
    await client.forget(id);
  });

  test('in a directory is one Titanic’s at a time, and nobody else’s', async () => {
    const place = join(temporaryFolder(), 'not', 'there', 'yet');
    const first = closing(await Titanic.open(place));
    const error = await Titanic.open(place).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StorageError);
    expect(error).toMatchObject({ code: 'ERR_STORAGE_IN_USE' });
    expect(String(error)).toContain(place);
    await first.close();
    await (await Titanic.open(place, { storage: { durability: 'os' } })).close();
    await expect(openStorage(place)).rejects.toMatchObject({ code: 'ERR_STORAGE_VERSION' });
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    await expect(Titanic.open(file)).rejects.toMatchObject({ code: 'ERR_STORAGE_UNAVAILABLE' });
  });

  test('that cannot be opened says why', async () => {
    const engine = new OddEngine();
    engine.refusal = new StorageError('ERR_STORAGE_IN_USE', 'another process uses it');
    await expect(Titanic.open(engine)).rejects.toBe(engine.refusal);
  });
});

describe('closing', () => {
  test('lets what runs finish, and keeps its reply', async () => {
    const world = await World.make({ drainTimeout: 5000 });
    const started = gate();
    const handler = gate();
    await world.worker('slow', async () => {
      started.open();
      await handler.opened;
      return 'in time';
    });
    const client = world.client();
    const id = await client.submit('slow', '');
    await started.opened;
    const closed = world.titanic.close();
    handler.open();
    await closed;
    await world.startTitanic();
    expect((await client.fetch(id))?.text()).toBe('in time');
  });

  test('cancels what runs too long, and the next Titanic runs it again', async () => {
    const world = await World.make({ drainTimeout: 50 });
    const started = gate();
    let runs = 0;
    await world.worker('slow', ({ signal }) => {
      if (runs++ > 0) return 'again';
      started.open();
      return new Promise<string>((resolve) =>
        signal.addEventListener('abort', () => resolve('aborted')),
      );
    });
    const client = world.client();
    const id = await client.submit('slow', '');
    await started.opened;
    await world.titanic.close();
    await world.startTitanic();
    expect((await client.fetch(id, { wait: 5000 }))?.text()).toBe('again');
    expect(await client.status(id)).toMatchObject({ attempts: 2 });
  });

  test('does not wait for long polls, which go on at the next Titanic', async () => {
    const world = await World.make({ drainTimeout: 60_000 });
    const client = world.client();
    const id = await client.submit('upper', 'x');
    const poll = client.fetch(id, { wait: Infinity });
    await until(() => world.titanic.status().waiters === 1);
    await world.titanic.close();
    await world.startTitanic();
    await world.worker('upper', upper);
    expect((await poll)?.text()).toBe('X');
  });

  test('may be asked for twice, and before anything else', async () => {
    const { engine } = await World.make();
    const titanic = await Titanic.open(engine);
    await Promise.all([titanic.close(), titanic.close()]);
    expect(() => titanic.connect('tcp://127.0.0.1:5555')).toThrow(ClosedError);
    await expect(titanic.ready()).rejects.toThrow(ClosedError);
    await using another = await Titanic.open(engine);
    expect(another.status()).toMatchObject({ isConnected: false, storage: { state: 'open' } });
  });
});

describe('a wrong call', () => {
  test.each([
    ['an unknown option', { concurency: 1 }, /no option 'concurency'/],
    ['an option out of range', { retries: -1 }, /'retries'/],
    ['bodies that no record can hold', { bodyLimit: 2 ** 30 }, /'bodyLimit'/],
    ['an unknown option of the storage', { storage: { durable: true } }, /'durable'/],
    ['storage options that are none', { storage: 7 }, /'storage'/],
    ['an unknown protocol', { protocol: 'tsp' }, /'protocol'/],
  ])('with %s is refused by name', async (_name, options, message) => {
    const engine = new OddEngine();
    await expect(Titanic.open(engine, options as object)).rejects.toThrow(message);
    expect(engine.isScanned).toBe(false);
  });

  test.each([[''], [undefined], [7], [{}]])('with a place of %j', async (place) => {
    await expect(Titanic.open(place as unknown as string)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });

  test('is none: any number of polls may wait', async () => {
    const world = await World.make({ waiterLimit: Number.MAX_SAFE_INTEGER });
    await world.worker('upper', upper);
    expect((await world.client().call('upper', 'x')).text()).toBe('X');
  });

  test('leaves the directory to others', async () => {
    const folder = temporaryFolder();
    const environment = systemEnvironment();
    const clock = { ...environment.clock, now: noClock };
    const opening = Titanic.open(folder, {}, { ...environment, clock });
    await expect(opening).rejects.toThrow('no clock');
    await using titanic = await Titanic.open(folder);
    expect(titanic.status().storage.state).toBe('open');
  });

  test('connects to nothing', async () => {
    const world = await World.make();
    const titanic = closing(await Titanic.open(new OddEngine()));
    expect(() => titanic.connect('nowhere')).toThrow(/nowhere/);
    await expect(titanic.ready({ timeout: 10 })).rejects.toThrow(NotReadyError);
    titanic.connect(world.endpoint);
    await titanic.ready();
  });
});

test('two Titanics at one broker notice each other', async () => {
  const world = await World.make({ heartbeatInterval: 20 });
  const first = world.titanic;
  const told: string[] = [];
  const other = closing(await Titanic.open(new OddEngine(), { heartbeatInterval: 20 }));
  first.on('rivalFound', ({ titanics }) => told.push(`first ${titanics}`));
  other.on('rivalFound', ({ titanics }) => told.push(`other ${titanics}`));
  other.connect(world.endpoint);
  await until(() => told.length === 2);
  expect(told.toSorted()).toEqual(['first 2', 'other 2']);
});

test('a logger hears what happens, at the level that it deserves', async () => {
  const lines: string[] = [];
  const log = (level: string) => (_fields: object, message: string) =>
    void lines.push(`${level} ${message}`);
  const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  const world = await World.make({ logger, retries: 0 });
  await world.worker('fails', () => {
    throw new Error('no');
  });
  await expect(world.client().call('fails', '')).rejects.toMatchObject({
    code: 'ERR_HANDLER_FAILED',
  });
  expect(lines).toEqual(
    expect.arrayContaining(['info brokerFound', 'debug requestAccepted', 'warn deadLetter']),
  );
});
