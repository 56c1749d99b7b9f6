/** Running handlers: whatever one does, its request ends once. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import {
  abortRequest,
  checkHandler,
  encodeResult,
  HandlerRequest,
  Handling,
} from '../../src/transport/handling.ts';

const request = () => new HandlerRequest([encodeText('work')]);

/** Handling that notes how requests ended. */
function noted(handler: (request: HandlerRequest) => unknown) {
  const ends: string[] = [];
  const handling = new Handling(handler, {
    encode: encodeResult,
    settled: () => ends.push(`settled beside ${handling.running}`),
    reply: (token, body) => ends.push(`${token} = ${body.join('|')}`),
    fail: (token, { message }) => ends.push(`${token} ! ${message}`),
  });
  return { handling, ends };
}

/** Until what promises can do at once is done. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A thenable that calls back as often as it likes, and throws on top of that. */
const unruly = {
  // oxlint-disable-next-line unicorn/no-thenable -- this is what it is about
  then(resolve: (value: string) => void, reject: (error: Error) => void): never {
    resolve('first');
    resolve('second');
    reject(new Error('third'));
    throw new Error('fourth');
  },
};

const trap = {
  // oxlint-disable-next-line unicorn/no-thenable -- this is what it is about
  get then(): never {
    throw new Error('do not look');
  },
};

describe('a handler', () => {
  test.each([
    ['returns text', () => 'done', '7 = 100,111,110,101'],
    ['returns nothing', () => undefined, '7 = '],
    ['returns null', () => null, '7 = '],
    [
      'throws',
      () => {
        throw new Error('no');
      },
      '7 ! no',
    ],
    [
      'throws no error',
      () => {
        throw 'a word';
      },
      '7 ! a word',
    ],
    ['returns what is no body', () => 7, '7 ! a body is text'],
    ['returns what may not be looked at', () => trap, '7 ! do not look'],
  ])('that %s has ended before run returns', (_name, handler, end) => {
    const { handling, ends } = noted(handler);
    handling.run(7, request());
    expect(ends[0]).toBe('settled beside 0');
    expect(ends.slice(1)).toEqual([expect.stringContaining(end)]);
    expect(handling.get(7)).toBeUndefined();
  });

  test.each([
    ['keeps', async () => 'done', '7 = 100,111,110,101'],
    [
      'breaks',
      async () => {
        throw new Error('no');
      },
      '7 ! no',
    ],
    ['keeps with what is no body', async () => 7, '7 ! a body is text'],
    ['keeps and breaks many times', () => unruly, '7 = 102,105,114,115,116'],
  ])(
    'of which a promise is made that it %s runs until then, and ends once',
    async (_name, handler, end) => {
      const { handling, ends } = noted(handler);
      handling.run(7, request());
      expect(ends).toEqual([]);
      expect(handling.running).toBe(1);
      await turn();
      expect(ends[0]).toBe('settled beside 0');
      expect(ends.slice(1)).toEqual([expect.stringContaining(end)]);
    },
  );

  test('that is being called counts as running', () => {
    let during = 0;
    const { handling } = noted(() => {
      during = handling.running;
    });
    handling.run(7, request());
    expect([during, handling.running]).toEqual([1, 0]);
  });

  test('must be a function', () => {
    expect(() => checkHandler('Owner', {})).toThrow(
      'Owner: the handler must be a function, not object',
    );
    expect(checkHandler('Owner', () => undefined)).toBeUndefined();
  });
});

describe('the signal of a request', () => {
  test.each([true, false])('aborts, whether it was looked at before (%s)', (isLookedAt) => {
    const { handling } = noted(() => new Promise(() => undefined));
    const given = request();
    handling.run(7, given);
    expect(isLookedAt && given.signal.aborted).toBe(false);
    abortRequest(handling.get(7));
    expect(given.signal).toMatchObject({ aborted: true, reason: { name: 'AbortError' } });
    expect(given.signal).toBe(given.signal);
  });

  test('of nobody aborts nothing', () => {
    const { handling } = noted(() => undefined);
    expect(() => abortRequest(handling.get(7))).not.toThrow();
  });
});
