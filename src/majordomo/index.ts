/** `unsinkable/majordomo`: the service-oriented broker pattern, 7/MDP, 18/MDP, 8/MMI and express. */
export * from '../transport/public.ts';
export { MajordomoBroker } from './broker.ts';
export type {
  BrokerEvent,
  BrokerStatus,
  ClientGoneReason,
  DeadLetter,
  RefusalReason,
  ReplyRefusal,
  ServiceStatus,
  WorkerLossReason,
  WorkerRefusal,
} from './broker-events.ts';
export type { CodecName } from './body-codec.ts';
export { MajordomoClient } from './client.ts';
export type { ClientEvent, ClientLossReason, RequestId } from './client-machine.ts';
export type { Dialect } from './commands.ts';
export type { Headers } from './headers.ts';
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
export { Payload, Reply } from './payload.ts';
export type { MapInputs } from './request-map.ts';
export type { BroadcastEntry } from './waiters.ts';
export { MajordomoWorker, WorkerRequest, type ValueHandler, type WorkerHandler } from './worker.ts';
export type {
  BrokerLossReason,
  CancelReason,
  HandlerToken,
  WorkerEvent,
} from './worker-machine.ts';
