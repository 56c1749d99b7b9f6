/** The small parts of a Freelance client: its control frame, and the line of requests that wait. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../src/core/frames.ts';
import { newRequest, type ClientRequest } from '../../src/freelance/client-request.ts';
import { controlFrame, requestIn, tryIn } from '../../src/core/control-frame.ts';
import { RequestLine } from '../../src/freelance/request-line.ts';
import { body } from './client-story.ts';

function requestOf(id: number, text = 'x', options: object = {}): ClientRequest {
  return newRequest(0, {
    type: 'request',
    id,
    body: body(text),
    strategy: 'first',
    timeout: 1000,
    retries: 3,
    hedge: false,
    ...options,
  });
}

const sentBefore = (id: number): ClientRequest =>
  Object.assign(requestOf(id), { reason: 'serverLost' as const });

/** Who goes when, until the line is empty. */
function numbers(line: RequestLine): number[] {
  const all: number[] = [];
  for (let next = line.first; next !== undefined; next = line.first) {
    all.push(next.call.id);
    line.delete(next);
  }
  return all;
}

describe('a control frame', () => {
  test('says which try of which request it is', () => {
    const requests = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 48 - 1 }));
    fc.assert(
      fc.property(requests, fc.nat(65_535), (request, attempt) => {
        const frame = controlFrame(request, attempt);
        expect([frame.byteLength, requestIn(frame), tryIn(frame)]).toEqual([8, request, attempt]);
      }),
    );
  });

  test('is in network order', () => {
    expect([...controlFrame(0x0102_0304_0506, 0x0708)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(requestIn(new Uint8Array(8).fill(255))).toBe(2 ** 48 - 1);
  });

  test.each([0, 7, 9])('of %d bytes is none of ours', (length) => {
    expect(requestIn(new Uint8Array(length))).toBe(-1);
  });
});

describe('the line', () => {
  test('lets those that were sent before go first, each group in its order', () => {
    const line = new RequestLine({ limit: 10, bytes: 10_000 });
    for (const id of [10, 11, 30]) line.push(requestOf(id));
    for (const id of [3, 8, 5]) line.pushAgain(sentBefore(id));
    expect([line.size, line.first!.call.id]).toEqual([6, 3]);
    expect(numbers(line)).toEqual([3, 8, 5, 10, 11, 30]);
    expect([line.size, line.state.bytes]).toEqual([0, 0]);
  });

  test('is bounded in count and in bytes, but not for what was taken in before', () => {
    const line = new RequestLine({ limit: 3, bytes: 2 * sizeOf(body('x')) });
    expect([1, 2, 3].map((id) => line.push(requestOf(id)))).toEqual([true, true, false]);
    line.pushAgain(sentBefore(0));
    expect(line.size).toBe(3);
    const other = new RequestLine({ limit: 1, bytes: 10_000 });
    expect([1, 2].map((id) => other.push(requestOf(id)))).toEqual([true, false]);
  });

  test('takes one that is larger than its bound, alone', () => {
    const line = new RequestLine({ limit: 3, bytes: 300 });
    const large = requestOf(1, 'x'.repeat(1000));
    expect(line.push(large)).toBe(true);
    expect(line.push(requestOf(2))).toBe(false);
    line.delete(large);
    line.delete(large);
    expect(line.push(requestOf(3))).toBe(true);
  });
});
