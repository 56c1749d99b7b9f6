/** What closing does to messages, endpoints and callbacks. */
import { expect } from 'vitest';
import { bindAgain, fill, MARK, persist } from './facts-sending.ts';
import { join, numbers, pair, wired } from './world.ts';
import type { Facts } from './fact.ts';

export const closingFacts: Facts = {
  'close without linger drops what has not left': async (world) => {
    const endpoint = await world.vacantEndpoint();
    const [dropped, kept] = [world.open('dealer'), world.open('dealer')];
    for (const dealer of [dropped, kept]) dealer.connect(endpoint);
    expect(await dropped.send('', 'dropped')).toBe('sent');
    expect(await kept.send('', 'kept')).toBe('sent');
    dropped.close(0);
    // Closing goes on behind the scenes: it is over when sockets opened later have talked.
    const other = world.open('router');
    const elsewhere = await other.bind();
    for (let talk = 0; talk < 3; talk++) await join(world, other, elsewhere);
    const router = world.open('router');
    await router.bind(endpoint);
    await router.hears('kept');
    await join(world, router, endpoint);
    expect(router.texts).not.toContain('dropped');
  },

  'close with linger lets it leave, even to a binder that comes later': async (world) => {
    const endpoint = await world.vacantEndpoint();
    const dealer = world.open('dealer');
    dealer.connect(endpoint);
    expect(await dealer.sendAll('', numbers(10))).toEqual(Array(10).fill('sent'));
    dealer.close(10_000);
    const router = world.open('router');
    await router.bind(endpoint);
    await router.hears('9');
    expect(router.texts).toEqual(numbers(10));
  },

  'close with linger drops what has not left when it is over': async (world) => {
    const endpoint = await world.vacantEndpoint();
    const [dropped, kept] = [world.open('dealer'), world.open('dealer')];
    for (const dealer of [dropped, kept]) dealer.connect(endpoint);
    await dropped.send('', 'dropped');
    await kept.send('', 'kept');
    dropped.close(50);
    const closed = world.now();
    await world.until('the end of its linger', () => world.now() > closed + 500);
    const router = world.open('router');
    await router.bind(endpoint);
    await router.hears('kept');
    await join(world, router, endpoint);
    expect(router.texts).not.toContain('dropped');
  },

  'the farewells of a ROUTER reach their peers': async (world) => {
    const { router, dealer, address } = await pair(world);
    const other = await join(world, router, router.endpoint);
    for (const text of numbers(10)) {
      await persist(router, address, text);
      await persist(router, other.address, text);
    }
    router.close(1000);
    await dealer.hears('9');
    await other.dealer.hears('9');
    expect([dealer.texts, other.dealer.texts]).toEqual([numbers(10), numbers(10)]);
  },

  'after close nothing is called back: no message, no notice': async (world) => {
    const { router, dealer, address } = await pair(world);
    const other = await join(world, router, router.endpoint);
    const before = [router.events.length, dealer.events.length];
    const sending = [dealer.send('', 'late'), router.send(address, 'late')];
    router.close(0);
    dealer.close(0);
    await Promise.all(sending);
    // The other DEALER finds a successor: by then the late ones would have come.
    const successor = world.open('router');
    await successor.bind();
    await join(world, successor, successor.endpoint);
    other.dealer.close(0);
    expect([router.events.length, dealer.events.length]).toEqual(before);
  },

  'a socket that lingers sends what it has, and hears nothing more': async (world) => {
    const options = { highWaterMark: MARK };
    const { router, dealer } = await pair(world, options);
    const deaf = world.open('dealer', { ...options, reads: false });
    deaf.connect(router.endpoint);
    await deaf.send('', 'deaf');
    const accepted = await fill(router, await router.hears('deaf'));
    const before = router.events.length;
    router.close(10_000);
    await dealer.send('', 'late');
    // As long as two others take to find each other and to talk, so that it has surely come.
    await pair(world);
    deaf.startReading();
    await world.until('all that it had sent', () => deaf.texts.length === accepted);
    expect(router.events).toHaveLength(before);
  },

  'after close a send is closed, and closing again is harmless': async (world) => {
    const { router, dealer, address } = await pair(world);
    for (const peer of [router, dealer]) {
      peer.close(0);
      peer.close(0);
    }
    expect(await router.send(address, 'late')).toBe('closed');
    expect(await dealer.send('', 'late')).toBe('closed');
  },

  'a closed socket cannot bind': async (world) => {
    const router = world.open('router');
    router.close(0);
    const failure = await router.bind().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'ERR_CLOSED' });
  },

  'an endpoint in use cannot be bound, and whoever has it keeps it': async (world) => {
    const { router, address, dealer } = await pair(world);
    const failure = await world
      .open('router')
      .bind(router.endpoint)
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'ERR_ADDRESS_IN_USE', endpoint: router.endpoint });
    await join(world, router, router.endpoint);
    expect(await router.send(address, 'still here')).toBe('sent');
    await dealer.hears('still here');
  },

  'an endpoint is free after close': async (world) => {
    const { router } = await pair(world);
    router.close(0);
    const successor = world.open('router');
    await bindAgain(successor, router.endpoint);
    const { dealer, address } = await join(world, successor, router.endpoint);
    expect(await successor.send(address, 'welcome')).toBe('sent');
    await dealer.hears('welcome');
  },

  'what arrived at a ROUTER that closes is lost, although it was sent': async (world) => {
    const { router, dealer, wire, address } = await wired(world);
    wire.hold('up');
    expect(await dealer.send('', 'lost')).toBe('sent');
    await world.until('a message on the wire', () => wire.holdsSomething());
    router.close(0);
    wire.release();
    await dealer.misses('');
    const successor = world.open('router');
    await bindAgain(successor, router.endpoint);
    await persist(dealer, '', 'after');
    expect(await successor.hears('after')).toBe(address);
    expect(successor.texts).toEqual(['after']);
  },
};
