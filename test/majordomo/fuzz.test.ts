/**
 * Hostile bytes over real sockets: whatever raw peers send to a broker, a worker or a client, nothing
 * throws, all of it is accounted for, and good traffic goes on meanwhile.
 *
 * The codecs, which have tests of their own, say how many of the messages are malformed.
 */
import * as fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { Dealer, Router } from 'zeromq';
import type { Codec } from '../../src/core/codec.ts';
import {
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  type BrokerStatus,
} from '../../src/index.ts';
import { brokerCodec, clientCodec, workerCodec } from '../../src/majordomo/wire/protocol.ts';

const FROM_A_SEED = { seed: 20_260, numRuns: 200 };

const undo: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

function closing<Shell extends { close(): Promise<void> | void }>(shell: Shell): Shell {
  undo.push(() => shell.close());
  return shell;
}

// What is sent

const text = (...words: string[]): fc.Arbitrary<Uint8Array> =>
  fc.constantFrom(...words).map((word) => Buffer.from(word));

/** Frames that mean something in some place, and frames that never do. */
const frame: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(new Uint8Array(0)) },
  { weight: 4, arbitrary: text('MDPC01', 'MDPW01', 'MDPC02', 'MDPW02') },
  { weight: 4, arbitrary: fc.nat(8).map((number) => Uint8Array.of(number)) },
  { weight: 3, arbitrary: text('echo', 'mmi.service', 'mmi.services', 'mmi.x', 'x'.repeat(256)) },
  { weight: 1, arbitrary: text('mdpc01', 'MDPC03', 'MDPW', '\0UNSINKABLE-ERR1') },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 40 }) },
);

/** The beginning of a message that a peer of some version could send. */
const head: fc.Arbitrary<Uint8Array[]> = fc.oneof(
  fc.tuple(fc.constant(new Uint8Array(0)), text('MDPC01')),
  fc.tuple(text('MDPC02'), fc.integer({ min: 1, max: 3 }).map(byte)),
  fc.tuple(
    fc.constant(new Uint8Array(0)),
    text('MDPW01'),
    fc.integer({ min: 1, max: 5 }).map(byte),
  ),
  fc.tuple(text('MDPW02'), fc.integer({ min: 1, max: 6 }).map(byte)),
);

const message: fc.Arbitrary<Uint8Array[]> = fc.oneof(
  fc.array(frame, { minLength: 1, maxLength: 8 }),
  fc
    .tuple(head, fc.array(frame, { maxLength: 5 }))
    .map(([beginning, rest]) => [...beginning, ...rest]),
  fc.tuple(head, text('echo', 'mmi.mine')).map(([beginning, service]) => [...beginning, service]),
);

const messages = fc.array(message, { minLength: 1, maxLength: 60, size: 'max' });

function byte(number: number): Uint8Array {
  return Uint8Array.of(number);
}

/** How many of the messages the codec does not take for a command. */
function malformedIn<Input, Output>(
  codec: Codec<string, Input, Output>,
  sent: readonly Uint8Array[][],
): number {
  return sent.filter((frames) => codec.decode('', frames, () => undefined) !== undefined).length;
}

// Who is attacked

/** A broker, and a worker and a client that want to go on with their work. */
async function bindBroker() {
  const broker = closing(new MajordomoBroker({ drainTimeout: 0, queueLimit: 100 }));
  const endpoint = await broker.bind('tcp://127.0.0.1:*');
  const worker = closing(new MajordomoWorker('good', (it) => it.text().toUpperCase()));
  worker.connect(endpoint);
  await worker.ready();
  const client = closing(new MajordomoClient({ retries: 0 }));
  client.connect(endpoint);
  return { broker, endpoint, client };
}

/** Conservation: every accepted request is in exactly one place. */
function expectConserved({ queued, inFlight, requests }: BrokerStatus): void {
  const { accepted, replied, failed, expired, cancelled } = requests;
  expect(queued + inFlight + replied + failed + expired + cancelled).toBe(accepted);
}

/** Sends all, then a question; resolves when the answer comes: the broker has then seen all. */
async function attack(endpoint: string, sent: readonly Uint8Array[][]): Promise<void> {
  const dealer = new Dealer({ linger: 0, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
  try {
    dealer.connect(endpoint);
    for (const frames of sent) await dealer.send(frames);
    await dealer.send(['', 'MDPC01', 'mmi.are-you-there', '?']);
    for await (const [, , service] of dealer) {
      if (service?.toString() === 'mmi.are-you-there') return;
    }
  } finally {
    dealer.close();
  }
}

test('the broker takes any frames from any peers', async () => {
  const { broker, endpoint, client } = await bindBroker();
  const run = fc.asyncProperty(messages, messages, async (one, other) => {
    const before = broker.status().events.malformed;
    const attacks = Promise.all([attack(endpoint, one), attack(endpoint, other)]);
    expect((await client.request('good', 'hello')).text()).toBe('HELLO');
    await attacks;
    // A lone empty frame is how a ROUTER is told that a link is new: about its sender, no message.
    const sent = [...one, ...other].filter((frames) => !isLoneEmpty(frames));
    const expected = malformedIn(brokerCodec, sent);
    expect(broker.status().events.malformed - before).toBe(expected);
    expectConserved(broker.status());
  });
  await fc.assert(run, FROM_A_SEED);
  // The attackers have gone: nothing of them is left.
  const isQuiet = (): boolean => {
    const { workers, queued, queuedBytes, inFlight, services } = broker.status();
    return workers === 1 && queued + queuedBytes + inFlight === 0 && services.length === 1;
  };
  await vi.waitUntil(isQuiet, { interval: 5, timeout: 5000 });
  const { events, requests } = broker.status();
  const rare = [events.unexpectedCommand, events.workerReady, events.workerRefused];
  expect(Math.min(...rare, events.requestCancelled)).toBeGreaterThan(10);
  expect(requests.accepted).toBeGreaterThan(FROM_A_SEED.numRuns);
});

test('requests without end are refused at the queue limit', async () => {
  const { broker, endpoint, client } = await bindBroker();
  const flood = Array.from({ length: 1000 }, (_, index) =>
    ['', 'MDPC01', 'nobody offers this', `${index}`].map((part) => Buffer.from(part)),
  );
  const dealer = closing(new Dealer({ linger: 0, sendHighWaterMark: 0 }));
  dealer.connect(endpoint);
  for (const frames of flood) await dealer.send(frames);
  await vi.waitUntil(() => broker.status().events.requestRefused === 900, { interval: 5 });
  expect(broker.status()).toMatchObject({ queued: 100, requests: { accepted: 100 } });
  await expect(client.request('also', 'hello')).rejects.toMatchObject({ code: 'ERR_QUEUE_FULL' });
  // Whom a worker waits for needs no place in the queue.
  expect((await client.request('good', 'hello')).text()).toBe('HELLO');
  dealer.close();
  await vi.waitUntil(() => broker.status().queued === 0, { interval: 5 });
  expect((await client.request('good', 'hello')).text()).toBe('HELLO');
});

test('the worker takes any frames from its broker', async () => {
  const router = closing(new Router({ linger: 0, sendHighWaterMark: 0 }));
  await router.bind('tcp://127.0.0.1:*');
  const worker = closing(
    new MajordomoWorker('good', (it) => it.body, { reconnectInterval: 1, reconnectLimit: 1 }),
  );
  let malformed = 0;
  worker.on('malformed', () => malformed++);
  worker.connect(router.lastEndpoint!);

  /** The next command of the worker that `wanted` accepts, and where it came from. */
  const next = async (wanted: (command: Buffer[]) => boolean): Promise<Buffer> => {
    for (;;) {
      const [from, ...command] = await router.receive();
      if (wanted(command)) return from!;
    }
  };
  let address = await next(isReady);
  let asked = 0;
  const run = fc.asyncProperty(messages, async (generated) => {
    // A second request while one is in hand ends the session, and when that is would be chance.
    const sent = generated.filter((frames) => heardAs(frames) !== 'dispatch');
    malformed = 0;
    const marker = `marker ${++asked}`;
    const isReply = (command: Buffer[]): boolean => command.at(-1)?.toString() === marker;
    const dispatch = ['MDPW02', byte(2), 'client', '', marker];
    for (const frames of [...sent, dispatch]) await router.send([address, ...frames]);
    // A DISCONNECT among them ends the session: what follows is not heard, and READY comes anew.
    const end = sent.findIndex((frames) => heardAs(frames) === 'disconnect');
    const heard = end < 0 ? sent : sent.slice(0, end);
    if (end >= 0) {
      address = await next(isReady);
      await router.send([address, ...dispatch]);
    }
    expect(await next(isReply)).toEqual(address);
    expect(malformed).toBe(heard.filter((frames) => heardAs(frames) === undefined).length);
  });
  await fc.assert(run, FROM_A_SEED);
  await worker.close();
});

test('the client takes any frames from its broker', async () => {
  const router = closing(new Router({ linger: 0, sendHighWaterMark: 0 }));
  await router.bind('tcp://127.0.0.1:*');
  const client = closing(new MajordomoClient({ protocol: 'mdp0.1', lanes: 1, retries: 0 }));
  let malformed = 0;
  let refused = 0;
  client.on('malformed', () => malformed++);
  client.on('replyRefused', () => refused++);
  client.connect(router.lastEndpoint!);

  const run = fc.asyncProperty(messages, async (sent) => {
    malformed = 0;
    refused = 0;
    const reply = client.request('good', 'hello');
    const [address, empty, header, service] = await router.receive();
    for (const frames of sent) await router.send([address!, ...frames]);
    await router.send([address!, empty!, header!, service!, 'at last']);
    expect((await reply).text()).toBe('at last');
    expect(malformed).toBe(malformedIn(clientCodec, sent));
    expect(refused).toBe(sent.length - malformed);
  });
  await fc.assert(run, FROM_A_SEED);
});

/** READY is the one command of this worker that ends with the name of its service. */
function isReady(command: Buffer[]): boolean {
  return command.at(-1)?.toString() === 'good';
}

/** What a worker in a session of 0.2 takes these frames for; undefined: for nothing. */
function heardAs(frames: Uint8Array[]): string | undefined {
  let found: string | undefined;
  workerCodec.decode('', frames, ({ type, dialect }) => {
    if (dialect === 'mdp0.2') found = type;
  });
  return found;
}

function isLoneEmpty(frames: readonly Uint8Array[]): boolean {
  return frames.length === 1 && frames[0]!.byteLength === 0;
}
