/** What is special to what is served: to a map, which has snapshots, or to topics, which have none. */
import type { Instant } from '../../core/machine.ts';
import type { Sequence, WriterCommand } from '../commands.ts';
import type { RunningDigest } from '../digest.ts';
import type { Update } from './update.ts';

/** Which updates concern whom: of a map by path, of topics by prefix. */
export interface Matching {
  /** True if the update changes what is under `subtree`. */
  concerns(subtree: string, update: Update): boolean;
  /** Calls back with every subtree that a key is under, each once; nobody need follow it. */
  forEachSubtree(key: string, visit: (subtree: string) => void): void;
}

/** One key with what it has. */
export interface SnapshotItem {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: Sequence;
  /** Milliseconds that it was given; undefined: it does not expire. */
  readonly ttl: number | undefined;
  /** `Infinity`: never. */
  readonly expiresAt: Instant;
}

/**
 * Goes over all keys under a subtree that were not changed after the walk began. What was changed since is
 * left out, as its update is told anyway; so the walk ends however much is written.
 */
export interface SnapshotWalk {
  /** Where it stands; undefined if there is nothing to send here: then `step` on, unless it is over. */
  readonly item: SnapshotItem | undefined;
  readonly isOver: boolean;
  step(): void;
}

/** What a server knows of a writer, for a backup. */
export type WriterState = Pick<WriterCommand, 'writer' | 'next' | 'done'>;

export interface SnapshotSource {
  /** Keys that have to be looked at for its digest. */
  costOf(subtree: string): number;
  /** Of several subtrees, none of them twice, by one look at each key. */
  digestsOf(subtrees: readonly string[]): readonly RunningDigest[];
  /** @param since the newest update that is public */
  walk(subtree: string, since: Sequence): SnapshotWalk;
  /** As far as their writes are public. */
  writers(): Iterable<WriterState>;
}

export interface FeedContent extends Matching {
  /** Absent: whom the history does not reach is told what is lost. There are no digests then. */
  readonly snapshots?: SnapshotSource | undefined;
}
