/** What a Freelance client machine is asked, what it tells, and what it keeps of each request. */
import type { RequestErrorCode } from '../core/errors.ts';
import type { Frames, Instant } from '../core/machine.ts';
import type { RetryBudgetSettings } from '../core/retry-budget.ts';
import type { FreelanceStrategy } from './options.ts';
import type { Server, ServerEvent, ServerSettings } from './servers.ts';

/**
 * Chosen by the caller, each larger than the one before, below 2⁴⁸: it names the request on the wire too,
 * and no late reply may find another one under it.
 */
export type RequestId = number;

export interface RequestCall {
  readonly type: 'request';
  readonly id: RequestId;
  /** At least one frame; not to be changed until the outcome. */
  readonly body: Frames;
  readonly strategy: FreelanceStrategy;
  /** Milliseconds for the whole. */
  readonly timeout: number;
  /** Milliseconds for one try; by default its share of the whole. */
  readonly attemptTimeout?: number | undefined;
  readonly retries: number;
  readonly hedge: boolean;
}

export type ClientCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  | RequestCall
  | { readonly type: 'cancel'; readonly id: RequestId; readonly reason: string }
  /** Take nothing new, wait for what is outstanding. */
  | { readonly type: 'drain' }
  /** Cancel what is outstanding. */
  | { readonly type: 'stop' };

/** The server was lost · it took too long · it was full, or closing. */
export type RetryReason = 'serverLost' | 'timeout' | 'refused';

export type ClientEvent =
  /** The two outcomes; each request has exactly one. */
  | { type: 'reply'; id: RequestId; body: Frames }
  | { type: 'failed'; id: RequestId; code: RequestErrorCode; message: string }
  /** It was sent again; `attempt` counts from 1, the first time. */
  | { type: 'retry'; id: RequestId; endpoint: string; attempt: number; reason: RetryReason }
  /** A second copy was sent, as the answer is later than most. */
  | { type: 'hedge'; id: RequestId; endpoint: string }
  /** A further copy was due and not sent: there were too many of late. */
  | { type: 'budgetEmpty'; id: RequestId }
  | ServerEvent
  /** A reply that nobody waits for: to the loser of a hedge, to a cancelled request, or made up. */
  | { type: 'replyIgnored'; endpoint: string }
  | { type: 'malformed'; endpoint: string; reason: string }
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { type: 'socketFailed'; reason: string }
  | { type: 'drained' };

export interface ClientSettings extends ServerSettings, RetryBudgetSettings {
  /** Requests with a try under way. */
  readonly inFlightLimit: number;
  /** Requests that wait, and the bytes of their bodies. */
  readonly queueLimit: number;
  readonly queueBytes: number;
}

/** A copy of a request under way at a server. */
export interface Try {
  readonly request: ClientRequest;
  readonly server: Server<Try>;
  /** Which one of its request. */
  readonly number: number;
  /** Under which the server's table has it. */
  readonly key: number;
  readonly sentAt: Instant;
}

export interface ClientRequest {
  readonly call: RequestCall;
  readonly deadlineAt: Instant;
  /** When another server is asked, and when one more is asked beside it. */
  attemptAt: Instant;
  hedgeAt: Instant;
  state: 'waiting' | 'sent' | 'ended';
  /** Under way, the oldest first. */
  readonly tries: Try[];
  triesBegun: number;
  /** How often it was sent again. */
  repeats: number;
  isHedged: boolean;
  /** The user was told that the budget had nothing for it. */
  isDenied: boolean;
  /** Why it is sent again, from the first time that it lost its last try. */
  reason: RetryReason | undefined;
  /** Servers that were full, since a try last took too long. */
  refusedBy: Set<Server<Try>> | undefined;
}

/** Tries are counted on the wire in two bytes. */
export const TRY_NUMBERS = 65_536;

export function newRequest(now: Instant, call: RequestCall): ClientRequest {
  return {
    call,
    deadlineAt: now + call.timeout,
    attemptAt: Infinity,
    hedgeAt: Infinity,
    state: 'waiting',
    tries: [],
    triesBegun: 0,
    repeats: 0,
    isHedged: false,
    isDenied: false,
    reason: undefined,
    refusedBy: undefined,
  };
}

/** How far a request had come when its time or its tries were over. */
export function describeTimeout(
  { call: { timeout }, triesBegun }: ClientRequest,
  isOver: boolean,
  live: number,
  all: number,
): string {
  const limit = isOver ? `within ${timeout} ms` : 'and no retry is left';
  const servers = `${live} of ${all} ${all === 1 ? 'server' : 'servers'} live`;
  if (triesBegun > 0) {
    const tries = triesBegun === 1 ? '1 try' : `${triesBegun} tries`;
    return `no reply after ${tries} ${limit}, with ${servers}`;
  }
  const advice = live === 0 ? 'are they running, and do they speak 10/FLP?' : 'all were busy';
  return `no server could be asked ${limit}, with ${servers}: ${advice}`;
}
