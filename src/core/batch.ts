/** What a machine asks a storage to make durable, and how far that storage can be asked. */
import type { Frames } from './machine.ts';

/** A record: some frames under a key. */
export interface StoragePut {
  /** 1 to 512 printable ASCII characters, not beginning with `!`. */
  readonly key: string;
  /** Not copied until it is written: do not change it before the answer. */
  readonly value: Frames;
}

/** Changes that become durable together, or not at all. */
export interface StorageBatch {
  readonly puts: readonly StoragePut[];
  readonly deletes: readonly string[];
  /** It makes room, or must go on when the disk is full: it may use what is held in reserve. */
  readonly urgent?: boolean;
}

/**
 * `open`: it takes batches. `full`: the disk is; it takes urgent ones. `failed`: a write or an fsync
 * failed otherwise; it takes none until it is opened anew. Reads go on in all three.
 */
export type StorageState = 'open' | 'full' | 'failed' | 'closed';
