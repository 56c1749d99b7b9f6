/** Values as bytes and back: each codec, and what it refuses. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeValue, encodeValue, VALUE_CODECS } from '../../src/clone/values.ts';

const there = (codec: (typeof VALUE_CODECS)[number], value: unknown): unknown =>
  decodeValue(codec, '/k', encodeValue(codec, '/k', value));

describe('a value is the same again', () => {
  test('as bytes, uncopied', () => {
    const bytes = Uint8Array.of(0, 255, 1);
    expect(encodeValue('bytes', '/k', bytes)).toBe(bytes);
    expect(decodeValue('bytes', '/k', bytes)).toBe(bytes);
  });

  test.each(['ä', 'a\u0000b', '\uFEFFx', '"', '🎈'])('as text: %j', (text) => {
    expect(there('text', text)).toBe(text);
  });

  test('as JSON, whatever JSON holds', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const value: unknown = JSON.parse(json);
        expect(there('json', value)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    expect(Buffer.from(encodeValue('json', '/k', { a: [1, null, ''] })).toString()).toBe(
      '{"a":[1,null,""]}',
    );
  });

  test('as MessagePack, with bytes of any size in it', () => {
    const value = {
      none: null,
      big: 2n ** 60n,
      bytes: new Uint8Array(100_000).fill(7),
      floats: Float64Array.of(1.5, -2),
      when: new Date(1e12),
      list: [1, 'two', { three: 3 }],
    };
    expect(there('msgpack', value)).toEqual(value);
    expect(there('msgpack', '')).toBe('');
  });
});

describe('a value is refused', () => {
  test.each([
    ['bytes', 'text', /^the value for '\/k' cannot be written as bytes: .* name a codec/],
    ['bytes', null, /it is null/],
    ['text', Uint8Array.of(1), /not a string/],
    ['text', ['a'], /it is an array/],
    ['json', undefined, /it is undefined, which JSON has not/],
    ['json', () => 1, /which JSON has not/],
    ['json', { a: 1n }, /BigInt/],
    ['json', { deep: [Buffer.of(1)] }, /bytes in it, which JSON cannot hold/],
    ['json', new ArrayBuffer(3), /bytes in it/],
    ['msgpack', undefined, /undefined/],
    ['msgpack', { f: () => 1 }, /cannot be written as msgpack/],
  ] as const)('by %s: %s', (codec, value, message) => {
    expect(() => encodeValue(codec, '/k', value)).toThrow(
      expect.objectContaining({
        name: 'InvalidArgumentError',
        code: 'ERR_INVALID_BODY',
        message: expect.stringMatching(message) as string,
      }),
    );
  });

  test.each([
    ['bytes', new Uint8Array()],
    ['text', ''],
  ] as const)('by %s if no byte is left', (codec, value) => {
    expect(() => encodeValue(codec, '/k', value)).toThrow(
      expect.objectContaining({
        name: 'CloneError',
        code: 'ERR_EMPTY_VALUE',
        key: '/k',
        message: expect.stringContaining('use delete(key)') as string,
      }),
    );
  });
});

describe('bytes that were written otherwise', () => {
  test.each([
    ['text', Uint8Array.of(0xff)],
    ['json', Buffer.from('{')],
    ['json', Uint8Array.of(0xff)],
    ['msgpack', Uint8Array.of(0xc1)],
    // It claims four billion elements.
    ['msgpack', Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)],
  ] as const)('are no %s', (codec, bytes) => {
    expect(() => decodeValue(codec, '/k', bytes)).toThrow(SyntaxError);
    expect(() => decodeValue(codec, '/k', bytes)).toThrow(`the value of '/k' is no ${codec}`);
  });
});
