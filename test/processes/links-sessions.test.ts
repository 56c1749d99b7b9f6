/**
 * What a broken link means to those who live: sessions go on, and what was lost is asked again. Of
 * clients, and of losses without a notice, this is stock MDP: see `express-links.test.ts` for the other.
 */
import { describe, expect, test } from 'vitest';
import type { ClientOptions } from '../../src/index.ts';
import { hasDisconnectNotices } from '../../src/transport/zeromq.ts';
import { Gate } from './gate.ts';
import { loseOn } from './link-faults.ts';
import { Links, Traffic, until, type LinkedClient, type LinkedWorker } from './links.ts';

/** Bytes that a DEALER of ours says before its first message, by ZMTP 3: greeting and READY. */
const HANDSHAKE = 64 + 59;

/** Resets of one test. */
const TRIALS = 15;

/** Waits for what was asked of the gate, and takes note of how it ended. */
async function askGate(client: LinkedClient): Promise<string> {
  return (await client.shell.request('gate', 'let me in')).text();
}

/** Breaks the link in mid-request, waits until it is back, and lets the request end. */
async function resetInMidRequest(links: Links, worker: LinkedWorker, gate: Gate): Promise<void> {
  const { proxy } = worker;
  const { arrived } = gate;
  const reply = askGate(links.clients[0]!);
  await until(() => gate.arrived > arrived);
  const { accepted, bytesUp } = proxy.counters;
  const lost = links.of('workerLost').length;
  expect(proxy.reset()).toBe(1);
  const isLost = (): boolean => links.of('workerLost').length > lost;
  const isBack = (): boolean =>
    proxy.counters.accepted > accepted && proxy.counters.bytesUp > bytesUp + HANDSHAKE;
  await until(() => isLost() || isBack());
  // The loss may also be noticed only now: then the request comes a second time.
  let isOver = false;
  void reply.finally(() => (isOver = true)).catch(() => undefined);
  await until(() => {
    gate.open();
    return isOver;
  });
  expect(await reply).toBe('through');
}

async function run(links: Links): Promise<{ executions: number }> {
  const gate = new Gate();
  const worker = await links.startWorker(gate.pass, 'gate');
  await links.startClient();
  for (let trial = 0; trial < TRIALS; trial++) await resetInMidRequest(links, worker, gate);
  await links.rest();
  expect(links.broker.status().requests).toMatchObject({ accepted: TRIALS, replied: TRIALS });
  expect(worker.proxy.counters.reset).toBe(TRIALS);
  return { executions: gate.arrived };
}

/** Two workers and a client that nobody tells that a link broke. */
async function withoutNotices(client: ClientOptions = {}): Promise<Links> {
  const links = await Links.open({ dialect: 'mdp0.2', transport: { notices: false }, client });
  for (let count = 0; count < 2; count++) await links.startWorker();
  await links.startClient();
  // The lane is open before anything happens to it.
  await links.ask(links.clients[0]!, 10);
  return links;
}

/** One worker that holds what it is given, and a client with more requests than that. */
async function startQueue(
  count: number,
): Promise<{ links: Links; gate: Gate; replies: Promise<string[]> }> {
  const links = await Links.open({
    dialect: 'mdp0.1',
    broker: { attemptTimeout: 5000 },
    client: { attemptTimeout: 5000, drainTimeout: 0 },
  });
  const gate = new Gate();
  await links.startWorker(gate.pass, 'gate');
  const client = await links.startClient();
  const replies = Promise.all(Array.from({ length: count }, () => askGate(client)));
  await until(() => gate.arrived === 1 && links.broker.status().queued === count - 1);
  return { links, gate, replies };
}

describe.each(['express', 'mdp0.2'] as const)(
  'a reset of the link of a busy %s worker',
  (dialect) => {
    // Where there are notices the address is stable; without, each connection has another one.
    test.runIf(hasDisconnectNotices)(
      'the same session goes on, and its execution answers',
      async () => {
        const links = await Links.open({ dialect, broker: { noticeGrace: 200 } });
        expect(await run(links)).toEqual({ executions: TRIALS });
        expect(links.of('workerReady')).toHaveLength(1);
        expect(links.of('workerLost')).toEqual([]);
        expect(links.of('requestRequeued')).toEqual([]);
      },
    );

    test('the default grace of 30 ms is enough for most, and the others are run again', async () => {
      const links = await Links.open({ dialect });
      const { executions } = await run(links);
      const requeued = links.of('requestRequeued').length;
      expect(executions).toBe(TRIALS + requeued);
      expect(links.of('workerLost')).toHaveLength(requeued);
      expect(requeued).toBeLessThan(hasDisconnectNotices ? TRIALS / 2 : 1);
    });
  },
);

describe('losses that nobody is told of', () => {
  test.each([
    { what: 'a request', way: 'up', handled: 1 },
    { what: 'a reply', way: 'down', handled: 2 },
  ] as const)("$what on the client's link: its try times out", async ({ way, handled }) => {
    const links = await withoutNotices();
    await loseOn(links, 'clients', way);
    expect(links.clients[0]!.told.filter(({ type }) => type === 'retry')).toHaveLength(1);
    expect(await links.judge()).toMatchObject({
      replied: 2,
      repeated: handled - 1,
      violations: [],
    });
  });

  test.each([
    { what: 'a request', way: 'down', handled: 1 },
    { what: 'a reply', way: 'up', handled: 2 },
  ] as const)("$what on the worker's link: its session is lost", async ({ way, handled }) => {
    const links = await withoutNotices({ attemptTimeout: 5000 });
    await loseOn(links, 'workers', way);
    // It came back under another address, so that the old one has gone or falls silent.
    const reason = expect.stringMatching(/^(gone|expired)$/);
    expect(links.of('workerLost')).toMatchObject([{ reason, held: true }]);
    expect(links.of('requestRequeued')).toHaveLength(1);
    expect(await links.judge()).toMatchObject({
      replied: 2,
      repeated: handled - 1,
      violations: [],
    });
  });

  test('resets under load: no request hangs', async () => {
    const links = await withoutNotices();
    await links.startClient();
    const traffic = new Traffic(links, () => 500);
    for (let round = 0; round < 6; round++) {
      await traffic.progress(2);
      for (const proxy of links.proxies) proxy.reset();
    }
    await traffic.progress(2);
    await traffic.stop();
    const report = await links.judge();
    expect(report).toMatchObject({ replied: report.requested, failed: {}, violations: [] });
  });
});

describe('clients whose links are reset', () => {
  test.runIf(hasDisconnectNotices)('gone for good: what they had queued is dropped', async () => {
    const { links, gate, replies } = await startQueue(4);
    const [client] = links.clients;
    client!.proxy.refuse();
    const outcome = replies.catch((error: unknown) => error);
    expect(client!.proxy.reset()).toBe(4);
    await until(() => links.of('requestCancelled').length === 3);
    expect(links.broker.status()).toMatchObject({ queued: 0, queuedBytes: 0, inFlight: 1 });
    links.expectConserved();
    // What runs is not run again for nobody, and its worker is free when it is done.
    gate.open();
    await links.rest();
    expect(gate.arrived).toBe(1);
    expect(links.broker.status().requests).toMatchObject({ replied: 1, cancelled: 3 });
    const closed = client!.shell.close();
    expect(await outcome).toMatchObject({ code: 'ERR_CANCELLED' });
    await closed;
  });

  test('back under their address, again and again: what runs is answered', async () => {
    const { links, gate, replies } = await startQueue(1);
    await links.startWorker();
    const { proxy, told } = links.clients[0]!;
    for (let round = 0; round < 8; round++) {
      const { accepted, bytesUp } = proxy.counters;
      const count = proxy.reset({ side: round % 2 === 0 ? 'both' : 'client' });
      expect(count).toBeGreaterThan(0);
      await until(() => proxy.counters.accepted === accepted + count);
      await until(() => proxy.counters.bytesUp >= bytesUp + count * HANDSHAKE);
      // What is answered after this handshake over another lane shows that this one is over too.
      await links.ask(links.clients[0]!, 100);
    }
    const { bytesDown } = proxy.counters;
    gate.open();
    expect(await replies).toEqual(['through']);
    expect(proxy.counters.bytesDown).toBeGreaterThan(bytesDown);
    expect(gate.arrived).toBe(1);
    expect(told.filter(({ type }) => type === 'retry')).toEqual([]);
    expect(links.broker.status().requests).toMatchObject({ accepted: 9, replied: 9, cancelled: 0 });
  });
});
