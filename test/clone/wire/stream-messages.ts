/** Random commands of the stream for each side. */
import fc from 'fast-check';
import type { Frames } from '../../../src/core/machine.ts';
import type { FollowerInput, FollowerOutput } from '../../../src/clone/commands.ts';
import { WRITE_REFUSALS } from '../../../src/clone/commands.ts';
import type { StreamDialect } from '../../../src/clone/wire/stream-format.ts';
import type { Side } from './stream-wire.ts';

const type = <Type extends string>(name: Type): fc.Arbitrary<Type> => fc.constant(name);
const uint = fc.oneof(fc.nat(300), fc.maxSafeNat());
const positive = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1 }));
const writer = fc
  .uint8Array({ minLength: 8, maxLength: 8 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'));
const digest = fc.record({ high: fc.nat(0xffff_ffff), low: fc.nat(0xffff_ffff) });

/** Keys, subtrees and topics: 0 to 255 bytes of UTF-8. */
const text = fc.oneof(
  fc.constantFrom(
    '',
    '/',
    '/a',
    '/config/db/',
    '/naïve/🚢',
    'x'.repeat(255),
    '\uFEFF/a',
    '\0',
    'HUGZ',
  ),
  fc.string({ maxLength: 20 }).map((part) => `/a/${part}`),
  fc.string({ maxLength: 20, unit: 'binary' }),
);

/** Frames around the lengths at which the wire changes. */
const frame = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 24 }) },
  { weight: 1, arbitrary: fc.constantFrom(64, 65, 126, 127, 4095, 4096, 9000).map(filled) },
);
const one: fc.Arbitrary<Frames> = fc.tuple(frame);
const some: fc.Arbitrary<Frames> = fc.array(frame, { maxLength: 4 });
const none = fc.constant<Frames>([]);

const written = { kind: type('set'), value: one } as const;
const removed = {
  kind: fc.constantFrom('delete' as const, 'clear' as const),
  value: none,
} as const;
const beats = { heartbeatInterval: positive, heartbeatLiveness: positive };

const write = {
  type: type('write'),
  number: uint.filter((number) => number < Number.MAX_SAFE_INTEGER),
  floor: uint,
  key: text,
  ttl: uint,
  ifMatch: uint,
};

/** Any command of the stream that may be said to a server. */
const toServer: fc.Arbitrary<FollowerOutput> = fc.oneof(
  fc.record(
    {
      type: type('follow'),
      stream: uint,
      subtree: text,
      position: fc.record({ epoch: uint, sequence: uint }),
      window: uint,
      epoch: uint,
      isBackup: fc.boolean(),
      writer,
      ...beats,
    },
    {
      requiredKeys: [
        'type',
        'stream',
        'subtree',
        'window',
        'epoch',
        'isBackup',
        'writer',
        'heartbeatInterval',
        'heartbeatLiveness',
      ],
    },
  ),
  fc.record({
    type: type('progress'),
    stream: uint,
    received: uint,
    sequence: uint,
    epoch: uint,
  }),
  fc.record(
    { ...write, ...written },
    { requiredKeys: ['type', 'number', 'floor', 'key', 'kind', 'value'] },
  ),
  fc.record(
    { ...write, ...removed },
    { requiredKeys: ['type', 'number', 'floor', 'key', 'kind', 'value'] },
  ),
  fc.record({ type: type('goodbye') }),
);

/** A sequence, and a predecessor that is not behind it. */
const places = fc
  .tuple(uint, fc.oneof(fc.constant(1), uint))
  .map(([sequence, distance]) => ({ sequence, predecessor: Math.max(0, sequence - distance) }));

const change = {
  type: type('update'),
  stream: uint,
  key: text,
  ttl: uint,
  timeLeft: uint,
  origin: fc.record({ writer, number: uint, floor: uint }, { requiredKeys: ['writer', 'number'] }),
};
const required: { requiredKeys: ('type' | 'stream' | 'key' | 'kind' | 'value')[] } = {
  requiredKeys: ['type', 'stream', 'key', 'kind', 'value'],
};

const numbers = fc.uniqueArray(uint, { maxLength: 20 }).map((all) => all.toSorted((a, b) => a - b));

/** Any command of the stream that may be said to a follower. */
const toFollower: fc.Arbitrary<FollowerInput> = fc.oneof(
  fc
    .tuple(places, fc.record({ ...change, kind: type('set'), value: some }, required))
    .map(([place, rest]) => ({ ...rest, ...place })),
  fc
    .tuple(places, fc.record({ ...change, ...removed }, required))
    .map(([place, rest]) => ({ ...rest, ...place })),
  fc.record(
    {
      type: type('item'),
      stream: uint,
      index: uint,
      key: text,
      revision: uint,
      ttl: uint,
      timeLeft: uint,
      value: one,
    },
    { requiredKeys: ['type', 'stream', 'index', 'key', 'revision', 'value'] },
  ),
  fc.record({
    type: type('begin'),
    stream: uint,
    mode: fc.constantFrom('continue' as const, 'snapshot' as const, 'lost' as const),
    epoch: uint,
    sequence: uint,
    predecessor: uint,
    ...beats,
  }),
  fc
    .tuple(
      numbers,
      fc.array(uint, { minLength: 20, maxLength: 20 }),
      fc.record({ stream: uint, index: uint, writer, next: uint }),
    )
    .map(([all, revisions, rest]) => ({
      type: 'writer' as const,
      ...rest,
      done: all.map((number, index) => [number, revisions[index] ?? 0] as const),
    })),
  fc.record({
    type: type('lineage'),
    stream: uint,
    reigns: fc.array(fc.record({ epoch: uint, base: uint }), { maxLength: 20 }),
  }),
  fc.record({
    type: type('end'),
    stream: uint,
    count: uint,
    sequence: uint,
    predecessor: uint,
    digest,
  }),
  fc.record(
    {
      type: type('beat'),
      stream: uint,
      epoch: uint,
      sequence: uint,
      predecessor: uint,
      digest,
      isCaughtUp: fc.boolean(),
    },
    { requiredKeys: ['type', 'stream', 'epoch', 'sequence', 'predecessor', 'isCaughtUp'] },
  ),
  fc.record(
    {
      type: type('result'),
      number: uint,
      refusal: fc.constantFrom(...WRITE_REFUSALS),
      revision: uint,
      retryAfter: uint,
      isReplicated: fc.boolean(),
    },
    { requiredKeys: ['type', 'number', 'revision', 'isReplicated'] },
  ),
  fc.record({ type: type('expected'), number: uint }),
  fc.record({
    type: type('redirect'),
    epoch: uint,
    endpoint: fc.oneof(fc.constant(''), fc.string({ maxLength: 60 })),
  }),
);

export const COMMANDS: Record<Side, fc.Arbitrary<StreamDialect>> = {
  server: toServer,
  follower: toFollower,
};

function filled(length: number): Uint8Array {
  return new Uint8Array(length).fill(length);
}
