/**
 * What is on the wire, byte by byte: the vectors are written out by hand from 7/MDP and 18/MDP, so
 * that encoder and decoder cannot agree on a mistake.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Codec } from '../../src/core/codec.ts';
import { encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Command, Dialect } from '../../src/majordomo/wire/commands.ts';
import {
  brokerCodec,
  clientCodec,
  encode,
  workerCodec,
} from '../../src/majordomo/wire/protocol.ts';
import { commands, messages, noise } from './messages.ts';

type Side = 'broker' | 'worker' | 'client';

const CODECS: Record<Side, Pick<Codec<string, Command, never>, 'decode'>> = {
  broker: brokerCodec,
  worker: workerCodec,
  client: clientCodec,
};

/** The command in a message, or why it was refused. */
function decode(side: Side, frames: Frames, port = ''): Command | string {
  const delivered: Command[] = [];
  const reason = CODECS[side].decode(port, frames, (command) => delivered.push(command));
  expect(delivered).toHaveLength(reason === undefined ? 1 : 0);
  return reason ?? delivered[0]!;
}

/** `'' 4d 44` as frames: each word one frame of hexadecimal bytes, `''` an empty one. */
function hex(text: string): Uint8Array[] {
  return text.split(' ').map((word) => Uint8Array.from(Buffer.from(word.replace("''", ''), 'hex')));
}

const shown = (frames: Frames): string =>
  frames.map((frame) => Buffer.from(frame).toString('hex') || "''").join(' ');

const MDPC01 = '4d4450433031';
const MDPW01 = '4d4450573031';
const MDPC02 = '4d4450433032';
const MDPW02 = '4d4450573032';
const ECHO = '6563686f';

const body = hex("68 '' 69");
const envelope = hex('c1 c2');
const one: Dialect = 'mdp0.1';
const two: Dialect = 'mdp0.2';

// prettier-ignore
const VECTORS: [what: string, to: Side, wire: string, command: Command][] = [
  ['0.1 client REQUEST', 'broker', `'' ${MDPC01} ${ECHO} 68 '' 69`,
    { type: 'request', dialect: one, service: 'echo', body }],
  ['0.1 client REPLY', 'client', `'' ${MDPC01} ${ECHO} 68 '' 69`,
    { type: 'reply', dialect: one, service: 'echo', body, final: true }],
  ['0.1 worker READY', 'broker', `'' ${MDPW01} 01 ${ECHO}`,
    { type: 'ready', dialect: one, service: 'echo' }],
  ['0.1 worker REQUEST', 'worker', `'' ${MDPW01} 02 c1 c2 '' 68 '' 69`,
    { type: 'dispatch', dialect: one, envelope, body }],
  ['0.1 worker REPLY', 'broker', `'' ${MDPW01} 03 c1 c2 '' 68 '' 69`,
    { type: 'result', dialect: one, envelope, body, final: true }],
  ['0.1 HEARTBEAT to the broker', 'broker', `'' ${MDPW01} 04`, { type: 'heartbeat', dialect: one }],
  ['0.1 HEARTBEAT to the worker', 'worker', `'' ${MDPW01} 04`, { type: 'heartbeat', dialect: one }],
  ['0.1 DISCONNECT to the broker', 'broker', `'' ${MDPW01} 05`, { type: 'disconnect', dialect: one }],
  ['0.1 DISCONNECT to the worker', 'worker', `'' ${MDPW01} 05`, { type: 'disconnect', dialect: one }],
  ['0.2 client REQUEST', 'broker', `${MDPC02} 01 ${ECHO} 68 '' 69`,
    { type: 'request', dialect: two, service: 'echo', body }],
  ['0.2 client PARTIAL', 'client', `${MDPC02} 02 ${ECHO} 68 '' 69`,
    { type: 'reply', dialect: two, service: 'echo', body, final: false }],
  ['0.2 client FINAL', 'client', `${MDPC02} 03 ${ECHO} 68 '' 69`,
    { type: 'reply', dialect: two, service: 'echo', body, final: true }],
  ['0.2 worker READY', 'broker', `${MDPW02} 01 ${ECHO}`,
    { type: 'ready', dialect: two, service: 'echo' }],
  ['0.2 worker REQUEST', 'worker', `${MDPW02} 02 c1 c2 '' 68 '' 69`,
    { type: 'dispatch', dialect: two, envelope, body }],
  ['0.2 worker PARTIAL', 'broker', `${MDPW02} 03 c1 c2 '' 68 '' 69`,
    { type: 'result', dialect: two, envelope, body, final: false }],
  ['0.2 worker FINAL', 'broker', `${MDPW02} 04 c1 c2 '' 68 '' 69`,
    { type: 'result', dialect: two, envelope, body, final: true }],
  ['0.2 HEARTBEAT to the broker', 'broker', `${MDPW02} 05`, { type: 'heartbeat', dialect: two }],
  ['0.2 HEARTBEAT to the worker', 'worker', `${MDPW02} 05`, { type: 'heartbeat', dialect: two }],
  ['0.2 DISCONNECT to the broker', 'broker', `${MDPW02} 06`, { type: 'disconnect', dialect: two }],
  ['0.2 DISCONNECT to the worker', 'worker', `${MDPW02} 06`, { type: 'disconnect', dialect: two }],
];

const decodeReady = (service: Uint8Array): Command | string =>
  decode('broker', [encodeText('MDPW02'), Uint8Array.of(1), service]);

describe('on the wire', () => {
  test.each(VECTORS)('%s is encoded', (_what, _to, wire, command) => {
    expect(shown(encode(command).frames)).toBe(wire);
  });

  test.each(VECTORS)('%s is decoded', (_what, to, wire, command) => {
    const decoded = decode(to, hex(wire));
    // A dispatch is whole by nature; its `final` only comes from sharing a decoder with results.
    expect(decoded).toEqual(command.type === 'dispatch' ? { ...command, final: true } : command);
  });

  test('a message costs its bytes and something for itself', () => {
    const empty = encode({ type: 'heartbeat', dialect: 'mdp0.2' });
    expect(empty.bytes).toBeGreaterThan(7);
    const ready = encode({ type: 'ready', dialect: 'mdp0.2', service: 'echo' });
    expect(ready.bytes - empty.bytes).toBe('echo'.length + 200);
  });
});

describe('refused by name', () => {
  test.each<[to: Side, wire: string, reason: string]>([
    ['broker', "''", 'no header'],
    ['broker', `'' ${MDPC02} 01 ${ECHO} 68`, 'unknown header'],
    ['broker', `${MDPC01} ${ECHO} 68`, 'unknown header'],
    ['broker', '4d4450433033 01 65 68', 'unknown header'],
    ['broker', `'' '' ${MDPC01} ${ECHO} 68`, 'unknown header'],
    ['broker', `'' ${MDPC01}`, 'bad service name'],
    ['broker', `'' ${MDPC01} '' 68`, 'bad service name'],
    ['broker', `'' ${MDPC01} ff 68`, 'bad service name'],
    ['broker', `'' ${MDPC01} ${ECHO}`, 'no body'],
    ['broker', `${MDPC02} 02 ${ECHO} 68`, 'unknown client command'],
    ['broker', `${MDPC02} 0001 ${ECHO} 68`, 'unknown client command'],
    ['broker', MDPC02, 'unknown client command'],
    ['broker', `'' ${MDPW01} 01`, 'bad service name'],
    ['broker', `'' ${MDPW01} 01 ${ECHO} 68`, 'frames after READY'],
    ['broker', `'' ${MDPW01} 04 68`, 'frames after HEARTBEAT'],
    ['broker', `${MDPW02} 06 68`, 'frames after DISCONNECT'],
    ['broker', `'' ${MDPW01} 00 c1 '' 68`, 'unknown worker command'],
    ['broker', `'' ${MDPW01} 02 c1 '' 68`, 'unknown worker command'],
    ['broker', `'' ${MDPW01} 06`, 'unknown worker command'],
    ['broker', `${MDPW02} 07`, 'unknown worker command'],
    ['broker', `${MDPW02} ''`, 'unknown worker command'],
    ['broker', `${MDPW02} 04 '' 68`, 'broken envelope'],
    ['broker', `${MDPW02} 04 c1 68`, 'broken envelope'],
    ['broker', `${MDPW02} 04 c1 ''`, 'no body'],
    ['worker', `'' ${MDPC01} ${ECHO} 68`, 'a client command, but this is a worker'],
    ['worker', `${MDPW02} 01 ${ECHO}`, 'unknown worker command'],
    ['worker', `${MDPW02} 04 c1 '' 68`, 'unknown worker command'],
    ['worker', `'' ${MDPW01} 02 c1 ''`, 'no body'],
    ['client', `'' ${MDPW01} 04`, 'a worker command, but this is a client'],
    ['client', `${MDPC02} 01 ${ECHO} 68`, 'unknown client command'],
    ['client', `${MDPC02} 03 ${ECHO}`, 'no body'],
    ['client', `'' ${MDPC01} '' 68`, 'bad service name'],
  ])('%s: %s is %s', (to, wire, reason) => {
    expect(decode(to, hex(wire))).toBe(reason);
  });

  test('a message without frames', () => {
    for (const side of ['broker', 'worker', 'client'] as const) {
      expect(decode(side, [])).toBe('no header');
    }
  });
});

test('a worker that asks, as a client, which dialects are spoken is answered as one', () => {
  const reply = { type: 'reply', dialect: one, service: 'echo', body, final: true };
  expect(decode('worker', hex(`'' ${MDPC01} ${ECHO} 68 '' 69`), 'probe')).toEqual(reply);
  const refused = decode('worker', hex(`'' ${MDPW01} 04`), 'probe');
  expect(refused).toBe('a worker command, but this is a client');
});

describe('service names', () => {
  test.each(['a', 'x'.repeat(255), 'é'.repeat(127), 'naïve 🚢', '\0', '\uFEFFecho'])(
    '%j is one',
    (service) => {
      expect(decodeReady(encodeText(service))).toEqual({
        type: 'ready',
        dialect: 'mdp0.2',
        service,
      });
    },
  );

  test.each([
    ['no bytes', ''],
    ['256 bytes', 'x'.repeat(256)],
    ['128 letters of two bytes', 'é'.repeat(128)],
  ])('%s are none', (_what, service) => {
    expect(decodeReady(encodeText(service))).toBe('bad service name');
  });

  test('bytes that are not UTF-8 are none', () => {
    expect(decodeReady(Uint8Array.of(0xc3))).toBe('bad service name');
    expect(decodeReady(Uint8Array.of(0xed, 0xa0, 0x80))).toBe('bad service name');
  });
});

describe('any message', () => {
  const RECEIVERS: Partial<Record<Command['type'], readonly Side[]>> = {
    request: ['broker'],
    ready: ['broker'],
    result: ['broker'],
    dispatch: ['worker'],
    reply: ['client'],
    heartbeat: ['broker', 'worker'],
    disconnect: ['broker', 'worker'],
  };

  test('is decoded to what was encoded', () => {
    fc.assert(
      fc.property(commands(), (command) => {
        const { frames } = encode(command);
        for (const side of RECEIVERS[command.type]!) {
          const decoded = decode(side, frames);
          expect(decoded).toMatchObject(command);
          expect(shown(encode(decoded as Command).frames)).toBe(shown(frames));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('is one command or one reason, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.oneof(messages(), noise), (frames) => {
        for (const side of ['broker', 'worker', 'client'] as const) {
          const decoded = decode(side, frames);
          const receivers = typeof decoded === 'string' ? [side] : RECEIVERS[decoded.type];
          expect(receivers).toContain(side);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
