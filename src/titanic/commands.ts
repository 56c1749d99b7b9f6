/**
 * What is asked of a Titanic, and what it answers: 9/TSP, and services of ours for what TSP has no frame
 * for. All of it travels as requests and replies of Majordomo.
 */
import type { TitanicErrorCode } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';

/** The services of a Titanic. The first three are 9/TSP. */
export const TITANIC_SERVICES = [
  'titanic.request',
  'titanic.reply',
  'titanic.close',
  'titanic.submit',
  'titanic.fetch',
  'titanic.status',
  'titanic.admin',
] as const;

export type TitanicService = (typeof TITANIC_SERVICES)[number];

/** 9/TSP knows these four and no others; none but these ever leaves. */
export type TitanicStatusCode = 200 | 300 | 400 | 500;

/** 32 lower-case hexadecimal digits: a UUID without its hyphens. */
export type RequestId = string;

/** What a submit may say beside service and body. What it leaves out is the Titanic's to say. */
export interface SubmitTerms {
  /** Milliseconds before the first attempt. */
  readonly delay?: number | undefined;
  /** Milliseconds, from now on, within which it has to be done; later it is a dead letter. */
  readonly deadline?: number | undefined;
  /** How often it is tried again after an attempt that failed. */
  readonly retries?: number | undefined;
  /** Milliseconds before the second attempt; doubles with each further one, with jitter. */
  readonly backoff?: number | undefined;
}

/** A question, read from the frames of a request. */
export type Question =
  | {
      readonly type: 'submit';
      /** Chosen by the client, so that a repeated submit makes one request; undefined: by the Titanic. */
      readonly id: RequestId | undefined;
      readonly service: string;
      readonly body: Frames;
      readonly terms: SubmitTerms;
    }
  | {
      readonly type: 'fetch';
      readonly id: RequestId;
      /** Milliseconds that the answer may take while the request is pending. */
      readonly wait: number;
    }
  | { readonly type: 'close'; readonly id: RequestId }
  | { readonly type: 'status'; readonly id: RequestId }
  // of the operator
  | { readonly type: 'overview' }
  | {
      readonly type: 'list';
      /** Of these only; undefined: of all. */
      readonly state: RequestState | undefined;
      readonly service: string | undefined;
      /** Those behind this one, in the order of submission; undefined: from the first. */
      readonly after: RequestId | undefined;
      readonly limit: number;
    }
  | { readonly type: 'inspect'; readonly id: RequestId }
  | { readonly type: 'resubmit'; readonly id: RequestId };

/** What a question gets: once, and nothing else. */
export interface Answer {
  readonly status: TitanicStatusCode;
  /** Why, or a word; after the digits, which alone count. Our own peers read `code`, not this. */
  readonly text?: string | undefined;
  /** Only with 400 and 500: what our own client makes a `TitanicError` of. */
  readonly code?: TitanicErrorCode | undefined;
  /** The frames behind the status. */
  readonly body?: Frames | undefined;
}

/** Where a request can stand: closed ones are unknown to all who ask. */
export const REQUEST_STATES = ['delayed', 'waiting', 'running', 'done', 'dead'] as const;

export type RequestState = (typeof REQUEST_STATES)[number];

/** What is told of one request. */
export interface RequestSummary {
  readonly id: RequestId;
  readonly service: string;
  readonly state: RequestState;
  /** Attempts begun, as far as it is known: one that was under way in a crash counts. */
  readonly attempts: number;
  /** Milliseconds since 1970. */
  readonly submitted: number;
  /** Milliseconds since 1970 at which the next attempt is due; of delayed ones. */
  readonly due?: number | undefined;
  /** Milliseconds since 1970; of done and dead ones. */
  readonly finished?: number | undefined;
  /** Of dead ones: why. */
  readonly code?: TitanicErrorCode | undefined;
  readonly message?: string | undefined;
}
