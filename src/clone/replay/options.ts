/** Options of publishers and subscribers: what they mean, their defaults, and their checks. */
import {
  commonRules,
  heartbeatRules,
  MiB,
  type CommonOptions,
  type HeartbeatOptions,
} from '../../core/common-options.ts';
import { count, milliseconds, oneOf, such, type Rules } from '../../core/options.ts';
import type { Position, Sequence } from '../commands.ts';
import type { ReplayLayout } from './kv-codec.ts';

/**
 * `stream`: ours, one ordered, packed, credit-controlled link for each subscriber. `kv-events`: the format
 * of the LLM servers' key-value cache events, PUB and a ROUTER for what was missed.
 */
export type ReplayProtocol = 'stream' | 'kv-events';

export interface ReplayPublisherOptions extends HeartbeatOptions, CommonOptions {
  /** Default `stream`. */
  readonly protocol?: ReplayProtocol | undefined;
  /** Messages kept for those who missed some. Default 100,000. */
  readonly historyLimit?: number | undefined;
  /** Bytes of these. The newest is kept whatever its size. Default 64 MiB. */
  readonly historyBytes?: number | undefined;
  /**
   * A directory for the history, so that it survives the process. Messages are then sent once they are
   * durable. Default: it is kept in memory alone.
   */
  readonly store?: string | undefined;
  /** Messages that wait for the store. More are refused with `ERR_QUEUE_FULL`. Default 10,000. */
  readonly pendingLimit?: number | undefined;
  /** Bytes of these. Default 64 MiB. */
  readonly pendingBytes?: number | undefined;
  /** Subscribers that follow, or are answered, at a time. More have to wait. Default 10,000. */
  readonly followerLimit?: number | undefined;
  /**
   * Of `kv-events`: how answers look. `topic` as newer vLLM writes them, `plain` as SGLang and older vLLM do;
   * a plain publisher has one topic only. Default `topic`.
   */
  readonly replayLayout?: ReplayLayout | undefined;
  /**
   * Of `kv-events`: messages that may wait inside ZeroMQ for one subscriber; what is more it does not get,
   * and has to ask for. Default 10,000.
   */
  readonly highWaterMark?: number | undefined;
}

/** The newest on, the oldest there is, a number to begin with, or a `position` to go on after. */
export type ReplayStart = 'newest' | 'oldest' | Sequence | Position;

export interface ReplaySubscriberOptions extends HeartbeatOptions, CommonOptions {
  /** Default `stream`. */
  readonly protocol?: ReplayProtocol | undefined;
  /** Which topics: those that begin with one of these. Default all. */
  readonly topics?: readonly string[] | undefined;
  /** Where to begin. Default `newest`. */
  readonly from?: ReplayStart | undefined;
  /** Bytes that may have come and not been taken yet, with 64 for each message. Default 4 MiB. */
  readonly window?: number | undefined;
  /** Milliseconds before it connects, or asks, again; doubles up to `reconnectLimit`, with jitter. Default 100. */
  readonly reconnectInterval?: number | undefined;
  /** Milliseconds that no such wait is longer than. Default 5,000. */
  readonly reconnectLimit?: number | undefined;
  /** Of `kv-events`: milliseconds without an answer until it is asked again. Default 5,000. */
  readonly replayTimeout?: number | undefined;
  /** Of `kv-events`: how often in a row that may happen until what is missing counts as lost. Default 10. */
  readonly replayRetries?: number | undefined;
  /**
   * Of `kv-events`: milliseconds of silence after which it is asked whether something was missed, as nothing
   * in the format says so. `Infinity` for never. Default 5,000.
   */
  readonly pollInterval?: number | undefined;
}

/** Bytes of a topic in UTF-8, at most. */
export const TOPIC_LIMIT = 255;

/** True for a text of at most 255 bytes that has a form in UTF-8. */
export function isTopic(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    !/\p{Cs}/u.test(value) &&
    (value.length * 3 <= TOPIC_LIMIT || Buffer.byteLength(value) <= TOPIC_LIMIT)
  );
}

function isStart(value: unknown): boolean {
  if (value === 'newest' || value === 'oldest' || isSequence(value)) return true;
  if (typeof value !== 'object' || value === null) return false;
  if (!('epoch' in value) || !('sequence' in value)) return false;
  return isSequence(value.epoch) && (value.sequence === -1 || isSequence(value.sequence));
}

function isSequence(value: unknown): boolean {
  return count(0, 0).accepts(value);
}

const PROTOCOLS: readonly ReplayProtocol[] = ['stream', 'kv-events'];

export const publisherRules = {
  ...heartbeatRules,
  ...commonRules,
  protocol: oneOf<ReplayProtocol>('stream', PROTOCOLS),
  historyLimit: count(100_000),
  historyBytes: count(64 * MiB),
  store: such<string | undefined>(
    undefined,
    'a directory',
    (value) => typeof value === 'string' && value !== '',
  ),
  pendingLimit: count(10_000),
  pendingBytes: count(64 * MiB),
  followerLimit: count(10_000),
  replayLayout: oneOf<ReplayLayout>('topic', ['topic', 'plain']),
  highWaterMark: count(10_000),
} satisfies Rules<ReplayPublisherOptions>;

export const subscriberRules = {
  ...heartbeatRules,
  ...commonRules,
  protocol: oneOf<ReplayProtocol>('stream', PROTOCOLS),
  topics: such<readonly string[]>(
    [''],
    'an array of one to 64 beginnings of topics, each a text of at most 255 bytes',
    (value) =>
      Array.isArray(value) && value.length > 0 && value.length <= 64 && value.every(isTopic),
  ),
  from: such<ReplayStart>(
    'newest',
    "'newest', 'oldest', a sequence, or a position of a subscriber",
    isStart,
  ),
  window: count(4 * MiB, 1024),
  reconnectInterval: milliseconds(100),
  reconnectLimit: milliseconds(5000),
  replayTimeout: milliseconds(5000),
  replayRetries: count(10),
  pollInterval: milliseconds(5000, 1, true),
} satisfies Rules<ReplaySubscriberOptions>;
