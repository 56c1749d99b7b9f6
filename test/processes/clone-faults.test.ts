/**
 * Servers of a Clone pair are killed, stopped and dismissed while replicas write: nothing that was
 * acknowledged is lost, nobody goes back in time, and all are equal in the end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Clones, SOUND, type Role } from './clones.ts';
import { toldAnew } from './processes.ts';

/** Milliseconds. */
const PAUSE = 5000;

const KILLS = Number(process.env['CLONE_KILLS'] ?? 3);

const otherOf = (role: Role): Role => (role === 'primary' ? 'backup' : 'primary');

describe('a pair', { timeout: 60_000 + KILLS * 10_000 }, () => {
  test('of which the active one is killed again and again', async () => {
    const all = await Clones.open({ isPair: true });
    for (let count = 0; count < KILLS; count++) {
      const active = await all.whole();
      await all.progress();
      await all.restart(active);
      await all.progress();
    }
    expect(await all.judge()).toMatchObject(SOUND);
    expect(all.replicas[0]!.count('failedOver')).toBeGreaterThanOrEqual(KILLS);
  });

  test('that is async loses nothing that both had', async () => {
    const all = await Clones.open({ isPair: true, server: { replication: 'async' } });
    const active = await all.whole();
    await all.progress();
    await all.restart(active);
    await all.progress();
    const { different, descents, failures, ended } = await all.judge();
    expect({ different, descents, failures, ended }).toEqual({
      different: [],
      descents: [],
      failures: [],
      ended: [],
    });
  });

  test('of which the active one is stopped: the other serves, and goes on to', async () => {
    const all = await Clones.open({ isPair: true });
    const stopped = await all.whole();
    await all.progress();
    const other = otherOf(stopped);
    const half = all.servers.get(stopped)!;
    half.signal('SIGSTOP');
    await Promise.all([delay(PAUSE), toldAnew(all.servers.get(other)!, 'becameActive')]);
    await all.progress();
    const steppedDown = toldAnew(half, 'becamePassive');
    half.signal('SIGCONT');
    await steppedDown;
    await all.progress();
    await all.whole();
    expect(await all.judge()).toMatchObject(SOUND);
    expect(all.active).toBe(other);
  });

  test('of which the passive one is stopped: the active one goes on alone', async () => {
    const all = await Clones.open({ isPair: true });
    const active = await all.whole();
    const epoch = all.epochOf(active);
    const passive = all.servers.get(otherOf(active))!;
    const half = all.servers.get(active)!;
    const lost = toldAnew(half, 'backupLost');
    passive.signal('SIGSTOP');
    await lost;
    await all.progress();
    const back = toldAnew(half, 'backupSynchronised');
    passive.signal('SIGCONT');
    await back;
    expect(await all.judge()).toMatchObject(SOUND);
    expect(all.epochOf(active)).toBe(epoch);
  });

  test('of which both are dismissed, one after the other', async () => {
    const all = await Clones.open({ isPair: true });
    for (let count = 0; count < 2; count++) {
      const active = await all.whole();
      await all.progress();
      await all.restart(active, 'SIGTERM');
      await all.progress();
    }
    await all.whole();
    expect(await all.judge()).toMatchObject(SOUND);
  });

  test('that stores, of which both are killed at the same time', async () => {
    const all = await Clones.open({ isPair: true, isStored: true });
    for (let count = 0; count < 2; count++) {
      await all.whole();
      await all.progress();
      const halves = [...all.servers.values()];
      await Promise.all(halves.map((half) => half.end('SIGKILL')));
      await Promise.all([all.startServer('primary'), all.startServer('backup')]);
      await all.progress();
    }
    expect(await all.judge()).toMatchObject(SOUND);
  });
});

describe('a lone server', { timeout: 60_000 }, () => {
  test('that stores, killed again and again', async () => {
    const all = await Clones.open({ isPair: false, isStored: true });
    for (let count = 0; count < KILLS; count++) {
      await all.restart('primary');
      await all.progress();
    }
    expect(await all.judge()).toMatchObject(SOUND);
  });

  test('that is stopped for longer than an expiry', async () => {
    const all = await Clones.open({ isPair: false });
    const server = all.servers.get('primary')!;
    server.signal('SIGSTOP');
    await delay(2000);
    server.signal('SIGCONT');
    await all.progress();
    expect(await all.judge()).toMatchObject(SOUND);
  });
});
