/** Hostile bytes for the stream's codec: nothing throws, all is bounded, nothing comes twice. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Frames } from '../../../src/core/machine.ts';
import * as format from '../../../src/clone/wire/stream-format.ts';
import { COMMANDS } from './stream-messages.ts';
import { decode, hex, packed, plain, SIDES, TAG, wireCommand, type Side } from './stream-wire.ts';

const START = TAG.length / 2;
const PROLOGUE = 5;
const GOODBYE = wireCommand(format.TYPES.goodbye, '');

/** What comes of commands that are said again: the same, if what was delivered is well formed. */
function saidAgain(side: Side, commands: readonly object[]): unknown[] {
  // What was decoded has the type of a command; that it is one is what is tested.
  const all = commands as readonly format.StreamDialect[];
  return packed(all).flatMap((frames) => decode(side, frames).commands.map(plain));
}

describe.each(SIDES)('to a %s', (side) => {
  const pack = fc
    .array(COMMANDS[side], { minLength: 1, maxLength: 8 })
    .map((commands) => ({ commands, frames: packed(commands)[0]! }));

  test('any bytes behind the tag give commands, or a reason', () => {
    const type = fc.nat(16).map((number) => Uint8Array.of(number));
    const length = fc
      .oneof(fc.nat(30), fc.nat(0xff_ff_ff_ff))
      .map((bytes) => hex(bytes.toString(16).padStart(8, '0')));
    const command = fc
      .tuple(fc.nat(16), fc.uint8Array({ maxLength: 30 }))
      .map(([number, bytes]) => hex(wireCommand(number, Buffer.from(bytes).toString('hex'))));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      fc.tuple(type, length).map(join),
      command,
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
      { numRuns: 5000 },
    );
  });

  test('a byte that was changed spoils nothing before it', () => {
    fc.assert(
      fc.property(pack, fc.nat(), fc.nat(255), ({ commands, frames }, place, value) => {
        const header = Buffer.from(frames[0]!);
        const at = START + (place % (header.length - START));
        header[at] = value;
        const read = decode(side, [header, ...frames.slice(1)]);
        const untouched = endsOf(frames).filter((end) => end <= at).length;
        const before = read.commands.slice(0, untouched).map(plain);
        expect(before).toEqual(commands.slice(0, untouched).map(plain));
        expect(saidAgain(side, read.commands)).toEqual(read.commands.map(plain));
      }),
      { numRuns: 3000 },
    );
  });

  test('a message cut off anywhere gives the commands that are whole, and a reason', () => {
    fc.assert(
      fc.property(pack, ({ commands, frames }) => {
        const ends = endsOf(frames);
        const header = frames[0]!;
        const step = Math.max(1, Math.floor(header.length / 300));
        for (let end = START; end < header.length; end += step) {
          const read = decode(side, [header.subarray(0, end), ...frames.slice(1)]);
          const whole = ends.filter((each) => each <= end).length;
          expect(read.commands.map(plain)).toEqual(commands.slice(0, whole).map(plain));
          const isAtAnEnd = end === START || ends.includes(end);
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
      { numRuns: 30 },
    );
  });
});

describe('bounded', () => {
  test('as many commands as fit into a message: 65,536 are delivered, the rest is refused', () => {
    const header = join([hex(TAG), hex(GOODBYE.repeat(200_000))]);
    const { commands, reason } = decode('server', [header]);
    expect(commands).toHaveLength(format.COMMAND_LIMIT);
    expect(reason).toBe('too many commands');
  });

  test('a header of more than 1 MiB, and more than 4,096 further frames', () => {
    const header = Buffer.alloc(format.HEADER_LIMIT + 1);
    header.set(hex(TAG));
    expect(decode('server', [header]).reason).toBe('the header is too large');
    const frames = [hex(TAG), ...Array.from({ length: 4097 }, () => new Uint8Array(0))];
    expect(decode('server', frames).reason).toBe('too many frames');
  });

  test('the number of a write, as the next one must have one too', () => {
    const { MAX_SAFE_INTEGER } = Number;
    expect(decode('server', writeOf(MAX_SAFE_INTEGER - 1)).reason).toBeUndefined();
    expect(decode('server', writeOf(MAX_SAFE_INTEGER)).reason).toBe('a number is too large');
  });

  test('a lying count costs no memory', () => {
    const { writer, lineage } = format.TYPES;
    const id = '00'.repeat(8);
    for (const command of [
      wireCommand(writer, `0100${id}01808004`),
      wireCommand(lineage, '018008'),
    ]) {
      const read = decode('follower', [hex(TAG + command)]);
      expect(read).toEqual({ commands: [], reason: 'a command is too short' });
    }
  });
});

function writeOf(number: number): Frames {
  return packed([{ type: 'write', number, floor: 1, kind: 'delete', key: '/a', value: [] }])[0]!;
}

/** Where in the header each command ends. */
function endsOf(frames: Frames): number[] {
  const header = Buffer.from(frames[0]!);
  const ends: number[] = [];
  for (let at = START; at < header.length;) {
    at += PROLOGUE + header.readUInt32BE(at + 1);
    ends.push(at);
  }
  return ends;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
