/** `unsinkable/pirate`: Lazy, Simple and Paranoid Pirate: reliable request-reply, 6/PPP. */
export * from '../transport/public.ts';
export { LazyPirateClient } from './client.ts';
export type { ClientEvent as LazyPirateClientEvent } from './client-machine.ts';
export type { LazyPirateClientOptions, PirateRequestOptions } from './options.ts';
export type { ParanoidPirateQueueOptions, PirateQueueOptions } from './options.ts';
export { ParanoidPirateQueue, SimplePirateQueue } from './queue.ts';
export type {
  QueueEvent as PirateQueueEvent,
  QueueStatus as PirateQueueStatus,
  RefusalReason as PirateRefusalReason,
  ReplyRefusal as PirateReplyRefusal,
  WorkerLossReason as PirateWorkerLossReason,
  WorkerRefusal as PirateWorkerRefusal,
} from './queue-events.ts';
export { ParanoidPirateWorker, SimplePirateWorker } from './worker.ts';
export type {
  QueueLossReason as PirateQueueLossReason,
  WorkerEvent as PirateWorkerEvent,
} from './worker-events.ts';
export type { ParanoidPirateWorkerOptions, PirateWorkerOptions } from './options.ts';
export { HandlerRequest, type RequestHandler as PirateHandler } from '../transport/handling.ts';
