/** Frames and addresses: round trips, and who owns the bytes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  byteLength,
  decodeStrictText,
  decodeText,
  encodeText,
  equalBytes,
  equalFrames,
  fromAddress,
  keepFrames,
  toAddress,
} from '../../src/core/frames.ts';

const bytes = fc.uint8Array({ maxLength: 40 });

describe('addresses', () => {
  test('each byte is one character, and comes back', () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    expect(toAddress(all)).toHaveLength(256);
    expect([...fromAddress(toAddress(all))]).toEqual([...all]);
  });

  test('any routing id comes back, also from the middle of a buffer', () => {
    fc.assert(
      fc.property(bytes, fc.nat(5), (id, offset) => {
        const shared = new Uint8Array(id.length + 10);
        shared.set(id, offset);
        const address = toAddress(shared.subarray(offset, offset + id.length));
        expect(address).toBe(toAddress(Buffer.from(id)));
        expect([...fromAddress(address)]).toEqual([...id]);
      }),
    );
  });
});

describe('text', () => {
  // A byte order mark is a character like any other, or two names would be one.
  const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant('\uFEFFecho'));

  test('comes back as it was', () => {
    fc.assert(
      fc.property(text, (name) => {
        expect(decodeStrictText(encodeText(name))).toBe(name);
      }),
    );
  });

  test('that is strict has one spelling only', () => {
    fc.assert(
      fc.property(fc.oneof(bytes, text.map(encodeText)), (spelled) => {
        const name = decodeStrictText(spelled);
        fc.pre(name !== undefined);
        expect([...encodeText(name)]).toEqual([...spelled]);
      }),
      { numRuns: 1000 },
    );
  });

  test('that is malformed is shown, or refused where it must not be ambiguous', () => {
    const malformed = Uint8Array.of(97, 0xff);
    expect(decodeText(malformed)).toBe('a\uFFFD');
    expect(decodeStrictText(malformed)).toBeUndefined();
  });
});

describe('keepFrames', () => {
  test('copies what may share a buffer, and keeps what owns its memory', () => {
    const small = new Uint8Array(8 * 1024).fill(1);
    const large = new Uint8Array(8 * 1024 + 1).fill(2);
    const [keptSmall, keptLarge] = keepFrames([small, large]);
    expect(keptSmall).not.toBe(small);
    expect(keptLarge).toBe(large);
    small.fill(9);
    expect(keptSmall!.every((byte) => byte === 1)).toBe(true);
  });

  test('a copy holds no more memory than its bytes', () => {
    const [kept] = keepFrames([Buffer.alloc(1_000_000).subarray(10, 20)]);
    expect(kept!.buffer.byteLength).toBe(10);
  });
});

describe('comparing and measuring', () => {
  test('equality is of bytes, whatever holds them', () => {
    expect(equalBytes(Buffer.from('ab'), Uint8Array.of(97, 98))).toBe(true);
    expect(equalBytes(Buffer.from('ab'), Uint8Array.of(97))).toBe(false);
    expect(equalBytes(Buffer.from('ab'), Buffer.from('ac'))).toBe(false);
    const [a, b] = [Buffer.from('a'), Buffer.from('b')];
    expect(equalFrames([a, b], [a, b])).toBe(true);
    expect(equalFrames([a, b], [b, a])).toBe(false);
    expect(equalFrames([a], [a, b])).toBe(false);
    expect(equalFrames([], [])).toBe(true);
  });

  test('the length is that of all frames', () => {
    fc.assert(
      fc.property(fc.array(bytes), (frames) => {
        expect(byteLength(frames)).toBe(Buffer.concat(frames).length);
      }),
    );
  });
});
