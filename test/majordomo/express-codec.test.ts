/** The express codec: what is packed comes out again, versions meet, what is wrong is refused by name. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteLength } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Command } from '../../src/majordomo/wire/commands.ts';
import * as format from '../../src/majordomo/wire/express-format.ts';
import { encode } from '../../src/majordomo/wire/protocol.ts';
import { COMMANDS, packed } from './express-messages.ts';
import {
  wireCommand,
  decode,
  DISCONNECT,
  hex,
  message,
  plain,
  shown,
  SIDES,
  TAG,
  type Side,
} from './express-wire.ts';

describe('a pack', () => {
  test.each(SIDES)('for a %s gives what was put in, once and in order', (side) => {
    const many = fc.array(COMMANDS[side], { maxLength: 40, size: 'max' });
    fc.assert(
      fc.property(many, (commands) => {
        const out = packed(commands).map((frames) => decode(side, frames));
        expect(out.map(({ reason }) => reason)).toEqual(out.map(() => undefined));
        expect(out.flatMap((each) => each.commands).map(plain)).toEqual(commands.map(plain));
      }),
      { numRuns: 300 },
    );
  });

  test.each(SIDES)('that is decoded and encoded for a %s is the same again', (side) => {
    fc.assert(
      fc.property(COMMANDS[side], (one) => {
        const [frames] = packed([one]);
        const { commands } = decode(side, frames!);
        expect(packed(commands).map(shown)).toEqual([shown(frames!)]);
      }),
      { numRuns: 1000 },
    );
  });

  test('is one message of many commands, which grows and counts its bytes', () => {
    const one = encode(cancel(1));
    const before = [one.bytes, shown(one.frames)] as const;
    const header = one.frames[0]!;
    expect(encode(cancel(2), one)).toBe(one);
    expect(one.bytes).toBeGreaterThan(before[0]);
    expect(one.frames).toHaveLength(1);
    expect(byteLength(one.frames)).toBeLessThan(one.bytes);
    // What was read before is still what it was.
    expect(shown([header])).toEqual(before[1]);
    expect(decode('broker', one.frames).commands).toEqual([cancel(1), cancel(2)]);
  });

  test('stays right while its buffer is replaced by larger ones', () => {
    const beats = Array.from({ length: 200 }, (_, beat) => {
      const held = Array.from({ length: beat }, (__, number) => number * 1000);
      return { type: 'heartbeat', dialect: 'express', beat, echo: 0, held } as const;
    });
    let open = encode(beats[0]!);
    for (const beat of beats.slice(1)) open = encode(beat, open);
    expect(decode('broker', open.frames).commands).toEqual(beats);
  });

  const held = Array.from({ length: 5000 }, (_, number) => number);
  const beat = { type: 'heartbeat', dialect: 'express', beat: 1, echo: 0, held } as const;

  test.each([
    ['60 KiB', 13, beat],
    ['256 commands', 256, cancel(1)],
  ])('is full with %s, and says so', (_what, commands, command) => {
    const first = encode(command);
    let count = 1;
    while (first.isFull === false && encode(command, first) === first) count++;
    expect(encode(command, first)).not.toBe(first);
    expect(count).toBe(commands);
    expect(decode('broker', first.frames).commands).toHaveLength(count);
  });

  test('is never added to a message of another dialect, nor those to it', () => {
    const stock = encode({ type: 'heartbeat', dialect: 'mdp0.2' });
    const pack = encode(cancel(1), stock);
    expect(pack).not.toBe(stock);
    expect(encode({ type: 'heartbeat', dialect: 'mdp0.2' }, pack)).not.toBe(pack);
    expect(encode(cancel(1), { ...pack })).not.toBe(pack);
  });
});

describe('large frames', () => {
  const large = new Uint8Array(5000).fill(1);
  const small = new Uint8Array(4095).fill(2);

  test('travel as they are, uncopied, in order', () => {
    const body = [large, small, large.slice()];
    const pack = encode({ ...cancel(7), type: 'credit', bytes: 1 });
    expect(encode(request(1, body), pack)).toBe(pack);
    expect(encode(request(2, [large]), pack)).toBe(pack);
    expect(pack.frames).toHaveLength(4);
    const further = pack.frames.slice(1);
    expect(further[0]).toBe(large);
    expect(further[1]).toBe(body[2]);
    expect(further[2]).toBe(large);
    const { commands, reason } = decode('broker', pack.frames);
    expect(reason).toBeUndefined();
    expect(plain(commands[1]!)).toEqual(plain(request(1, body)));
    expect((commands[1] as { body: Frames }).body[0]).toBe(large);
    expect((commands[2] as { body: Frames }).body[0]).toBe(large);
  });

  test('count for the queue with what they cost', () => {
    const pack = encode(cancel(1));
    const before = pack.bytes;
    encode(request(1, [large]), pack);
    expect(pack.bytes).toBeGreaterThan(before + 5200);
  });

  test('a body that is announced begins a message, behind the announcement', () => {
    const huge = new Uint8Array(1024 * 1024);
    const announcement = encode({ type: 'announce', dialect: 'express', bytes: huge.length });
    const own = encode(request(1, [huge]), announcement);
    expect(own).not.toBe(announcement);
    expect(decode('broker', own.frames).commands).toHaveLength(1);
    const parts = Array.from({ length: 256 }, () => new Uint8Array(4096));
    expect(encode(request(1, parts), announcement)).not.toBe(announcement);
    expect(encode(request(1, [huge.subarray(1)]), announcement)).toBe(announcement);
  });

  test('a body of as many frames as there may be fits, whatever their size', () => {
    for (const size of [0, 1, 4095, 4096]) {
      const frame = new Uint8Array(size);
      const body = Array.from({ length: format.FRAME_LIMIT }, () => frame);
      const pack = encode(request(1, body), encode(request(2, [large])));
      const { commands, reason } = decode('broker', pack.frames);
      expect(reason).toBeUndefined();
      expect((commands.at(-1) as { body: Frames }).body).toHaveLength(format.FRAME_LIMIT);
    }
  });

  test('are no more than the receiver takes in one message', () => {
    const body = Array.from({ length: 14 }, () => new Uint8Array(4096));
    const packs = packed(Array.from({ length: 600 }, (_, number) => request(number, body)));
    expect(Math.max(...packs.map((frames) => frames.length))).toBeLessThan(format.FRAME_LIMIT);
    const count = packs.flatMap((frames) => decode('broker', frames).commands).length;
    expect(count).toBe(600);
  });
});

const report = (running: readonly string[], finished: readonly string[]): Command => ({
  type: 'report',
  dialect: 'express',
  epoch: 3,
  running,
  finished,
});

/** The endpoint that a client is told. */
function told(endpoint: string): string {
  const common = { type: 'standing', dialect: 'express', active: false, epoch: 1 } as const;
  const { commands, reason } = decode('client', encode({ ...common, endpoint }).frames);
  expect(reason).toBeUndefined();
  return commands[0]?.type === 'standing' ? commands[0].endpoint : 'nothing';
}

describe('what a pair adds', () => {
  test('of too many keys the last ones are reported, and the message is still read', () => {
    const many = Array.from({ length: 5000 }, (_, index) => `${'k'.repeat(200)}${index}`);
    const { commands, reason } = decode('broker', encode(report(['one'], many)).frames);
    expect(reason).toBeUndefined();
    const [read] = commands;
    if (read?.type !== 'report') throw new Error('no report came out');
    expect(read.running).toEqual(['one']);
    expect(read.finished.length).toBeGreaterThan(1000);
    expect(read.finished).toEqual(many.slice(-read.finished.length));
    const short = Array.from({ length: 70_000 }, () => 'k');
    const cut = decode('broker', encode(report(short, short)).frames);
    expect(cut.reason).toBeUndefined();
    expect(cut.commands).toMatchObject([{ running: { length: format.KEYS_LIMIT } }]);
  });

  test('an endpoint that is too long is not told', () => {
    const longest = `ipc://${'é'.repeat(124)}x`;
    expect(told(longest)).toBe(longest);
    expect(told(`${longest}x`)).toBe('');
  });

  test('without epochs nothing is said of them', () => {
    const beat = { heartbeatInterval: 1000, heartbeatLiveness: 3 };
    const session = 's'.repeat(16);
    const bare = encode({ type: 'hello', dialect: 'express', session, ...beat });
    expect(shown(bare.frames)).toEqual([
      TAG + wireCommand(1, `${Buffer.from(session).toString('hex')}e80703`),
    ]);
    const welcome = { type: 'welcome', dialect: 'express', resumed: true, ...beat } as const;
    expect(shown(encode(welcome).frames)).toEqual([TAG + wireCommand(2, '01e80703')]);
    expect(shown(encode({ ...welcome, epoch: undefined, standby: false }).frames)).toEqual(
      shown(encode(welcome).frames),
    );
  });

  test('the port to the active broker hears no other dialect', () => {
    const heartbeat = encode({ type: 'heartbeat', dialect: 'mdp0.2' }).frames;
    expect(decode('follower', heartbeat)).toEqual({ commands: [], reason: 'unknown header' });
  });
});

describe('versions meet', () => {
  test('an unknown command is skipped, and named after the others were delivered', () => {
    for (const type of [0, 23, 127, 255]) {
      const later = wireCommand(type, '01020304');
      expect(
        decode('broker', message(wireCommand(10, '05'), later, wireCommand(10, '06'))),
      ).toEqual({
        commands: [cancel(5), cancel(6)],
        reason: 'unknown command',
      });
    }
  });

  test('a further frame of an unknown command is no mistake of the others', () => {
    const frames = [
      ...message(wireCommand(99, '00'), wireCommand(3, REQUEST('01 000205'))),
      hex('aa'),
    ];
    const decoded = decode('broker', [...frames, new Uint8Array(5)]);
    expect(decoded.reason).toBe('unknown command');
    expect(decoded.commands).toMatchObject([request(1, [new Uint8Array(5)])]);
  });

  test('an unknown field is skipped, in every command', () => {
    const samples = SIDES.flatMap((side) =>
      fc.sample(COMMANDS[side], { numRuns: 200, seed: 1 }).map((one) => [side, one] as const),
    );
    for (const [side, one] of samples) {
      const [header, ...further] = encode(one).frames;
      const longer = Buffer.concat([header!, hex('c8 03 aabbcc ff 00')]);
      longer.writeUInt32BE(longer.length - TAG.length / 2 - format.PROLOGUE, TAG.length / 2 + 1);
      const { commands, reason } = decode(side, [longer, ...further]);
      expect(reason).toBeUndefined();
      expect(commands.map(plain)).toEqual([plain(one)]);
    }
  });

  test('an unknown flag is ignored', () => {
    const flags = wireCommand(3, '01 fc 0465636866 01 0268'.replaceAll(' ', ''));
    expect(decode('broker', message(flags)).reason).toBeUndefined();
  });

  test('another version is another protocol', () => {
    for (const tag of ['UNSX02', 'UNSX0', 'unsx01']) {
      const reason = decode('broker', [Buffer.from(tag)]).reason;
      expect(reason).toBe('unknown header');
    }
  });

  test('a failure of an unknown code is one of the handler, and names it', () => {
    const code = hex('4552525f4e4557');
    const fields = `0707${shown([code])[0]}08026869090105`;
    expect(decode('client', message(wireCommand(4, `01 01 00${fields}`)))).toMatchObject({
      commands: [
        { failure: { code: 'ERR_HANDLER_FAILED', message: 'ERR_NEW: hi', retryAfter: 5 } },
      ],
      reason: undefined,
    });
  });
});

/** A request's bytes up to its body; `body` and what comes behind are given. */
function REQUEST(body: string): string {
  return `01 00 04 6563686f ${body}`.replaceAll(' ', '');
}

describe('refused by name', () => {
  const request1 = (body: string): string => wireCommand(3, REQUEST(body));
  const SESSION = '00112233445566778899aabbccddeeff';

  // prettier-ignore
  test.each<[reason: string, to: Side, ...commands: string[]]>([
    ['a command is cut off', 'broker', '03'],
    ['a command is cut off', 'broker', '03000000'],
    ['a command is longer than its message', 'broker', '0300000001'],
    ['a command is longer than its message', 'broker', '03ffffffff'],
    ['a command is longer than its message', 'broker', '63ffffffff'],
    ['a command is too short', 'broker', wireCommand(3, '')],
    ['a command is too short', 'broker', wireCommand(3, '0100046563')],
    ['a command is too short', 'broker', request1('')],
    ['a command is too short', 'broker', request1('020161')],
    ['a command is too short', 'broker', request1('01ff01')],
    ['a command is too short', 'broker', wireCommand(10, '')],
    ['a command is too short', 'broker', wireCommand(10, '80')],
    ['a command is too short', 'broker', wireCommand(1, SESSION.slice(2))],
    ['a command is too short', 'broker', wireCommand(8, '010105')],
    ['a command is too short', 'broker', wireCommand(8, '0101ff7f')],
    ['a number is too large', 'broker', wireCommand(10, 'ffffffffffffff10')],
    ['a number is too large', 'broker', wireCommand(10, 'ffffffffffffffffff01')],
    ['a number is too large', 'broker', wireCommand(8, '010102ffffffffffffff0f01')],
    ['a number is 0', 'broker', wireCommand(1, `${SESSION}0003`)],
    ['a number is 0', 'broker', wireCommand(1, `${SESSION}0100`)],
    ['no body', 'broker', request1('00')],
    ['too many frames', 'broker', request1('8120' + '01'.repeat(4097))],
    ['a frame inside the header is too large', 'broker', request1(`01 8240 ${'00'.repeat(8193)}`.replaceAll(' ', ''))],
    ['a further frame is not there', 'broker', request1('01000105')],
    ['a further frame is not there', 'broker', request1('0100ffffffffffffff0f05')],
    ['further frames are not referred to in order', 'broker', request1('01000005')],
    ['a name is empty, too long or not UTF-8', 'broker', wireCommand(3, '0100000161')],
    ['a name is empty, too long or not UTF-8', 'broker', wireCommand(3, '010001ff0161')],
    ['a name is empty, too long or not UTF-8', 'broker', request1('01010300')],
    ['a name is empty, too long or not UTF-8', 'broker', request1('01010302ffff')],
    ['a name is empty, too long or not UTF-8', 'broker', request1(`0101038002${'61'.repeat(256)}`)],
    ['a priority is too high', 'broker', request1('010102010a')],
    ['headers are too large', 'broker', request1(`010104818004${'00'.repeat(65_537)}`)],
    ['a text is too long', 'client', wireCommand(4, `0101000703455252088180 01${'61'.repeat(16_385)}`.replace(' ', ''))],
    ['a field has another length', 'broker', request1('01010102010000')],
    ['a field has another length', 'broker', request1('01010101ff01')],
    ['a field is longer than its command', 'broker', request1('0101c805')],
    ['a field is longer than its command', 'broker', request1('0101030561')],
    ['fields are not in order', 'broker', request1('01010101050101 05'.replace(' ', ''))],
    ['fields are not in order', 'broker', request1('010105010501 0105'.replace(' ', ''))],
    ['fields are not in order', 'broker', request1('01010000')],
    ['a record of an unknown kind', 'follower', wireCommand(21, `${SESSION}0106`)],
    ['a record of an unknown kind', 'follower', wireCommand(21, `${SESSION}0100`)],
    ['a command is too short', 'follower', wireCommand(21, `${SESSION}01`)],
    ['a command is too short', 'broker', wireCommand(18, '05ff7f')],
    ['too many keys', 'broker', wireCommand(18, '05818004')],
    ['a name is empty, too long or not UTF-8', 'broker', wireCommand(18, '050100')],
    ['a name is empty, too long or not UTF-8', 'client', wireCommand(16, '01050d00')],
    ['a name is empty, too long or not UTF-8', 'client', wireCommand(16, `01050d8002${'61'.repeat(256)}`)],
    ['a field has another length', 'broker', wireCommand(5, `${SESSION}01010161 0000 0c0f ${SESSION.slice(2)} c800`.replaceAll(' ', ''))],
    ['a field has another length', 'broker', wireCommand(5, `${SESSION}01010161 0000 0c11 ${SESSION}00`.replaceAll(' ', ''))],
    ['a command for another side', 'broker', wireCommand(21, `${SESSION}0105`)],
    ['a command for another side', 'follower', wireCommand(8, '010100')],
    ['a command for another side', 'client', wireCommand(17, '05')],
    ['numbers do not ascend', 'broker', wireCommand(8, '0101020500')],
    ['too many numbers', 'broker', wireCommand(8, '0101c1843d')],
    ['a command for another side', 'broker', wireCommand(4, '010100')],
    ['a command for another side', 'broker', wireCommand(2, '000103')],
    ['a command for another side', 'worker', wireCommand(3, REQUEST('0101'))],
    ['a command for another side', 'client', wireCommand(5, '01010101')],
  ])('%s (to a %s)', (reason, to, ...commands) => {
    const decoded = decode(to, message(DISCONNECT, ...commands));
    // What comes before the bad command is delivered, and it is not.
    expect(decoded).toEqual({
      commands: [{ type: 'disconnect', dialect: 'express' }],
      reason,
    });
  });
});

function cancel(number: number): Command & { type: 'cancel' } {
  return { type: 'cancel', dialect: 'express', number };
}

function request(number: number, body: Frames): Command {
  return { type: 'request', dialect: 'express', service: 'echo', body, number };
}
