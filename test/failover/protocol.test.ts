/** What is on the wire between the servers of a pair and their witness. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Codec } from '../../src/core/codec.ts';
import { EPOCH_LIMIT } from '../../src/core/election.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { PairInput } from '../../src/failover/commands.ts';
import { LEASE_LIMIT } from '../../src/failover/options.ts';
import { JSON_LIMIT, pairCodec, stockCodec, witnessCodec } from '../../src/failover/protocol.ts';
import { reachable } from '../../src/failover/reachable.ts';

type Decoder = Pick<Codec<never, PairInput, never>, 'decode'>;

function decode(codec: Decoder, frames: Frames): PairInput | string {
  const delivered: PairInput[] = [];
  const reason = codec.decode(undefined as never, frames, (command) => delivered.push(command));
  expect(delivered).toHaveLength(reason === undefined ? 1 : 0);
  return reason ?? delivered[0]!;
}

const encode = (command: PairInput): Frames => pairCodec.encode('peer', command, undefined).frames;

const wire = (json: string, tag = 'UNSXBS01'): Frames => [tag, json].map(encodeText);

const speaker = { pair: 'p', role: 'primary', life: 3 } as const;
const state = { type: 'state', ...speaker, beat: 9, state: 'active', epoch: 5 } as const;
const claim = {
  type: 'claim',
  ...speaker,
  number: 2,
  epoch: 5,
  lease: 1000,
  synchronised: true,
  alone: false,
  forced: false,
} as const;

// prettier-ignore
const VECTORS: [what: string, json: string, command: PairInput][] = [
  ['a state', '{"type":"state","pair":"p","role":"primary","life":3,"beat":9,"state":"active","epoch":5,"holds":5,"endpoint":"tcp://a:1"}',
    { ...state, holds: 5, endpoint: 'tcp://a:1' }],
  ['a state of one that has none to lose', '{"type":"state","pair":"p","role":"primary","life":3,"beat":9,"state":"active","epoch":5,"endpoint":""}',
    { ...state, endpoint: '' }],
  ['a claim', '{"type":"claim","pair":"p","role":"primary","life":3,"number":2,"epoch":5,"lease":1000,"synchronised":true,"alone":false,"forced":false}',
    claim],
  ['a grant', '{"type":"grant","pair":"p","role":"primary","life":3,"number":2,"epoch":5}',
    { type: 'grant', ...speaker, number: 2, epoch: 5 }],
  ['a refusal', '{"type":"refusal","pair":"p","role":"primary","life":3,"number":2,"reason":"held","epoch":5,"timeLeft":12.5}',
    { type: 'refusal', ...speaker, number: 2, reason: 'held', epoch: 5, timeLeft: 12.5 }],
  ['a release', '{"type":"release","pair":"p","role":"primary","life":3,"epoch":5}',
    { type: 'release', ...speaker, epoch: 5 }],
];

describe('between our own', () => {
  test.each(VECTORS)('%s', (_what, json, command) => {
    expect(encode(command).map(decodeText)).toEqual(['UNSXBS01', json]);
    expect(decode(pairCodec, wire(json))).toEqual(command);
  });

  test('what is not known is passed over, also what every object has', () => {
    const more = JSON.stringify({ ...claim, colour: 'red', toString: 1 });
    expect(decode(pairCodec, wire(more))).toEqual(claim);
  });

  test.each([
    [[], 'no message of a pair'],
    [wire('{}', 'UNSXBS02'), 'no message of a pair'],
    [[encodeText('3')], 'no message of a pair'],
    [[encodeText('UNSXBS01')], 'not two frames'],
    [[...wire('{}'), encodeText('')], 'not two frames'],
    [wire('{'), 'not a JSON object'],
    [wire('null'), 'not a JSON object'],
    [wire('"state"'), 'not a JSON object'],
    [wire('['.repeat(JSON_LIMIT)), 'not a JSON object'],
    [wire('[]'), 'no such command'],
    [wire('{"type":"toString"}'), 'no such command'],
    [wire('{"type":"stockState","digit":3}'), 'no such command'],
    [wire(' '.repeat(JSON_LIMIT + 1)), 'more than 4096 bytes of JSON'],
    [[encodeText('UNSXBS01'), Uint8Array.of(0x22, 0xff, 0x22)], 'not a JSON object'],
  ])('refuses %j: %s', (frames, reason) => {
    expect(decode(pairCodec, frames)).toBe(reason);
  });

  // prettier-ignore
  test.each<[name: string, values: readonly unknown[]]>([
    ['pair', ['', 7, undefined, 'x'.repeat(256), 'é'.repeat(128)]],
    ['role', ['', 'both', undefined, 'toString', ['primary']]],
    ['life', [0, -1, 1.5, '3', undefined, 2 ** 53]],
    ['number', [0, 1.5, null, undefined]],
    ['epoch', [-1, 0.5, EPOCH_LIMIT + 1, '5', undefined]],
    ['lease', [0, -1, LEASE_LIMIT + 1, '1', null, undefined]],
    ['synchronised', [1, 'true', null, undefined]],
    ['alone', [0, undefined]],
    ['forced', ['', undefined]],
  ])('refuses a claim whose %s is wrong', (name, values) => {
    for (const value of values) {
      const json = JSON.stringify({ ...claim, [name]: value });
      expect([value, decode(pairCodec, wire(json))]).toEqual([value, `'${name}' of 'claim' is wrong`]);
    }
  });

  test.each<[name: string, values: readonly unknown[]]>([
    ['beat', [0, undefined]],
    ['state', ['claiming', '', undefined]],
    ['holds', [-1, null, 'all', EPOCH_LIMIT + 1]],
    ['endpoint', [undefined, 3, 'x'.repeat(256)]],
  ])('refuses a state whose %s is wrong', (name, values) => {
    for (const value of values) {
      const json = JSON.stringify({ ...state, endpoint: '', [name]: value });
      expect([value, decode(pairCodec, wire(json))]).toEqual([
        value,
        `'${name}' of 'state' is wrong`,
      ]);
    }
  });

  test('a zero below zero is zero, and no number is too long to be one', () => {
    const json = VECTORS[4]![1].replace('12.5', '-0');
    expect(decode(pairCodec, wire(json))).toMatchObject({ timeLeft: 0 });
    expect(decode(pairCodec, wire(VECTORS[4]![1].replace('12.5', '1e999')))).toContain('timeLeft');
  });

  test('the longest of all commands fits', () => {
    const pair = '\u0001'.repeat(255);
    const longest = { ...state, pair, holds: EPOCH_LIMIT, endpoint: pair, beat: 2 ** 53 - 1 };
    expect(decode(pairCodec, encode(longest))).toEqual(longest);
  });
});

describe('a witness', () => {
  test.each(VECTORS)('%s', (_what, json, command) => {
    const isHeard = command.type === 'claim' || command.type === 'release';
    const heard = isHeard ? command : `a witness does not take '${command.type}'`;
    expect(decode(witnessCodec, wire(json))).toEqual(heard);
  });

  test('says what a server understands', () => {
    const grant = { type: 'grant', ...speaker, number: 2, epoch: 5 } as const;
    const { frames, bytes } = witnessCodec.encode('claims', grant, undefined);
    expect(decode(pairCodec, frames)).toEqual(grant);
    expect(bytes).toBeGreaterThan(90);
  });
});

describe('with a stock peer', () => {
  test.each([1, 2, 3, 4] as const)('%d', (digit) => {
    const { frames } = stockCodec.encode('pair', { type: 'stockState', digit }, undefined);
    expect(frames.map(decodeText)).toEqual([String(digit)]);
    expect(decode(stockCodec, frames)).toEqual({ type: 'stockState', digit });
  });

  test.each([[[]], [['']], [['0']], [['5']], [['33']], [['3', '']], [['\u0003']], [['a']]])(
    'refuses %j',
    (frames) => {
      expect(decode(stockCodec, frames.map(encodeText))).toBe('not one digit from 1 to 4');
    },
  );

  test('refuses our own, as we refuse a digit', () => {
    expect(decode(stockCodec, encode(claim))).toBe('not one digit from 1 to 4');
    expect(decode(pairCodec, [encodeText('3')])).toBe('no message of a pair');
  });
});

function toJson(value: unknown): string {
  return JSON.stringify(value);
}

describe('any', () => {
  const values = fc.oneof(
    fc.constantFrom('primary', 'backup', 'state', 'claim', 'grant', 'refusal', 'release', 'held'),
    fc.constantFrom('waiting', 'active', '', true, false, null, 0, 1, -0, 1000, 2 ** 53),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const names = ['type', 'pair', 'role', 'life', 'beat', 'number', 'state', 'epoch', 'holds'];
  const more = ['endpoint', 'lease', 'synchronised', 'alone', 'forced', 'reason', 'timeLeft'];
  const fields = Object.fromEntries([...names, ...more].map((name) => [name, values]));
  const jsons = fc.record(fields, { requiredKeys: [] });
  // Near a right one, or nothing would ever be accepted.
  const changed = fc
    .tuple(fc.constantFrom(...VECTORS), jsons, fc.nat(2))
    .map(([[, , command], other, count]) => ({
      ...command,
      ...Object.fromEntries(Object.entries(other).slice(0, count)),
    }));
  const texts = fc.oneof(fc.string(), fc.json(), jsons.map(toJson), changed.map(toJson));
  const frame = fc.oneof(
    fc.constantFrom('UNSXBS01', '1', '3').map(encodeText),
    texts.map(encodeText),
    fc.uint8Array({ maxLength: 40 }),
  );
  const messages = fc.oneof(
    texts.map((text) => wire(text)),
    fc.array(frame, { maxLength: 3 }),
  );

  test('bytes are one command, which comes back as it was said, or refused', () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(messages, fc.constantFrom(pairCodec, stockCodec), (frames, codec) => {
        const command = decode(codec, frames);
        if (typeof command === 'string') return void kinds.add('refused');
        kinds.add(command.type);
        expect(decode(codec, codec.encode('peer', command, undefined).frames)).toEqual(command);
      }),
      { seed: 5, numRuns: 3000 },
    );
    const all = ['claim', 'grant', 'refusal', 'refused', 'release', 'state', 'stockState'];
    expect([...kinds].toSorted()).toEqual(all);
  });
});

describe('an endpoint at all addresses is reached at', () => {
  test.each([
    ['tcp://0.0.0.0:5555', 'tcp://10.0.0.2:7000', 'tcp://10.0.0.2:5555'],
    ['tcp://*:5555', 'tcp://backup.example:7000', 'tcp://backup.example:5555'],
    ['tcp://[::]:5555', 'tcp://[fe80::1]:7000', 'tcp://[fe80::1]:5555'],
    ['tcp://10.0.0.9:5555', 'tcp://10.0.0.2:7000', 'tcp://10.0.0.9:5555'],
    ['ipc:///tmp/broker', 'tcp://10.0.0.2:7000', 'ipc:///tmp/broker'],
    ['tcp://0.0.0.0:5555', 'ipc:///tmp/pair', 'tcp://0.0.0.0:5555'],
    ['', 'tcp://10.0.0.2:7000', ''],
  ])('%s of the peer %s: %s', (advertised, peer, reached) => {
    expect(reachable(advertised, peer)).toBe(reached);
  });
});
