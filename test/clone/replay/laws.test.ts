/** The four machines of replay keep the five laws, whatever the other side says. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Codec, Outgoing } from '../../../src/core/codec.ts';
import type { Frames, Machine, Outbox } from '../../../src/core/machine.ts';
import type {
  ReplayPublisherCall,
  ReplayPublisherEvent,
  ReplayPublisherStatus,
  ReplaySubscriberCall,
  ReplaySubscriberEvent,
  ReplaySubscriberStatus,
} from '../../../src/clone/replay/events.ts';
import { kvPublisherCodec, kvSubscriberCodec } from '../../../src/clone/replay/kv-codec.ts';
import { KvPublisherMachine } from '../../../src/clone/replay/kv-publisher-machine.ts';
import { KvSubscriberMachine } from '../../../src/clone/replay/kv-subscriber-machine.ts';
import {
  streamPublisherCodec,
  streamSubscriberCodec,
} from '../../../src/clone/replay/stream-codec.ts';
import { StreamPublisherMachine } from '../../../src/clone/replay/stream-publisher-machine.ts';
import {
  StreamSubscriberMachine,
  type StreamSubscriberPort,
} from '../../../src/clone/replay/stream-subscriber-machine.ts';
import type { KvSubscriberOutput, KvSubscriberPort } from '../../../src/clone/replay/commands.ts';
import type { FollowerInput, FollowerOutput } from '../../../src/clone/commands.ts';
import {
  checkLaws,
  lawSteps,
  type LawInput,
  type LawStep,
  type Ledger,
} from '../../../src/testing/laws.ts';

const RUNS = { numRuns: 100, seed: 20_261 };
const WINDOW = 400;
const LIMITS = { historyLimit: 4, historyBytes: 900, pendingLimit: 40, pendingBytes: 100_000 };

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const small = fc.uint8Array({ maxLength: 12 });
const noise = fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 5 });
const numbers = fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 12 }), fc.nat());
const topics = fc.constantFrom('', 'prices/A', 'news');

function framesOf(message: Outgoing): Frames {
  return message.frames;
}

/** Numbers as whoever publishes counts them: each is the next one, unless it is meant to be wrong. */
function counted<Port extends string>(
  steps: readonly LawStep<Port, ReplayPublisherCall>[],
  first: number,
): LawStep<Port, ReplayPublisherCall>[] {
  let next = first;
  return steps.map(({ after, input }, index) => {
    if (input.kind !== 'call' || input.call.type !== 'publish') return { after, input };
    const isWrong = input.call.sequence === 7;
    const sequence = isWrong ? 1000 + index : next++;
    return { after, input: { ...input, call: { ...input.call, sequence } } };
  });
}

const publishing: fc.Arbitrary<ReplayPublisherCall> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      type: kind('publish'),
      sequence: fc.nat({ max: 12 }),
      topic: topics,
      body: fc.tuple(small),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<ReplayPublisherCall>({ type: 'drain' }, { type: 'stop' }),
  },
);

/** Each message that is asked for is published, or refused. */
const publisherLedger: Ledger<string, unknown, ReplayPublisherCall, ReplayPublisherEvent> = {
  asked: (input) =>
    input.kind === 'call' && input.call.type === 'publish' ? input.call.sequence : undefined,
  ended: (effect) => {
    if (effect.kind !== 'event') return undefined;
    const { event } = effect;
    const isEnd = event.type === 'published' || event.type === 'publishRefused';
    return isEnd ? event.sequence : undefined;
  },
};

function publisherBounds(machine: { status(): ReplayPublisherStatus }) {
  const { pending, history, followers } = machine.status();
  return [
    { name: 'messages that wait', size: pending, limit: LIMITS.pendingLimit },
    { name: 'history', size: history.messages, limit: LIMITS.historyLimit },
    { name: 'followers', size: followers.length, limit: 3 },
  ];
}

function subscriberBounds(machine: { status(): ReplaySubscriberStatus }) {
  return [{ name: 'bytes', size: machine.status().waiting, limit: 2 * WINDOW + 200 }];
}

const noLedger: Ledger<string, unknown, ReplaySubscriberCall, ReplaySubscriberEvent> = {
  ended: () => undefined,
};

interface Surroundings<Port extends string, Call> {
  readonly ports: readonly Port[];
  readonly peers: readonly string[];
  readonly messages: fc.Arbitrary<Frames>;
  readonly calls: fc.Arbitrary<Call>;
}

function inputsOf<Port extends string, Call>({
  ports,
  peers,
  messages,
  calls,
}: Surroundings<Port, Call>): fc.Arbitrary<LawInput<Port, Call>> {
  const port = fc.constantFrom(...ports);
  const from = fc.constantFrom(...peers);
  const frames = fc.oneof({ weight: 8, arbitrary: messages }, { weight: 1, arbitrary: noise });
  return fc.oneof(
    { weight: 14, arbitrary: fc.record({ kind: kind('message'), port, from, frames }) },
    { weight: 10, arbitrary: fc.record({ kind: kind('call'), call: calls }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('peerGone'), port, from }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: from }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: kind('stored'),
        token: fc.integer({ min: 1, max: 12 }),
        failed: fc.boolean(),
      }),
    },
  );
}

const consuming: fc.Arbitrary<ReplaySubscriberCall> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ type: kind('consumed'), weight: fc.nat({ max: 300 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<ReplaySubscriberCall>(
      { type: 'connect', endpoint: 'two', replay: '' },
      { type: 'drain' },
      { type: 'stop' },
    ),
  },
);

function connect<Port extends string>(replay: string): LawStep<Port, ReplaySubscriberCall> {
  const call = { type: 'connect', endpoint: 'one', replay } as const;
  return { after: 0, input: { kind: 'call', call } };
}

const kvSpoken = fc.oneof(
  fc.record({ type: kind('event'), topic: topics, sequence: numbers, body: small }),
  fc.record({ type: kind('answer'), topic: topics, sequence: numbers, body: small }),
  fc.record({ type: kind('end'), topic: topics }),
);
const kvSaid = fc
  .tuple(kvSpoken, fc.constantFrom('plain' as const, 'topic' as const))
  .map(([command, layout]) => kvPublisherCodec(layout).encode('replay', command, undefined))
  .map(framesOf);
const kvAsked = numbers
  .map((from) => kvSubscriberCodec.encode('replay', { type: 'ask', from }, undefined))
  .map(framesOf);

const beats = { heartbeatInterval: 20, heartbeatLiveness: 3 };
const stream = fc.integer({ min: 1, max: 4 });

const streamSpoken: fc.Arbitrary<FollowerInput> = fc.oneof(
  fc.record({
    type: kind('begin'),
    stream,
    mode: fc.constantFrom('continue' as const, 'lost' as const, 'snapshot' as const),
    epoch: fc.integer({ min: 1, max: 3 }),
    sequence: numbers,
    predecessor: numbers,
    heartbeatInterval: fc.constant(20),
    heartbeatLiveness: fc.constant(3),
  }),
  fc.record({
    type: kind('update'),
    stream,
    sequence: numbers,
    predecessor: numbers,
    kind: kind('set'),
    key: topics,
    value: fc.array(small, { maxLength: 3 }),
  }),
  fc.record({
    type: kind('beat'),
    stream,
    epoch: fc.integer({ min: 1, max: 3 }),
    sequence: numbers,
    predecessor: numbers,
    isCaughtUp: fc.boolean(),
  }),
  fc.record({ type: kind('redirect'), epoch: fc.nat({ max: 3 }), endpoint: kind('') }),
);
const streamAsked: fc.Arbitrary<FollowerOutput> = fc.oneof(
  fc.record({
    type: kind('follow'),
    stream,
    subtree: fc.constantFrom('', 'prices/', 'n'),
    position: fc.option(fc.record({ epoch: fc.nat({ max: 2 }), sequence: numbers }), {
      nil: undefined,
    }),
    window: fc.constantFrom(1, 200, 10_000),
    epoch: fc.nat({ max: 3 }),
    isBackup: fc.boolean(),
    writer: fc.constantFrom('aaaaaaaa', 'bbbbbbbb'),
    heartbeatInterval: fc.constantFrom(10, 40),
    heartbeatLiveness: fc.constant(3),
  }),
  fc.record({
    type: kind('progress'),
    stream,
    received: fc.nat({ max: 900 }),
    sequence: numbers,
    epoch: fc.nat({ max: 3 }),
  }),
  fc.record({ type: kind('goodbye') }),
);

const subscriber = {
  ...beats,
  window: WINDOW,
  topics: ['prices/', ''],
  reconnectInterval: 10,
  reconnectLimit: 40,
  replayTimeout: 30,
  replayRetries: 3,
  pollInterval: 50,
  random: () => 0.5,
  writer: 'cccccccc',
};
const publisher = { ...LIMITS, ...beats, followerLimit: 3, epoch: 5 };

type PublisherBuild<Port extends string, Input, Output> = (
  outbox: Outbox<Port, Output, ReplayPublisherEvent>,
) => Machine<Port, Input, ReplayPublisherCall> & { status(): ReplayPublisherStatus };

function checkPublisher<Port extends string, Input, Output>(
  build: PublisherBuild<Port, Input, Output>,
  codec: Codec<Port, Input, Output>,
  first: number,
  surroundings: Omit<Surroundings<Port, ReplayPublisherCall>, 'calls'>,
): void {
  const inputs = inputsOf({ ...surroundings, calls: publishing });
  checkLaws(
    {
      build,
      codec,
      steps: lawSteps(inputs).map((steps) => counted(steps, first)),
      bounds: publisherBounds,
      ledger: publisherLedger,
      ending: [{ type: 'stop' }],
    },
    RUNS,
  );
}

describe.each([false, true])('a publisher whose store is there: %s', (isDurable) => {
  test('of kv-events keeps the laws', () => {
    expect(() =>
      checkPublisher(
        (outbox) => new KvPublisherMachine(outbox, { ...publisher, isDurable }),
        kvPublisherCodec('topic'),
        0,
        { ports: ['replay'], peers: ['a', 'b', 'c', 'd'], messages: kvAsked },
      ),
    ).not.toThrow();
  });

  test('of a stream keeps the laws', () => {
    expect(() =>
      checkPublisher(
        (outbox) => new StreamPublisherMachine(outbox, { ...publisher, isDurable }),
        streamPublisherCodec,
        1,
        {
          ports: ['peers'],
          peers: ['a', 'b', 'c', 'd'],
          messages: streamAsked
            .map((command) => streamSubscriberCodec.encode('server', command, undefined))
            .map(framesOf),
        },
      ),
    ).not.toThrow();
  });
});

describe.each(['newest', 'oldest', 5] as const)('a subscriber from %s', (from) => {
  test.each(['three', ''])('of kv-events keeps the laws, asking "%s"', (replay) => {
    const inputs = inputsOf<KvSubscriberPort, ReplaySubscriberCall>({
      ports: ['publisher', 'replay'],
      peers: [''],
      messages: kvSaid,
      calls: consuming,
    });
    expect(() =>
      checkLaws(
        {
          build: (outbox: Outbox<KvSubscriberPort, KvSubscriberOutput, ReplaySubscriberEvent>) =>
            new KvSubscriberMachine(outbox, { ...subscriber, from }),
          codec: kvSubscriberCodec,
          steps: lawSteps(inputs).map((steps) => [connect<KvSubscriberPort>(replay), ...steps]),
          bounds: subscriberBounds,
          ledger: noLedger,
          ending: [{ type: 'stop' }],
        },
        RUNS,
      ),
    ).not.toThrow();
  });

  test('of a stream keeps the laws', () => {
    const messages = streamSpoken
      .map((command) => streamPublisherCodec.encode('peers', command, undefined))
      .map(framesOf);
    const inputs = inputsOf<StreamSubscriberPort, ReplaySubscriberCall>({
      ports: ['server'],
      peers: [''],
      messages,
      calls: consuming,
    });
    expect(() =>
      checkLaws(
        {
          build: (outbox: Outbox<StreamSubscriberPort, FollowerOutput, ReplaySubscriberEvent>) =>
            new StreamSubscriberMachine(outbox, { ...subscriber, from }),
          codec: streamSubscriberCodec,
          steps: lawSteps(inputs).map((steps) => [connect<StreamSubscriberPort>(''), ...steps]),
          bounds: subscriberBounds,
          ledger: noLedger,
          ending: [{ type: 'stop' }],
        },
        RUNS,
      ),
    ).not.toThrow();
  });
});

test('the ledger has something to count', () => {
  let published = 0;
  const machine = new KvPublisherMachine(
    {
      open: () => undefined,
      close: () => undefined,
      send: () => true,
      store: () => undefined,
      emit: ({ type }) => (published += type === 'published' ? 1 : 0),
    },
    { ...publisher, isDurable: false },
  );
  machine.handleCall(0, { type: 'publish', sequence: 0, topic: '', body: [new Uint8Array(1)] });
  machine.handleCall(0, { type: 'publish', sequence: 0, topic: '', body: [new Uint8Array(1)] });
  expect(published).toBe(1);
});
