/** Every Majordomo machine keeps the five laws of the machine contract. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Outbox } from '../../src/core/machine.ts';
import {
  BrokerMachine,
  type BrokerCall,
  type BrokerPort,
  type BrokerSettings,
} from '../../src/majordomo/broker-machine.ts';
import type { BrokerEvent } from '../../src/majordomo/broker-events.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
} from '../../src/majordomo/client-machine.ts';
import type {
  BrokerInput,
  BrokerOutput,
  ClientInput,
  ClientOutput,
  WorkerInput,
  WorkerOutput,
} from '../../src/majordomo/commands.ts';
import type { WorkerProtocol } from '../../src/majordomo/options.ts';
import { brokerCodec, clientCodec, workerCodec } from '../../src/majordomo/protocol.ts';
import {
  WorkerMachine,
  type HandlerToken,
  type WorkerCall,
  type WorkerEvent,
  type WorkerPort,
} from '../../src/majordomo/worker-machine.ts';
import {
  checkLaws,
  lawSteps,
  type LawInput,
  type LawStep,
  type LawSubject,
} from '../../src/testing/laws.ts';
import { bodies, dialects, envelopes, messages } from './messages.ts';

const RUNS = { numRuns: 800, seed: 20_260 };

function choose<Port extends string, Call>(
  weights: readonly (readonly [number, fc.Arbitrary<LawInput<Port, Call>>])[],
): fc.Arbitrary<LawInput<Port, Call>> {
  return fc.oneof(...weights.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

// The broker. Its randomness is no randomness here, so that the plans can name its dispatch tags.

const TAGS = Array.from({ length: 12 }, (_, number) => '\x01'.repeat(6) + number.toString(36));

const brokerSettings: BrokerSettings = {
  heartbeatInterval: 20,
  heartbeatLiveness: 3,
  maxAttempts: 2,
  attemptTimeout: 100,
  requestTtl: 400,
  queueLimit: 4,
  queueBytes: 1200,
  workerLimit: 2,
  replyBufferBytes: 20,
  noticeGrace: 5,
  random: () => 0,
};

function brokerInputs(): fc.Arbitrary<LawInput<BrokerPort, BrokerCall>> {
  const port = kind('peers');
  const from = fc.constantFrom('a', 'b', 'c', 'd');
  const service = fc.constantFrom('echo', 'echo', 'echo', 'sum', 'mmi.service', 'mmi.x');
  const frames = messages({ service, envelope: envelopes(...TAGS) });
  const call = fc.constantFrom<BrokerCall>({ type: 'drain' }, { type: 'stop' });
  return choose<BrokerPort, BrokerCall>([
    [40, fc.record({ kind: kind('message'), port, from, frames })],
    [1, fc.record({ kind: kind('call'), call })],
    [3, fc.record({ kind: kind('peerGone'), port, from })],
    [3, fc.record({ kind: kind('writable'), port, to: from })],
    [1, fc.record({ kind: kind('stored'), token: fc.nat(3), failed: fc.boolean() })],
  ]);
}

const broker: LawSubject<
  BrokerPort,
  BrokerInput,
  BrokerOutput,
  BrokerCall,
  BrokerEvent,
  BrokerMachine
> = {
  build: (outbox) => new BrokerMachine(outbox, brokerSettings),
  codec: brokerCodec,
  steps: lawSteps(brokerInputs()),
  ending: [{ type: 'drain' }],
  bounds: (machine) => {
    const { queues } = machine.requests.state;
    const fresh = [...queues.values()].flatMap(({ lines }) => [...lines.values()]);
    const waiting = fresh.flatMap((line) => [...line]);
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
        limit: brokerSettings.workerLimit,
      },
    ];
  },
  ledger: {
    asked: (input) => (input.kind === 'call' ? 'drain' : undefined),
    ended: (effect) =>
      effect.kind === 'event' && effect.event.type === 'drained' ? 'drain' : undefined,
  },
};

// The worker

const TOKENS = 6;

function workerCalls(): fc.Arbitrary<WorkerCall> {
  const token = fc.nat(TOKENS);
  const failure = fc.constant({ code: 'ERR_HANDLER_FAILED', message: 'no' } as const);
  const endpoints = fc.constantFrom(['one'], ['one', 'two'], []);
  return fc.oneof(
    { weight: 2, arbitrary: fc.record({ type: kind('connect'), endpoints }) },
    { weight: 4, arbitrary: fc.record({ type: kind('write'), token, body: bodies }) },
    { weight: 4, arbitrary: fc.record({ type: kind('reply'), token, body: bodies }) },
    { weight: 2, arbitrary: fc.record({ type: kind('fail'), token, failure }) },
    { weight: 1, arbitrary: fc.record({ type: kind('drain') }) },
    { weight: 1, arbitrary: fc.record({ type: kind('stop') }) },
  );
}

function workerSubject(
  protocol: WorkerProtocol,
): LawSubject<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerEvent, WorkerMachine> {
  const port = kind('broker');
  const from = kind('');
  const dialect = protocol === 'auto' ? dialects : fc.constant(protocol);
  const connect: LawInput<WorkerPort, WorkerCall> = {
    kind: 'call',
    call: { type: 'connect', endpoints: ['one'] },
  };
  const inputs = choose<WorkerPort, WorkerCall>([
    [8, fc.record({ kind: kind('message'), port, from, frames: messages({ dialect }) })],
    [8, fc.record({ kind: kind('call'), call: workerCalls() })],
    [1, fc.record({ kind: kind('peerGone'), port, from })],
    [1, fc.record({ kind: kind('writable'), port, to: from })],
  ]);
  let latest: HandlerToken | undefined;
  const lost = new Set<HandlerToken>();
  return {
    build: (outbox) => {
      lost.clear();
      return new WorkerMachine(outbox, {
        service: 'echo',
        protocol,
        heartbeatInterval: 20,
        heartbeatLiveness: 3,
        reconnectInterval: 10,
        reconnectLimit: 40,
        replyBufferBytes: 20,
        random: () => 0.5,
      });
    },
    codec: workerCodec,
    steps: lawSteps(inputs).map((steps) => [{ after: 0, input: connect }, ...steps]),
    // All handlers return, and what still has no result then is given up.
    ending: [
      { type: 'drain' },
      ...Array.from({ length: 60 }, (_, token): WorkerCall => ({ type: 'reply', token, body: [] })),
    ],
    bounds: (machine) => [{ name: 'handlers', size: machine.running, limit: 1 }],
    ledger: {
      asked: (input) =>
        input.kind === 'call' && (input.call.type === 'drain' || input.call.type === 'stop')
          ? 'drain'
          : undefined,
      begun: (effect) => {
        if (effect.kind !== 'event' || effect.event.type !== 'request') return undefined;
        latest = effect.event.token;
        return latest;
      },
      ended: (effect, input) => {
        if (effect.kind === 'event') {
          const { event } = effect;
          if (event.type === 'requestLost') lost.add(event.token);
          if (event.type === 'requestLost') return event.token;
          // The reply waited for room when its session ended; otherwise the loss was told before.
          if (event.type === 'replyDropped') return lost.has(event.token) ? undefined : event.token;
          return effect.event.type === 'drained' ? 'drain' : undefined;
        }
        if (effect.command.type !== 'result' || !effect.command.final) return undefined;
        // A result comes of its handler's own call, or later, when a full queue has room again.
        if (input?.kind === 'writable') return latest;
        const isOwn = input?.kind === 'call' && 'token' in input.call;
        return isOwn ? input.call.token : 'a result that no handler gave';
      },
    },
  };
}

// The client

const clientSettings: ClientSettings = {
  lanes: 2,
  queueLimit: 3,
  queueBytes: 60,
  replyBufferBytes: 20,
  backoff: 10,
  backoffLimit: 40,
  noticeGrace: 15,
  random: () => 0.5,
};

function clientCalls(): fc.Arbitrary<ClientCall> {
  const id = fc.nat(40);
  return fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        type: kind('request'),
        id,
        service: fc.constantFrom('echo', 'sum'),
        body: bodies,
        dialect: dialects,
        streaming: fc.boolean(),
        timeout: fc.integer({ min: 1, max: 500 }),
        attemptTimeout: fc.integer({ min: 1, max: 200 }),
        retries: fc.nat(3),
      }),
    },
    { weight: 3, arbitrary: fc.record({ type: kind('cancel'), id, reason: kind('enough') }) },
    {
      weight: 2,
      arbitrary: fc.record({
        type: kind('connect'),
        endpoints: fc.constantFrom(['one'], ['one', 'two'], []),
      }),
    },
    { weight: 1, arbitrary: fc.constantFrom<ClientCall>({ type: 'drain' }, { type: 'stop' }) },
  );
}

/** Ids are unique by contract: the position makes them so, and cancels mean one of the last five. */
function withOwnIds(
  steps: readonly LawStep<ClientPort, ClientCall>[],
): LawStep<ClientPort, ClientCall>[] {
  return steps.map(({ after, input }, index) => {
    if (input.kind !== 'call') return { after, input };
    const { call } = input;
    if (call.type === 'request')
      return { after, input: { ...input, call: { ...call, id: index } } };
    if (call.type !== 'cancel') return { after, input };
    return { after, input: { ...input, call: { ...call, id: index - 1 - (call.id % 5) } } };
  });
}

function clientInputs(): fc.Arbitrary<LawInput<ClientPort, ClientCall>> {
  const port = fc.constantFrom<ClientPort>('lane-0', 'lane-1', 'lane-7');
  const from = kind('');
  const frames = messages({ service: fc.constantFrom('echo', 'sum') });
  return choose<ClientPort, ClientCall>([
    [10, fc.record({ kind: kind('message'), port, from, frames })],
    [10, fc.record({ kind: kind('call'), call: clientCalls() })],
    [1, fc.record({ kind: kind('peerGone'), port, from })],
    [1, fc.record({ kind: kind('writable'), port, to: from })],
  ]);
}

const client: LawSubject<
  ClientPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent,
  ClientMachine
> = {
  build: (outbox) => new ClientMachine(outbox, clientSettings),
  codec: clientCodec,
  steps: lawSteps(clientInputs()).map(withOwnIds),
  // Each request has a timeout: time alone must end them all.
  ending: [{ type: 'drain' }],
  bounds: (machine) => [
    { name: 'waiting', size: machine.waiting, limit: clientSettings.queueLimit },
  ],
  ledger: {
    asked: (input) => {
      if (input.kind !== 'call') return undefined;
      const { call } = input;
      if (call.type === 'request') return call.id;
      return call.type === 'drain' || call.type === 'stop' ? 'drain' : undefined;
    },
    ended: (effect) => {
      if (effect.kind !== 'event') return undefined;
      const { event } = effect;
      if (event.type === 'drained') return 'drain';
      return event.type === 'reply' || event.type === 'failed' ? event.id : undefined;
    },
  },
};

/** What a subject emitted over some plans, by type. */
function emitted<Event extends { type: string }>(
  run: (count: (event: Event) => void) => void,
): Set<string> {
  const types = new Set<string>();
  run((event) => types.add(event.type));
  return types;
}

function counting<Port extends string, Output, Event>(
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

describe('the five laws hold for', () => {
  test('the broker', () => {
    expect(checkLaws(broker, RUNS)).toBeUndefined();
  });
  test('the worker of 0.1', () => {
    expect(checkLaws(workerSubject('mdp0.1'), RUNS)).toBeUndefined();
  });
  test('the worker of 0.2', () => {
    expect(checkLaws(workerSubject('mdp0.2'), RUNS)).toBeUndefined();
  });
  test('the worker that finds its dialect', () => {
    expect(checkLaws(workerSubject('auto'), RUNS)).toBeUndefined();
  });
  test('the client', () => {
    expect(checkLaws(client, RUNS)).toBeUndefined();
  });
});

describe('the plans reach what matters', () => {
  test('at the broker', () => {
    const types = emitted<BrokerEvent>((count) =>
      checkLaws(
        { ...broker, build: (outbox) => broker.build(counting(outbox, count)) },
        { ...RUNS, numRuns: 300 },
      ),
    );
    expect([...types].toSorted()).toEqual([
      'deadLetter',
      'drained',
      'malformed',
      'replyRefused',
      'requestCancelled',
      'requestExpired',
      'requestRefused',
      'requestRequeued',
      'unexpectedCommand',
      'workerLost',
      'workerReady',
      'workerRefused',
    ]);
  });

  test('at the worker', () => {
    const subject = workerSubject('auto');
    const types = emitted<WorkerEvent>((count) =>
      checkLaws(
        { ...subject, build: (outbox) => subject.build(counting(outbox, count)) },
        { ...RUNS, numRuns: 300 },
      ),
    );
    expect([...types]).toHaveLength(8);
  });

  test('at the client', () => {
    const types = emitted<ClientEvent>((count) =>
      checkLaws(
        { ...client, build: (outbox) => client.build(counting(outbox, count)) },
        { ...RUNS, numRuns: 300 },
      ),
    );
    expect([...types]).toHaveLength(7);
  });
});
