/** The Clone server's machine keeps the five laws of the machine contract, alone and as one of a pair. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FollowerInput, FollowerOutput, ServerInput } from '../../src/clone/commands.ts';
import { EMPTY_DIGEST } from '../../src/clone/digest.ts';
import type { CloneServerEvent, ServerCall, ServerPort } from '../../src/clone/server-events.ts';
import { ServerMachine, type ServerSettings } from '../../src/clone/server/server-machine.ts';
import type { ServerOutbox } from '../../src/clone/server/voice.ts';
import {
  chpClientCodec,
  followerCodec,
  serverCodec,
  type ServerHears,
  type ServerSays,
} from '../../src/clone/wire/protocol.ts';
import type { Address, Frames, Instant } from '../../src/core/machine.ts';
import { seededRandom } from '../../src/core/random.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';
import { PlayedGuard, serverSettings } from './server-stage.ts';

const RUNS = { numRuns: 200, seed: 20_260 };

const LARGEST_WINDOW = 400;

const SETTINGS: ServerSettings = {
  ...serverSettings,
  heartbeatInterval: 30,
  historyLimit: 1,
  historyBytes: 2000,
  keyLimit: 3,
  stateBytes: 1500,
  valueBytes: 1000,
  followerLimit: 2,
  writerLimit: 2,
  pendingLimit: 4,
  pendingBytes: 1500,
};

type Input = LawInput<ServerPort, ServerCall>;
type Subject = LawSubject<
  ServerPort,
  ServerHears,
  ServerSays,
  ServerCall,
  CloneServerEvent,
  ServerMachine
>;

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(value, { nil: undefined });

const few = fc.nat(4);
/** Of a server alone its own; of one of a pair a higher one. */
const OTHERS = 7;
const epoch = fc.constantFrom(0, 0, 0, 0, 1, 1, 2, 3, OTHERS);
const stream = fc.constantFrom(1, 1, 1, 2, 3);
const key = fc.constantFrom('/a', '/a/b', '/a/c', '/d', '/e');
const subtree = fc.constantFrom('', '', '/a/', '/a/b', '/d/');
const writer = fc.constantFrom('writer-1', 'writer-2', 'writer-3');
const value = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 9 }) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(700)) },
);
const ttl = maybe(fc.integer({ min: 1, max: 80 }));
const beats = { heartbeatInterval: fc.constant(30), heartbeatLiveness: fc.constant(3) };
const digest = fc.constantFrom(EMPTY_DIGEST, EMPTY_DIGEST, { high: 1, low: 2 });

const fromFollowers: fc.Arbitrary<FollowerOutput> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: kind('follow'),
      stream,
      subtree,
      position: maybe(fc.record({ epoch, sequence: few })),
      window: fc.constantFrom(1, 1, 100, LARGEST_WINDOW),
      epoch,
      isBackup: fc.constantFrom(false, false, true),
      writer,
      ...beats,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      type: kind('progress'),
      stream,
      received: fc.constantFrom(0, 64, 128, 192, 1000),
      sequence: few,
      epoch,
    }),
  },
  {
    weight: 16,
    arbitrary: fc
      .record({
        type: kind('write'),
        number: fc.integer({ min: 1, max: 9 }),
        floor: fc.constantFrom(1, 1, 3),
        kind: fc.constantFrom('set', 'set', 'set', 'delete'),
        key,
        ttl,
        ifMatch: maybe(few),
        bytes: value,
      })
      .map(({ bytes, ...rest }) => ({ ...rest, value: rest.kind === 'set' ? [bytes] : [] })),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: kind('write'),
      number: few.map((number) => number + 1),
      floor: fc.constant(1),
      kind: kind('clear'),
      key: subtree,
      value: fc.constant([]),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: kind('goodbye') }) },
);

const fromActive: fc.Arbitrary<FollowerInput> = fc.oneof(
  fc.record({
    type: kind('begin'),
    stream,
    mode: fc.constantFrom('snapshot', 'snapshot', 'continue'),
    epoch: fc.constantFrom(1, 2, 3),
    sequence: fc.nat(1),
    predecessor: fc.nat(1),
    ...beats,
  }),
  fc.record({
    type: kind('lineage'),
    stream,
    reigns: fc.array(fc.record({ epoch: fc.nat(3), base: few }), { maxLength: 3 }),
  }),
  fc.record({
    type: kind('item'),
    stream,
    index: fc.nat(1),
    key,
    revision: few,
    ttl,
    timeLeft: maybe(fc.nat(50)),
    value: value.map((bytes) => [bytes]),
  }),
  fc.record({
    type: kind('writer'),
    stream,
    index: fc.nat(1),
    writer,
    next: few,
    done: fc.constantFrom([], [[1, 1] as const]),
  }),
  fc.record({
    type: kind('end'),
    stream,
    count: fc.constantFrom(0, 0, 1),
    sequence: fc.nat(1),
    predecessor: fc.nat(1),
    digest,
  }),
  fc.record({
    type: kind('update'),
    stream,
    sequence: few,
    predecessor: few,
    kind: fc.constantFrom('set', 'delete'),
    key,
    origin: maybe(fc.record({ writer, number: few })),
    value: value.map((bytes) => [bytes]),
  }),
  fc.record({
    type: kind('beat'),
    stream,
    epoch: fc.nat(3),
    sequence: fc.nat(1),
    predecessor: fc.nat(1),
    digest: maybe(digest),
    isCaughtUp: fc.boolean(),
  }),
  fc.record({ type: kind('redirect'), epoch, endpoint: fc.constantFrom('', 'tcp://there') }),
);

const fromStock: fc.Arbitrary<Extract<ServerInput, { type: 'icanhaz' | 'kvset' }>> = fc.oneof(
  fc.record({ type: kind('icanhaz'), subtree }),
  fc.record({
    type: kind('kvset'),
    key,
    uuid: fc.constantFrom('', '', '', 'u'.repeat(16), 'v'.repeat(16)),
    ttl: maybe(fc.constant(1000)),
    value: fc.uint8Array({ maxLength: 9 }),
  }),
);

const message = (
  port: ServerPort,
  from: readonly string[],
  frames: fc.Arbitrary<Frames>,
): fc.Arbitrary<Input> =>
  fc.record({
    kind: kind('message'),
    port: fc.constant(port),
    from: fc.constantFrom(...from),
    frames,
  });

const ONE_BYTE = Uint8Array.of(1);

const PEERS = ['p', 'p', 'q', 'r'];

const garbage = fc.array(fc.uint8Array({ maxLength: 12 }), { maxLength: 4 });

const everywhere = [
  {
    weight: 40,
    arbitrary: message(
      'peers',
      PEERS,
      fromFollowers.map((command) => followerCodec.encode('', command, undefined).frames),
    ),
  },
  {
    weight: 12,
    arbitrary: fromStock.chain((command) =>
      message(
        command.type === 'icanhaz' ? 'peers' : 'collector',
        ['s', ''],
        fc.constant(chpClientCodec.encode('server', command, undefined).frames),
      ),
    ),
  },
  { weight: 1, arbitrary: message('peers', PEERS, garbage) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kind('peerGone'),
      port: fc.constantFrom<ServerPort>('peers', 'active'),
      from: fc.constantFrom(...PEERS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: kind('writable'),
      port: kind('peers'),
      to: fc.constantFrom(...PEERS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: kind('call'),
      call: fc.constantFrom<ServerCall>(
        { type: 'serveStock' },
        { type: 'serveStock' },
        { type: 'drain' },
        { type: 'stop' },
      ),
    }),
  },
];

const stored = {
  weight: 10,
  arbitrary: fc.record({
    kind: kind('stored'),
    token: fc.integer({ min: 1, max: 8 }),
    failed: fc.constantFrom(false, false, false, true),
  }),
};

const ofPair = [
  {
    weight: 12,
    arbitrary: fc.record({
      kind: kind('call'),
      call: fc.oneof(
        fc.record({ type: kind('activate'), epoch: fc.constant(0) }),
        fc.record({ type: kind('standBy'), epoch: fc.constant(0) }),
        fc.record({ type: kind('servesAlone'), epoch: fc.constant(0) }),
        fc.record({ type: kind('servesAlone'), epoch: fc.constant(0) }),
        fc.record({
          type: kind('follow'),
          epoch: fc.nat(1),
          endpoint: fc.constantFrom('', 'tcp://there', 'tcp://there'),
        }),
      ),
    }),
  },
  {
    weight: 25,
    arbitrary: message(
      'active',
      [''],
      fromActive.map((command) => serverCodec.encode('peers', command, undefined).frames),
    ),
  },
];

const fromThere = (command: FollowerInput): Input => ({
  kind: 'message',
  port: 'active',
  from: '',
  frames: serverCodec.encode('peers', command, undefined).frames,
});

const toServer = (from: string, command: FollowerOutput): Input => ({
  kind: 'message',
  port: 'peers',
  from,
  frames: followerCodec.encode('', command, undefined).frames,
});

const FOLLOW: FollowerOutput = {
  type: 'follow',
  stream: 1,
  subtree: '',
  window: LARGEST_WINDOW,
  epoch: 0,
  isBackup: false,
  writer: 'writer-1',
  heartbeatInterval: 30,
  heartbeatLiveness: 3,
};

/** It serves alone, somebody writes, and then a backup comes. Plans begin with some of that. */
const ELECTED: readonly Input[] = [
  { kind: 'call', call: { type: 'activate', epoch: 0 } },
  { kind: 'call', call: { type: 'servesAlone', epoch: 0 } },
  toServer('p', FOLLOW),
  toServer('p', { type: 'write', number: 1, floor: 1, kind: 'set', key: '/a', value: [ONE_BYTE] }),
  toServer('q', { ...FOLLOW, isBackup: true, writer: 'writer-2' }),
  toServer('q', { type: 'progress', stream: 1, received: 128, sequence: 0, epoch: 0 }),
];

const BEAT = { type: 'beat', stream: 1, epoch: 1, sequence: 0, predecessor: 0 } as const;

/** It follows, and is told that there is nothing: so it has all. */
const FOLLOWING: readonly Input[] = [
  { kind: 'call', call: { type: 'follow', epoch: 1, endpoint: 'tcp://there' } },
  fromThere({
    type: 'begin',
    stream: 1,
    mode: 'snapshot',
    epoch: 1,
    sequence: 0,
    predecessor: 0,
    heartbeatInterval: 30,
    heartbeatLiveness: 3,
  }),
  fromThere({ type: 'lineage', stream: 1, reigns: [{ epoch: 1, base: 0 }] }),
  fromThere({
    type: 'end',
    stream: 1,
    count: 0,
    sequence: 0,
    predecessor: 0,
    digest: EMPTY_DIGEST,
  }),
  fromThere({ ...BEAT, digest: EMPTY_DIGEST, isCaughtUp: true }),
];

/** What the plan says of epochs is made to fit: each reign has a new one. */
class ElectedServer extends ServerMachine {
  readonly #guard: PlayedGuard;

  constructor(outbox: ServerOutbox, settings: ServerSettings) {
    const guard = new PlayedGuard();
    super(outbox, { ...settings, guard });
    this.#guard = guard;
  }

  override handleCall(now: Instant, call: ServerCall): void {
    const guard = this.#guard;
    if (!('epoch' in call)) return super.handleCall(now, call);
    if (call.type === 'activate') guard.epoch = ++guard.highestEpoch;
    if (call.type === 'standBy') guard.epoch = 0;
    const meant = call.type === 'follow' ? guard.highestEpoch + call.epoch : guard.epoch;
    super.handleCall(now, { ...call, epoch: meant });
  }

  override handleCommand(
    now: Instant,
    port: ServerPort,
    from: Address,
    command: ServerHears,
  ): void {
    super.handleCommand(now, port, from, port === 'peers' ? this.#meant(command) : command);
  }

  /** Most have seen no other epoch than that of this reign. */
  #meant(command: ServerHears): ServerHears {
    const { epoch: own, highestEpoch } = this.#guard;
    if (command.type !== 'follow' && command.type !== 'progress') return command;
    const shown = command.epoch === OTHERS ? highestEpoch + 1 : 0;
    if (command.type === 'progress' || command.position === undefined) {
      return { ...command, epoch: shown };
    }
    return { ...command, epoch: shown, position: { ...command.position, epoch: own } };
  }
}

const ledger: Subject['ledger'] = {
  asked: (input) =>
    input.kind === 'call' && /^(?:drain|stop)$/.test(input.call.type) ? 'drain' : undefined,
  ended: (effect) =>
    effect.kind === 'event' && effect.event.type === 'drained' ? 'drain' : undefined,
};

function boundsOf(machine: ServerMachine): ReturnType<Subject['bounds']> {
  const { followers, pending, writers, keys, bytes } = machine.status();
  const { history } = machine.publication;
  const { keyLimit, stateBytes, pendingLimit, followerLimit, writerLimit, historyLimit } = SETTINGS;
  // One command beyond the window, and a heartbeat for each interval until it is given up.
  const beyond = 1000 + 64 * 5;
  return [
    { name: 'keys', size: keys, limit: machine instanceof ElectedServer ? 5 : keyLimit },
    { name: 'bytes', size: bytes, limit: stateBytes + 5 * 800 },
    { name: 'pending', size: pending, limit: pendingLimit },
    { name: 'followers', size: followers.length, limit: followerLimit + 1 },
    // A passive server remembers more, as it hears of no farewells.
    { name: 'writers', size: writers, limit: 4 * writerLimit },
    {
      name: 'history',
      size: history.published - history.first + 1,
      limit: 2 * historyLimit,
    },
    ...followers.map(({ inFlight }) => ({
      name: 'bytes on their way to a follower',
      size: inFlight,
      limit: LARGEST_WINDOW + beyond,
    })),
  ];
}

function subjectOf(
  build: (outbox: ServerOutbox) => ServerMachine,
  inputs: readonly fc.WeightedArbitrary<Input>[],
  ...beginnings: readonly (readonly Input[])[]
): Subject {
  const begun = fc.constantFrom(
    [],
    ...beginnings.flatMap((beginning) => [beginning.slice(0, 1), beginning]),
  );
  return {
    build,
    codec: serverCodec,
    steps: fc
      .tuple(begun, lawSteps(fc.oneof(...inputs)))
      .map(([first, steps]) => [...first.map((input) => ({ after: 0, input })), ...steps]),
    ending: [{ type: 'drain' }, { type: 'stop' }],
    bounds: boundsOf,
    ledger,
  };
}

const random = (): ServerSettings['random'] => seededRandom(1);

const SUBJECTS: readonly (readonly [name: string, subject: Subject])[] = [
  [
    'a server alone',
    subjectOf((outbox) => new ServerMachine(outbox, { ...SETTINGS, random: random() }), everywhere),
  ],
  [
    'a server alone with a store',
    subjectOf(
      (outbox) => new ServerMachine(outbox, { ...SETTINGS, random: random(), isDurable: true }),
      [...everywhere, stored],
    ),
  ],
  [
    'one of a pair',
    subjectOf(
      (outbox) => new ElectedServer(outbox, { ...SETTINGS, random: random() }),
      [...everywhere, ...ofPair],
      FOLLOWING,
      ELECTED,
    ),
  ],
  [
    'one of an asynchronous pair with a store',
    subjectOf(
      (outbox) =>
        new ElectedServer(outbox, {
          ...SETTINGS,
          random: random(),
          isDurable: true,
          replication: 'async',
        }),
      [...everywhere, ...ofPair, stored],
      FOLLOWING,
      ELECTED,
    ),
  ],
];

/** What the plans reached. */
const seen = new Set<string>();

function check(subject: Subject): void {
  const build: Subject['build'] = (outbox) =>
    subject.build({
      ...outbox,
      send: (port, to, command) => {
        seen.add(command.type);
        return outbox.send(port, to, command);
      },
      emit: (event) => {
        seen.add('reason' in event ? `${event.type} ${event.reason}` : event.type);
        outbox.emit(event);
      },
    });
  checkLaws({ ...subject, build }, RUNS);
}

test.each(SUBJECTS)('the five laws hold of %s', (_name, subject) => {
  expect(check(subject)).toBeUndefined();
});

test('the plans reach what matters', () => {
  if (seen.size === 0) for (const [, subject] of SUBJECTS) check(subject);
  expect(REACHED.filter((what) => !seen.has(what))).toEqual([]);
});

const REACHED = [
  'alone',
  'backupLost goodbye',
  'backupLost silent',
  'backupSynchronised',
  'beat',
  'becameActive',
  'becamePassive',
  'begin',
  'drained',
  'end',
  'expected',
  'follow',
  'followerBegan',
  'followerLeftBehind',
  'followerLost goodbye',
  'followerLost linkBroken',
  'followerLost silent',
  'followerLost standBy',
  'followerRefused full',
  'gapDetected',
  'holds',
  'hugz',
  'ignored stale',
  'ignored unexpected',
  'item',
  'kthxbai',
  'kvpub',
  'kvsync',
  'lineage',
  'progress',
  'published',
  'redirect',
  'redirected',
  'result',
  'stockSnapshot',
  'stockWriteIgnored passive',
  'stockWriteIgnored repeated',
  'storeFailed',
  'synchronised',
  'update',
  'writeMissing',
  'writeRefused',
  'writeRepeated',
  'writer',
];
