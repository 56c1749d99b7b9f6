/** Options of a storage, and what it says of itself. */
import type { StorageState } from '../core/batch.ts';
import { MiB } from '../core/common-options.ts';
import { count, oneOf, such, type Rules } from '../core/options.ts';

/**
 * `fsync`: a batch is on the disk before it is acknowledged. `os`: it is with the operating system, and
 * survives the process, but not a power cut.
 */
export type Durability = 'fsync' | 'os';

export interface StorageStatus {
  readonly state: StorageState;
  /** Why it is not open; empty if it is. */
  readonly reason: string;
  readonly durability: Durability;
  readonly records: number;
  /** Bytes on the disk, roughly; undefined if the engine does not know. */
  readonly bytes: number | undefined;
  /** Groups written since it was opened, and the batches in them: one fsync for each group. */
  readonly commits: number;
  readonly batches: number;
  /** Keys of records that fail their checksum. They are kept, and never served. */
  readonly quarantined: readonly string[];
  /** What was wrong with the records as a whole when it was opened, and was accepted; in words. */
  readonly accepted: readonly string[];
}

export interface StorageOptions {
  /** Default `fsync`. */
  readonly durability?: Durability | undefined;
  /**
   * When more is wrong than single records, because some are missing or came back: `refuse` to open with
   * `ERR_STORAGE_CORRUPT`, or `accept` what is left as the truth from now on. Default `refuse`.
   */
  readonly damage?: 'refuse' | 'accept' | undefined;
  /** Bytes of records written or read lately that are kept in memory. Default 64 MiB. */
  readonly cacheBytes?: number | undefined;
  /** Bytes written in one commit; a single larger batch still goes, alone. Default 8 MiB. */
  readonly commitBytes?: number | undefined;
  /** What the records are, so that nobody reads another's: a name and a version. */
  readonly format?: StorageFormat | undefined;
}

/** Kept in the storage. A newer version than the reader's is refused with `ERR_STORAGE_VERSION`. */
export interface StorageFormat {
  readonly name: string;
  readonly version: number;
}

export const storageRules = {
  durability: oneOf<Durability>('fsync', ['fsync', 'os']),
  damage: oneOf<'refuse' | 'accept'>('refuse', ['refuse', 'accept']),
  cacheBytes: count(64 * MiB, 0),
  commitBytes: count(8 * MiB),
  format: such<StorageFormat>(
    { name: 'records', version: 1 },
    'an object with a name and a version',
    isFormat,
  ),
} satisfies Rules<StorageOptions>;

function isFormat(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (!('name' in value) || !('version' in value)) return false;
  return typeof value.name === 'string' && value.name !== '' && Number.isSafeInteger(value.version);
}
