/** The wire of key-value cache events: recorded bytes, both layouts, and any bytes at all. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../../src/core/frames.ts';
import type { Frames } from '../../../src/core/machine.ts';
import { kvPublisherCodec, kvSubscriberCodec } from '../../../src/clone/replay/kv-codec.ts';
import type {
  KvPublisherInput,
  KvSubscriberInput,
  KvSubscriberPort,
} from '../../../src/clone/replay/commands.ts';

const body = encodeText('payload');

function hear(port: KvSubscriberPort, frames: Frames): KvSubscriberInput | string | undefined {
  let heard: KvSubscriberInput | undefined;
  const reason = kvSubscriberCodec.decode(port, frames, (command) => (heard = command));
  return reason ?? heard;
}

function asked(frames: Frames): KvPublisherInput | string | undefined {
  let heard: KvPublisherInput | undefined;
  const reason = kvPublisherCodec('topic').decode('replay', frames, (command) => (heard = command));
  return reason ?? heard;
}

const hex = (frames: Frames): string[] => frames.map((frame) => Buffer.from(frame).toString('hex'));
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

describe('what is written', () => {
  const event = { type: 'event', topic: 'kv@0', sequence: 258, body } as const;
  const answer = { type: 'answer', topic: 'kv@0', sequence: 258, body } as const;
  const end = { type: 'end', topic: 'kv@0' } as const;
  const topic = '6b764030';
  const number = '0000000000000102';
  const payload = '7061796c6f6164';

  test('is an event of three frames', () => {
    const { frames } = kvPublisherCodec('plain').encode('publisher', event, undefined);
    expect(hex(frames)).toEqual([topic, number, payload]);
  });

  test('is an answer of four frames, or of three, and an end of the same shape', () => {
    const newer = kvPublisherCodec('topic');
    expect(hex(newer.encode('replay', answer, undefined).frames)).toEqual([
      '',
      topic,
      number,
      payload,
    ]);
    expect(hex(newer.encode('replay', end, undefined).frames)).toEqual([
      '',
      topic,
      'ffffffffffffffff',
      '',
    ]);
    const older = kvPublisherCodec('plain');
    expect(hex(older.encode('replay', answer, undefined).frames)).toEqual(['', number, payload]);
    expect(hex(older.encode('replay', end, undefined).frames)).toEqual([
      '',
      'ffffffffffffffff',
      '',
    ]);
  });

  test('is a question of an empty frame and a number', () => {
    const { frames } = kvSubscriberCodec.encode('replay', { type: 'ask', from: 258 }, undefined);
    expect(hex(frames)).toEqual(['', number]);
  });
});

describe('what is read', () => {
  const number = bytes('0000000000000102');
  const none = new Uint8Array(0);
  const topic = encodeText('kv@0');

  test('is either layout of an answer', () => {
    expect(hear('replay', [none, number, body])).toEqual({
      type: 'answer',
      topic: undefined,
      sequence: 258,
      body,
    });
    expect(hear('replay', [none, topic, number, body])).toEqual({
      type: 'answer',
      topic: 'kv@0',
      sequence: 258,
      body,
    });
    const minusOne = bytes('ffffffffffffffff');
    expect(hear('replay', [none, minusOne, none])).toEqual({ type: 'end', topic: undefined });
    expect(hear('replay', [none, topic, minusOne, none])).toEqual({ type: 'end', topic: 'kv@0' });
  });

  test('is never taken for something else', () => {
    expect(hear('publisher', [topic, number])).toMatch(/^not a topic/);
    expect(hear('publisher', [topic, bytes('01'), body])).toMatch(/sequence/);
    expect(hear('publisher', [topic, bytes('ffffffffffffffff'), none])).toMatch(/sequence/);
    expect(hear('replay', [topic, number, body])).toMatch(/empty frame/);
    expect(hear('replay', [none, number])).toMatch(/three or four/);
    expect(hear('replay', [none, bytes('ffffffffffffffff'), body])).toMatch(/end with a body/);
    expect(hear('replay', [none, bytes('8000000000000000'), body])).toMatch(/sequence/);
    expect(asked([none, bytes('01')])).toMatch(/8 bytes/);
    expect(asked([number])).toMatch(/empty frame/);
  });

  test('is a question for what nobody can have, too', () => {
    const from = Number.MAX_SAFE_INTEGER;
    expect(asked([none, bytes('ffffffffffffffff')])).toEqual({ type: 'ask', from });
  });
});

test('any frames are one command, or a reason; and what is said is heard', () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 10 }), { maxLength: 6 });
  fc.assert(
    fc.property(frames, fc.constantFrom('publisher' as const, 'replay' as const), (any, port) => {
      expect(hear(port, any)).toBeDefined();
      expect(asked(any)).toBeDefined();
    }),
    { numRuns: 500, seed: 1 },
  );
  const topics = fc.string({ maxLength: 20, unit: 'grapheme' });
  const numbers = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 1 });
  fc.assert(
    fc.property(topics, numbers, fc.uint8Array(), (topic, sequence, payload) => {
      const event = { type: 'event', topic, sequence, body: payload } as const;
      const { frames: said } = kvPublisherCodec('topic').encode('publisher', event, undefined);
      expect(hear('publisher', said)).toEqual(event);
      const question = { type: 'ask', from: sequence } as const;
      expect(asked(kvSubscriberCodec.encode('replay', question, undefined).frames)).toEqual(
        question,
      );
    }),
    { numRuns: 300, seed: 2 },
  );
});
