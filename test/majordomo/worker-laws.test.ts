/** The Majordomo worker's machine keeps the five laws of the machine contract in every dialect. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import type { Frames, Outbox } from '../../src/core/machine.ts';
import type { WorkerInput, WorkerOutput } from '../../src/majordomo/wire/commands.ts';
import type { WorkerProtocol } from '../../src/majordomo/options.ts';
import { encode, workerCodec } from '../../src/majordomo/wire/protocol.ts';
import { REMEMBERED_BYTES } from '../../src/majordomo/worker/outcomes.ts';
import {
  WorkerMachine,
  type HandlerToken,
  type WorkerCall,
  type WorkerMachineEvent,
  type WorkerPort,
} from '../../src/majordomo/worker/worker-machine.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';
import { bodies, dialects, messages } from './messages.ts';

const RUNS = { numRuns: 250, seed: 20_260 };

const TOKENS = 6;

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

function calls(): fc.Arbitrary<WorkerCall> {
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

function optional(values: fc.Arbitrary<number>): fc.Arbitrary<number | undefined> {
  return fc.option(values, { nil: undefined });
}

/** What is sent to a worker by its brokers: alone, or in a pair. */
type Company = 'alone' | 'pair';

/** Some ascend, and one cannot be. */
const EPOCHS = [1, 1, 2, 3, 2 ** 50] as const;

/**
 * What a broker of express says to a worker; the body of a dispatch is its number.
 * @param first the least number of a dispatch
 */
function expressMessages(company: Company, first = 1): fc.Arbitrary<Frames> {
  const dialect = kind('express');
  const number = fc.integer({ min: first, max: first + 5 });
  const inPair = company === 'pair' ? 1 : 0;
  const dispatch = number.chain((given) =>
    fc.record({
      type: kind('dispatch'),
      dialect,
      envelope: fc.constant([]),
      body: fc.constant([Uint8Array.of(given)]),
      number: fc.constant(given),
      attempt: fc.integer({ min: 1, max: 3 }),
      key: fc.constantFrom(undefined, `key ${given}`),
      timeLeft: optional(fc.integer({ min: 1, max: 100 })),
      window: optional(fc.nat(500)),
    }),
  );
  const welcome = {
    type: kind('welcome'),
    dialect,
    resumed: fc.boolean(),
    heartbeatInterval: fc.constantFrom(10, 30),
    heartbeatLiveness: fc.constant(3),
  };
  const epoch = fc.constantFrom(...EPOCHS);
  const standing = {
    type: kind('standing'),
    dialect,
    active: fc.boolean(),
    epoch,
    endpoint: kind(''),
  };
  const heartbeat = fc.record({
    type: kind('heartbeat'),
    dialect,
    beat: fc.nat(4),
    echo: fc.nat(4),
    held: fc.subarray([0, 1, 2, 3, 4, 5].map((step) => first + step)),
  });
  const bytes = fc.nat(5000);
  const command: fc.Arbitrary<WorkerInput> = fc.oneof(
    { weight: 8, arbitrary: dispatch },
    { weight: 4 - 3 * inPair, arbitrary: fc.record(welcome) },
    { weight: 4 * inPair, arbitrary: fc.record({ ...welcome, epoch, standby: fc.boolean() }) },
    { weight: 4 * inPair, arbitrary: fc.record(standing) },
    { weight: 3, arbitrary: heartbeat },
    { weight: 2, arbitrary: fc.record({ type: kind('cancel'), dialect, number }) },
    { weight: 2, arbitrary: fc.record({ type: kind('credit'), dialect, number, bytes }) },
    { weight: 1, arbitrary: fc.record({ type: kind('announce'), dialect, bytes }) },
    { weight: 1, arbitrary: fc.record({ type: kind('disconnect'), dialect }) },
  );
  return command.map((given) => encode(given).frames);
}

/** Whether the broker speaks express, and replies that are no answer to that. */
function probeAnswers(): fc.Arbitrary<Frames> {
  const status = fc.constantFrom(['200', '1'], ['200', '1'], ['501'], ['']);
  const reply = fc.record({
    type: kind('reply'),
    dialect: kind('mdp0.1'),
    service: fc.constantFrom('mmi.express', 'mmi.express', 'echo'),
    body: status.map((texts) => texts.map(encodeText)),
    final: fc.constant(true),
  });
  return reply.map((given) => encode(given).frames);
}

const PORTS: Readonly<Record<WorkerProtocol, readonly WorkerPort[]>> = {
  'mdp0.1': ['stock-0'],
  'mdp0.2': ['stock-0'],
  express: ['express'],
  auto: ['stock-0', 'stock-0', 'express', 'probe'],
};

function inputs(
  protocol: WorkerProtocol,
  company: Company,
): fc.Arbitrary<LawInput<WorkerPort, WorkerCall>> {
  const isStock = protocol === 'mdp0.1' || protocol === 'mdp0.2';
  const isPair = company === 'pair';
  const others = isPair ? (['express-1', 'express-2'] as const) : [];
  const port = fc.constantFrom(...PORTS[protocol], ...others);
  const from = kind('');
  const stock = messages({ dialect: isStock ? fc.constant(protocol) : dialects });
  const message = (on: fc.Arbitrary<WorkerPort>, frames: fc.Arbitrary<Frames>) =>
    fc.record({ kind: kind('message'), port: on, from, frames });
  return fc.oneof(
    { weight: 8, arbitrary: message(port, stock) },
    { weight: isStock ? 0 : 16, arbitrary: message(kind('express'), expressMessages(company)) },
    {
      weight: isPair ? 16 : 0,
      arbitrary: message(kind('express-1'), expressMessages(company, 11)),
    },
    { weight: protocol === 'auto' ? 4 : 0, arbitrary: message(kind('probe'), probeAnswers()) },
    { weight: 8, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 3, arbitrary: fc.record({ kind: kind('peerGone'), port, from }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: from }) },
  );
}

type Subject = LawSubject<
  WorkerPort,
  WorkerInput,
  WorkerOutput,
  WorkerCall,
  WorkerMachineEvent,
  WorkerMachine
>;

const CONNECT: LawInput<WorkerPort, WorkerCall> = {
  kind: 'call',
  call: { type: 'connect', endpoints: ['one'] },
};

const CONNECT_BOTH: LawInput<WorkerPort, WorkerCall> = {
  kind: 'call',
  call: { type: 'connect', endpoints: ['one', 'two'] },
};

/** Each request that a handler got ends with its result, or with its loss. */
function ledger(): { clear: () => void; accounts: Subject['ledger'] } {
  let latest: HandlerToken | undefined;
  /** The last token that each dispatch of express led to. */
  const tokens = new Map<number | undefined, HandlerToken>();
  const lost = new Set<HandlerToken>();
  const clear = (): void => {
    tokens.clear();
    lost.clear();
  };
  const accounts: Subject['ledger'] = {
    asked: ({ kind: of, ...input }) =>
      of === 'call' && 'call' in input && /^(?:drain|stop)$/.test(input.call.type)
        ? 'drain'
        : undefined,
    begun: (effect) => {
      if (effect.kind !== 'event' || effect.event.type !== 'request') return undefined;
      latest = effect.event.token;
      tokens.set(effect.event.body[0]?.[0], latest);
      return latest;
    },
    ended: (effect, input) => {
      if (effect.kind === 'event') {
        const { event } = effect;
        if (event.type === 'requestLost') lost.add(event.token);
        if (event.type === 'requestLost') return event.token;
        // In a pair, under a key: nobody was told before that it was lost.
        if (event.type === 'replyKept') return event.token;
        // The reply waited for room when its session ended; otherwise the loss was told before.
        if (event.type === 'replyDropped') return lost.has(event.token) ? undefined : event.token;
        return effect.event.type === 'drained' ? 'drain' : undefined;
      }
      const { command } = effect;
      if (command.type !== 'result' || !command.final) return undefined;
      if (command.dialect === 'express') return tokens.get(command.number);
      // A result comes of its handler's own call, or later, when a full queue has room again.
      if (input?.kind === 'writable') return latest;
      const isOwn = input?.kind === 'call' && 'token' in input.call;
      return isOwn ? input.call.token : 'a result that no handler gave';
    },
  };
  return { clear, accounts };
}

function workerSubject(
  protocol: WorkerProtocol,
  concurrency = 1,
  company: Company = 'alone',
): Subject {
  const { clear, accounts } = ledger();
  return {
    build: (outbox) => {
      clear();
      return new WorkerMachine(outbox, {
        service: 'echo',
        protocol,
        concurrency,
        lanes: 32,
        heartbeatInterval: 20,
        heartbeatLiveness: 3,
        reconnectInterval: 10,
        reconnectLimit: 40,
        replyBufferBytes: 20,
        random: () => 0.5,
      });
    },
    codec: workerCodec,
    steps: lawSteps(inputs(protocol, company)).map((steps) => [
      { after: 0, input: company === 'pair' ? CONNECT_BOTH : CONNECT },
      ...steps,
    ]),
    // All handlers return, and what still has no result then is given up.
    ending: [
      { type: 'drain' },
      ...Array.from({ length: 60 }, (_, token): WorkerCall => ({ type: 'reply', token, body: [] })),
      { type: 'stop' },
    ],
    bounds: (machine) => [
      { name: 'handlers', size: machine.handling, limit: concurrency },
      { name: 'remembered', size: machine.rememberedBytes, limit: REMEMBERED_BYTES },
      // With each of two brokers as many replies may wait for the link.
      company === 'alone'
        ? { name: 'running', size: machine.running, limit: concurrency }
        : { name: 'running', size: machine.running, limit: 2 * concurrency },
    ],
    ledger: accounts,
  };
}

describe('the five laws hold for', () => {
  test.each([
    ['mdp0.1', 1],
    ['mdp0.2', 1],
    ['express', 1],
    ['express', 2],
    ['auto', 1],
  ] as const)('a worker of %s with concurrency %i', (protocol, concurrency) => {
    expect(checkLaws(workerSubject(protocol, concurrency), RUNS)).toBeUndefined();
  });

  test.each([
    ['express', 1],
    ['express', 2],
    ['auto', 2],
  ] as const)('a worker of %s with concurrency %i, of a pair', (protocol, concurrency) => {
    expect(checkLaws(workerSubject(protocol, concurrency, 'pair'), RUNS)).toBeUndefined();
  });
});

test('the plans reach what matters', () => {
  const types = new Set<string>();
  const counting = (
    outbox: Outbox<WorkerPort, WorkerOutput, WorkerMachineEvent>,
  ): Outbox<WorkerPort, WorkerOutput, WorkerMachineEvent> => ({
    open: (port, endpoint) => outbox.open(port, endpoint),
    close: (port, flush) => outbox.close(port, flush),
    send: (port, to, command) => {
      types.add(`${command.dialect} ${command.type}`);
      return outbox.send(port, to, command);
    },
    store: (token, batch) => outbox.store(token, batch),
    emit: (event) => {
      types.add(event.type);
      outbox.emit(event);
    },
  });
  const subjects = [
    [workerSubject('auto'), RUNS.numRuns],
    [workerSubject('mdp0.2'), 30],
    [workerSubject('express', 2, 'pair'), 150],
  ] as const;
  for (const [subject, numRuns] of subjects) {
    const build: Subject['build'] = (outbox) => subject.build(counting(outbox));
    checkLaws({ ...subject, build }, { ...RUNS, numRuns });
  }
  expect([...types].toSorted()).toEqual([
    'brokerLost',
    'connecting',
    'drained',
    'express capacity',
    'express disconnect',
    'express finished',
    'express handBack',
    'express heartbeat',
    'express ready',
    'express report',
    'express result',
    'express seen',
    'failedOver',
    'malformed',
    'mdp0.1 disconnect',
    'mdp0.1 heartbeat',
    'mdp0.1 ready',
    'mdp0.1 request',
    'mdp0.1 result',
    'mdp0.2 disconnect',
    'mdp0.2 heartbeat',
    'mdp0.2 ready',
    'mdp0.2 result',
    'ready',
    'reattached',
    'replyDropped',
    'replyKept',
    'request',
    'requestCancelled',
    'requestLost',
    'sessionClosed',
    'sessionOpened',
    'standby',
    'written',
  ]);
});
