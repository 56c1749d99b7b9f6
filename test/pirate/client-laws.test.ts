/** The Lazy Pirate client machine keeps the five laws, whatever comes on its lanes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFailure } from '../../src/core/error-body.ts';
import { EMPTY_FRAME } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
} from '../../src/pirate/client-machine.ts';
import type { ClientInput, ClientOutput } from '../../src/pirate/commands.ts';
import { clientCodec } from '../../src/pirate/protocol.ts';
import {
  checkLaws,
  lawSteps,
  type LawInput,
  type LawStep,
  type LawSubject,
} from '../../src/testing/laws.ts';

const RUNS = { numRuns: 300, seed: 20_260 };

const settings: ClientSettings = {
  lanes: 2,
  queueLimit: 3,
  queueBytes: 1000,
  backoff: 10,
  backoffLimit: 40,
  noticeGrace: 15,
  random: () => 0.5,
};

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

const bodies = fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1, maxLength: 3 });

function calls(): fc.Arbitrary<ClientCall> {
  const id = fc.nat(40);
  const request = fc.record({
    type: kind('request'),
    id,
    body: bodies,
    timeout: fc.integer({ min: 1, max: 500 }),
    attemptTimeout: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
    retries: fc.nat(3),
  });
  const endpoints = fc.constantFrom(['one'], ['one', 'two'], []);
  return fc.oneof(
    { weight: 8, arbitrary: request },
    { weight: 3, arbitrary: fc.record({ type: kind('cancel'), id, reason: kind('enough') }) },
    { weight: 1, arbitrary: fc.record({ type: kind('connect'), endpoints }) },
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

/** Mostly replies and failures, and anything at all. */
function messages(): fc.Arbitrary<Frames> {
  const failures = fc
    .constantFrom('ERR_SERVER_CLOSING' as const, 'ERR_QUEUE_FULL' as const)
    .map((code) => encodeFailure({ code, message: 'no' }));
  return fc.oneof(
    { weight: 4, arbitrary: bodies.map((body) => [EMPTY_FRAME, ...body]) },
    { weight: 2, arbitrary: failures.map((body) => [EMPTY_FRAME, ...body]) },
    { weight: 1, arbitrary: fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 4 }) },
  );
}

function inputs(): fc.Arbitrary<LawInput<ClientPort, ClientCall>> {
  const port = fc.constantFrom<ClientPort>('lane-0', 'lane-1', 'lane-7');
  const from = kind('');
  return fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ kind: kind('message'), port, from, frames: messages() }),
    },
    { weight: 10, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('peerGone'), port, from }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: from }) },
  );
}

type ClientSubject = LawSubject<
  ClientPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent,
  ClientMachine
>;

/** @param count is told of each event */
function subject(count: (event: ClientEvent) => void = () => {}): ClientSubject {
  const connect: LawStep<ClientPort, ClientCall> = {
    after: 0,
    input: { kind: 'call', call: { type: 'connect', endpoints: ['one', 'two'] } },
  };
  return {
    build: (outbox) => {
      const emit = (event: ClientEvent): void => (count(event), outbox.emit(event));
      return new ClientMachine({ ...outbox, emit }, settings);
    },
    codec: clientCodec,
    steps: lawSteps(inputs()).map((steps) => [connect, ...withOwnIds(steps)]),
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

describe('the five laws hold for a Lazy Pirate client', () => {
  test('whatever happens', () => {
    expect(checkLaws(subject(), RUNS)).toBeUndefined();
  });

  test('and the plans reach what matters', () => {
    const types = new Set<string>();
    const codes = new Set<string>();
    const watched = subject((event) => {
      types.add(event.type);
      if (event.type === 'failed') codes.add(event.code);
    });
    checkLaws(watched, RUNS);
    expect([...types].toSorted()).toEqual([
      'drained',
      'failed',
      'malformed',
      'reply',
      'replyRefused',
      'retry',
    ]);
    expect([...codes].toSorted()).toEqual([
      'ERR_CANCELLED',
      'ERR_QUEUE_FULL',
      'ERR_REQUEST_TIMEOUT',
      'ERR_SERVER_CLOSING',
    ]);
  });
});
