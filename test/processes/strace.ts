/**
 * Programs under strace: what they ask of the system, and their end by SIGKILL in front of one call.
 *
 * A first run says which calls there are, and each of the following dies at one of them. The kill comes
 * before the call does anything, so what the call before it did is what the disk then holds.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll } from 'vitest';

/** One system call of a traced program. */
export interface SystemCall {
  /** The number of the thread that made it. */
  readonly thread: string;
  readonly name: string;
  /** The file that it is about: its first path, or that of its first descriptor. Empty: whichever. */
  readonly path: string;
  /** How many of this name were about this path in this thread up to now, from 1. */
  readonly nth: number;
  /** As strace writes it. */
  readonly text: string;
}

/** One line of a log, or two if others came in between. */
export interface RecordedCall extends Omit<SystemCall, 'nth'> {
  /** Lines of the log: when it began, and when it had ended; Infinity if it did not. */
  readonly begunAt: number;
  readonly endedAt: number;
}

const INSTALL = 'install it, on Debian and Ubuntu with: apt-get install strace';
const PROBE = spawnSync('strace', ['-o', '/dev/null', 'true'], { encoding: 'utf8' });
const MISSING = PROBE.error !== undefined;
const REASON = MISSING ? `there is no strace: ${INSTALL}` : `it may not trace: ${PROBE.stderr}`;

/** In CI it must be there; even there it may be that it is not allowed to trace. */
const MUST_BE_THERE = MISSING && process.env['CI'] === 'true';

/** True where nothing can be traced: the tests are skipped for all to see. */
export const withoutStrace = PROBE.status !== 0 && !MUST_BE_THERE;

/** `EVERY_CALL=true` in the environment, for the long run: no call is left out to save time. */
export const IS_THOROUGH = process.env['EVERY_CALL'] === 'true';

/** To be called by each file whose tests need strace: says if they are skipped. */
export function announceStrace(): void {
  if (withoutStrace) process.stderr.write(`\nTests under strace are skipped, as ${REASON}\n`);
  beforeAll(() => {
    if (MUST_BE_THERE) throw new Error(`this must not go untested in CI: ${REASON}`);
  });
}

/** All that changes what a disk holds, as far as LevelDB, node:fs and libuv use it. */
const WRITING = [
  'write',
  'writev',
  'pwrite64',
  'pwritev',
  'fsync',
  'fdatasync',
  'ftruncate',
  'openat',
  'mkdir',
  'rename',
  'unlink',
  'rmdir',
];

/** All threads; and one of libuv's pool alone, as strace counts the calls of each thread by itself. */
const THREADS = ['-f', '-E', 'UV_THREADPOOL_SIZE=1'];

/** The arguments of strace for a run whose calls that write to files are then in `log`. */
export function recordingWrites(log: string): string[] {
  return [...THREADS, '-y', '-s', '0', '-o', log, '-e', `trace=${WRITING.join(',')}`];
}

/** The arguments of strace for a run that gets SIGKILL in front of this call. */
export function killedAt({ name, path, nth }: SystemCall): string[] {
  const inject = `inject=${name}:signal=SIGKILL:when=${nth}`;
  const about = path === '' ? [] : ['-P', path];
  // Its log would tell no more than its end does.
  return [...THREADS, '-o', '/dev/null', ...about, '-e', `trace=${name}`, '-e', inject];
}

/** The arguments of strace for a run in which all syncs of this file fail, from one of them on. */
export function failingSyncs(path: string, from: number): string[] {
  const inject = `inject=fdatasync:error=EIO:when=${from}+`;
  return [...THREADS, '-o', '/dev/null', '-P', path, '-e', 'trace=fdatasync', '-e', inject];
}

/** The calls in a log that change something below this folder, in their order. */
export function writesBelow(folder: string, log: string): SystemCall[] {
  const seen = new Map<string, number>();
  return callsIn(log).flatMap(({ thread, name, path, text }) => {
    if (!path.startsWith(folder)) return [];
    const key = [thread, name, path].join(' ');
    const nth = (seen.get(key) ?? 0) + 1;
    seen.set(key, nth);
    // One that only reads counts, as it does for strace, and changes nothing.
    const isReading = name === 'openat' && !text.includes('O_CREAT');
    return isReading || text.includes(' = -1 ') ? [] : [{ thread, name, path, nth, text }];
  });
}

/** All calls in a log, in the order in which they began. */
export function callsIn(log: string): RecordedCall[] {
  const calls: { -readonly [Field in keyof RecordedCall]: RecordedCall[Field] }[] = [];
  const unfinished = new Map<string, (typeof calls)[number]>();
  const lines = readFileSync(log, 'latin1').split('\n');
  for (const [line, text] of lines.entries()) {
    const [, thread, what] = /^(\d+) +(.*)$/s.exec(text) ?? [];
    if (thread === undefined || what === undefined) continue;
    const resumed = unfinished.get(thread);
    if (what.startsWith('<... ') && resumed !== undefined) {
      resumed.endedAt = line;
      unfinished.delete(thread);
    }
    const [, name, rest] = /^(\w+)\((.*)$/s.exec(what) ?? [];
    if (name === undefined || rest === undefined) continue;
    // 18<path>, or "path", perhaps behind AT_FDCWD<path>,
    const [, opened, named] = /^(?:AT_FDCWD<[^>]*>, )?(?:\d+<([^>]*)>|"([^"]*)")/.exec(rest) ?? [];
    const call = { thread, name, path: opened ?? named ?? '', text, begunAt: line, endedAt: line };
    calls.push(call);
    if (!text.endsWith('<unfinished ...>')) continue;
    call.endedAt = Infinity;
    unfinished.set(thread, call);
  }
  return calls;
}
