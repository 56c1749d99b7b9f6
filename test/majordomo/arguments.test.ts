/** Wrong calls: each is refused with a stable code, and a message that names what is wrong. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  BindError,
  ClosedError,
  InvalidArgumentError,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  NotReadyError,
  type Body,
} from '../../src/index.ts';
import {
  broadcastRules,
  brokerRules,
  clientRules,
  mapRules,
  requestRules,
  workerRules,
} from '../../src/majordomo/options.ts';

const undo: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

/** Closes it when the test is over. */
function closing<Shell extends { close(): Promise<void> }>(shell: Shell): Shell {
  undo.push(() => shell.close());
  return shell;
}

/** What JavaScript lets a caller pass and TypeScript does not. */
function wrongly(value: unknown): never;
function wrongly(value: unknown): unknown {
  return value;
}

const newBroker = (options?: object) => closing(new MajordomoBroker(options));
const newClient = (options?: object) => closing(new MajordomoClient(options));
const newWorker = (options?: object) => closing(new MajordomoWorker('x', (it) => it.body, options));

/** A client that is connected, though to nobody. */
function connectedClient(options?: object): MajordomoClient {
  const client = newClient({ drainTimeout: 0, ...options });
  client.connect('inproc://nobody-is-there');
  return client;
}

describe('options', () => {
  const NAMES: [owner: string, rules: object, call: (options: object) => unknown][] = [
    ['MajordomoBroker', brokerRules, newBroker],
    ['MajordomoWorker', workerRules, newWorker],
    ['MajordomoClient', clientRules, newClient],
    ['request', requestRules, (options) => connectedClient().request('x', '', options)],
    ['stream', requestRules, (options) => connectedClient().stream('x', '', options).next()],
    ['broadcast', broadcastRules, (options) => connectedClient().broadcast('x', '', options)],
    ['map', mapRules, (options) => connectedClient().map('x', [''], options).next()],
    ['ready', { timeout: 0 }, (options) => connectedClient().ready(options)],
    ['ready', { timeout: 0 }, (options) => newWorker().ready(options)],
  ];

  test.each(NAMES)('%s refuses an option it does not have, by name', async (owner, rules, call) => {
    const failure = await failureOf(() => call({ heartbeatIntervall: 5 }));
    expect(failure).toBeInstanceOf(InvalidArgumentError);
    expect(failure).toMatchObject({ code: 'ERR_UNKNOWN_OPTION', retriable: false });
    expect(failure.message).toContain(`${owner} has no option 'heartbeatIntervall'`);
    for (const name of Object.keys(rules)) expect(failure.message).toContain(name);
  });

  test.each(NAMES)(
    '%s refuses a wrong value of every option, by name',
    async (owner, rules, call) => {
      for (const name of Object.keys(rules)) {
        const failure = await failureOf(() => call({ [name]: () => 'a function is never right' }));
        expect(failure).toMatchObject({ code: 'ERR_INVALID_OPTION', retriable: false });
        expect(failure.message).toContain(`${owner}: option '${name}' must be`);
      }
    },
  );

  test.each(NAMES)('%s refuses options that are no object', async (_owner, _rules, call) => {
    for (const options of [5, 'fast', null, true]) {
      const failure = await failureOf(() => call(wrongly(options)));
      expect(failure).toMatchObject({ code: 'ERR_INVALID_OPTION' });
    }
  });

  test.each([
    ['heartbeatInterval', 0],
    ['heartbeatInterval', -5],
    ['heartbeatInterval', Number.NaN],
    ['heartbeatInterval', Infinity],
    ['heartbeatInterval', '1000'],
    ['heartbeatLiveness', 1],
    ['heartbeatLiveness', 2.5],
    ['maxAttempts', 0],
    ['queueLimit', Number.MAX_SAFE_INTEGER + 1],
    ['drainTimeout', -1],
    ['logger', { info: () => undefined }],
  ])('%s: %s is refused', async (name, value) => {
    const failure = await failureOf(() => newBroker({ [name]: value }));
    expect(failure.message).toContain(`option '${name}' must be`);
  });

  test.each([
    ['idempotencyKey', ''],
    ['idempotencyKey', 'ä'.repeat(128)],
    ['idempotencyKey', '\ud800'],
    ['priority', 10],
    ['priority', 1.5],
    ['headers', ['a']],
    ['headers', { a: 5 }],
    ['failFast', 'yes'],
    ['codec', 'xml'],
  ])('of a request: %s: %o is refused', async (name, value) => {
    const failure = await failureOf(() => connectedClient().request('x', '', { [name]: value }));
    expect(failure.message).toContain(`option '${name}' must be`);
  });

  test('headers have a limit', async () => {
    const options = { headers: { much: 'x'.repeat(65_536) } };
    const failure = await failureOf(() => connectedClient().request('x', '', options));
    expect(failure).toMatchObject({ code: 'ERR_INVALID_OPTION' });
    expect(failure.message).toContain('65536 bytes');
  });

  test('codecs of a client are named by service', async () => {
    const failure = await failureOf(() => newClient({ codecs: { x: 'xml' } }));
    expect(failure.message).toContain("option 'codecs' must be");
  });

  test('names that every object has are unknown options too', async () => {
    for (const name of ['toString', 'constructor', '__proto__']) {
      const options: unknown = JSON.parse(`{ "${name}": 5 }`);
      const failure = await failureOf(() => newBroker(wrongly(options)));
      expect(failure).toMatchObject({ code: 'ERR_UNKNOWN_OPTION' });
    }
  });

  test('an option given as undefined is left out', () => {
    expect(() => newBroker({ heartbeatInterval: undefined, logger: undefined })).not.toThrow();
  });

  test('stream is refused where the dialect has no partial replies', async () => {
    const client = connectedClient({ protocol: 'mdp0.1' });
    const failure = await failureOf(() => client.stream('x', '').next());
    expect(failure).toMatchObject({ code: 'ERR_INVALID_OPTION' });
    expect(failure.message).toContain("'mdp0.2'");
  });
});

describe('bodies', () => {
  const WRONG: unknown[] = [undefined, null, 5, 5n, true, {}, [5], ['a', null], [['a']], new Map()];
  WRONG.push(new ArrayBuffer(3), new Uint16Array(3), Symbol('body'), () => 'body');

  test.each(WRONG.map((body) => [body]))('a client refuses %o', async (body) => {
    const failure = await failureOf(() => connectedClient().request('x', wrongly(body)));
    expect(failure).toBeInstanceOf(InvalidArgumentError);
    expect(failure).toMatchObject({ code: 'ERR_INVALID_BODY' });
    expect(failure.message).toContain('text, a Uint8Array, or an array of these');
  });

  test.each(WRONG.map((body) => [body]))(
    'a handler that writes %o gets the error',
    async (body) => {
      const errors: unknown[] = [];
      const ask = await serve((write) => {
        try {
          write(wrongly(body));
        } catch (error) {
          errors.push(error);
        }
      });
      expect(await ask()).toBe('');
      expect(errors).toEqual([expect.objectContaining({ code: 'ERR_INVALID_BODY' })]);
    },
  );

  test('a handler that returns an object fails its request, not the worker', async () => {
    const ask = await serve(() => wrongly({ name: 'Ada' }));
    for (let times = 0; times < 2; times++) {
      const failure = await failureOf(ask);
      expect(failure).toMatchObject({ code: 'ERR_HANDLER_FAILED' });
      expect(failure.message).toContain('JSON.stringify');
    }
  });
});

describe('services and handlers', () => {
  test.each(['', 'x'.repeat(256), 'ä'.repeat(128), undefined, 5, null])(
    'service name %o is refused',
    async (name) => {
      const ofWorker = await failureOf(() => new MajordomoWorker(wrongly(name), () => ''));
      const ofClient = await failureOf(() => connectedClient().request(wrongly(name), ''));
      for (const failure of [ofWorker, ofClient]) {
        expect(failure).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
        expect(failure.message).toContain('1 to 255 bytes');
      }
    },
  );

  test('a worker cannot offer what is the broker’s own', async () => {
    const failure = await failureOf(() => new MajordomoWorker('mmi.service', () => ''));
    expect(failure).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(failure.message).toContain("'mmi.'");
  });

  test.each([undefined, null, 'handler', {}])('handler %o is refused', async (wrong) => {
    const failure = await failureOf(() => new MajordomoWorker('x', wrongly(wrong)));
    expect(failure).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(failure.message).toContain('must be a function');
  });
});

describe('endpoints', () => {
  test.each(['', 'localhost:5555', 'http://127.0.0.1:1', 'tcp://127.0.0.1:99999', 5, undefined])(
    '%o is refused everywhere',
    async (endpoint) => {
      for (const call of [
        () => newBroker().bind(wrongly(endpoint)),
        () => newWorker().connect(wrongly(endpoint)),
        () => newClient().connect(wrongly(endpoint)),
        () => newClient().connect(['tcp://127.0.0.1:5555', wrongly(endpoint)]),
      ]) {
        expect(await failureOf(call)).toMatchObject({ code: 'ERR_INVALID_ENDPOINT' });
      }
    },
  );

  test.each([
    ['tcp', () => 'tcp://127.0.0.1:*'],
    ['ipc', () => `ipc://${join(folder(), 'broker')}`],
  ])('an address in use is refused (%s)', async (_transport, endpoint) => {
    const taken = await newBroker().bind(endpoint());
    const failure = await failureOf(() => newBroker().bind(taken));
    expect(failure).toBeInstanceOf(BindError);
    expect(failure).toMatchObject({ code: 'ERR_ADDRESS_IN_USE', endpoint: taken, retriable: true });
    expect(failure.message).toContain(taken);
  });

  test('a broker that could not bind can bind elsewhere', async () => {
    const taken = await newBroker().bind('tcp://127.0.0.1:*');
    const broker = newBroker();
    await failureOf(() => broker.bind(taken));
    const endpoint = await broker.bind('tcp://127.0.0.1:*');
    expect(broker.endpoints).toEqual([endpoint]);
    const client = newClient();
    client.connect(endpoint);
    await client.ready();
  });
});

describe('at the wrong time', () => {
  test('nobody answers: ready() says where it asked, and what to check', async () => {
    const endpoints = ['tcp://127.0.0.1:9', 'tcp://127.0.0.1:7'];
    const [client, worker] = [newClient(), newWorker()];
    for (const shell of [client, worker]) {
      shell.connect(endpoints);
      const failure = await failureOf(() => shell.ready({ timeout: 100 }));
      expect(failure).toBeInstanceOf(NotReadyError);
      expect(failure).toMatchObject({ code: 'ERR_NOT_READY', endpoints, retriable: true });
      expect(failure.message).toContain(`no broker answers at ${endpoints.join(', ')}`);
    }
  });

  test('ready() without connect() says so', async () => {
    for (const shell of [newClient(), newWorker()]) {
      const failure = await failureOf(() => shell.ready({ timeout: 1 }));
      expect(failure).toMatchObject({ code: 'ERR_NOT_READY', endpoints: [] });
      expect(failure.message).toContain('call connect(endpoint) before ready()');
    }
  });

  test('a request without connect() is refused at once', async () => {
    const client = newClient();
    for (const call of [() => client.request('x', ''), () => client.stream('x', '').next()]) {
      const failure = await failureOf(call);
      expect(failure).toMatchObject({ code: 'ERR_NOT_CONNECTED' });
      expect(failure.message).toContain('connect(endpoint)');
    }
  });

  test('nothing works after close(), and close() can be called again', async () => {
    const [broker, client, worker] = [newBroker(), connectedClient(), newWorker()];
    await Promise.all([broker.close(), client.close(), worker.close()]);
    for (const call of [
      () => broker.bind('tcp://127.0.0.1:*'),
      () => client.connect('tcp://127.0.0.1:5555'),
      () => client.request('x', ''),
      () => client.stream('x', '').next(),
      () => client.ready(),
      () => worker.connect('tcp://127.0.0.1:5555'),
    ]) {
      const failure = await failureOf(call);
      expect(failure).toBeInstanceOf(ClosedError);
      expect(failure).toMatchObject({ code: 'ERR_CLOSED' });
    }
    await Promise.all([broker.close(), client.close(), worker.close()]);
  });

  test('a signal that has aborted cancels before anything is sent', async () => {
    const options = { signal: AbortSignal.abort(new Error('too late')) };
    const failure = await failureOf(() => connectedClient().request('x', '', options));
    expect(failure).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError' });
    expect(failure.cause).toEqual(new Error('too late'));
  });
});

/** What a call throws or rejects with, at once or later. */
async function failureOf(call: () => unknown): Promise<Error & { code?: unknown }> {
  try {
    await call();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('expected a failure, but the call succeeded');
}

/** A worker that runs `handler`; returns what asks it once, and resolves to the text of the reply. */
async function serve(
  handler: (write: (part: Body) => void) => Body | void,
): Promise<() => Promise<string>> {
  const endpoint = await newBroker().bind('tcp://127.0.0.1:*');
  const worker = closing(new MajordomoWorker('x', (it) => handler((part) => void it.write(part))));
  worker.connect(endpoint);
  await worker.ready();
  const client = newClient();
  client.connect(endpoint);
  return async () => (await client.request('x', 'please')).text();
}

/** A fresh folder that goes with the test. */
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'uns-'));
  undo.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
