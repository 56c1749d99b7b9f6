/** Answers: each question gets one, at once or when what it asks for has come. */
import { StorageError, type TitanicErrorCode } from '../core/errors.ts';
import type { Frames, Instant } from '../core/machine.ts';
import { keyOf } from './records.ts';
import type { StoredRequest } from './requests.ts';
import type { AskToken } from './titanic-events.ts';
import { Waiters } from './waiters.ts';
import type { TitanicOutbox } from './writes.ts';

/** What a question gets that cannot be answered otherwise. */
export interface Refusal {
  readonly status: 400 | 500;
  readonly code: TitanicErrorCode;
  readonly text: string;
}

export const UNKNOWN: Refusal = {
  status: 400,
  code: 'ERR_UNKNOWN_REQUEST',
  text: 'no such request: it was never submitted here, was closed, or was kept for too long',
};

/** What is said when the store did not take it. */
export function storeRefusal(error: Error): Refusal {
  const isFull = error instanceof StorageError && error.code === 'ERR_STORAGE_FULL';
  const code = isFull ? 'ERR_STORAGE_FULL' : 'ERR_STORAGE_FAILED';
  return { status: 500, code, text: `it was not stored: ${error.message}` };
}

export const CLOSING: Refusal = {
  status: 500,
  code: 'ERR_STORAGE_FAILED',
  text: 'the Titanic is closing, and this may or may not have been stored: try again',
};

export class Answers {
  readonly waiters: Waiters;
  readonly #outbox: TitanicOutbox;

  constructor(outbox: TitanicOutbox, waiterLimit: number) {
    this.#outbox = outbox;
    this.waiters = new Waiters(waiterLimit);
  }

  done(token: AskToken, body?: Frames): void {
    this.#outbox.emit({ type: 'answer', token, answer: { status: 200, body } });
  }

  pending(token: AskToken): void {
    this.#outbox.emit({ type: 'answer', token, answer: { status: 300 } });
  }

  refuse(token: AskToken, refusal: Refusal): void {
    this.#outbox.emit({ type: 'answer', token, answer: refusal });
  }

  /** What a request has come to; one that is pending is waited for. */
  fetch(now: Instant, token: AskToken, request: StoredRequest | undefined, wait: number): void {
    if (request === undefined) return this.refuse(token, UNKNOWN);
    if (this.#end(token, request)) return;
    if (!(wait > 0) || !this.waiters.add(token, request, now + wait)) this.pending(token);
  }

  /** A request has come to its end: all who waited for it learn that. */
  tell(request: StoredRequest): void {
    for (const token of this.waiters.take(request)) this.#end(token, request);
  }

  /** False if it has not ended. */
  #end(token: AskToken, request: StoredRequest): boolean {
    const { id, state, dead } = request;
    if (state === 'done') {
      this.#outbox.emit({ type: 'answerStored', token, id, key: keyOf('reply', id) });
    } else if (state === 'dead') {
      const { code, message } = dead ?? { code: 'ERR_STORAGE_CORRUPT', message: '' };
      this.refuse(token, { status: 500, code, text: message });
    } else if (state === 'fresh' || state === 'closed') this.refuse(token, UNKNOWN);
    else return false;
    return true;
  }
}
