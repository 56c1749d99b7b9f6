/** Reading what is stored of a request: a body, or why there is none. */
import { StorageError } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';

/**
 * `gone`: there is no such record (any more). `corrupt`: it fails its checksum, for ever. `unavailable`: the
 * storage does not say, as it fails or closes.
 */
export type StoredBody =
  | { readonly body: Frames; readonly fault?: undefined }
  | { readonly fault: 'gone' | 'corrupt' | 'unavailable'; readonly reason: string };

/** Reads the record under a key, without its first frame. Calls back once. */
export type ReadBody = (key: string, done: (stored: StoredBody) => void) => void;

/** What a storage says of a record. */
export function bodyIn(error: StorageError | undefined, value: Frames | undefined): StoredBody {
  if (error !== undefined) {
    const fault = error.code === 'ERR_STORAGE_CORRUPT' ? 'corrupt' : 'unavailable';
    return { fault, reason: error.message };
  }
  return value === undefined
    ? { fault: 'gone', reason: 'its record is gone' }
    : { body: value.slice(1) };
}
