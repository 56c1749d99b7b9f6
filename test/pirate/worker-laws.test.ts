/** The Pirate worker's machine keeps the five laws of the machine contract in both protocols. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Frames, Outbox } from '../../src/core/machine.ts';
import type { PirateProtocol, WorkerInput, WorkerOutput } from '../../src/pirate/commands.ts';
import { queueCodec, workerCodec } from '../../src/pirate/protocol.ts';
import {
  WorkerMachine,
  type WorkerCall,
  type WorkerEvent,
  type WorkerPort,
} from '../../src/pirate/worker-machine.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';
import { settingsOf } from './worker-story.ts';

const RUNS = { numRuns: 250, seed: 20_260 };

const TOKENS = 6;

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

const bytes = fc.uint8Array({ maxLength: 8 });
const bodies: fc.Arbitrary<Frames> = fc.array(bytes, { minLength: 1, maxLength: 3 });

/** What a queue says to a worker, and what it had better not say. */
function messages(protocol: PirateProtocol): fc.Arbitrary<Frames> {
  const codec = queueCodec(protocol);
  const stack = fc.array(fc.uint8Array({ minLength: 1, maxLength: 8 }), { maxLength: 2 });
  const dispatch = fc.record({ type: kind('dispatch'), stack, body: bodies });
  const heartbeat = fc.record({ type: kind('heartbeat') });
  const said = fc
    .oneof({ weight: 3, arbitrary: dispatch }, { weight: 1, arbitrary: heartbeat })
    .map((command) => codec.encode('backend', command, undefined).frames);
  const noise = fc.array(fc.uint8Array({ maxLength: 3, max: 3 }), { maxLength: 4 });
  return fc.oneof({ weight: 6, arbitrary: said }, { weight: 1, arbitrary: noise });
}

function calls(): fc.Arbitrary<WorkerCall> {
  const token = fc.nat(TOKENS);
  const failure = fc.constant({ code: 'ERR_HANDLER_FAILED', message: 'no' } as const);
  const endpoints = fc.constantFrom(['one'], ['one', 'two'], []);
  return fc.oneof(
    { weight: 1, arbitrary: fc.record({ type: kind('connect'), endpoints }) },
    { weight: 8, arbitrary: fc.record({ type: kind('reply'), token, body: bodies }) },
    { weight: 3, arbitrary: fc.record({ type: kind('fail'), token, failure }) },
    { weight: 1, arbitrary: fc.constantFrom<WorkerCall>({ type: 'drain' }, { type: 'stop' }) },
  );
}

function inputs(protocol: PirateProtocol): fc.Arbitrary<LawInput<WorkerPort, WorkerCall>> {
  const port = kind('queue');
  const from = kind('');
  const message = fc.record({ kind: kind('message'), port, from, frames: messages(protocol) });
  return fc.oneof(
    { weight: 10, arbitrary: message },
    { weight: 8, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('peerGone'), port, from }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: from }) },
  );
}

type Subject = LawSubject<
  WorkerPort,
  WorkerInput,
  WorkerOutput,
  WorkerCall,
  WorkerEvent,
  WorkerMachine
>;

const CONNECT: LawInput<WorkerPort, WorkerCall> = {
  kind: 'call',
  call: { type: 'connect', endpoints: ['one'] },
};

/** Each request that a handler got ends with its result, or with its loss. */
function ledger(): { clear: () => void; accounts: Subject['ledger'] } {
  let latest = -1;
  const lost = new Set<number>();
  const accounts: Subject['ledger'] = {
    asked: (input) =>
      input.kind === 'call' && /^(?:drain|stop)$/.test(input.call.type) ? 'drain' : undefined,
    begun: (effect) => {
      if (effect.kind !== 'event' || effect.event.type !== 'request') return undefined;
      return (latest = effect.event.token);
    },
    ended: (effect, input) => {
      if (effect.kind === 'send') {
        if (effect.command.type !== 'result') return undefined;
        // A result comes of its handler's own call, or later, when a full queue has room again.
        if (input?.kind === 'writable') return latest;
        const isOwn = input?.kind === 'call' && 'token' in input.call;
        return isOwn ? input.call.token : 'a result that no handler gave';
      }
      const { event } = effect;
      if (event.type === 'drained') return 'drain';
      if (event.type === 'requestLost') {
        lost.add(event.token);
        return event.token;
      }
      // The reply waited for room when its session ended; otherwise the loss was told before.
      if (event.type === 'replyDropped') return lost.has(event.token) ? undefined : event.token;
      return undefined;
    },
  };
  return { clear: () => lost.clear(), accounts };
}

function subjectOf(protocol: PirateProtocol): Subject {
  const { clear, accounts } = ledger();
  return {
    build: (outbox) => {
      clear();
      return new WorkerMachine(outbox, settingsOf(protocol));
    },
    codec: workerCodec(protocol),
    steps: lawSteps(inputs(protocol)).map((steps) => [{ after: 0, input: CONNECT }, ...steps]),
    // All handlers return, and what still has no result then is given up.
    ending: [
      { type: 'drain' },
      ...Array.from({ length: 60 }, (_, token): WorkerCall => ({
        type: 'reply',
        token,
        body: [Uint8Array.of(1)],
      })),
      { type: 'stop' },
    ],
    bounds: (machine) => [{ name: 'handlers', size: machine.running, limit: 1 }],
    ledger: accounts,
  };
}

test.each(['simple', 'paranoid'] as const)('the five laws hold for a %s worker', (protocol) => {
  expect(checkLaws(subjectOf(protocol), RUNS)).toBeUndefined();
});

describe('the plans reach what matters', () => {
  const common = [
    'connecting',
    'drained',
    'malformed',
    'queueLost linkBroken',
    'queueLost unexpectedCommand',
    'ready',
    'replyDropped',
    'request',
    'requestLost',
    'say ready',
    'say result',
  ];

  test.each([
    ['simple', common],
    ['paranoid', [...common, 'queueLost silent', 'say heartbeat']],
  ] as const)('of a %s worker', (protocol, expected) => {
    const types = new Set<string>();
    const counting = (
      outbox: Outbox<WorkerPort, WorkerOutput, WorkerEvent>,
    ): Outbox<WorkerPort, WorkerOutput, WorkerEvent> => ({
      open: (port, endpoint) => outbox.open(port, endpoint),
      close: (port, flush) => outbox.close(port, flush),
      send: (port, to, command) => {
        types.add(`say ${command.type}`);
        return outbox.send(port, to, command);
      },
      store: (token, batch) => outbox.store(token, batch),
      emit: (event) => {
        types.add(event.type === 'queueLost' ? `queueLost ${event.reason}` : event.type);
        outbox.emit(event);
      },
    });
    const subject = subjectOf(protocol);
    checkLaws({ ...subject, build: (outbox) => subject.build(counting(outbox)) }, RUNS);
    expect([...types].toSorted()).toEqual(expected.toSorted());
  });
});
