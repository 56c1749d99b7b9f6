/** Heartbeats, back-off, the seeded generator, bodies and errors: small, and everything stands on them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { framesOf } from '../../src/core/body.ts';
import {
  BindError,
  ClosedError,
  InvalidArgumentError,
  NotReadyError,
  RequestError,
  UnsinkableError,
  type ErrorCode,
} from '../../src/core/errors.ts';
import {
  beaten,
  expiryOf,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
} from '../../src/core/heartbeat.ts';
import { seededRandom } from '../../src/core/random.ts';
import { backoffDelay } from '../../src/core/retry.ts';

const draw = (seed: number): number[] => {
  const random = seededRandom(seed);
  return Array.from({ length: 20 }, random);
};

describe('heartbeat', () => {
  const settings = { heartbeatInterval: 100, heartbeatLiveness: 3 };

  test('begins with one beat due and a full expiry', () => {
    const heartbeat = startHeartbeat(1000, settings);
    expect(heartbeat).toEqual({ beatAt: 1100, expiresAt: 1300 });
    expect(expiryOf(settings)).toBe(300);
    expect(nextDue(heartbeat)).toBe(1100);
  });

  test('a sign of life moves the expiry and not the beat', () => {
    const heartbeat = startHeartbeat(0, settings);
    heard(heartbeat, 250, settings);
    expect(heartbeat).toEqual({ beatAt: 100, expiresAt: 550 });
  });

  test('a late beat is followed by one interval, not by a burst', () => {
    const heartbeat = startHeartbeat(0, settings);
    beaten(heartbeat, 1000, settings);
    expect(heartbeat.beatAt).toBe(1100);
    expect(nextDue(heartbeat)).toBe(300);
  });

  test('forgiving gives one more interval, and never takes away', () => {
    const heartbeat = startHeartbeat(0, settings);
    forgive(heartbeat, 50, settings);
    expect(heartbeat.expiresAt).toBe(300);
    forgive(heartbeat, 5000, settings);
    expect(heartbeat.expiresAt).toBe(5100);
  });
});

describe('back-off', () => {
  const settings = { backoff: 50, backoffLimit: 2000 };

  test.each([
    [0, 50],
    [1, 100],
    [5, 1600],
    [6, 2000],
    [1_000_000, 2000],
  ])('retry %i waits between half of %i ms and all of it', (retry, ceiling) => {
    expect(backoffDelay(settings, retry, () => 0)).toBe(ceiling / 2);
    expect(backoffDelay(settings, retry, () => 1)).toBe(ceiling);
  });

  test('the jitter is spread over the upper half', () => {
    const random = seededRandom(7);
    const delays = Array.from({ length: 1000 }, () => backoffDelay(settings, 0, random));
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(25);
    expect(Math.max(...delays)).toBeLessThan(50);
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
    expect(mean).toBeGreaterThan(36.5);
    expect(mean).toBeLessThan(38.5);
  });

  test('a limit below the first delay holds', () => {
    expect(backoffDelay({ backoff: 500, backoffLimit: 10 }, 0, () => 1)).toBe(10);
  });
});

describe('seededRandom', () => {
  test('gives the same for the same seed, and something else for another', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        expect(draw(seed)).toEqual(draw(seed));
        expect(draw(seed)).not.toEqual(draw(seed + 1));
      }),
    );
  });

  test('is uniform in [0, 1)', () => {
    const random = seededRandom(42);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let count = 0; count < 10_000; count++) {
      const value = random();
      expect(value >= 0 && value < 1).toBe(true);
      tenths[Math.floor(value * 10)]!++;
    }
    expect(Math.min(...tenths)).toBeGreaterThan(900);
    expect(Math.max(...tenths)).toBeLessThan(1100);
  });
});

describe('framesOf', () => {
  const bytes = Uint8Array.of(0, 255);

  test.each<[what: string, body: unknown, frames: Uint8Array[]]>([
    ['text is one UTF-8 frame', 'é', [Uint8Array.of(0xc3, 0xa9)]],
    ['empty text is one empty frame', '', [new Uint8Array(0)]],
    ['bytes are one frame', bytes, [bytes]],
    ['an array is one frame an element', ['a', bytes], [Uint8Array.of(97), bytes]],
    ['an empty array is one empty frame', [], [new Uint8Array(0)]],
  ])('%s', (_what, body, frames) => {
    expect(framesOf(body).map((frame) => [...frame])).toEqual(frames.map((frame) => [...frame]));
  });

  test('bytes are not copied', () => {
    expect(framesOf(bytes)[0]).toBe(bytes);
    expect(framesOf([bytes])[0]).toBe(bytes);
  });

  test.each<[what: unknown, shown: string]>([
    [null, 'null'],
    [undefined, 'undefined'],
    [1, 'number'],
    [{}, 'object'],
    [new ArrayBuffer(1), 'object'],
    [new Uint16Array(1), 'object'],
    [[['a']], 'an array'],
    [['a', 1], 'number'],
    // A hole is undefined too, though `map` would step over it.
    [Array.from('ab').concat(Array<string>(1)), 'undefined'],
  ])('refuses %s', (body, shown) => {
    expect(() => framesOf(body)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_BODY',
        message: expect.stringContaining(`not ${shown};`) as string,
      }),
    );
  });
});

describe('errors', () => {
  const RETRIABLE: Record<ErrorCode, boolean> = {
    ERR_INVALID_ARGUMENT: false,
    ERR_INVALID_BODY: false,
    ERR_INVALID_ENDPOINT: false,
    ERR_INVALID_OPTION: false,
    ERR_UNKNOWN_OPTION: false,
    ERR_ADDRESS_IN_USE: true,
    ERR_BIND_FAILED: false,
    ERR_CLOSED: false,
    ERR_NOT_CONNECTED: false,
    ERR_NOT_READY: true,
    ERR_TOO_MANY_SOCKETS: false,
    ERR_ATTEMPTS_EXHAUSTED: false,
    ERR_BROKER_CLOSING: true,
    ERR_SERVER_CLOSING: true,
    ERR_CANCELLED: false,
    ERR_HANDLER_FAILED: false,
    ERR_NOT_ACTIVE: true,
    ERR_NOT_SUPPORTED: false,
    ERR_NO_SERVICE: true,
    ERR_QUEUE_FULL: true,
    ERR_REPLY_TOO_LARGE: false,
    ERR_REQUEST_EXPIRED: true,
    ERR_REQUEST_TIMEOUT: true,
    ERR_ID_IN_USE: false,
    ERR_STORAGE_CORRUPT: false,
    ERR_STORAGE_FAILED: true,
    ERR_STORAGE_FULL: true,
    ERR_STORAGE_IN_USE: true,
    ERR_STORAGE_UNAVAILABLE: false,
    ERR_STORAGE_VERSION: false,
    ERR_STREAM_OVERFLOW: false,
    ERR_UNKNOWN_REQUEST: false,
    ERR_WORKER_LOST: true,
    ERR_CONFLICT: false,
    ERR_EMPTY_VALUE: false,
    ERR_INVALID_KEY: false,
    ERR_STATE_FULL: true,
    ERR_VALUE_TOO_LARGE: false,
    ERR_WRITE_TIMEOUT: true,
  };

  test.each(Object.entries(RETRIABLE))('%s: retriable is %s', (code, retriable) => {
    const error = new UnsinkableError(code as ErrorCode, 'why');
    expect(error).toMatchObject({ code, message: 'why', name: 'UnsinkableError', retriable });
    expect(error).toBeInstanceOf(Error);
  });

  test('each class has its name, its code and its data', () => {
    const bind = new BindError('ERR_ADDRESS_IN_USE', 'tcp://x', 'in use');
    expect(bind).toMatchObject({ name: 'BindError', endpoint: 'tcp://x', retriable: true });
    const ready = new NotReadyError(['tcp://x'], 500);
    expect(ready).toMatchObject({ code: 'ERR_NOT_READY', endpoints: ['tcp://x'] });
    expect(new ClosedError('this client')).toMatchObject({
      name: 'ClosedError',
      code: 'ERR_CLOSED',
      message: 'this client is closed: create a new one',
    });
    const argument = new InvalidArgumentError('ERR_INVALID_OPTION', 'bad');
    expect(argument).toMatchObject({ name: 'InvalidArgumentError', retriable: false });
  });

  test('a request error keeps its service and its cause; a cancelled one looks like an abort', () => {
    const cause = new Error('why');
    const lost = new RequestError('ERR_WORKER_LOST', 'echo', 'lost', { cause });
    expect(lost).toMatchObject({ name: 'RequestError', code: 'ERR_WORKER_LOST', service: 'echo' });
    expect(lost.cause).toBe(cause);
    expect(new RequestError('ERR_CANCELLED', 'echo', 'enough').name).toBe('AbortError');
    const full = new RequestError('ERR_QUEUE_FULL', 'echo', 'full', { retryAfter: 50 });
    expect(full.retryAfter).toBe(50);
  });
});
