/** What LevelDB and the file system say, as errors that say what to do. */
import { StorageError } from '../core/errors.ts';
import type { CommitError } from './engine.ts';

/** LevelDB hands on what the C library calls an error, at the end of its message. */
const FULL = /(?:No space left on device|Disk quota exceeded)$/;
const SURROUNDINGS =
  /(?:Permission denied|Operation not permitted|Read-only file system|Not a directory|Is a directory|Too many open files|Input\/output error)$/;

interface Said {
  readonly code: string;
  readonly reason: string;
}

/** The engine's own words: what is wrapped in `Database failed to open` is what counts. */
function said(error: unknown): Said {
  if (!(error instanceof Error)) return { code: '', reason: String(error) };
  if (error.cause instanceof Error) return said(error.cause);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return { code, reason: error.message };
}

/** Why a commit failed. */
export function commitError(error: unknown): CommitError {
  const { code, reason } = said(error);
  return { kind: isFull(code, reason) ? 'full' : 'broken', reason };
}

/** Why a read failed, in words. */
export function readError(error: unknown): string {
  return said(error).reason;
}

/** Why a storage cannot be opened, or read from end to end. */
export function openError(directory: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const { code, reason } = said(error);
  const cause = { cause: error };
  if (code === 'LEVEL_LOCKED') {
    const message = `${directory} is used by another process, or opened twice in this one: close it there, or choose another directory`;
    return new StorageError('ERR_STORAGE_IN_USE', message, cause);
  }
  if (isFull(code, reason)) {
    const message = `no space is left to open ${directory}: free some on that disk and try again (${reason})`;
    return new StorageError('ERR_STORAGE_FULL', message, cause);
  }
  // What comes from node:fs is about the surroundings; LevelDB's own words are about its files.
  if (!(code.startsWith('LEVEL_') || code === '') || SURROUNDINGS.test(reason)) {
    const message = `${directory} cannot be used as a storage: it must be a directory that this process may write (${reason})`;
    return new StorageError('ERR_STORAGE_UNAVAILABLE', message, cause);
  }
  return corrupt(directory, reason, cause);
}

/** Files of a storage are damaged or missing. */
export function corrupt(directory: string, what: string, options?: ErrorOptions): StorageError {
  return new StorageError(
    'ERR_STORAGE_CORRUPT',
    `${directory} is damaged (${what}): restore it from a back-up, or copy it and open it with damage: 'accept', which goes on with what can still be read`,
    options,
  );
}

export function isFull(code: string, reason: string): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT' || FULL.test(reason);
}
