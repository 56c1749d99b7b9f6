/** The whole public API. Each pattern also has an entry of its own, such as `unsinkable/majordomo`. */
export type { Body } from './core/body.ts';
export {
  BindError,
  ClosedError,
  InvalidArgumentError,
  NotReadyError,
  RequestError,
  UnsinkableError,
  type ErrorCode,
  type RequestErrorCode,
} from './core/errors.ts';
export type { Logger } from './core/logger.ts';
export type { Frames } from './core/machine.ts';
export * from './majordomo/index.ts';
