/** A broker that is one of several keeps the five laws, whoever tells it what. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Address, Instant, Outbox } from '../../src/core/machine.ts';
import {
  BrokerMachine,
  type BrokerCall,
  type BrokerPort,
} from '../../src/majordomo/broker/broker-machine.ts';
import type { BrokerEvent } from '../../src/majordomo/broker/broker-events.ts';
import { LEAST_BACKLOG } from '../../src/majordomo/broker/followers.ts';
import type {
  BrokerInput,
  BrokerOutput,
  FollowerInput,
  ReplicaRecord,
} from '../../src/majordomo/wire/commands.ts';
import { encode } from '../../src/majordomo/wire/protocol.ts';
import { checkLaws, type LawInput, type LawStep } from '../../src/testing/laws.ts';
import {
  broker,
  brokerSettings,
  brokerSteps,
  counting,
  inFrames,
  kind,
  LARGEST_CREDIT,
  REQUEST,
  type BrokerSubject,
} from './broker-plans.ts';
import { ONLY_IN_A_PAIR, PlayedGuard } from './failover-stories.ts';
import { bodies } from './messages.ts';

const RUNS = { numRuns: 300, seed: 20_260 };

/** What the plan says of epochs is made to fit: each reign has a new one, and what is said is of it. */
class ElectedBroker extends BrokerMachine {
  readonly #guard: PlayedGuard;

  constructor(outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>) {
    const guard = new PlayedGuard();
    super(outbox, { ...brokerSettings, guard });
    this.#guard = guard;
  }

  override handleCall(now: Instant, call: BrokerCall): void {
    const guard = this.#guard;
    if (call.type === 'activate') {
      guard.epoch = ++guard.highestEpoch;
      return super.handleCall(now, { ...call, epoch: guard.epoch });
    }
    if (call.type === 'drain' || call.type === 'stop') return super.handleCall(now, call);
    const { epoch } = guard;
    if (call.type === 'standBy') guard.epoch = 0;
    const other = call.type === 'follow' ? guard.highestEpoch + call.epoch : epoch;
    super.handleCall(now, { ...call, epoch: other });
  }

  override handleCommand(
    now: Instant,
    port: BrokerPort,
    from: Address,
    command: BrokerInput,
  ): void {
    super.handleCommand(now, port, from, this.#meant(command));
  }

  /** Every worker of express knows pairs, reports are mostly of this reign, and requests may wait. */
  #meant(command: BrokerInput): BrokerInput {
    if (command.dialect !== 'express') return command;
    switch (command.type) {
      case 'report':
        return command.epoch === 0 ? command : { ...command, epoch: this.#guard.epoch };
      case 'ready':
        return { ...command, worker: command.session };
      case 'request':
        return { ...command, failFast: false, broadcast: false };
      default:
        return command;
    }
  }
}

const express = kind('express');
const session = fc.constantFrom('one', 'two').map((name) => name.padEnd(16, '.'));
const key = fc.constantFrom('key', 'key', 'other');
const keys = fc.subarray(['key', 'other']);
const few = fc.constantFrom(1, 1, 1, 2, 2, 3, 4);
const failure = fc.record({
  code: fc.constantFrom('ERR_HANDLER_FAILED' as const, 'ERR_CANCELLED' as const),
  message: kind('no'),
});

const records: fc.Arbitrary<ReplicaRecord> = fc.oneof(
  fc.record({ kind: kind('reply'), service: kind('echo'), key, ttl: fc.nat(300), body: bodies }),
  fc.record({ kind: kind('worker'), service: fc.constantFrom('echo', 'sum'), worker: session }),
  fc.record({ kind: kind('workerGone'), worker: session }),
  fc.record({ kind: kind('complete'), epoch: fc.nat(3) }),
  fc.record({ kind: kind('complete'), epoch: fc.nat(3) }),
  fc.record({ kind: kind('beat') }),
);

/** Its randomness is none: the session of all that it follows is known. */
const fromActive: fc.Arbitrary<FollowerInput> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      type: kind('record'),
      dialect: express,
      session: fc.constant('\0'.repeat(16)),
      number: few,
      record: records,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: kind('announce'), dialect: express, bytes: fc.nat() }),
  },
  { weight: 1, arbitrary: fc.record({ type: kind('disconnect'), dialect: express }) },
);

const fromWorkers: fc.Arbitrary<BrokerInput> = fc.oneof(
  fc.record({
    type: kind('report'),
    dialect: express,
    epoch: fc.constantFrom(0, 1, 1),
    running: keys,
    finished: keys,
  }),
  fc.record({ type: kind('finished'), dialect: express, key, body: bodies }),
  fc.record({ type: kind('finished'), dialect: express, key, body: bodies, failure }),
);

const following = kind('one'.padEnd(16, '.'));

const fromFollowers: fc.Arbitrary<BrokerInput> = fc.oneof(
  fc.record({
    type: kind('follow'),
    dialect: express,
    session: following,
    epoch: kind('x').map(() => 0),
  }),
  fc.record({ type: kind('recorded'), dialect: express, session: following, number: fc.nat(9) }),
  fc.record({ type: kind('recorded'), dialect: express, session: following, number: few }),
);

const ACTIVATE: BrokerCall = { type: 'activate', epoch: 0 };

const calls = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom<BrokerCall>({ type: 'servesAlone', epoch: 0 }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<BrokerCall>(
      ACTIVATE,
      { type: 'standBy', epoch: 0 },
      { type: 'follow', epoch: 0, endpoint: 'tcp://a' },
      { type: 'follow', epoch: 1, endpoint: 'tcp://b' },
      { type: 'follow', epoch: 1, endpoint: '' },
    ),
  },
);

type Input = LawInput<BrokerPort, BrokerCall>;

const said = (
  port: BrokerPort,
  who: readonly string[],
  what: fc.Arbitrary<BrokerInput>,
): fc.Arbitrary<Input> =>
  fc.record({
    kind: kind('message'),
    port: fc.constant(port),
    from: fc.constantFrom(...who),
    frames: inFrames(what),
  });

const beginning = {
  dialect: express,
  session,
  heartbeatInterval: fc.constant(30),
  heartbeatLiveness: fc.constant(4),
};

const beginnings = [
  said('peers', ['c', 'd'], fc.record({ type: kind('hello'), ...beginning })),
  said(
    'peers',
    ['e', 'f'],
    fc.record({
      type: kind('ready'),
      ...beginning,
      service: kind('echo'),
      credit: fc.constant(1),
      held: fc.constant([]),
    }),
  ),
];

const asked: fc.Arbitrary<Input> = fc.record({
  kind: kind('message'),
  port: kind('peers'),
  from: fc.constantFrom('c', 'd'),
  frames: fc.constant(REQUEST),
});

const seen = fc.record({ type: kind('seen'), dialect: express, epoch: fc.nat(3) });
const gone: fc.Arbitrary<Input> = fc.record({
  kind: kind('peerGone'),
  port: fc.constantFrom<BrokerPort>('active', 'peers'),
  from: fc.constantFrom('', 'g'),
});

/** A worker stands by, and then the broker serves: or none of that, or the latter alone. */
const BEGINNING: readonly LawStep<BrokerPort, BrokerCall>[] = [
  {
    after: 0,
    input: {
      kind: 'message',
      port: 'peers',
      from: 'e',
      frames: encode({
        type: 'ready',
        dialect: 'express',
        session: 'one'.padEnd(16, '.'),
        heartbeatInterval: 30,
        heartbeatLiveness: 4,
        service: 'echo',
        credit: 1,
      }).frames,
    },
  },
  { after: 0, input: { kind: 'call', call: ACTIVATE } },
];

const pair: BrokerSubject = {
  ...broker,
  build: (outbox) => new ElectedBroker(outbox),
  steps: fc
    .tuple(
      fc.nat(2),
      brokerSteps(
        [9, fc.record({ kind: kind('call'), call: calls })],
        [15, said('peers', ['e', 'f'], fromWorkers)],
        [12, said('peers', ['g', 'g', 'g', 'h'], fromFollowers)],
        [12, said('active', [''], fromActive)],
        [1, said('peers', ['c', 'g'], seen)],
        [40, fc.oneof(...beginnings)],
        [40, asked],
        [2, gone],
      ),
    )
    .map(([of, steps]) => [...(of === 0 ? [] : BEGINNING.slice(-of)), ...steps]),
  bounds: (machine) => {
    const { followers, standing, replica } = machine.pair!;
    const { follower, withheld, withheldBytes } = followers.state;
    const { idempotencyBytes, workerLimit, clientLimit } = brokerSettings;
    const running = workerLimit * LARGEST_CREDIT;
    return [
      ...broker
        .bounds(machine)
        .map((bound) =>
          bound.name === 'in flight' ? { ...bound, limit: bound.limit + withheld.size } : bound,
        ),
      {
        // What workers have when there is too much already comes on top.
        name: 'bytes withheld',
        size: withheldBytes,
        limit: idempotencyBytes * (2 + running + brokerSettings.queueLimit),
      },
      { name: 'backlog', size: follower?.bytes ?? 0, limit: idempotencyBytes + LEAST_BACKLOG },
      { name: 'askers', size: standing.state.askers.size, limit: clientLimit },
      { name: 'roster', size: replica.state.roster.size, limit: workerLimit },
    ];
  },
};

test('the five laws hold for one of several brokers, and the plans reach what matters', () => {
  const types = new Set<string>();
  const build: BrokerSubject['build'] = (outbox) =>
    pair.build(counting(outbox, ({ type }) => types.add(type)));
  expect(checkLaws({ ...pair, build }, RUNS)).toBeUndefined();
  expect(ONLY_IN_A_PAIR.filter((type) => !types.has(type))).toEqual([]);
});
