/** What goes into a Clone client's machine beside the commands, and what comes out of it. */
import type { Epoch } from '../core/election.ts';
import type { Digest, Position, WriteKind, WriteRefusal } from './commands.ts';

/** `server`: DEALER to P. Of a client of a stock server also `updates`, SUB to P+1, and `writes`, PUB to P+2. */
export type ClientPort = 'server' | 'updates' | 'writes';

export type ClientCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  | {
      readonly type: 'write';
      /** Its own for each, ascending: the outcome names it. */
      readonly token: number;
      readonly kind: WriteKind;
      readonly key: string;
      /** Milliseconds. */
      readonly ttl: number | undefined;
      readonly ifMatch: number | undefined;
      readonly value: Uint8Array | undefined;
      /** Milliseconds for all of it. */
      readonly timeout: number;
    }
  /** Wait for the outcome no longer. It may still be done. */
  | { readonly type: 'abandon'; readonly token: number }
  /** Somebody wants `changed`, or nobody any more: it is made only for those who do. */
  | { readonly type: 'watch'; readonly isWatched: boolean }
  /** Waits for the outcomes of its writes, then is `drained`. */
  | { readonly type: 'drain' }
  | { readonly type: 'stop' };

/** How a write ended. */
export type WriteOutcome =
  | {
      readonly outcome: 'done';
      readonly revision: number;
      /** Two servers have it. */
      readonly isReplicated: boolean;
    }
  | {
      readonly outcome: 'refused';
      readonly refusal: WriteRefusal;
      /** Of a conflict: the revision that the key has, 0 for none. */
      readonly revision: number;
      readonly retryAfter: number | undefined;
    }
  /** Nobody answered in time. `maybeDone` false: it surely was not done, nor will be. */
  | { readonly outcome: 'timeout' | 'abandoned' | 'closed'; readonly maybeDone: boolean }
  /** It was never sent: more wait than may. */
  | { readonly outcome: 'queueFull' };

/** What the map is told of, in the order in which it happens: `replica.ts` keeps the map itself. */
export type CloneChange =
  | {
      readonly type: 'set';
      readonly key: string;
      readonly value: Uint8Array;
      readonly revision: number;
      /** Milliseconds left, where it expires. */
      readonly timeLeft: number | undefined;
      readonly former: Uint8Array | undefined;
    }
  | {
      readonly type: 'deleted';
      readonly key: string;
      readonly revision: number;
      readonly former: Uint8Array;
    };

export type SynchronisationLoss =
  'silent' | 'linkBroken' | 'gap' | 'redirected' | 'outdated' | 'snapshot' | 'digestWrong';

export type CloneClientEvent =
  | { readonly type: 'connected'; readonly endpoint: string; readonly epoch: Epoch }
  | {
      readonly type: 'disconnected';
      readonly endpoint: string;
      readonly reason: 'silent' | 'linkBroken' | 'redirected' | 'outdated' | 'closed';
    }
  /** The map equals the server's at this position, by its digest. */
  | {
      readonly type: 'synchronised';
      readonly position: Position;
      readonly digest: Digest;
      readonly size: number;
    }
  /** The map is what it was, but nothing is known of what came after. */
  | { readonly type: 'unsynchronised'; readonly reason: SynchronisationLoss }
  | { readonly type: 'gapDetected'; readonly expected: number; readonly got: number }
  /** After a gap it has all again; `milliseconds` it took. */
  | {
      readonly type: 'gapRepaired';
      readonly milliseconds: number;
      readonly by: 'history' | 'snapshot';
    }
  | { readonly type: 'snapshotLoaded'; readonly position: Position; readonly size: number }
  /** Another server serves, under a higher epoch. `isContinued`: it has all that this replica had. */
  | {
      readonly type: 'failedOver';
      readonly epoch: Epoch;
      readonly endpoint: string;
      readonly isContinued: boolean;
    }
  /** The map has changed. All changes of one update, or of one snapshot, come in one event. */
  | {
      readonly type: 'changed';
      readonly changes: readonly CloneChange[];
      readonly position: Position;
    }
  /** The outcome of a `write` call. */
  | ({ readonly type: 'written'; readonly token: number } & WriteOutcome)
  /**
   * A snapshot was not what its digest or count says: it was thrown away, and asked for again. `full`: it, or
   * an update, is more than `keyLimit` or `stateBytes` let in.
   */
  | {
      readonly type: 'snapshotRefused';
      readonly reason: 'count' | 'digest' | 'gap' | 'superseded' | 'full';
    }
  /** The map is not what the server's digest says: it gets a snapshot. */
  | { readonly type: 'digestWrong'; readonly sequence: number }
  | { readonly type: 'malformed'; readonly reason: string }
  | { readonly type: 'ignored'; readonly reason: 'stale' | 'outdated' | 'unexpected' }
  | { readonly type: 'drained' };

/** For `status()`. */
export interface CloneClientStatus {
  readonly state:
    'disconnected' | 'connecting' | 'loading' | 'catchingUp' | 'synchronised' | 'closed';
  readonly endpoint: string;
  /** Where a passive server said that the active one is; '' while one serves, or if none said so. */
  readonly redirectedTo: string;
  readonly epoch: Epoch;
  readonly position: Position;
  readonly digest: Digest;
  readonly size: number;
  /** Writes without an outcome. */
  readonly pending: number;
  readonly events: Readonly<Partial<Record<CloneClientEvent['type'], number>>>;
}
