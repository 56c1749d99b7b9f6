/** Options of the Majordomo classes: what they mean, their defaults, and where those come from. */
import { count, milliseconds, oneOf, such, type Rule, type Rules } from '../core/options.ts';
import type { Logger } from '../core/logger.ts';
import type { Dialect } from './commands.ts';

/** Heartbeats: both sides of a link should agree on them, as neither RFC negotiates. */
export interface HeartbeatOptions {
  /** Milliseconds between two heartbeats. Default 1,000. */
  readonly heartbeatInterval?: number | undefined;
  /** Intervals of silence after which a peer counts as lost. Default 3 (7/MDP suggests 3 to 5). */
  readonly heartbeatLiveness?: number | undefined;
}

/** What broker, worker and client have in common. */
export interface CommonOptions {
  /** Bound of each peer's outgoing queue in bytes. One larger message still passes. Default 64 MiB. */
  readonly peerQueueBytes?: number | undefined;
  /** How long `close()` waits for what is in flight, in milliseconds. Default 5,000. */
  readonly drainTimeout?: number | undefined;
  /** Receives what happens, in pino's shape. Default: silence. */
  readonly logger?: Logger | undefined;
}

export interface BrokerOptions extends HeartbeatOptions, CommonOptions {
  /** Workers that one request may cost before it is a dead letter. Default 3. */
  readonly maxAttempts?: number | undefined;
  /**
   * Milliseconds a worker may hold a request without a word about it before the attempt counts as
   * lost; a partial reply starts it anew. It finds requests and replies lost on a link that still
   * beats, which stock MDP cannot detect otherwise. Set it above your longest handler. Default 60,000.
   */
  readonly attemptTimeout?: number | undefined;
  /** Milliseconds a request may live in the broker, queued and running. Default 300,000. */
  readonly requestTtl?: number | undefined;
  /** Requests waiting for a worker, over all services. More are refused. Default 10,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of the bodies of these requests. Default 256 MiB. */
  readonly queueBytes?: number | undefined;
  /** Workers registered at a time. More are told to disconnect. Default 16,384. */
  readonly workerLimit?: number | undefined;
  /** Bytes of partial replies collected for a client of 0.1, which has no partials. Default 16 MiB. */
  readonly replyBufferBytes?: number | undefined;
  /**
   * Milliseconds between the notice that a link broke and what follows from it: a TCP reset of a
   * living peer gives the same notice as its death. Default 30.
   */
  readonly noticeGrace?: number | undefined;
}

/** `auto` tries 0.2 and falls back to 0.1 for a broker that does not answer to it. */
export type WorkerProtocol = 'auto' | Dialect;

export interface WorkerOptions extends HeartbeatOptions, CommonOptions {
  /** Default `auto`: 0.2, and 0.1 with a broker that does not answer to it. */
  readonly protocol?: WorkerProtocol | undefined;
  /** Requests handled at a time, each over a session of its own: stock MDP has no credit. Default 1. */
  readonly concurrency?: number | undefined;
  /** Milliseconds before the first reconnect; doubles up to `reconnectLimit`, with jitter. Default 100. */
  readonly reconnectInterval?: number | undefined;
  /** Milliseconds that no reconnect waits longer than. Default 5,000. */
  readonly reconnectLimit?: number | undefined;
  /** Bytes of partials kept for the one reply of a 0.1 session, which has no partials. Default 16 MiB. */
  readonly replyBufferBytes?: number | undefined;
}

/** `auto` asks in the dialect a call needs: 0.2 for `stream`, 0.1 otherwise. */
export type ClientProtocol = 'auto' | Dialect;

export interface ClientOptions extends CommonOptions {
  /** Default `auto`: 0.2 for `stream`, 0.1 otherwise. */
  readonly protocol?: ClientProtocol | undefined;
  /** Milliseconds for a whole request, with all its retries. Default 30,000. */
  readonly timeout?: number | undefined;
  /**
   * Milliseconds for one try: a handler that takes longer is run again. Default: `timeout` shared out
   * evenly over `retries` + 1 tries.
   */
  readonly attemptTimeout?: number | undefined;
  /** How often a request is tried again on a new socket. Default 3. */
  readonly retries?: number | undefined;
  /** Milliseconds before the first retry; doubles up to `backoffLimit`, with jitter. Default 50. */
  readonly backoff?: number | undefined;
  /** Milliseconds that no retry waits longer than. Default 2,000. */
  readonly backoffLimit?: number | undefined;
  /**
   * Milliseconds that a try may still take after its link broke, where the platform tells: a broker that
   * died lost the request, one that lives may still reply. Default 1,000.
   */
  readonly noticeGrace?: number | undefined;
  /** Requests in flight, each on a socket of its own: stock MDP has no ids. Default 32, at most 256. */
  readonly lanes?: number | undefined;
  /** Requests that wait for a lane. More are refused with `ERR_QUEUE_FULL`. Default 10,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of the bodies of these requests. Default 64 MiB. */
  readonly queueBytes?: number | undefined;
  /** Bytes of partials that a slow reader of `stream` may leave unread. Default 16 MiB. */
  readonly streamBufferBytes?: number | undefined;
}

/** What one request may set for itself. */
export interface RequestOptions {
  /** Milliseconds for this request, with all its retries. Default: the client's. */
  readonly timeout?: number | undefined;
  /** Milliseconds for one try. Default: the client's. */
  readonly attemptTimeout?: number | undefined;
  /** How often it is tried again on a new socket. Default: the client's. */
  readonly retries?: number | undefined;
  /** Aborting it cancels the request. */
  readonly signal?: AbortSignal | undefined;
}

const MiB = 1024 * 1024;

const heartbeatRules = {
  heartbeatInterval: milliseconds(1000),
  heartbeatLiveness: count(3, 2),
};

const commonRules = {
  peerQueueBytes: count(64 * MiB, 1024),
  drainTimeout: milliseconds(5000, 0),
  logger: such<Logger | undefined>(undefined, "a logger with pino's methods", isLogger),
};

const optionalMilliseconds: Rule<number | undefined> = such<number | undefined>(
  undefined,
  'milliseconds, 1 or more',
  (value) => milliseconds(1).accepts(value),
);

export const brokerRules = {
  ...heartbeatRules,
  ...commonRules,
  maxAttempts: count(3),
  attemptTimeout: milliseconds(60_000, 1, true),
  requestTtl: milliseconds(300_000, 1, true),
  queueLimit: count(10_000),
  queueBytes: count(256 * MiB),
  workerLimit: count(16_384),
  replyBufferBytes: count(16 * MiB),
  noticeGrace: milliseconds(30, 0),
} satisfies Rules<BrokerOptions>;

export const workerRules = {
  ...heartbeatRules,
  ...commonRules,
  protocol: oneOf<WorkerProtocol>('auto', ['auto', 'mdp0.1', 'mdp0.2']),
  concurrency: count(1),
  reconnectInterval: milliseconds(100),
  reconnectLimit: milliseconds(5000),
  replyBufferBytes: count(16 * MiB),
} satisfies Rules<WorkerOptions>;

export const clientRules = {
  ...commonRules,
  protocol: oneOf<ClientProtocol>('auto', ['auto', 'mdp0.1', 'mdp0.2']),
  timeout: milliseconds(30_000, 1, true),
  attemptTimeout: optionalMilliseconds,
  retries: count(3, 0),
  backoff: milliseconds(50),
  backoffLimit: milliseconds(2000),
  noticeGrace: milliseconds(1000, 0),
  lanes: such(
    32,
    'a whole number from 1 to 256',
    (value) => count(1).accepts(value) && Number(value) <= 256,
  ),
  queueLimit: count(10_000),
  queueBytes: count(64 * MiB),
  streamBufferBytes: count(16 * MiB),
} satisfies Rules<ClientOptions>;

export const requestRules = {
  timeout: such<number | undefined>(undefined, 'milliseconds, 1 or more, or Infinity', (value) =>
    milliseconds(1, 1, true).accepts(value),
  ),
  attemptTimeout: optionalMilliseconds,
  retries: such<number | undefined>(undefined, 'a whole number, 0 or more', (value) =>
    count(0, 0).accepts(value),
  ),
  signal: such<AbortSignal | undefined>(
    undefined,
    'an AbortSignal',
    (value) => value instanceof AbortSignal,
  ),
} satisfies Rules<RequestOptions>;

function isLogger(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const methods = value as Record<string, unknown>;
  return ['debug', 'info', 'warn', 'error'].every((name) => typeof methods[name] === 'function');
}
