/** What a feed tells of the one follower that is the other server of a pair. */
import type { Address, Instant } from '../../core/machine.ts';
import type { FollowCommand, Sequence } from '../commands.ts';
import type { FollowerLossReason } from '../server-events.ts';

/** Who must know how far the other server of a pair is. */
export interface BackupWatch {
  /** False: this one may not be the backup, as there is another. */
  admits(now: Instant, from: Address, command: FollowCommand): boolean;
  /** It follows from now on: nothing is known of what it has. */
  followed(now: Instant): void;
  /** It has been sent all that is accepted; from now on it is sent each update when that is accepted. */
  caughtUp(now: Instant): void;
  /** It has applied, and stored, all up to `sequence`. */
  progress(now: Instant, sequence: Sequence): void;
  lost(now: Instant, reason: FollowerLossReason): void;
}
