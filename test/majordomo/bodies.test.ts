/** What stands in bodies: failures, and the answers of MMI. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { REQUEST_ERROR_CODES } from '../../src/core/errors.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { ServiceStatus } from '../../src/majordomo/broker/broker-events.ts';
import { decodeFailure, encodeFailure } from '../../src/core/error-body.ts';
import { answerMmi, isReserved } from '../../src/majordomo/wire/mmi.ts';

const MARKER = encodeText('\0UNSINKABLE-ERR1');

describe('a failure', () => {
  test.each(REQUEST_ERROR_CODES)('%s comes back as it was', (code) => {
    const failure = { code, message: 'why “so”\n' };
    expect(decodeFailure(encodeFailure(failure))).toEqual(failure);
  });

  test('is a marker of 16 bytes and JSON, for ever', () => {
    const [marker, json] = encodeFailure({ code: 'ERR_QUEUE_FULL', message: 'full' });
    expect(MARKER).toHaveLength(16);
    expect(Buffer.from(marker!).toString('hex')).toBe('00554e53494e4b41424c452d45525231');
    expect(decodeText(json!)).toBe('{"code":"ERR_QUEUE_FULL","message":"full"}');
  });

  test('does not ship megabytes', () => {
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'x'.repeat(1_000_000) } as const;
    expect(decodeFailure(encodeFailure(failure))!.message).toHaveLength(4096);
  });

  test.each([
    ['no frame', []],
    ['one frame', [MARKER]],
    ['three frames', [MARKER, encodeText('{}'), encodeText('')]],
    ['another version', [encodeText('\0UNSINKABLE-ERR2'), encodeText('{}')]],
    ['an ordinary body', [encodeText('a'), encodeText('b')]],
  ])('is not in %s', (_what, body) => {
    expect(decodeFailure(body)).toBeUndefined();
  });

  test.each([
    ['{"code":"ERR_OF_2031","message":"m"}', 'ERR_OF_2031: m'],
    ['{"code":"ERR_INVALID_OPTION","message":"m"}', 'ERR_INVALID_OPTION: m'],
    ['{"code":"constructor","message":"m"}', 'constructor: m'],
    ['{"code":7}', 'unknown: the peer gave no reason'],
    ['null', 'unknown: the peer gave no reason'],
    ['not JSON', 'unknown: the peer gave no reason'],
  ])('that says %s is still a failure', (json, message) => {
    expect(decodeFailure([MARKER, encodeText(json)])).toEqual({
      code: 'ERR_HANDLER_FAILED',
      message,
    });
  });

  test('is read from any bytes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.json().map(encodeText)), (json) => {
        const failure = decodeFailure([MARKER, json])!;
        expect(REQUEST_ERROR_CODES).toContain(failure.code);
        expect(failure.message).toBeTypeOf('string');
      }),
    );
  });
});

describe('MMI', () => {
  const status: ServiceStatus = {
    name: 'echo',
    workers: 2,
    waiting: 1,
    stalled: 0,
    running: 1,
    credit: 2,
    queued: 3,
  };
  const view = { offers: (name: string) => name === 'echo', services: () => [status] };
  const ask = (service: string, text = ''): string[] =>
    answerMmi(service, [encodeText(text)], view).map(decodeText);

  test.each([
    ['mmi.service', 'echo', ['200']],
    ['mmi.service', 'nobody', ['404']],
    ['mmi.service', '', ['404']],
    ['mmi.services', '', ['200', JSON.stringify([status])]],
    ['mmi.unheard-of', 'echo', ['501']],
    ['mmi.', '', ['501']],
    ['mmi.constructor', '', ['501']],
  ])('%s of %j is %j', (service, text, answer) => {
    expect(ask(service, text)).toEqual(answer);
  });

  test('owns what is under mmi., and nothing else', () => {
    const names = ['mmi.', 'mmi.x', 'mmi', 'MMI.x', 'xmmi.', 'mmix'];
    expect(names.filter(isReserved)).toEqual(['mmi.', 'mmi.x']);
  });
});
