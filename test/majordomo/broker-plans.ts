/** Random plans for a broker, alone or one of several: what its laws are put to. */
import fc from 'fast-check';
import { REQUEST_ERROR_CODES } from '../../src/core/errors.ts';
import type { Frames, Outbox } from '../../src/core/machine.ts';
import {
  BrokerMachine,
  type BrokerCall,
  type BrokerPort,
  type BrokerSettings,
} from '../../src/majordomo/broker/broker-machine.ts';
import type { BrokerEvent } from '../../src/majordomo/broker/broker-events.ts';
import type {
  BrokerInput,
  BrokerOutput,
  RequestCommand,
} from '../../src/majordomo/wire/commands.ts';
import { brokerCodec, encode } from '../../src/majordomo/wire/protocol.ts';
import { lawSteps, type LawInput, type LawStep, type LawSubject } from '../../src/testing/laws.ts';
import { contradictions } from './broker-conservation.ts';
import { bodies, envelopes, messages } from './messages.ts';

export function choose<Port extends string, Call>(
  weights: readonly (readonly [number, fc.Arbitrary<LawInput<Port, Call>>])[],
): fc.Arbitrary<LawInput<Port, Call>> {
  return fc.oneof(...weights.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

export const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

// The broker. Its randomness is no randomness here, so that the plans can name its dispatch tags.

const TAGS = Array.from({ length: 12 }, (_, number) => '\x01'.repeat(6) + number.toString(36));

export const brokerSettings: BrokerSettings = {
  heartbeatInterval: 20,
  heartbeatLiveness: 3,
  maxAttempts: 2,
  attemptTimeout: 100,
  requestTtl: 400,
  queueLimit: 4,
  queueBytes: 3000,
  workerLimit: 2,
  clientLimit: 2,
  replyBufferBytes: 20,
  noticeGrace: 5,
  clientGrace: 8,
  priorityAgeing: 50,
  idempotencyTtl: 150,
  idempotencyBytes: 1000,
  deadLetterService: 'sum',
  random: () => 0,
};

// Express. Few names and small numbers, so that they meet.

const LONGEST_PLAN = 60;
export const LARGEST_CREDIT = 3;

const express = kind('express');
const session = fc.constantFrom('one', 'two').map((name) => name.padEnd(16, '.'));
const settings = { heartbeatInterval: fc.constantFrom(10, 30), heartbeatLiveness: fc.constant(2) };
const someCredit = fc.nat(LARGEST_CREDIT);
const services = fc.constantFrom('echo', 'echo', 'echo', 'sum', 'mmi.x');
const held = (largest: number) => fc.subarray(Array.from({ length: largest }, (_, at) => at));
const failure = fc.record({ code: fc.constantFrom(...REQUEST_ERROR_CODES), message: kind('no') });

/** A request to be numbered by its place in the plan. */
const expressRequests: fc.Arbitrary<RequestCommand> = fc.record({
  type: kind('request'),
  dialect: express,
  service: services,
  body: bodies,
  timeLeft: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
  priority: fc.option(fc.nat(9), { nil: undefined }),
  key: fc.option(fc.constant('key'), { nil: undefined, freq: 2 }),
  headers: fc.option(fc.uint8Array({ maxLength: 5 }), { nil: undefined }),
  window: fc.option(fc.nat(1000), { nil: undefined, freq: 2 }),
  failFast: fc.boolean(),
  broadcast: fc.integer({ min: 0, max: 3 }).map((of) => of === 0),
});

/** Stands in a plan for a request of express. */
export const REQUEST: Frames = [];

const heartbeat = (numbers: fc.Arbitrary<number[]>) =>
  fc.record({
    type: kind('heartbeat'),
    dialect: express,
    beat: fc.nat(6),
    echo: fc.nat(4),
    held: numbers,
  });

const common = [
  fc.record({ type: kind('announce'), dialect: express, bytes: fc.nat(100_000) }),
  fc.record({ type: kind('disconnect'), dialect: express }),
] as const;

export const inFrames = (commands: fc.Arbitrary<BrokerInput>): fc.Arbitrary<Frames> =>
  commands.map((command) => encode(command).frames);

function fromClients(): fc.Arbitrary<Frames> {
  const hello = fc.record({ type: kind('hello'), dialect: express, session, ...settings });
  const number = fc.nat(LONGEST_PLAN);
  const said = inFrames(
    fc.oneof<fc.Arbitrary<BrokerInput>[]>(
      ...common,
      hello,
      hello,
      hello,
      fc.record({ type: kind('cancel'), dialect: express, number }),
      fc.record({ type: kind('credit'), dialect: express, number, bytes: fc.nat(1000) }),
      heartbeat(held(LONGEST_PLAN)),
      heartbeat(fc.constant(Array.from({ length: LONGEST_PLAN }, (_, at) => at))),
    ),
  );
  const asked = fc.constant(REQUEST);
  return fc.oneof({ weight: 1, arbitrary: said }, { weight: 1, arbitrary: asked });
}

function fromWorkers(): fc.Arbitrary<Frames> {
  const ready = fc.record({
    type: kind('ready'),
    dialect: express,
    session,
    service: services,
    credit: someCredit,
    held: held(9),
    ...settings,
  });
  const result = { type: kind('result'), dialect: express, envelope: fc.constant<Frames>([]) };
  const numbers = { number: fc.nat(6), sequence: fc.constantFrom(0, 0, 0, 1, 2) };
  const end = fc.constant(true);
  const nothing = fc.constant<Frames>([]);
  return inFrames(
    fc.oneof<fc.Arbitrary<BrokerInput>[]>(
      ...common,
      ready,
      ready,
      ready,
      fc.record({ ...result, ...numbers, body: bodies, final: fc.boolean() }),
      fc.record({ ...result, ...numbers, body: bodies, final: end }),
      fc.record({ ...result, ...numbers, body: nothing, final: end, failure }),
      fc.record({ type: kind('handBack'), dialect: express, number: fc.nat(2) }),
      fc.record({ type: kind('handBack'), dialect: express, number: fc.nat(2) }),
      fc.record({ type: kind('capacity'), dialect: express, credit: someCredit }),
      fc.record({ type: kind('beacon'), dialect: express, session, stuck: fc.constantFrom(0, 50) }),
      heartbeat(held(9)),
      heartbeat(held(9)),
    ),
  );
}

/** Numbers ascend: the place in the plan makes them so. */
function numbered(
  steps: readonly LawStep<BrokerPort, BrokerCall>[],
  requests: readonly RequestCommand[],
): LawStep<BrokerPort, BrokerCall>[] {
  return steps.map(({ after, input }, number) => {
    if (input.kind !== 'message' || input.frames !== REQUEST) return { after, input };
    const { frames } = encode({ ...requests[number]!, number });
    return { after, input: { ...input, frames } };
  });
}

function brokerInputs(): fc.Arbitrary<LawInput<BrokerPort, BrokerCall>> {
  const port = kind('peers');
  const from = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  const service = fc.constantFrom('echo', 'echo', 'echo', 'sum', 'mmi.service', 'mmi.x');
  const frames = messages({ service, envelope: envelopes(...TAGS) });
  const call = fc.constantFrom<BrokerCall>({ type: 'drain' }, { type: 'stop' });
  const message = (who: readonly string[], what: fc.Arbitrary<Frames>) =>
    fc.record({ kind: kind('message'), port, from: fc.constantFrom(...who), frames: what });
  return choose<BrokerPort, BrokerCall>([
    [2, fc.record({ kind: kind('message'), port, from, frames })],
    [20, message(['a', 'b', 'c'], frames)],
    [30, message(['c', 'd'], fromClients())],
    [30, message(['e', 'f'], fromWorkers())],
    [1, fc.record({ kind: kind('call'), call })],
    [3, fc.record({ kind: kind('peerGone'), port, from })],
    [3, fc.record({ kind: kind('writable'), port, to: from })],
    [1, fc.record({ kind: kind('stored'), token: fc.nat(3), failed: fc.boolean() })],
  ]);
}

export type BrokerSubject = LawSubject<
  BrokerPort,
  BrokerInput,
  BrokerOutput,
  BrokerCall,
  BrokerEvent,
  BrokerMachine
>;

/** The steps of a broker's life, with `more` that may happen to it. */
export function brokerSteps(
  ...more: readonly (readonly [number, fc.Arbitrary<LawInput<BrokerPort, BrokerCall>>])[]
): BrokerSubject['steps'] {
  return fc
    .tuple(
      lawSteps(
        more.length === 0 ? brokerInputs() : choose([[90, brokerInputs()], ...more]),
        LONGEST_PLAN,
      ),
      fc.array(expressRequests, { minLength: LONGEST_PLAN, maxLength: LONGEST_PLAN }),
    )
    .map(([steps, requests]) => numbered(steps, requests));
}

export const broker: BrokerSubject = {
  build: (outbox) => new BrokerMachine(outbox, brokerSettings),
  codec: brokerCodec,
  steps: brokerSteps(),
  ending: [{ type: 'drain' }],
  bounds: (machine) => {
    const { queues } = machine.requests.state;
    const lines = [...queues.values()].flatMap(({ levels }) => [...levels.values()]);
    const waiting = lines.flatMap((owners) => [...owners.values()]).flatMap((line) => [...line]);
    const contradicted = contradictions(machine);
    // What comes back from a lost worker was taken in before, and is not refused a second time.
    return [
      { name: 'queued requests', size: waiting.length, limit: brokerSettings.queueLimit },
      {
        name: 'queued bytes',
        size: waiting.reduce((sum, { bytes }) => sum + bytes, 0),
        limit: brokerSettings.queueBytes,
      },
      { name: 'workers', size: machine.sessions.size, limit: brokerSettings.workerLimit },
      {
        name: 'in flight',
        size: machine.requests.state.inFlight,
        limit: brokerSettings.workerLimit * LARGEST_CREDIT,
      },
      {
        name: 'clients',
        size: machine.clients.state.sessions.size,
        limit: brokerSettings.clientLimit,
      },
      {
        name: 'bytes kept',
        size: machine.keys.state.bytes,
        limit: brokerSettings.idempotencyBytes,
      },
      { name: contradicted.join(', '), size: contradicted.length, limit: 0 },
    ];
  },
  ledger: {
    asked: (input) => (input.kind === 'call' ? 'drain' : undefined),
    ended: (effect) =>
      effect.kind === 'event' && effect.event.type === 'drained' ? 'drain' : undefined,
  },
};

/** The outbox, and each event to `count` too. */
export function counting<Port extends string, Output, Event>(
  outbox: Outbox<Port, Output, Event>,
  count: (event: Event) => void,
): Outbox<Port, Output, Event> {
  return {
    open: (port, endpoint) => outbox.open(port, endpoint),
    close: (port, flush) => outbox.close(port, flush),
    send: (port, to, command) => outbox.send(port, to, command),
    store: (token, batch) => outbox.store(token, batch),
    emit: (event) => (count(event), outbox.emit(event)),
  };
}
