/** Two Majordomo brokers of which an etcd says who serves, in the place of a Binary Star. */
import { describe, expect, test } from 'vitest';
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from '../../src/index.ts';
import { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import { closeAfterwards, Server, startEtcd, until, withoutEtcd } from './etcds.ts';

const HEARTBEATS = { heartbeatInterval: 100, heartbeatLiveness: 3 };

/** A broker, who decides for it, and what is between that and etcd. */
async function openBroker(name: string, port: number) {
  const link = await ChaosProxy.open({ port });
  closeAfterwards(() => link.close());
  const server = new Server(name, {});
  const broker = new MajordomoBroker({ ...HEARTBEATS, failover: server.election });
  closeAfterwards(() => broker.close());
  const endpoint = await broker.bind('tcp://127.0.0.1:*');
  server.election.connect(`http://127.0.0.1:${link.port}`);
  return { link, server, broker, endpoint };
}

/** A pair, of which the passive one has copied all, and a client that asks a worker to count. */
async function openPair() {
  const [etcd] = await startEtcd();
  const brokers = [await openBroker('first', etcd!.port), await openBroker('second', etcd!.port)];
  const endpoints = brokers.map(({ endpoint }) => endpoint);
  let runs = 0;
  const worker = new MajordomoWorker('count', () => String(++runs), HEARTBEATS);
  closeAfterwards(() => worker.close());
  worker.connect(endpoints);
  const client = new MajordomoClient(HEARTBEATS);
  closeAfterwards(() => client.close());
  client.connect(endpoints);
  const ask = async (idempotencyKey: string): Promise<string> =>
    (await client.request('count', '', { idempotencyKey })).text();
  expect(await ask('one')).toBe('1');
  const active = brokers.find(({ server }) => server.epoch > 0)!;
  const passive = brokers.find((broker) => broker !== active)!;
  await until(() => passive.broker.status().failover?.follower === 'synchronised');
  const last = '/unsinkable/election/last';
  await until(async () => (await etcd!.get(last)).includes('"alone":false'));
  return { active, passive, ask };
}

describe.skipIf(withoutEtcd)('a pair of brokers', () => {
  test('is followed by its clients and workers, and forgets nothing that has a key', async () => {
    const { active, passive, ask } = await openPair();
    await active.broker.close();
    await active.server.election.close();
    expect(await ask('one')).toBe('1');
    expect(await ask('two')).toBe('2');
    expect(passive.server.epoch).toBe(2);
  });

  test('goes on when the active one does not reach etcd any more, and takes it back', async () => {
    const { active, passive, ask } = await openPair();
    active.link.pause();
    active.link.stall();
    await until(() => active.broker.status().failover?.standing === 'passive');
    expect(await ask('one')).toBe('1');
    expect(await ask('two')).toBe('2');
    active.link.forward();
    active.link.resume();
    // The one that serves has to know it, too.
    const both = [active, passive].map(({ broker }) => broker);
    await until(() => both.every((each) => each.status().failover?.follower === 'synchronised'));
    await passive.broker.close();
    await passive.server.election.close();
    expect(await ask('two')).toBe('2');
    expect(await ask('three')).toBe('3');
    expect(active.server.epoch).toBe(3);
  });
});
