/** The Clone client's machine keeps the five laws, whatever its servers say. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClientMachine, type ClientSettings } from '../../src/clone/client/client-machine.ts';
import type { ClientCall, ClientPort, CloneClientEvent } from '../../src/clone/client-events.ts';
import {
  WRITE_REFUSALS,
  type FollowerInput,
  type FollowerOutput,
  type StreamCommand,
} from '../../src/clone/commands.ts';
import { digestOf, equalDigests, RunningDigest } from '../../src/clone/digest.ts';
import { clientCodec, serverCodec } from '../../src/clone/wire/protocol.ts';
import type { Outgoing } from '../../src/core/codec.ts';
import type { Frames } from '../../src/core/machine.ts';
import {
  checkLaws,
  lawSteps,
  type LawInput,
  type LawStep,
  type LawSubject,
} from '../../src/testing/laws.ts';
import { ledgerOf, noting } from './client-ledger.ts';
import { PlainServer } from './client-story.ts';

const RUNS = { numRuns: 250, seed: 20_260 };

const settings: ClientSettings = {
  heartbeatInterval: 20,
  heartbeatLiveness: 3,
  subtree: '/x/',
  window: 1024,
  inFlightLimit: 3,
  queueLimit: 3,
  queueBytes: 700,
  keyLimit: 3,
  stateBytes: 600,
  reconnectInterval: 10,
  reconnectLimit: 40,
  random: () => 0.5,
  writer: 'writer-1',
};

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const key = fc.constantFrom('/x/a', '/x/b', '/x/c', '/x/d', '/x/e', '/y');
const bytes = fc.uint8Array({ minLength: 1, maxLength: 12 });
const rarely = fc.constantFrom(undefined, undefined, undefined, 5);

/** One message with all of these. */
function packed(commands: readonly FollowerInput[]): Frames {
  let open: Outgoing | undefined;
  for (const command of commands) open = serverCodec.encode('peers', command, open);
  return open?.frames ?? [];
}

/** What a server may say that has lost its mind. */
function anything(): fc.Arbitrary<FollowerInput> {
  const stream = fc.constantFrom(1, 1, 1, 2, 3);
  const sequence = fc.oneof({ weight: 9, arbitrary: fc.nat(9) }, fc.maxSafeNat());
  const predecessor = fc.nat(9);
  const epoch = fc.constantFrom(4, 5, 5, 5, 6, 2 ** 52);
  const index = fc.nat(3);
  const digest = fc.constantFrom({ high: 0, low: 0 }, { high: 1, low: 2 }, undefined);
  const number = fc.nat(12);
  const isTrue = fc.boolean();
  return fc.oneof(
    fc.record({
      type: kind('begin'),
      stream,
      mode: fc.constantFrom('continue', 'snapshot', 'snapshot', 'lost'),
      epoch,
      sequence,
      predecessor,
      heartbeatInterval: fc.constantFrom(1, 20, 2 ** 40),
      heartbeatLiveness: fc.constantFrom(2, 3, 2 ** 30),
    }),
    fc.record({
      type: kind('item'),
      stream,
      index,
      key,
      revision: sequence,
      value: fc.tuple(bytes),
    }),
    fc.record({ type: kind('lineage'), stream, reigns: fc.constant([]) }),
    fc.record({ type: kind('end'), stream, count: index, sequence, predecessor }).map((end) => {
      return { ...end, digest: { high: 0, low: 0 } };
    }),
    fc.record({
      type: kind('update'),
      stream,
      sequence,
      predecessor,
      kind: fc.constantFrom('set', 'set', 'delete', 'clear'),
      key,
      value: fc.tuple(bytes),
    }),
    fc.record({
      type: kind('beat'),
      stream,
      epoch,
      sequence,
      predecessor,
      digest,
      isCaughtUp: isTrue,
    }),
    fc.record({ type: kind('redirect'), epoch, endpoint: fc.constantFrom('', 'one', 'two', 'x') }),
    fc.record({
      type: kind('result'),
      number,
      refusal: fc.constantFrom(undefined, undefined, ...WRITE_REFUSALS),
      revision: sequence,
      retryAfter: rarely,
      isReplicated: isTrue,
    }),
    fc.record({ type: kind('expected'), number }),
  );
}

/** What a server says that is in its right mind, in one message; the stream is the client's first few. */
const sane: fc.Arbitrary<FollowerInput[]> = fc
  .record({
    stream: fc.constantFrom(1, 1, 1, 2, 3),
    keys: fc.array(key, { maxLength: 5 }),
    from: fc.constantFrom('snapshot', 'continue', 'update', 'beat'),
    epoch: fc.constantFrom(5, 5, 5, 6),
  })
  .map(({ stream, keys, from, epoch }) => {
    const server = new PlainServer(epoch);
    server.subtree = settings.subtree;
    server.stream = stream;
    for (const each of ['/x/a', ...keys.slice(1)]) server.set(each, 'v');
    const all: FollowerInput[] = [];
    if (from === 'snapshot') all.push(...server.snapshot());
    else if (from === 'continue') all.push(...server.continuation(1));
    if (from !== 'beat' && keys.length > 0) all.push(server.set(keys[0]!, 'w'));
    return [...all, server.beat()];
  });

/** What becomes of a write. */
const answers: fc.Arbitrary<FollowerInput> = fc.record({
  type: kind('result'),
  number: fc.nat(4),
  refusal: fc.constantFrom(undefined, undefined, ...WRITE_REFUSALS),
  revision: fc.nat(3),
  retryAfter: rarely,
  isReplicated: fc.boolean(),
});

/** With one missing, without the rest, or with a wrong digest. */
function bend(all: readonly FollowerInput[], at: number): readonly FollowerInput[] {
  if (at % 3 === 0) return all.toSpliced(at, 1);
  if (at % 3 === 1) return all.slice(0, 2);
  const digest = { high: 1, low: at };
  return all.map((command) => (command.type === 'end' ? { ...command, digest } : command));
}

function messages(): fc.Arbitrary<Frames> {
  const mad = fc.array(anything(), { minLength: 1, maxLength: 3 });
  const bent = fc.tuple(mad.map(packed), fc.nat(40), fc.nat(255)).map(([frames, at, byte]) => {
    return frames.map((frame) => frame.map((each, index) => (index === at ? byte : each)));
  });
  return fc.oneof(
    { weight: 16, arbitrary: sane.map(packed) },
    { weight: 5, arbitrary: mad.map(packed) },
    { weight: 6, arbitrary: fc.tuple(sane, fc.nat(9)).map(([all, at]) => packed(bend(all, at))) },
    { weight: 4, arbitrary: answers.map((each) => packed([each])) },
    { weight: 1, arbitrary: bent },
    { weight: 1, arbitrary: fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 3 }) },
  );
}

function calls(): fc.Arbitrary<ClientCall> {
  const write = fc.record({
    type: kind('write'),
    token: fc.constant(0),
    kind: kind('set'),
    key,
    ttl: rarely,
    ifMatch: rarely,
    value: fc.oneof(bytes, bytes, fc.constant(new Uint8Array(400))),
    timeout: fc.integer({ min: 1, max: 500 }),
  });
  const other = fc.record({
    type: kind('write'),
    token: fc.constant(0),
    kind: fc.constantFrom('delete', 'clear'),
    key: fc.constantFrom('/x/a', '/x/', '/y/'),
    ttl: fc.constant(undefined),
    ifMatch: fc.constant(undefined),
    value: fc.constant(undefined),
    timeout: fc.integer({ min: 1, max: 500 }),
  });
  const endpoints = fc.constantFrom(['one'], ['one', 'four'], []);
  return fc.oneof(
    { weight: 8, arbitrary: write },
    { weight: 3, arbitrary: other },
    { weight: 3, arbitrary: fc.record({ type: kind('abandon'), token: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.record({ type: kind('watch'), isWatched: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ type: kind('connect'), endpoints }) },
    { weight: 1, arbitrary: fc.constantFrom<ClientCall>({ type: 'drain' }, { type: 'stop' }) },
  );
}

/** Tokens are its own for each: the position makes them so. An `abandon` means one of the last five. */
function withOwnTokens(
  steps: readonly LawStep<ClientPort, ClientCall>[],
): LawStep<ClientPort, ClientCall>[] {
  const asked: number[] = [];
  return steps.map(({ after, input }, index) => {
    if (input.kind !== 'call' || !('token' in input.call)) return { after, input };
    const { call } = input;
    if (call.type === 'write') asked.push(index);
    const token = call.type === 'write' ? index : (asked.at(-1 - (call.token % 5)) ?? 0);
    return { after, input: { ...input, call: { ...call, token } } };
  });
}

function inputs(): fc.Arbitrary<LawInput<ClientPort, ClientCall>> {
  const port = fc.constantFrom<ClientPort>('server', 'server', 'server', 'server', 'updates');
  const from = kind('');
  return fc.oneof(
    { weight: 14, arbitrary: fc.record({ kind: kind('message'), port, from, frames: messages() }) },
    { weight: 8, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('peerGone'), port, from }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: from }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('sleep') }) },
  );
}

/** What the client said last: commands of stream 1 mean its present stream, results one of its last writes. */
const said = { stream: 0, number: 0 };

const codec: typeof clientCodec = {
  encode(port, command, open) {
    if (command.type === 'follow') said.stream = command.stream;
    if (command.type === 'follow' && command.stream === 1) said.number = 0;
    if (command.type === 'write') said.number = Math.max(said.number, command.number);
    return clientCodec.encode(port, command, open);
  },
  decode: (port, frames, deliver) =>
    clientCodec.decode(port, frames, (command) => {
      if ('stream' in command && command.stream === 1) {
        deliver({ ...command, stream: said.stream });
      } else if ('number' in command) {
        deliver({ ...command, number: said.number + 1 - (command.number % 5) });
      } else deliver(command);
    }),
};

type ClientSubject = LawSubject<
  ClientPort,
  FollowerInput,
  FollowerOutput,
  ClientCall,
  CloneClientEvent,
  ClientMachine
>;

const connect: LawStep<ClientPort, ClientCall> = {
  after: 0,
  input: { kind: 'call', call: { type: 'connect', endpoints: ['one', 'two'] } },
};

/** However the map came about, its digest is that of what is in it. */
function hasRightDigest(machine: ClientMachine): boolean {
  const digest = new RunningDigest();
  for (const [each, { revision, value }] of machine.replica) {
    digest.add(digestOf(each, revision, value));
  }
  return equalDigests(digest.value, machine.status().digest);
}

const subject: ClientSubject = {
  build: (outbox) => new ClientMachine(outbox, settings),
  codec,
  steps: lawSteps(inputs()).map((steps) => withOwnTokens([connect, ...steps])),
  // Each write has a timeout: time alone must end them all.
  ending: [{ type: 'drain' }],
  bounds: (machine) => [
    { name: 'in flight', size: machine.inFlight, limit: settings.inFlightLimit },
    { name: 'waiting', size: machine.waiting, limit: settings.queueLimit },
    { name: 'keys', size: machine.replica.size, limit: settings.keyLimit },
    { name: 'wrong digests', size: hasRightDigest(machine) ? 0 : 1, limit: 0 },
    {
      name: 'keys from outside',
      size: [...machine.replica.keys()].filter((each) => !each.startsWith('/x/')).length,
      limit: 0,
    },
    { name: 'keys of a snapshot', size: machine.loading, limit: settings.keyLimit },
  ],
  ledger: ledgerOf(),
};

describe('the five laws hold for a Clone client', () => {
  test('on random plans', () => {
    expect(checkLaws(subject, RUNS)).toBeUndefined();
  });

  test('and the plans reach what matters', () => {
    const seen = new Set<string>();
    const build: ClientSubject['build'] = (outbox) => subject.build(noting(outbox, seen));
    checkLaws({ ...subject, build }, { ...RUNS, numRuns: 400, seed: 11 });
    expect([...seen].toSorted()).toEqual([
      'changed',
      'connected',
      'digestWrong',
      'disconnected closed',
      'disconnected linkBroken',
      'disconnected outdated',
      'disconnected redirected',
      'disconnected silent',
      'drained',
      'failedOver',
      'gapDetected',
      'gapRepaired',
      'ignored outdated',
      'ignored stale',
      'ignored unexpected',
      'malformed',
      'snapshotLoaded',
      'snapshotRefused count',
      'snapshotRefused digest',
      'snapshotRefused full',
      'snapshotRefused gap',
      'snapshotRefused superseded',
      'synchronised',
      'unsynchronised digestWrong',
      'unsynchronised gap',
      'unsynchronised linkBroken',
      'unsynchronised outdated',
      'unsynchronised redirected',
      'unsynchronised silent',
      'unsynchronised snapshot',
      'written abandoned',
      'written closed',
      'written done',
      'written queueFull',
      'written refused',
      'written timeout',
    ]);
  });
});

/** A map that no server ever had would be one with a key that nobody set: a stream cannot bring that. */
test('bytes that are no stream change nothing', () => {
  const machine = new ClientMachine(
    { open: () => {}, close: () => {}, send: () => true, store: () => {}, emit: () => {} },
    settings,
  );
  machine.handleCall(0, { type: 'connect', endpoints: ['one'] });
  const server = new PlainServer();
  server.subtree = settings.subtree;
  server.set('/x/a', '1');
  const hear = (frames: Frames): string | undefined =>
    clientCodec.decode('server', frames, (command) =>
      machine.handleCommand(1, 'server', '', command),
    );
  expect(hear(packed(server.snapshot()))).toBeUndefined();
  const before = machine.fingerprint(1);
  const whole = packed([server.set('/x/b', '2')] satisfies StreamCommand[]);
  for (let cut = 1; cut < whole[0]!.length; cut++) {
    hear([whole[0]!.subarray(0, cut)]);
  }
  expect(machine.fingerprint(1)).toBe(before);
  hear(whole);
  expect([...machine.replica.keys()]).toEqual(['/x/a', '/x/b']);
});
