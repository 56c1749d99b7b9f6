/** What goes into the machine of a Titanic, and what comes out of it. */
import type { StorageState } from '../core/batch.ts';
import type { TitanicErrorCode } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import type { Answer, Question, RequestId } from './commands.ts';

/** Names a question, from the shell. Each is asked once and answered once. */
export type AskToken = number;

/** Names one attempt of one request, from the machine; never used twice. */
export type ExecutionToken = number;

/**
 * How an attempt failed. `unstarted`: the service surely did not see it (nobody offers it, or the broker is
 * full or away): costs no attempt. `failed`: the handler said so. `lost`: it may have run, or still run.
 * `poison`: the broker gave it up because it cost too many workers; it is not tried again.
 */
export type AttemptEnd = 'unstarted' | 'failed' | 'lost' | 'poison';

export type TitanicCall =
  /** The frames of a body are kept until they are stored: they must not change. So for `replied`. */
  | { readonly type: 'ask'; readonly token: AskToken; readonly question: Question }
  /** Nobody waits for that answer any more: it may be left out. */
  | { readonly type: 'withdraw'; readonly token: AskToken }
  | { readonly type: 'replied'; readonly execution: ExecutionToken; readonly body: Frames }
  | {
      readonly type: 'attemptFailed';
      readonly execution: ExecutionToken;
      readonly end: AttemptEnd;
      readonly message: string;
    }
  /**
   * The record of this request fails its checksum, or is gone: it cannot be executed or served. Its attempt
   * is over with that, and what asks for it later gets `500`. Nothing, if it was closed meanwhile.
   */
  | { readonly type: 'unreadable'; readonly id: RequestId; readonly reason: string }
  /** Whether a broker is there: without one nothing is executed. It begins as false. */
  | { readonly type: 'link'; readonly isUp: boolean }
  /** What the storage takes; it begins as `open`. */
  | { readonly type: 'storage'; readonly state: StorageState }
  /** Begins no attempt, and is `drained` when none runs and nothing is being written. */
  | { readonly type: 'drain' }
  /** The same at once: what runs is abandoned, what waits is answered. */
  | { readonly type: 'stop' };

/** What only the shell sees. */
export type TitanicOrder =
  | { readonly type: 'answer'; readonly token: AskToken; readonly answer: Answer }
  /** The answer is `200` with what is stored under `key`, without its first frame (see `records.ts`). */
  | {
      readonly type: 'answerStored';
      readonly token: AskToken;
      readonly id: RequestId;
      readonly key: string;
    }
  /** To be answered by `replied` or `attemptFailed`. The body is what is stored under `key`, as above. */
  | {
      readonly type: 'execute';
      readonly execution: ExecutionToken;
      readonly id: RequestId;
      readonly service: string;
      readonly key: string;
      /** 1 for the first. */
      readonly attempt: number;
      /**
       * The same for attempts of which the former may still run, so that the broker can join them; never that
       * of an earlier request under this id, whose reply the broker may have kept.
       */
      readonly idempotencyKey: string;
      /** Milliseconds. */
      readonly timeout: number;
    }
  /** Its outcome matters no more: cancel it. */
  | { readonly type: 'abandon'; readonly execution: ExecutionToken }
  | { readonly type: 'drained' };

/** What users are told. */
export type TitanicEvent =
  | { readonly type: 'requestAccepted'; readonly id: RequestId; readonly service: string }
  | { readonly type: 'requestRefused'; readonly code: TitanicErrorCode; readonly reason: string }
  | {
      readonly type: 'attemptFailed';
      readonly id: RequestId;
      readonly service: string;
      readonly attempt: number;
      readonly end: AttemptEnd;
      readonly reason: string;
    }
  | {
      readonly type: 'requestDone';
      readonly id: RequestId;
      readonly service: string;
      readonly attempts: number;
    }
  | {
      readonly type: 'deadLetter';
      readonly id: RequestId;
      readonly service: string;
      readonly attempts: number;
      readonly code: TitanicErrorCode;
      readonly reason: string;
    }
  | { readonly type: 'requestClosed'; readonly id: RequestId }
  | { readonly type: 'requestResubmitted'; readonly id: RequestId; readonly service: string }
  | {
      readonly type: 'discarded';
      readonly id: RequestId;
      readonly reason: 'age' | 'count' | 'bytes';
    }
  | { readonly type: 'serviceAbsent'; readonly service: string }
  | { readonly type: 'serviceFound'; readonly service: string }
  | { readonly type: 'recordUnreadable'; readonly id: RequestId; readonly reason: string }
  | { readonly type: 'storeFailed'; readonly reason: string }
  | {
      readonly type: 'recovered';
      readonly pending: number;
      readonly done: number;
      readonly dead: number;
    };

export type TitanicMachineEvent = TitanicOrder | TitanicEvent;
