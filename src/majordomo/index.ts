/** `unsinkable/majordomo`: the service-oriented broker pattern, 7/MDP, 18/MDP and 8/MMI. */
export * from '../transport/public.ts';
export { MajordomoBroker } from './broker.ts';
export type {
  BrokerEvent,
  BrokerStatus,
  DeadLetter,
  RefusalReason,
  ReplyRefusal,
  ServiceStatus,
  WorkerLossReason,
} from './broker-events.ts';
export { MajordomoClient } from './client.ts';
export type { ClientEvent, RequestId } from './client-machine.ts';
export type { Dialect } from './commands.ts';
export type {
  BrokerOptions,
  ClientOptions,
  ClientProtocol,
  CommonOptions,
  HeartbeatOptions,
  RequestOptions,
  WorkerOptions,
  WorkerProtocol,
} from './options.ts';
export { Payload, Reply } from './payload.ts';
export { MajordomoWorker, WorkerRequest, type WorkerHandler } from './worker.ts';
export type { BrokerLossReason, HandlerToken, WorkerEvent } from './worker-machine.ts';
