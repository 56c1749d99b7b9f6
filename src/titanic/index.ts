/** `unsinkable/titanic`: requests that survive everything, 9/TSP and more, over Majordomo. */
export * from '../transport/public.ts';
export { StorageError, TitanicError } from '../core/errors.ts';
export type { StorageErrorCode, TitanicErrorCode } from '../core/errors.ts';
export type { RequestId as TitanicRequestId, RequestState, RequestSummary } from './commands.ts';
export type {
  AskOptions as TitanicAskOptions,
  CallOptions as TitanicCallOptions,
  FetchOptions as TitanicFetchOptions,
  ListOptions as TitanicListOptions,
  SubmitOptions as TitanicSubmitOptions,
  TitanicClientOptions,
} from './options.ts';
export {
  Titanic,
  type TitanicServerEvent as TitanicEvent,
  type TitanicServerOptions as TitanicOptions,
  type TitanicStatus,
} from './titanic.ts';
export type { TitanicAdmin, TitanicInspection } from './titanic-admin.ts';
export { TitanicClient, type TitanicClientEvent } from './titanic-client.ts';
export type { AttemptEnd as TitanicAttemptEnd } from './titanic-events.ts';
