/** The demo of failover as its users run it, with fewer kills; and its tally, which has to see what is wrong. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Entry } from '../demo/digest/logbook.js';
import { quantile, Tally } from '../demo/failover/tally.js';
import { Demos, isAlive } from './demos.ts';

describe('the demo of failover', () => {
  let demos: Demos;
  beforeEach(() => {
    demos = new Demos('demo/failover/main.js');
  });
  afterEach(() => demos.remove());

  it.each([
    ['with a witness', [], 6],
    ['where clients vote', ['--vote'], 5],
  ])(
    'kills the active one, and loses nothing, %s',
    async (_, parameters, processes) => {
      const demo = demos.start('--kills', '2', '--verbose', ...parameters);
      await demo.ended;

      expect(demo.output()).toMatch(/OK: \d+ requests, each answered and executed once, over 2 k/);
      expect(demo.child.exitCode).toBe(0);
      expect(demo.row('active killed')).toBe(2);
      expect(demo.row('  requests under way then')).toBeGreaterThan(0);
      expect(demo.row('right answers')).toBe(demo.row('requests asked'));
      expect(demo.row('executions')).toBe(demo.row('requests asked'));
      expect(demo.row('executed twice')).toBe(0);
      expect(demo.row('lost')).toBe(0);
      // Each of four clients, after each kill.
      expect(demo.row('asked again after a kill, same answer')).toBe(8);
      expect(demo.row('until somebody is answered')).toBeGreaterThan(0);
      // The killed one is started again.
      expect(demo.pids()).toHaveLength(processes + 2);
      expect(demo.pids().filter(isAlive)).toEqual([]);
      expect(demos.leftOver()).toEqual([]);
    },
    90_000,
  );

  it('fails when the time is too short', async () => {
    const demo = demos.start('--seconds', '3');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toMatch(/FAILED: not done after 3 seconds; .*only \d of 10 kills/);
    expect(demos.leftOver()).toEqual([]);
  });

  it('ends everything at Ctrl-C', async () => {
    const demo = demos.start('--verbose');
    await demo.hasStarted();
    demo.child.kill('SIGINT');
    await demo.ended;

    expect(demo.child.exitCode).toBe(130);
    expect(demo.pids().filter(isAlive)).toEqual([]);
    expect(demos.leftOver()).toEqual([]);
    expect(demo.output()).not.toMatch(/OK|FAILED/);
  });

  it('fails when a process ends that it did not kill', async () => {
    const demo = demos.start('--verbose');
    await vi.waitUntil(() => demo.pids().length === 6, { timeout: 20_000 });
    process.kill(demo.pids()[0]!, 'SIGKILL');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toMatch(/FAILED: a witness ended by itself: SIGKILL;/);
    expect(demo.pids().filter(isAlive)).toEqual([]);
  });

  it.each([
    ['an unknown option', ['--bogus'], /^error: unknown option '--bogus'\n$/],
    ['kills that are none', ['--kills', '0'], /^error: .*a whole number, 1 or more\.\n$/],
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

const entry = (deed: Entry['deed'], request: number, execution: string, time: number): Entry => {
  return { deed, request, execution, time };
};

describe('its tally', () => {
  const KILL = { killedAt: 100, epoch: 1, held: 3 };
  /** One request before the kill and one after it, each answered and executed once. */
  function sound(): { tally: Tally; logs: Entry[] } {
    const tally = new Tally(1);
    tally.kill(KILL);
    const logs = [90, 250].flatMap((time, index) => {
      const request = tally.ask();
      tally.answer(0, { request, isRight: true, execution: `${index}`, time });
      return [
        entry('begun', request, `${index}`, time - 5),
        entry('ended', request, `${index}`, time - 1),
      ];
    });
    return { tally, logs };
  }

  it('is content if nothing is wrong', () => {
    const { tally, logs } = sound();
    tally.readLogs(logs);
    expect(tally.failures).toEqual([]);
    expect(tally).toMatchObject({ right: 2, executions: 2, extra: 0 });
    expect(tally.gaps).toEqual([{ first: 150, all: 150 }]);
  });

  it.each<[string, (tally: Tally, logs: Entry[]) => void]>([
    ['1 executions of what had been', (_, logs) => logs.push(entry('begun', 0, 'x', 150))],
    ['1 answers were wrong', (_, logs) => logs.splice(3, 1)],
    [
      '1 answers were wrong',
      (tally) => {
        tally.answer(0, { request: tally.ask(), isRight: false, execution: '1', time: 260 });
      },
    ],
    ['1 requests were lost', (tally) => tally.lose(tally.ask(), new Error('timed out'))],
    ['1 answers were others', (tally) => tally.remember(0, false)],
    ['only 1 of 2 kills', (tally) => (tally.killsWanted = 2)],
    ['a kill hit no request', (tally) => (tally.kills[0] = { ...KILL, held: 0 })],
    ['was not answered after', (tally) => tally.kill({ ...KILL, killedAt: 300 })],
    ['the roof fell in', (tally) => (tally.failure = 'the roof fell in')],
  ])('complains: %s', (complaint, spoil) => {
    const { tally, logs } = sound();
    spoil(tally, logs);
    tally.readLogs(logs);
    expect(tally.failures.join()).toContain(complaint);
  });

  it('tells the gap of somebody from that of everybody', () => {
    const { tally } = sound();
    for (const time of [95, 400]) {
      tally.answer(1, { request: tally.ask(), isRight: true, execution: '', time });
    }
    expect(tally.gaps).toEqual([{ first: 150, all: 300 }]);
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([3, 1, 2], 0.99)).toBe(3);
  });
});
