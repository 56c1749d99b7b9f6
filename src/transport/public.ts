/** What every pattern's entry point exports beside its own: errors, and the types its signatures name. */
export type { Body } from '../core/body.ts';
export {
  BindError,
  ClosedError,
  InvalidArgumentError,
  NotReadyError,
  RequestError,
  UnsinkableError,
  type ErrorCode,
  type RequestErrorCode,
} from '../core/errors.ts';
export type { Logger } from '../core/logger.ts';
export type { Address, Frames, Instant } from '../core/machine.ts';
export { Payload } from '../core/payload.ts';
export type { Random } from '../core/retry.ts';
export type { Beacon, BeaconSession } from './beacon.ts';
export { systemEnvironment, type Environment } from './environment.ts';
export type { EventMap, EventSource } from './event-source.ts';
export type {
  Clock,
  SendOutcome,
  SocketHandler,
  SocketKind,
  SocketName,
  Transport,
  TransportSocket,
} from './transport.ts';
export { zeromqTransport, type ZeromqOptions } from './zeromq.ts';
