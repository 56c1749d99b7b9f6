/**
 * Every error of this library: one base class, a stable `code`, whether trying again can help, and
 * a message that says what to do. Compare codes, not texts: texts may improve.
 */

/** How a request can end without a reply. */
export const REQUEST_ERROR_CODES = [
  'ERR_ATTEMPTS_EXHAUSTED',
  'ERR_BROKER_CLOSING',
  'ERR_CANCELLED',
  'ERR_HANDLER_FAILED',
  'ERR_NOT_ACTIVE',
  'ERR_NOT_SUPPORTED',
  'ERR_NO_SERVICE',
  'ERR_QUEUE_FULL',
  'ERR_REPLY_TOO_LARGE',
  'ERR_REQUEST_EXPIRED',
  'ERR_REQUEST_TIMEOUT',
  'ERR_SERVER_CLOSING',
  'ERR_STREAM_OVERFLOW',
  'ERR_WORKER_LOST',
] as const;

export type RequestErrorCode = (typeof REQUEST_ERROR_CODES)[number];

/** How a request ended without a reply, as it travels. */
export interface Failure {
  readonly code: RequestErrorCode;
  readonly message: string;
  /** Milliseconds after which another try may succeed, where that is known; not every wire carries it. */
  readonly retryAfter?: number | undefined;
  /** Workers that were given the request, where that is known; not every wire carries it. */
  readonly attempts?: number | undefined;
}

/** The stable codes. `docs/majordomo-reference.md` lists when each one is seen. */
export type ErrorCode =
  | RequestErrorCode
  // mistakes in a call
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_INVALID_BODY'
  | 'ERR_INVALID_ENDPOINT'
  | 'ERR_INVALID_OPTION'
  | 'ERR_UNKNOWN_OPTION'
  // the surroundings
  | 'ERR_ADDRESS_IN_USE'
  | 'ERR_BIND_FAILED'
  | 'ERR_CLOSED'
  | 'ERR_NOT_CONNECTED'
  | 'ERR_NOT_READY'
  | 'ERR_TOO_MANY_SOCKETS'
  | StorageErrorCode
  | TitanicErrorCode
  | CloneErrorCode;

/** What can be wrong with a storage. */
export type StorageErrorCode =
  | 'ERR_STORAGE_CORRUPT'
  | 'ERR_STORAGE_FAILED'
  | 'ERR_STORAGE_FULL'
  | 'ERR_STORAGE_IN_USE'
  | 'ERR_STORAGE_UNAVAILABLE'
  | 'ERR_STORAGE_VERSION';

/** How a Titanic refuses, as it travels. */
export const TITANIC_ERROR_CODES = [
  'ERR_ATTEMPTS_EXHAUSTED',
  'ERR_HANDLER_FAILED',
  'ERR_ID_IN_USE',
  'ERR_INVALID_ARGUMENT',
  'ERR_NOT_SUPPORTED',
  'ERR_QUEUE_FULL',
  'ERR_REQUEST_EXPIRED',
  'ERR_STORAGE_CORRUPT',
  'ERR_STORAGE_FAILED',
  'ERR_STORAGE_FULL',
  'ERR_UNKNOWN_REQUEST',
] as const;

export type TitanicErrorCode = (typeof TITANIC_ERROR_CODES)[number];

/** How a write to replicated state can end without being done. */
export const CLONE_ERROR_CODES = [
  'ERR_CANCELLED',
  'ERR_CLOSED',
  'ERR_CONFLICT',
  'ERR_EMPTY_VALUE',
  'ERR_INVALID_KEY',
  'ERR_NOT_SUPPORTED',
  'ERR_QUEUE_FULL',
  'ERR_STATE_FULL',
  'ERR_STORAGE_FAILED',
  'ERR_VALUE_TOO_LARGE',
  'ERR_WRITE_TIMEOUT',
] as const;

export type CloneErrorCode = (typeof CLONE_ERROR_CODES)[number];

const RETRIABLE: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_ADDRESS_IN_USE',
  'ERR_BROKER_CLOSING',
  'ERR_NOT_ACTIVE',
  'ERR_NOT_READY',
  'ERR_NO_SERVICE',
  'ERR_QUEUE_FULL',
  'ERR_REQUEST_EXPIRED',
  'ERR_REQUEST_TIMEOUT',
  'ERR_SERVER_CLOSING',
  'ERR_STATE_FULL',
  'ERR_STORAGE_FAILED',
  'ERR_STORAGE_FULL',
  'ERR_STORAGE_IN_USE',
  'ERR_WORKER_LOST',
  'ERR_WRITE_TIMEOUT',
]);

/** Base of all errors thrown or rejected by this library. */
export class UnsinkableError extends Error {
  /** Stable, for programs. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }

  /** True if the same call may succeed later; false if something has to change first. */
  get retriable(): boolean {
    return RETRIABLE.has(this.code);
  }
}

/** The call itself is wrong: an unknown option, a body that is not bytes or text, a bad endpoint. */
export class InvalidArgumentError extends UnsinkableError {}

/** `bind` failed. `ERR_ADDRESS_IN_USE`: another socket, here or in another process, has it. */
export class BindError extends UnsinkableError {
  declare readonly code: 'ERR_ADDRESS_IN_USE' | 'ERR_BIND_FAILED';
  readonly endpoint: string;

  constructor(code: BindError['code'], endpoint: string, message: string) {
    super(code, message);
    this.endpoint = endpoint;
  }
}

/** Nobody answered `ready()` in time. */
export class NotReadyError extends UnsinkableError {
  readonly endpoints: readonly string[];

  /**
   * @param timeout milliseconds that were waited
   * @param who should have answered, and in what protocol
   * @param otherwise what to say if somebody did, and that was not enough
   */
  constructor(
    endpoints: readonly string[],
    timeout: number,
    who: readonly [role: string, protocol: string] = ['broker', 'MDP'],
    otherwise?: string,
  ) {
    const [role, protocol] = who;
    const silence =
      endpoints.length === 0
        ? 'not connected: call connect(endpoint) before ready()'
        : `no ${role} answers at ${endpoints.join(', ')} within ${timeout} ms: is one bound there, and does it speak ${protocol}?`;
    super('ERR_NOT_READY', otherwise ?? silence);
    this.endpoints = endpoints;
  }
}

/** The object was closed before or during the call. */
export class ClosedError extends UnsinkableError {
  constructor(what: string) {
    super('ERR_CLOSED', `${what} is closed: create a new one`);
  }
}

/** A request ended without a reply. */
export class RequestError extends UnsinkableError {
  declare readonly code: RequestErrorCode;
  /** The service that was asked; empty in a pattern without services. */
  readonly service: string;
  /** Milliseconds after which another try may succeed, where the broker said so. */
  readonly retryAfter: number | undefined;
  /**
   * Workers that were given the request, where that is known: after 0 surely nobody has begun it.
   */
  readonly attempts: number | undefined;

  constructor(
    code: RequestErrorCode,
    service: string,
    message: string,
    options?: ErrorOptions & Pick<Failure, 'retryAfter' | 'attempts'>,
  ) {
    super(code, message, options);
    this.service = service;
    this.retryAfter = options?.retryAfter;
    this.attempts = options?.attempts;
    // What `fetch` and the web platform call it, so that generic abort handling recognises it.
    if (code === 'ERR_CANCELLED') this.name = 'AbortError';
  }
}

/** A storage could not be opened, or did not take a batch. Nothing of that batch is promised. */
export class StorageError extends UnsinkableError {
  declare readonly code: StorageErrorCode;
}

/** A Titanic did not do what it was asked, or the request it was asked about has failed for good. */
export class TitanicError extends UnsinkableError {
  declare readonly code: TitanicErrorCode;
  /** The request it is about; empty if there is none. */
  readonly id: string;

  constructor(code: TitanicErrorCode, id: string, message: string, options?: ErrorOptions) {
    super(code, message, options);
    this.id = id;
  }
}

/** A write to replicated state was not done, or nobody knows whether it was. */
export class CloneError extends UnsinkableError {
  declare readonly code: CloneErrorCode;
  /** The key, or of `clear` the subtree, that it was about. */
  readonly key: string;
  /** Of `ERR_CONFLICT`: the revision that the key has; 0: there is no such key. */
  readonly revision: number | undefined;
  /** Milliseconds after which another try may succeed, where the server said so. */
  readonly retryAfter: number | undefined;
  /** False: it was not done, and will not be. True: nobody answered; read the key again to know. */
  readonly maybeDone: boolean;

  constructor(
    code: CloneErrorCode,
    key: string,
    message: string,
    options?: ErrorOptions & {
      readonly revision?: number | undefined;
      readonly retryAfter?: number | undefined;
      readonly maybeDone?: boolean | undefined;
    },
  ) {
    super(code, message, options);
    this.key = key;
    this.revision = options?.revision;
    this.retryAfter = options?.retryAfter;
    this.maybeDone = options?.maybeDone ?? false;
    if (code === 'ERR_CANCELLED') this.name = 'AbortError';
  }
}
