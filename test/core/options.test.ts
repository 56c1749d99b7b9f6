/** Options: defaults, and each refusal by name. */
import { describe, expect, test } from 'vitest';
import {
  completeOptions,
  count,
  milliseconds,
  oneOf,
  such,
  type Completed,
  type Rules,
} from '../../src/core/options.ts';

interface Options {
  readonly interval?: number;
  readonly timeout?: number;
  readonly limit?: number;
  readonly mode?: 'fast' | 'safe';
  readonly name?: string | undefined;
}

const rules = {
  interval: milliseconds(100),
  timeout: milliseconds(500, 0, true),
  limit: count(3, 1),
  mode: oneOf<'fast' | 'safe'>('safe', ['fast', 'safe']),
  name: such<string | undefined>(undefined, 'text', (value) => typeof value === 'string'),
} satisfies Rules<Options>;

/** What JavaScript lets a caller pass and TypeScript does not. */
function complete(given: unknown): Completed<typeof rules> {
  return completeOptions('Thing', rules, given as Partial<Options>);
}

describe('completeOptions', () => {
  const DEFAULTS = { interval: 100, timeout: 500, limit: 3, mode: 'safe', name: undefined };

  test.each([undefined, {}, { interval: undefined }])('%o gives the defaults', (given) => {
    expect(complete(given)).toEqual(DEFAULTS);
  });

  test('what is given stands over the defaults', () => {
    const given = { interval: 1.5, timeout: Infinity, limit: 1, mode: 'fast', name: 'x' };
    expect(complete(given)).toEqual(given);
    expect(complete({ timeout: 0 })).toEqual({ ...DEFAULTS, timeout: 0 });
  });

  test.each<[given: unknown, message: string]>([
    [{ interval: 0 }, "option 'interval' must be milliseconds, 1 or more, not 0"],
    [{ interval: Infinity }, "option 'interval' must be milliseconds, 1 or more, not Infinity"],
    [{ interval: NaN }, "option 'interval' must be milliseconds, 1 or more, not NaN"],
    [{ interval: '5' }, "option 'interval' must be milliseconds, 1 or more, not '5'"],
    [{ interval: 5n }, "option 'interval' must be milliseconds"],
    [{ timeout: -1 }, "option 'timeout' must be milliseconds, 0 or more, or Infinity, not -1"],
    [{ timeout: NaN }, "option 'timeout' must be milliseconds, 0 or more, or Infinity, not NaN"],
    [{ limit: 1.5 }, "option 'limit' must be a whole number, 1 or more, not 1.5"],
    [{ limit: 0 }, "option 'limit' must be a whole number, 1 or more, not 0"],
    [{ limit: 2 ** 53 }, "option 'limit' must be a whole number"],
    [{ limit: null }, "option 'limit' must be a whole number, 1 or more, not null"],
    [{ mode: 'slow' }, "option 'mode' must be one of 'fast', 'safe', not 'slow'"],
    [{ mode: {} }, "option 'mode' must be one of 'fast', 'safe', not an object"],
    [{ mode: [] }, "option 'mode' must be one of 'fast', 'safe', not an array"],
    [{ name: Symbol('x') }, "option 'name' must be text, not a symbol"],
    [{ name: () => 'x' }, "option 'name' must be text, not a function"],
    [7, 'options must be an object'],
    [null, 'options must be an object'],
    ['interval', 'options must be an object'],
  ])('%o is refused', (given, message) => {
    expect(() => complete(given)).toThrow(
      expect.objectContaining({
        name: 'InvalidArgumentError',
        code: 'ERR_INVALID_OPTION',
        message: expect.stringContaining(message) as string,
      }),
    );
    expect(() => complete(given)).toThrow(/^Thing: /);
  });

  test.each([
    ['intervall', { intervall: 1 }],
    ['constructor', { constructor: 1 }],
    ['toString', { toString: undefined }],
    ['hasOwnProperty', { hasOwnProperty: 1 }],
    // As JSON.parse makes it, `__proto__` is a name like any other.
    ['__proto__', JSON.parse('{ "__proto__": { "interval": 0 } }') as unknown],
  ])('there is no option %s', (name, given) => {
    expect(() => complete(given)).toThrow(
      expect.objectContaining({
        code: 'ERR_UNKNOWN_OPTION',
        message: `Thing has no option '${name}'; it has: interval, timeout, limit, mode, name`,
      }),
    );
  });

  test('what is only inherited is not given', () => {
    expect(complete(Object.create({ interval: 0 }))).toEqual(DEFAULTS);
  });
});
