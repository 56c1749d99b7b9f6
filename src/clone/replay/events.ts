/** What publishers and subscribers are asked, and what they tell: one union for machine, emitter and logs. */
import type { Epoch } from '../../core/election.ts';
import type { Address, Frames } from '../../core/machine.ts';
import type { Position, Sequence } from '../commands.ts';
import type { FollowerLossReason, FollowerStatus } from '../server-events.ts';

/** The messages from one number to another, both included. */
export interface SequenceRange {
  readonly from: Sequence;
  readonly to: Sequence;
}

// Publishers

export type ReplayPublisherCall =
  | {
      readonly type: 'publish';
      /** The next one: whoever publishes counts with the machine, so that the number is known at once. */
      readonly sequence: Sequence;
      readonly topic: string;
      readonly body: Frames;
    }
  /** Takes nothing new, brings out what waits for the storage, and is `drained`. */
  | { readonly type: 'drain' }
  | { readonly type: 'stop' };

export type ReplayPublisherEvent =
  /** It is durable where there is a store, in the history, and on its way to those who listen. */
  | { readonly type: 'published'; readonly sequence: Sequence }
  /**
   * It was not, and will not be; only of `closing` the next life may have what was with the store as this one
   * ended.
   */
  | {
      readonly type: 'publishRefused';
      readonly sequence: Sequence;
      readonly reason: 'full' | 'outOfOrder' | 'closing';
    }
  /** Somebody follows, or asks for what was missed: from here on. */
  | {
      readonly type: 'followerBegan';
      readonly from: Address;
      readonly subtree: string;
      readonly mode: 'continue' | 'snapshot' | 'lost';
      readonly isBackup: boolean;
    }
  /** A slow one was left behind by the history. */
  | { readonly type: 'followerLeftBehind'; readonly from: Address }
  | { readonly type: 'followerLost'; readonly from: Address; readonly reason: FollowerLossReason }
  | {
      readonly type: 'followerRefused';
      readonly from: Address;
      readonly reason: 'full' | 'subtree';
    }
  /** `kv-events`: somebody was given so many messages again. */
  | { readonly type: 'replayed'; readonly from: Address; readonly messages: number }
  /** `kv-events`: too many ask at a time. */
  | { readonly type: 'replayRefused'; readonly from: Address }
  /** Nothing is published until it works again. */
  | { readonly type: 'storeFailed'; readonly message: string }
  | { readonly type: 'malformed'; readonly from: Address; readonly reason: string }
  | { readonly type: 'ignored'; readonly from: Address; readonly reason: 'stale' | 'unexpected' }
  | { readonly type: 'drained' };

/** For `status()`. */
export interface ReplayPublisherStatus {
  readonly state: 'publishing' | 'draining' | 'closed';
  /** Under which it publishes; 0 where the dialect has none. */
  readonly epoch: Epoch;
  /** The newest that was published; −1 or 0 before the first one, as the dialect counts. */
  readonly sequence: Sequence;
  /** Messages that can be had again, and the first of them. */
  readonly history: { readonly messages: number; readonly bytes: number; readonly from: Sequence };
  /** Accepted, and not durable yet. */
  readonly pending: number;
  /** Those who follow; of `kv-events` those who are being answered. */
  readonly followers: readonly FollowerStatus[];
  readonly events: Readonly<Partial<Record<ReplayPublisherEvent['type'], number>>>;
}

// Subscribers

export type ReplaySubscriberCall =
  | {
      readonly type: 'connect';
      readonly endpoint: string;
      /** Of `kv-events`: whom to ask for what is missing; '' for nobody. */
      readonly replay: string;
    }
  /** The user has taken messages that weigh so much. */
  | { readonly type: 'consumed'; readonly weight: number }
  | { readonly type: 'drain' }
  | { readonly type: 'stop' };

/** What a subscriber has got. */
export interface ReceivedMessage {
  readonly type: 'message';
  readonly topic: string;
  readonly sequence: Sequence;
  /** The publisher's life; 0 where the dialect has none. */
  readonly epoch: Epoch;
  readonly body: Frames;
  /** What is missing right before it, and cannot be had any more. */
  readonly lost: SequenceRange | undefined;
  /** It is the first one of a publisher that began to count anew. */
  readonly isRestart: boolean;
  /** What it counts for the window. */
  readonly weight: number;
}

/**
 * Why something is lost. `gone`: the history does not reach back to it. `unanswered`: nobody answered when
 * asked for it, time and again. `noReplay`: there is nobody to ask. `restarted`: it was with a publisher
 * that has ended.
 */
export type HistoryLossReason = 'gone' | 'unanswered' | 'noReplay' | 'restarted';

export type ReplaySubscriberEvent =
  | ReceivedMessage
  | { readonly type: 'connected'; readonly endpoint: string; readonly epoch: Epoch }
  | {
      readonly type: 'disconnected';
      readonly endpoint: string;
      readonly reason: 'silent' | 'linkBroken' | 'redirected' | 'outdated' | 'closed';
    }
  /** Messages are missing: they are asked for. */
  | { readonly type: 'gapDetected'; readonly expected: Sequence; readonly got: Sequence }
  /** All that was missing came, or was told lost; so many milliseconds later. */
  | { readonly type: 'gapRepaired'; readonly milliseconds: number }
  | ({ readonly type: 'historyLost'; readonly reason: HistoryLossReason } & SequenceRange)
  /**
   * Another life of the publisher. `isContinued`: it goes on with its numbers and its history. Else it
   * counts anew, and the end of its former life may be missing.
   */
  | {
      readonly type: 'publisherRestarted';
      readonly epoch: Epoch;
      readonly isContinued: boolean;
    }
  /** The user takes them more slowly than they come: the rest is fetched when there is room. */
  | { readonly type: 'fellBehind'; readonly sequence: Sequence }
  /** What was asked for did not come. It is asked for again. */
  | {
      readonly type: 'replayFailed';
      readonly reason: 'silent' | 'linkBroken';
      readonly failures: number;
    }
  | { readonly type: 'malformed'; readonly reason: string }
  | { readonly type: 'ignored'; readonly reason: 'duplicate' | 'stale' | 'unexpected' }
  | { readonly type: 'drained' };

/** For `status()`. */
export interface ReplaySubscriberStatus {
  readonly state: 'disconnected' | 'connecting' | 'catchingUp' | 'live' | 'closed';
  readonly endpoint: string;
  /** Up to here it has everything, or was told what is lost. */
  readonly position: Position;
  /** Bytes that came and were not taken. */
  readonly waiting: number;
  readonly events: Readonly<Partial<Record<ReplaySubscriberEvent['type'], number>>>;
}
