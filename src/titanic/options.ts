/** Options of the Titanic and its client: what they mean, their defaults, and where those come from. */
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
import { count, milliseconds, such, type Rule, type Rules } from '../core/options.ts';
import { clientRules, type ClientOptions, type ClientProtocol } from '../majordomo/options.ts';
import { REQUEST_STATES, type RequestState, type SubmitTerms } from './commands.ts';
import { readId } from './fields.ts';

const DAY = 24 * 3600 * 1000;

/** What the machine of a Titanic goes by. */
export interface TitanicRuleOptions {
  /** Requests of one service that run at a time. A slow service delays no other. Default 100. */
  readonly concurrency?: number | undefined;
  /**
   * Milliseconds that one attempt may take, queued at the broker and running. Set it above your longest
   * handler. Default 300,000.
   */
  readonly attemptTimeout?: number | undefined;
  /** How often a request is tried again after an attempt that failed, unless it says itself. Default 3. */
  readonly retries?: number | undefined;
  /** Milliseconds before the second attempt; doubles up to `backoffLimit`, with jitter. Default 1,000. */
  readonly backoff?: number | undefined;
  /** Milliseconds that no attempt waits longer than. Default 60,000. */
  readonly backoffLimit?: number | undefined;
  /**
   * Milliseconds before a service that nobody offered is tried again, with one request at first; doubles
   * up to `absenceLimit`, with jitter. It costs no attempt. Default 100.
   */
  readonly absence?: number | undefined;
  /** Milliseconds that no absent service is left alone longer than. Default 5,000. */
  readonly absenceLimit?: number | undefined;
  /** Requests that are not done yet. More are refused with `500`. Default 1,000,000. */
  readonly pendingLimit?: number | undefined;
  /** Bytes of their bodies. Default 4 GiB. */
  readonly pendingBytes?: number | undefined;
  /** Bytes of one body, of a request or a reply. Default 64 MiB. */
  readonly bodyLimit?: number | undefined;
  /** Fetches that wait for a reply at a time. Beyond it they get `300` at once. Default 10,000. */
  readonly waiterLimit?: number | undefined;
  /** Milliseconds for which replies and dead letters are kept that nobody closes. Default 7 days. */
  readonly retentionAge?: number | undefined;
  /** How many of them are kept, oldest first out. Default 1,000,000. */
  readonly retentionCount?: number | undefined;
  /** Bytes of them. Default 4 GiB. */
  readonly retentionBytes?: number | undefined;
  /**
   * Milliseconds for which a closed id is remembered, so that a late copy of its submit does not bring it
   * back. Default 3,600,000.
   */
  readonly closedAge?: number | undefined;
  /** How many closed ids are remembered, oldest first out. Default 100,000. */
  readonly closedCount?: number | undefined;
}

export const titanicMachineRules = {
  concurrency: count(100),
  attemptTimeout: milliseconds(300_000),
  retries: count(3, 0),
  backoff: milliseconds(1000),
  backoffLimit: milliseconds(60_000),
  absence: milliseconds(100),
  absenceLimit: milliseconds(5000),
  pendingLimit: count(1_000_000),
  pendingBytes: count(4096 * MiB),
  bodyLimit: such(
    64 * MiB,
    'a whole number from 1 to 1,000,000,000',
    // A record of the storage has at most 1 GiB, and holds a little more.
    (value) => count(1).accepts(value) && Number(value) <= 1_000_000_000,
  ),
  waiterLimit: count(10_000),
  retentionAge: milliseconds(7 * DAY, 1, true),
  retentionCount: count(1_000_000),
  retentionBytes: count(4096 * MiB),
  closedAge: milliseconds(3_600_000, 1, true),
  closedCount: count(100_000),
} satisfies Rules<TitanicRuleOptions>;

export interface TitanicOptions extends TitanicRuleOptions, HeartbeatOptions, CommonOptions {
  /** What is spoken with the broker. Default `auto`: express, or what a broker that is not ours answers to. */
  readonly protocol?: ClientProtocol | undefined;
}

export const titanicRules = {
  ...heartbeatRules,
  ...commonRules,
  ...titanicMachineRules,
  protocol: clientRules.protocol,
} satisfies Rules<TitanicOptions>;

/** Of a client. What they share with those of a `MajordomoClient` they mean there too. */
export interface TitanicClientOptions
  extends
    HeartbeatOptions,
    CommonOptions,
    Pick<ClientOptions, 'protocol' | 'lanes' | 'inFlightLimit' | 'queueLimit' | 'queueBytes'> {
  /**
   * Milliseconds within which what is asked is answered, or fails; until then it is asked again, whoever
   * restarts. Default 30,000.
   */
  readonly timeout?: number | undefined;
  /** Milliseconds for one try. Default 10,000. */
  readonly attemptTimeout?: number | undefined;
  /** Milliseconds before the second try; doubles up to `backoffLimit`, with jitter. Default 50. */
  readonly backoff?: number | undefined;
  /** Milliseconds that no try waits longer than. Default 2,000. */
  readonly backoffLimit?: number | undefined;
}

export const titanicClientRules = {
  ...heartbeatRules,
  ...commonRules,
  protocol: clientRules.protocol,
  lanes: clientRules.lanes,
  inFlightLimit: clientRules.inFlightLimit,
  queueLimit: clientRules.queueLimit,
  queueBytes: clientRules.queueBytes,
  timeout: clientRules.timeout,
  attemptTimeout: milliseconds(10_000),
  backoff: clientRules.backoff,
  backoffLimit: clientRules.backoffLimit,
} satisfies Rules<TitanicClientOptions>;

/** What any question may be told. */
export interface AskOptions {
  /** Milliseconds for the whole, with all tries. Default: the client's. */
  readonly timeout?: number | undefined;
  /** Aborting it ends the call, not what the Titanic does. */
  readonly signal?: AbortSignal | undefined;
}

export interface SubmitOptions extends SubmitTerms, AskOptions {
  /**
   * 32 hexadecimal digits: submitting it again, even after the program crashed, makes no second request.
   * Default: a new one.
   */
  readonly id?: string | undefined;
}

export interface FetchOptions extends AskOptions {
  /**
   * Milliseconds to wait for a request that is pending, or `Infinity`. `timeout` is then the time that
   * the Titanic may be away beyond it; with `Infinity` that is for ever, unless a `signal` ends it.
   * Default 0.
   */
  readonly wait?: number | undefined;
}

export interface CallOptions extends SubmitOptions {
  /** Milliseconds to wait for the reply. Default `Infinity`. */
  readonly wait?: number | undefined;
}

/** Which requests an operator wants to see. */
export interface ListOptions extends AskOptions {
  /** Only those in this state. */
  readonly state?: RequestState | undefined;
  /** Only those for this service. */
  readonly service?: string | undefined;
}

const optionalId: Rule<string | undefined> = such<string | undefined>(
  undefined,
  'an id of 32 hexadecimal digits',
  (value) => typeof value === 'string' && readId(value) !== undefined,
);

const optionalWait = (byDefault: number): Rule<number> => milliseconds(byDefault, 0, true);

export const askRules = {
  timeout: optionalTimeout,
  signal: optionalSignal,
} satisfies Rules<AskOptions>;

export const submitRules = {
  ...askRules,
  id: optionalId,
  delay: such<number | undefined>(undefined, 'milliseconds, 0 or more', (value) =>
    milliseconds(0, 0).accepts(value),
  ),
  deadline: optionalMilliseconds,
  retries: optionalCount,
  backoff: optionalMilliseconds,
} satisfies Rules<SubmitOptions>;

export const fetchRules = { ...askRules, wait: optionalWait(0) } satisfies Rules<FetchOptions>;

export const callRules = {
  ...submitRules,
  wait: optionalWait(Infinity),
} satisfies Rules<CallOptions>;

export const listRules = {
  ...askRules,
  state: such<RequestState | undefined>(undefined, `one of ${REQUEST_STATES.join(', ')}`, (value) =>
    (REQUEST_STATES as readonly unknown[]).includes(value),
  ),
  service: such<string | undefined>(undefined, 'text', (value) => typeof value === 'string'),
} satisfies Rules<ListOptions>;
