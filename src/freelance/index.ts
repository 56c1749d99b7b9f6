/** `unsinkable/freelance`: clients that know several servers, and no broker in between, 10/FLP. */
export * from '../transport/public.ts';
export { HandlerRequest } from '../transport/handling.ts';
export { FreelanceClient } from './client.ts';
export type {
  ClientEvent as FreelanceClientEvent,
  RetryReason as FreelanceRetryReason,
} from './client-request.ts';
export type {
  FreelanceClientOptions,
  FreelanceRequestOptions,
  FreelanceServerOptions,
  FreelanceStrategy,
} from './options.ts';
export { FreelanceServer, type FreelanceHandler } from './server.ts';
export type {
  FreelanceRefusal,
  FreelanceReplyLoss,
  FreelanceServerEvent,
  FreelanceServerStatus,
} from './server-events.ts';
export type {
  ServerHealth as FreelanceServerHealth,
  ServerLossReason as FreelanceServerLossReason,
} from './servers.ts';
