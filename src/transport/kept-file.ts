/**
 * A small text in a file, which is there as it was written last, whenever the power goes.
 *
 * The one idea: a file is never changed. What is new is written to another one, made durable, and renamed
 * over the last, so that there always is a whole one under the name.
 */
import { constants } from 'node:fs';
import { access, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { StorageError } from '../core/errors.ts';
import { codeOf } from './bind-errors.ts';
import { FileLock } from './file-lock.ts';

export class KeptFile {
  /** Absolute. */
  readonly path: string;
  #lock: FileLock | undefined;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /**
   * What was written last; undefined if there is no such file. From then on nobody else may have it.
   * @throws StorageError `ERR_STORAGE_UNAVAILABLE`; `ERR_STORAGE_IN_USE` where that can be told
   */
  async read(): Promise<string | undefined> {
    this.#lock ??= await this.#acquire();
    try {
      // It is replaced by another one: so its folder must be writable.
      await access(dirname(this.path), constants.W_OK | constants.X_OK);
      return await readFile(this.path, 'utf8').catch(nothingIfMissing);
    } catch (error) {
      const message = `${this.path} cannot be read: it must be a file that this process may read and write, in a folder that exists (${reasonOf(error)})`;
      throw new StorageError('ERR_STORAGE_UNAVAILABLE', message, { cause: error });
    }
  }

  /**
   * Resolves when it is on the disk, with its name. One at a time.
   * @throws StorageError `ERR_STORAGE_FULL`, `ERR_STORAGE_FAILED`: it is as it was, or as it was to be
   */
  async write(text: string): Promise<void> {
    const draft = `${this.path}.new`;
    try {
      await writeDurably(draft, text);
      await rename(draft, this.path);
      await syncNames(dirname(this.path));
    } catch (error) {
      await rm(draft, { force: true }).catch(() => undefined);
      throw this.#failure(error);
    }
  }

  /** Others may have it. */
  async close(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    await lock?.release();
  }

  async #acquire(): Promise<FileLock | undefined> {
    const lock = await FileLock.acquire(this.path);
    if (lock !== 'in use') return lock;
    const message = `${this.path} is used by another process, or by somebody else in this one: close that one, or choose another path, as each has a file of its own`;
    throw new StorageError('ERR_STORAGE_IN_USE', message);
  }

  #failure(error: unknown): StorageError {
    const isFull = ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '');
    return isFull
      ? new StorageError('ERR_STORAGE_FULL', `no space is left for ${this.path}`, { cause: error })
      : new StorageError('ERR_STORAGE_FAILED', `${this.path} was not written: ${reasonOf(error)}`, {
          cause: error,
        });
  }
}

/** Eight hexadecimal digits that change with the text. */
export function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

function nothingIfMissing(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined;
  throw error;
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The fsync of a file does not promise that its name is on the disk. */
async function syncNames(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const opened = await open(folder, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
