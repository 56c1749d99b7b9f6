/** Links of a pair are cut one way, so that one hears and is not heard. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Failovers, SOUND, type Link } from './failovers.ts';
import { toldAnew } from './processes.ts';

/** Milliseconds: longer than a lease holds, and than anybody waits for a sign of life. */
const CUT = 900;

const WAYS = ['up', 'down'] as const;

/** Cuts these links for a while, and longer, as nobody heals them. */
async function cut(all: Failovers, links: readonly Link[], way: 'up' | 'down'): Promise<void> {
  for (const link of links) all.proxy(link).pause(way);
  await delay(CUT);
}

describe('with a witness', () => {
  test('what the active one loses of one voter, or of its clients, changes nothing', async () => {
    const all = await Failovers.open({ mode: 'witness', canCut: true });
    const before = all.epochOf('primary');
    expect(before).toBeGreaterThan(0);
    for (const link of ['primaryToBackup', 'primaryToWitness'] as const) {
      for (const way of WAYS) {
        await cut(all, [link], way);
        await all.progress();
        all.heal();
      }
    }
    await cut(all, ['clientsToPrimary'], 'up');
    all.heal();
    expect(await all.judge()).toMatchObject(SOUND);
    expect(all.epochOf('primary')).toBe(before);
  });

  test.each(WAYS)(
    'cut off %s from all who vote, it gives way, and then the other serves',
    async (way) => {
      const all = await Failovers.open({ mode: 'witness', canCut: true });
      const before = all.epochOf('primary');
      const gaveWay = toldAnew(all.halves.get('primary')!, 'becamePassive');
      const tookOver = toldAnew(all.halves.get('backup')!, 'becameActive');
      await cut(all, ['primaryToBackup', 'primaryToWitness'], way);
      expect(await gaveWay).toMatchObject({ epoch: before });
      // By a clock that they share: at no time did both serve.
      expect((await tookOver)['at']).toBeGreaterThan(Number((await gaveWay)['at']));
      await all.progress();
      all.heal();
      expect(await all.judge()).toMatchObject(SOUND);
      expect(all.active).toBe('backup');
    },
  );
});

test('where clients vote, one that is cut off gives way to the first who has seen the other', async () => {
  const all = await Failovers.open({ mode: 'vote', canCut: true });
  const before = all.epochOf('primary');
  const gaveWay = toldAnew(all.halves.get('primary')!, 'becamePassive');
  const tookOver = toldAnew(all.halves.get('backup')!, 'becameActive');
  await cut(all, ['primaryToBackup', 'backupToPrimary', 'clientsToPrimary'], 'up');
  expect(Number((await tookOver)['epoch'])).toBeGreaterThan(before);
  // Its workers come to both.
  expect(await gaveWay).toMatchObject({ epoch: before, reason: 'higherEpoch' });
  await all.progress();
  all.heal();
  expect(await all.judge()).toMatchObject(SOUND);
  expect(all.active).toBe('backup');
});
