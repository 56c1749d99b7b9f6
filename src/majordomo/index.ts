/** `unsinkable/majordomo`: the service-oriented broker pattern, 7/MDP, 18/MDP, 8/MMI and express. */
export * from '../transport/public.ts';
export { MajordomoBroker } from './broker/broker.ts';
export type {
  BrokerEvent,
  BrokerStatus,
  ClientGoneReason,
  DeadLetter,
  FailoverStatus,
  FollowerLossReason,
  RefusalReason,
  ReplyRefusal,
  ServiceStatus,
  WorkerLossReason,
  WorkerRefusal,
} from './broker/broker-events.ts';
export type { CodecName } from '../core/body-codec.ts';
export { MajordomoClient } from './client/client.ts';
export type { ClientEvent, ClientLossReason, RequestId } from './client/client-machine.ts';
export type { Dialect } from './wire/commands.ts';
export type { Headers } from './wire/headers.ts';
export type {
  BroadcastOptions,
  BrokerOptions,
  ClientOptions,
  ClientProtocol,
  CommonOptions,
  HeartbeatOptions,
  MapOptions,
  RequestOptions,
  WorkerOptions,
  WorkerProtocol,
} from './options.ts';
export { CodedPayload, Reply } from './payload.ts';
export type { MapInputs } from './client/request-map.ts';
export type { BroadcastEntry } from './client/waiters.ts';
export {
  MajordomoWorker,
  WorkerRequest,
  type ValueHandler,
  type WorkerHandler,
} from './worker/worker.ts';
export type {
  BrokerLossReason,
  CancelReason,
  HandlerToken,
  WorkerEvent,
} from './worker/worker-machine.ts';
