/** How a commit that failed is told to those who wrote. */
import { StorageError } from '../core/errors.ts';
import type { CommitError } from './engine.ts';

/** The error of a batch in a commit that failed. */
export function commitError({ kind, reason }: CommitError): StorageError {
  return kind === 'full' ? fullError(reason) : failedError(reason);
}

export function fullError(reason: string): StorageError {
  return new StorageError(
    'ERR_STORAGE_FULL',
    `no space is left for the storage (${reason}): nothing of this batch was written. Make room, and try again`,
  );
}

export function failedError(reason: string): StorageError {
  return new StorageError(
    'ERR_STORAGE_FAILED',
    `the storage takes no more: ${reason}. What was acknowledged is there; open it again (restart) to go on`,
  );
}
