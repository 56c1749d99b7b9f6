/** The Freelance server's machine keeps the five laws of the machine contract. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import type { Frames, Outbox } from '../../src/core/machine.ts';
import type { ServerInput, ServerOutput } from '../../src/freelance/commands.ts';
import { serverCodec } from '../../src/freelance/protocol.ts';
import type { FreelanceServerEvent } from '../../src/freelance/server-events.ts';
import {
  ServerMachine,
  type ServerCall,
  type ServerPort,
} from '../../src/freelance/server-machine.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';

const RUNS = { numRuns: 400, seed: 20_260 };

const BOUNDS = { concurrency: 2, queueLimit: 3, queueBytes: 3000 };

const TOKENS = 12;

type Subject = LawSubject<
  ServerPort,
  ServerInput,
  ServerOutput,
  ServerCall,
  FreelanceServerEvent,
  ServerMachine
>;

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const clients = fc.constantFrom('alice', 'bob', 'carol');
const port = kind('clients');

function calls(): fc.Arbitrary<ServerCall> {
  const token = fc.nat(TOKENS);
  const failure = fc.constant({ code: 'ERR_HANDLER_FAILED', message: 'no' } as const);
  const body = fc.constant([encodeText('reply')]);
  return fc.oneof(
    { weight: 12, arbitrary: fc.record({ type: kind('reply'), token, body }) },
    { weight: 4, arbitrary: fc.record({ type: kind('fail'), token, failure }) },
    { weight: 1, arbitrary: fc.record({ type: kind('drain') }) },
    { weight: 1, arbitrary: fc.record({ type: kind('stop') }) },
  );
}

function messages(): fc.Arbitrary<Frames> {
  const control = fc.uint8Array({ minLength: 0, maxLength: 8 });
  const body = fc.oneof(
    { weight: 6, arbitrary: fc.uint8Array({ maxLength: 20 }) },
    { weight: 1, arbitrary: fc.constant(new Uint8Array(2000)) },
  );
  return fc.oneof(
    { weight: 8, arbitrary: fc.tuple(control, body) },
    { weight: 2, arbitrary: fc.constant([encodeText('PING')]) },
    { weight: 1, arbitrary: fc.array(control, { maxLength: 3 }) },
  );
}

function inputs(): fc.Arbitrary<LawInput<ServerPort, ServerCall>> {
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: kind('message'), port, from: clients, frames: messages() }),
    },
    { weight: 5, arbitrary: fc.record({ kind: kind('call'), call: calls() }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('peerGone'), port, from: clients }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port, to: clients }) },
  );
}

/** Each request that a handler gets ends with its answer or its loss, and a drain with `drained`. */
const ledger: Subject['ledger'] = {
  asked: (input) =>
    input.kind === 'call' && /^(?:drain|stop)$/.test(input.call.type) ? 'drain' : undefined,
  begun: (effect) =>
    effect.kind === 'event' && effect.event.type === 'request' ? effect.event.token : undefined,
  ended: (effect, input) => {
    if (effect.kind === 'event') {
      const { event } = effect;
      if (event.type === 'requestLost') return event.token;
      // After its loss was told, it is only the news that the handler is done.
      if (event.type === 'replyDropped' && event.reason === 'clientQueueFull') return event.token;
      return event.type === 'drained' ? 'drain' : undefined;
    }
    // A reply that comes of a handler's call is that handler's; others are refusals.
    if (effect.command.type !== 'reply' || input?.kind !== 'call') return undefined;
    return 'token' in input.call ? input.call.token : undefined;
  },
};

const SUBJECT: Subject = {
  build: (outbox) => new ServerMachine(outbox, BOUNDS),
  codec: serverCodec,
  steps: lawSteps(inputs()),
  ending: [{ type: 'drain' }, { type: 'stop' }],
  bounds: (machine) => {
    const { queued, queuedBytes, running, inFlight } = machine.status();
    return [
      { name: 'requests that wait', size: queued, limit: BOUNDS.queueLimit },
      { name: 'bytes that wait', size: queuedBytes, limit: BOUNDS.queueBytes },
      { name: 'handlers', size: running, limit: BOUNDS.concurrency },
      { name: 'requests in flight', size: inFlight, limit: running },
      { name: 'requests not accounted for', size: Math.abs(missing(machine)), limit: 0 },
    ];
  },
  ledger,
};

/** Accepted requests that are in no state at all; negative, if some are in two. */
function missing(machine: ServerMachine): number {
  const { queued, inFlight, requests } = machine.status();
  const { accepted, replied, failed, cancelled } = requests;
  return accepted - queued - inFlight - replied - failed - cancelled;
}

test('the five laws hold', () => {
  expect(checkLaws(SUBJECT, RUNS)).toBeUndefined();
});

describe('the plans', () => {
  test('reach what matters', () => {
    const seen = new Set<string>();
    const counting = (
      outbox: Outbox<ServerPort, ServerOutput, FreelanceServerEvent>,
    ): Outbox<ServerPort, ServerOutput, FreelanceServerEvent> => ({
      ...outbox,
      send: (to, address, command) => {
        seen.add(command.type);
        return outbox.send(to, address, command);
      },
      emit: (event) => {
        seen.add('reason' in event ? `${event.type} ${event.reason}` : event.type);
        outbox.emit(event);
      },
    });
    checkLaws({ ...SUBJECT, build: (outbox) => SUBJECT.build(counting(outbox)) }, RUNS);
    expect([...seen].toSorted()).toEqual([
      'clientGone',
      'drained',
      'malformed no frames',
      'malformed one frame that is no command',
      'pong',
      'reply',
      'replyDropped clientQueueFull',
      'replyDropped requestEnded',
      'request',
      'requestLost',
      'requestRefused closing',
      'requestRefused queueFull',
    ]);
  });
});
