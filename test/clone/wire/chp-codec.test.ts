/** 12/CHP: tolerant of what stock peers say, conservative in what is said to them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Frames } from '../../../src/core/machine.ts';
import type {
  ChpClientOutput,
  HugzCommand,
  KthxbaiCommand,
  KvpubCommand,
  KvsyncCommand,
} from '../../../src/clone/commands.ts';
import { chpClientCodec, serverCodec } from '../../../src/clone/wire/protocol.ts';
import { plain } from './stream-wire.ts';

type Port = 'peers' | 'collector' | 'server' | 'updates';

/** What is heard at a port: of a server, or of our client of a stock one. */
function hear(port: Port, frames: Frames): object | string {
  const heard: object[] = [];
  const deliver = (command: object): void => void heard.push(command);
  const reason =
    port === 'peers' || port === 'collector'
      ? serverCodec.decode(port, frames, deliver)
      : chpClientCodec.decode(port, frames, deliver);
  expect(heard).toHaveLength(reason === undefined ? 1 : 0);
  return reason ?? heard[0]!;
}

const text = (frame: string): Uint8Array => Buffer.from(frame);
const hex = (bytes: string): Uint8Array => Buffer.from(bytes, 'hex');
const number = (value: bigint): Uint8Array => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};
const UUID = '0123456789abcdef';
const NONE = text('');

const says = (command: ChpClientOutput): Frames =>
  chpClientCodec.encode('server', command, undefined).frames;
const serverSays = (command: KvsyncCommand | KthxbaiCommand | KvpubCommand | HugzCommand): Frames =>
  serverCodec.encode('peers', command, undefined).frames;

const keys = fc
  .array(fc.stringMatching(/^[a-zé🚢 .=]{1,8}$/u), { minLength: 1, maxLength: 4 })
  .map((parts) => `/${parts.join('/')}`);
const subtrees = fc.oneof(
  fc.constant(''),
  keys,
  keys.map((key) => `${key}/`),
);
const sequences = fc.oneof(fc.nat(300), fc.maxSafeNat());
const values = fc.uint8Array({ maxLength: 40 });
const uuids = fc.constantFrom('', UUID, '\0'.repeat(16), '\u00ff'.repeat(16));
const ttls = fc.option(
  fc.integer({ min: 1, max: 100_000 }).map((seconds) => seconds * 1000),
  {
    nil: undefined,
  },
);

const refuse = (): never => expect.fail('nothing is to be delivered');

describe('what is written is read as it was', () => {
  test('ICANHAZ', () => {
    fc.assert(
      fc.property(subtrees, (subtree) => {
        const command = { type: 'icanhaz', subtree } as const;
        expect(hear('peers', says(command))).toEqual(command);
      }),
    );
  });

  test('KVSET', () => {
    fc.assert(
      fc.property(keys, uuids, ttls, values, (key, uuid, ttl, value) => {
        const command = { type: 'kvset', key, uuid, ttl, value } as const;
        expect(hear('collector', says(command))).toEqual(command);
      }),
    );
  });

  test('KVSYNC and KTHXBAI', () => {
    fc.assert(
      fc.property(keys, subtrees, sequences, values, (key, subtree, sequence, value) => {
        const item = { type: 'kvsync', key, sequence, value } as const;
        const end = { type: 'kthxbai', sequence, subtree } as const;
        for (const each of [item, end]) expect(hear('server', serverSays(each))).toEqual(each);
      }),
    );
  });

  test('KVPUB and HUGZ', () => {
    fc.assert(
      fc.property(keys, uuids, ttls, sequences, values, (key, uuid, ttl, sequence, value) => {
        const update = { type: 'kvpub', key, sequence, uuid, ttl, value } as const;
        const beat = { type: 'hugz', sequence } as const;
        for (const each of [update, beat]) expect(hear('updates', serverSays(each))).toEqual(each);
      }),
    );
  });
});

describe('the bytes', () => {
  const value = text('v');
  const five = (word: string, sequence: bigint, last: Uint8Array): Frames => [
    text(word),
    number(sequence),
    NONE,
    NONE,
    last,
  ];
  const written: [name: string, command: Parameters<typeof serverSays>[0], frames: Frames][] = [
    ['KVSYNC', { type: 'kvsync', key: '/a', sequence: 7, value }, five('/a', 7n, value)],
    ['KTHXBAI', { type: 'kthxbai', sequence: 7, subtree: '/a/' }, five('KTHXBAI', 7n, text('/a/'))],
    ['HUGZ', { type: 'hugz', sequence: 2 ** 40 + 1 }, five('HUGZ', 2n ** 40n + 1n, NONE)],
    [
      'KVPUB',
      { type: 'kvpub', key: '/a', sequence: 258, uuid: UUID, ttl: 1001, value },
      [text('/a'), hex('0000000000000102'), text(UUID), text('ttl=2\n'), value],
    ],
    [
      'KVPUB that deletes',
      { type: 'kvpub', key: '/a', sequence: 1, uuid: '', value: NONE },
      five('/a', 1n, NONE),
    ],
  ];
  test.each(written)('of %s', (_name, command, frames) => {
    expect(serverSays(command).map((frame) => Buffer.from(frame))).toEqual(
      frames.map((frame) => Buffer.from(frame)),
    );
  });

  test('of ICANHAZ and KVSET', () => {
    const asked = says({ type: 'icanhaz', subtree: '/a/' });
    expect(asked.map((frame) => Buffer.from(frame).toString())).toEqual(['ICANHAZ?', '/a/']);
    const set = says({ type: 'kvset', key: '/a', uuid: UUID, ttl: 5000, value });
    expect(set.map((frame) => Buffer.from(frame).toString('hex'))).toEqual([
      '2f61',
      '0000000000000000',
      Buffer.from(UUID).toString('hex'),
      '74746c3d350a',
      '76',
    ]);
  });

  test('the longest time to live that can be read is the longest that is written', () => {
    const frames = says({ type: 'kvset', key: '/a', uuid: UUID, ttl: Number.MAX_VALUE, value });
    expect(hear('collector', frames)).toMatchObject({ type: 'kvset', ttl: 9_007_199_254_740_000 });
  });

  test('a value is not copied', () => {
    expect(serverSays({ type: 'kvsync', key: '/a', sequence: 1, value })[4]).toBe(value);
  });
});

describe('practice', () => {
  test('ICANHAZ without a subtree asks for everything', () => {
    expect(hear('peers', [text('ICANHAZ?')])).toEqual({ type: 'icanhaz', subtree: '' });
  });

  test('KTHXBAI without a subtree', () => {
    const frames = [text('KTHXBAI'), number(9n), NONE, NONE, NONE];
    expect(hear('server', frames)).toEqual({ type: 'kthxbai', sequence: 9, subtree: '' });
  });

  test('KVSYNC with a uuid, and a time to live by the wall clock', () => {
    const frames = [text('/a'), number(3n), text(UUID), text('ttl=1700000000000\n'), text('v')];
    expect(hear('server', frames)).toMatchObject({ type: 'kvsync', key: '/a', sequence: 3 });
  });

  test('KVSYNC and KVPUB of a key that is no path of ours', () => {
    expect(hear('server', [text('1234'), number(3n), NONE, NONE, text('v')])).toMatchObject({
      key: '1234',
    });
    expect(hear('updates', [text('1234'), number(3n), NONE, NONE, text('v')])).toMatchObject({
      key: '1234',
    });
  });

  test('the sequence of a KVSET and of a KVSYNC has no significance', () => {
    for (const sequence of [NONE, hex('ff'.repeat(8)), text('00000000')]) {
      const frames = [text('/a'), sequence, NONE, NONE, text('v')];
      expect(hear('collector', frames)).toMatchObject({ type: 'kvset', key: '/a' });
      expect(hear('server', frames)).toMatchObject({ type: 'kvsync', key: '/a' });
    }
  });

  test.each([
    ['zeros', number(0n)],
    ['digits', text('00000000')],
    ['nothing', NONE],
  ])('HUGZ with %s says that the server lives', (_name, sequence) => {
    const frames = [text('HUGZ'), sequence, NONE, NONE, NONE];
    expect(hear('updates', frames)).toEqual({ type: 'hugz', sequence: 0 });
    expect(hear('updates', frames.slice(0, 1))).toEqual({ type: 'hugz', sequence: 0 });
  });

  test.each([
    ['ttl=10\n', 10_000],
    ['ttl=0\n', undefined],
    ['', undefined],
    ['colour=red\nttl=3\nsize=a=b\n', 3000],
    ['ttls=3\n', undefined],
    ['empty=\n', undefined],
  ])('properties: %j', (properties, ttl) => {
    const frames = [text('/a'), number(0n), NONE, text(properties), text('v')];
    expect(plain(hear('collector', frames) as object)).toEqual(
      plain({ type: 'kvset', key: '/a', uuid: '', ttl, value: text('v') }),
    );
  });
});

describe('refused', () => {
  const set = (key: string, properties = '', uuid = ''): Frames => [
    text(key),
    number(0n),
    text(uuid),
    text(properties),
    text('v'),
  ];
  const refused: [reason: string, port: Port, frames: Frames][] = [
    ['no dialect of ours', 'peers', []],
    ['no dialect of ours', 'peers', [text('ICANHAZ'), NONE]],
    ['no dialect of ours', 'peers', set('/a')],
    ['an ICANHAZ of too many frames', 'peers', [text('ICANHAZ?'), NONE, NONE]],
    ['a subtree that is none', 'peers', [text('ICANHAZ?'), text('a/')]],
    ['a subtree that is none', 'peers', [text('ICANHAZ?'), hex('ff')]],
    ['a subtree that is none', 'peers', [text('ICANHAZ?'), text(`/${'x'.repeat(255)}`)]],
    ['not five frames', 'collector', []],
    ['not five frames', 'collector', set('/a').slice(0, 4)],
    ['not five frames', 'collector', [...set('/a'), NONE]],
    ['a key that is a reserved word', 'collector', set('HUGZ')],
    ['a key that is a reserved word', 'collector', set('KTHXBAI')],
    ['a key that is a reserved word', 'collector', set('ICANHAZ?')],
    ['a key that is no path', 'collector', set('a')],
    ['a key that is no path', 'collector', set('')],
    ['a key that is no path', 'collector', set('/a/')],
    ['a key that is no path', 'collector', set('/a\n')],
    ['a key that is empty, too long or not UTF-8', 'collector', set(`/${'x'.repeat(255)}`)],
    ['a key that is empty, too long or not UTF-8', 'collector', [hex('ff'), ...set('').slice(1)]],
    ['a uuid of another length', 'collector', set('/a', '', 'short')],
    ['properties that are none', 'collector', set('/a', 'ttl=5')],
    ['properties that are none', 'collector', set('/a', '=5\n')],
    ['properties that are none', 'collector', set('/a', 'ttl\n')],
    ['properties that are none', 'collector', set('/a', '\n')],
    [
      'properties that are too long or not UTF-8',
      'collector',
      set('/a', `a=${'x'.repeat(4096)}\n`),
    ],
    ['a ttl that is none', 'collector', set('/a', 'ttl=soon\n')],
    ['a ttl that is none', 'collector', set('/a', 'ttl=-1\n')],
    ['a ttl that is none', 'collector', set('/a', 'ttl=1.5\n')],
    ['a ttl that is none', 'collector', set('/a', 'ttl=1\nttl=2\n')],
    ['a ttl that is none', 'collector', set('/a', 'ttl=9007199254741\n')],
    ['not five frames', 'server', [text('KTHXBAI'), number(1n)]],
    ['a sequence that is none', 'server', [text('KTHXBAI'), NONE, NONE, NONE, NONE]],
    ['a key that is a reserved word', 'server', set('HUGZ')],
    ['not five frames', 'updates', [text('/a'), number(1n)]],
    ['a sequence that is none', 'updates', [text('/a'), hex('ff'.repeat(8)), NONE, NONE, NONE]],
    ['a key that is a reserved word', 'updates', set('KTHXBAI')],
    ['a key that is empty, too long or not UTF-8', 'updates', set('')],
    ['a uuid of another length', 'updates', set('/a', '', 'x')],
  ];
  test.each(refused)('%s at %s: %#', (reason, port, frames) => {
    expect(hear(port, frames)).toBe(reason);
  });

  test('any frames are fine: they are a command, or refused', () => {
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc
        .constantFrom('HUGZ', 'KTHXBAI', 'ICANHAZ?', '/a', 'ttl=1\n', UUID, '\0'.repeat(8))
        .map(text),
    );
    const port = fc.constantFrom<Port[]>('peers', 'collector', 'server', 'updates');
    fc.assert(
      fc.property(port, fc.array(frame, { maxLength: 7 }), (at, frames) => {
        expect(['object', 'string']).toContain(typeof hear(at, frames));
      }),
      { numRuns: 5000 },
    );
  });

  test('at the port where only is said', () => {
    expect(chpClientCodec.decode('writes', set('/a'), refuse)).toBe('no dialect of ours');
  });
});
