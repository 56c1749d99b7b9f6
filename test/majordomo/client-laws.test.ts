/** The client machine keeps the five laws, whatever its broker speaks. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Outbox } from '../../src/core/machine.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
} from '../../src/majordomo/client/client-machine.ts';
import type { ClientInput, ClientOutput } from '../../src/majordomo/wire/commands.ts';
import { clientCodec, encode } from '../../src/majordomo/wire/protocol.ts';
import {
  checkLaws,
  lawSteps,
  type LawInput,
  type LawStep,
  type LawSubject,
} from '../../src/testing/laws.ts';
import { bodies, messages, dialects } from './messages.ts';

const RUNS = { numRuns: 200, seed: 20_260 };

const PROTOCOLS = ['mdp0.2', 'express', 'auto'] as const;

const settings: Omit<ClientSettings, 'protocol'> = {
  heartbeatInterval: 20,
  heartbeatLiveness: 3,
  inFlightLimit: 2,
  lanes: 2,
  queueLimit: 3,
  queueBytes: 60,
  replyBufferBytes: 20,
  streamWindow: 30,
  backoff: 10,
  backoffLimit: 40,
  noticeGrace: 15,
  random: () => 0.5,
};

/** Some ascend, and one cannot be. */
const EPOCHS = [1, 1, 2, 3, 2 ** 50] as const;

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const type = kind;

function calls(): fc.Arbitrary<ClientCall> {
  const id = fc.nat(40);
  const flag = fc.constantFrom(true, undefined, undefined);
  const request = fc.record({
    type: type('request'),
    id,
    service: fc.constantFrom('echo', 'sum'),
    body: bodies,
    dialect: dialects,
    streaming: fc.boolean(),
    timeout: fc.integer({ min: 1, max: 500 }),
    attemptTimeout: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
    retries: fc.nat(3),
    key: fc.constantFrom('key', undefined, undefined),
    broadcast: flag,
    failFast: flag,
  });
  const endpoints = fc.constantFrom(['one'], ['one', 'two'], []);
  return fc.oneof(
    { weight: 8, arbitrary: request },
    { weight: 3, arbitrary: fc.record({ type: type('cancel'), id, reason: kind('enough') }) },
    { weight: 2, arbitrary: fc.record({ type: type('taken'), id, bytes: fc.nat(40) }) },
    { weight: 1, arbitrary: fc.record({ type: type('connect'), endpoints }) },
    { weight: 1, arbitrary: fc.constantFrom<ClientCall>({ type: 'drain' }, { type: 'stop' }) },
  );
}

/** Ids are unique by contract: the position makes them so, and others mean one of the last five. */
function withOwnIds(
  steps: readonly LawStep<ClientPort, ClientCall>[],
): LawStep<ClientPort, ClientCall>[] {
  return steps.map(({ after, input }, index) => {
    if (input.kind !== 'call' || !('id' in input.call)) return { after, input };
    const { call } = input;
    const id = call.type === 'request' ? index : index - 1 - (call.id % 5);
    return { after, input: { ...input, call: { ...call, id } } };
  });
}

/** What a broker may say in a session, mostly about requests that there are. */
function expressCommands(isPair: boolean): fc.Arbitrary<ClientInput> {
  const dialect = fc.constant<'express'>('express');
  // Mostly such as there are.
  const number = fc.oneof(fc.constantFrom(1, 1, 2), fc.nat(6));
  const few = fc.oneof(fc.constant(0), fc.nat(3));
  const failure = fc.constantFrom(
    { code: 'ERR_BROKER_CLOSING', message: 'bye' } as const,
    { code: 'ERR_NOT_ACTIVE', message: 'ask the other one' } as const,
    { code: 'ERR_QUEUE_FULL', message: 'full', retryAfter: 5 } as const,
  );
  const reply = { type: type('reply'), dialect, service: kind(''), body: bodies, number };
  const heartbeatInterval = fc.integer({ min: 1, max: 40 });
  const heartbeatLiveness = fc.integer({ min: 1, max: 4 });
  const heartbeat = { heartbeatInterval, heartbeatLiveness };
  const resumed = fc.boolean();
  const epoch = fc.constantFrom(...EPOCHS);
  const welcome = { type: type('welcome'), dialect, resumed, ...heartbeat };
  const standing = {
    type: type('standing'),
    dialect,
    active: fc.boolean(),
    epoch,
    endpoint: fc.constantFrom('', 'one', 'two', 'three'),
  };
  return fc.oneof(
    { weight: 3, arbitrary: fc.record(welcome) },
    { weight: isPair ? 6 : 0, arbitrary: fc.record({ ...welcome, epoch }) },
    { weight: isPair ? 3 : 0, arbitrary: fc.record(standing) },
    { weight: 3, arbitrary: fc.record({ ...reply, final: fc.constant(false), sequence: few }) },
    { weight: 4, arbitrary: fc.record({ ...reply, final: fc.constant(true), sequence: few }) },
    { weight: 2, arbitrary: fc.record({ ...reply, final: fc.constant(true), failure }) },
    {
      weight: 3,
      arbitrary: fc.record({
        type: type('heartbeat'),
        dialect,
        beat: fc.nat(9),
        echo: few,
        held: fc
          .uniqueArray(number, { maxLength: 3 })
          .map((held) => held.toSorted((a, b) => a - b)),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ type: type('announce'), dialect, bytes: fc.maxSafeNat() }),
    },
    { weight: 1, arbitrary: fc.record({ type: type('disconnect'), dialect }) },
  );
}

function inputs(isPair: boolean): fc.Arbitrary<LawInput<ClientPort, ClientCall>> {
  const port = fc.constantFrom<ClientPort>('lane-0', 'lane-1', 'lane-7', 'express', 'probe');
  const from = kind('');
  const stock = messages({ service: fc.constantFrom('echo', 'sum') });
  const express = expressCommands(isPair).map((command) => encode(command).frames);
  const answers = fc.constantFrom('200', '200', '501').map((status) => {
    const body = [status, '1'].map((text) => Buffer.from(text));
    const service = 'mmi.express';
    return encode({ type: 'reply', dialect: 'mdp0.1', service, body, final: true }).frames;
  });
  const message = kind('message');
  return fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: message, port, from, frames: stock }) },
    {
      weight: 10,
      arbitrary: fc.record({ kind: message, port: kind('express'), from, frames: express }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: message, port: kind('probe'), from, frames: answers }),
    },
    { weight: 10, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('peerGone'), port, from }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: from }) },
  );
}

const WELCOME: ClientInput = {
  type: 'welcome',
  dialect: 'express',
  resumed: false,
  heartbeatInterval: 20,
  heartbeatLiveness: 3,
};

type ClientSubject = LawSubject<
  ClientPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent,
  ClientMachine
>;

function subject(protocol: ClientSettings['protocol'], isPair = false): ClientSubject {
  const connect: LawStep<ClientPort, ClientCall> = {
    after: 0,
    input: { kind: 'call', call: { type: 'connect', endpoints: ['one', 'two'] } },
  };
  const welcome: LawStep<ClientPort, ClientCall> = {
    after: 0,
    input: { kind: 'message', port: 'express', from: '', frames: encode(WELCOME).frames },
  };
  const beginning = protocol === 'express' ? [connect, welcome] : [connect];
  return {
    build: (outbox) => new ClientMachine(outbox, { ...settings, protocol }),
    codec: clientCodec,
    steps: lawSteps(inputs(isPair)).map((steps) => [...beginning, ...withOwnIds(steps)]),
    // Each request has a timeout: time alone must end them all.
    ending: [{ type: 'drain' }],
    bounds: (machine) => [{ name: 'waiting', size: machine.waiting, limit: settings.queueLimit }],
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
}

function counting(
  outbox: Outbox<ClientPort, ClientOutput, ClientEvent>,
  count: (event: ClientEvent) => void,
): Outbox<ClientPort, ClientOutput, ClientEvent> {
  return {
    open: (port, endpoint) => outbox.open(port, endpoint),
    close: (port, flush) => outbox.close(port, flush),
    send: (port, to, command) => outbox.send(port, to, command),
    store: (token, batch) => outbox.store(token, batch),
    emit: (event) => (count(event), outbox.emit(event)),
  };
}

describe('the five laws hold for a client', () => {
  test.each(PROTOCOLS)('of %s', (protocol) => {
    expect(checkLaws(subject(protocol), RUNS)).toBeUndefined();
  });

  test.each(['express', 'auto'] as const)('of %s with brokers that are a pair', (protocol) => {
    expect(checkLaws(subject(protocol, true), RUNS)).toBeUndefined();
  });

  test('and the plans reach what matters', () => {
    const types = new Set<string>();
    const codes = new Set<string>();
    const subjects = [
      [subject('auto'), 300],
      [subject('mdp0.2'), 300],
      [subject('express', true), 200],
    ] as const;
    for (const [checked, numRuns] of subjects) {
      const build: ClientSubject['build'] = (outbox) =>
        checked.build(
          counting(outbox, (event) => {
            types.add(event.type);
            if (event.type === 'failed') codes.add(event.code);
          }),
        );
      checkLaws({ ...checked, build }, { ...RUNS, numRuns });
    }
    expect([...types].toSorted()).toEqual([
      'brokerLost',
      'drained',
      'failed',
      'failedOver',
      'malformed',
      'partial',
      'ready',
      'reply',
      'replyRefused',
      'retry',
    ]);
    expect([...codes].toSorted()).toEqual([
      'ERR_CANCELLED',
      'ERR_NOT_SUPPORTED',
      'ERR_QUEUE_FULL',
      'ERR_REPLY_TOO_LARGE',
      'ERR_REQUEST_TIMEOUT',
      'ERR_WORKER_LOST',
    ]);
  });
});
