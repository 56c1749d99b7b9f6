/** The cache keeps what came last, within its bound. */
import { describe, expect, test } from 'vitest';
import { RecordCache } from '../../src/storage/record-cache.ts';

const record = (length: number): Uint8Array => new Uint8Array(length);

describe('a record cache', () => {
  test('lets the oldest go first, by bytes and not by number', () => {
    const cache = new RecordCache(1000);
    for (const key of ['a', 'b', 'c']) cache.set(key, record(100));
    expect(cache.bytes).toBe(900);
    cache.set('d', record(300));
    expect(['a', 'b', 'c', 'd'].filter((key) => cache.get(key))).toEqual(['c', 'd']);
    expect(cache.bytes).toBe(800);
  });

  test('takes a record written again for a new one', () => {
    const cache = new RecordCache(700);
    cache.set('a', record(100));
    cache.set('b', record(100));
    const again = record(120);
    cache.set('a', again);
    cache.set('c', record(100));
    expect(cache.get('a')).toBe(again);
    expect(cache.get('b')).toBeUndefined();
  });

  test('keeps nothing that is over its bound, nor what stood there before', () => {
    const cache = new RecordCache(500);
    cache.set('a', record(10));
    cache.set('b', record(20));
    cache.set('a', record(501));
    expect(cache.get('a')).toBeUndefined();
    expect(cache.get('b')).toBeDefined();
    cache.delete('b');
    cache.delete('b');
    expect(cache.bytes).toBe(0);
  });

  test('of no bytes keeps nothing', () => {
    const cache = new RecordCache(0);
    cache.set('a', record(0));
    expect(cache.get('a')).toBeUndefined();
    expect(cache.bytes).toBe(0);
  });
});
