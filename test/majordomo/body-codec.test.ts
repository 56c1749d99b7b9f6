/** Values as bodies: what comes back is what was sent, big binary parts without a copy. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '@msgpack/msgpack';
import { InvalidArgumentError } from '../../src/core/errors.ts';
import { encodeText } from '../../src/core/frames.ts';
import { bodyCodecs, codecOfType, type CodecName } from '../../src/core/body-codec.ts';
import { decodeHeaders, encodeHeaders, HEADERS_LIMIT } from '../../src/majordomo/wire/headers.ts';
import { isHonestMessagePack } from '../../src/core/msgpack-check.ts';

const VALUE_CODECS = ['json', 'msgpack'] as const;

const TYPED = [
  Uint8Array.of(1, 2, 3),
  Int8Array.of(-1),
  Uint8ClampedArray.of(7),
  Int16Array.of(-300, 5),
  Uint16Array.of(40_000),
  Int32Array.of(-70_000),
  Uint32Array.of(3_000_000_000),
  BigInt64Array.of(-5n),
  BigUint64Array.of(5n),
  Float32Array.of(0.5),
  Float64Array.of(Math.PI, -0),
  new DataView(Uint8Array.of(9, 8).buffer),
  new Float64Array(0),
];

const there = (name: CodecName, value: unknown): unknown => {
  const { encode: write, decode: read } = bodyCodecs[name];
  // As from the wire: other memory, and nothing lies where its elements would like to.
  return read(
    write(value).map((frame) => {
      const received = new Uint8Array(frame.byteLength + 1);
      received.set(frame, 1);
      return received.subarray(1);
    }),
  );
};

function failureOf(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe.each(VALUE_CODECS)('%s', (name) => {
  test('brings any plain value back', () => {
    const values = fc
      .jsonValue()
      .map((value) => JSON.parse(JSON.stringify(value)) as unknown)
      // MessagePack does not read such a key: it could pollute prototypes.
      .filter((value) => name === 'json' || !JSON.stringify(value).includes('"__proto__"'));
    fc.assert(
      fc.property(values, (value) => {
        expect(there(name, value)).toEqual(value);
      }),
    );
    for (const value of [undefined, null, '', 'ä', 0, false, [], {}]) {
      expect(there(name, value)).toEqual(value);
    }
  });

  test('brings typed arrays of every kind back, small or big', () => {
    for (const small of TYPED) expect(there(name, { small })).toEqual({ small });
    const big = {
      list: [Float64Array.from({ length: 5000 }, Math.sqrt)],
      rest: new Uint8Array(1e5),
    };
    expect(there(name, big)).toEqual(big);
    expect(there(name, Buffer.from('text'))).toEqual(new Uint8Array(encodeText('text')));
    expect(there(name, Uint8Array.of(1).buffer)).toEqual(Uint8Array.of(1));
  });

  test('gives a big typed array a frame without a copy, and a view without a copy', () => {
    const samples = new Float64Array(100_000);
    const frames = bodyCodecs[name].encode({ samples, name: 'sensor' });
    expect(frames).toHaveLength(2);
    expect(frames[1]!.buffer).toBe(samples.buffer);
    const received = [frames[0]!, Buffer.from(samples.buffer.slice(0))];
    const value = bodyCodecs[name].decode(received) as { samples: Float64Array };
    expect(value.samples).toBeInstanceOf(Float64Array);
    expect(value.samples.buffer).toBe(received[1]!.buffer);
  });

  test('refuses what it cannot carry, and says why', () => {
    const { encode: write } = bodyCodecs[name];
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const crowd = Array.from({ length: 4001 }, () => new Uint8Array(10_000));
    for (const wrong of [cycle, () => 1, Symbol('no'), crowd]) {
      expect(() => write(wrong)).toThrow(InvalidArgumentError);
      expect(() => write(wrong)).toThrow(`cannot be written as ${name}`);
    }
  });

  test('answers any bytes with a value or a SyntaxError', () => {
    const { decode: read, encode: write } = bodyCodecs[name];
    const valid = write({ a: [1, 'x', new Float32Array(3000), Float32Array.of(1)], b: null });
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(fc.nat(valid[0]!.length - 1), fc.nat(255)).map(([at, byte]) => {
        const bent = valid[0]!.slice();
        bent[at] = byte;
        return bent;
      }),
      fc.constant(encodeText('{"$frame":1,"type":"Float64Array"}')),
    );
    const bodies = fc.array(part, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(bodies, (frames) => {
        const error = failureOf(() => read(frames));
        expect(error === undefined || error instanceof SyntaxError).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('json', () => {
  test('leaves keys that look like its own what they are', () => {
    const value = { $frame: 1, $$frame: { type: 'x', $frame: [2] }, frame: 'frame"' };
    expect(there('json', value)).toEqual(value);
    expect(there('json', { ...value, bytes: Uint8Array.of(1) })).toEqual({
      ...value,
      bytes: Uint8Array.of(1),
    });
  });

  test('is plain JSON for everyone else', () => {
    expect(bodyCodecs.json.encode({ a: [1] })).toEqual([encodeText('{"a":[1]}')]);
  });
});

describe('msgpack', () => {
  test('keeps big whole numbers, dates, and numbers as numbers', () => {
    const value = { big: 2n ** 63n, at: new Date(1e12), number: 2 ** 50 };
    expect(there('msgpack', value)).toEqual(value);
    expect(there('msgpack', { left: undefined })).toEqual({});
  });

  test('that lies about its length costs nothing', () => {
    const lie = new Uint8Array(50_000).map((_, index) => [0xdd, 0, 0, 0xc3, 0x4f][index % 5]!);
    expect(isHonestMessagePack(lie)).toBe(false);
    expect(() => bodyCodecs.msgpack.decode([lie])).toThrow('claims more than there is');
  });

  test('that is valid is found honest', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(isHonestMessagePack(encode(value))).toBe(true);
      }),
    );
    const wide = [new Uint8Array(300), 'x'.repeat(70_000), -1e10, 0.1, new Uint8Array(70_000)];
    const long = Array.from({ length: 70_000 }, (_, index) => ({ [index]: index }));
    for (const value of [wide, long, new Date(0.5)]) {
      expect(isHonestMessagePack(encode(value))).toBe(true);
    }
  });
});

describe('bytes', () => {
  test('are what they are', () => {
    expect(there('bytes', 'text')).toEqual(encodeText('text'));
    expect(there('bytes', ['a', 'b'])).toEqual([encodeText('a'), encodeText('b')]);
    expect(() => bodyCodecs.bytes.encode({})).toThrow(InvalidArgumentError);
  });
});

describe('headers', () => {
  test('come back, with the content type of the codec', () => {
    const bytes = encodeHeaders({ trace: '00-ä' }, bodyCodecs.msgpack.contentType);
    const headers = decodeHeaders(bytes);
    expect(headers).toEqual({ trace: '00-ä', 'content-type': 'application/msgpack' });
    expect(codecOfType(headers['content-type'])).toBe(bodyCodecs.msgpack);
    expect(codecOfType(undefined)).toBeUndefined();
    expect(encodeHeaders(undefined, undefined)).toBeUndefined();
  });

  test('are bounded', () => {
    expect(() => encodeHeaders({ much: 'x'.repeat(HEADERS_LIMIT) }, undefined)).toThrow(/at most/);
  });

  test.each(['', '[]', '5', 'null', '{', '"x"'])('that are none are none: %s', (text) => {
    expect(decodeHeaders(encodeText(text))).toEqual({});
  });

  test('have texts only', () => {
    expect(decodeHeaders(encodeText('{"a":"x","b":5,"c":{}}'))).toEqual({ a: 'x' });
    expect(decodeHeaders(undefined)).toEqual({});
  });
});
