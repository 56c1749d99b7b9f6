/** Options of Clone servers and clients: what they mean, their defaults, and where those come from. */
import {
  commonRules,
  heartbeatRules,
  MiB,
  type CommonOptions,
  type HeartbeatOptions,
} from '../core/common-options.ts';
import type { Election } from '../core/election.ts';
import { count, milliseconds, oneOf, such, type Rules } from '../core/options.ts';
import { isSubtree } from './key.ts';

/**
 * When a write is acknowledged by a pair. `sync`: once the other server has it too. `async`: once this one
 * has, which the acknowledgement says. Either way it becomes visible only once both have it.
 */
export type Replication = 'sync' | 'async';

export interface CloneServerOptions extends HeartbeatOptions, CommonOptions {
  /** Whoever decides whether this server serves: a `BinaryStar`, or another election. Default: it always does. */
  readonly failover?: Election | undefined;
  /** Default `sync`. */
  readonly replication?: Replication | undefined;
  /** Updates kept for those who missed some. Default 100,000. */
  readonly historyLimit?: number | undefined;
  /** Bytes of these. Default 64 MiB. */
  readonly historyBytes?: number | undefined;
  /** Keys. More are refused. Default 10,000,000. */
  readonly keyLimit?: number | undefined;
  /** Bytes of keys and values, with 100 for each key. Default 4 GiB. */
  readonly stateBytes?: number | undefined;
  /** Bytes of one value. Default 256 MiB. */
  readonly valueBytes?: number | undefined;
  /** Followers at a time. More are refused. Default 10,000. */
  readonly followerLimit?: number | undefined;
  /** Writers that are remembered, so that what they repeat is not done twice. Default 10,000. */
  readonly writerLimit?: number | undefined;
  /** Milliseconds for which a writer is remembered after it was heard last. Default 600,000. */
  readonly writerTtl?: number | undefined;
  /** Writes that wait for the storage or the other server, of all writers. Default 100,000. */
  readonly pendingLimit?: number | undefined;
  /** Bytes of these. Default 256 MiB. */
  readonly pendingBytes?: number | undefined;
}

export interface CloneClientOptions extends HeartbeatOptions, CommonOptions {
  /** What is followed: everything (`''`), what is under a path (`/a/b/`), or one key. Default everything. */
  readonly subtree?: string | undefined;
  /** Milliseconds for one write, whatever happens to servers. Default 30,000, at most 300,000. */
  readonly timeout?: number | undefined;
  /** Bytes that may be on their way to it. Default 4 MiB. */
  readonly window?: number | undefined;
  /** Writes sent and not answered. More wait. Default 1,000. */
  readonly inFlightLimit?: number | undefined;
  /** Writes that wait. More end with `ERR_QUEUE_FULL`. Default 100,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of these. Default 64 MiB. */
  readonly queueBytes?: number | undefined;
  /**
   * Keys that it takes from a server, of the map and of a snapshot under way each. A server that has more is
   * left, and asked again later. Default 10,000,000, as servers have it.
   */
  readonly keyLimit?: number | undefined;
  /** Bytes of these keys and values, with 100 for each key. Default 4 GiB. */
  readonly stateBytes?: number | undefined;
  /** Milliseconds before it connects again; doubles up to `reconnectLimit`, with jitter. Default 100. */
  readonly reconnectInterval?: number | undefined;
  /** Milliseconds that no reconnect waits longer than. Default 5,000. */
  readonly reconnectLimit?: number | undefined;
}

/** Writers are remembered for longer than any write is repeated, or it might be done twice. */
export const LONGEST_WRITE = 300_000;

function isElection(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const methods = value as Record<string, unknown>;
  return ['epochAt', 'seen', 'asked', 'subscribe', 'stand'].every(
    (name) => typeof methods[name] === 'function',
  );
}

export const serverRules = {
  ...heartbeatRules,
  ...commonRules,
  failover: such<Election | undefined>(undefined, 'an election, such as a BinaryStar', isElection),
  replication: oneOf<Replication>('sync', ['sync', 'async']),
  historyLimit: count(100_000),
  historyBytes: count(64 * MiB),
  keyLimit: count(10_000_000),
  stateBytes: count(4096 * MiB),
  valueBytes: count(256 * MiB),
  followerLimit: count(10_000),
  writerLimit: count(10_000),
  writerTtl: milliseconds(2 * LONGEST_WRITE, LONGEST_WRITE),
  pendingLimit: count(100_000),
  pendingBytes: count(256 * MiB),
} satisfies Rules<CloneServerOptions>;

export const clientRules = {
  ...heartbeatRules,
  ...commonRules,
  subtree: such('', "'' or a path such as '/a/b/' or '/a/b', at most 255 bytes", (value) => {
    return typeof value === 'string' && isSubtree(value);
  }),
  timeout: such(30_000, `milliseconds, 1 to ${LONGEST_WRITE}`, (value) => {
    return milliseconds(1).accepts(value) && Number(value) <= LONGEST_WRITE;
  }),
  window: count(4 * MiB, 1024),
  inFlightLimit: count(1000),
  queueLimit: count(100_000),
  queueBytes: count(64 * MiB),
  keyLimit: count(10_000_000),
  stateBytes: count(4096 * MiB),
  reconnectInterval: milliseconds(100),
  reconnectLimit: milliseconds(5000),
} satisfies Rules<CloneClientOptions>;
