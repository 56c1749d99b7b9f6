// @ts-check
/** Finds the files of a folder, and reads them with a bound on the bytes in memory. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

const MiB = 2 ** 20;

/** Larger files are not sent: the whole file is one message. */
const LARGEST_FILE = 512 * MiB;

/**
 * All files under `folder`, links to files included.
 * @param {string} folder
 * @param {(path: string, error: unknown) => void} onUnreadable called for what is neither a file nor a folder
 * @returns {Promise<string[]>}
 * @throws if `folder` itself cannot be read
 */
export async function findFiles(folder, onUnreadable) {
  /** @type {string[]} */
  const files = [];
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    const within = next;
    const entries = await readdir(within, { withFileTypes: true }).catch((error) => {
      if (within === folder) throw error;
      onUnreadable(within, error);
      return [];
    });
    for (const entry of entries) {
      const path = join(within, entry.name);
      // Links to folders are not followed: they can lead in circles.
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile() || (await isLinkToFile(path))) files.push(path);
      else onUnreadable(path, new Error('not a file'));
    }
  }
  return files;
}

/** @param {string} path */
async function isLinkToFile(path) {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isFile() === true;
}

/** Reads files, few enough at a time that their bytes stay within a limit; one larger file may pass alone. */
export class Reader {
  #limit;
  #bytes = 0;
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {number} [limit] bytes */
  constructor(limit = 64 * MiB) {
    this.#limit = limit;
  }

  /**
   * Reads a file and hands it to `use`; its bytes count until that is done.
   * @template Result
   * @param {string} path
   * @param {(bytes: Uint8Array) => Promise<Result>} use
   * @returns {Promise<Result>}
   * @throws ReadError if the file cannot be read, and what `use` throws
   */
  async read(path, use) {
    const size = await sizeOf(path);
    while (this.#bytes > 0 && this.#bytes + size > this.#limit) {
      await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    }
    this.#bytes += size;
    try {
      return await use(await readFile(path).catch(rethrow));
    } finally {
      this.#bytes -= size;
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }
}

/** A file that cannot be read: not the library's fault. */
export class ReadError extends Error {}

/** @param {string} path */
async function sizeOf(path) {
  const stats = await stat(path).catch(rethrow);
  if (!stats.isFile()) throw new ReadError('not a file');
  if (stats.size > LARGEST_FILE) throw new ReadError('larger than 512 MiB');
  return stats.size;
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function rethrow(error) {
  throw new ReadError(messageOf(error));
}

/**
 * @param {unknown} error
 * @returns {string} what it says
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
