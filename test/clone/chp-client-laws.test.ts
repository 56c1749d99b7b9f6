/** The machine of a client of a stock server keeps the five laws, whatever that server says. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ChpClientMachine } from '../../src/clone/client/chp-client-machine.ts';
import type { ClientCall, ClientPort, CloneClientEvent } from '../../src/clone/client-events.ts';
import type { ChpClientInput, ChpClientOutput } from '../../src/clone/commands.ts';
import { chpClientCodec, serverCodec } from '../../src/clone/wire/protocol.ts';
import {
  checkLaws,
  lawSteps,
  type LawInput,
  type LawStep,
  type LawSubject,
} from '../../src/testing/laws.ts';
import { CHP_SETTINGS } from './chp-story.ts';
import { ledgerOf, noting } from './client-ledger.ts';

const RUNS = { numRuns: 250, seed: 20_260 };

const settings = {
  ...CHP_SETTINGS,
  heartbeatInterval: 20,
  subtree: '/x/',
  queueLimit: 3,
  queueBytes: 700,
  keyLimit: 1,
  stateBytes: 600,
  reconnectInterval: 10,
  reconnectLimit: 40,
};

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const key = fc.constantFrom('/x/a', '/x/b', '/x/c', '/x/d', '/y', 'z');
const bytes = fc.uint8Array({ maxLength: 12 });
const sequence = fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 2 ** 52);
const uuid = fc.nat(6).map((count) => `writer-1${'\0'.repeat(7)}${String.fromCharCode(count)}`);

type Said = LawInput<ClientPort, ClientCall>;

function said(port: ClientPort, command: ChpClientInput): Said {
  const { frames } = serverCodec.encode('peers', command, undefined);
  return { kind: 'message', port, from: '', frames };
}

/** What a server says that may have lost its mind. */
function messages(): fc.Arbitrary<Said> {
  const subtree = kind('/x/');
  const item = fc.record({ type: kind('kvsync'), key, sequence, value: bytes });
  const end = fc.record({ type: kind('kthxbai'), sequence, subtree });
  const update = fc.record({
    type: kind('kvpub'),
    key,
    sequence,
    uuid: fc.oneof(fc.constant(''), uuid),
    ttl: fc.constantFrom(undefined, 5000),
    value: bytes,
  });
  const noise = fc.record({
    kind: kind('message'),
    port: fc.constantFrom<ClientPort>('server', 'updates', 'writes'),
    from: kind(''),
    frames: fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 6 }),
  });
  return fc.oneof(
    { weight: 3, arbitrary: item.map((command) => said('server', command)) },
    { weight: 4, arbitrary: end.map((command) => said('server', command)) },
    { weight: 6, arbitrary: update.map((command) => said('updates', command)) },
    {
      weight: 3,
      arbitrary: sequence.map((number) => said('updates', { type: 'hugz', sequence: number })),
    },
    { weight: 1, arbitrary: noise },
  );
}

function calls(): fc.Arbitrary<ClientCall> {
  const write = fc
    .record({
      type: kind('write'),
      token: fc.constant(0),
      kind: fc.constantFrom('set' as const, 'set' as const, 'delete' as const, 'clear' as const),
      key: fc.constantFrom('/x/a', '/x/b', '/x/', '/y'),
      ttl: fc.constantFrom(undefined, 5),
      ifMatch: fc.constantFrom(undefined, undefined, undefined, 3),
      value: fc.oneof(bytes, fc.constant(new Uint8Array(400))),
      timeout: fc.integer({ min: 1, max: 500 }),
    })
    .map((call) => (call.kind === 'set' ? call : { ...call, value: undefined }));
  const endpoints = fc.constantFrom(['tcp://one:1'], ['tcp://one:1', 'tcp://two:1'], ['nowhere']);
  return fc.oneof(
    { weight: 9, arbitrary: write },
    { weight: 3, arbitrary: fc.record({ type: kind('abandon'), token: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.record({ type: kind('watch'), isWatched: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ type: kind('connect'), endpoints }) },
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

function inputs(): fc.Arbitrary<Said> {
  const port = fc.constantFrom<ClientPort>('server', 'updates', 'writes');
  return fc.oneof(
    { weight: 14, arbitrary: messages() },
    { weight: 6, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('peerGone'), port, from: kind('') }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: kind('') }) },
  );
}

const connect: LawStep<ClientPort, ClientCall> = {
  after: 0,
  input: { kind: 'call', call: { type: 'connect', endpoints: ['tcp://one:1'] } },
};

type ChpSubject = LawSubject<
  ClientPort,
  ChpClientInput,
  ChpClientOutput,
  ClientCall,
  CloneClientEvent,
  ChpClientMachine
>;

const subject: ChpSubject = {
  build: (outbox) => new ChpClientMachine(outbox, settings),
  codec: chpClientCodec,
  steps: lawSteps(inputs()).map((steps) => withOwnTokens([connect, ...steps])),
  bounds: (machine) => [
    { name: 'writes that wait', size: machine.waiting, limit: settings.queueLimit },
    { name: 'writes under way', size: machine.inFlight, limit: settings.inFlightLimit },
    { name: 'keys', size: machine.replica.size, limit: settings.keyLimit },
    { name: 'keys of a snapshot', size: machine.loading, limit: settings.keyLimit },
  ],
  ending: [{ type: 'stop' }],
  ledger: ledgerOf(),
};

describe('the five laws hold for a client of a stock server', () => {
  test('on random plans', () => {
    expect(checkLaws(subject, RUNS)).toBeUndefined();
  });

  test('and the plans reach what matters', () => {
    const seen = new Set<string>();
    const build: ChpSubject['build'] = (outbox) => subject.build(noting(outbox, seen));
    checkLaws({ ...subject, build }, { ...RUNS, numRuns: 400, seed: 7 });
    expect([...seen].toSorted()).toEqual([
      'changed',
      'connected',
      'disconnected closed',
      'disconnected linkBroken',
      'disconnected outdated',
      'disconnected silent',
      'drained',
      'gapDetected',
      'gapRepaired',
      'ignored stale',
      'ignored unexpected',
      'malformed',
      'snapshotLoaded',
      'snapshotRefused full',
      'synchronised',
      'unsynchronised gap',
      'unsynchronised linkBroken',
      'unsynchronised outdated',
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
