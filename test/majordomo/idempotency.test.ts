/** What is kept under idempotency keys, how long, and how much of it. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { KeyBook } from '../../src/majordomo/broker/idempotency.ts';
import { RequestBook, type PendingRequest } from '../../src/majordomo/broker/requests.ts';

const BOUNDS = { idempotencyTtl: 100, idempotencyBytes: 2000 };

const answer = (text = 'done') => ({ body: [encodeText(text)], failure: undefined });

function requestUnder(key: string | undefined, service = 'echo'): PendingRequest {
  const bounds = { queueLimit: 9, queueBytes: 9999, requestTtl: 1000, priorityAgeing: 1000 };
  return new RequestBook(bounds).accept(0, { waiter: undefined, service, body: [], key });
}

function answered(book: KeyBook, now: number, key: string, text?: string): void {
  const request = requestUnder(key);
  book.began(request);
  book.ended(now, request, answer(text));
}

describe('a key', () => {
  test('stands for its request while it is open, and for the reply afterwards', () => {
    const book = new KeyBook(BOUNDS);
    const request = requestUnder('key');
    book.began(request);
    expect(book.openUnder('echo', 'key')).toBe(request);
    book.ended(0, request, answer());
    expect(book.openUnder('echo', 'key')).toBeUndefined();
    expect(book.replyUnder('echo', 'key')).toMatchObject(answer());
  });

  test('belongs to its service', () => {
    const book = new KeyBook(BOUNDS);
    book.began(requestUnder('1x', 'echo'));
    expect(book.openUnder('echo1', 'x')).toBeUndefined();
    expect(book.openUnder('other', '1x')).toBeUndefined();
  });

  test('is free again after an end without an answer', () => {
    const book = new KeyBook(BOUNDS);
    const request = requestUnder('key');
    book.began(request);
    book.ended(0, request);
    expect([book.state.open.size, book.state.replies.size]).toEqual([0, 0]);
  });

  test('keeps what the handler said, be it no, but not that it was stopped', () => {
    const book = new KeyBook(BOUNDS);
    for (const code of ['ERR_HANDLER_FAILED', 'ERR_CANCELLED', 'ERR_REQUEST_EXPIRED'] as const) {
      const request = requestUnder(code);
      book.began(request);
      book.ended(0, request, { body: [], failure: { code, message: 'no' } });
    }
    expect(book.state.replies.size).toBe(1);
    expect(book.replyUnder('echo', 'ERR_HANDLER_FAILED')?.failure?.message).toBe('no');
  });

  test('owns the bytes that it keeps', () => {
    const book = new KeyBook(BOUNDS);
    const request = requestUnder('key');
    const given = answer();
    book.ended(0, request, given);
    given.body[0]!.fill(0);
    expect(book.replyUnder('echo', 'key')?.body).toEqual([encodeText('done')]);
  });

  test('that is none costs nothing', () => {
    const book = new KeyBook(BOUNDS);
    const request = requestUnder(undefined);
    book.began(request);
    book.ended(0, request, answer());
    expect([book.state.open.size, book.state.replies.size, book.state.bytes]).toEqual([0, 0, 0]);
  });
});

describe('what is kept', () => {
  test('is forgotten after its time, oldest first', () => {
    const book = new KeyBook(BOUNDS);
    answered(book, 0, 'a');
    answered(book, 40, 'b');
    expect(book.nextExpiry).toBe(100);
    book.expire(99);
    expect(book.state.replies.size).toBe(2);
    book.expire(100);
    expect([...book.state.replies.keys()]).toHaveLength(1);
    expect(book.replyUnder('echo', 'b')).toBeDefined();
    expect(book.nextExpiry).toBe(140);
    book.expire(140);
    expect([book.state.bytes, book.nextExpiry]).toEqual([0, Infinity]);
  });

  test('stays within its bytes: the oldest go', () => {
    const book = new KeyBook(BOUNDS);
    for (let number = 0; number < 50; number++) {
      answered(book, number, `key ${number}`, 'x'.repeat(number * 10));
      expect(book.state.bytes).toBeLessThanOrEqual(BOUNDS.idempotencyBytes);
      expect(book.replyUnder('echo', `key ${number}`)).toBeDefined();
      const bytes = [...book.state.replies.values()].map((reply) => reply.bytes);
      expect(bytes.reduce((sum, each) => sum + each, 0)).toBe(book.state.bytes);
    }
    expect(book.replyUnder('echo', 'key 0')).toBeUndefined();
  });

  test('is not what alone is larger than the bound, and drives out nothing for it', () => {
    const book = new KeyBook(BOUNDS);
    answered(book, 0, 'small');
    answered(book, 0, 'large', 'x'.repeat(2000));
    expect(book.replyUnder('echo', 'large')).toBeUndefined();
    expect(book.replyUnder('echo', 'small')).toBeDefined();
  });

  test('counts the message of a failure', () => {
    const book = new KeyBook(BOUNDS);
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'x'.repeat(2000) } as const;
    book.ended(0, requestUnder('key'), { body: [], failure });
    expect(book.state.replies.size).toBe(0);
  });
});
