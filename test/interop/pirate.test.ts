/** Our queue between Python workers and clients, and a Python queue between those and our workers. */
import { describe, expect, test, vi } from 'vitest';
import {
  ParanoidPirateWorker,
  SimplePirateWorker,
  type HandlerRequest,
  type ParanoidPirateWorkerOptions,
  type PirateHandler,
} from '../../src/index.ts';
import { signal } from '../../src/transport/closing.ts';
import { closeAfterwards, HEARTBEAT, startPeer, withoutPeers } from './peers.ts';
import {
  ask,
  bindQueue,
  connectClient,
  nextEvent,
  registered,
  repliesOf,
  startClient,
  startQueue,
  startWorker,
  textsOf,
} from './pirates.ts';

/** Both protocols, and what makes a Python worker or queue speak it. */
const PROTOCOLS: [protocol: 'simple' | 'paranoid', args: string[]][] = [
  ['paranoid', []],
  ['simple', ['--simple']],
];

/** Every kind of envelope that a client may write. */
const CLIENTS: string[][] = [
  ['--socket', 'req'],
  ['--socket', 'dealer'],
  ['--socket', 'dealer', '--ids', '1'],
  ['--socket', 'dealer', '--ids', '3'],
  ['--socket', 'bare'],
];

const upper = (request: HandlerRequest): string[] =>
  textsOf(request).map((text) => text.toUpperCase());

function connectWorker(
  protocol: 'simple' | 'paranoid',
  backend: string,
  handler: PirateHandler,
  options?: ParanoidPirateWorkerOptions,
): ParanoidPirateWorker | SimplePirateWorker {
  const common = { drainTimeout: 0, ...options };
  const worker =
    protocol === 'simple'
      ? new SimplePirateWorker(handler, common)
      : new ParanoidPirateWorker(handler, { heartbeatInterval: HEARTBEAT, ...common });
  closeAfterwards(() => worker.close());
  worker.connect(backend);
  return worker;
}

describe.skipIf(withoutPeers).each(PROTOCOLS)(
  'our %s queue and Python workers',
  (protocol, kind) => {
    test.each(['echo', 'upper', 'slow'])(
      'a worker (%s) answers every client',
      async (behaviour) => {
        const { queue, frontend, backend } = await bindQueue(protocol);
        startWorker(backend, behaviour, '--delay', '50', ...kind);
        const body = behaviour === 'upper' ? ['AB', 'CD'] : ['ab', 'cd'];
        for (const client of CLIENTS)
          expect(await ask(frontend, ...client, 'ab', 'cd')).toEqual(body);
        expect(textsOf(await connectClient(frontend).request(['ab', 'cd']))).toEqual(body);
        const accepted = CLIENTS.length + 1;
        expect(queue.status().requests).toMatchObject({ accepted, replied: accepted });
        expect(queue.status().events).toMatchObject({
          malformed: 0,
          replyRefused: 0,
          workerReady: 1,
        });
      },
    );

    test('requests sent without waiting are all answered, each under its own stack', async () => {
      const { frontend, backend } = await bindQueue(protocol);
      for (let count = 0; count < 3; count++) startWorker(backend, 'echo', ...kind);
      const stacked = ['--socket', 'dealer', '--ids', '2', '--rate-free', '--count', '200'];
      const bare = ['--socket', 'bare', '--rate-free', '--count', '200'];
      const clients = [startClient(frontend, ...stacked), startClient(frontend, ...bare)];
      const replies = await Promise.all(clients.map(repliesOf));
      for (const { stack, body } of replies[0]!) {
        expect(stack).toEqual([`${body[0]}.0`, `${body[0]}.1`]);
      }
      const expected = Array.from({ length: 200 }, (_, index) => index + 1);
      for (const printed of replies) {
        const numbers = printed.map(({ body }) => Number(body[0]));
        expect(numbers.toSorted((a, b) => a - b)).toEqual(expected);
      }
    });

    test('a binary body with empty frames and 300 kB passes whole', async () => {
      const { frontend, backend } = await bindQueue(protocol);
      startWorker(backend, 'echo', ...kind);
      const body = ['', Uint8Array.of(0, 255, 1), '', new Uint8Array(300_000).fill(7)];
      const reply = await connectClient(frontend).request(body);
      expect(reply.body.map((frame) => frame.byteLength)).toEqual([0, 3, 0, 300_000]);
      expect([...reply.body[1]!]).toEqual([0, 255, 1]);
    });

    test('a request waits for the first worker', async () => {
      const { queue, frontend, backend } = await bindQueue(protocol);
      const client = startClient(frontend, 'x');
      await vi.waitUntil(() => queue.status().queued === 1, { interval: 1, timeout: 5000 });
      startWorker(backend, 'echo', ...kind);
      expect((await repliesOf(client))[0]?.body).toEqual(['x']);
    });

    test('a worker that is killed with a request in hand loses nothing', async () => {
      const { queue, frontend, backend } = await bindQueue(protocol);
      const doomed = startWorker(backend, 'crash', ...kind);
      const client = startClient(frontend, 'hello');
      const lost = nextEvent(queue, 'workerLost');
      expect(await doomed.ended).toMatchObject({ signal: 'SIGKILL' });
      expect(await lost).toMatchObject({ held: true });
      startWorker(backend, 'upper', ...kind);
      expect((await repliesOf(client))[0]?.body).toEqual(['HELLO']);
      expect(queue.status()).toMatchObject({
        requests: { accepted: 1, replied: 1 },
        events: { requestRequeued: 1, deadLetter: 0 },
      });
    });

    test('requests go round: the worker that has waited longest is next', async () => {
      const { queue, frontend, backend } = await bindQueue(protocol);
      const workers = [0, 1, 2].map(() => startWorker(backend, 'echo', ...kind));
      await registered(queue, 3);
      await repliesOf(startClient(frontend, '--count', '9'));
      const served = await Promise.all(
        workers.map(async (worker) => {
          await worker.end('SIGTERM');
          return worker.lines.filter((line) => line.startsWith('request')).length;
        }),
      );
      expect(served).toEqual([3, 3, 3]);
    });

    test('a worker that hangs keeps its request no longer than attemptTimeout', async () => {
      const { queue, frontend, backend } = await bindQueue(protocol, {
        attemptTimeout: 2 * HEARTBEAT,
      });
      const hanging = startWorker(backend, 'hang', ...kind);
      const client = startClient(frontend, 'x');
      await hanging.line(/^request/);
      const overdue = nextEvent(queue, 'workerOverdue');
      startWorker(backend, 'echo', ...kind);
      await overdue;
      expect((await repliesOf(client))[0]?.body).toEqual(['x']);
      // It is alive and gets nothing: it would complain of a second request.
      expect((await repliesOf(startClient(frontend, '--count', '5'))).length).toBe(5);
      expect(queue.status()).toMatchObject({ workers: 2, overdue: 1 });
    });

    test('Python workers come back when the queue was restarted', async () => {
      const first = await bindQueue(protocol);
      startWorker(first.backend, 'upper', ...kind);
      await registered(first.queue, 1);
      await first.queue.close();
      const { queue } = await bindQueue(protocol, {}, first.frontend, first.backend);
      const client = startClient(first.frontend, '--retries', '9', 'again');
      if (protocol === 'simple') {
        // A stock REQ socket waits for ever for the queue that it has told READY.
        await vi.waitUntil(() => queue.status().queued === 1, { interval: 1, timeout: 5000 });
        startWorker(first.backend, 'upper', ...kind);
      }
      expect((await repliesOf(client))[0]?.body).toEqual(['AGAIN']);
    });

    test('a closing queue lets Python workers finish', async () => {
      const { queue, frontend, backend } = await bindQueue(protocol, { drainTimeout: 5000 });
      const slow = startWorker(backend, 'slow', '--delay', `${2 * HEARTBEAT}`, ...kind);
      const client = startClient(frontend, 'x');
      await slow.line(/^request/);
      await queue.close();
      expect((await repliesOf(client))[0]?.body).toEqual(['x']);
    });
  },
);

describe.skipIf(withoutPeers)('broken envelopes', () => {
  test('free no paranoid worker and reach nobody', async () => {
    const { queue, frontend, backend } = await bindQueue('paranoid');
    const broken = startWorker(backend, 'broken', '--delay', `${HEARTBEAT}`);
    await registered(queue, 1);
    const stacked = ['--socket', 'dealer', '--ids', '1', '--rate-free', '--count', '2'];
    const clients = [startClient(frontend, 'one'), startClient(frontend, ...stacked, 'two')];
    await broken.line(/^broken/);
    // A worker that had been freed would be given the next request now, and would complain.
    const [one, two] = await Promise.all(clients.map(repliesOf));
    expect(one!.map(({ body }) => body)).toEqual([['one']]);
    expect(two!.map(({ body }) => body.join())).toEqual(['two,1', 'two,2']);
    const { events, requests } = queue.status();
    expect(requests).toMatchObject({ accepted: 3, replied: 3 });
    expect(events).toMatchObject({ replyRefused: 12, malformed: 15, requestRequeued: 0 });
  });

  test('of a simple worker leave it busy until it is given up', async () => {
    const { queue, frontend, backend } = await bindQueue('simple', { attemptTimeout: HEARTBEAT });
    const broken = startWorker(backend, 'broken', '--simple');
    const client = startClient(frontend, 'one');
    await broken.line(/^broken/);
    startWorker(backend, 'echo', '--simple');
    expect((await repliesOf(client))[0]?.body).toEqual(['one']);
    expect(queue.status()).toMatchObject({
      workers: 2,
      overdue: 1,
      events: { replyRefused: 1, requestRequeued: 1 },
    });
  });
});

test.skipIf(withoutPeers)(
  'a REQ worker that was busy while the queue restarted serves on',
  async () => {
    const first = await bindQueue('simple');
    const worker = startWorker(first.backend, 'slow', '--simple', '--delay', `${3 * HEARTBEAT}`);
    const client = startClient(first.frontend, '--timeout', '5000', 'x');
    await worker.line(/^request/);
    await first.queue.close();
    const { queue } = await bindQueue('simple', {}, first.frontend, first.backend);
    // Its late reply says that it waits for a request, and is for nobody.
    expect(await nextEvent(queue, 'replyRefused')).toMatchObject({ reason: 'unknownWorker' });
    expect(await ask(first.frontend, 'y')).toEqual(['y']);
    expect(JSON.parse((await repliesOf(client))[0]!.body[1]!)).toMatchObject({
      code: 'ERR_SERVER_CLOSING',
    });
    expect(queue.status().requests).toMatchObject({ accepted: 1, replied: 1 });
  },
);

describe.skipIf(withoutPeers)('heartbeats of our queue', () => {
  test('keep a slow worker and an idle one for longer than an expiry', async () => {
    const { queue, frontend, backend } = await bindQueue('paranoid');
    const idle = startWorker(backend, 'hang');
    await registered(queue, 1);
    const delay = `${2 * 3 * HEARTBEAT}`;
    // Least recently used: the one that hangs is asked first, so it must have something to hang on.
    const held = startClient(frontend, '--retries', '0', '--timeout', '100', 'held');
    await idle.line(/^request/);
    startWorker(backend, 'slow', '--delay', delay);
    expect(await ask(frontend, 'x')).toEqual(['x']);
    expect(await held.ended).toMatchObject({ code: 4 });
    expect([...idle.lines]).not.toContain('expired');
    expect(queue.status()).toMatchObject({ workers: 2, events: { workerReady: 2, workerLost: 0 } });
  });

  test.each([[[]], [['--stay']]])(
    'find a worker that was stopped, and it comes back %j',
    async (more) => {
      const { queue, frontend, backend } = await bindQueue('paranoid');
      const delay = `${2 * HEARTBEAT}`;
      const stopped = startWorker(backend, 'slow', '--delay', delay, ...more);
      const reply = connectClient(frontend).request('x', { retries: 0 });
      await stopped.line(/^request/);
      const lost = nextEvent(queue, 'workerLost');
      stopped.signal('SIGSTOP');
      expect(await lost).toMatchObject({ reason: 'expired', held: true });
      const again = nextEvent(queue, 'workerReady');
      stopped.signal('SIGCONT');
      await again;
      expect((await reply).text()).toBe('x');
      expect(queue.status().requests).toMatchObject({ accepted: 1, replied: 1 });
    },
  );

  test.each([[[]], [['--stay']]])(
    'lose a worker that is mute while it works; its late reply reaches nobody %j',
    async (more) => {
      const { queue, frontend, backend } = await bindQueue('paranoid');
      const delay = `${5 * HEARTBEAT}`;
      const mute = startWorker(backend, 'mute', '--delay', delay, ...more);
      const client = startClient(frontend, '--timeout', '10000', 'x');
      await mute.line(/^request/);
      const lost = nextEvent(queue, 'workerLost');
      startWorker(backend, 'upper');
      expect(await lost).toMatchObject({ reason: 'expired', held: true });
      expect((await repliesOf(client))[0]?.body).toEqual(['X']);
      expect(await nextEvent(queue, 'replyRefused')).toMatchObject({ reason: 'unknownWorker' });
      await mute.line(/^expired/);
      await registered(queue, 2);
    },
  );
});

describe.skipIf(withoutPeers)('Python and our workers together', () => {
  test.each(PROTOCOLS)('share the requests of a %s queue', async (protocol, kind) => {
    const { queue, frontend, backend } = await bindQueue(protocol);
    startWorker(backend, 'upper', ...kind);
    let served = 0;
    connectWorker(protocol, backend, (request) => {
      served++;
      return upper(request);
    });
    await registered(queue, 2);
    const bodies = Array.from({ length: 100 }, (_, index) => `b${index}`);
    const client = connectClient(frontend);
    const replies = await Promise.all(bodies.map((body) => client.request(body)));
    expect(replies.map((reply) => reply.text())).toEqual(bodies.map((body) => body.toUpperCase()));
    expect(served).toBeGreaterThan(0);
    expect(served).toBeLessThan(100);
  });
});

describe.skipIf(withoutPeers).each(PROTOCOLS)('a Python %s queue', (protocol, kind) => {
  test('our worker answers Python clients and ours', async () => {
    const { frontend, backend } = await startQueue(undefined, undefined, ...kind);
    connectWorker(protocol, backend, upper);
    for (const client of CLIENTS.filter((args) => !args.includes('bare'))) {
      expect(await ask(frontend, ...client, 'ab', 'cd')).toEqual(['AB', 'CD']);
    }
    expect(textsOf(await connectClient(frontend).request(['ab', 'cd']))).toEqual(['AB', 'CD']);
    const replies = await repliesOf(startClient(frontend, '--count', '50', 'a'));
    const expected = Array.from({ length: 50 }, (_, index) => ['A', `${index + 1}`]);
    expect(replies.map(({ body }) => body)).toEqual(expected);
  });

  test('a handler that throws is an ordinary body to a Python client', async () => {
    const { frontend, backend } = await startQueue(undefined, undefined, ...kind);
    connectWorker(protocol, backend, () => {
      throw new Error('no such row');
    });
    const body = await ask(frontend, 'x');
    expect(body).toHaveLength(2);
    expect(JSON.parse(body[1]!)).toEqual({ code: 'ERR_HANDLER_FAILED', message: 'no such row' });
    const refused = connectClient(frontend).request('x');
    await expect(refused).rejects.toMatchObject({ code: 'ERR_HANDLER_FAILED' });
  });

  test('our worker registers again after the queue was killed and restarted', async () => {
    const first = await startQueue(undefined, undefined, ...kind);
    connectWorker(protocol, first.backend, upper, { reconnectInterval: 50, reconnectLimit: 200 });
    await first.queue.line(/^registered/);
    await first.queue.end('SIGKILL');
    const second = await startQueue(first.frontend, first.backend, ...kind);
    await second.queue.line(/^registered/);
    expect(await ask(second.frontend, 'again')).toEqual(['AGAIN']);
  });

  test.each(['stack', 'null'])(
    'our worker answers its own requests (envelope: %s)',
    async (envelope) => {
      const own = ['--backend', 'tcp://127.0.0.1:*', '--envelope', envelope, '--count', '3'];
      const queue = startPeer('pirate_queue', ...own, '--heartbeat', `${HEARTBEAT}`, ...kind, 'a');
      const backend = (await queue.line(/^ready /)).slice('ready '.length);
      connectWorker(protocol, backend, upper);
      expect(await queue.ended).toMatchObject({ code: 0 });
      const answers = queue.lines.filter((line) => line.startsWith('answer'));
      expect(answers).toEqual([1, 2, 3].map((number) => `answer ["A", "${number}"]`));
    },
  );
});

describe.skipIf(withoutPeers)('our worker at a Python queue of 6/PPP', () => {
  test('beats while it waits and while it works, and is ready when the queue has', async () => {
    const { queue, frontend, backend } = await startQueue();
    const letGo = signal();
    const handler = async (): Promise<string> => {
      await letGo.promise;
      return 'done';
    };
    const worker = connectWorker('paranoid', backend, handler);
    if (worker instanceof ParanoidPirateWorker) await worker.ready();
    for (let count = 0; count < 5; count++) await queue.line(/^heartbeat/);
    const client = startClient(frontend, '--timeout', '10000', 'x');
    await queue.line(/^dispatched/);
    for (let count = 0; count < 5; count++) await queue.line(/^heartbeat/);
    letGo.fire();
    expect((await repliesOf(client))[0]?.body).toEqual(['done']);
    expect(queue.lines.filter((line) => /^(expired|ignored)/.test(line))).toEqual([]);
    expect(queue.lines.filter((line) => line.startsWith('registered'))).toHaveLength(1);
  });

  test('a closing one finishes first, and the next takes over', async () => {
    const { queue, frontend, backend } = await startQueue();
    const letGo = signal();
    const handler = async (): Promise<string> => {
      await letGo.promise;
      return 'done';
    };
    const worker = connectWorker('paranoid', backend, handler, { drainTimeout: 5000 });
    const client = startClient(frontend, 'x');
    await queue.line(/^dispatched/);
    await vi.waitUntil(() => worker.running === 1, { interval: 1, timeout: 5000 });
    const closed = worker.close();
    letGo.fire();
    await closed;
    expect((await repliesOf(client))[0]?.body).toEqual(['done']);
    connectWorker('paranoid', backend, upper);
    await queue.line(/^registered/);
    expect(await ask(frontend, '--timeout', '10000', 'next')).toEqual(['NEXT']);
  });
});
