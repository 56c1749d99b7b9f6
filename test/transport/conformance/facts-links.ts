/** What breaking connections does to messages, addresses and sends. */
import { expect } from 'vitest';
import { bindAgain, fill, leading, MARK, persist } from './facts-sending.ts';
import { join, numbers, pair, wired, type Event } from './world.ts';
import type { Facts } from './fact.ts';

const RESETS = 5;
const BURST = 20;

export const linkFacts: Facts = {
  'resets make gaps: every send is sent, nothing comes twice or out of order, the ROUTER is told, and the address stays':
    async (world) => {
      const { router, dealer, wire, address } = await wired(world);
      let sent = 0;
      for (let round = 0; round < RESETS; round++) {
        wire.hold();
        for (const text of numbers(BURST, sent)) expect(await dealer.send('', text)).toBe('sent');
        sent += BURST;
        await world.until('messages on the wire', () => wire.holdsSomething());
        expect(wire.reset()).toBe(1);
        wire.release();
        await persist(dealer, '', `round ${round}`);
        await router.hears(`round ${round}`);
      }
      expect(router.addresses).toEqual([address]);
      const heard = router.texts.filter((text) => /^\d+$/.test(text)).map(Number);
      expect(heard).toEqual([...new Set(heard)].toSorted((a, b) => a - b));
      const gaps = numbers(sent).filter(
        (_, index) => !heard.includes(index) && (index === 0 || heard.includes(index - 1)),
      );
      expect(sent - heard.length).toBeGreaterThanOrEqual(RESETS);
      expect(gaps.length).toBeGreaterThan(0);
      expect(gaps.length).toBeLessThanOrEqual(RESETS);
      expect(untoldGaps(router.eventsOf(address))).toEqual([]);
    },

  'a ROUTER is told of each gap before what comes after it, though nobody read while the link broke':
    async (world) => {
      const router = world.open('router');
      await router.bind();
      world.stumbler(router);
      await world.until('its first messages', () => router.events.length > 20);
      for (let round = 0; round < 20; round++) {
        const before = router.events.length;
        world.block(router, 30);
        await world.until('more of it', () => router.events.length > before + 1);
      }
      // Its own port may have been another test's a moment ago, whose peers still knock.
      const heard = router.addresses.map((address) => router.eventsOf(address));
      const events = heard.toSorted((one, other) => other.length - one.length)[0] ?? [];
      expect(untoldGaps(events)).toEqual([]);
      expect(gapsOf(events).length).toBeGreaterThan(0);
    },

  'without notices nobody is told of a reset: a DEALER has another address after it': async (
    world,
  ) => {
    const { router, dealer, wire, address } = await wired(world, { notices: false });
    wire.reset();
    await world.untilAsync('a message after the reset', async () => {
      await dealer.send('', 'back');
      return router.texts.includes('back');
    });
    expect(router.addresses).toHaveLength(2);
    expect(router.addresses[0]).toBe(address);
    expect([...router.gone, ...dealer.gone]).toEqual([]);
  },

  'an automatic identity is another one after each reset': async (world) => {
    const { router, dealer, wire } = await wired(world, { identity: 'automatic' });
    for (let round = 1; round <= RESETS; round++) {
      wire.reset();
      await world.untilAsync('a message after the reset', async () => {
        await dealer.send('', `round ${round}`);
        return router.texts.includes(`round ${round}`);
      });
    }
    expect(router.addresses).toHaveLength(RESETS + 1);
  },

  'what a ROUTER had sent before a reset is gone, the peer unroutable until it is back': async (
    world,
  ) => {
    const { router, dealer, wire, address } = await wired(world);
    wire.hold();
    const outcomes = await router.sendAll(address, numbers(BURST));
    expect(outcomes).toEqual(Array(BURST).fill('sent'));
    await world.until('messages on the wire', () => wire.holdsSomething());
    wire.reset();
    await router.misses(address);
    await world.untilAsync(
      'the peer to be unroutable',
      async () => (await router.send(address, 'too early')) === 'unroutable',
    );
    wire.release();
    await dealer.send('', 'back');
    expect(await router.hears('back')).toBe(address);
    expect(await router.send(address, 'after')).toBe('sent');
    await dealer.hears('after');
    expect(dealer.texts).toEqual(['after']);
  },

  'a reset is told to both sides, to the DEALER once; the ROUTER is told again when the peer is back':
    async (world) => {
      const { router, dealer, wire, address } = await wired(world);
      wire.hold();
      wire.reset();
      await Promise.all([router.misses(address), dealer.misses('')]);
      expect(router.gone).toEqual([address]);
      wire.release();
      await router.misses(address, 2);
      await dealer.send('', 'back');
      await router.hears('back');
      expect(router.gone).toEqual([address, address]);
      expect(dealer.gone).toEqual(['']);
    },

  'a message cut in its middle does not arrive at all, and those behind it do': async (world) => {
    const { router, dealer, wire } = await wired(world);
    wire.cutNextMessage();
    await dealer.send('', 'first', 'x'.repeat(100_000), 'third');
    await dealer.misses('');
    await dealer.send('', 'whole', 'x'.repeat(100_000), 'third');
    await router.hears(`whole|${'x'.repeat(100_000)}|third`);
    expect(router.texts).toHaveLength(2);
  },

  'what a DEALER sends while it is disconnected arrives when it is back': async (world) => {
    const { router, dealer, wire, address } = await wired(world);
    wire.hold();
    wire.reset();
    await Promise.all([router.misses(address), dealer.misses('')]);
    expect(await dealer.sendAll('', numbers(BURST))).toEqual(Array(BURST).fill('sent'));
    wire.release();
    await router.hears(String(BURST - 1));
    expect(router.texts.slice(1)).toEqual(numbers(BURST));
  },

  'while it is disconnected a DEALER is full after the high-water mark, and all that was sent arrives':
    async (world) => {
      const { router, dealer, wire, address } = await wired(world, { highWaterMark: MARK });
      wire.hold();
      wire.reset();
      await Promise.all([router.misses(address), dealer.misses('')]);
      const accepted = await fill(dealer, '');
      // libzmq learns of room in steps of half the mark.
      expect(accepted).toBeGreaterThanOrEqual(MARK / 2);
      expect(accepted).toBeLessThanOrEqual(MARK);
      wire.release();
      await persist(dealer, '', 'after');
      await router.hears('after');
      expect(leading(router).slice(1)).toEqual([...numbers(accepted), 'after']);
    },

  'a dead link fills up: then its sends are full, and all that was sent arrives if it comes back':
    async (world) => {
      const { router, dealer, wire, address } = await wired(world, { highWaterMark: MARK });
      wire.hold();
      const up = await fill(dealer, '');
      const down = await fill(router, address);
      wire.release();
      await persist(dealer, '', 'after');
      await persist(router, address, 'after');
      await router.hears('after');
      await dealer.hears('after');
      expect(leading(router).slice(1)).toEqual([...numbers(up), 'after']);
      expect(leading(dealer)).toEqual([...numbers(down), 'after']);
      expect([...router.gone, ...dealer.gone]).toEqual([]);
    },

  'a peer that was full when its connection broke soon is unroutable, and what waited for it is lost':
    async (world) => {
      const { router, dealer, wire, address } = await wired(world, { highWaterMark: MARK });
      wire.hold();
      await fill(router, address);
      expect(await router.send(address, 'too much')).toBe('full');
      wire.reset();
      await router.misses(address);
      // zeromq gives the notice first, and only then gives the peer up.
      await world.untilAsync(
        'the peer to be unroutable',
        async () => (await router.send(address, 'too early')) === 'unroutable',
      );
      wire.release();
      await dealer.send('', 'back');
      await router.hears('back');
      await persist(router, address, 'after');
      await dealer.hears('after');
      expect(dealer.texts).toEqual(['after']);
    },

  'over a dead link sends are sent and nobody is told; all of it arrives if the link comes back':
    async (world) => {
      const { router, dealer, wire, address } = await wired(world);
      const witness = await join(world, router, router.endpoint);
      wire.hold();
      const outcomes = [
        ...(await dealer.sendAll('', numbers(BURST))),
        ...(await router.sendAll(address, numbers(BURST))),
      ];
      expect(outcomes).toEqual(Array(2 * BURST).fill('sent'));
      await world.until('messages on the wire', () => wire.holdsSomething());
      // Had there been anything to tell, it would have come before this.
      witness.dealer.close(0);
      await router.misses(witness.address);
      expect(router.gone).toEqual([witness.address]);
      expect(router.texts).toHaveLength(2);
      expect([...dealer.gone, ...dealer.texts]).toEqual([]);
      wire.release();
      await router.hears(String(BURST - 1));
      await dealer.hears(String(BURST - 1));
      expect(router.texts.slice(2)).toEqual(numbers(BURST));
      expect(dealer.texts).toEqual(numbers(BURST));
    },

  'a link that is dead one way carries messages the other way': async (world) => {
    const { router, dealer, wire, address } = await wired(world);
    wire.hold('up');
    await dealer.send('', 'up');
    await world.until('a message on the wire', () => wire.holdsSomething());
    await router.send(address, 'down');
    await dealer.hears('down');
    expect(router.texts).not.toContain('up');
    wire.release();
    await router.hears('up');
    wire.hold('down');
    await router.send(address, 'down again');
    await world.until('a message on the wire', () => wire.holdsSomething());
    await dealer.send('', 'up again');
    await router.hears('up again');
    expect(dealer.texts).toEqual(['down']);
  },

  'of a half-open connection the ROUTER learns only when the DEALER is back as the same peer':
    async (world) => {
      const { router, dealer, wire, address } = await wired(world);
      expect(wire.reset({ halfOpen: true })).toBe(1);
      await dealer.misses('');
      await dealer.send('', 'back');
      expect(await router.hears('back')).toBe(address);
      expect(await router.send(address, 'still there')).toBe('sent');
      await dealer.hears('still there');
      expect(router.eventsOf(address).map(({ type }) => type)).toEqual([
        'message',
        'gone',
        'message',
      ]);
      dealer.close(0);
      await router.misses(address, 2);
      expect(router.gone).toEqual([address, address]);
    },

  'the last message of a closed socket may come after the first of its successor: a ghost': async (
    world,
  ) => {
    const { router, wire, dealer, address } = await wired(world, { process: 'worker' });
    for (let round = 0, old = { dealer, address }; round < 3; round++) {
      wire.slow(200);
      await old.dealer.send('', `last of ${round}`);
      await world.until('the message on the wire', () => wire.holdsSomething());
      old.dealer.close(100);
      wire.slow(1);
      const next = await join(world, router, wire.endpoint, { process: 'worker' });
      expect(router.texts).not.toContain(`last of ${round}`);
      expect(await router.hears(`last of ${round}`)).toBe(old.address);
      await router.misses(old.address);
      old = next;
    }
    expect(router.addresses).toHaveLength(4);
  },

  'a DEALER finds the successor of its ROUTER at the same endpoint, and is the same peer there':
    async (world) => {
      const { router, dealer, address } = await pair(world);
      router.close(0);
      const successor = world.open('router');
      await bindAgain(successor, router.endpoint);
      await world.untilAsync('a message that arrives', async () => {
        await dealer.send('', 'again');
        return successor.texts.length > 0;
      });
      expect(successor.addresses).toEqual([address]);
      expect(await successor.send(address, 'welcome')).toBe('sent');
      await dealer.hears('welcome');
    },
};

interface Gap {
  /** The number that came after it. */
  readonly before: number;
  /** A notice came between the numbers on both sides of it. */
  readonly isTold: boolean;
}

/** Where numbers are missing in what came of one peer; texts that are no numbers do not count. */
function gapsOf(events: readonly Event[]): Gap[] {
  const gaps: Gap[] = [];
  let next = 0;
  let isTold = false;
  for (const event of events) {
    if (event.type === 'gone') isTold = true;
    else if (/^\d+$/.test(event.text.join())) {
      const number = Number(event.text.join());
      if (number !== next) gaps.push({ before: number, isTold });
      next = number + 1;
      isTold = false;
    }
  }
  return gaps;
}

function untoldGaps(events: readonly Event[]): Gap[] {
  return gapsOf(events).filter(({ isTold }) => !isTold);
}
