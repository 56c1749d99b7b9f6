/** What goes into a Clone server's machine beside the commands, and what comes out of it. */
import type { Epoch } from '../core/election.ts';
import type { Address } from '../core/machine.ts';
import type { Digest, Position, WriterId, WriteKind, WriteRefusal } from './commands.ts';

/**
 * `peers`: the ROUTER that all come to, our own and stock ones (P). `publisher`: PUB for stock clients (P+1).
 * `collector`: SUB, their writes (P+2). `active`: of the passive one of a pair, DEALER to the active one.
 */
export type ServerPort = 'peers' | 'publisher' | 'collector' | 'active';

export type ServerCall =
  /** Whoever decides (`failover`) says: serve, under this epoch. */
  | { readonly type: 'activate'; readonly epoch: Epoch }
  /** Serve no more. */
  | { readonly type: 'standBy'; readonly epoch: Epoch }
  /** While passive: copy from there; '' while nobody is known to serve. */
  | { readonly type: 'follow'; readonly epoch: Epoch; readonly endpoint: string }
  /** It may serve alone: who decides knows it. */
  | { readonly type: 'servesAlone'; readonly epoch: Epoch }
  /** Stock clients are served: `publisher` and `collector` are bound. */
  | { readonly type: 'serveStock' }
  /** Takes no new writes, brings out what it has, says goodbye and is `drained`. */
  | { readonly type: 'drain' }
  | { readonly type: 'stop' };

/** Why a follower is followed no more. */
export type FollowerLossReason = 'silent' | 'linkBroken' | 'goodbye' | 'displaced' | 'standBy';

export type CloneServerEvent =
  | { readonly type: 'becameActive'; readonly epoch: Epoch; readonly sequence: number }
  | { readonly type: 'becamePassive'; readonly epoch: Epoch }
  /** What it holds, for whoever decides: see `Standing`. Not announced to users. */
  | { readonly type: 'holds'; readonly epoch: Epoch }
  | { readonly type: 'alone'; readonly alone: boolean }
  /** An update is public: it is durable where there is a store, and the backup has it where there is one. */
  | {
      readonly type: 'published';
      readonly sequence: number;
      readonly kind: WriteKind;
      readonly key: string;
      /** The key had run out of time. */
      readonly isExpiry: boolean;
    }
  | { readonly type: 'writeRefused'; readonly from: Address; readonly refusal: WriteRefusal }
  /** The same write again: it was answered from what is remembered. */
  | { readonly type: 'writeRepeated'; readonly from: Address; readonly number: number }
  /** A write came whose predecessor did not. */
  | { readonly type: 'writeMissing'; readonly from: Address; readonly number: number }
  | { readonly type: 'writerForgotten'; readonly writer: WriterId }
  | {
      readonly type: 'followerBegan';
      readonly from: Address;
      readonly subtree: string;
      readonly mode: 'continue' | 'snapshot' | 'lost';
      readonly isBackup: boolean;
    }
  /** A slow one was left behind by the history, and gets a snapshot. */
  | { readonly type: 'followerLeftBehind'; readonly from: Address }
  | { readonly type: 'followerLost'; readonly from: Address; readonly reason: FollowerLossReason }
  | {
      readonly type: 'followerRefused';
      readonly from: Address;
      readonly reason: 'full' | 'subtree';
    }
  | { readonly type: 'redirected'; readonly from: Address; readonly endpoint: string }
  /** The backup has all that is here. */
  | { readonly type: 'backupSynchronised'; readonly sequence: number }
  | { readonly type: 'backupLost'; readonly reason: FollowerLossReason }
  /** As a backup: it has all that the active one had. */
  | { readonly type: 'synchronised'; readonly position: Position }
  | { readonly type: 'gapDetected'; readonly expected: number; readonly got: number }
  /** As a backup: what came is not what the digest says; it begins anew. */
  | { readonly type: 'digestWrong'; readonly sequence: number }
  | { readonly type: 'stockSnapshot'; readonly from: Address; readonly subtree: string }
  | {
      readonly type: 'stockWriteIgnored';
      /** `full`: there is no room, it is too large, or the storage does not take it. */
      readonly reason: 'full' | 'passive' | 'repeated';
    }
  | { readonly type: 'storeFailed'; readonly message: string }
  /** What a former life stored of this key (of the storage) cannot be read, and is not there any more. */
  | { readonly type: 'recordUnreadable'; readonly key: string; readonly reason: string }
  | { readonly type: 'malformed'; readonly from: Address; readonly reason: string }
  | { readonly type: 'ignored'; readonly from: Address; readonly reason: 'stale' | 'unexpected' }
  | { readonly type: 'drained' };

/** For `status()`. */
export interface CloneServerStatus {
  readonly state: 'active' | 'passive' | 'draining' | 'closed';
  /** Under which it serves; 0 while passive. */
  readonly epoch: Epoch;
  /** What is public here. */
  readonly position: Position;
  readonly digest: Digest;
  readonly keys: number;
  /** Bytes of keys and values. */
  readonly bytes: number;
  /** Updates that can be fetched again, and the first of them. */
  readonly history: { readonly updates: number; readonly bytes: number; readonly from: number };
  /** Accepted and not yet public. */
  readonly pending: number;
  readonly writers: number;
  readonly followers: readonly FollowerStatus[];
  readonly backup: 'none' | 'catchingUp' | 'synchronised';
  /** It may go on although no backup has what it does. */
  readonly servesAlone: boolean;
  readonly events: Readonly<Partial<Record<CloneServerEvent['type'], number>>>;
}

export interface FollowerStatus {
  readonly address: Address;
  readonly subtree: string;
  readonly state: 'snapshot' | 'catchingUp' | 'live';
  readonly isBackup: boolean;
  /** The last update that it says it has applied. */
  readonly sequence: number;
  /** Bytes that are on their way to it. */
  readonly inFlight: number;
}

/** What a server must find again after a restart. Made durable in this form: see `server/records.ts`. */
export interface CloneRecord {
  readonly key: string;
  readonly revision: number;
  readonly ttl: number | undefined;
  /** Milliseconds since 1970 by the wall clock; undefined: it does not expire. */
  readonly expiresAt: number | undefined;
  readonly value: Uint8Array;
}
