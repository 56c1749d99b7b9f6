/** Hostile bytes for the express codec: nothing throws, all is bounded, nothing comes twice. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteLength } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Command } from '../../src/majordomo/wire/commands.ts';
import * as format from '../../src/majordomo/wire/express-format.ts';
import { COMMANDS, packed } from './express-messages.ts';
import {
  decode,
  DISCONNECT,
  hex,
  plain,
  SIDES,
  TAG,
  wireCommand,
  type Side,
} from './express-wire.ts';

/** What comes of commands that are said again: the same, if what was delivered is well formed. */
function saidAgain(side: Side, commands: readonly Command[]): unknown[] {
  return packed(commands).flatMap((frames) => decode(side, frames).commands.map(plain));
}

describe.each(SIDES)('to a %s', (side) => {
  const pack = fc
    .array(COMMANDS[side], { minLength: 1, maxLength: 8 })
    .map((commands) => ({ commands, frames: packed(commands)[0]! }));

  test('any bytes behind the tag give commands, or a reason', () => {
    const type = fc.nat(17).map((number) => Uint8Array.of(number));
    const length = fc
      .oneof(fc.nat(30), fc.nat(0xff_ff_ff_ff))
      .map((bytes) => hex(bytes.toString(16).padStart(8, '0')));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      type,
      fc.tuple(type, length).map(join),
    );
    const message = fc.tuple(
      fc.array(bytes, { maxLength: 10 }),
      fc.array(fc.uint8Array({ maxLength: 3 }), { maxLength: 3 }),
    );
    fc.assert(
      fc.property(message, ([parts, further]) => {
        const { commands } = decode(side, [join([hex(TAG), ...parts]), ...further]);
        expect(saidAgain(side, commands)).toEqual(commands.map(plain));
      }),
      { numRuns: 3000 },
    );
  });

  test('a byte that was changed spoils nothing before it', () => {
    fc.assert(
      fc.property(pack, fc.nat(), fc.nat(255), ({ commands, frames }, place, value) => {
        const header = Buffer.from(frames[0]!);
        const at = TAG.length / 2 + (place % (header.length - TAG.length / 2));
        header[at] = value;
        const read = decode(side, [header, ...frames.slice(1)]);
        const untouched = endsOf(frames).filter((end) => end <= at).length;
        const before = read.commands.slice(0, untouched).map(plain);
        expect(before).toEqual(commands.slice(0, untouched).map(plain));
        expect(saidAgain(side, read.commands)).toEqual(read.commands.map(plain));
      }),
      { numRuns: 2000 },
    );
  });

  test('a message cut off anywhere gives the commands that are whole, and a reason', () => {
    fc.assert(
      fc.property(pack, ({ commands, frames }) => {
        const ends = endsOf(frames);
        const header = frames[0]!;
        const step = Math.max(1, Math.floor(header.length / 300));
        for (let end = TAG.length / 2; end < header.length; end += step) {
          const read = decode(side, [header.subarray(0, end), ...frames.slice(1)]);
          const whole = ends.filter((each) => each <= end).length;
          expect(read.commands.map(plain)).toEqual(commands.slice(0, whole).map(plain));
          const isAtAnEnd = end === TAG.length / 2 || ends.includes(end);
          expect(isAtAnEnd || read.reason !== undefined).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('a further frame that is missing, added or of another length is noticed', () => {
    const large = pack.filter(({ frames }) => frames.length > 1);
    fc.assert(
      fc.property(large, ({ frames }) => {
        const longer = new Uint8Array(frames.at(-1)!.length + 1);
        expect(decode(side, frames.slice(0, -1)).reason).toBe('a further frame is not there');
        expect(decode(side, [...frames, longer]).reason).toBe(
          'a further frame that nobody refers to',
        );
        expect(decode(side, [...frames.slice(0, -1), longer]).reason).toBe(
          'a further frame has another length',
        );
      }),
      { numRuns: 50 },
    );
  });
});

describe('bounded', () => {
  test('a million commands are more than a message holds', () => {
    const header = join([hex(TAG), hex(DISCONNECT.repeat(1_000_000))]);
    expect(decode('broker', [header])).toEqual({ commands: [], reason: 'the header is too large' });
  });

  test('as many commands as fit into a message: 65,536 are delivered, the rest is refused', () => {
    const header = join([hex(TAG), hex(DISCONNECT.repeat(200_000))]);
    const { commands, reason } = decode('broker', [header]);
    expect(commands).toHaveLength(format.COMMAND_LIMIT);
    expect(reason).toBe('too many commands');
  });

  test('nor are more of them read that nobody knows', () => {
    const header = join([hex(TAG), hex(wireCommand(99, '').repeat(200_000)), hex(DISCONNECT)]);
    expect(decode('broker', [header])).toEqual({ commands: [], reason: 'too many commands' });
  });

  test('a header of more than 1 MiB, and more than 4,096 further frames', () => {
    const header = Buffer.alloc(format.HEADER_LIMIT + 1);
    header.set(hex(TAG));
    expect(decode('broker', [header]).reason).toBe('the header is too large');
    const frames = [hex(TAG), ...Array.from({ length: 4097 }, () => new Uint8Array(0))];
    expect(decode('broker', frames).reason).toBe('too many frames');
  });

  test('what is kept of a message never keeps the message', () => {
    const headers = new Uint8Array(9000);
    const key = { key: 'k', timeLeft: 5 };
    const body = [new Uint8Array(4095)];
    const common = { dialect: 'express', service: 'echo', body, number: 1 } as const;
    const [frames] = packed([{ type: 'request', ...common, headers, ...key }]);
    const { commands } = decode('broker', frames!);
    const read = commands[0] as { body: Frames; headers: Uint8Array };
    // Small frames are copied by who keeps them; what nobody copies has memory of its own.
    expect(read.headers.buffer.byteLength).toBe(9000);
    expect(byteLength(read.body)).toBeLessThanOrEqual(format.INLINE_LIMIT);
  });
});

/** Where in the header each command ends. */
function endsOf(frames: Frames): number[] {
  const header = Buffer.from(frames[0]!);
  const ends: number[] = [];
  for (let at = TAG.length / 2; at < header.length;) {
    at += format.PROLOGUE + header.readUInt32BE(at + 1);
    ends.push(at);
  }
  return ends;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
