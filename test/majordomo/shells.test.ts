/** What users meet at the edges: odd handlers, odd peers, too many of something, and closing. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Dealer } from 'zeromq';
import {
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  systemEnvironment,
  type Environment,
  type WorkerHandler,
} from '../../src/index.ts';

const open: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((it) => it.close()));
});

function closing<Closable extends { close(): unknown }>(it: Closable): Closable {
  open.push(it);
  return it;
}

/** A broker, a worker for `service`, and a client. */
async function trio(handler: WorkerHandler) {
  const broker = closing(new MajordomoBroker());
  const endpoint = await broker.bind('tcp://127.0.0.1:*');
  const worker = closing(new MajordomoWorker('service', handler, { drainTimeout: 0 }));
  worker.connect(endpoint);
  await worker.ready();
  const client = closing(new MajordomoClient({ drainTimeout: 0 }));
  client.connect(endpoint);
  return { broker, endpoint, worker, client };
}

/** The system's environment with sockets that are counted, and refused while `refuse` says so. */
function counting(refuse: () => boolean = () => false): {
  environment: Environment;
  opened: () => number;
} {
  let opened = 0;
  const system = systemEnvironment();
  const environment: Environment = {
    ...system,
    transport: {
      open: (kind, handler) => {
        if (refuse()) throw new Error('no socket left');
        opened++;
        return system.transport.open(kind, handler);
      },
    },
  };
  return { environment, opened: () => opened };
}

describe('a handler', () => {
  test('that writes a part and then throws gives an error, not a reply', async () => {
    const { client } = await trio((request) => {
      void request.write('a part');
      throw new Error('boom');
    });
    await expect(client.request('service', 'x')).rejects.toMatchObject({
      code: 'ERR_HANDLER_FAILED',
      message: 'boom',
    });
  });

  test.each([
    ['an error whose message is a number', Object.assign(new Error('x'), { message: 42 })],
    ['an object that has no text', Object.create(null)],
    ['nothing', undefined],
  ])('may throw %s', async (_name, thrown: unknown) => {
    const { client } = await trio(() => {
      throw thrown;
    });
    await expect(client.request('service', 'x')).rejects.toMatchObject({
      code: 'ERR_HANDLER_FAILED',
    });
  });

  test('that streams for ever stops when nobody listens any more', async () => {
    let ended = 0;
    const { client, broker } = await trio(() => 'not asked');
    const endless = closing(
      new MajordomoWorker('tail', async (request) => {
        while (!request.signal.aborted) {
          await request.write('more');
          await new Promise((resolve) => setImmediate(resolve));
        }
        ended++;
      }),
    );
    endless.connect(broker.endpoint!);
    await endless.ready();
    for await (const part of client.stream('tail', '')) {
      expect(part.text()).toBe('more');
      break;
    }
    await vi.waitUntil(() => ended === 1, { timeout: 5000, interval: 5 });
    expect(broker.status().inFlight).toBe(0);
  });
});

describe('too much of something', () => {
  test('a message of 200,000 frames is refused, and the broker goes on', async () => {
    const { broker, endpoint, client } = await trio((request) => request.body);
    const dealer = closing(new Dealer({ linger: 0 }));
    dealer.connect(endpoint);
    const frames: Uint8Array[] = Array.from({ length: 200_000 }, () => Buffer.alloc(0));
    await dealer.send([...['', 'MDPC01', 'service'].map((text) => Buffer.from(text)), ...frames]);
    await vi.waitUntil(() => broker.status().events.malformed === 1, { interval: 5 });
    expect((await client.request('service', 'still here')).text()).toBe('still here');
    await expect(client.request('service', frames)).rejects.toMatchObject({
      code: 'ERR_INVALID_BODY',
    });
  });

  test.each([
    ['mdp0.1', 4, 'its lanes'],
    ['express', 1, 'its session'],
    ['auto', 1, 'its probe'],
  ] as const)(
    'one signal for thousands of requests (%s) opens %i sockets: %s',
    async (protocol, sockets, _what) => {
      const { environment, opened } = counting();
      const client = closing(new MajordomoClient({ lanes: 4, protocol }, environment));
      client.connect('tcp://127.0.0.1:9');
      const abort = new AbortController();
      const requests = Array.from({ length: 3000 }, () =>
        client.request('service', 'x', { signal: abort.signal }),
      );
      abort.abort();
      const ends = await Promise.allSettled(requests);
      expect(ends.every(({ status }) => status === 'rejected')).toBe(true);
      expect(opened()).toBe(sockets);
    },
  );

  test.each(['mdp0.1', 'express', 'auto'] as const)(
    'sockets that cannot be opened (%s) are told, and tried again',
    async (protocol) => {
      let refused = 2;
      const { environment } = counting(() => refused-- > 0);
      const { endpoint } = await trio((request) => request.body);
      const client = closing(new MajordomoClient({ protocol, heartbeatInterval: 50 }, environment));
      const told = vi.fn<(event: { reason: string }) => void>();
      client.on('socketFailed', told);
      client.connect(endpoint);
      const options = { timeout: 5000, attemptTimeout: 50, retries: 20 };
      const reply = await client.request('service', 'in the end', options);
      expect(reply.text()).toBe('in the end');
      expect(told).toHaveBeenCalledTimes(2);
      expect(told.mock.calls[0]![0].reason).toContain('no socket left');
    },
  );

  test('a worker that one broker has no room for goes to the next', async () => {
    const full = closing(new MajordomoBroker({ workerLimit: 1 }));
    const other = closing(new MajordomoBroker());
    const endpoints = [await full.bind('tcp://127.0.0.1:*'), await other.bind('tcp://127.0.0.1:*')];
    const first = closing(new MajordomoWorker('service', () => 'first'));
    first.connect(endpoints[0]!);
    await first.ready();
    const second = closing(new MajordomoWorker('service', () => 'second'));
    second.connect(endpoints);
    await second.ready();
    expect(other.status().workers).toBe(1);
  });
});

describe('closing', () => {
  test('a client settles its ready() at once', async () => {
    const client = new MajordomoClient();
    client.connect('tcp://127.0.0.1:9');
    const ready = client.ready();
    const closed = client.close();
    await expect(ready).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await closed;
    await expect(client.ready()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  test('a worker settles its ready() at once, and says at once that it is not connected', async () => {
    const worker = new MajordomoWorker('service', () => '');
    await expect(worker.ready()).rejects.toMatchObject({
      code: 'ERR_NOT_READY',
      message: expect.stringContaining('call connect'),
    });
    worker.connect('tcp://127.0.0.1:9');
    const ready = worker.ready();
    const closed = worker.close();
    await expect(ready).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await closed;
  });

  test('a broker binds no more', async () => {
    const broker = new MajordomoBroker();
    await broker.bind('tcp://127.0.0.1:*');
    const closed = broker.close();
    await expect(broker.bind('tcp://127.0.0.1:*')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await closed;
  });
});
