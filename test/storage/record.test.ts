/** The envelope: any frames come back as they were, and nothing else is taken for them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checksumOf,
  decodeRecord,
  encodeRecord,
  isNewerRecord,
  recordFault,
  recordLength,
  trueChecksum,
} from '../../src/storage/record.ts';

const frames = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 });
const key = fc.string({ minLength: 1, maxLength: 30 });

const plain = (values: readonly Uint8Array[]): number[][] => values.map((frame) => [...frame]);

describe('a record', () => {
  test('gives back any frames, from any place in memory', () => {
    fc.assert(
      fc.property(key, frames, fc.nat(20), (name, value, offset) => {
        const record = encodeRecord(name, value);
        expect(record.length).toBe(recordLength(value));
        const elsewhere = new Uint8Array(record.length + offset).subarray(offset);
        elsewhere.set(record);
        expect(recordFault(name, elsewhere)).toBeUndefined();
        expect(plain(decodeRecord(elsewhere))).toEqual(plain(value));
        expect(checksumOf(elsewhere)).toBe(checksumOf(record));
      }),
    );
  });

  test('is these bytes, for ever', () => {
    // The checksum is by Python: crc32(rest, crc32(b'reply:1', 1)).
    const record = encodeRecord('reply:1', [Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c')]);
    expect(record.toString('hex')).toBe('013958cf1500000003000000020000000000000001616263');
  });

  test('of no frames, of empty ones and of 100 MB comes back', () => {
    expect(plain(decodeRecord(encodeRecord('a', [])))).toEqual([]);
    expect(plain(decodeRecord(encodeRecord('a', [new Uint8Array(0), new Uint8Array(0)])))).toEqual([
      [],
      [],
    ]);
    const large = Buffer.alloc(100 * 1024 * 1024, 'large');
    const record = encodeRecord('a', [large]);
    expect(recordFault('a', record)).toBeUndefined();
    expect(large.equals(decodeRecord(record)[0]!)).toBe(true);
  });

  test('is a copy of its frames', () => {
    const frame = Uint8Array.of(1, 2);
    const record = encodeRecord('a', [frame]);
    frame.fill(9);
    expect(plain(decodeRecord(record))).toEqual([[1, 2]]);
  });

  test('with any bit flipped is found', () => {
    const record = encodeRecord('request:1', [Buffer.from('meta'), Buffer.from('body')]);
    for (let bit = 0; bit < record.length * 8; bit++) {
      const flipped = Buffer.from(record);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(recordFault('request:1', flipped)).toMatch(
        /^its (?:version is \d+|checksum is wrong)/,
      );
    }
  });

  test('that is cut short or longer, or under another key, is found', () => {
    const record = encodeRecord('a', [Buffer.from('body')]);
    for (let length = 0; length < record.length; length++) {
      expect(recordFault('a', record.subarray(0, length))).toBeDefined();
    }
    expect(recordFault('a', Buffer.concat([record, Buffer.alloc(1)]))).toBe(
      'its checksum is wrong',
    );
    expect(recordFault('b', record)).toBe('its checksum is wrong');
    expect(recordFault('a', Buffer.alloc(3))).toBe('it has 3 bytes, too few for a record');
  });

  test('that is any bytes is found, and never throws', () => {
    fc.assert(
      fc.property(key, fc.uint8Array({ maxLength: 60 }), (name, bytes) => {
        expect(recordFault(name, bytes)).toBeTypeOf('string');
      }),
    );
  });

  test('of a later version is told from one that is flipped, and is not read', () => {
    const record = encodeRecord('a', []);
    expect(isNewerRecord('a', record)).toBe(false);
    expect(isNewerRecord('a', new Uint8Array(0))).toBe(false);
    record[0] = 2;
    expect(isNewerRecord('a', record)).toBe(false);
    record.writeInt32BE(trueChecksum('a', record), 1);
    expect(isNewerRecord('a', record)).toBe(true);
    expect(recordFault('a', record)).toBe('its version is 2, not 1');
  });
});
