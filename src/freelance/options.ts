/** Options of Freelance clients and servers: what they mean, their defaults, and where those come from. */
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
import { count, milliseconds, oneOf, such, type Rules } from '../core/options.ts';

export interface FreelanceServerOptions extends CommonOptions {
  /**
   * What clients call this server: the endpoint that they connect to, where that is not the one it binds
   * to (another host name, a forwarded port). Default: the endpoint it binds to. 10/FLP names a server so,
   * and clients of other implementations rely on it; ours do not.
   */
  readonly publicEndpoint?: string | undefined;
  /** Requests handled at a time; the others wait. Default 100. */
  readonly concurrency?: number | undefined;
  /** Requests that wait. More are refused with `ERR_QUEUE_FULL`. Default 10,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of the bodies of these requests. Default 256 MiB. */
  readonly queueBytes?: number | undefined;
}

/**
 * `first`: the first live server, in the order they were connected; the others are for when it is lost.
 * `fastest`: the live server that has answered fastest of late. `all`: every live server gets the request,
 * and the first answer wins.
 */
export type FreelanceStrategy = 'first' | 'fastest' | 'all';

export interface FreelanceClientOptions extends HeartbeatOptions, CommonOptions {
  /** Which of the live servers is asked. Default `first`. */
  readonly strategy?: FreelanceStrategy | undefined;
  /** Milliseconds for a whole request, whatever happens to servers: its one deadline. Default 30,000. */
  readonly timeout?: number | undefined;
  /**
   * Milliseconds without an answer after which a live server is given up for this request and the next one
   * is asked. Default: `timeout` shared out evenly over `retries` + 1 tries.
   */
  readonly attemptTimeout?: number | undefined;
  /** How often a request is sent again, for whatever reason. Default 3. */
  readonly retries?: number | undefined;
  /**
   * Sends a second copy to the next server when an answer takes longer than 95 of the last 100 took. The
   * handler runs twice then: for requests that may. Default false.
   */
  readonly hedge?: boolean | undefined;
  /**
   * Further copies (hedges, and tries after a server was too slow or refused) for each request, in the long
   * run: 0.1 is one for ten requests. What a lost server had in its hands is not counted. Default 0.1.
   */
  readonly retryBudget?: number | undefined;
  /** How many of these may come at once when none came for a while. With 0 there are none at all. Default 10. */
  readonly retryBurst?: number | undefined;
  /** Milliseconds before a lost server is connected again; doubles up to `reconnectLimit`, with jitter. Default 100. */
  readonly reconnectInterval?: number | undefined;
  /** Milliseconds that no reconnect waits longer than. Default 5,000. */
  readonly reconnectLimit?: number | undefined;
  /** Requests sent and not answered. More wait. Default 10,000. */
  readonly inFlightLimit?: number | undefined;
  /** Requests that wait, for a live server or for room. More are refused with `ERR_QUEUE_FULL`. Default 10,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of the bodies of these requests. One larger request waits alone. Default 64 MiB. */
  readonly queueBytes?: number | undefined;
}

/** What one request may set for itself. */
export interface FreelanceRequestOptions {
  /** Which of the live servers is asked. Default: the client's. */
  readonly strategy?: FreelanceStrategy | undefined;
  /** Milliseconds for this request, whatever happens to servers. Default: the client's. */
  readonly timeout?: number | undefined;
  /** Milliseconds for one try. Default: the client's. */
  readonly attemptTimeout?: number | undefined;
  /** How often it is sent again. Default: the client's. */
  readonly retries?: number | undefined;
  /** Whether a second copy is sent when the answer is late. Default: the client's. */
  readonly hedge?: boolean | undefined;
  /** Aborting it cancels the request. */
  readonly signal?: AbortSignal | undefined;
}

/** All of them. */
export const STRATEGIES: readonly FreelanceStrategy[] = ['first', 'fastest', 'all'];

const isBoolean = (value: unknown): boolean => typeof value === 'boolean';

export const serverRules = {
  ...commonRules,
  publicEndpoint: such<string | undefined>(
    undefined,
    'the endpoint that clients connect to, at most 255 bytes',
    (value) => typeof value === 'string' && value.length > 0 && Buffer.byteLength(value) <= 255,
  ),
  concurrency: count(100),
  queueLimit: count(10_000),
  queueBytes: count(256 * MiB),
} satisfies Rules<FreelanceServerOptions>;

export const clientRules = {
  ...heartbeatRules,
  ...commonRules,
  strategy: oneOf<FreelanceStrategy>('first', STRATEGIES),
  timeout: milliseconds(30_000, 1, true),
  attemptTimeout: optionalMilliseconds,
  retries: count(3, 0),
  hedge: such(false, 'true or false', isBoolean),
  retryBudget: such(
    0.1,
    'a number from 0 to 10',
    (value) => typeof value === 'number' && value >= 0 && value <= 10,
  ),
  retryBurst: count(10, 0),
  reconnectInterval: milliseconds(100),
  reconnectLimit: milliseconds(5000),
  inFlightLimit: count(10_000),
  queueLimit: count(10_000),
  queueBytes: count(64 * MiB),
} satisfies Rules<FreelanceClientOptions>;

/** Left out, all of them are the client's or none: there is nothing to complete. */
export const requestRules = {
  strategy: such<FreelanceStrategy | undefined>(undefined, clientRules.strategy.expected, (value) =>
    clientRules.strategy.accepts(value),
  ),
  timeout: optionalTimeout,
  attemptTimeout: optionalMilliseconds,
  retries: optionalCount,
  hedge: such<boolean | undefined>(undefined, 'true or false', isBoolean),
  signal: optionalSignal,
} satisfies Rules<FreelanceRequestOptions>;
