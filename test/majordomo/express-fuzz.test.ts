/**
 * Hostile express over real sockets: whatever raw peers send to a broker, a worker or a client, nothing
 * throws, all of it is accounted for, and good traffic goes on meanwhile.
 */
import * as fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { Dealer, Router } from 'zeromq';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from '../../src/index.ts';
import type { BrokerInput, BrokerOutput, Command } from '../../src/majordomo/wire/commands.ts';
import { brokerCodec, encode } from '../../src/majordomo/wire/protocol.ts';
import { COMMANDS, packed } from './express-messages.ts';
import { decode, hex, TAG, type Side } from './express-wire.ts';

const FROM_A_SEED = { seed: 20_261, numRuns: 150 };

const undo: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

function closing<Shell extends { close(): Promise<void> | void }>(shell: Shell): Shell {
  undo.push(() => shell.close());
  return shell;
}

/** Packs as they should be, packs that were damaged, and noise behind the tag. */
function messagesTo(side: Side): fc.Arbitrary<Frames[]> {
  const pack = fc
    .array(COMMANDS[side], { minLength: 1, maxLength: 5 })
    .map((commands) => packed(commands)[0]!);
  const changed = fc.tuple(pack, fc.nat(), fc.nat(255)).map(([[header, ...further], at, value]) => {
    const bytes = Buffer.from(header!);
    bytes[TAG.length / 2 + (at % (bytes.length - TAG.length / 2))] = value;
    return [bytes, ...further];
  });
  const cut = fc
    .tuple(pack, fc.nat())
    .map(([[header], at]) => [
      header!.subarray(0, TAG.length / 2 + (at % (header!.length - TAG.length / 2))),
    ]);
  const noise = fc
    .tuple(fc.uint8Array({ maxLength: 40 }), fc.array(fc.uint8Array(), { maxLength: 2 }))
    .map(([bytes, further]) => [Buffer.concat([hex(TAG), bytes]), ...further]);
  return fc.array(
    fc.oneof(
      { weight: 3, arbitrary: pack },
      { weight: 2, arbitrary: changed },
      { weight: 1, arbitrary: cut },
      { weight: 1, arbitrary: noise },
    ),
    { minLength: 1, maxLength: 40, size: 'max' },
  );
}

/** Sends all, then a question in plain MDP; resolves when the answer comes: all was then seen. */
async function attack(endpoint: string, sent: readonly Frames[]): Promise<void> {
  const dealer = new Dealer({ linger: 0, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
  try {
    dealer.connect(endpoint);
    for (const frames of sent) await dealer.send([...frames]);
    await dealer.send(['', 'MDPC01', 'mmi.are-you-there', '?']);
    for await (const [, , service] of dealer) {
      if (service?.toString() === 'mmi.are-you-there') return;
    }
  } finally {
    dealer.close();
  }
}

const malformedIn = (side: Side, sent: readonly Frames[]): number =>
  sent.filter((frames) => decode(side, frames).reason !== undefined).length;

test('the broker takes any express from any peers', async () => {
  // Under a key a request goes on without its client, who may come back for it: up to its time to live.
  const settings = { drainTimeout: 0, queueLimit: 100, requestTtl: 1000 };
  const broker = closing(new MajordomoBroker(settings));
  const endpoint = await broker.bind('tcp://127.0.0.1:*');
  const worker = closing(new MajordomoWorker('good', (it) => it.text().toUpperCase()));
  worker.connect(endpoint);
  await worker.ready();
  const client = closing(new MajordomoClient({ retries: 0 }));
  client.connect(endpoint);
  await client.ready();

  const run = fc.asyncProperty(messagesTo('broker'), messagesTo('broker'), async (one, other) => {
    const before = broker.status().events.malformed;
    const attacks = Promise.all([attack(endpoint, one), attack(endpoint, other)]);
    expect((await client.request('good', 'hello')).text()).toBe('HELLO');
    await attacks;
    const { events, requests, queued, inFlight } = broker.status();
    expect(events.malformed - before).toBe(malformedIn('broker', [...one, ...other]));
    const { accepted, replied, failed, expired, cancelled } = requests;
    expect(queued + inFlight + replied + failed + expired + cancelled).toBe(accepted);
  });
  await fc.assert(run, FROM_A_SEED);
  // The attackers have gone: nothing of them is left.
  const isQuiet = (): boolean => {
    const { workers, clients, queued, queuedBytes, inFlight } = broker.status();
    return workers === 1 && clients === 1 && queued + queuedBytes + inFlight === 0;
  };
  await vi.waitUntil(isQuiet, { interval: 5, timeout: 5000 });
  const { events } = broker.status();
  expect(Math.min(events.malformed, events.unexpectedCommand)).toBeGreaterThan(100);
  expect(Math.min(events.clientReady, events.workerReady)).toBeGreaterThan(10);
});

const WELCOME: BrokerOutput = {
  type: 'welcome',
  dialect: 'express',
  resumed: false,
  heartbeatInterval: 1000,
  heartbeatLiveness: 3,
};

/** A raw broker: hands over what it hears, until its socket is closed. */
async function listen(
  router: Router,
  hear: (command: BrokerInput, say: (...answers: Frames[]) => Promise<void>) => Promise<void>,
): Promise<void> {
  for await (const [from, ...frames] of router) {
    const say = async (...answers: Frames[]): Promise<void> => {
      for (const answer of answers) await router.send([from!, ...answer]);
    };
    const heard: BrokerInput[] = [];
    expect(brokerCodec.decode('', frames, (command) => heard.push(command))).toBeUndefined();
    for (const command of heard) await hear(command, say);
  }
}

const framesOf = (command: Command): Frames => encode(command).frames;

test('the client takes any express from its broker', async () => {
  const router = new Router({ linger: 0, sendHighWaterMark: 0 });
  await router.bind('tcp://127.0.0.1:*');
  let hostile: readonly Frames[] = [];
  const listening = listen(router, async (command, say) => {
    if (command.type === 'hello') await say(framesOf(WELCOME));
    if (command.type !== 'request') return;
    await say(...hostile);
    hostile = [];
    const { number } = command;
    const body = [encodeText('at last')];
    const common = { dialect: 'express', service: '', final: true, body } as const;
    await say(framesOf({ type: 'reply', ...common, number }));
  });
  const client = new MajordomoClient({
    protocol: 'express',
    backoff: 1,
    backoffLimit: 1,
    retries: 100,
  });
  let malformed = 0;
  client.on('malformed', () => malformed++);
  client.connect(router.lastEndpoint!);

  const run = fc.asyncProperty(messagesTo('client'), async (sent) => {
    hostile = sent;
    // Among what is sent may be something that looks like the reply.
    await client.request('good', 'hello').catch(() => undefined);
    hostile = [];
    const reply = await client.request('good', 'hello');
    expect(reply.text()).toBe('at last');
  });
  await fc.assert(run, FROM_A_SEED);
  expect(malformed).toBeGreaterThan(FROM_A_SEED.numRuns);
  await client.close();
  router.close();
  await listening;
});

test('the worker takes any express from its broker', async () => {
  const router = new Router({ linger: 0, sendHighWaterMark: 0 });
  await router.bind('tcp://127.0.0.1:*');
  let hostile: readonly Frames[] = [];
  let number = 1_000_000;
  const ended = new Map<number, (text: string) => void>();
  let greet: (() => Promise<void>) | undefined;
  const listening = listen(router, async (command, say) => {
    if (command.type === 'ready') {
      greet = async () => {
        await say(framesOf(WELCOME), ...hostile);
        hostile = [];
        const body = [encodeText(`marker ${number}`)];
        const common = { dialect: 'express', envelope: [], body, attempt: 1 } as const;
        // After a lie about epochs it takes nothing from this broker, unless that turns out to have none.
        await say(framesOf(WELCOME), framesOf({ type: 'dispatch', ...common, number }));
      };
      await greet();
    }
    if (command.type === 'result') {
      ended.get(command.number ?? -1)?.(command.body.map(decodeText).join());
    }
  });
  const worker = new MajordomoWorker('good', (it) => it.body, {
    protocol: 'express',
    concurrency: 1000,
    reconnectInterval: 1,
    reconnectLimit: 1,
  });
  let malformed = 0;
  worker.on('malformed', () => malformed++);
  worker.connect(router.lastEndpoint!);
  await vi.waitUntil(() => greet !== undefined, { interval: 5 });

  const run = fc.asyncProperty(messagesTo('worker'), async (sent) => {
    number++;
    hostile = sent;
    const result = new Promise<string>((resolve) => ended.set(number, resolve));
    await greet!();
    expect(await result).toBe(`marker ${number}`);
  });
  await fc.assert(run, FROM_A_SEED);
  expect(malformed).toBeGreaterThan(FROM_A_SEED.numRuns);
  await worker.close();
  router.close();
  await listening;
});
