/** What a client machine is asked, what it tells, and what it keeps of each request. */
import type { Epoch } from '../../core/election.ts';
import type { Failure, RequestErrorCode } from '../../core/errors.ts';
import type { Lane, OnLane } from '../../core/lanes.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { RequestLife, type LivesSettings, type RequestTerms } from '../../core/request-lives.ts';
import type { Dialect, RequestNumber, StockDialect } from '../wire/commands.ts';

/** Chosen by the caller, unique among the requests not yet answered. */
export type RequestId = number;

/**
 * A request without `attemptTimeout`: heartbeats find in express what is lost, and in stock MDP each try
 * has its share of the whole.
 */
export interface RequestCall extends RequestTerms {
  readonly type: 'request';
  readonly service: string;
  /** Spoken where the broker does not speak express. */
  readonly dialect: StockDialect;
  /** Partial replies are told one by one; otherwise they become part of the one reply. */
  readonly streaming: boolean;
  /** What only express carries; the first three promise something, so they need it. */
  readonly key?: string | undefined;
  readonly failFast?: boolean | undefined;
  readonly broadcast?: boolean | undefined;
  readonly priority?: number | undefined;
  readonly headers?: Uint8Array | undefined;
  /** Milliseconds that it may live in the broker, if that is less than its own time. */
  readonly requestTtl?: number | undefined;
}

export type ClientCall =
  | { readonly type: 'connect'; readonly endpoints: readonly string[] }
  | RequestCall
  | { readonly type: 'cancel'; readonly id: RequestId; readonly reason: string }
  /** The reader of a stream has taken so many bytes of its parts. */
  | { readonly type: 'taken'; readonly id: RequestId; readonly bytes: number }
  /** Take nothing new, wait for what is outstanding. */
  | { readonly type: 'drain' }
  /** Cancel what is outstanding. */
  | { readonly type: 'stop' };

export type ClientEvent =
  /** `failure`: what became of one worker of a broadcast. */
  | { type: 'partial'; id: RequestId; body: Frames; failure?: Failure | undefined }
  /** The two outcomes; each request has exactly one. */
  | { type: 'reply'; id: RequestId; body: Frames }
  | {
      type: 'failed';
      id: RequestId;
      service: string;
      code: RequestErrorCode;
      message: string;
      retryAfter?: number | undefined;
      /** Workers that were given the request, where that is known. */
      attempts: number | undefined;
    }
  | { type: 'retry'; id: RequestId; service: string; attempt: number; endpoint: string }
  /** An express session has begun; with a broker of a pair, under its epoch. */
  | { type: 'ready'; endpoint: string; epoch?: Epoch | undefined }
  /** A broker of a pair serves under a higher epoch than the last one: it has taken over. */
  | { type: 'failedOver'; endpoint: string; epoch: Epoch }
  /** It has ended. What was under way is tried again. */
  | { type: 'brokerLost'; endpoint: string; reason: ClientLossReason }
  /** A reply that no outstanding request asked for. */
  | { type: 'replyRefused'; lane: number }
  | { type: 'malformed'; reason: string }
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { type: 'socketFailed'; reason: string }
  | { type: 'drained' };

/** Why an express session ended. */
export type ClientLossReason =
  /** The broker was not heard for its expiry, or not again after its link broke. */
  | 'silent'
  /** It said goodbye. */
  | 'disconnected'
  /** It takes nothing new. */
  | 'closing'
  /** It serves no more: the other one of its pair does, or will. */
  | 'passive'
  /** It serves under an epoch whose time is over. */
  | 'outdated';

export interface ClientSettings extends LivesSettings {
  readonly protocol: 'auto' | Dialect;
  readonly lanes: number;
  /** Requests under way in an express session. */
  readonly inFlightLimit: number;
  /** Milliseconds that a try may take after its link broke. */
  readonly noticeGrace: number;
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
  /** Bytes of partials collected for a request that does not stream them. */
  readonly replyBufferBytes: number;
  /** Bytes of partials that may be under way to a stream. */
  readonly streamWindow: number;
}

export class ClientRequest extends RequestLife<RequestCall> implements OnLane<ClientRequest> {
  readonly needsExpress: boolean;
  /** Where its present try is: on a lane, */
  lane: Lane<ClientRequest> | undefined = undefined;
  /** or in the express session under this number, which is 0 if it is not there. */
  number: RequestNumber = 0;
  sentAfter = 0;
  /** A partial has reached the caller: another try would repeat it. */
  partialSeen = false;
  /** Partials of the present try. */
  sequence = 0;
  parts: Uint8Array[] | undefined = undefined;
  partBytes = 0;
  /** Bytes of partials that the reader has taken, and how many of them the broker was told of. */
  takenBytes = 0;
  toldBytes = 0;

  constructor(now: Instant, call: RequestCall) {
    super(now, call);
    this.needsExpress = call.key !== undefined || call.failFast === true || call.broadcast === true;
  }

  /** A try begins from nothing. */
  beginTry(): void {
    this.sequence = 0;
    this.parts = undefined;
    this.partBytes = 0;
    this.takenBytes = 0;
    this.toldBytes = 0;
  }

  /** There must be no other try. */
  seePartial(): void {
    this.partialSeen = true;
    this.attemptLimit = 0;
  }
}

/** Workers that were given a request which ended so, where that is known. */
export function attemptsOf({ attempts }: ClientRequest, failure: Failure): number | undefined {
  // What was not sent nobody has; and of several tries the broker's word is about the last.
  if (attempts === 0) return 0;
  return attempts === 1 ? failure.attempts : undefined;
}

/**
 * How far a request had come when its time or its tries were over.
 * @param activeElsewhere where a passive broker, which is all there is, believes the active one to be
 */
export function describeTimeout(
  request: ClientRequest,
  limit: string,
  activeElsewhere: string | undefined,
): string {
  const { call, attempts, partialSeen, needsExpress } = request;
  const { service } = call;
  if (attempts === 0) {
    if (activeElsewhere !== undefined) {
      const active =
        activeElsewhere === ''
          ? 'and knows no active one'
          : `the active one is at ${activeElsewhere}: connect to that too`;
      return `'${service}' could not be asked ${limit}: the broker that is there is passive, ${active}`;
    }
    return needsExpress
      ? `'${service}' could not be asked ${limit}: is a broker there that speaks express?`
      : `'${service}' could not be asked ${limit}: is a broker there? or raise lanes or timeout`;
  }
  if (partialSeen) return `the reply of '${service}' had begun, but its end did not come ${limit}`;
  const tries = attempts === 1 ? '1 try' : `${attempts} tries`;
  return `no reply from '${service}' after ${tries} ${limit}: is a broker there, and a worker?`;
}
