/** Options of the Pirates: what they mean, their defaults, and where those come from. */
import {
  commonRules,
  heartbeatRules,
  MiB,
  optionalCount,
  optionalMilliseconds,
  optionalSignal,
  optionalTimeout,
  type CommonOptions,
  type HeartbeatOptions,
} from '../core/common-options.ts';
import { count, milliseconds, such, type Rules } from '../core/options.ts';

export interface PirateQueueOptions extends CommonOptions {
  /** Workers that one request may cost before it is a dead letter. Default 3. */
  readonly maxAttempts?: number | undefined;
  /**
   * Milliseconds a worker may hold a request before the attempt counts as lost. Neither protocol can tell
   * otherwise that a request or a reply was lost on a link that goes on. Set it above your longest
   * handler. Default 60,000.
   */
  readonly attemptTimeout?: number | undefined;
  /** Milliseconds a request may live in the queue, waiting and running. Default 300,000. */
  readonly requestTtl?: number | undefined;
  /** Requests waiting for a worker. More are refused. Default 10,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of the bodies of these requests. Default 256 MiB. */
  readonly queueBytes?: number | undefined;
  /** Workers registered at a time. The READY of more is not heard. Default 16,384. */
  readonly workerLimit?: number | undefined;
  /**
   * Milliseconds between the notice that the link to a worker or a client broke and what follows from it:
   * a TCP reset of a living peer gives the same notice as its death. Default 30.
   */
  readonly noticeGrace?: number | undefined;
}

export interface ParanoidPirateQueueOptions extends PirateQueueOptions, HeartbeatOptions {}

export interface PirateWorkerOptions extends CommonOptions {
  /** Milliseconds before the first reconnect; doubles up to `reconnectLimit`, with jitter. Default 1,000. */
  readonly reconnectInterval?: number | undefined;
  /** Milliseconds that no reconnect waits longer than. Default 32,000. */
  readonly reconnectLimit?: number | undefined;
}

export interface ParanoidPirateWorkerOptions extends PirateWorkerOptions, HeartbeatOptions {}

export interface LazyPirateClientOptions extends CommonOptions {
  /** Milliseconds for a whole request, with all its retries. Default 30,000. */
  readonly timeout?: number | undefined;
  /** Milliseconds for one try. Default: `timeout` shared out evenly over `retries` + 1 tries. */
  readonly attemptTimeout?: number | undefined;
  /** How often a request without a reply is tried again. Default 3. */
  readonly retries?: number | undefined;
  /** Milliseconds before the first retry; doubles up to `backoffLimit`, with jitter. Default 50. */
  readonly backoff?: number | undefined;
  /** Milliseconds that no retry waits longer than. Default 2,000. */
  readonly backoffLimit?: number | undefined;
  /**
   * Milliseconds that a try may still take after its link broke, where the platform tells: a queue that
   * died lost the request, one that lives may still reply. Default 1,000.
   */
  readonly noticeGrace?: number | undefined;
  /**
   * Whether each request carries a tag that its reply must bring back, so that a server which answers
   * twice cannot have its second reply taken for the next one. REP sockets and all Pirate queues return
   * it; a ROUTER that expects the body right behind an empty frame does not. Default false.
   */
  readonly correlate?: boolean | undefined;
  /** Requests in flight, each on a socket of its own, as there are no ids. Default 32, at most 256. */
  readonly lanes?: number | undefined;
  /** Requests that wait for a lane. More are refused with `ERR_QUEUE_FULL`. Default 10,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of the bodies of these requests. One larger request waits alone. Default 64 MiB. */
  readonly queueBytes?: number | undefined;
}

/** What one request may set for itself. */
export interface PirateRequestOptions {
  /** Milliseconds for this request, with all its retries. Default: the client's. */
  readonly timeout?: number | undefined;
  /** Milliseconds for one try. Default: the client's. */
  readonly attemptTimeout?: number | undefined;
  /** How often it is tried again. Default: the client's. */
  readonly retries?: number | undefined;
  /** Aborting it cancels the request. */
  readonly signal?: AbortSignal | undefined;
}

export const queueRules = {
  ...commonRules,
  maxAttempts: count(3),
  attemptTimeout: milliseconds(60_000, 1, true),
  requestTtl: milliseconds(300_000, 1, true),
  queueLimit: count(10_000),
  queueBytes: count(256 * MiB),
  workerLimit: count(16_384),
  noticeGrace: milliseconds(30, 0),
} satisfies Rules<PirateQueueOptions>;

export const paranoidQueueRules = {
  ...heartbeatRules,
  ...queueRules,
} satisfies Rules<ParanoidPirateQueueOptions>;

export const workerRules = {
  ...commonRules,
  reconnectInterval: milliseconds(1000),
  reconnectLimit: milliseconds(32_000),
} satisfies Rules<PirateWorkerOptions>;

export const paranoidWorkerRules = {
  ...heartbeatRules,
  ...workerRules,
} satisfies Rules<ParanoidPirateWorkerOptions>;

export const clientRules = {
  ...commonRules,
  timeout: milliseconds(30_000, 1, true),
  attemptTimeout: optionalMilliseconds,
  retries: count(3, 0),
  backoff: milliseconds(50),
  backoffLimit: milliseconds(2000),
  noticeGrace: milliseconds(1000, 0),
  correlate: such(false, 'true or false', (value) => typeof value === 'boolean'),
  lanes: such(
    32,
    'a whole number from 1 to 256',
    (value) => count(1).accepts(value) && Number(value) <= 256,
  ),
  queueLimit: count(10_000),
  queueBytes: count(64 * MiB),
} satisfies Rules<LazyPirateClientOptions>;

/** Left out, all of them are the client's or none: there is nothing to complete. */
export const requestRules = {
  timeout: optionalTimeout,
  attemptTimeout: optionalMilliseconds,
  retries: optionalCount,
  signal: optionalSignal,
} satisfies Rules<PirateRequestOptions>;
