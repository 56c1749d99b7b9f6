/**
 * Says that somebody has a file: by a socket that listens beside it, `FILE.lock`, and dies with its process.
 *
 * The number of a process in a file would not do: after a restart of the machine another process may bear
 * it. It is told to all processes of one system that see the folder, but not across machines; and two that
 * are started in the same millisecond after a kill may miss each other.
 */
import { createHash } from 'node:crypto';
import { realpath, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { codeOf } from './bind-errors.ts';
import { claimIpcPath, releaseIpcPath } from './ipc-probe.ts';

/** What fits into the path of a socket on every system, in bytes. */
const LONGEST_PATH = 100;

export class FileLock {
  readonly #path: string;
  readonly #server: Server;

  private constructor(path: string, server: Server) {
    this.#path = path;
    this.#server = server;
  }

  /**
   * The lock of `file`, whose path is absolute, or that somebody else has it. Undefined where there are no
   * such sockets: then nobody can tell.
   */
  static async acquire(file: string): Promise<FileLock | 'in use' | undefined> {
    const path = await lockPathOf(file);
    if ((await claimIpcPath(path)) !== 'nobody') return 'in use';
    // What a killed process left there.
    await rm(path, { force: true }).catch(() => undefined);
    const server = createServer((socket) => socket.destroy());
    try {
      await new Promise<void>((done, failed) => {
        server.once('error', failed);
        server.listen(path, done);
      });
    } catch (error) {
      releaseIpcPath(path);
      return codeOf(error) === 'EADDRINUSE' ? 'in use' : undefined;
    }
    server.unref();
    return new FileLock(path, server);
  }

  async release(): Promise<void> {
    await new Promise((done) => this.#server.close(done));
    releaseIpcPath(this.#path);
  }
}

/** In place of a name that would be too long: 32 hexadecimal digits. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** Beside the file, unless that is too long for a socket. */
async function lockPathOf(file: string): Promise<string> {
  const folder = await realpath(dirname(file)).catch(() => dirname(file));
  const beside = `${join(folder, basename(file))}.lock`;
  const name = `unsinkable-${hashOf(beside)}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\${name}`;
  return Buffer.byteLength(beside) <= LONGEST_PATH ? beside : join(tmpdir(), `${name}.lock`);
}
