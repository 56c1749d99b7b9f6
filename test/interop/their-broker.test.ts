/** A Python broker, and one that knows only 0.1, between our clients and workers and Python ones. */
import { describe, expect, test } from 'vitest';
import { Router } from 'zeromq';
import type { WorkerEvent, WorkerProtocol } from '../../src/index.ts';
import {
  ask,
  bindBroker,
  closeAfterwards,
  collect,
  connectClient,
  connectWorker,
  withoutPeers,
  startBroker,
  startWorker,
  textsOf,
  type Version,
} from './peers.ts';

const BROKERS: [name: string, args: string[]][] = [
  ['with MMI', []],
  ['without MMI', ['--no-mmi']],
];
const PROTOCOLS = ['auto', 'mdp0.1', 'mdp0.2'] as const;
const VERSIONS: Version[] = ['0.1', '0.2'];

/** Answers READY of 0.1 with a heartbeat, gives each worker one request, and is deaf to 0.2. */
async function bindOldBroker(): Promise<{ endpoint: string; replied: Promise<string> }> {
  const router = new Router({ linger: 0 });
  closeAfterwards(async () => router.close());
  await router.bind('tcp://127.0.0.1:*');
  const serve = async (): Promise<string> => {
    for await (const [from, empty, header, command, ...rest] of router) {
      if (empty?.byteLength !== 0 || header?.toString() !== 'MDPW01') continue;
      const number = command?.[0];
      if (number === 1) {
        await router.send([from!, '', 'MDPW01', Uint8Array.of(4)]);
        await router.send([from!, '', 'MDPW01', Uint8Array.of(2), 'client', '', 'hello']);
      } else if (number === 3) return rest.map((frame) => frame.toString()).join('|');
    }
    throw new Error('closed without a reply');
  };
  const replied = serve();
  replied.catch(() => undefined); // the test awaits it, or has failed before
  return { endpoint: router.lastEndpoint!, replied };
}

for (const [name, args] of BROKERS) {
  describe.skipIf(withoutPeers)(`a Python broker ${name}`, () => {
    test.each(PROTOCOLS)('our client (%s) asks Python workers', async (protocol) => {
      const { broker, endpoint } = await startBroker(undefined, ...args);
      for (const version of VERSIONS) startWorker(version, endpoint, 'upper', `upper ${version}`);
      await broker.line(/^registered/);
      await broker.line(/^registered/);
      const client = connectClient(endpoint, { protocol });
      for (const version of VERSIONS) {
        const reply = await client.request(`upper ${version}`, ['ab', 'cd']);
        expect(textsOf(reply)).toEqual(['AB', 'CD']);
      }
      const many = Array.from({ length: 100 }, (_, index) => `number ${index}`);
      const replies = await Promise.all(many.map((text) => client.request('upper 0.1', text)));
      expect(replies.map((reply) => reply.text())).toEqual(many.map((text) => text.toUpperCase()));
    });

    test.each(['auto', 'mdp0.2'] as const)('our client (%s) streams', async (protocol) => {
      const { broker, endpoint } = await startBroker(undefined, ...args);
      startWorker('0.2', endpoint, 'partials');
      startWorker('0.1', endpoint, 'echo');
      await broker.line(/^registered/);
      await broker.line(/^registered/);
      const client = connectClient(endpoint, { protocol });
      const parts = await collect(client.stream('partials', ['a', 'b', 'c']));
      expect(parts).toEqual([['a'], ['b'], ['c'], ['done']]);
      expect(await collect(client.stream('echo', ['a', 'b']))).toEqual([['a', 'b']]);
    });

    test.each(PROTOCOLS)('our worker (%s) serves Python clients and ours', async (protocol) => {
      const { broker, endpoint } = await startBroker(undefined, ...args);
      const worker = connectWorker(
        endpoint,
        'count',
        async (request) => {
          await request.write('one');
          await request.write('two');
          return request.body;
        },
        { protocol },
      );
      await worker.ready();
      const registered = await broker.line(/^registered/);
      expect(registered.endsWith(protocol === 'mdp0.1' ? '0.1' : '0.2')).toBe(true);

      // The Python broker drops partials for a 0.1 client, as the RFCs leave open what else to do.
      const whole = protocol === 'mdp0.1' ? ['one', 'two', 'three'] : ['three'];
      expect((await ask('0.1', endpoint, 'count', ['three'])).body).toEqual(whole);
      expect(textsOf(await connectClient(endpoint).request('count', 'three'))).toEqual(whole);

      const parts = protocol === 'mdp0.1' ? [] : [['one'], ['two']];
      const reply = await ask('0.2', endpoint, 'count', ['three']);
      expect(reply).toEqual({ service: 'count', partials: parts, body: whole });
      const stream = connectClient(endpoint, { protocol: 'mdp0.2' }).stream('count', 'three');
      expect(await collect(stream)).toEqual([...parts, whole]);
    });

    test('our closing worker says goodbye', async () => {
      const { broker, endpoint } = await startBroker(undefined, ...args);
      for (const protocol of PROTOCOLS) {
        const worker = connectWorker(endpoint, 'echo', (request) => request.body, { protocol });
        await broker.line(/^registered/);
        await worker.close();
        expect(await broker.line(/^(disconnect|expired)/)).toMatch(/^disconnect/);
      }
    });

    test('our worker registers again after the broker was killed and restarted', async () => {
      const first = await startBroker(undefined, ...args);
      const worker = connectWorker(first.endpoint, 'upper', (request) =>
        request.text().toUpperCase(),
      );
      await first.broker.line(/^registered/);
      await first.broker.end('SIGKILL');
      const second = await startBroker(first.endpoint, ...args);
      await second.broker.line(/^registered/);
      expect((await ask('0.1', second.endpoint, 'upper', ['again'])).body).toEqual(['AGAIN']);
      await worker.close();
      await second.broker.line(/^disconnect/);
    });

    test('our client tries again while the broker restarts', async () => {
      const first = await startBroker(undefined, ...args);
      const worker = startWorker('0.1', first.endpoint, 'hang', 'upper');
      const client = connectClient(first.endpoint, { attemptTimeout: 500, retries: 10 });
      const reply = client.request('upper', 'hello');
      await worker.line(/^request/);
      await first.broker.end('SIGKILL');
      await worker.end('SIGKILL');
      const second = await startBroker(first.endpoint, ...args);
      startWorker('0.2', second.endpoint, 'upper');
      expect((await reply).text()).toBe('HELLO');
    });
  });
}

describe.skipIf(withoutPeers)('what a Python broker cannot promise', () => {
  test('is refused if it says that it has no express', async () => {
    const { broker, endpoint } = await startBroker();
    startWorker('0.1', endpoint, 'echo');
    await broker.line(/^registered/);
    const client = connectClient(endpoint);
    for (const options of [{ idempotencyKey: 'k' }, { failFast: true }]) {
      const refused = client.request('echo', 'x', options);
      await expect(refused).rejects.toMatchObject({ code: 'ERR_NOT_SUPPORTED' });
    }
    const refused = client.broadcast('echo', 'x');
    await expect(refused).rejects.toMatchObject({ code: 'ERR_NOT_SUPPORTED' });
    // What it need not promise it carries as well as it can.
    const options = { priority: 9, headers: { trace: 'x' } };
    expect((await client.request('echo', 'x', options)).text()).toBe('x');
  });

  test('waits for a better one if it says nothing', async () => {
    const { broker, endpoint } = await startBroker(undefined, '--no-mmi');
    startWorker('0.1', endpoint, 'echo');
    await broker.line(/^registered/);
    const client = connectClient(endpoint);
    const keyed = client.request('echo', 'x', { idempotencyKey: 'k', timeout: 600 });
    await expect(keyed).rejects.toMatchObject({ code: 'ERR_REQUEST_TIMEOUT' });
    expect((await client.request('echo', 'x')).text()).toBe('x');
  });

  test('comes with one of ours in its place: worker and client move to express', async () => {
    const { broker: theirs, endpoint } = await startBroker();
    const worker = connectWorker(endpoint, 'upper', (it) => it.text().toUpperCase(), {
      reconnectLimit: 200,
    });
    await worker.ready();
    const client = connectClient(endpoint, { attemptTimeout: 200, retries: 50, backoffLimit: 50 });
    expect((await client.request('upper', 'plain')).text()).toBe('PLAIN');
    await theirs.end('SIGKILL');
    const { broker } = await bindBroker({}, endpoint);
    const isExpress = (): boolean => {
      const { clients, services } = broker.status();
      return clients === 1 && services[0]?.credit === 1;
    };
    while (!isExpress()) expect((await client.request('upper', 'on')).text()).toBe('ON');
    const keyed = await client.request('upper', 'express', { idempotencyKey: 'k' });
    expect(keyed.text()).toBe('EXPRESS');
  });
});

describe.skipIf(withoutPeers)('MMI of a Python broker', () => {
  test.each(PROTOCOLS)('our client (%s) asks it', async (protocol) => {
    const { broker, endpoint } = await startBroker();
    const client = connectClient(endpoint, { protocol });
    await client.ready();
    startWorker('0.1', endpoint, 'echo');
    await broker.line(/^registered/);
    expect((await client.request('mmi.service', 'echo')).text()).toBe('200');
    expect((await client.request('mmi.service', 'nobody')).text()).toBe('404');
    expect((await client.request('mmi.unheard', '')).text()).toBe('501');
    await expect(client.services()).rejects.toThrow('not an unsinkable broker');
  });

  test('ready() does not resolve with a broker that has no MMI and no worker for it', async () => {
    const { endpoint } = await startBroker(undefined, '--no-mmi');
    const client = connectClient(endpoint);
    await expect(client.ready({ timeout: 600 })).rejects.toMatchObject({ code: 'ERR_NOT_READY' });
  });
});

describe('a broker of 0.1 only', () => {
  test.each([
    ['auto', ['mdp0.2', 'mdp0.1']],
    // Told inside connect(), before anyone could listen: nothing is asked before.
    ['mdp0.1', []],
  ] satisfies [WorkerProtocol, string[]][])(
    'our worker (%s) finds the dialect that it speaks',
    async (protocol, expected) => {
      const { endpoint, replied } = await bindOldBroker();
      const dialects: string[] = [];
      const options = { protocol, heartbeatInterval: 100 };
      const upper = connectWorker(endpoint, 'upper', (it) => it.text().toUpperCase(), options);
      upper.on('connecting', (event: Extract<WorkerEvent, { type: 'connecting' }>) => {
        dialects.push(event.dialect);
      });
      await upper.ready();
      expect(await replied).toBe('client||HELLO');
      expect(dialects).toEqual(expected);
    },
  );
});
