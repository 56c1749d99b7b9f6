/** Random express commands for each side, and how they are packed. */
import fc from 'fast-check';
import type { Outgoing } from '../../src/core/codec.ts';
import { type Failure, REQUEST_ERROR_CODES } from '../../src/core/errors.ts';
import type { Frames } from '../../src/core/machine.ts';
import type {
  BrokerInput,
  ClientInput,
  Command,
  FollowerInput,
  ReplicaRecord,
  WorkerInput,
} from '../../src/majordomo/wire/commands.ts';
import { encode } from '../../src/majordomo/wire/protocol.ts';
import type { Side } from './express-wire.ts';
import { services } from './messages.ts';

const type = <Type extends string>(name: Type): fc.Arbitrary<Type> => fc.constant(name);
const kind = type;
const express = fc.constant<'express'>('express');
const uint = fc.oneof(fc.nat(300), fc.maxSafeNat());
const positive = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.maxSafeNat().map((n) => n || 1),
);
const session = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => latin1(id));
const held = fc.uniqueArray(uint, { maxLength: 40 }).map((all) => all.toSorted((a, b) => a - b));

/** Text of 1 to 255 bytes of UTF-8. */
const names = fc.oneof(
  services,
  fc.constantFrom('naïve 🚢', 'x'.repeat(255), '\uFEFFecho', '\0'),
  fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }),
);

/** Frames around the lengths at which the wire changes: one and two bytes of length, large ones. */
const expressFrame = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom(126, 127, 128, 4095, 4096, 9000).map(filled) },
);
const expressBodies: fc.Arbitrary<Frames> = fc.array(expressFrame, { minLength: 1, maxLength: 4 });

const failures: fc.Arbitrary<Failure> = fc.record(
  {
    code: fc.constantFrom(...REQUEST_ERROR_CODES),
    message: fc.string({ unit: 'grapheme' }),
    retryAfter: uint,
  },
  { requiredKeys: ['code', 'message'] },
);

const requestFields = {
  timeLeft: uint,
  key: names,
  headers: fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.constantFrom(8193, 65_536).map(filled)),
  window: uint,
};

const flag = fc.constant(true);
const beginning = { session, heartbeatInterval: positive, heartbeatLiveness: positive };
const begun = ['session', 'heartbeatInterval', 'heartbeatLiveness'] as const;

const common = [
  fc.record({ type: type('heartbeat'), dialect: express, beat: uint, echo: uint, held }),
  fc.record({ type: type('announce'), dialect: express, bytes: uint }),
  fc.record({ type: type('disconnect'), dialect: express }),
] as const;
const cancel = fc.record({ type: type('cancel'), dialect: express, number: uint });
const credit = fc.record({ type: type('credit'), dialect: express, number: uint, bytes: uint });
const welcome = fc.record(
  {
    type: type('welcome'),
    dialect: express,
    resumed: fc.boolean(),
    heartbeatInterval: positive,
    heartbeatLiveness: positive,
    epoch: uint,
    standby: flag,
  },
  { requiredKeys: ['type', 'dialect', 'resumed', 'heartbeatInterval', 'heartbeatLiveness'] },
);
const standing = fc.record({
  type: type('standing'),
  dialect: express,
  active: fc.boolean(),
  isHeir: fc.boolean(),
  epoch: uint,
  endpoint: fc.oneof(fc.constant(''), names),
});
const outcome = { body: fc.oneof(expressBodies, fc.constant<Frames>([])), final: fc.boolean() };
const answer = { body: outcome.body, failure: failures };
const keys = fc.array(names, { maxLength: 20 });
const endings = { requiredKeys: ['type', 'dialect', 'body', 'final', 'number'] } as const;

/** Any express command that may be said to a broker. */
const toBroker: fc.Arbitrary<BrokerInput> = fc.oneof(
  ...common,
  cancel,
  credit,
  fc.record(
    { type: type('hello'), dialect: express, epoch: uint, ...beginning },
    { requiredKeys: ['type', 'dialect', ...begun] },
  ),
  fc.record(
    {
      type: type('ready'),
      dialect: express,
      service: names,
      credit: uint,
      held,
      epoch: uint,
      worker: session,
      ...beginning,
    },
    { requiredKeys: ['type', 'dialect', 'service', 'credit', 'held', ...begun] },
  ),
  fc.record({ type: type('capacity'), dialect: express, credit: uint }),
  fc.record({ type: type('handBack'), dialect: express, number: uint }),
  fc.record({ type: type('beacon'), dialect: express, session, stuck: uint }),
  fc.record({ type: type('seen'), dialect: express, epoch: uint }),
  fc.record({
    type: type('report'),
    dialect: express,
    epoch: uint,
    running: keys,
    finished: keys,
  }),
  fc.record(
    { type: type('finished'), dialect: express, key: names, ...answer },
    { requiredKeys: ['type', 'dialect', 'key', 'body'] },
  ),
  fc.record({ type: type('follow'), dialect: express, session, epoch: uint }),
  fc.record({ type: type('recorded'), dialect: express, session, number: uint }),
  fc.record(
    {
      type: type('request'),
      dialect: express,
      service: names,
      body: expressBodies,
      number: uint,
      priority: fc.nat(9),
      failFast: flag,
      broadcast: flag,
      ...requestFields,
    },
    { requiredKeys: ['type', 'dialect', 'service', 'body', 'number'] },
  ),
  fc.record(
    {
      type: type('result'),
      dialect: express,
      envelope: fc.constant<Frames>([]),
      number: uint,
      sequence: uint,
      failure: failures,
      ...outcome,
    },
    { requiredKeys: [...endings.requiredKeys, 'envelope'] },
  ),
);

/** Any express command that may be said to a worker. */
const toWorker: fc.Arbitrary<WorkerInput> = fc.oneof(
  ...common,
  cancel,
  credit,
  welcome,
  standing,
  fc.record(
    {
      type: type('dispatch'),
      dialect: express,
      envelope: fc.constant<Frames>([]),
      body: expressBodies,
      number: uint,
      attempt: positive,
      ...requestFields,
    },
    { requiredKeys: ['type', 'dialect', 'envelope', 'body', 'number', 'attempt'] },
  ),
);

/** Any express command that may be said to a client. */
const toClient: fc.Arbitrary<ClientInput> = fc.oneof(
  ...common,
  welcome,
  standing,
  fc.record(
    {
      type: type('reply'),
      dialect: express,
      service: fc.constant(''),
      number: uint,
      sequence: uint,
      failure: failures,
      ...outcome,
    },
    { requiredKeys: [...endings.requiredKeys, 'service'] },
  ),
);

const records: fc.Arbitrary<ReplicaRecord> = fc.oneof(
  fc.record(
    { kind: kind('reply'), service: names, key: names, ttl: uint, ...answer },
    { requiredKeys: ['kind', 'service', 'key', 'ttl', 'body'] },
  ),
  fc.record({ kind: kind('worker'), service: names, worker: session }),
  fc.record({ kind: kind('workerGone'), worker: session }),
  fc.record({ kind: kind('complete'), epoch: uint }),
  fc.record({ kind: kind('beat') }),
);

/** Any express command that may be said to a passive broker by the active one. */
const toFollower: fc.Arbitrary<FollowerInput> = fc.oneof(
  fc.record({ type: type('announce'), dialect: express, bytes: uint }),
  fc.record({ type: type('disconnect'), dialect: express }),
  fc.record({ type: type('record'), dialect: express, session, number: uint, record: records }),
);

export const COMMANDS: Record<Side, fc.Arbitrary<Command>> = {
  broker: toBroker,
  worker: toWorker,
  client: toClient,
  follower: toFollower,
};

/** The commands packed, as a driver does it that queues one after the other. */
export function packed(all: readonly Command[]): Frames[] {
  const packs: Outgoing[] = [];
  for (const command of all) {
    const open = packs.at(-1);
    const pack = encode(command, open);
    if (pack !== open) packs.push(pack);
  }
  return packs.map(({ frames }) => frames);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function filled(length: number): Uint8Array {
  return new Uint8Array(length).fill(length);
}
