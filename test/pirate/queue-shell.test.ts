/** The queues over real sockets: stock peers of every kind, wrong calls, and closing. */
import { describe, expect, test, vi } from 'vitest';
import { Request } from 'zeromq';
import {
  BindError,
  ClosedError,
  InvalidArgumentError,
  ParanoidPirateQueue,
  SimplePirateQueue,
  type Logger,
  type ParanoidPirateQueueOptions,
  type PirateQueueOptions,
} from '../../src/pirate/index.ts';
import { paranoidQueueRules, queueRules } from '../../src/pirate/options.ts';
import { textOf as textOfBody } from '../actor.ts';
import { cleanUp, ENDPOINTS, failureOf, open, textOf, type Peer } from '../transport/peers.ts';

type Queue = SimplePirateQueue | ParanoidPirateQueue;

const TCP = 'tcp://127.0.0.1:*';
const READY = Uint8Array.of(1);

function closing<Shell extends { close(): Promise<void> }>(shell: Shell): Shell {
  cleanUp.push(() => shell.close());
  return shell;
}

const simple = (options?: PirateQueueOptions) =>
  closing(new SimplePirateQueue({ drainTimeout: 0, ...options }));
const paranoid = (options?: ParanoidPirateQueueOptions) =>
  closing(new ParanoidPirateQueue({ drainTimeout: 0, ...options }));

async function bound<Bound extends Queue>(queue: Bound): Promise<Bound> {
  await queue.bindFrontend(TCP);
  await queue.bindBackend(TCP);
  return queue;
}

/** A client or worker at this endpoint. */
function connected(endpoint: string | undefined): Peer {
  const peer = open('dealer');
  peer.socket.connect(endpoint!);
  return peer;
}

const silent = (): void => undefined;

async function until(condition: () => boolean): Promise<void> {
  await vi.waitUntil(condition, { timeout: 5000, interval: 5 });
}

/** A DEALER that is a paranoid worker by hand; the queue knows it. */
async function workerOf(queue: Queue): Promise<Peer> {
  const { events } = queue.status();
  const worker = connected(queue.backend);
  await worker.send('', READY);
  await until(() => queue.status().events.workerReady > events.workerReady);
  return worker;
}

/** What a worker is given next, heartbeats aside. */
async function givenTo(worker: Peer): Promise<string[]> {
  for (;;) {
    const { text } = await worker.next();
    if (text.length > 1) return text;
  }
}

/** A stock worker of the Guide's kind: REQ, READY, and what it answers. */
function reqWorker(endpoint: string | undefined): Request {
  const worker = new Request({ linger: 0 });
  cleanUp.push(() => worker.close());
  worker.connect(endpoint!);
  return worker;
}

/** A failure by its code. */
const codeIn = (text: readonly string[]): string =>
  textOfBody(text.map((frame) => Buffer.from(frame, 'latin1')));

describe('clients of every kind are served', () => {
  test.each(ENDPOINTS)('over %s', async (_name, endpoint) => {
    const queue = paranoid();
    const [frontend, backend] = [endpoint(), endpoint()];
    const real = await Promise.all([queue.bindFrontend(frontend), queue.bindBackend(backend)]);
    expect([queue.frontend, queue.backend]).toEqual(real);
    const worker = await workerOf(queue);
    const client = connected(queue.frontend);
    await client.send('', '', 'hello');
    const [tag] = await givenTo(worker);
    await worker.send('', tag!, '', 'world');
    expect((await client.next()).text).toEqual(['', 'world']);
  });

  test.each([
    ['REQ', ['', 'a', 'b'], ['', 'done']],
    ['a DEALER with a stack', ['one', 'two', '', 'a', 'b'], ['one', 'two', '', 'done']],
    ['a DEALER without an empty frame', ['a', 'b'], ['done']],
  ])('%s', async (_kind, asked, answered) => {
    const queue = await bound(paranoid());
    const worker = await workerOf(queue);
    const client = connected(queue.frontend);
    await client.send('', ...asked);
    const [tag, empty, ...body] = await givenTo(worker);
    expect([tag!.length, empty, body]).toEqual([8, '', ['a', 'b']]);
    await worker.send('', tag!, '', 'done');
    expect((await client.next()).text).toEqual(answered);
  });

  test('by a stock REQ worker, too', async () => {
    const queue = await bound(simple());
    const client = connected(queue.frontend);
    const worker = reqWorker(queue.backend);
    await worker.send(READY);
    for (const text of ['one', 'two']) {
      await client.send('', '', text);
      const [tag, empty, body] = await worker.receive();
      expect([empty!.byteLength, textOf(body!)]).toEqual([0, text]);
      await worker.send([tag!, '', `${text} done`]);
      expect((await client.next()).text).toEqual(['', `${text} done`]);
    }
    expect(queue.status().requests).toMatchObject({ accepted: 2, replied: 2 });
  });
});

describe('workers come and go', () => {
  test('READY is answered by a heartbeat at once, and heartbeats follow', async () => {
    const queue = await bound(paranoid({ heartbeatInterval: 20 }));
    const worker = connected(queue.backend);
    await worker.send('', READY);
    expect((await worker.next()).text).toEqual(['\x02']);
    expect((await worker.next()).text).toEqual(['\x02']);
  });

  test('what a worker held when it died goes to another, long before it expires', async () => {
    const queue = await bound(paranoid({ heartbeatInterval: 60_000 }));
    const dying = await workerOf(queue);
    const client = connected(queue.frontend);
    await client.send('', '', 'work');
    await givenTo(dying);
    dying.socket.close(0);
    const other = await workerOf(queue);
    const [tag, , body] = await givenTo(other);
    expect(body).toBe('work');
    await other.send('', tag!, '', 'done');
    expect((await client.next()).text).toEqual(['', 'done']);
    expect(queue.status().events).toMatchObject({ workerLost: 1, requestRequeued: 1 });
  });

  test('a silent one is lost after interval × liveness', async () => {
    const queue = await bound(paranoid({ heartbeatInterval: 10, heartbeatLiveness: 2 }));
    const lost: string[] = [];
    queue.on('workerLost', ({ reason }) => lost.push(reason));
    await workerOf(queue);
    await until(() => lost.length > 0);
    expect(lost).toEqual(['expired']);
  });

  test('a stock REQ worker that was busy serves a queue that has restarted', async () => {
    const first = await bound(simple());
    const { backend } = first;
    const client = connected(first.frontend);
    const worker = reqWorker(backend);
    await worker.send(READY);
    await client.send('', '', 'before');
    const [tag] = await worker.receive();
    await first.close();
    const second = simple();
    await second.bindFrontend(TCP);
    // The port of a closed socket is free a moment later.
    await vi.waitFor(() => second.bindBackend(backend!), { timeout: 5000, interval: 5 });
    await worker.send([tag!, '', 'for nobody']);
    const next = connected(second.frontend);
    await next.send('', '', 'after');
    const [, , body] = await worker.receive();
    expect(textOf(body!)).toBe('after');
    expect(second.status().events).toMatchObject({ replyRefused: 1, workerReady: 1 });
  });

  test('a client that left is not waited for', async () => {
    const queue = await bound(paranoid());
    const client = connected(queue.frontend);
    await client.send('', '', 'never mind');
    await until(() => queue.status().queued === 1);
    client.socket.close(0);
    await until(() => queue.status().requests.cancelled === 1);
    expect(queue.status()).toMatchObject({ queued: 0, queuedBytes: 0 });
  });

  test('what cannot be read is counted, and told', async () => {
    const warned: unknown[] = [];
    const logger: Logger = {
      debug: silent,
      info: silent,
      error: silent,
      warn: (fields: unknown, message?: string) => void warned.push([message, fields]),
    };
    const queue = await bound(paranoid({ logger }));
    await connected(queue.backend).send('', 'nonsense');
    await until(() => queue.status().events.malformed === 1);
    const reason = 'no empty frame before the body';
    expect(warned).toMatchObject([['malformed', { port: 'backend', reason }]]);
  });
});

describe('each side is bound by itself', () => {
  test('to several endpoints, of which the first one is shown', async () => {
    const queue = await bound(paranoid());
    const { frontend } = queue;
    const second = await queue.bindFrontend(TCP);
    expect(second).not.toBe(frontend);
    expect(queue.frontend).toBe(frontend);
    for (const endpoint of [frontend, second]) await connected(endpoint).send('', '', 'x');
    await until(() => queue.status().queued === 2);
    expect(queue.status().requests.accepted).toBe(2);
  });

  test('and shows nothing before', () => {
    const queue = simple();
    expect([queue.frontend, queue.backend]).toEqual([undefined, undefined]);
  });
});

describe('refused by name is', () => {
  const QUEUES: [owner: string, rules: object, make: (options: object) => Queue][] = [
    ['SimplePirateQueue', queueRules, simple],
    ['ParanoidPirateQueue', paranoidQueueRules, paranoid],
  ];

  test.each(QUEUES)('an option that a %s does not have', (owner, rules, make) => {
    expect(() => make({ heartbeat: 5 })).toThrow(InvalidArgumentError);
    expect(() => make({ heartbeat: 5 })).toThrow(`${owner} has no option 'heartbeat'`);
    for (const name of Object.keys(rules)) expect(() => make({ heartbeat: 5 })).toThrow(name);
  });

  test.each(QUEUES)('a wrong value of any option of a %s', (owner, rules, make) => {
    for (const name of Object.keys(rules)) {
      const wrong = { [name]: () => 'a function is never right' };
      expect(() => make(wrong)).toThrow(`${owner}: option '${name}' must be`);
    }
  });

  test('a heartbeat of the protocol that has none', () => {
    expect(() => simple({ heartbeatInterval: 5 } as PirateQueueOptions)).toThrow(
      "SimplePirateQueue has no option 'heartbeatInterval'",
    );
  });

  test('an endpoint that nobody can bind', async () => {
    const queue = simple();
    for (const bind of ['bindFrontend', 'bindBackend'] as const) {
      const failure = await failureOf(queue[bind]('tcp://127.0.0.1'));
      expect(failure).toMatchObject({ code: 'ERR_INVALID_ENDPOINT' });
    }
  });

  test('an endpoint that is in use, though it is our own', async () => {
    const queue = await bound(simple());
    const failure = await failureOf(queue.bindBackend(queue.frontend!));
    expect(failure).toBeInstanceOf(BindError);
    expect(failure).toMatchObject({ code: 'ERR_ADDRESS_IN_USE', endpoint: queue.frontend });
    expect(queue.backend).not.toBe(queue.frontend);
  });

  test('a bind after close', async () => {
    const queue = simple();
    await queue.close();
    expect(await failureOf(queue.bindFrontend(TCP))).toBeInstanceOf(ClosedError);
  });
});

describe('close', () => {
  test('fails what is queued, finishes what runs, and ends once', async () => {
    const queue = await bound(paranoid({ drainTimeout: 5000 }));
    const worker = await workerOf(queue);
    const client = connected(queue.frontend);
    await client.send('', '', 'running');
    const [tag] = await givenTo(worker);
    await client.send('', '', 'queued');
    await until(() => queue.status().queued === 1);
    const closed = queue.close();
    expect(queue.close()).toBe(closed);
    expect(codeIn((await client.next()).text.slice(1))).toBe('ERR_SERVER_CLOSING');
    await client.send('', '', 'new');
    expect(codeIn((await client.next()).text.slice(1))).toBe('ERR_SERVER_CLOSING');
    await worker.send('', tag!, '', 'done');
    expect((await client.next()).text).toEqual(['', 'done']);
    await closed;
    expect(queue.status()).toMatchObject({ workers: 0, inFlight: 0 });
  });

  test('waits for what runs no longer than it should', async () => {
    const queue = await bound(paranoid({ drainTimeout: 20 }));
    const worker = await workerOf(queue);
    const client = connected(queue.frontend);
    await client.send('', '', 'for ever');
    await givenTo(worker);
    await queue.close();
    expect(codeIn((await client.next()).text.slice(1))).toBe('ERR_SERVER_CLOSING');
  });

  test('comes with the end of a scope, bound or not', async () => {
    let queue: SimplePirateQueue;
    {
      await using scoped = new SimplePirateQueue();
      queue = scoped;
    }
    expect(await failureOf(queue.bindBackend(TCP))).toBeInstanceOf(ClosedError);
  });
});
