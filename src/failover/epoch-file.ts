/**
 * Epochs in a file: what was written is read again, or it is said that it cannot be believed.
 *
 * One line of JSON: the format and its version, and the record with its checksum.
 */
import { StorageError, UnsinkableError } from '../core/errors.ts';
import type { Store } from '../transport/driver.ts';
import { hashOf } from '../transport/file-lock.ts';
import { checksumOf, KeptFile } from '../transport/kept-file.ts';
import type { EpochStore } from './options.ts';
import type { RecordFault } from './records.ts';

const FORMAT = 'unsinkable epochs';
const VERSION = 1;

/** Longest file name that is made of a pair's name as it is, encoded. */
const LONGEST_NAME = 100;

/**
 * A store in the file at `path`, which need not exist; its folder must. No old copy of it may ever be put
 * back, nor a copy be given to another server: epochs that were used would be used again.
 *
 * `read` rejects with a `StorageError`: `ERR_STORAGE_CORRUPT`, `ERR_STORAGE_VERSION`,
 * `ERR_STORAGE_UNAVAILABLE`, or `ERR_STORAGE_IN_USE` where another store on this machine has the file. That
 * is told by a socket beside it, `PATH.lock`, which dies with its process.
 */
export function epochFile(path: string): EpochStore {
  const file = new KeptFile(path);
  return {
    read: async () => {
      const text = await file.read();
      return text === undefined ? undefined : contentOf(text, file.path);
    },
    write: async (record) => {
      const checksum = checksumOf(JSON.stringify(record));
      const content = { format: FORMAT, version: VERSION, checksum, record };
      await file.write(`${JSON.stringify(content)}\n`);
    },
    close: () => file.close(),
  };
}

/** @throws StorageError */
function contentOf(text: string, path: string): unknown {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw corrupt(path, 'it is not JSON');
  }
  if (typeof content !== 'object' || content === null || !('format' in content)) {
    throw corrupt(path, 'it has no format');
  }
  const { format, version, checksum, record } = content as Record<string, unknown>;
  if (format !== FORMAT) throw corrupt(path, `it is no file of ${FORMAT}`);
  if (typeof version === 'number' && version > VERSION) {
    const message = `${path} has version ${version}, and this program knows ${VERSION}: run the newer program`;
    throw new StorageError('ERR_STORAGE_VERSION', message);
  }
  if (version !== VERSION) throw corrupt(path, 'it has no version');
  const body = JSON.stringify(record) as string | undefined;
  if (body === undefined || checksumOf(body) !== checksum) {
    throw corrupt(path, 'its checksum is not that of its record');
  }
  return record;
}

function corrupt(path: string, why: string): StorageError {
  // What it knew the others know too, if they serve.
  const message = `${path} cannot be used (${why}): do not put an old copy in its place, but stop all of the pair, move the file away, and start the server that served last before the others, as it knows the epochs that were used`;
  return new StorageError('ERR_STORAGE_CORRUPT', message);
}

/** Why a server cannot begin with what its store holds. */
export function recordError(what: string, { kind, reason }: RecordFault): StorageError {
  if (kind === 'damaged') return corrupt(what, reason);
  const message = `${what} is not for this server (${reason}): each server and each witness has a store of its own`;
  return new StorageError('ERR_STORAGE_UNAVAILABLE', message);
}

/** A store of the user's own may throw anything. */
export function readError(what: string, error: unknown): UnsinkableError {
  if (error instanceof UnsinkableError) return error;
  const message = `${what} cannot be read, and without it this server must not serve: ${reasonOf(error)}`;
  return new StorageError('ERR_STORAGE_UNAVAILABLE', message, { cause: error });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The file of a server whose user named none: in the working directory, as `NAME-ROLE.epochs`. */
export function defaultEpochFile(pair: string, role: string): string {
  const encoded = encodeURIComponent(pair).replaceAll('*', '%2A');
  return `${encoded.length <= LONGEST_NAME ? encoded : hashOf(pair)}-${role}.epochs`;
}

/** What the option `store` means. */
export function openStore(
  option: string | EpochStore | undefined,
  byDefault: string,
): { readonly store: EpochStore; readonly what: string } {
  if (typeof option === 'object') return { store: option, what: 'the store of epochs' };
  const path = option ?? byDefault;
  return { store: epochFile(path), what: path };
}

/**
 * A driver's store over one that takes one record at a time. Those that come while one is written are
 * written as one, the last of them: each is the whole record, and none is older than those before.
 */
export class RecordWriter {
  readonly #store: EpochStore;
  #waiting: { readonly batch: unknown; readonly done: (error?: Error) => void }[] = [];
  #writing: Promise<void> | undefined;
  #hasWritten = false;

  constructor(store: EpochStore) {
    this.#store = store;
  }

  /** For the driver. */
  readonly write: Store = (batch, done) => {
    this.#waiting.push({ batch, done });
    this.#writing ??= this.#writeAll();
  };

  /** A record was written, so that nothing of it can be forgotten. */
  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      const failure = await this.#writeOne(group.at(-1)?.batch);
      for (const { done } of group) done(failure);
    }
    this.#writing = undefined;
  }

  async #writeOne(batch: unknown): Promise<Error | undefined> {
    try {
      await this.#store.write(batch);
      this.#hasWritten = true;
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}
