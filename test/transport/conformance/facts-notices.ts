/** Who is told that a connection ended, when, and who is not. */
import { expect } from 'vitest';
import { persist } from './facts-sending.ts';
import { join, numbers, pair, type Peer, type World } from './world.ts';
import type { Facts } from './fact.ts';

export const noticeFacts: Facts = {
  'a ROUTER is told that a DEALER closed: once, which one, and after its last messages': async (
    world,
  ) => {
    const { router, dealer, address } = await pair(world);
    const other = await join(world, router, router.endpoint);
    for (const text of numbers(50)) await persist(dealer, '', text);
    dealer.close(1000);
    await router.misses(address);
    const own = router.events.filter(({ from }) => from === address);
    expect(own.at(-1)).toEqual({ type: 'gone', from: address });
    expect(own.slice(1, -1).map(textOf)).toEqual(numbers(50));
    await other.dealer.send('', 'still here');
    await router.hears('still here');
    expect(router.gone).toEqual([address]);
    expect(await router.send(address, 'lost')).toBe('unroutable');
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
    await world.until('the notice', () => router.gone.length > 0);
    const witness = await join(world, router, endpoint);
    const own = router.events.filter(({ from }) => from !== witness.address);
    expect(own.at(-1)).toEqual({ type: 'gone', from: router.addresses[0] });
    const texts = own.slice(0, -1).map(textOf);
    expect(texts).toEqual(numbers(texts.length));
    expect(texts.length).toBeGreaterThan(20);
  },

  'the later of two peers with one routing id takes over; the other is told nothing, and nobody of it':
    async (world) => {
      const { router, old, usurper } = await twins(world);
      expect(await old.send('', 'into the void')).toBe('sent');
      expect(await router.send('twin', 'for whom?')).toBe('sent');
      await usurper.hears('for whom?');
      await usurper.send('', 'mine');
      await router.hears('mine');
      // Had there been anything to tell, it would have come before this.
      const witness = await join(world, router, router.endpoint);
      witness.dealer.close(0);
      await router.misses(witness.address);
      expect(router.gone).toEqual([witness.address]);
      expect(router.texts).not.toContain('into the void');
      expect(old.events).toEqual([]);
    },

  'nobody is told when the one that was taken over closes': async (world) => {
    const { router, old, usurper } = await twins(world);
    old.close(0);
    const witness = await join(world, router, router.endpoint);
    witness.dealer.close(0);
    await router.misses(witness.address);
    await router.send('twin', 'still there?');
    await usurper.hears('still there?');
    expect(router.gone).toEqual([witness.address]);
  },

  'what looks like a notice is a message': async (world) => {
    const { router, dealer, address } = await pair(world);
    const likeness = [new Uint8Array(0), new Uint8Array(16), new Uint8Array(16).fill(255)];
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
