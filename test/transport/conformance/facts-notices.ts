/** Who is told that a connection ended, when, and who is not. */
import { expect } from 'vitest';
import { bindAgain, persist } from './facts-sending.ts';
import { join, numbers, pair, type Peer, type World } from './world.ts';
import type { Facts } from './fact.ts';

/** Milliseconds: far more than a notice takes, far less than any heartbeat does. */
const SOON = 2000;

export const noticeFacts: Facts = {
  'a ROUTER is told that a DEALER closed: once, which one, and after its last messages': async (
    world,
  ) => {
    const { router, dealer, address } = await pair(world);
    const other = await join(world, router, router.endpoint);
    for (const text of numbers(50)) await persist(dealer, '', text);
    dealer.close(1000);
    const closed = world.now();
    await router.misses(address);
    expect(world.now() - closed).toBeLessThan(SOON);
    const own = router.eventsOf(address);
    expect(own.at(-1)).toEqual({ type: 'gone', from: address });
    expect(own.slice(1, -1).map(textOf)).toEqual(numbers(50));
    await other.dealer.send('', 'still here');
    await router.hears('still here');
    expect(router.gone).toEqual([address]);
    await world.untilAsync(
      'the peer to be unroutable',
      async () => (await router.send(address, 'lost')) === 'unroutable',
    );
  },

  'a DEALER is told that its ROUTER closed': async (world) => {
    const { router, dealer } = await pair(world);
    router.close(0);
    await dealer.misses('');
    expect(dealer.events).toEqual([{ type: 'gone', from: '' }]);
  },

  'of what a killed process had sent a prefix arrives, then the notice, then nothing': async (
    world,
  ) => {
    const router = world.open('router');
    const endpoint = await router.bind();
    const talker = world.talker(endpoint);
    await router.hears('20');
    await talker.crash();
    const crashed = world.now();
    await world.until('the notice', () => router.gone.length > 0);
    expect(world.now() - crashed).toBeLessThan(SOON);
    const witness = await join(world, router, endpoint);
    const address = router.addresses.find((from) => from !== witness.address) ?? '';
    const own = router.eventsOf(address);
    expect(own.at(-1)).toEqual({ type: 'gone', from: address });
    const texts = own.slice(0, -1).map(textOf);
    expect(texts).toEqual(numbers(texts.length));
    expect(texts.length).toBeGreaterThan(20);
  },

  'the later of two peers with one routing id takes over, and the other is told nothing': async (
    world,
  ) => {
    const { router, old, usurper } = await twins(world);
    expect(await router.send('twin', 'for whom?')).toBe('sent');
    await usurper.hears('for whom?');
    await usurper.send('', 'mine');
    await router.hears('mine');
    // Had there been anything to tell, it would have come before this.
    const witness = await join(world, router, router.endpoint);
    witness.dealer.close(0);
    await router.misses(witness.address);
    expect(old.events).toEqual([]);
  },

  'a ROUTER is told when a peer comes, and when one comes back under the same routing id: before its first message':
    async (world) => {
      const { router } = await twins(world);
      const types = ['gone', 'message', 'gone', 'message'];
      expect(router.events.map(({ type }) => type)).toEqual(types);
      expect(new Set(router.events.map(({ from }) => from))).toEqual(new Set(['twin']));
    },

  'what the one that was taken over sends is sent, and comes to nothing': async (world) => {
    const { router, old, usurper } = await twins(world);
    expect(await old.sendAll('', numbers(20))).toEqual(Array(20).fill('sent'));
    for (const text of numbers(20, 100)) await persist(usurper, '', text);
    await router.hears('119');
    expect(router.texts.slice(2)).toEqual(numbers(20, 100));
  },

  'what the one that was taken over had sent, and nobody has read, is lost': async (world) => {
    const router = world.open('router', { reads: false });
    const endpoint = await router.bind();
    const open = (): Peer => world.open('dealer', { identity: { routingId: 'twin' } });
    const [old, usurper] = [open(), open()];
    old.connect(endpoint);
    await old.send('', 'unread');
    await world.untilAsync('the first to be known', async () => {
      await router.send('twin', 'who?');
      return old.texts.length > 0;
    });
    usurper.connect(endpoint);
    await world.untilAsync('the second to be known', async () => {
      await router.send('twin', 'who?');
      return usurper.texts.length > 0;
    });
    await usurper.send('', 'mine');
    router.startReading();
    await router.hears('mine');
    expect(router.texts).toEqual(['mine']);
  },

  'of a process that stands still nobody is told, and nothing is lost when it goes on': async (
    world,
  ) => {
    const router = world.open('router');
    const endpoint = await router.bind();
    const talker = world.talker(endpoint);
    await router.hears('20');
    talker.pause();
    const witness = await join(world, router, endpoint);
    witness.dealer.close(0);
    await router.misses(witness.address);
    const before = router.texts.length;
    talker.resume();
    await world.until('more of it', () => router.texts.length > before + 100);
    expect(router.gone).toEqual([witness.address]);
    const address = router.addresses.find((from) => from !== witness.address) ?? '';
    const texts = router.eventsOf(address).map(textOf);
    expect(texts).toEqual(numbers(texts.length));
  },

  'nobody is told when the one that was taken over closes': async (world) => {
    const { router, old, usurper } = await twins(world);
    const before = router.gone;
    old.close(0);
    const witness = await join(world, router, router.endpoint);
    witness.dealer.close(0);
    await router.misses(witness.address);
    await router.send('twin', 'still there?');
    await usurper.hears('still there?');
    expect(router.gone).toEqual([...before, witness.address]);
  },

  'the one that was taken over comes back when the ROUTER is another': async (world) => {
    const { router, old, usurper } = await twins(world);
    usurper.close(0);
    await router.misses('twin', 2);
    await old.send('', 'into the void');
    router.close(0);
    const successor = world.open('router');
    await bindAgain(successor, router.endpoint);
    await world.untilAsync('the old one', async () => {
      await old.send('', 'here again');
      return successor.texts.length > 0;
    });
    expect(successor.addresses).toEqual(['twin']);
    expect(successor.texts[0]).toBe('here again');
    expect(router.gone).toEqual(['twin', 'twin']);
  },

  'to a process that stands still sends are sent, and it reads them when it goes on': async (
    world,
  ) => {
    const listener = await world.listener();
    const dealer = world.open('dealer');
    dealer.connect(listener.endpoint);
    await dealer.send('', 'hello');
    await dealer.hears('welcome');
    listener.pause();
    expect(await dealer.sendAll('', numbers(20))).toEqual(Array(20).fill('sent'));
    const witness = await pair(world);
    witness.dealer.close(0);
    await witness.router.misses(witness.address);
    expect(dealer.events).toHaveLength(1);
    listener.resume();
    await world.until('all the answers', () => dealer.texts.length === 21);
    expect(dealer.gone).toEqual([]);
  },

  'a DEALER is told that its ROUTER was killed, and finds the next one': async (world) => {
    const listener = await world.listener();
    const dealer = world.open('dealer');
    dealer.connect(listener.endpoint);
    await dealer.send('', 'hello');
    await dealer.hears('welcome');
    await listener.crash();
    const crashed = world.now();
    await dealer.misses('');
    expect(world.now() - crashed).toBeLessThan(SOON);
    const successor = world.open('router');
    await bindAgain(successor, listener.endpoint);
    await dealer.send('', 'again');
    await successor.hears('again');
    expect(successor.texts).toEqual(['again']);
  },

  'what looks like a notice is a message': async (world) => {
    const { router, dealer, address } = await pair(world);
    const likeness = [new Uint8Array(1), new Uint8Array(16), new Uint8Array(16).fill(255)];
    for (const frame of likeness) {
      await dealer.send('', frame);
      await router.send(address, frame);
    }
    await dealer.send('', 'end');
    await router.send(address, 'end');
    await router.hears('end');
    await dealer.hears('end');
    expect(router.texts).toHaveLength(1 + likeness.length + 1);
    expect(dealer.texts).toHaveLength(likeness.length + 1);
    expect([...router.gone, ...dealer.gone]).toEqual([]);
  },

  'one empty frame ends the link of the peer that sends it to a ROUTER; from a ROUTER it is a message':
    async (world) => {
      const { router, dealer, address } = await pair(world);
      const other = await join(world, router, router.endpoint);
      await dealer.send('', '');
      await dealer.send('', '', '');
      await router.send(address, '');
      await router.hears('|');
      await dealer.hears('');
      expect(router.eventsOf(address).slice(1)).toEqual([
        { type: 'gone', from: address },
        { type: 'message', from: address, text: ['', ''] },
      ]);
      expect(router.eventsOf(other.address)).toHaveLength(1);
      expect(dealer.gone).toEqual([]);
    },

  'one empty frame is a message without notices': async (world) => {
    const { router, dealer, address } = await pair(world, { notices: false });
    await dealer.send('', '');
    expect(await router.hears('')).toBe(address);
    expect(router.gone).toEqual([]);
  },

  'without notices nobody is told, and a closed peer is unroutable all the same': async (world) => {
    const { router, dealer, address } = await pair(world, { notices: false });
    dealer.close(0);
    await world.untilAsync(
      'the peer to be unroutable',
      async () => (await router.send(address, 'lost')) === 'unroutable',
    );
    await join(world, router, router.endpoint, { notices: false });
    expect(router.gone).toEqual([]);
  },
};

/** Two DEALERs with one routing id, of which the second has been heard. */
async function twins(world: World): Promise<{ router: Peer; old: Peer; usurper: Peer }> {
  const router = world.open('router');
  const endpoint = await router.bind();
  const identity = { routingId: 'twin' };
  const old = await join(world, router, endpoint, { identity });
  const usurper = await join(world, router, endpoint, { identity });
  expect(router.addresses).toEqual(['twin']);
  return { router, old: old.dealer, usurper: usurper.dealer };
}

function textOf(event: Peer['events'][number]): string {
  return event.type === 'message' ? event.text.join('|') : 'gone';
}
