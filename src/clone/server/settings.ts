/** What a Clone server's machine is told of its options and of the world. */
import type { Epoch, Guard } from '../../core/election.ts';
import type { Completed } from '../../core/options.ts';
import type { Random } from '../../core/retry.ts';
import type { serverRules } from '../options.ts';

/** Those of its options that are for the machine. */
type MachineRules = Omit<
  typeof serverRules,
  'failover' | 'logger' | 'drainTimeout' | 'peerQueueBytes'
>;

export interface ServerSettings extends Completed<MachineRules> {
  /** Whom to ask whether to serve; absent: this server is the only one. */
  readonly guard?: Guard | undefined;
  /** Under which a server without a guard serves: higher than in any of its lives before. */
  readonly epoch: Epoch;
  /** What is accepted is stored before it is public. */
  readonly isDurable: boolean;
  /** Milliseconds that the wall clock shows more than the clock of the machine. */
  readonly wallClock: number;
  /** Milliseconds that the other server of a pair gets to come back after a notice that its link broke. */
  readonly noticeGrace: number;
  /** Bytes that may be on their way to this server while it is the backup. */
  readonly backupWindow: number;
  readonly random: Random;
}
