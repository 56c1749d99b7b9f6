/** When a client asks again, and what a failed attempt means: by the clock of the test alone. */
import { describe, expect, test } from 'vitest';
import {
  ClosedError,
  InvalidArgumentError,
  REQUEST_ERROR_CODES,
  RequestError,
  UnsinkableError,
  type RequestErrorCode,
} from '../../src/core/errors.ts';
import { Asking, SLICE, type AskingTerms } from '../../src/titanic/asking.ts';
import { attemptEndOf } from '../../src/titanic/attempt-end.ts';

const SETTINGS = { attemptTimeout: 10_000, backoff: 50, backoffLimit: 2000, random: () => 1 };

function asking(terms: Partial<AskingTerms> = {}): Asking {
  return new Asking(0, { timeout: 30_000, wait: 0, isRepeatable: true, ...terms }, SETTINGS);
}

function failure(code: RequestErrorCode, more: { retryAfter?: number; attempts?: number } = {}) {
  return new RequestError(code, 'titanic.submit', 'no', more);
}

const LOST = failure('ERR_WORKER_LOST');

describe('a question', () => {
  test('is asked again after growing rests, until its time is over', () => {
    const it = asking({ timeout: 1000 });
    expect(it.begin(0)).toEqual({ wait: 0, timeout: 1000 });
    expect([0, 50, 150, 350].map((now) => it.restAfterError(now, LOST))).toEqual([
      50, 100, 200, 400,
    ]);
    expect(it.begin(750)).toEqual({ wait: 0, timeout: 250 });
    expect(it.restAfterError(760, LOST)).toBeUndefined();
  });

  test('has so much time a try', () => {
    expect(asking().begin(0)).toEqual({ wait: 0, timeout: 10_000 });
    expect(asking().begin(29_000)).toEqual({ wait: 0, timeout: 1000 });
    expect(asking({ timeout: Infinity }).begin(1e9)).toEqual({ wait: 0, timeout: 10_000 });
  });

  test('rests as long as the broker says', () => {
    const full = failure('ERR_QUEUE_FULL', { retryAfter: 700, attempts: 0 });
    expect(asking().restAfterError(0, full)).toBe(700);
  });

  test.each(REQUEST_ERROR_CODES)('is asked again unless %s is final', (code) => {
    const final = /CANCELLED|HANDLER_FAILED|NOT_SUPPORTED|REPLY_TOO_LARGE/.test(code);
    expect(asking().restAfterError(0, failure(code)) === undefined).toBe(final);
  });

  test('is not asked again after a mistake or a close', () => {
    expect(asking().restAfterError(0, new ClosedError('it'))).toBeUndefined();
    expect(asking().restAfterError(0, new Error('bug'))).toBeUndefined();
  });

  test('that must not be asked twice is repeated only if nobody heard it', () => {
    const it = asking({ isRepeatable: false });
    expect(it.restAfterError(0, LOST)).toBeUndefined();
    expect(it.restAfterError(0, failure('ERR_NO_SERVICE', { attempts: 1 }))).toBeUndefined();
    expect(it.restAfterError(0, failure('ERR_NO_SERVICE', { attempts: 0 }))).toBe(50);
  });
});

describe('a long poll', () => {
  test('goes in slices, without a rest in between', () => {
    const it = asking({ wait: 50_000 });
    expect(it.begin(0)).toEqual({ wait: SLICE, timeout: SLICE + 10_000 });
    expect(it.restWhilePending(SLICE)).toBe(0);
    expect(it.begin(SLICE)).toMatchObject({ wait: SLICE });
    expect(it.begin(2 * SLICE)).toMatchObject({ wait: 10_000 });
    expect(it.restWhilePending(50_000)).toBeUndefined();
  });

  test('without a wait has one answer', () => {
    const it = asking();
    expect(it.begin(0)).toMatchObject({ wait: 0 });
    expect(it.restWhilePending(1)).toBeUndefined();
  });

  test('rests when it was answered early, and starts anew when it was not', () => {
    const it = asking({ wait: Infinity });
    it.begin(0);
    expect(it.restWhilePending(10)).toBe(50);
    it.begin(60);
    expect(it.restWhilePending(70)).toBe(100);
    it.begin(170);
    expect(it.restWhilePending(170 + SLICE)).toBe(0);
    it.begin(1e6);
    expect(it.restWhilePending(1e6 + 1)).toBe(50);
  });

  test('does not rest beyond its wait', () => {
    const it = asking({ wait: 1000 });
    it.begin(0);
    expect(it.restWhilePending(970)).toBe(30);
  });

  test('lets the Titanic be away until its wait and timeout are over', () => {
    const it = asking({ wait: 5000, timeout: 1000 });
    expect(it.restAfterError(4000, LOST)).toBe(50);
    it.begin(5500);
    expect(it.restAfterError(5500, LOST)).toBe(100);
    expect(it.restAfterError(5900, LOST)).toBeUndefined();
    expect(asking({ wait: Infinity }).restAfterError(1e12, LOST)).toBe(50);
  });
});

describe('an attempt', () => {
  test.each([
    [failure('ERR_NO_SERVICE', { attempts: 0 }), 'unstarted'],
    [failure('ERR_QUEUE_FULL'), 'unstarted'],
    [failure('ERR_BROKER_CLOSING'), 'unstarted'],
    [new UnsinkableError('ERR_NOT_CONNECTED', 'no'), 'unstarted'],
    [new ClosedError('it'), 'unstarted'],
    [failure('ERR_REQUEST_TIMEOUT', { attempts: 0 }), 'unstarted'],
    [failure('ERR_REQUEST_EXPIRED', { attempts: 0 }), 'unstarted'],
    [failure('ERR_REQUEST_EXPIRED', { attempts: 1 }), 'lost'],
    [failure('ERR_REQUEST_TIMEOUT'), 'lost'],
    [failure('ERR_WORKER_LOST'), 'lost'],
    [failure('ERR_REPLY_TOO_LARGE'), 'lost'],
    [failure('ERR_HANDLER_FAILED', { attempts: 1 }), 'failed'],
    [failure('ERR_ATTEMPTS_EXHAUSTED', { attempts: 3 }), 'poison'],
    [new InvalidArgumentError('ERR_INVALID_BODY', 'no'), 'lost'],
    [new Error('bug'), 'lost'],
  ])('that ends with %s is %s', (error, end) => {
    expect(attemptEndOf(error)).toBe(end);
  });
});
