/** Options of the Majordomo classes: what they mean, their defaults, and where those come from. */
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
import type { Election } from '../core/election.ts';
import { count, milliseconds, oneOf, such, type Rules } from '../core/options.ts';
import { CODEC_NAMES, type CodecName } from '../core/body-codec.ts';
import type { Dialect } from './wire/commands.ts';
import type { Headers } from './wire/headers.ts';
import { isName } from './wire/service-name.ts';

export type { CommonOptions, HeartbeatOptions } from '../core/common-options.ts';

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
  /** Clients of express with a session at a time. More are told to disconnect. Default 65,536. */
  readonly clientLimit?: number | undefined;
  /** Bytes of partial replies collected for a client that wants a whole one. Default 16 MiB. */
  readonly replyBufferBytes?: number | undefined;
  /** Milliseconds of waiting that one step of a request's priority is worth. Default 1,000. */
  readonly priorityAgeing?: number | undefined;
  /** Milliseconds for which a reply is kept under its idempotency key. Default 300,000. */
  readonly idempotencyTtl?: number | undefined;
  /** Bytes of all kept replies, oldest first out. Default 64 MiB. */
  readonly idempotencyBytes?: number | undefined;
  /**
   * The service that gets dead letters as requests, with the headers `service` and `attempts`.
   * Default '': none, only the event `deadLetter`.
   */
  readonly deadLetterService?: string | undefined;
  /**
   * Milliseconds an express client may be away after its link broke before its requests are cancelled.
   * Its socket reconnects within 10 ms on a fast network. Default 100.
   */
  readonly clientGrace?: number | undefined;
  /**
   * Milliseconds between the notice that a link broke and what follows from it: a TCP reset of a
   * living peer gives the same notice as its death. Default 30.
   */
  readonly noticeGrace?: number | undefined;
  /**
   * Who decides whether this broker serves, if it is one of several: a `BinaryStar`, or another `Election`.
   * It stays yours: close it after the broker. Default: none, this broker serves.
   */
  readonly failover?: Election | undefined;
}

/** `auto` speaks express with a broker of ours, 0.2 with others, and 0.1 if they do not answer to it. */
export type WorkerProtocol = 'auto' | Dialect;

export interface WorkerOptions extends HeartbeatOptions, CommonOptions {
  /** Default `auto`: express, or what a broker that is not ours answers to. */
  readonly protocol?: WorkerProtocol | undefined;
  /**
   * Requests handled at a time. Over stock MDP, which has no credit, each has a session of its own, and
   * there are `lanes` of them at most. Default 1.
   */
  readonly concurrency?: number | undefined;
  /**
   * In stock MDP: sessions at most, each with a socket, of which a process has 1,023; `concurrency` cannot
   * be more there. Default 32, at most 256.
   */
  readonly lanes?: number | undefined;
  /** How the values of requests and replies are written. The client's has to be the same. Default `bytes`. */
  readonly codec?: CodecName | undefined;
  /**
   * Whether a thread beside this one tells a broker of express that the process lives while a handler
   * blocks the event loop. One thread serves all workers of a process. Default true.
   */
  readonly beacon?: boolean | undefined;
  /** Milliseconds before the first reconnect; doubles up to `reconnectLimit`, with jitter. Default 100. */
  readonly reconnectInterval?: number | undefined;
  /** Milliseconds that no reconnect waits longer than. Default 5,000. */
  readonly reconnectLimit?: number | undefined;
  /**
   * Bytes of parts of one reply that may wait: over express for a slow reader, over 0.1, which has no
   * partials, for the end of the reply. Default 16 MiB.
   */
  readonly replyBufferBytes?: number | undefined;
}

/** `auto` asks the broker whether it speaks express, and speaks stock MDP if it does not. */
export type ClientProtocol = 'auto' | Dialect;

export interface ClientOptions extends HeartbeatOptions, CommonOptions {
  /** Default `auto`: express, and with a broker that does not speak it 0.2 for `stream`, 0.1 otherwise. */
  readonly protocol?: ClientProtocol | undefined;
  /** Milliseconds for a whole request, with all its retries. Default 30,000. */
  readonly timeout?: number | undefined;
  /**
   * Milliseconds for one try: a handler that takes longer is run again. Default: in express none, as
   * heartbeats find what is lost; in stock MDP `timeout` shared out evenly over `retries` + 1 tries.
   */
  readonly attemptTimeout?: number | undefined;
  /** How often a request that was lost is tried again. Default 3. */
  readonly retries?: number | undefined;
  /** Milliseconds before the first retry; doubles up to `backoffLimit`, with jitter. Default 50. */
  readonly backoff?: number | undefined;
  /** Milliseconds that no retry waits longer than. Default 2,000. */
  readonly backoffLimit?: number | undefined;
  /**
   * Milliseconds that a try may still take after its link broke, where the platform tells: a broker that
   * died lost the request, one that lives may still reply. With two brokers that are a pair, over express,
   * it is 100 at most. Default 1,000.
   */
  readonly noticeGrace?: number | undefined;
  /** In express: requests in flight. Default 10,000. */
  readonly inFlightLimit?: number | undefined;
  /** In stock MDP: the same, each on a socket of its own, as there are no ids. Default 32, at most 256. */
  readonly lanes?: number | undefined;
  /** Requests that wait to be sent. More are refused with `ERR_QUEUE_FULL`. Default 10,000. */
  readonly queueLimit?: number | undefined;
  /** Bytes of the bodies of these requests. One larger request waits alone. Default 64 MiB. */
  readonly queueBytes?: number | undefined;
  /** Bytes of partials that a slow reader of `stream` may leave unread. Default 16 MiB. */
  readonly streamBufferBytes?: number | undefined;
  /**
   * In express: bytes of partials that may be under way to a reader of `stream`. What is beyond waits in
   * the worker. Default 256 KiB.
   */
  readonly streamWindow?: number | undefined;
  /** How the values of these services are written. Default: none, bodies are text or bytes. */
  readonly codecs?: Readonly<Record<string, CodecName>> | undefined;
}

/** What one request may set for itself. */
export interface RequestOptions {
  /** Milliseconds for this request, with all its retries. Default: the client's. */
  readonly timeout?: number | undefined;
  /** Milliseconds for one try. Default: the client's. */
  readonly attemptTimeout?: number | undefined;
  /** How often it is tried again if it was lost. Default: the client's. */
  readonly retries?: number | undefined;
  /** Aborting it cancels the request. */
  readonly signal?: AbortSignal | undefined;
  /** How the body is written, and the reply read. Default: what `codecs` says of the service. */
  readonly codec?: CodecName | undefined;
  /**
   * Needs express. Requests of one key, 1 to 255 bytes of text, run once within the service: while the
   * broker remembers it, another one gets the same reply.
   */
  readonly idempotencyKey?: string | undefined;
  /** 0 to 9, higher goes first; waiting makes up for it. Ignored in stock MDP. Default 0. */
  readonly priority?: number | undefined;
  /** Metadata for the handler, at most 64 KiB. Not carried in stock MDP. */
  readonly headers?: Headers | undefined;
  /**
   * Milliseconds that it may live in the broker, queued and running. Shorter than `timeout`, it lets the
   * broker have the last word, whose `attempts` says whether a worker was given the request. Ignored in
   * stock MDP. Default: `timeout`.
   */
  readonly requestTtl?: number | undefined;
  /** Needs express. Fails at once with `ERR_NO_SERVICE` if no worker is there. Default false. */
  readonly failFast?: boolean | undefined;
}

/** What `broadcast` may be told: it has one execution for each worker, so no idempotency key. */
export type BroadcastOptions = Omit<RequestOptions, 'idempotencyKey'>;

/** What `map` may be told, for each request and beside. One idempotency key cannot be for them all. */
export interface MapOptions extends Omit<RequestOptions, 'idempotencyKey'> {
  /** Requests under way, and results not yet taken, at a time. Default 16. */
  readonly concurrency?: number | undefined;
  /** Results in the order of the inputs; otherwise as they come. Default true. */
  readonly ordered?: boolean | undefined;
  /**
   * `throw`: the first request that fails ends the map. `yield`: its `RequestError` is its result, and
   * the others go on. Default `throw`.
   */
  readonly failures?: 'throw' | 'yield' | undefined;
}

/** Sockets of one object, where each request or session in stock MDP has its own. */
const laneCount = such(
  32,
  'a whole number from 1 to 256',
  (value) => count(1).accepts(value) && Number(value) <= 256,
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
  clientLimit: count(65_536),
  replyBufferBytes: count(16 * MiB),
  priorityAgeing: milliseconds(1000),
  idempotencyTtl: milliseconds(300_000, 1, true),
  idempotencyBytes: count(64 * MiB, 0),
  deadLetterService: such(
    '',
    'the name of a service, at most 255 bytes, or an empty text',
    (value) => typeof value === 'string' && Buffer.byteLength(value) <= 255,
  ),
  clientGrace: milliseconds(100, 0),
  noticeGrace: milliseconds(30, 0),
  failover: such<Election | undefined>(
    undefined,
    'an Election, such as a BinaryStar: an object with epochAt(), seen(), asked(), subscribe() and stand()',
    isElection,
  ),
} satisfies Rules<BrokerOptions>;

export const workerRules = {
  ...heartbeatRules,
  ...commonRules,
  protocol: oneOf<WorkerProtocol>('auto', ['auto', 'mdp0.1', 'mdp0.2', 'express']),
  concurrency: count(1),
  lanes: laneCount,
  codec: oneOf<CodecName>('bytes', CODEC_NAMES),
  beacon: such(true, 'true or false', (value) => typeof value === 'boolean'),
  reconnectInterval: milliseconds(100),
  reconnectLimit: milliseconds(5000),
  replyBufferBytes: count(16 * MiB),
} satisfies Rules<WorkerOptions>;

export const clientRules = {
  ...heartbeatRules,
  ...commonRules,
  protocol: oneOf<ClientProtocol>('auto', ['auto', 'express', 'mdp0.1', 'mdp0.2']),
  timeout: milliseconds(30_000, 1, true),
  attemptTimeout: optionalMilliseconds,
  retries: count(3, 0),
  backoff: milliseconds(50),
  backoffLimit: milliseconds(2000),
  noticeGrace: milliseconds(1000, 0),
  inFlightLimit: such(
    10_000,
    'a whole number from 1 to 65,536',
    (value) => count(1).accepts(value) && Number(value) <= 65_536,
  ),
  lanes: laneCount,
  queueLimit: count(10_000),
  queueBytes: count(64 * MiB),
  streamBufferBytes: count(16 * MiB),
  streamWindow: count(256 * 1024),
  codecs: such<Readonly<Record<string, CodecName>>>(
    {},
    `an object from services to ${CODEC_NAMES.map((name) => `'${name}'`).join(', ')}`,
    (value) => isRecord(value) && Object.values(value).every((name) => isCodecName(name)),
  ),
} satisfies Rules<ClientOptions>;

/** Left out, all of them are the client's or none: there is nothing to complete. */
export const requestRules = {
  timeout: optionalTimeout,
  attemptTimeout: optionalMilliseconds,
  retries: optionalCount,
  signal: optionalSignal,
  codec: such<CodecName | undefined>(
    undefined,
    `one of ${CODEC_NAMES.map((name) => `'${name}'`).join(', ')}`,
    isCodecName,
  ),
  idempotencyKey: such<string | undefined>(undefined, 'text of 1 to 255 bytes', isName),
  priority: such<number | undefined>(
    undefined,
    'a whole number from 0 to 9',
    (value) => count(0, 0).accepts(value) && Number(value) <= 9,
  ),
  headers: such<Headers | undefined>(
    undefined,
    'an object of texts',
    (value) => isRecord(value) && Object.values(value).every((text) => typeof text === 'string'),
  ),
  requestTtl: optionalMilliseconds,
  failFast: such<boolean | undefined>(
    undefined,
    'true or false',
    (value) => typeof value === 'boolean',
  ),
} satisfies Rules<RequestOptions>;

const { idempotencyKey: _ofOneRequest, ...requestRulesWithoutKey } = requestRules;

export const broadcastRules = requestRulesWithoutKey satisfies Rules<BroadcastOptions>;

export const mapRules = {
  ...requestRulesWithoutKey,
  concurrency: count(16),
  ordered: such(true, 'true or false', (value) => typeof value === 'boolean'),
  failures: oneOf<'throw' | 'yield'>('throw', ['throw', 'yield']),
} satisfies Rules<MapOptions>;

function isElection(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const methods = value as Record<string, unknown>;
  const needed = ['epochAt', 'seen', 'asked', 'subscribe', 'stand'];
  return needed.every((name) => typeof methods[name] === 'function');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCodecName(value: unknown): value is CodecName {
  return (CODEC_NAMES as readonly unknown[]).includes(value);
}
