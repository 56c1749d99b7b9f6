/**
 * The folder of a storage: what lies where, and names in it that survive a power cut.
 *
 * `level/` is LevelDB's own, `lock/` says that somebody is here, `noted` how far records were acknowledged,
 * and `ballast` is space in reserve.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
} from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

export interface Places {
  readonly directory: string;
  readonly level: string;
  readonly lock: string;
  readonly noted: string;
  readonly ballast: string;
}

export function placesIn(directory: string): Places {
  const within = (name: string): string => join(directory, name);
  return {
    directory,
    level: within('level'),
    lock: within('lock'),
    noted: within('noted'),
    ballast: within('ballast'),
  };
}

/**
 * Creates a folder and those above it, so that they are there after a power cut too. Not with node's own
 * `recursive`, which tries for ever where nobody may create anything, as in `/proc`.
 * @throws what node:fs throws
 */
export function createFolder(path: string): void {
  if (isFolder(path)) return;
  const above = dirname(resolve(path));
  if (!existsSync(above)) createFolder(above);
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have been faster.
    if (!isFolder(path)) throw error;
  }
  syncNames(above);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Makes the names in a folder durable: the fsync of a file does not promise that its name is on the disk.
 * @throws what node:fs throws
 */
export function syncNames(folder: string): void {
  const opened = openSync(folder, 'r');
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

/** Bytes of all files in a folder; of those that vanish meanwhile, nothing. */
export async function bytesIn(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const sizes = names.map((name) =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Milliseconds within which two changes of a folder may bear the same time. */
const TICK = 20;

/**
 * Watches for a new log of LevelDB, which fsyncs what it writes there, but never the name of the file:
 * after a power cut a log without a name would be gone, with all that was acknowledged in it.
 */
export class LogNames {
  readonly #folder: string;
  #newest = 0;
  /** When the folder had changed when it was looked at last; NaN to look again in any case. */
  #changed = NaN;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the name of a new log durable. Nearly always there is none, and that is known at once. */
  sync(): Promise<void> | undefined {
    const { mtimeMs } = statSync(this.#folder);
    if (mtimeMs === this.#changed) return undefined;
    this.#changed = Date.now() - mtimeMs < TICK ? NaN : mtimeMs;
    const logs = readdirSync(this.#folder).filter((name) => name.endsWith('.log'));
    const newest = Math.max(0, ...logs.map((name) => Number.parseInt(name, 10)));
    return newest === this.#newest ? undefined : this.#sync(newest);
  }

  async #sync(newest: number): Promise<void> {
    const opened = await open(this.#folder, 'r');
    try {
      await opened.sync();
    } finally {
      await opened.close();
    }
    this.#newest = newest;
  }
}
