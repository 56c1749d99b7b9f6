/** The zeromq adapter against real sockets. Raw zeromq sockets play the peers that misbehave. */
import { join } from 'node:path';
import { Dealer } from 'zeromq';
import { describe, expect, it, vi } from 'vitest';
import { fromAddress } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import { hasDisconnectNotices, zeromqTransport } from '../../src/transport/zeromq.ts';
import {
  bytesOf,
  cleanUp,
  connected,
  ENDPOINTS,
  failureOf,
  folder,
  open,
  raw,
  start,
  textOf,
} from './peers.ts';

/** Milliseconds in which messages arrive, but nobody looks. */
function occupyThread(duration: number): void {
  const until = performance.now() + duration;
  while (performance.now() < until);
}

describe.each(ENDPOINTS)('over %s', (_name, endpoint) => {
  it('carries messages both ways, frame by frame', async () => {
    const { router, dealer, from } = await connected(endpoint());
    expect(await dealer.send('', 'one', '', 'three')).toBe('sent');
    expect(await router.next()).toEqual({ from, text: ['one', '', 'three'] });
    const large = 'x'.repeat(100_000);
    expect(await router.send(from, '', large)).toBe('sent');
    expect(await dealer.next()).toEqual({ from: '', text: ['', large] });
  });

  it.runIf(hasDisconnectNotices)('gives notice to the router when a dealer closes', async () => {
    const { router, dealer, from } = await connected(endpoint());
    dealer.socket.close(0);
    await vi.waitUntil(() => router.gone.length > 0, { interval: 1 });
    expect(router.gone).toEqual([from]);
    expect(router.received).toHaveLength(1);
  });
});

it.runIf(hasDisconnectNotices).each(ENDPOINTS.filter(([name]) => name !== 'inproc'))(
  'over %s the dealer gets notice when the router closes',
  async (_name, endpoint) => {
    const { router, dealer } = await connected(endpoint());
    router.socket.close(0);
    await vi.waitUntil(() => dealer.gone.length > 0, { interval: 1 });
    expect(dealer.gone).toEqual(['']);
    expect(dealer.received).toEqual([]);
  },
);

describe('addresses', () => {
  it('keep every byte of a routing id', async () => {
    const router = open('router');
    const real = await router.bind('tcp://127.0.0.1:*');
    const everyByte = Buffer.from(Array.from({ length: 255 }, (_, index) => 255 - index));
    const peer = raw(new Dealer());
    Object.assign(peer, { routingId: everyByte });
    peer.connect(real);
    await peer.send('hello');
    const { from } = await router.next();
    expect(fromAddress(from)).toEqual(everyByte);
    expect(await router.send(from, 'back')).toBe('sent');
    expect((await peer.receive()).map(textOf)).toEqual(['back']);
  });

  it('differ for each dealer, and stay the same over a reconnect', async () => {
    const { router, dealer, real, from } = await connected('tcp://127.0.0.1:*');
    const other = open('dealer');
    other.socket.connect(real);
    await other.send('', 'hello');
    expect((await router.next()).from).not.toBe(from);

    router.socket.close(0);
    const successor = open('router');
    await vi.waitFor(() => successor.bind(real), { interval: 5 });
    await dealer.send('', 'again');
    await vi.waitUntil(() => successor.received.length > 0, { interval: 1 });
    expect(successor.received).toContainEqual({ from, text: ['again'] });
  });

  it('that two peers claim belong to the later one', async () => {
    const router = open('router');
    const real = await router.bind('tcp://127.0.0.1:*');
    const twins = [raw(new Dealer()), raw(new Dealer())];
    for (const twin of twins) {
      twin.routingId = 'twin';
      twin.connect(real);
      await twin.send('hello');
      expect((await router.next()).from).toBe('twin');
    }
    expect(await router.send('twin', 'back')).toBe('sent');
    expect((await twins[1]?.receive())?.map(textOf)).toEqual(['back']);
  });

  it('differ after each reconnect without notices, as nobody would be told of it', async () => {
    const { router, dealer, real, from } = await connected('tcp://127.0.0.1:*', { notices: false });
    router.socket.close(0);
    const successor = open('router', { notices: false });
    await vi.waitFor(() => successor.bind(real), { interval: 5 });
    await vi.waitUntil(
      async () => (await dealer.send('', 'again')) === 'sent' && successor.received.length > 0,
      { interval: 5 },
    );
    expect(successor.received[0]?.from).not.toBe(from);
    expect(successor.gone).toEqual([]);
  });

  it('that nobody has are unroutable', async () => {
    const { router, dealer, from } = await connected('tcp://127.0.0.1:*');
    expect(await router.send('nobody', 'x')).toBe('unroutable');
    expect(await router.send('', 'x')).toBe('unroutable');
    dealer.socket.close(0);
    await vi.waitFor(async () => expect(await router.send(from, 'x')).toBe('unroutable'), {
      interval: 1,
    });
  });
});

describe('a peer that does not read', () => {
  it('fills up without holding up others, and all sends of one turn get their own outcome', async () => {
    const { router, dealer, real, from } = await connected('tcp://127.0.0.1:*');
    const deaf = new Dealer();
    deaf.receiveHighWaterMark = 1;
    deaf.routingId = 'deaf';
    raw(deaf).connect(real);
    await deaf.send('hello');
    await router.next();
    const block = new Uint8Array(1 << 20);
    await vi.waitUntil(async () => (await router.send('deaf', block)) === 'full', { interval: 0 });
    const outcomes = await Promise.all([
      router.send('deaf', block),
      router.send(from, 'one'),
      router.send('nobody', 'x'),
      router.send(from, 'two'),
    ]);
    expect(outcomes).toEqual(['full', 'sent', 'unroutable', 'sent']);
    expect((await dealer.next()).text).toEqual(['one']);
    expect((await dealer.next()).text).toEqual(['two']);
  });

  it('is full after sendHighWaterMark messages while nobody is there', async () => {
    const dealer = open('dealer', { sendHighWaterMark: 3 });
    dealer.socket.connect('tcp://127.0.0.1:1');
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => dealer.send('', 'x')));
    expect(outcomes).toEqual(['sent', 'sent', 'sent', 'full']);
  });
});

describe.runIf(hasDisconnectNotices)('disconnect notices', () => {
  const PEER = `
    import { Dealer } from 'zeromq';
    const peer = new Dealer({ routingId: 'child' });
    peer.connect(process.argv[1]);
    await peer.send('hello');
    await peer.receive();`;

  it('come when a process is killed', async () => {
    const router = open('router');
    const child = start(PEER, await router.bind('tcp://127.0.0.1:*'));
    expect((await router.next()).from).toBe('child');
    await child.kill();
    await vi.waitUntil(() => router.gone.length > 0, { interval: 1 });
    expect(router.gone).toEqual(['child']);
  });

  it('cannot be forged: what looks like one, or was one elsewhere, is a message', async () => {
    const { router, dealer, from } = await connected('tcp://127.0.0.1:*');
    const likeness = [new Uint8Array(16), Buffer.alloc(16, 255), new Uint8Array(1)];
    for (const frame of likeness) await dealer.send('', frame);
    for (const frame of likeness)
      expect(await router.next()).toEqual({ from, text: [textOf(bytesOf(frame))] });
    expect(router.gone).toEqual([]);
  });

  // libzmq counts what was read, notices too, every 500 messages: see `chooseReceiveLimit`.
  it('leave the dealer able to hear, however many messages come after one', async () => {
    const { router, dealer, real } = await connected('tcp://127.0.0.1:*');
    router.socket.close(0);
    await vi.waitUntil(() => dealer.gone.length > 0, { interval: 1 });
    const next = open('router');
    await next.bind(real);
    await dealer.send('', 'here again');
    const { from } = await next.next();
    for (let count = 0; count < 600; count++) {
      expect(await next.send(from, String(count))).toBe('sent');
      expect(await dealer.next()).toEqual({ from: '', text: [String(count)] });
    }
  });

  it('are never sent to a peer', async () => {
    const router = open('router');
    const real = await router.bind('tcp://127.0.0.1:*');
    const peer = raw(new Dealer());
    peer.connect(real);
    await peer.send('hello');
    router.socket.close(0);
    peer.receiveTimeout = 100;
    await expect(peer.receive()).rejects.toMatchObject({ code: 'EAGAIN' });
  });

  it('come before the messages of a peer that took a routing id over while nobody read', async () => {
    const events: string[] = [];
    const socket = zeromqTransport().open('router', {
      onMessage: (_from, frames) => events.push(frames.map(textOf).join('|')),
      onPeerGone: (from) => events.push(`${from} is gone`),
    });
    cleanUp.push(() => socket.close(0));
    const real = await new Promise<string>((resolve) => {
      socket.bind('tcp://127.0.0.1:*', (_error, endpoint) => resolve(endpoint));
    });
    for (const text of ['old', 'new']) {
      const before = events.length;
      const twin = raw(new Dealer({ routingId: 'twin' }));
      twin.connect(real);
      await twin.send(text);
      occupyThread(30);
      await vi.waitUntil(() => events.length >= before + 2, { interval: 1 });
    }
    expect(events).toEqual(['twin is gone', 'old', 'twin is gone', 'new']);
  });

  it('do not come with notices: false', async () => {
    const { router, dealer, from } = await connected('tcp://127.0.0.1:*', { notices: false });
    dealer.socket.close(0);
    await vi.waitFor(async () => expect(await router.send(from, 'x')).toBe('unroutable'), {
      interval: 1,
    });
    expect(router.gone).toEqual([]);
    expect(router.received).toHaveLength(1);
  });
});

describe('the receive loop', () => {
  it('lets timers run under a flood', async () => {
    const router = open('router');
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    cleanUp.push(() => clearInterval(timer));
    start(
      `import { Dealer } from 'zeromq';
       const peer = new Dealer({ sendHighWaterMark: 0 });
       peer.connect(process.argv[1]);
       for (;;) await peer.send('x');`,
      await router.bind('tcp://127.0.0.1:*'),
    );
    await router.next();
    ticks = 0;
    const before = router.received.length;
    await vi.waitUntil(() => router.received.length > before + 50_000, { timeout: 20_000 });
    expect(ticks).toBeGreaterThan(10);
  });

  // Without lookAgain() each of these stalls for good: the message is there and nobody looks.
  it.each(['bind', 'connect'] as const)('goes on when %s swallows the signal', async (method) => {
    const { router, dealer } = await connected('tcp://127.0.0.1:*');
    for (let round = 0; round < 5; round++) {
      await new Promise(setImmediate);
      const sent = dealer.send('', String(round));
      occupyThread(20);
      const endpoint = `inproc://swallow-${method}-${Math.random()}`;
      if (method === 'bind') await router.bind(endpoint);
      else router.socket.connect(endpoint);
      expect(await sent).toBe('sent');
      expect((await router.next()).text).toEqual([String(round)]);
    }
  });

  it('disconnects a peer whose frame is larger than maxMessageSize', async () => {
    const { router, dealer, from } = await connected('tcp://127.0.0.1:*', { maxMessageSize: 1000 });
    await dealer.send('', 'x'.repeat(1000));
    expect((await router.next()).text).toEqual(['x'.repeat(1000)]);
    await dealer.send('', 'x'.repeat(1001));
    await dealer.send('', 'after');
    await vi.waitUntil(() => !hasDisconnectNotices || router.gone.includes(from), { interval: 1 });
    expect(router.received.filter(({ text }) => text[0]?.length === 1001)).toEqual([]);
  });
});

describe('close', () => {
  it('ends all callbacks of the handler, even for what has arrived already', async () => {
    const { router, dealer } = await connected('tcp://127.0.0.1:*');
    await new Promise(setImmediate);
    const sent = dealer.send('', 'late');
    occupyThread(20);
    router.socket.close(0);
    expect(await sent).toBe('sent');
    await vi.waitUntil(() => !hasDisconnectNotices || dealer.gone.length > 0, { interval: 1 });
    expect(router.received).toHaveLength(1);
    expect(router.gone).toEqual([]);
  });

  it('makes every later call harmless', async () => {
    const { router, from } = await connected('tcp://127.0.0.1:*');
    router.socket.close(0);
    router.socket.close(0);
    router.socket.connect('tcp://127.0.0.1:1');
    expect(await router.send(from, 'x')).toBe('closed');
    expect(await failureOf(router.bind('tcp://127.0.0.1:*'))).toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('from inside a handler stops the messages behind', async () => {
    const seen: Frames[] = [];
    const router = zeromqTransport().open('router', {
      onMessage: (_from, frames) => {
        seen.push(frames);
        router.close(0);
      },
      // Told that the peer has come, before its first message, it has not closed yet.
      onPeerGone: () => void (seen.length > 0 && seen.push([])),
    });
    const real = await new Promise<string>((resolve) => {
      router.bind('tcp://127.0.0.1:*', (_error, endpoint) => resolve(endpoint));
    });
    const dealer = open('dealer');
    dealer.socket.connect(real);
    await Promise.all([1, 2, 3].map(() => dealer.send('', 'x')));
    await vi.waitUntil(() => seen.length > 0, { interval: 1 });
    if (hasDisconnectNotices) await vi.waitUntil(() => dealer.gone.length > 0, { interval: 1 });
    expect(seen).toHaveLength(1);
  });

  it('during a bind leaves the path to others', async () => {
    const endpoint = `ipc://${join(folder(), 'socket')}`;
    const router = open('router');
    const failure = failureOf(router.bind(endpoint));
    router.socket.close(0);
    expect(await failure).toMatchObject({ code: 'ERR_CLOSED' });
    expect(await open('router').bind(endpoint)).toBe(endpoint);
  });

  it('lets a farewell leave within its linger', async () => {
    const { router, dealer, from } = await connected('tcp://127.0.0.1:*');
    dealer.socket.send('', [bytesOf('goodbye')], () => undefined);
    dealer.socket.close(1000);
    expect(await router.next()).toEqual({ from, text: ['goodbye'] });
  });
});

describe('options', () => {
  it.each([
    [{ maxMessageSize: 0 }, 'ERR_INVALID_OPTION'],
    [{ maxMessageSize: Number.MAX_SAFE_INTEGER }, 'ERR_INVALID_OPTION'],
    [{ sendHighWaterMark: 1.5 }, 'ERR_INVALID_OPTION'],
    [{ slowestReconnect: 9 }, 'ERR_INVALID_OPTION'],
    [{ heartbeat: true }, 'ERR_UNKNOWN_OPTION'],
  ])('%j is refused', (options, code) => {
    expect(() => Reflect.apply(zeromqTransport, undefined, [options])).toThrow(
      expect.objectContaining({ code }),
    );
  });
});
