/** What is stored can be read again, and whatever else is found is refused in words. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import {
  checkOf,
  decodeRecord,
  deletesOf,
  encodeMeta,
  keyOf,
  readKey,
  RECORD_BITS,
  RECORD_KINDS,
  type RecordKind,
  type RecordMeta,
} from '../../src/titanic/records.ts';
import { body } from '../actor.ts';
import { A } from './titanic-story.ts';

const wall = fc.integer({ min: 0, max: 4e12 });
const few = fc.nat(20);
const check = fc.option(fc.integer(), { nil: undefined });
const service = fc.string();

const metas: fc.Arbitrary<RecordMeta> = fc.oneof(
  fc.record({
    kind: fc.constant('request' as const),
    service,
    submitted: wall,
    delay: fc.option(fc.nat(), { nil: undefined }),
    deadline: fc.option(fc.nat(), { nil: undefined }),
    retries: few,
    backoff: fc.nat(),
    begun: few,
    check,
  }),
  fc.record({ kind: fc.constant('attempts' as const), attempts: few, failures: few, again: few }),
  fc.record({
    kind: fc.constant('reply' as const),
    service,
    submitted: wall,
    finished: wall,
    attempts: few,
    check,
  }),
  fc.record({
    kind: fc.constant('dead' as const),
    finished: wall,
    attempts: few,
    failures: few,
    code: fc.constantFrom('ERR_HANDLER_FAILED' as const, 'ERR_REQUEST_EXPIRED' as const),
    message: fc.string({ unit: 'grapheme' }),
  }),
  fc.record({ kind: fc.constant('closed' as const), closed: wall }),
);

/** The fields of one record, as JSON has them. */
const SOUND: Readonly<Record<RecordKind, Readonly<Record<string, unknown>>>> = {
  request: { service: 'echo', submitted: 1, retries: 3, backoff: 100, begun: 0 },
  attempts: { attempts: 2, failures: 1 },
  reply: { service: 'echo', submitted: 1, finished: 2, attempts: 1 },
  dead: { finished: 2, attempts: 1, failures: 1, code: 'ERR_HANDLER_FAILED', message: 'no' },
  closed: { closed: 1 },
};

const read = (kind: RecordKind, fields: unknown) =>
  decodeRecord(kind, [encodeText(JSON.stringify(fields))]);

describe('a record', () => {
  test('says after reading what was said in writing, whatever the frames behind', () => {
    fc.assert(
      fc.property(metas, fc.array(fc.uint8Array()), (meta, frames) => {
        const { kind, ...fields } = meta;
        expect(decodeRecord(kind, [encodeMeta(fields as typeof meta), ...frames])).toEqual(meta);
      }),
    );
  });

  test.each(RECORD_KINDS)('of kind %s needs each of its fields, and takes others', (kind) => {
    expect(read(kind, { ...SOUND[kind], ofALaterVersion: [1] })).toMatchObject(SOUND[kind]);
    for (const name of Object.keys(SOUND[kind])) {
      expect(read(kind, { ...SOUND[kind], [name]: undefined })).toBe(`'${name}' is missing`);
      expect(read(kind, { ...SOUND[kind], [name]: {} })).toContain(`'${name}' must be`);
    }
  });

  test('is read in full, or refused in words: nothing throws, whatever the bytes', () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.json().map(encodeText),
      fc.constantFrom(...Object.values(SOUND)).map((fields) => encodeText(JSON.stringify(fields))),
    );
    fc.assert(
      fc.property(fc.constantFrom(...RECORD_KINDS), fc.array(bytes), (kind, frames) => {
        const meta = decodeRecord(kind, frames);
        expect(typeof meta === 'string' ? meta.length : meta.kind).not.toBe(0);
      }),
    );
    expect(decodeRecord('closed', [])).toContain('missing');
  });

  test('of a death with a code that nobody knows is not read', () => {
    expect(read('dead', { ...SOUND.dead, code: 'ERR_WHATEVER' })).toContain("'code' must be");
  });

  test('leaves out what is undefined', () => {
    const meta = { service: 's', submitted: 1, finished: 2, attempts: 1, check: undefined };
    expect(decodeText(encodeMeta(meta))).toBe(
      '{"service":"s","submitted":1,"finished":2,"attempts":1}',
    );
  });
});

describe('a key', () => {
  test('names what it was made of', () => {
    for (const kind of RECORD_KINDS) expect(readKey(keyOf(kind, A))).toEqual({ kind, id: A });
  });

  test('that is none of ours names nothing', () => {
    const keys = ['', ':', A, `:${A}`, 'request:', `request:${A}0`, `request:${A.toUpperCase()}`];
    for (const key of [...keys, `toString:${A}`, `Request:${A}`, ` request:${A}`]) {
      expect(readKey(key)).toBeUndefined();
    }
  });

  test('is deleted where its bit is set, and not to be kept', () => {
    const { request, attempts, reply } = RECORD_BITS;
    expect(deletesOf(0, A)).toEqual([]);
    expect(deletesOf(request | attempts, A)).toEqual([`request:${A}`, `attempts:${A}`]);
    expect(deletesOf(request | reply, A, reply)).toEqual([`request:${A}`]);
  });
});

describe('the hash of a submit', () => {
  test('is the same for the same, and 32 bits with a sign', () => {
    fc.assert(
      fc.property(service, fc.array(fc.uint8Array({ maxLength: 20 })), (name, frames) => {
        const hash = checkOf(name, frames);
        const copies = frames.map((frame) => Uint8Array.from(frame));
        expect(checkOf(name, copies)).toBe(hash);
        expect(hash | 0).toBe(hash);
      }),
    );
  });

  test('is another for another service, body or division into frames', () => {
    const submits: [string, string[]][] = [
      ['echo', []],
      ['echo', ['']],
      ['echo', ['', '']],
      ['other', ['']],
      ['echo', ['abcd']],
      ['echo', ['abce']],
      ['echo', ['bbcd']],
      ['echo', ['ab', 'cd']],
      ['echo', ['abcd', '']],
      ['echo', ['abcdabcd']],
      ['echo', ['dcba']],
      ['echo', ['abcde']],
    ];
    const hashes = submits.map(([name, texts]) => checkOf(name, body(...texts)));
    expect(new Set(hashes).size).toBe(submits.length);
  });

  test('notices each bit', () => {
    const bytes = Uint8Array.from({ length: 11 }, (_, index) => index * 37);
    const hashes = new Set([checkOf('echo', [bytes])]);
    for (let bit = 0; bit < 88; bit++) {
      const changed = Uint8Array.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      hashes.add(checkOf('echo', [changed]));
    }
    expect(hashes.size).toBe(89);
  });
});
