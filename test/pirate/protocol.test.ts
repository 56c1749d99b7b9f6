/**
 * What is on the wire, byte by byte: the vectors are written out by hand from 6/PPP and from what a REQ
 * socket adds, so that encoder and decoder cannot agree on a mistake.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_LIMIT, type Codec } from '../../src/core/codec.ts';
import type { Frames } from '../../src/core/machine.ts';
import { clientCodec, queueCodec, workerCodec } from '../../src/pirate/protocol.ts';

type Command = { readonly type: string };

/** Who decodes: a queue by its port. */
const RECEIVERS: Readonly<Record<string, (frames: Frames) => Command | string>> = {
  'simple frontend': decoderOf(queueCodec('simple'), 'frontend'),
  'simple backend': decoderOf(queueCodec('simple'), 'backend'),
  'simple worker': decoderOf(workerCodec('simple'), 'queue'),
  'paranoid frontend': decoderOf(queueCodec('paranoid'), 'frontend'),
  'paranoid backend': decoderOf(queueCodec('paranoid'), 'backend'),
  'paranoid worker': decoderOf(workerCodec('paranoid'), 'queue'),
  client: decoderOf(clientCodec, 'lane-0'),
};

/** The command in a message, or why it was refused. */
function decoderOf<Port extends string, Input extends Command>(
  codec: Pick<Codec<Port, Input, never>, 'decode'>,
  port: Port,
): (frames: Frames) => Command | string {
  return (frames) => {
    const delivered: Command[] = [];
    const reason = codec.decode(port, frames, (command) => delivered.push(command));
    expect(delivered).toHaveLength(reason === undefined ? 1 : 0);
    return reason ?? delivered[0]!;
  };
}

/** `'' 4d 44` as frames: each word one frame of hexadecimal bytes, `''` an empty one. */
function hex(text: string): Uint8Array[] {
  if (text === '') return [];
  return text.split(' ').map((word) => Uint8Array.from(Buffer.from(word.replace("''", ''), 'hex')));
}

const shown = (frames: Frames): string =>
  frames.map((frame) => Buffer.from(frame).toString('hex') || "''").join(' ');

const encoded = {
  queue: (protocol: 'simple' | 'paranoid', command: Parameters<typeof queueToFrames>[1]) =>
    shown(queueToFrames(protocol, command)),
  worker: (protocol: 'simple' | 'paranoid', command: Parameters<typeof workerToFrames>[1]) =>
    shown(workerToFrames(protocol, command)),
};

type Encoded<Of extends { encode: (port: never, command: never, open: undefined) => unknown }> =
  Parameters<Of['encode']>[1];

function queueToFrames(
  protocol: 'simple' | 'paranoid',
  command: Encoded<ReturnType<typeof queueCodec>>,
): Frames {
  const port = command.type === 'reply' ? 'frontend' : 'backend';
  return queueCodec(protocol).encode(port, command, undefined).frames;
}

function workerToFrames(
  protocol: 'simple' | 'paranoid',
  command: Encoded<ReturnType<typeof workerCodec>>,
): Frames {
  return workerCodec(protocol).encode('queue', command, undefined).frames;
}

const stack = hex('c1 c2');
const body = hex("68 '' 69");

describe('on the wire', () => {
  // prettier-ignore
  test.each([
    ['a REQ client asks', 'simple frontend', "'' 68 '' 69", { type: 'request', stack: [], body }],
    ['a DEALER with a stack asks', 'simple frontend', "c1 c2 '' 68 '' 69", { type: 'request', stack, body }],
    ['a DEALER without one asks', 'paranoid frontend', '68 69', { type: 'request', stack: undefined, body: hex('68 69') }],
    ['an empty body is one', 'paranoid frontend', "'' ''", { type: 'request', stack: [], body: hex("''") }],
    ['READY', 'paranoid backend', '01', { type: 'ready' }],
    ['READY of a REQ worker', 'simple backend', "'' 01", { type: 'ready' }],
    ['HEARTBEAT', 'paranoid backend', '02', { type: 'heartbeat' }],
    ['HEARTBEAT to a worker', 'paranoid worker', '02', { type: 'heartbeat' }],
    ['a REPLY of a worker', 'paranoid backend', "c1 c2 '' 68 '' 69", { type: 'result', stack, body }],
    ['a REPLY of a REQ worker', 'simple backend', "'' c1 c2 '' 68 '' 69", { type: 'result', stack, body }],
    ['a REPLY that looks like READY', 'paranoid backend', "c1 '' 01", { type: 'result', stack: hex('c1'), body: hex('01') }],
    ['a REQUEST to a worker', 'paranoid worker', "c1 c2 '' 68 '' 69", { type: 'dispatch', stack, body }],
    ['a REQUEST without a stack', 'paranoid worker', "'' 68", { type: 'dispatch', stack: [], body: hex('68') }],
    ['a REQUEST to a REQ worker', 'simple worker', "'' c1 '' 68", { type: 'dispatch', stack: hex('c1'), body: hex('68') }],
    ['a reply to a client', 'client', "'' 68 '' 69", { type: 'reply', stack: [], body }],
  ])('%s, to the %s: %s', (_what, receiver, wire, command) => {
    expect(RECEIVERS[receiver]!(hex(wire))).toEqual(command);
  });

  test.each([
    ['simple', "'' c1 '' 68"],
    ['paranoid', "c1 '' 68"],
  ] as const)('a queue of the %s protocol says', (protocol, wire) => {
    const it = { stack: hex('c1'), body: hex('68') };
    expect(encoded.queue(protocol, { type: 'dispatch', ...it })).toBe(wire);
    expect(encoded.queue(protocol, { type: 'reply', ...it })).toBe("c1 '' 68");
    expect(encoded.queue(protocol, { type: 'reply', stack: [], body })).toBe("'' 68 '' 69");
    expect(encoded.queue(protocol, { type: 'reply', stack: undefined, body })).toBe("68 '' 69");
    expect(encoded.worker(protocol, { type: 'result', ...it })).toBe(wire);
  });

  test('a signal is one byte, behind the empty frame of REQ where the protocol has it', () => {
    expect(encoded.worker('paranoid', { type: 'ready' })).toBe('01');
    expect(encoded.worker('simple', { type: 'ready' })).toBe("'' 01");
    expect(encoded.worker('paranoid', { type: 'heartbeat' })).toBe('02');
    expect(encoded.queue('paranoid', { type: 'heartbeat' })).toBe('02');
  });

  test('a client asks as a REQ socket does', () => {
    const { frames, bytes } = clientCodec.encode(
      'lane-0',
      { type: 'request', stack: [], body },
      undefined,
    );
    expect(shown(frames)).toBe("'' 68 '' 69");
    expect(bytes).toBeGreaterThan(2);
  });
});

describe('refused as malformed is', () => {
  test.each([
    ['nothing at all', 'paranoid frontend', ''],
    ['a request without a body', 'paranoid frontend', "''"],
    ['a stack without a body', 'simple frontend', "c1 c2 ''"],
    ['nothing from a worker', 'paranoid backend', ''],
    ['an unknown signal', 'paranoid backend', '03'],
    ['a longer signal', 'paranoid backend', '0101'],
    ['READY with more', 'paranoid backend', '01 68'],
    ['an empty frame', 'paranoid backend', "''"],
    ['a REPLY without a body', 'paranoid backend', "c1 ''"],
    ['a REPLY without an empty frame', 'paranoid backend', 'c1 68'],
    ['READY without the frame of REQ', 'simple backend', '01'],
    ['HEARTBEAT, which the protocol has not', 'simple backend', "'' 02"],
    ['the frame of REQ alone', 'simple backend', "''"],
    ['a REPLY without the frame of REQ', 'simple backend', "c1 '' 68"],
    ['READY to a worker', 'paranoid worker', '01'],
    ['READY to a worker', 'simple worker', "'' 01"],
    ['a REQUEST without a body', 'simple worker', "'' c1 ''"],
    ['a reply without an empty frame', 'client', '68'],
    ['a reply without a body', 'client', "''"],
  ])('%s, to the %s: %s', (_what, receiver, wire) => {
    expect(RECEIVERS[receiver]!(hex(wire))).toBeTypeOf('string');
  });

  test.each(Object.keys(RECEIVERS))('a message of too many frames, to the %s', (receiver) => {
    const frames = [hex("''")[0]!, ...Array.from({ length: FRAME_LIMIT + 1 }, () => hex("''")[0]!)];
    expect(RECEIVERS[receiver]!(frames)).toBe('too many frames');
  });
});

test.each(['simple', 'paranoid'] as const)(
  'the longest request that a queue takes in, its workers can read: %s',
  (protocol) => {
    const longest = Array.from({ length: FRAME_LIMIT - 3 }, () => Uint8Array.of(1));
    const frontend = RECEIVERS[`${protocol} frontend`]!;
    expect(frontend(longest)).toMatchObject({ type: 'request' });
    expect(frontend([...longest, Uint8Array.of(1)])).toBe('too many frames');
    const dispatch = { type: 'dispatch', stack: hex('c1'), body: longest } as const;
    const given = queueToFrames(protocol, dispatch);
    expect(RECEIVERS[`${protocol} worker`]!(given)).toMatchObject({ type: 'dispatch' });
  },
);

const frame = fc.oneof(
  { weight: 2, arbitrary: fc.constant(new Uint8Array(0)) },
  { weight: 2, arbitrary: fc.nat(3).map((byte) => Uint8Array.of(byte)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }) },
);
const stacks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 6 }), { maxLength: 3 });
const bodies = fc.array(frame, { minLength: 1, maxLength: 4 });

describe('whatever is said', () => {
  test.each(['simple', 'paranoid'] as const)('arrives as it was: %s', (protocol) => {
    fc.assert(
      fc.property(stacks, bodies, (someStack, someBody) => {
        const it = { stack: someStack, body: someBody };
        const worker = RECEIVERS[`${protocol} worker`]!;
        const backend = RECEIVERS[`${protocol} backend`]!;
        const frontend = RECEIVERS[`${protocol} frontend`]!;
        const dispatch = { type: 'dispatch', ...it } as const;
        const result = { type: 'result', ...it } as const;
        const request = { type: 'request', ...it } as const;
        expect(worker(queueToFrames(protocol, dispatch))).toEqual(dispatch);
        expect(backend(workerToFrames(protocol, result))).toEqual(result);
        const { frames } = clientCodec.encode('lane-0', request, undefined);
        expect(frontend(frames)).toEqual(request);
        const reply = { type: 'reply', stack: [], body: someBody } as const;
        expect(RECEIVERS['client']!(queueToFrames(protocol, reply))).toEqual(reply);
      }),
    );
  });

  test.each(Object.keys(RECEIVERS))('is a command or refused by name, to the %s', (receiver) => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), (frames) => {
        const decoded = RECEIVERS[receiver]!(frames);
        seen.add(typeof decoded);
        expect(decoded).not.toBe('');
      }),
    );
    expect([...seen].toSorted()).toEqual(['object', 'string']);
  });
});
