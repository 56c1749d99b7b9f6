/** The Titanic's machine keeps the five laws of the machine contract, whatever its store answers. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Codec } from '../../src/core/codec.ts';
import type { StorageState } from '../../src/core/batch.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Question } from '../../src/titanic/commands.ts';
import type { StoredRequest } from '../../src/titanic/requests.ts';
import { Recovery } from '../../src/titanic/recovery.ts';
import { TitanicMachine, type TitanicSettings } from '../../src/titanic/titanic-machine.ts';
import type {
  AttemptEnd,
  TitanicCall,
  TitanicMachineEvent,
} from '../../src/titanic/titanic-events.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';
import { body } from '../actor.ts';
import { A, B, C, D, idOf, storySettings, TitanicStory } from './titanic-story.ts';

const RUNS = { numRuns: 200, seed: 20_261 };

/** Tokens from here on are those of asks that may be withdrawn: whether they are answered is open. */
const WITHDRAWN = 1000;

/** The machine has no wire. */
const noCodec: Codec<never, never> = {
  decode: () => 'nothing is understood',
  encode: () => ({ frames: [], bytes: 0 }),
};

const EVENT_TYPES: readonly TitanicMachineEvent['type'][] = [
  'abandon',
  'answer',
  'answerStored',
  'attemptFailed',
  'deadLetter',
  'discarded',
  'drained',
  'execute',
  'recordUnreadable',
  'recovered',
  'requestAccepted',
  'requestClosed',
  'requestDone',
  'requestRefused',
  'requestResubmitted',
  'serviceAbsent',
  'serviceFound',
  'storeFailed',
];

function settings(): TitanicSettings {
  let ids = 0x100;
  return {
    ...storySettings,
    retries: 1,
    backoff: 10,
    backoffLimit: 40,
    absence: 10,
    absenceLimit: 40,
    pendingLimit: 5,
    pendingBytes: 40,
    bodyLimit: 20,
    waiterLimit: 2,
    retentionAge: 400,
    retentionCount: 2,
    retentionBytes: 30,
    closedAge: 300,
    closedCount: 2,
    newId: () => idOf(++ids),
  };
}

/** What a former life left: one request that waits, one done, one dead, one closed, one unreadable. */
function formerLife(): ReadonlyMap<string, Frames> {
  const titanic = new TitanicStory({ retries: 0 });
  titanic.submit(idOf(1), 'x', { delay: 100 });
  titanic.finish(idOf(2));
  titanic.submit(idOf(3));
  titanic.fail(titanic.executions[0]!);
  titanic.close(idOf(4));
  titanic.submit(idOf(5), 'x', {}, 'other');
  return titanic.disk;
}

const FORMER = formerLife();

function former(): Recovery {
  const recovery = new Recovery();
  for (const [key, frames] of FORMER) recovery.add(key, frames);
  recovery.unreadable(`request:${idOf(6)}`, 'its checksum fails');
  return recovery;
}

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const type = kind;

const ids = fc.constantFrom(A, B, C, D, idOf(0x101), ...[1, 2, 3, 4, 5, 6].map(idOf));
const texts = fc
  .constantFrom('', 'x', 'y', 'z'.repeat(15), 'too long'.repeat(3))
  .map((t) => body(t));
const waits = fc.constantFrom(0, 30, 5000);

const questions: fc.Arbitrary<Question> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: type('submit'),
      id: fc.oneof(ids, fc.constant(undefined)),
      service: fc.constantFrom('echo', 'other'),
      body: texts,
      terms: fc.record(
        {
          delay: fc.constantFrom(0, 20),
          deadline: fc.constantFrom(5, 100),
          retries: fc.constantFrom(0, 1, 3),
          backoff: fc.constantFrom(1, 30),
        },
        { requiredKeys: [] },
      ),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: type('fetch'), id: ids, wait: waits }) },
  { weight: 4, arbitrary: fc.record({ type: type('close'), id: ids }) },
  { weight: 1, arbitrary: fc.record({ type: type('status'), id: ids }) },
  { weight: 1, arbitrary: fc.record({ type: type('overview') }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: type('list'),
      state: fc.constantFrom(undefined, 'dead', 'waiting'),
      service: fc.constantFrom(undefined, 'echo'),
      after: fc.oneof(ids, fc.constant(undefined)),
      limit: fc.constantFrom(1, 100),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: type('inspect'), id: ids }) },
  { weight: 3, arbitrary: fc.record({ type: type('resubmit'), id: ids }) },
);

const executions = fc.integer({ min: -2, max: 2 });
const ends = fc.constantFrom<AttemptEnd[]>('unstarted', 'failed', 'lost', 'poison');
const states = fc.constantFrom<StorageState[]>('open', 'open', 'full', 'failed');

const calls: fc.Arbitrary<TitanicCall> = fc.oneof(
  { weight: 20, arbitrary: fc.record({ type: type('ask'), token: fc.nat(), question: questions }) },
  { weight: 1, arbitrary: fc.record({ type: type('withdraw'), token: fc.nat() }) },
  {
    weight: 6,
    arbitrary: fc.record({ type: type('replied'), execution: executions, body: texts }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      type: type('attemptFailed'),
      execution: executions,
      end: ends,
      message: kind('no luck'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: type('unreadable'), id: ids, reason: kind('rust') }) },
  { weight: 3, arbitrary: fc.record({ type: type('link'), isUp: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: type('storage'), state: states }) },
  { weight: 1, arbitrary: fc.constantFrom<TitanicCall[]>({ type: 'drain' }, { type: 'stop' }) },
);

const inputs: fc.Arbitrary<LawInput<never, TitanicCall>> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: kind('call'), call: calls }) },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: kind('stored'),
      token: fc.integer({ min: -4, max: 1 }),
      failed: fc.integer({ min: 0, max: 5 }).map((number) => number === 0),
    }),
  },
);

/**
 * Gives each ask a token of its own; every third one is of those that may be withdrawn. What is stored
 * and what ends is named by about how many there were, or few would be met.
 */
class Numbering {
  #stored = 0;
  #ended = 0;

  apply(input: LawInput<never, TitanicCall>, index: number): LawInput<never, TitanicCall> {
    if (input.kind === 'stored') {
      return { ...input, token: Math.max(1, ++this.#stored + input.token) };
    }
    if (input.kind !== 'call') return input;
    const { call } = input;
    if (call.type === 'ask') {
      const token = call.token % 3 === 0 ? WITHDRAWN + index : index;
      return { kind: 'call', call: { ...call, token } };
    }
    if (call.type === 'withdraw') {
      return { kind: 'call', call: { ...call, token: WITHDRAWN + (call.token % index) } };
    }
    if (call.type !== 'replied' && call.type !== 'attemptFailed') return input;
    const execution = Math.ceil(++this.#ended / 2) + call.execution;
    return { kind: 'call', call: { ...call, execution } };
  }
}

const steps = lawSteps(inputs).map((each) => {
  // With a broker from the start, mostly, or nothing would run.
  const link = { after: 0, input: { kind: 'call', call: { type: 'link', isUp: true } } } as const;
  const numbering = new Numbering();
  const given = each.map((step, index) => {
    return { ...step, input: numbering.apply(step.input, index + 1) };
  });
  return [link, ...given];
});

/** What does not fit together, in words; nothing while all is well. */
function* contradictions({ parts }: TitanicMachine): Generator<string> {
  const { attempts, requests, retention, services, writes } = parts;
  const all = [...requests.entries.values()];
  for (const [state, count] of Object.entries(requests.counts)) {
    if (all.filter((request) => request.state === state).length !== count)
      yield `count of ${state}`;
  }
  const pending = all.flatMap((request) => request.pending ?? []);
  const bytes = pending.reduce((sum, { request }) => sum + request.bytes, 0);
  if (requests.pending.count !== pending.length) yield 'count of pending ones';
  if (requests.pending.bytes !== bytes) yield 'bytes of pending ones';
  if (attempts.running !== pending.filter(({ execution }) => execution > 0).length) {
    yield 'executions';
  }
  for (const service of services.services.values()) {
    const own = all.filter((request) => request.service === service);
    if (own.length !== service.requests) yield `requests of ${service.name}`;
    const busy = pending.filter(({ request, hasRoom }) => hasRoom && request.service === service);
    if (busy.length !== service.running) yield `${service.name} runs ${service.running}`;
    if (service.first !== undefined && attempts.mayBegin(service)) yield `${service.name} is idle`;
    if (service.probe !== undefined && service.probe.pending?.hasRoom !== true) yield 'the probe';
    for (const request of [...service.returned, ...service.waiting]) {
      if (request.state !== 'waiting') yield `${request.state} in line`;
    }
  }
  const kept = all.filter((request) => isKept(request));
  if (retention.ended !== kept.length) yield `${retention.ended} kept of ${kept.length}`;
  if (retention.bytes !== kept.reduce((sum, request) => sum + request.bytes, 0)) yield 'kept bytes';
  if (retention.closed !== requests.counts.closed) yield 'the closed ones';
  const written = [...writes].flatMap((write) => {
    if (write.kind === 'sweep') return write.victims.map(({ request }) => request);
    return write.kind === 'probe' ? [] : [write.request];
  });
  if (new Set(written).size !== written.length) yield 'two writes of one request';
  if (all.some((request) => request.closers !== undefined && request.write === undefined)) {
    yield 'a close that nobody begins';
  }
  for (const { request, ending, execution, hasRoom } of pending) {
    if (request.state === 'fresh' && request.write === undefined) yield 'a fresh one';
    if (request.write !== undefined || request.isInLine || execution > 0) continue;
    if (ending === undefined && request.state !== 'delayed') yield `${request.id} is forgotten`;
    if (hasRoom) yield `${request.id} has a room`;
  }
}

function isKept({ state, pending }: StoredRequest): boolean {
  return state === 'done' || (state === 'dead' && pending === undefined);
}

/** Only the machine's own phase is behind: after a stop, writes are left as they are. */
function contradicted(machine: TitanicMachine): string[] {
  return machine.nextTimeout === Infinity && !machine.parts.attempts.isOpen
    ? []
    : [...contradictions(machine)];
}

const subject: LawSubject<never, never, never, TitanicCall, TitanicMachineEvent, TitanicMachine> = {
  build: (outbox) => new TitanicMachine(outbox, settings(), former()),
  codec: noCodec,
  steps,
  ending: [{ type: 'stop' }],
  bounds: (machine) => {
    const { answers, requests, services } = machine.parts;
    const { pendingLimit, pendingBytes, waiterLimit, concurrency } = settings();
    const running = [...services.services.values()].map((service) => service.running);
    const wrong = contradicted(machine);
    return [
      { name: 'pending requests', size: requests.pending.count, limit: pendingLimit },
      { name: 'pending bytes', size: requests.pending.bytes, limit: pendingBytes },
      { name: 'waiters', size: answers.waiters.size, limit: waiterLimit },
      { name: 'running', size: Math.max(0, ...running), limit: concurrency },
      { name: 'kept bytes', size: machine.status().keptBytes, limit: pendingBytes },
      { name: wrong.join(', '), size: wrong.length, limit: 0 },
    ];
  },
  ledger: {
    asked: (input) => {
      if (input.kind !== 'call') return undefined;
      const { call } = input;
      if (call.type === 'drain' || call.type === 'stop') return 'drain';
      return call.type === 'ask' && call.token < WITHDRAWN ? `ask ${call.token}` : undefined;
    },
    ended: (effect) => {
      if (effect.kind !== 'event') return undefined;
      const { event } = effect;
      if (event.type === 'drained') return 'drain';
      if (event.type !== 'answer' && event.type !== 'answerStored') return undefined;
      return event.token < WITHDRAWN ? `ask ${event.token}` : undefined;
    },
  },
};

test('the machine keeps the five laws, and its plans reach all that it may tell', () => {
  const seen = new Set<string>();
  const build: typeof subject.build = (outbox) =>
    subject.build({ ...outbox, emit: (event) => (seen.add(event.type), outbox.emit(event)) });
  expect(checkLaws({ ...subject, build }, RUNS)).toBeUndefined();
  expect([...seen].toSorted()).toEqual(EVENT_TYPES.toSorted());
});
