/** Our broker between Python clients and workers of both versions of MDP, and ours among them. */
import { describe, expect, test, vi } from 'vitest';
import type { WorkerHandler, WorkerProtocol } from '../../src/index.ts';
import {
  ask,
  bindBroker,
  collect,
  connectClient,
  connectWorker,
  withoutPeers,
  HEARTBEAT,
  nextEvent,
  offered,
  repliesOf,
  startClient,
  startWorker,
  textsOf,
  type Version,
} from './peers.ts';

/** A Python client: its version and kind of socket. */
const CLIENTS: [version: Version, socket: string][] = [
  ['0.1', 'req'],
  ['0.1', 'dealer'],
  ['0.2', 'dealer'],
];

/** A Python worker, and what it makes of the frames `ab` and `cd`: parts, then the final body. */
const WORKERS: [version: Version, behaviour: string, parts: string[][], final: string[]][] = [
  ['0.1', 'echo', [], ['ab', 'cd']],
  ['0.1', 'upper', [], ['AB', 'CD']],
  ['0.1', 'slow', [], ['ab', 'cd']],
  ['0.2', 'echo', [], ['ab', 'cd']],
  ['0.2', 'upper', [], ['AB', 'CD']],
  ['0.2', 'slow', [], ['ab', 'cd']],
  ['0.2', 'partials', [['ab'], ['cd']], ['done']],
];

/** What a client of a version sees: 0.1 has no partials, so they are joined into the one reply. */
function seenBy(version: Version, parts: string[][], final: string[]) {
  return version === '0.2'
    ? { partials: parts, body: final }
    : { partials: [], body: [...parts.flat(), ...final] };
}

const upper: WorkerHandler = (request) => request.text().toUpperCase();
const inParts: WorkerHandler = async (request) => {
  await request.write('one');
  await request.write('two');
  return request.body;
};

describe.skipIf(withoutPeers)('our broker and Python workers', () => {
  for (const [version, behaviour, parts, final] of WORKERS) {
    const start = (endpoint: string) =>
      startWorker(version, endpoint, behaviour, behaviour, '--delay', '50');

    test(`a ${version} worker (${behaviour}) answers Python clients of both versions`, async () => {
      const { broker, endpoint } = await bindBroker();
      start(endpoint);
      for (const [asked, socket] of CLIENTS) {
        const reply = await ask(asked, endpoint, behaviour, ['ab', 'cd'], '--socket', socket);
        expect(reply).toEqual({ service: behaviour, ...seenBy(asked, parts, final) });
      }
      expect(broker.status().requests).toMatchObject({ accepted: 3, replied: 3 });
    });

    test(`a ${version} worker (${behaviour}) answers our client, which joins or streams`, async () => {
      const { endpoint } = await bindBroker();
      start(endpoint);
      for (const protocol of ['auto', 'mdp0.1', 'mdp0.2'] as const) {
        const reply = await connectClient(endpoint, { protocol }).request(behaviour, ['ab', 'cd']);
        expect(textsOf(reply)).toEqual([...parts.flat(), ...final]);
      }
      for (const protocol of ['auto', 'mdp0.2'] as const) {
        const stream = connectClient(endpoint, { protocol }).stream(behaviour, ['ab', 'cd']);
        expect(await collect(stream)).toEqual([...parts, final]);
      }
    });
  }

  test('many requests over one connection are answered one by one', async () => {
    const { broker, endpoint } = await bindBroker();
    for (const version of ['0.1', '0.2'] as const) startWorker(version, endpoint, 'upper');
    for (const [version, socket] of CLIENTS) {
      const more = ['--socket', socket, '--count', '50'];
      const replies = await repliesOf(startClient(version, endpoint, 'upper', ['a'], ...more));
      const expected = Array.from({ length: 50 }, (_, index) => ['A', `${index + 1}`]);
      expect(replies.map(({ body }) => body)).toEqual(expected);
    }
    expect(broker.status().requests).toMatchObject({ accepted: 150, replied: 150 });
  });

  test('requests sent without waiting are all answered', async () => {
    const { endpoint } = await bindBroker();
    startWorker('0.1', endpoint, 'echo');
    startWorker('0.2', endpoint, 'echo');
    for (const version of ['0.1', '0.2'] as const) {
      const more = ['--rate-free', '--count', '200'];
      const replies = await repliesOf(startClient(version, endpoint, 'echo', [], ...more));
      const numbers = replies.map(({ body }) => Number(body[0])).toSorted((a, b) => a - b);
      expect(numbers).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    }
  });

  test('a binary body with empty frames and 300 kB passes whole', async () => {
    const { endpoint } = await bindBroker();
    startWorker('0.1', endpoint, 'echo', 'old');
    startWorker('0.2', endpoint, 'echo', 'new');
    const body = ['', Uint8Array.of(0, 255, 1), '', new Uint8Array(300_000).fill(7)];
    for (const service of ['old', 'new']) {
      const reply = await connectClient(endpoint).request(service, body);
      expect(reply.body.map((frame) => frame.byteLength)).toEqual([0, 3, 0, 300_000]);
      expect([...reply.body[1]!]).toEqual([0, 255, 1]);
    }
  });
});

describe.skipIf(withoutPeers)('our broker, our worker and Python clients', () => {
  for (const protocol of ['auto', 'mdp0.1', 'mdp0.2'] satisfies WorkerProtocol[]) {
    test(`our worker (${protocol}) answers clients of both versions`, async () => {
      const { endpoint } = await bindBroker();
      await connectWorker(endpoint, 'upper', upper, { protocol }).ready();
      await connectWorker(endpoint, 'parts', inParts, { protocol }).ready();
      for (const [version, socket] of CLIENTS) {
        const plain = await ask(version, endpoint, 'upper', ['hello'], '--socket', socket);
        expect(plain).toEqual({ service: 'upper', partials: [], body: ['HELLO'] });
        const reply = await ask(version, endpoint, 'parts', ['three'], '--socket', socket);
        const whole = protocol === 'mdp0.1' ? [] : [['one'], ['two']];
        const final = protocol === 'mdp0.1' ? ['one', 'two', 'three'] : ['three'];
        expect(reply).toEqual({ service: 'parts', ...seenBy(version, whole, final) });
      }
    });
  }

  test('a handler that throws is an ordinary body to a Python client', async () => {
    const { endpoint } = await bindBroker();
    const worker = connectWorker(endpoint, 'bad', () => {
      throw new Error('no such row');
    });
    await worker.ready();
    for (const [version] of CLIENTS) {
      const { body } = await ask(version, endpoint, 'bad', ['x']);
      expect(body).toHaveLength(2);
      expect(JSON.parse(body[1]!)).toEqual({ code: 'ERR_HANDLER_FAILED', message: 'no such row' });
    }
  });

  test('a request waits for the first worker of its service', async () => {
    const { broker, endpoint } = await bindBroker();
    const client = startClient('0.1', endpoint, 'later', ['x']);
    await vi.waitUntil(() => broker.status().queued === 1, { interval: 1, timeout: 5000 });
    startWorker('0.2', endpoint, 'echo', 'later');
    expect((await repliesOf(client))[0]?.body).toEqual(['x']);
  });
});

test.skipIf(withoutPeers)('all dialects, ours and theirs, share one service', async () => {
  const { broker, endpoint } = await bindBroker();
  let served = 0;
  const count: WorkerHandler = (request) => {
    served++;
    return request.body.map((frame) => Buffer.from(frame).toString().toUpperCase());
  };
  for (const version of ['0.1', '0.2'] as const) startWorker(version, endpoint, 'upper');
  await connectWorker(endpoint, 'upper', count, { protocol: 'express' }).ready();
  await vi.waitUntil(() => broker.status().workers === 3, { interval: 1, timeout: 5000 });
  const python = CLIENTS.map(async ([version, socket]) => {
    const more = ['--socket', socket, '--count', '50'];
    const replies = await repliesOf(startClient(version, endpoint, 'upper', ['a'], ...more));
    return replies.map(({ body }) => body.join(' '));
  });
  const client = connectClient(endpoint, { protocol: 'express' });
  const bodies = Array.from({ length: 50 }, (_, index) => `b${index}`);
  const replies = await Promise.all(bodies.map((body) => client.request('upper', body)));
  expect(replies.map((reply) => reply.text())).toEqual(bodies.map((body) => body.toUpperCase()));
  const numbered = Array.from({ length: 50 }, (_, index) => `A ${index + 1}`);
  expect(await Promise.all(python)).toEqual([numbered, numbered, numbered]);
  expect(served).toBeGreaterThan(0);
  expect(served).toBeLessThan(200);
  expect(broker.status().requests).toMatchObject({ accepted: 200, replied: 200 });
});

describe.skipIf(withoutPeers)('MMI of our broker', () => {
  test.each(CLIENTS)('answers 200, 404 and 501 to a %s client (%s)', async (version, socket) => {
    const { broker, endpoint } = await bindBroker();
    startWorker('0.1', endpoint, 'echo');
    await offered(broker, 'echo');
    const status = async (service: string, name: string): Promise<readonly string[]> =>
      (await ask(version, endpoint, service, [name], '--socket', socket)).body;
    expect(await status('mmi.service', 'echo')).toEqual(['200']);
    expect(await status('mmi.service', 'nobody')).toEqual(['404']);
    expect(await status('mmi.unheard', 'echo')).toEqual(['501']);
  });

  test.each(['0.1', '0.2'] as const)('a %s worker under mmi. is sent away', async (version) => {
    const { broker, endpoint } = await bindBroker();
    const worker = startWorker(version, endpoint, 'echo', 'mmi.mine');
    await worker.line(/^disconnect$/);
    expect(broker.status()).toMatchObject({ workers: 0, events: { workerReady: 0 } });
    expect((await ask('0.1', endpoint, 'mmi.service', ['mmi.mine'])).body).toEqual(['404']);
  });
});

describe.skipIf(withoutPeers)('our broker and workers in trouble', () => {
  test.each(['0.1', '0.2'] as const)(
    'what a %s worker hangs on is found by attemptTimeout and given to another',
    async (version) => {
      const { broker, endpoint } = await bindBroker({ attemptTimeout: 3 * HEARTBEAT });
      const hanging = startWorker(version, endpoint, 'hang', 'echo');
      const client = startClient('0.1', endpoint, 'echo', ['x']);
      await hanging.line(/^request/);
      const lost = nextEvent(broker, 'workerLost');
      startWorker('0.2', endpoint, 'echo');
      expect(await lost).toMatchObject({ reason: 'attemptTimeout', held: true });
      await hanging.line(/^disconnect$/);
      expect((await repliesOf(client))[0]?.body).toEqual(['x']);
      expect(broker.status().events).toMatchObject({ requestRequeued: 1, deadLetter: 0 });
    },
  );

  test.each(['0.1', '0.2'] as const)(
    'a slow %s worker stays alive through its heartbeats, for longer than an expiry',
    async (version) => {
      const { broker, endpoint } = await bindBroker();
      const delay = HEARTBEAT * 3 * 2;
      startWorker(version, endpoint, 'slow', 'slow', '--delay', `${delay}`);
      const replies = startClient('0.2', endpoint, 'slow', ['x']);
      expect((await repliesOf(replies))[0]?.body).toEqual(['x']);
      expect(broker.status()).toMatchObject({
        workers: 1,
        requests: { accepted: 1, replied: 1 },
        events: { workerReady: 1, workerLost: 0, requestRequeued: 0 },
      });
    },
  );

  test('a Python 0.1 client gets its answer from our worker through our broker while another worker is killed in mid-request', async () => {
    const { broker, endpoint } = await bindBroker();
    const doomed = startWorker('0.2', endpoint, 'hang', 'upper');
    const client = startClient('0.1', endpoint, 'upper', ['hello']);
    await doomed.line(/^request/);
    const worker = connectWorker(endpoint, 'upper', (request) => request.text().toUpperCase());
    await worker.ready();
    const lost = nextEvent(broker, 'workerLost');
    expect(await doomed.end('SIGKILL')).toMatchObject({ signal: 'SIGKILL' });
    expect(await lost).toMatchObject({ service: 'upper', held: true });
    expect(await repliesOf(client)).toEqual([{ service: 'upper', partials: [], body: ['HELLO'] }]);
    expect(broker.status().requests).toMatchObject({ accepted: 1, replied: 1 });
  });

  test.each(['0.1', '0.2'] as const)(
    'a %s worker says goodbye and is forgotten',
    async (version) => {
      const { broker, endpoint } = await bindBroker();
      const worker = startWorker(version, endpoint, 'echo');
      await offered(broker, 'echo');
      const lost = nextEvent(broker, 'workerLost');
      await worker.end('SIGTERM');
      expect(await lost).toMatchObject({ reason: 'disconnected', held: false });
    },
  );

  test('a closing broker dismisses Python workers and lets them finish first', async () => {
    const { broker, endpoint } = await bindBroker({ drainTimeout: 5000 });
    const slow = startWorker('0.1', endpoint, 'slow', 'slow', '--delay', `${2 * HEARTBEAT}`);
    const client = startClient('0.2', endpoint, 'slow', ['x']);
    await slow.line(/^request/);
    await broker.close();
    await slow.line(/^disconnect$/);
    expect((await repliesOf(client))[0]?.body).toEqual(['x']);
  });
});
