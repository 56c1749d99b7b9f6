/** The queue's machine keeps the five laws of the machine contract in both protocols. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { itemsOf } from '../../src/core/fair-queue.ts';
import { encodeText } from '../../src/core/frames.ts';
import type { Address, Frames, Outbox } from '../../src/core/machine.ts';
import type {
  PirateProtocol,
  QueueInput,
  QueueOutput,
  QueuePort,
} from '../../src/pirate/commands.ts';
import { QUEUE_EVENT_TYPES, type QueueEvent } from '../../src/pirate/queue-events.ts';
import {
  QueueMachine,
  type QueueCall,
  type QueueSettings,
} from '../../src/pirate/queue-machine.ts';
import { mayWork } from '../../src/pirate/queue-workers.ts';
import { queueCodec, workerCodec } from '../../src/pirate/protocol.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';
import { SIMPLE, storySettings } from './queue-story.ts';

const RUNS = { numRuns: 250, seed: 20_260 };

const PROTOCOLS: readonly PirateProtocol[] = ['simple', 'paranoid'];

function settingsOf(protocol: PirateProtocol): QueueSettings {
  const settings = {
    ...storySettings,
    heartbeatInterval: 20,
    maxAttempts: 2,
    attemptTimeout: 50,
    requestTtl: 150,
    queueLimit: 3,
    queueBytes: 2000,
    workerLimit: 3,
    noticeGrace: 5,
  };
  return protocol === 'simple' ? { ...settings, ...SIMPLE } : settings;
}

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

// Its randomness is no randomness here, so that the plans can name its tags.
const tags: fc.Arbitrary<Frames> = fc
  .nat(9)
  .map((number) => [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, number)]);

const texts = fc.constantFrom('x', 'y', '', 'z'.repeat(1500)).map(encodeText);
const bodies = fc.array(texts, { minLength: 1, maxLength: 2 });
const names = fc.constantFrom('one', 'two').map(encodeText);
const stacks = fc.array(names, { maxLength: 2 });
const noise = fc.array(fc.oneof(texts, fc.uint8Array({ maxLength: 3 })), { maxLength: 4 });

/** What a client sends, be it a REQ socket or any DEALER. */
const fromClients: fc.Arbitrary<Frames> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(stacks, bodies).map(([stack, body]) => [...stack, encodeText(''), ...body]),
  },
  { weight: 1, arbitrary: bodies },
  { weight: 1, arbitrary: noise },
);

function fromWorkers(protocol: PirateProtocol): fc.Arbitrary<Frames> {
  const codec = workerCodec(protocol);
  const stack = fc.oneof({ weight: 9, arbitrary: tags }, stacks);
  const said = fc.oneof(
    { weight: 3, arbitrary: fc.record({ type: kind('ready') }) },
    { weight: 1, arbitrary: fc.record({ type: kind('heartbeat') }) },
    { weight: 8, arbitrary: fc.record({ type: kind('result'), stack, body: bodies }) },
  );
  const valid = said.map((command) => codec.encode('queue', command, undefined).frames);
  return fc.oneof({ weight: 9, arbitrary: valid }, { weight: 1, arbitrary: noise });
}

function inputs(protocol: PirateProtocol): fc.Arbitrary<LawInput<QueuePort, QueueCall>> {
  const [frontend, backend] = [kind('frontend'), kind('backend')];
  const from = fc.constantFrom<Address[]>('a', 'b', 'c', 'd');
  const call = fc.constantFrom<QueueCall>({ type: 'drain' }, { type: 'stop' });
  const message = { kind: kind('message'), from };
  const port = fc.constantFrom<QueuePort[]>('frontend', 'backend');
  return fc.oneof(
    { weight: 12, arbitrary: fc.record({ ...message, port: frontend, frames: fromClients }) },
    {
      weight: 20,
      arbitrary: fc.record({ ...message, port: backend, frames: fromWorkers(protocol) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: kind('call'), call }) },
    { weight: 3, arbitrary: fc.record({ kind: kind('peerGone'), port, from }) },
    { weight: 3, arbitrary: fc.record({ kind: kind('writable'), port, to: from }) },
  );
}

/** What does not fit together, in words; nothing while all is well. */
function* contradictions({ requests, workers }: QueueMachine): Generator<string> {
  const { state, clients } = requests;
  const open = [...state.open.values()];
  const queued = [...state.queues.values()].flatMap((queue) => [...itemsOf(queue)]);
  const held = [...workers.all()].flatMap(({ dispatch }) => dispatch?.request ?? []);
  const running = held.filter((request) => request.state === 'inFlight');
  if (queued.some((request) => request.state !== 'queued')) yield 'in the queue, and not queued';
  if (state.queued !== queued.length) yield 'the count of queued requests';
  if (state.inFlight !== running.length || new Set(running).size !== running.length) {
    yield 'in flight is not in the hands of one worker';
  }
  if (open.length !== queued.length + running.length) yield 'open is not queued and in flight';
  const ended = Object.values(state.ended).reduce((sum, count) => sum + count, 0);
  if (state.accepted !== open.length + ended) yield 'accepted is not open and ended';
  const waiting = [...clients.values()].flatMap((client) => [...client.requests]);
  if (waiting.length !== open.length) yield 'who waits for what';
  for (const [address, client] of clients) {
    if (client.requests.size === 0) yield `${address} waits for nothing`;
  }
  for (const worker of workers.all()) {
    const inLine = [...workers.state.idle].includes(worker);
    if (inLine !== mayWork(worker)) yield `${worker.id} is in line: ${inLine}`;
    if (inLine && queued.length > 0) yield `${worker.id} is idle, and requests wait`;
  }
}

type QueueSubject = LawSubject<
  QueuePort,
  QueueInput,
  QueueOutput,
  QueueCall,
  QueueEvent,
  QueueMachine
>;

function subjectOf(protocol: PirateProtocol): QueueSubject {
  const settings = settingsOf(protocol);
  return {
    build: (outbox) => new QueueMachine(outbox, settings),
    codec: queueCodec(protocol),
    steps: lawSteps(inputs(protocol)),
    ending: [{ type: 'drain' }],
    bounds: (machine) => {
      const { queues, inFlight } = machine.requests.state;
      // What comes back from a lost worker was taken in before, and is not refused a second time.
      const fresh = [...queues.values()].flatMap(({ levels }) =>
        [...levels.values()].flatMap((lines) => [...lines.values()].flatMap((line) => [...line])),
      );
      const bytes = fresh.reduce((sum, request) => sum + request.bytes, 0);
      const contradicted = [...contradictions(machine)];
      return [
        { name: 'queued requests', size: fresh.length, limit: settings.queueLimit },
        { name: 'queued bytes', size: bytes, limit: settings.queueBytes },
        { name: 'workers', size: machine.workers.size, limit: settings.workerLimit },
        { name: 'in flight', size: inFlight, limit: settings.workerLimit },
        { name: contradicted.join(', '), size: contradicted.length, limit: 0 },
      ];
    },
    ledger: {
      asked: (input) => (input.kind === 'call' ? 'drain' : undefined),
      ended: (effect) =>
        effect.kind === 'event' && effect.event.type === 'drained' ? 'drain' : undefined,
    },
  };
}

function counting(
  outbox: Outbox<QueuePort, QueueOutput, QueueEvent>,
  seen: Set<string>,
): Outbox<QueuePort, QueueOutput, QueueEvent> {
  return {
    open: (port, endpoint) => outbox.open(port, endpoint),
    close: (port, flush) => outbox.close(port, flush),
    send: (port, to, command) => outbox.send(port, to, command),
    store: (token, batch) => outbox.store(token, batch),
    emit: (event) => (seen.add(event.type), outbox.emit(event)),
  };
}

describe.each(PROTOCOLS)('the queue of the %s protocol', (protocol) => {
  test('keeps the five laws, and its plans reach all that it may tell', () => {
    const subject = subjectOf(protocol);
    const seen = new Set<string>();
    const build: QueueSubject['build'] = (outbox) => subject.build(counting(outbox, seen));
    expect(checkLaws({ ...subject, build }, RUNS)).toBeUndefined();
    expect([...seen].toSorted()).toEqual(QUEUE_EVENT_TYPES.toSorted());
  });
});
