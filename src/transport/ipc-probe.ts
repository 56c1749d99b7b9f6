/**
 * Keeps one `ipc://` path for one socket.
 *
 * libzmq deletes whatever lies at the path it binds: another broker's live socket, or a file of data.
 * So a path is claimed here first; what a dead process left behind counts as free. Two processes that
 * start in the same millisecond can still both see it free, two sockets of one thread cannot.
 */
import { randomBytes } from 'node:crypto';
import { rmSync, type Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Who is at an ipc path: nobody alive, a listening socket, or a file that is no socket. */
export type IpcOccupant = 'nobody' | 'listener' | 'file';

/** A closed socket, or an ending process, still listens for moments: how often to ask, and when. */
const PROBES = 20;
const PROBE_INTERVAL = 10;

/** Paths that sockets of this thread are bound to, or are about to be. */
const claimed = new Set<string>();

/** Those among them that `freshIpcPath` made. */
const fresh = new Set<string>();

/**
 * A path that nobody has, for `ipc://*`; its file goes when it is released. Left to libzmq it would
 * be a folder inside the working directory.
 */
export function freshIpcPath(): string {
  const file = join(tmpdir(), `unsinkable-${randomBytes(8).toString('hex')}`);
  fresh.add(file);
  return file;
}

/** Claims `path`. `nobody`: the caller has it, until `releaseIpcPath`. Otherwise who is in the way. */
export async function claimIpcPath(path: string): Promise<IpcOccupant> {
  const file = resolve(path);
  if (claimed.has(file)) return 'listener';
  claimed.add(file);
  let occupant = await occupantOf(file);
  for (let probe = 1; probe < PROBES && occupant === 'listener'; probe++) {
    await delay(PROBE_INTERVAL);
    occupant = await occupantOf(file);
  }
  if (occupant !== 'nobody') claimed.delete(file);
  return occupant;
}

/** Gives a claimed path back. A file that had a name before stays, as libzmq leaves it. */
export function releaseIpcPath(path: string): void {
  const file = resolve(path);
  claimed.delete(file);
  if (fresh.delete(file)) rmSync(file, { force: true });
}

async function occupantOf(file: string): Promise<IpcOccupant> {
  const stats = await statsOf(file);
  if (stats === undefined) return 'nobody';
  if (!stats.isSocket()) return 'file';
  return new Promise((answer) => {
    const probe = connect(file);
    probe.once('connect', () => {
      probe.destroy();
      answer('listener');
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      // Anything else, such as a full backlog or a missing permission, is a sign of life.
      const dead = error.code === 'ECONNREFUSED' || error.code === 'ENOENT';
      answer(dead ? 'nobody' : 'listener');
    });
  });
}

async function statsOf(file: string): Promise<Stats | undefined> {
  try {
    return await lstat(file);
  } catch {
    return undefined;
  }
}
