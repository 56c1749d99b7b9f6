/** The demo of the Titanic as its users run it, with fewer requests and kills. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Demos, isAlive } from './demos.ts';

let demos: Demos;
beforeEach(() => {
  demos = new Demos('demo/titanic/main.js');
});
afterEach(() => demos.remove());

describe('the demo of the Titanic', () => {
  it('kills everything, and loses nothing', async () => {
    const demo = demos.start('--requests', '300', '--kills', '2', '--verbose');
    await demo.ended;

    expect(demo.output()).toContain('OK: 300 requests, 300 right answers, over 2 kills');
    expect(demo.child.exitCode).toBe(0);
    expect(demo.row('right answers')).toBe(300);
    expect(demo.row('wrong answers')).toBe(0);
    expect(demo.row('lost')).toBe(0);
    expect(demo.row('everything killed')).toBe(2);
    const extra = demo.row('beyond one per request');
    expect(demo.row('executions')).toBe(300 + extra);
    const [cutShort, notStored] = ['a kill cut', 'a kill came'].map((label) =>
      demo.row(`  because ${label}`),
    );
    expect(cutShort! + notStored!).toBe(extra);
    expect(demo.row('  without a reason')).toBe(0);
    expect(demo.row('executed although')).toBe(0);
    expect(demo.row('called off')).toBe(6);
    expect(demo.row('executed after a close')).toBe(0);
    // Three times one broker, one Titanic and two workers.
    expect(demo.pids()).toHaveLength(12);
    expect(demo.pids().filter(isAlive)).toEqual([]);
    expect(demos.leftOver()).toEqual([]);
  }, 90_000);

  it('fails when the time is too short', async () => {
    const demo = demos.start('--requests', '5000', '--seconds', '1');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toMatch(/FAILED: not done after 1 seconds; .*only 0 kills/);
    expect(demos.leftOver()).toEqual([]);
  });

  it('ends everything at Ctrl-C', async () => {
    const demo = demos.start('--requests', '1000', '--verbose');
    await demo.hasStarted();
    demo.child.kill('SIGINT');
    await demo.ended;

    expect(demo.child.exitCode).toBe(130);
    expect(demo.pids().filter(isAlive)).toEqual([]);
    expect(demos.leftOver()).toEqual([]);
    expect(demo.output()).not.toMatch(/OK|FAILED/);
  });

  it('fails when a process ends that it did not kill', async () => {
    const demo = demos.start('--requests', '1000', '--kills', '1', '--verbose');
    await demo.hasStarted();
    // After the first kill there are four new ones.
    await vi.waitUntil(() => demo.pids().length === 8, { timeout: 20_000 });
    process.kill(demo.pids().at(-1)!, 'SIGKILL');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toMatch(/FAILED: a \w+ ended by itself: SIGKILL;/);
    expect(demo.pids().filter(isAlive)).toEqual([]);
  }, 60_000);

  it.each([
    ['an unknown option', ['--bogus'], /^error: unknown option '--bogus'\n$/],
    ['requests that are none', ['--requests', '0'], /^error: .*a whole number, 1 or more\.\n$/],
    ['kills that are none', ['--kills', 'all'], /^error: .*a whole number, 0 or more\.\n$/],
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
