/** `unsinkable/clone`: replicated state without holes, 12/CHP and more. */
export type { Election, ElectionEvent, Epoch, Guard, Standing } from '../core/election.ts';
export {
  CloneError,
  StorageError,
  type CloneErrorCode,
  type StorageErrorCode,
} from '../core/errors.ts';
export * from '../transport/public.ts';
export type { CloneEvent } from './client/client.ts';
export type {
  CloneClientShellOptions as CloneClientOptions,
  CloneDeleteOptions,
  CloneSetOptions,
  CloneSynchronisedOptions,
  CloneUpdateOptions,
  CloneWatchOptions,
  CloneWriteOptions,
} from './client/shell-options.ts';
export { CloneClient, type CloneClientConstructor } from './client/typed-client.ts';
export type { CloneWrite } from './client/outcomes.ts';
export type { Watch as CloneWatch, WatchedChange as CloneChange } from './client/watch.ts';
export type { CloneClientStatus, SynchronisationLoss } from './client-events.ts';
export type { Digest as CloneDigest, Position as ClonePosition } from './commands.ts';
export type { Replication as CloneReplication } from './options.ts';
export {
  CloneServer,
  type CloneBindOptions,
  type CloneServerShellEvent as CloneServerEvent,
  type CloneServerShellOptions as CloneServerOptions,
  type CloneServerShellStatus as CloneServerStatus,
} from './server/server.ts';
export type {
  FollowerLossReason as CloneFollowerLossReason,
  FollowerStatus as CloneFollowerStatus,
} from './server-events.ts';
export type { ValueCodecName as CloneCodecName } from './values.ts';
export type {
  HistoryLossReason as ReplayLossReason,
  ReplayPublisherStatus,
  ReplaySubscriberStatus,
  SequenceRange as ReplaySequenceRange,
} from './replay/events.ts';
export type { ReplayLayout } from './replay/kv-codec.ts';
export { ReplayMessage } from './replay/message.ts';
export type {
  ReplayProtocol,
  ReplayPublisherOptions,
  ReplayStart,
  ReplaySubscriberOptions,
} from './replay/options.ts';
export {
  ReplayPublisher,
  type ReplayBindOptions,
  type ReplayPublisherNotice as ReplayPublisherEvent,
} from './replay/publisher.ts';
export {
  ReplaySubscriber,
  type ReplayConnectOptions,
  type ReplaySubscriberNotice as ReplaySubscriberEvent,
} from './replay/subscriber.ts';
