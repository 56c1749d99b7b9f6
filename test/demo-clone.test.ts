/** The demo of Clone as its users run it, with fewer updates; and its tally, which has to see what is wrong. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Tally } from '../demo/clone/tally.js';
import { Demos, isAlive } from './demos.ts';

const SMALL = ['--updates', '3000', '--replicas', '3', '--verbose'];

describe('the demo of Clone', () => {
  let demos: Demos;
  beforeEach(() => {
    demos = new Demos('demo/clone/main.js');
  });
  afterEach(() => demos.remove());

  it('cuts and kills, and all is equal in the end', { timeout: 120_000 }, async () => {
    const demo = demos.start(...SMALL);
    await demo.ended;

    expect(demo.output()).toMatch(
      /OK: 3000 updates, 3 equal replicas \(digest [\da-f]+-[\da-f]+\), \d+ gaps found and repaired, 0 lost\./,
    );
    expect(demo.child.exitCode).toBe(0);
    expect(demo.row('updates acknowledged')).toBe(3000);
    expect(demo.row('active server killed')).toBe(2);
    expect(demo.row('links cut')).toBeGreaterThan(0);
    expect(demo.row('gaps found')).toBe(
      demo.row('  repaired from history') + demo.row('  repaired by snapshot'),
    );
    expect(demo.row('digests equal')).toBe(3);
    expect(demo.row('maps that are different')).toBe(0);
    expect(demo.row('updates lost')).toBe(0);
    // A witness and two servers, each of which was killed and started again.
    expect(demo.pids()).toHaveLength(5);
    expect(demo.pids().filter(isAlive)).toEqual([]);
    expect(demos.leftOver()).toEqual([]);
  });

  it('fails when the time is too short', { timeout: 60_000 }, async () => {
    const demo = demos.start('--seconds', '3');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toMatch(/FAILED: not done after 3 seconds; .*only \d+ of 100000 updates/);
    expect(demos.leftOver()).toEqual([]);
  });

  it('ends everything at Ctrl-C', { timeout: 60_000 }, async () => {
    const demo = demos.start('--verbose');
    await vi.waitUntil(() => demo.pids().length === 3, { timeout: 20_000 });
    demo.child.kill('SIGINT');
    await demo.ended;

    expect(demo.child.exitCode).toBe(130);
    expect(demo.pids().filter(isAlive)).toEqual([]);
    expect(demos.leftOver()).toEqual([]);
    expect(demo.output()).not.toMatch(/OK|FAILED/);
  });

  it('fails when a process ends that it did not kill', { timeout: 60_000 }, async () => {
    const demo = demos.start('--verbose');
    await vi.waitUntil(() => demo.pids().length === 3, { timeout: 20_000 });
    process.kill(demo.pids()[0]!, 'SIGKILL');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toMatch(/FAILED: a witness ended by itself: SIGKILL;/);
    expect(demo.pids().filter(isAlive)).toEqual([]);
  });

  it.each([
    ['an unknown option', ['--bogus'], /^error: unknown option '--bogus'\n$/],
    ['no replica', ['--replicas', '0'], /^error: .*a whole number, 1 or more\.\n$/],
    ['updates that are none', ['--updates', 'x'], /^error: .*a whole number, 10 or more\.\n$/],
  ])('says what is wrong with %s', async (_, parameters, message) => {
    const demo = demos.start(...parameters);
    await demo.ended;

    expect(demo.errors()).toMatch(message);
    expect(demo.output()).toBe('');
    expect(demo.child.exitCode).toBe(2);
  });

  it('explains itself', async () => {
    const demo = demos.start('--help');
    await demo.ended;

    expect(demo.output()).toContain('SIGKILL');
    expect(demo.child.exitCode).toBe(0);
  });
});

const map = new Map([['/a', '1']]);
const server = { digest: '1-1', map };

/** Two updates, one of which deletes; one replica, one gap, one kill. */
function sound(): Tally {
  const tally = new Tally(2, 1, 1);
  tally.ask('/a', '1');
  tally.acknowledge();
  tally.ask('/b', undefined);
  tally.acknowledge();
  tally.kills = 1;
  tally.cuts = 1;
  tally.gaps = 1;
  tally.repairs.push({ by: 'history', milliseconds: 5 });
  return tally;
}

describe('its tally', () => {
  it('is content if nothing is wrong', () => {
    const tally = sound();
    tally.compare(server, [{ digest: '1-1', map: new Map(map) }]);
    expect(tally.failures).toEqual([]);
    expect(tally.mistakes).toEqual([]);
    expect(tally).toMatchObject({ acknowledged: 2, equal: 1, different: 0, keys: 1, underWay: 0 });
  });

  it.each<[string, (tally: Tally) => void]>([
    ['1 updates were lost', (tally) => tally.ask('/a', '2')],
    ['1 updates were lost', (tally) => tally.ask('/c', '2')],
    ['1 updates were lost', (tally) => tally.ask('/a', undefined)],
    ['1 updates were lost', (tally) => tally.lose('/a', new Error('timed out'))],
    ['only 2 of 3 updates', (tally) => (tally.updates = 3)],
    ['1 digests are not the server', (tally) => (tally.replicas = 2)],
    ['1 gaps were not repaired', (tally) => tally.gaps++],
    ['only 1 of 2 kills', (tally) => (tally.killsWanted = 2)],
    ['no link was cut', (tally) => (tally.cuts = 0)],
    ['there was no gap', (tally) => ((tally.gaps = 0), (tally.repairs = []))],
    ['the roof fell in', (tally) => (tally.failure = 'the roof fell in')],
  ])('complains: %s', (complaint, spoil) => {
    const tally = sound();
    spoil(tally);
    tally.compare(server, [server]);
    expect(tally.failures.join()).toContain(complaint);
  });

  it.each([
    ['another digest', { digest: '1-2', map }, '1 digests are not'],
    ['another value', { digest: '1-1', map: new Map([['/a', '2']]) }, '1 replicas have another'],
    ['another key', { digest: '1-1', map: new Map([['/b', '1']]) }, '1 replicas have another'],
    ['a key more', { digest: '1-1', map: new Map([...map, ['/b', '1']]) }, '1 replicas have'],
    ['nothing', { digest: '1-1', map: new Map<string, string>() }, '1 replicas have another'],
  ])('sees a replica with %s', (_, replica, complaint) => {
    const tally = sound();
    tally.compare(server, [replica]);
    expect(tally.failures.join()).toContain(complaint);
  });

  it('lets nobody write too far ahead of a kill', () => {
    const tally = new Tally(300, 1, 2);
    expect(tally.allowed).toBe(150);
    expect(tally.isKillDue).toBe(false);
    tally.acknowledged = 100;
    expect(tally.isKillDue).toBe(true);
    tally.kills = 1;
    expect(tally).toMatchObject({ allowed: 250, isKillDue: false });
    tally.kills = 2;
    expect(tally.allowed).toBe(300);
  });
});
