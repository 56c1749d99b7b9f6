/** The demo as its users run it: a process of its own, on a folder of real files. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Demos, isAlive } from './demos.ts';

const FILES = 200;

let demos: Demos;
let files: string;

beforeEach(() => {
  demos = new Demos('demo/main.js');
  files = join(demos.home, 'files');
  mkdirSync(join(files, 'a folder'), { recursive: true });
  for (let file = 0; file < FILES; file++) {
    const bytes = Buffer.alloc(file % 10 === 0 ? 0 : file * 97, `${file}`);
    writeFileSync(join(files, file % 2 === 0 ? 'a folder' : '', `file ${file}`), bytes);
  }
});

afterEach(() => demos.remove());

describe('the demo', () => {
  it('hashes a folder over killed workers and brokers, and loses nothing', async () => {
    symlinkSync('nowhere', join(files, 'broken link'));
    symlinkSync('..', join(files, 'link to a folder'));
    execFileSync('mkfifo', [join(files, 'pipe')]);
    const demo = demos.start(files, '--verbose');
    await demo.ended;

    expect(demo.output()).toContain('OK: ');
    expect(demo.child.exitCode).toBe(0);
    expect(demo.row('workers killed while holding requests')).toBe(10);
    expect(demo.row('brokers killed while holding requests')).toBe(2);
    expect(demo.row('wrong hashes')).toBe(0);
    expect(demo.row('lost')).toBe(0);
    expect(demo.row('unreadable')).toBe(3);
    expect(demo.output()).toContain(`${join(files, 'pipe')}: not a file`);
    expect(demo.row('files hashed')).toBe(demo.row('passes') * FILES);
    expect(demo.row('retries by the client')).toBeGreaterThan(0);
    // Two brokers and ten workers replaced, at the least.
    expect(demo.pids().length).toBeGreaterThanOrEqual(1 + 2 + 3 + 10);
    expect(demo.pids().filter(isAlive)).toEqual([]);
    expect(demos.leftOver()).toEqual([]);
  }, 90_000);

  it('fails when the time is too short for the kills', async () => {
    const demo = demos.start(files, '--seconds', '0.3');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toMatch(/FAILED: only \d of 10 workers/);
    expect(demo.row('lost')).toBe(0);
  });

  it('ends everything at Ctrl-C', async () => {
    const demo = demos.start(files, '--verbose');
    await demo.hasStarted();
    demo.child.kill('SIGINT');
    await demo.ended;

    expect(demo.child.exitCode).toBe(130);
    expect(demo.pids().filter(isAlive)).toEqual([]);
    expect(demos.leftOver()).toEqual([]);
    expect(demo.output()).not.toMatch(/OK|FAILED/);
  });

  it('leaves no process behind when it is killed itself', async () => {
    const demo = demos.start(files, '--verbose');
    await demo.hasStarted();
    demo.child.kill('SIGKILL');
    const killedAt = performance.now();
    // Its standard error closes when the last process that inherited it has ended.
    await demo.ended;

    expect(demo.pids().length).toBeGreaterThanOrEqual(4);
    // Of itself, a new worker would give up after 10 seconds without a broker; the others never.
    expect(performance.now() - killedAt).toBeLessThan(8000);
  });

  it('fails when a process ends that it did not kill', async () => {
    const demo = demos.start(files, '--verbose');
    await demo.hasStarted();
    process.kill(demo.pids()[0]!, 'SIGKILL');
    await demo.ended;

    expect(demo.child.exitCode).toBe(1);
    expect(demo.output()).toContain('FAILED: a broker ended by itself: SIGKILL');
    expect(demo.pids().filter(isAlive)).toEqual([]);
  });

  it.each([
    [
      'a folder that does not exist',
      ['no such folder'],
      /^error: cannot read the folder .*ENOENT.*\n$/,
    ],
    ['a folder without files', ['temp'], /^error: there is no file to hash in .*temp\n$/],
    ['a file', ['files/file 1'], /^error: cannot read the folder .*ENOTDIR.*\n$/],
    ['an unknown option', ['--bogus'], /^error: unknown option '--bogus'\n$/],
    ['a time that is none', ['files', '--seconds', 'soon'], /^error: --seconds must be .*\n$/],
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
