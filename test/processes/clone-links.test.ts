/**
 * Replicas behind chaos proxies: whatever happens to their links, each notices what it has missed, gets it,
 * and is equal in the end; and what it wrote meanwhile is done once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import type { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import { Clones, SOUND } from './clones.ts';

/** What is done to one link, and undone; resolves when that was long enough. */
type Fault = (proxy: ChaosProxy, random: () => number) => Promise<void> | void;

const FAULTS: readonly (readonly [string, Fault])[] = [
  ['reset', (proxy) => void proxy.reset()],
  ['reset at one side only', (proxy) => void proxy.reset({ side: 'client' })],
  [
    'cut within a frame to the replica',
    (proxy, random) => proxy.cutAfter(1 + Math.floor(random() * 5000), 'down'),
  ],
  [
    'cut within a frame to the server',
    (proxy, random) => proxy.cutAfter(1 + Math.floor(random() * 500), 'up'),
  ],
  [
    'silent for longer than an expiry',
    async (proxy) => {
      proxy.pause();
      await delay(1200);
      proxy.resume();
    },
  ],
  [
    'refused for a while',
    async (proxy) => {
      proxy.refuse();
      proxy.reset();
      await delay(300);
      proxy.forward();
    },
  ],
  [
    'slow',
    async (proxy) => {
      proxy.shape({ latency: 60, jitter: 40 });
      await delay(600);
      proxy.shape({ latency: 0, jitter: 0 });
    },
  ],
];

describe('a link that is', { timeout: 60_000 }, () => {
  test.each(FAULTS)('%s', async (_, fault) => {
    const all = await Clones.open({ isPair: false, canCut: true });
    const random = seededRandom(7);
    for (let round = 0; round < 4; round++) {
      const [proxy] = all.replicas[round % all.replicas.length]!.proxies;
      await fault(proxy!, random);
      await all.progress();
    }
    const judgement = await all.judge();
    expect(judgement).toMatchObject(SOUND);
  });

  test('anything, with a history of 8', async () => {
    const server = { historyLimit: 8 };
    const all = await Clones.open({ isPair: false, canCut: true, server });
    const random = seededRandom(11);
    for (let round = 0; round < 20; round++) {
      const [proxy] = all.replicas[Math.floor(random() * all.replicas.length)]!.proxies;
      const [, fault] = FAULTS[Math.floor(random() * 4)]!;
      await fault(proxy!, random);
      await delay(random() * 60);
    }
    await all.progress();
    expect(await all.judge()).toMatchObject(SOUND);
    const snapshots = all.replicas.map((replica) => replica.count('snapshotLoaded'));
    expect(Math.max(...snapshots)).toBeGreaterThan(1);
  });

  test('anything, while the active one of a pair is killed', async () => {
    const all = await Clones.open({ isPair: true, canCut: true });
    const random = seededRandom(13);
    const over = new AbortController();
    const cutting = (async () => {
      while (!over.signal.aborted) {
        const { proxies } = all.replicas[Math.floor(random() * all.replicas.length)]!;
        for (const proxy of proxies) proxy.reset();
        await delay(30 + random() * 200);
      }
    })();
    for (let kills = 0; kills < 2; kills++) {
      await all.restart(await all.whole());
      await all.progress();
    }
    over.abort();
    await cutting;
    expect(await all.judge()).toMatchObject(SOUND);
  });
});

test('a slow replica delays nobody, and gets there in the end', { timeout: 60_000 }, async () => {
  const all = await Clones.open({ isPair: false, canCut: true, replicas: 3 });
  const slow = all.replicas[2]!;
  slow.proxies[0]!.shape({ bandwidth: 2000 }, 'down');
  const before = all.replicas.map(({ written }) => written);
  await delay(2000);
  const [one = 0, two = 0] = all.replicas.map(({ written }, index) => written - before[index]!);
  expect(Math.min(one, two)).toBeGreaterThan(200);
  slow.proxies[0]!.shape({ bandwidth: Infinity }, 'down');
  expect(await all.judge()).toMatchObject(SOUND);
});
