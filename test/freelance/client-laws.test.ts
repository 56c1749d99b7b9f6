/** The Freelance client's machine keeps the five laws, whatever its servers do. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFailure } from '../../src/core/error-body.ts';
import type { RequestErrorCode } from '../../src/core/errors.ts';
import { encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientSettings,
  type ServerPort,
} from '../../src/freelance/client-machine.ts';
import type { ClientInput, ClientOutput } from '../../src/freelance/commands.ts';
import { controlFrame } from '../../src/core/control-frame.ts';
import { clientCodec } from '../../src/freelance/protocol.ts';
import {
  checkLaws,
  lawSteps,
  type LawInput,
  type LawStep,
  type LawSubject,
} from '../../src/testing/laws.ts';

const RUNS = { numRuns: 250, seed: 20_260 };

const settings: ClientSettings = {
  heartbeatInterval: 20,
  heartbeatLiveness: 3,
  reconnectInterval: 10,
  reconnectLimit: 40,
  inFlightLimit: 3,
  queueLimit: 3,
  queueBytes: 700,
  retryBudget: 0.25,
  retryBurst: 2,
  random: () => 0.5,
};

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

const bodies: fc.Arbitrary<Frames> = fc.array(fc.uint8Array({ maxLength: 12 }), {
  minLength: 1,
  maxLength: 2,
});

function calls(): fc.Arbitrary<ClientCall> {
  const id = fc.nat(40);
  const request = fc.record({
    type: kind('request'),
    id,
    body: bodies,
    strategy: fc.constantFrom('first', 'fastest', 'all'),
    timeout: fc.integer({ min: 1, max: 500 }),
    attemptTimeout: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
    retries: fc.constantFrom(0, 1, 3),
    hedge: fc.boolean(),
  });
  const endpoints = fc.constantFrom(['one'], ['one', 'four'], []);
  return fc.oneof(
    { weight: 10, arbitrary: request },
    { weight: 2, arbitrary: fc.record({ type: kind('cancel'), id, reason: kind('enough') }) },
    { weight: 1, arbitrary: fc.record({ type: kind('connect'), endpoints }) },
    { weight: 1, arbitrary: fc.constantFrom<ClientCall>({ type: 'drain' }, { type: 'stop' }) },
  );
}

/** What servers may say, mostly about requests that there are. */
function messages(): fc.Arbitrary<Frames> {
  const control = fc
    .record({ request: fc.nat(60), attempt: fc.constantFrom(0, 0, 0, 1, 2) })
    .map(({ request, attempt }) => controlFrame(request, attempt));
  const codes: RequestErrorCode[] = ['ERR_QUEUE_FULL', 'ERR_SERVER_CLOSING', 'ERR_HANDLER_FAILED'];
  const failures = fc.constantFrom(...codes).map((code) => encodeFailure({ code, message: 'no' }));
  const replies = fc.oneof({ weight: 2, arbitrary: bodies }, { weight: 1, arbitrary: failures });
  const noise = fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 4 });
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant([encodeText('PONG')]) },
    { weight: 6, arbitrary: fc.tuple(control, replies).map(([frame, body]) => [frame, ...body]) },
    { weight: 1, arbitrary: noise },
  );
}

/** Ids are unique by contract: the position makes them so. Cancels and replies mean one of the last five. */
function withOwnIds(
  steps: readonly LawStep<ServerPort, ClientCall>[],
): LawStep<ServerPort, ClientCall>[] {
  const asked: number[] = [];
  const recent = (choice: number): number => asked.at(-1 - (choice % 5)) ?? 0;
  return steps.map(({ after, input }, index) => {
    if (input.kind === 'message' && input.frames.length > 1 && input.frames[0]!.length === 8) {
      const [control, ...body] = input.frames;
      const frames = [controlFrame(recent(control![5]!), control![7]!), ...body];
      return { after, input: { ...input, frames } };
    }
    if (input.kind !== 'call' || !('id' in input.call)) return { after, input };
    const { call } = input;
    if (call.type === 'request') asked.push(index);
    const id = call.type === 'request' ? index : recent(call.id);
    return { after, input: { ...input, call: { ...call, id } } };
  });
}

function inputs(): fc.Arbitrary<LawInput<ServerPort, ClientCall>> {
  const port = fc.constantFrom<ServerPort>('server-0', 'server-0', 'server-1', 'server-2');
  const known = fc.oneof(
    { weight: 20, arbitrary: port },
    { weight: 1, arbitrary: kind('server-9') },
  );
  const from = kind('');
  return fc.oneof(
    {
      weight: 14,
      arbitrary: fc.record({ kind: kind('message'), port: known, from, frames: messages() }),
    },
    { weight: 10, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('peerGone'), port: known, from }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port: known, to: from }) },
  );
}

type ClientSubject = LawSubject<
  ServerPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent,
  ClientMachine
>;

const connect: LawStep<ServerPort, ClientCall> = {
  after: 0,
  input: { kind: 'call', call: { type: 'connect', endpoints: ['one', 'two', 'three'] } },
};
const pong = (port: ServerPort): LawStep<ServerPort, ClientCall> => ({
  after: 1,
  input: { kind: 'message', port, from: '', frames: [encodeText('PONG')] },
});

/** Twenty replies after 3 ms each, from when on the client knows what is late. */
const warmUp = Array.from({ length: 20 }, (): LawStep<ServerPort, ClientCall>[] => [
  {
    after: 0,
    input: {
      kind: 'call',
      call: {
        type: 'request',
        id: 0,
        body: [encodeText('warm')],
        strategy: 'first',
        timeout: 500,
        retries: 0,
        hedge: false,
      },
    },
  },
  {
    after: 3,
    input: {
      kind: 'message',
      port: 'server-0',
      from: '',
      frames: [controlFrame(0, 0), encodeText('done')],
    },
  },
]).flat();

const subject: ClientSubject = {
  build: (outbox) => new ClientMachine(outbox, settings),
  codec: clientCodec,
  steps: fc
    .tuple(fc.constantFrom(true, false, false, false), lawSteps(inputs()))
    .map(([isWarm, steps]) =>
      withOwnIds([
        connect,
        pong('server-0'),
        pong('server-1'),
        ...(isWarm ? warmUp : []),
        ...steps,
      ]),
    ),
  // Each request has a timeout: time alone must end them all.
  ending: [{ type: 'drain' }],
  bounds: (machine) => [
    { name: 'in flight', size: machine.inFlight, limit: settings.inFlightLimit },
    // What was in flight when its server was lost may wait beside the others.
    {
      name: 'waiting',
      size: machine.waiting,
      limit: settings.queueLimit + settings.inFlightLimit,
    },
    {
      name: 'outstanding',
      size: machine.inFlight + machine.waiting,
      limit: machine.outstanding,
    },
    {
      name: 'tries',
      size: machine.servers.reduce((sum, { inFlight }) => sum + inFlight, 0),
      limit: machine.inFlight * 4,
    },
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

describe('the five laws hold for a Freelance client', () => {
  test('on random plans', () => {
    expect(checkLaws(subject, RUNS)).toBeUndefined();
  });

  test('and the plans reach what matters', () => {
    const seen = new Set<string>();
    const build: ClientSubject['build'] = (outbox) =>
      subject.build({
        open: (port, endpoint) => outbox.open(port, endpoint),
        close: (port, flush) => outbox.close(port, flush),
        send: (port, to, command) => outbox.send(port, to, command),
        store: (token, batch) => outbox.store(token, batch),
        emit: (event) => {
          const detail = event.type === 'failed' ? event.code : 'reason' in event && event.reason;
          seen.add(event.type === 'malformed' || !detail ? event.type : `${event.type} ${detail}`);
          outbox.emit(event);
        },
      });
    checkLaws({ ...subject, build }, { ...RUNS, numRuns: 300, seed: 7 });
    expect([...seen].toSorted()).toEqual([
      'budgetEmpty',
      'drained',
      'failed ERR_CANCELLED',
      'failed ERR_HANDLER_FAILED',
      'failed ERR_QUEUE_FULL',
      'failed ERR_REQUEST_TIMEOUT',
      'failed ERR_SERVER_CLOSING',
      'hedge',
      'malformed',
      'reply',
      'replyIgnored',
      'retry refused',
      'retry serverLost',
      'retry timeout',
      'serverLive',
      'serverLost linkBroken',
      'serverLost silent',
    ]);
  });
});
