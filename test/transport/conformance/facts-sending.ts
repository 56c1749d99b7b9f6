/** What messages go through on a connection that nothing happens to. */
import { expect } from 'vitest';
import type { SendOutcome } from '../../../src/transport/transport.ts';
import { join, numbers, pair, type Peer } from './world.ts';
import type { Facts } from './fact.ts';

/** Larger than what the buffers of an operating system take, after a few. */
const BLOCK = new Uint8Array(2 ** 18).fill(120);

/** A small high-water mark, in messages. */
export const MARK = 4;

export const sendingFacts: Facts = {
  'a multipart message arrives whole, frame by frame, both ways': async (world) => {
    const { router, dealer, address } = await pair(world);
    await dealer.send('', 'one', '', 'three', '');
    await router.hears('one||three|');
    await router.send(address, '', 'two', 'x'.repeat(100_000));
    await dealer.hears(`|two|${'x'.repeat(100_000)}`);
    expect(router.events.at(-1)).toMatchObject({ from: address, text: ['one', '', 'three', ''] });
    expect(dealer.events.at(-1)).toMatchObject({ from: '' });
  },

  'every message of a connection arrives once and in its order, both ways at once': async (
    world,
  ) => {
    const { router, dealer, address } = await pair(world);
    const texts = numbers(500);
    for (const text of texts) {
      await persist(dealer, '', text);
      await persist(router, address, text);
    }
    await router.hears('499');
    await dealer.hears('499');
    expect(router.texts.slice(1)).toEqual(texts);
    expect(dealer.texts).toEqual(texts);
  },

  'the frames of several peers are never mixed, and each keeps its order': async (world) => {
    const { router, dealer, address } = await pair(world);
    const other = await join(world, router, router.endpoint);
    for (const text of numbers(100)) {
      await persist(dealer, '', text);
      await persist(other.dealer, '', text);
    }
    const textsOf = (from: string): string[] =>
      router.events.flatMap((event) =>
        event.type === 'message' && event.from === from ? event.text : [],
      );
    await world.until('all 202 messages', () => router.texts.length === 202);
    expect(textsOf(address).slice(1)).toEqual(numbers(100));
    expect(textsOf(other.address).slice(1)).toEqual(numbers(100));
  },

  'each DEALER has an address of its own, which leads to it alone': async (world) => {
    const { router, dealer, address } = await pair(world);
    const other = await join(world, router, router.endpoint);
    expect(other.address).not.toBe(address);
    await router.send(address, 'first');
    await router.send(other.address, 'second');
    await other.dealer.hears('second');
    await dealer.hears('first');
    expect([dealer.texts, other.dealer.texts]).toEqual([['first'], ['second']]);
  },

  'a ROUTER hears all the endpoints that it has bound': async (world) => {
    const router = world.open('router');
    const first = await router.bind();
    const second = await router.bind();
    expect(second).not.toBe(first);
    const peers = [await join(world, router, first), await join(world, router, second)];
    for (const [index, { dealer, address }] of peers.entries()) {
      expect(await router.send(address, `for ${index}`)).toBe('sent');
      await dealer.hears(`for ${index}`);
    }
  },

  'sends before the binder exists wait, up to the high-water mark, and arrive in their order':
    async (world) => {
      const endpoint = await world.vacantEndpoint();
      const dealer = world.open('dealer', { highWaterMark: MARK });
      dealer.connect(endpoint);
      const outcomes = await dealer.sendAll('', numbers(MARK + 2));
      expect(outcomes).toEqual([...Array(MARK).fill('sent'), 'full', 'full']);
      const router = world.open('router');
      await router.bind(endpoint);
      await router.hears(String(MARK - 1));
      await persist(dealer, '', 'after');
      await router.hears('after');
      expect(router.texts).toEqual([...numbers(MARK), 'after']);
    },

  'a ROUTER cannot send to a peer that it does not know, and others are unaffected': async (
    world,
  ) => {
    const { router, dealer, address } = await pair(world);
    expect(await router.send('nobody', 'lost')).toBe('unroutable');
    expect(await router.send(address, 'kept')).toBe('sent');
    expect(await router.send('', 'lost')).toBe('unroutable');
    await dealer.hears('kept');
    expect(dealer.texts).toEqual(['kept']);
  },

  'a peer that does not read is full, while others are unaffected': async (world) => {
    const options = { highWaterMark: MARK };
    const { router, dealer, address } = await pair(world, options);
    const deaf = world.open('dealer', { ...options, reads: false });
    deaf.connect(router.endpoint);
    await deaf.send('', 'deaf');
    const deafAddress = await router.hears('deaf');
    const accepted = await fill(router, deafAddress);
    expect(accepted).toBeGreaterThanOrEqual(MARK);
    expect(await router.send(deafAddress, 'more')).toBe('full');
    expect(await router.send(address, 'hello')).toBe('sent');
    await dealer.hears('hello');
    expect(await router.send(deafAddress, 'more')).toBe('full');
  },

  'nothing is lost to a DEALER that stops reading: it gets all that was sent, then has room':
    async (world) => {
      const options = { highWaterMark: MARK };
      const router = world.open('router', options);
      const deaf = world.open('dealer', { ...options, reads: false });
      deaf.connect(await router.bind());
      await deaf.send('', 'deaf');
      const address = await router.hears('deaf');
      const accepted = await fill(router, address);
      deaf.startReading();
      await world.until('all of it', () => deaf.events.length === accepted);
      await persist(router, address, 'after');
      await deaf.hears('after');
      expect(leading(deaf)).toEqual([...numbers(accepted), 'after']);
    },

  'nothing is lost to a ROUTER that stops reading: a DEALER is full, then goes on': async (
    world,
  ) => {
    const options = { highWaterMark: MARK };
    const deaf = world.open('router', { ...options, reads: false });
    const dealer = world.open('dealer', options);
    dealer.connect(await deaf.bind());
    const accepted = await fill(dealer, '');
    expect(accepted).toBeGreaterThanOrEqual(MARK);
    deaf.startReading();
    await world.until('all of it', () => leading(deaf).length === accepted);
    await persist(dealer, '', 'after');
    await deaf.hears('after');
    expect(leading(deaf)).toEqual([...numbers(accepted), 'after']);
  },
};

/** Sends until it is not full any more. */
export async function persist(peer: Peer, to: string, ...frames: string[]): Promise<void> {
  let outcome: SendOutcome = 'full';
  await peer.world.untilAsync('room at a peer', async () => {
    outcome = await peer.send(to, ...frames);
    return outcome !== 'full';
  });
  expect(outcome).toBe('sent');
}

/** Binds an endpoint that was closed a moment ago: the operating system may still hold it. */
export async function bindAgain(router: Peer, endpoint: string): Promise<void> {
  await router.world.untilAsync(`${endpoint} to be free`, () =>
    router.bind(endpoint).then(
      () => true,
      () => false,
    ),
  );
}

/** Sends large numbered messages until they are refused for good, and returns how many were not. */
export async function fill(peer: Peer, to: string): Promise<number> {
  let accepted = 0;
  let refusals = 0;
  // Room comes back for as long as the connection fills its buffers.
  await peer.world.untilAsync('a peer to be full', async () => {
    const outcome = await peer.send(to, String(accepted), BLOCK);
    if (outcome === 'sent') {
      accepted++;
      refusals = 0;
    } else {
      expect(outcome).toBe('full');
      refusals++;
    }
    return refusals === 50;
  });
  return accepted;
}

/** The first frame of each message. */
export function leading(peer: Peer): string[] {
  return peer.events.flatMap((event) => (event.type === 'message' ? [event.text[0] ?? ''] : []));
}
