/** What is on the wire, byte by byte: the vectors are written out by hand from 10/FLP. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_LIMIT, type Codec } from '../../src/core/codec.ts';
import { encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type {
  ClientInput,
  ClientOutput,
  ServerInput,
  ServerOutput,
} from '../../src/freelance/commands.ts';
import { clientCodec, serverCodec } from '../../src/freelance/protocol.ts';

type Command = ClientInput | ServerInput;

const CODECS: Record<string, Pick<Codec<string, Command, never>, 'decode'>> = {
  server: serverCodec,
  client: clientCodec,
};

/** The command in a message, or why it was refused. */
function decode(side: string, frames: Frames): Command | string {
  const delivered: Command[] = [];
  const reason = CODECS[side]!.decode('', frames, (command) => delivered.push(command));
  expect(delivered).toHaveLength(reason === undefined ? 1 : 0);
  return reason ?? delivered[0]!;
}

function encode(command: ClientOutput | ServerOutput): Frames {
  return command.type === 'ping' || command.type === 'request'
    ? clientCodec.encode('', command, undefined).frames
    : serverCodec.encode('', command, undefined).frames;
}

const shown = (frames: Frames): string =>
  frames.map((frame) => Buffer.from(frame).toString('hex') || "''").join(' ');

/** `'' 50` as frames: each word one frame of hexadecimal bytes, `''` an empty one. */
function hex(text: string): Uint8Array[] {
  return text.split(' ').map((word) => Uint8Array.from(Buffer.from(word.replace("''", ''), 'hex')));
}

const PING = '50494e47';
const PONG = '504f4e47';
const body = hex("68 '' 69");
const [control, empty] = hex("c0de ''") as [Uint8Array, Uint8Array];

// prettier-ignore
const VECTORS: [what: string, to: string, wire: string, command: ClientOutput | ServerOutput][] = [
  ['a ping', 'server', PING, { type: 'ping' }],
  ['a pong', 'client', PONG, { type: 'pong' }],
  ['a request', 'server', "c0de 68 '' 69", { type: 'request', control, body }],
  ['a reply', 'client', "c0de 68 '' 69", { type: 'reply', control, body }],
  ['an empty control frame', 'server', "'' ''", { type: 'request', control: empty, body: [empty] }],
  ['a control frame that reads PING', 'server', `${PING} 68`,
    { type: 'request', control: encodeText('PING'), body: hex('68') }],
  ['a control frame that reads PONG', 'client', `${PONG} 68`,
    { type: 'reply', control: encodeText('PONG'), body: hex('68') }],
];

describe('the wire', () => {
  test.each(VECTORS)('of %s', (_what, to, wire, command) => {
    expect(shown(encode(command))).toBe(wire);
    expect(decode(to, hex(wire))).toEqual(command);
  });

  test.each([
    ['server', PONG, 'one frame that is no command'],
    ['server', '50494e', 'one frame that is no command'],
    ['server', '70696e67', 'one frame that is no command'],
    ['server', "''", 'one frame that is no command'],
    ['client', PING, 'one frame that is no command'],
  ])('to a %s may not be %s', (side, wire, reason) => {
    expect(decode(side, hex(wire))).toBe(reason);
  });

  test('has no message without frames, nor one of very many', () => {
    const many = Array.from({ length: FRAME_LIMIT }, () => empty);
    for (const side of ['server', 'client']) {
      expect(decode(side, [])).toBe('no frames');
      expect(decode(side, many)).toMatchObject({ body: { length: FRAME_LIMIT - 1 } });
      expect(decode(side, [...many, empty])).toBe('too many frames');
    }
  });

  test('counts what a message costs, also an empty one', () => {
    const [least, more] = [empty, new Uint8Array(1000)].map(
      (only) => serverCodec.encode('', { type: 'reply', control, body: [only] }, undefined).bytes,
    );
    expect(least).toBeGreaterThan(0);
    expect(more).toBe(least! + 1000);
  });
});

const frame = fc.uint8Array({ maxLength: 12 });
const parts = fc.record({ control: frame, body: fc.array(frame, { minLength: 1, maxLength: 4 }) });

describe('any', () => {
  test('request and reply comes back as it was', () => {
    fc.assert(
      fc.property(parts, (part) => {
        const request = { type: 'request', ...part } as const;
        const reply = { type: 'reply', ...part } as const;
        expect(decode('server', encode(request))).toEqual(request);
        expect(decode('client', encode(reply))).toEqual(reply);
      }),
      { seed: 10 },
    );
  });

  test('bytes are one command or refused, and what is a command is encoded to the same bytes', () => {
    const words = fc.constantFrom('PING', 'PONG', '').map(encodeText);
    const frames = fc.array(fc.oneof(words, frame), { maxLength: 5 });
    fc.assert(
      fc.property(fc.constantFrom('server', 'client'), frames, (side, message) => {
        const decoded = decode(side, message);
        const again = typeof decoded === 'string' ? decoded : shown(encode(decoded));
        const word = side === 'server' ? PING : PONG;
        const isCommand = message.length > 1 || shown(message) === word;
        const none = message.length === 0 ? 'no frames' : 'one frame that is no command';
        expect(again).toBe(isCommand ? shown(message) : none);
      }),
      { seed: 10, numRuns: 500 },
    );
  });
});
