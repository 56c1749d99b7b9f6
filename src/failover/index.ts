/** `unsinkable/failover`: pairs of servers of which one serves, and other ways to decide which. */
export {
  EPOCH_LIMIT,
  EPOCH_STEP_LIMIT,
  isPlausible,
  type Election,
  type ElectionEvent,
  type Epoch,
  type Guard,
  type Standing,
  type StepDownReason,
} from '../core/election.ts';
export { StorageError, type StorageErrorCode } from '../core/errors.ts';
export * from '../transport/public.ts';
export { BinaryStar, type Verdict as PairVerdict } from './binary-star.ts';
export type {
  Life as PairLife,
  PeerState as PairPeerState,
  RefusalReason as ClaimRefusalReason,
  Role as PairRole,
} from './commands.ts';
export { epochFile } from './epoch-file.ts';
export { EtcdElection } from './etcd-election.ts';
export type {
  EtcdElectionEvent,
  EtcdElectionOptions,
  EtcdElectionStatus,
  EtcdFetch,
} from './etcd-options.ts';
export type {
  PairEvent,
  PairRecord,
  PairStatus,
  TakeoverFailure,
  WitnessEvent,
  WitnessRecord,
} from './failover-events.ts';
export type { BinaryStarOptions, EpochStore, PairProtocol, WitnessOptions } from './options.ts';
export { WitnessServer } from './witness-server.ts';
