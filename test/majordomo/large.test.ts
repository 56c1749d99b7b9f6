/** What is announced, and how patient that makes. */
import { describe, expect, test } from 'vitest';
import { announcedBytes, expectLarge } from '../../src/majordomo/wire/large.ts';

const MiB = 1024 * 1024;
const MINUTE = 60_000;

describe('a body', () => {
  test('is announced from 1 MiB on', () => {
    expect(announcedBytes([new Uint8Array(MiB - 1)])).toBeUndefined();
    expect(announcedBytes([new Uint8Array(MiB)])).toBe(MiB);
  });

  test('counts with all its frames', () => {
    const half = new Uint8Array(MiB / 2);
    expect(announcedBytes([half, half])).toBe(MiB);
    expect(announcedBytes([half, new Uint8Array(1)])).toBeUndefined();
    expect(announcedBytes([])).toBeUndefined();
  });
});

describe('an announcement', () => {
  test('buys a second for each MiB', () => {
    const heartbeat = { beatAt: 100, expiresAt: 300 };
    expectLarge(heartbeat, 0, 100 * MiB);
    expect(heartbeat).toEqual({ beatAt: 100, expiresAt: 100_300 });
  });

  test('adds to those before it: one waits behind the other', () => {
    const heartbeat = { beatAt: 100, expiresAt: 300 };
    expectLarge(heartbeat, 0, MiB);
    expectLarge(heartbeat, 0, MiB);
    expect(heartbeat.expiresAt).toBe(2300);
  });

  test('is believed for ten minutes at most, however often', () => {
    const heartbeat = { beatAt: 100, expiresAt: 300 };
    for (let times = 0; times < 3; times++) {
      expectLarge(heartbeat, 1000, Number.MAX_SAFE_INTEGER);
    }
    expect(heartbeat.expiresAt).toBe(1000 + 10 * MINUTE);
  });

  test('never shortens', () => {
    const heartbeat = { beatAt: 100, expiresAt: 60 * MINUTE };
    expectLarge(heartbeat, 0, MiB);
    expect(heartbeat.expiresAt).toBe(60 * MINUTE);
  });
});
