/** The stream: what is written is read as it was; what is wrong is refused, for a reason that says it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UpdateCommand } from '../../../src/clone/commands.ts';
import { WRITE_REFUSALS } from '../../../src/clone/commands.ts';
import { followerCodec, serverCodec } from '../../../src/clone/wire/protocol.ts';
import * as format from '../../../src/clone/wire/stream-format.ts';
import { COMMANDS } from './stream-messages.ts';
import { decode, hex, packed, plain, SIDES, TAG, wireCommand, type Side } from './stream-wire.ts';

const update: UpdateCommand = {
  type: 'update',
  stream: 1,
  sequence: 8,
  predecessor: 5,
  kind: 'set',
  key: '/a',
  value: [Buffer.from('one')],
};

const refuse = (): never => expect.fail('nothing is to be delivered');

describe('what is written is read as it was', () => {
  test.each(SIDES)('by a %s, one by one', (side) => {
    fc.assert(
      fc.property(COMMANDS[side], (command) => {
        const [frames, ...more] = packed([command]);
        expect(more).toEqual([]);
        const { commands, reason } = decode(side, frames!);
        expect(reason).toBeUndefined();
        expect(commands.map(plain)).toEqual([plain(command)]);
      }),
      { numRuns: 3000 },
    );
  });

  test.each(SIDES)('by a %s, many at once', (side) => {
    fc.assert(
      fc.property(fc.array(COMMANDS[side], { maxLength: 60 }), (commands) => {
        const read = packed(commands).map((frames) => decode(side, frames));
        expect(read.flatMap(({ commands: some }) => some.map(plain))).toEqual(commands.map(plain));
        expect(read.every(({ reason }) => reason === undefined)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('by a server at the port where it follows another', () => {
    const [frames] = packed([update]);
    const heard: object[] = [];
    serverCodec.decode('active', frames!, (command) => heard.push(command));
    expect(heard.map(plain)).toEqual([plain(update)]);
  });
});

describe('values', () => {
  test('of 4,095 bytes are within the header, of 4,096 they travel untouched', () => {
    const small = new Uint8Array(format.LARGE_FRAME - 1);
    const large = new Uint8Array(format.LARGE_FRAME);
    expect(packed([{ ...update, value: [small] }])[0]).toHaveLength(1);
    const [frames] = packed([{ ...update, value: [large] }]);
    expect(frames).toHaveLength(2);
    expect(frames![1]).toBe(large);
  });

  test('many small updates make one message of one frame', () => {
    const messages = packed(Array.from({ length: 200 }, () => update));
    expect(messages.map((frames) => frames.length)).toEqual([1]);
  });

  test('a full message is followed by another one', () => {
    const messages = packed(Array.from({ length: 300 }, () => update));
    expect(messages).toHaveLength(2);
  });
});

describe('a later version', () => {
  const [type, rest] = [200, '00'];
  test.each(SIDES)('may say a %s commands that it skips, and names', (side) => {
    const known = packed([
      side === 'server' ? { type: 'goodbye' } : { type: 'expected', number: 7 },
    ]);
    const bytes = Buffer.from(known[0]![0]!).toString('hex').slice(TAG.length);
    const { commands, reason } = decode(side, [hex(TAG + wireCommand(type, rest) + bytes)]);
    expect(commands).toHaveLength(1);
    expect(reason).toBe('unknown command');
  });

  test('may add fields, which are skipped', () => {
    const [frames] = packed([update]);
    const body = Buffer.from(frames![0]!)
      .toString('hex')
      .slice(TAG.length + 10);
    const { commands, reason } = decode('follower', [
      hex(TAG + wireCommand(format.TYPES.update, `${body}7703616263`)),
    ]);
    expect(reason).toBeUndefined();
    expect(commands.map(plain)).toEqual([plain(update)]);
  });

  test('may refuse a write for a reason of its own: it was not done', () => {
    const { commands } = decode('follower', [hex(TAG + wireCommand(13, '07630000'))]);
    expect(commands).toMatchObject([{ type: 'result', number: 7, refusal: 'busy', revision: 0 }]);
  });
});

describe('refused', () => {
  const { TYPES } = format;
  const refused: [reason: string, side: Side, command: string][] = [
    ['a command is cut off', 'server', '0400'],
    ['a command is longer than its message', 'server', '0400000001'],
    ['a command is too short', 'server', wireCommand(TYPES.progress, '0101')],
    ['a command for another side', 'server', wireCommand(TYPES.expected, '01')],
    ['a command for another side', 'follower', wireCommand(TYPES.goodbye, '')],
    ['a number is too large', 'server', wireCommand(TYPES.progress, 'ffffffffffffffffff01')],
    ['a number is 0', 'follower', wireCommand(TYPES.begin, '01010101010003')],
    ['a name is empty, too long or not UTF-8', 'server', wireCommand(TYPES.write, '01010101ff00')],
    ['a write of an unknown kind', 'server', wireCommand(TYPES.write, '010109022f6100')],
    ['a value of another number of frames', 'server', wireCommand(TYPES.write, '010101022f6100')],
    [
      'a value of another number of frames',
      'server',
      wireCommand(TYPES.write, '010102022f61010161'),
    ],
    ['a value of another number of frames', 'follower', wireCommand(TYPES.item, '010001022f6100')],
    [
      'a value of another number of frames',
      'follower',
      wireCommand(TYPES.update, '01080102022f610101'),
    ],
    ['a predecessor before the first', 'follower', wireCommand(TYPES.update, '01080901022f6100')],
    [
      'a stream that begins in an unknown way',
      'follower',
      wireCommand(TYPES.begin, '01090101010103'),
    ],
    ['too many reigns', 'follower', wireCommand(TYPES.lineage, '018108')],
    ['too many numbers', 'follower', wireCommand(TYPES.writer, `0100${'00'.repeat(8)}01818004`)],
    [
      'numbers do not ascend',
      'follower',
      wireCommand(TYPES.writer, `0100${'00'.repeat(8)}010201010001`),
    ],
    [
      'fields are not in order',
      'server',
      wireCommand(TYPES.write, '010102022f61000301050301050101'),
    ],
    ['a field has another length', 'server', wireCommand(TYPES.write, '010102022f610003020501')],
    [
      'a field is longer than its command',
      'server',
      wireCommand(TYPES.write, '010102022f6100030905'),
    ],
    ['a further frame is not there', 'server', wireCommand(TYPES.write, '010101022f6101000105')],
    ['no dialect of ours', 'server', ''],
  ];

  test.each(refused)('%s (by a %s)', (reason, side, command) => {
    const read = decode(side, [hex(command === '' ? '00' : TAG + command)]);
    expect(read).toEqual({ commands: [], reason });
  });

  test('by a follower: what a stock peer says, and nothing at all', () => {
    for (const frames of [[], [Buffer.from('ICANHAZ?'), Buffer.from('')]]) {
      expect(followerCodec.decode('server', frames, refuse)).toBe('no dialect of ours');
    }
    expect(serverCodec.decode('publisher', packed([update])[0]!, refuse)).toBe(
      'no dialect of ours',
    );
  });
});

test('each refusal has a number of its own', () => {
  expect(Object.keys(format.REFUSALS)).toEqual([...WRITE_REFUSALS]);
  expect(new Set(Object.values(format.REFUSALS)).size).toBe(WRITE_REFUSALS.length);
});

test('an endpoint that is too long is not sent', () => {
  const [frames] = packed([{ type: 'redirect', epoch: 3, endpoint: `tcp://${'x'.repeat(255)}` }]);
  expect(decode('follower', frames!).commands).toEqual([
    { type: 'redirect', epoch: 3, endpoint: '' },
  ]);
});
