/** Bad networks between real sockets: every link through a chaos proxy, and the history is judged. */
import { describe, expect, test } from 'vitest';
import { HEARTBEATS, Links, Traffic, until, type LinksOptions } from './links.ts';
import type { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import type { HistoryReport } from '../../src/testing/history.ts';
import { pickFaults, sum } from './link-faults.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** What promises the same is tried in both ways to speak. */
const DIALECTS = ['express', 'mdp0.2'] as const;
/** What every history here has to be; nothing lost also means that all was replied to. */
const FLAWLESS = { failed: {}, violations: [] };
const EXPIRY = HEARTBEATS.heartbeatInterval * HEARTBEATS.heartbeatLiveness;

/** Three workers and two clients, in full swing. */
async function startAll(
  sizeOf: () => number = () => 200,
  options: LinksOptions = {},
  concurrency = 3,
): Promise<{ links: Links; traffic: Traffic }> {
  const links = await Links.open(options);
  for (let count = 0; count < 3; count++) await links.startWorker();
  for (let count = 0; count < 2; count++) await links.startClient();
  const traffic = new Traffic(links, sizeOf, concurrency);
  await traffic.progress(5);
  return { links, traffic };
}

/** Ends the traffic after some more of it in peace, and judges all of it. */
async function finish({
  links,
  traffic,
}: Awaited<ReturnType<typeof startAll>>): Promise<HistoryReport> {
  links.heal();
  await traffic.progress(5);
  await traffic.stop();
  return await links.judge();
}

describe('slow links', () => {
  test('latency and jitter: requests take longer, and nobody is lost', async () => {
    const all = await startAll();
    const latency = 15;
    for (const proxy of all.links.proxies) proxy.shape({ latency, jitter: 10 });
    await all.traffic.progress(4);
    const began = performance.now();
    await all.traffic.progress(4);
    // Two links there, two back; at most three requests of a client were on their way before.
    expect(performance.now() - began).toBeGreaterThan(4 * latency);
    const report = await finish(all);
    expect(report).toMatchObject(FLAWLESS);
    expect(all.links.of('workerLost')).toEqual([]);
    expect(report.repeated).toBe(0);
  });

  test('little bandwidth: payloads arrive whole, if late', async () => {
    const all = await startAll(() => 16 * KiB);
    for (const proxy of all.links.proxies) proxy.shape({ bandwidth: 300 });
    await all.traffic.progress(2);
    const began = performance.now();
    await all.traffic.progress(4);
    expect(performance.now() - began).toBeGreaterThan((16 * KiB) / 300);
    expect(await finish(all)).toMatchObject(FLAWLESS);
  });

  test('paused and resumed within the expiry: nothing is lost', async () => {
    const all = await startAll();
    const { links, traffic } = all;
    for (let round = 0; round < 5; round++) {
      for (const proxy of links.proxies) proxy.pause();
      await until(() => links.proxies.some(({ heldBytes }) => heldBytes > 200));
      for (const proxy of links.proxies) proxy.resume();
      await traffic.progress(3);
    }
    const report = await finish(all);
    expect(report).toMatchObject(FLAWLESS);
    expect(links.of('workerLost')).toEqual([]);
    expect(report.repeated).toBe(0);
  });
});

describe.each(DIALECTS)('broken links of %s', (dialect) => {
  test('all reset in mid-traffic, again and again', async () => {
    const all = await startAll(undefined, { dialect });
    const { links, traffic } = all;
    for (let round = 0; round < 6; round++) {
      await until(() => links.proxies.every(({ connections }) => connections > 0));
      for (const proxy of links.proxies) expect(proxy.reset()).toBeGreaterThan(0);
      await traffic.progress(2);
    }
    expect(await finish(all)).toMatchObject(FLAWLESS);
    expect(sum(links.proxies, 'reset')).toBeGreaterThanOrEqual(6 * 5);
  });

  test('reset half: the broker keeps a dead connection until it is taken over', async () => {
    const all = await startAll(undefined, { dialect });
    const { links, traffic } = all;
    for (let round = 0; round < 4; round++) {
      for (const proxy of links.proxies) {
        await until(() => proxy.reset({ side: 'client' }) > 0);
      }
      await traffic.progress(2);
    }
    expect(await finish(all)).toMatchObject(FLAWLESS);
  });

  test.each(['up', 'down'] as const)('cut in mid-frame, %s', async (direction) => {
    const all = await startAll(() => 64 * KiB, { dialect });
    const { links, traffic } = all;
    for (let round = 0; round < 3; round++) {
      const before = sum(links.proxies, 'cut');
      for (const proxy of links.proxies) {
        proxy.cutAfter(Math.ceil(links.random() * 60 * KiB), direction);
      }
      await until(() => sum(links.proxies, 'cut') === before + links.proxies.length);
      await traffic.progress(1);
    }
    expect(await finish(all)).toMatchObject(FLAWLESS);
  });
});

describe.each(DIALECTS)('dead links of %s', (dialect) => {
  test.each(['up', 'down'] as const)('of workers, held %s beyond the expiry', async (direction) => {
    const all = await startAll(undefined, { dialect });
    const { links, traffic } = all;
    const held = links.workers.slice(0, 2);
    for (const { proxy } of held) proxy.pause(direction);
    const isLost = (): boolean =>
      direction === 'up'
        ? links.of('workerLost').filter(({ reason }) => reason === 'expired').length >= 2
        : held.every(({ told }) =>
            told.some((event) => event.type === 'brokerLost' && event.reason === 'silent'),
          );
    await until(isLost);
    await traffic.progress(2); // the third one does all the work
    for (const { proxy } of held) proxy.resume();
    expect(await finish(all)).toMatchObject(FLAWLESS);
  });

  test.each(['up', 'down'] as const)('of clients, held %s beyond a try', async (direction) => {
    const client = { attemptTimeout: 2 * EXPIRY };
    const all = await startAll(undefined, { dialect, client });
    const { links } = all;
    for (const { proxy } of links.clients) proxy.pause(direction);
    await until(() => links.clients.every(({ told }) => told.some(({ type }) => type === 'retry')));
    for (const { proxy } of links.clients) proxy.resume();
    expect(await finish(all)).toMatchObject(FLAWLESS);
  });

  test('new connections accepted and then stalled', async () => {
    const client = { attemptTimeout: 2 * EXPIRY };
    const all = await startAll(undefined, { dialect, client });
    const { links, traffic } = all;
    const stalled: ChaosProxy[] = [links.workers[0]!, links.workers[1]!, links.clients[0]!].map(
      ({ proxy }) => proxy,
    );
    for (const proxy of stalled) {
      proxy.stall();
      proxy.reset();
    }
    // More than one connection each: they give up what is stalled, and try anew.
    await until(() => stalled.every(({ counters }) => counters.stalled > 1));
    for (const proxy of stalled) proxy.forward();
    await traffic.progress(2);
    expect(await finish(all)).toMatchObject(FLAWLESS);
  });
});

describe('storms', () => {
  test.each(DIALECTS)('of all faults on %s, from one seed', async (dialect) => {
    const all = await startAll(undefined, {
      dialect,
      seed: 20260401,
      client: { attemptTimeout: 2 * EXPIRY },
    });
    const seen = new Set<string>();
    // Four swarms, and more on a machine that is too busy to show most faults in these.
    for (let swarm = 0; swarm < 4 || (seen.size < 9 && swarm < 20); swarm++) {
      for (const name of await storm(all.links, 1000)) seen.add(name);
    }
    const report = await finish(all);
    expect(report).toMatchObject(FLAWLESS);
    expect(seen.size).toBeGreaterThan(8);
    expect(report.replied).toBeGreaterThan(50);
  });

  test('of resets and cuts, with bodies of megabytes', async () => {
    const bodies = [1, 2, 4, 8].map((size) => size * MiB);
    let next = 0;
    const all = await startAll(
      () => bodies[next++ % bodies.length]!,
      {
        client: { attemptTimeout: 1500 },
        broker: { attemptTimeout: 1500 },
      },
      1,
    );
    const { links, traffic } = all;
    for (let round = 0; round < 3; round++) {
      const { proxy } = links.workers[round % 3]!;
      proxy.cutAfter(Math.ceil(links.random() * MiB), round % 2 === 0 ? 'up' : 'down');
      const client = links.clients[round % 2]!;
      await until(() => client.proxy.heldBytes > 0);
      client.proxy.reset();
      await until(() => proxy.counters.cut > 0);
      await traffic.progress(1);
    }
    expect(await finish(all)).toMatchObject(FLAWLESS);
    expect(sum(links.proxies, 'bytesLost')).toBeGreaterThan(0);
    expect(sum(links.proxies, 'cut')).toBe(3);
  });
});

/** Strikes links with a swarm of faults for so many milliseconds, and heals now and then. */
async function storm(links: Links, milliseconds: number): Promise<ReadonlySet<string>> {
  const { random, proxies } = links;
  const faults = pickFaults(random);
  const struck = new Set<string>();
  const end = performance.now() + milliseconds;
  while (performance.now() < end) {
    const fault = faults[Math.floor(random() * faults.length)]!;
    struck.add(fault.name);
    for (const proxy of proxies) if (random() < 0.5) fault.strike(proxy, random);
    // Half of the faults meet the traffic alone, the others the next fault.
    if (random() < 0.5) await heldFor(random() * 1.5 * EXPIRY);
    if (random() < 0.5) links.heal();
  }
  return struck;
}

/** How long a fault lasts is the fault itself here: there is no condition to wait for. */
async function heldFor(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}
