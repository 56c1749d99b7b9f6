/** Many at work together: all dialects on one broker, elastic pools, broadcasts, bodies of 100 MB. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  MajordomoClient,
  MajordomoWorker,
  type ClientOptions,
  type Dialect,
  type WorkerHandler,
  type WorkerOptions,
} from '../../src/index.ts';
import { allTold, Cluster, told } from './cluster.ts';

const DIALECTS: readonly Dialect[] = ['express', 'mdp0.1', 'mdp0.2'];

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((it) => it.close()));
});

function clientAt(endpoint: string, options?: ClientOptions): MajordomoClient {
  const client = new MajordomoClient({ drainTimeout: 0, ...options });
  open.push(client);
  client.connect(endpoint);
  return client;
}

async function serve(
  endpoint: string,
  service: string,
  handler: WorkerHandler,
  options?: WorkerOptions & { readonly codec?: 'bytes' },
): Promise<void> {
  const worker = new MajordomoWorker(service, handler, { drainTimeout: 0, ...options });
  open.push(worker);
  worker.connect(endpoint);
  await worker.ready();
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Two parts, and the end. */
const inParts: WorkerHandler = (request) => {
  void request.write('one');
  void request.write('two');
  return request.text();
};

describe('all dialects on one broker', () => {
  test('every client reaches every worker, whole or in parts', async () => {
    const cluster = new Cluster();
    await cluster.startBroker();
    const { endpoint } = cluster;
    for (const protocol of DIALECTS) await serve(endpoint, protocol, inParts, { protocol });
    for (const protocol of DIALECTS) {
      const client = clientAt(endpoint, { protocol });
      for (const service of DIALECTS) {
        const { body } = await client.request(service, 'three');
        expect(body.map(String)).toHaveLength(3);
        expect(Buffer.concat(body).toString()).toBe('onetwothree');
        if (protocol === 'mdp0.1') continue;
        const parts: string[] = [];
        for await (const part of client.stream(service, 'three')) parts.push(part.text());
        // A worker of 0.1 has no parts to send.
        expect(parts).toEqual(service === 'mdp0.1' ? ['onetwothree'] : ['one', 'two', 'three']);
      }
    }
  });

  test('workers of one service share the requests of all clients', async () => {
    const cluster = new Cluster();
    const broker = await cluster.startBroker();
    const { endpoint } = cluster;
    const served = new Map<Dialect, number>();
    for (const protocol of DIALECTS) {
      const count: WorkerHandler = (request) => {
        served.set(protocol, (served.get(protocol) ?? 0) + 1);
        return request.body;
      };
      await serve(endpoint, 'echo', count, { protocol, concurrency: 2 });
    }
    const bodies = Array.from({ length: 100 }, (_, index) => `number ${index}`);
    const ask = async (protocol: Dialect): Promise<string[]> => {
      const client = clientAt(endpoint, { protocol });
      const replies = await Promise.all(bodies.map((body) => client.request('echo', body)));
      return replies.map((reply) => reply.text());
    };
    expect(await Promise.all(DIALECTS.map(ask))).toEqual([bodies, bodies, bodies]);
    expect([...served.keys()].toSorted()).toEqual(DIALECTS);
    expect(allTold(broker, 'requestRequeued')).toEqual([]);
    expect(allTold(broker, 'malformed')).toEqual([]);
  });
});

test('a map goes on over workers that are killed and others that come', async () => {
  const cluster = new Cluster();
  await cluster.startBroker();
  await cluster.startWorkers(2, { delay: 5, options: { concurrency: 4 } });
  const client = clientAt(cluster.endpoint);
  const inputs = Array.from({ length: 400 }, (_, index) =>
    JSON.stringify({ id: `input ${index}`, payload: 'x' }),
  );
  const answered: string[] = [];
  const by = new Set<string>();
  const replace = async (): Promise<void> => {
    const [added, killed] = [cluster.startWorker({ delay: 5 }), cluster.workers.shift()!];
    await told(killed, 'handling');
    await Promise.all([killed.end('SIGKILL'), added]);
  };
  const replaced: Promise<void>[] = [];
  for await (const reply of client.map('digest', inputs, { concurrency: 20 })) {
    const { id, worker } = reply.json<{ id: string; worker: string }>();
    answered.push(id);
    by.add(worker);
    if (answered.length === 50 || answered.length === 150) replaced.push(replace());
  }
  await Promise.all(replaced);
  expect(answered).toEqual(inputs.map((input) => (JSON.parse(input) as { id: string }).id));
  expect(by.size).toBeGreaterThan(2);
  expect(allTold(cluster.broker, 'requestRequeued').length).toBeGreaterThan(0);
});

test('a broadcast tells of each worker, of the one that was killed too', async () => {
  const cluster = new Cluster();
  await cluster.startBroker();
  await cluster.startWorkers(3, { mode: 'hold' });
  const client = clientAt(cluster.endpoint);
  const entries = client.broadcast('digest', JSON.stringify({ id: 'all', payload: '' }));
  for (const worker of cluster.workers) await told(worker, 'handling');
  const [killed, ...others] = cluster.workers;
  await killed!.end('SIGKILL');
  for (const worker of others) worker.write('go on');
  const outcomes = (await entries).map(
    ({ reply, error }) => error?.code ?? reply?.json<{ worker: string }>().worker,
  );
  const names = others.map(({ name }) => name);
  expect(new Set(outcomes)).toEqual(new Set(['ERR_WORKER_LOST', ...names]));
  expect(outcomes).toHaveLength(3);
});

test('a typed array of 100 MB goes there and back, and nobody is taken for dead meanwhile', async () => {
  const heartbeats = { heartbeatInterval: 100, heartbeatLiveness: 3 };
  const cluster = new Cluster();
  const broker = await cluster.startBroker(heartbeats);
  const options = { ...heartbeats, codec: 'msgpack' } as const;
  const worker = new MajordomoWorker('echo', (request) => request.value(), options);
  open.push(worker);
  worker.connect(cluster.endpoint);
  await worker.ready();
  const client = clientAt(cluster.endpoint, { ...heartbeats, codecs: { echo: 'msgpack' } });
  const sent = new Float64Array(12_500_000).fill(Math.PI).fill(Math.E, 6_000_000);
  const reply = await client.request('echo', { samples: sent, name: 'sensor' }, { retries: 0 });
  const { samples, name } = reply.value<{ samples: Float64Array; name: string }>();
  expect(name).toBe('sensor');
  expect(samples).toBeInstanceOf(Float64Array);
  expect(bytesOf(samples).equals(bytesOf(sent))).toBe(true);
  for (const type of ['workerLost', 'clientLost', 'requestRequeued']) {
    expect(allTold(broker, type)).toEqual([]);
  }
});
