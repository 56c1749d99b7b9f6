/** What a PUB sends to those who subscribe, and what it loses without a word. */
import { expect } from 'vitest';
import type { Facts } from './fact.ts';
import { leading } from './facts-sending.ts';
import { join, numbers, type Peer } from './world.ts';

/** Larger than what the buffers of an operating system take, after a few. */
const BLOCK = new Uint8Array(2 ** 18).fill(120);

export const pubsubFacts: Facts = {
  'what is published before anybody subscribes is lost, and a late subscriber gets all that comes after':
    async (world) => {
      const pub = world.open('pub');
      await pub.bind();
      expect(await pub.sendAll('', numbers(20))).toEqual(Array(20).fill('sent'));
      const sub = await subscribe(pub);
      for (const text of numbers(50, 100)) await pub.send('', text);
      await sub.hears('149');
      expect(newsOf(sub)).toEqual(numbers(50, 100));
    },

  'each subscriber gets each message once, whole, and in its order': async (world) => {
    const pub = world.open('pub');
    await pub.bind();
    const subs = [await subscribe(pub), await subscribe(pub)];
    const large = 'x'.repeat(100_000);
    await pub.send('', 'one', '', 'three', '');
    for (const text of numbers(50)) await pub.send('', text);
    await pub.send('', large, '', '');
    for (const sub of subs) {
      await sub.hears(`${large}||`);
      expect(newsOf(sub)).toEqual(['one||three|', ...numbers(50), `${large}||`]);
      expect(sub.events.every(({ from }) => from === '')).toBe(true);
    }
  },

  'a subscriber that comes before its publisher finds it': async (world) => {
    const endpoint = await world.vacantEndpoint();
    const sub = world.open('sub');
    sub.connect(endpoint);
    const pub = world.open('pub');
    await pub.bind(endpoint);
    await reached(pub, sub);
    await pub.send('', 'news');
    await sub.hears('news');
    expect(newsOf(sub)).toEqual(['news']);
  },

  'what is published while a subscriber is cut off is lost to it, and nobody is told': async (
    world,
  ) => {
    const pub = world.open('pub');
    await pub.bind();
    const wire = await world.wire(pub);
    const sub = await subscribe(pub, wire.endpoint);
    const other = await subscribe(pub);
    await pub.send('', 'before');
    await sub.hears('before');
    wire.hold();
    wire.reset();
    for (const text of numbers(20)) await pub.send('', text);
    await other.hears('19');
    wire.release();
    await reached(pub, sub);
    await pub.send('', 'after');
    await sub.hears('after');
    await other.hears('after');
    expect(newsOf(sub)).toEqual(['before', 'after']);
    expect(newsOf(other)).toEqual(['before', ...numbers(20), 'after']);
    expect([...pub.gone, ...sub.gone]).toEqual([]);
  },

  'resets leave gaps in what a subscriber gets, but double nothing and turn nothing round': async (
    world,
  ) => {
    const pub = world.open('pub');
    await pub.bind();
    const wire = await world.wire(pub);
    const sub = await subscribe(pub, wire.endpoint);
    let said = 0;
    for (let resets = 0; resets < 5; resets++) {
      const before = newsOf(sub).length;
      await world.untilAsync('more news', async () => {
        await pub.send('', String(said++));
        return newsOf(sub).length > before + 20;
      });
      wire.reset();
    }
    const heard = newsOf(sub).map(Number);
    expect(heard).toEqual([...new Set(heard)].toSorted((a, b) => a - b));
  },

  'a publisher that is bound again is found again': async (world) => {
    const pub = world.open('pub');
    const endpoint = await pub.bind(await world.vacantEndpoint());
    const sub = await subscribe(pub);
    pub.close(0);
    const successor = world.open('pub');
    await world.untilAsync('the endpoint to be free', () =>
      successor.bind(endpoint).then(
        () => true,
        () => false,
      ),
    );
    await reached(successor, sub);
    await successor.send('', 'again');
    await sub.hears('again');
    expect(sub.gone).toEqual([]);
  },

  'what a subscriber has no room for is lost to it alone, in whole messages, and sends are sent':
    async (world) => {
      const options = { highWaterMark: 4 };
      const pub = world.open('pub', options);
      await pub.bind();
      const sub = await subscribe(pub);
      const deaf = world.open('sub', { ...options, reads: false });
      deaf.connect(pub.endpoint);
      const count = 150;
      for (let said = 0; said < count; said++) {
        expect(await pub.send('', String(said), BLOCK)).toBe('sent');
        await world.until('the one that reads', () => leading(sub).at(-1) === String(said));
      }
      deaf.startReading();
      await reached(pub, deaf);
      const heard = newsOf(deaf).map((text) => Number(text.split('|')[0]));
      expect(heard.length).toBeGreaterThanOrEqual(4);
      expect(heard.length).toBeLessThan(count);
      expect(heard).toEqual([...new Set(heard)].toSorted((a, b) => a - b));
      const whole = deaf.events.flatMap((event) =>
        event.type === 'message' && event.text.length === 2 ? [event.text[1]?.length] : [],
      );
      expect(whole).toEqual(heard.map(() => BLOCK.length));
      const all = newsOf(sub).map((text) => text.split('|')[0]);
      expect(all).toEqual(numbers(count));
    },

  'a DEALER finds no PUB, nor a SUB a ROUTER, though they are at the endpoints that these were told':
    async (world) => {
      const [pub, router] = [world.open('pub'), world.open('router')];
      await pub.bind();
      await router.bind();
      const [dealer, sub] = [world.open('dealer'), world.open('sub')];
      dealer.connect(pub.endpoint);
      sub.connect(router.endpoint);
      await dealer.send('', 'is anybody there?');
      // Time enough for those who do find each other, one after the other.
      const other = await subscribe(pub);
      const { address } = await join(world, router, router.endpoint);
      await pub.send('', 'news');
      await other.hears('news');
      expect(router.addresses).toEqual([address]);
      expect([...dealer.texts, ...sub.texts, ...pub.events]).toEqual([]);
    },

  'a SUB that binds hears all PUBs that connect, each in its order, from nobody in particular':
    async (world) => {
      const sub = world.open('sub');
      await sub.bind();
      const pubs = [await publisher(sub), await publisher(sub)];
      for (const text of numbers(50)) {
        for (const [index, pub] of pubs.entries()) await pub.send('', `${index} says ${text}`, '');
      }
      for (const index of pubs.keys()) {
        await sub.hears(`${index} says 49|`);
        const own = newsOf(sub).filter((text) => text.startsWith(`${index} `));
        expect(own).toEqual(numbers(50).map((text) => `${index} says ${text}|`));
      }
      expect(sub.events.every(({ from }) => from === '')).toBe(true);
      expect(await sub.send('', 'down')).toBe('unroutable');
      expect(pubs.flatMap(({ events }) => events)).toEqual([]);
    },

  'what a PUB sends before it has found a SUB is lost': async (world) => {
    const endpoint = await world.vacantEndpoint();
    const pub = world.open('pub');
    pub.connect(endpoint);
    expect(await pub.sendAll('', numbers(20))).toEqual(Array(20).fill('sent'));
    const sub = world.open('sub');
    await sub.bind(endpoint);
    await reached(pub, sub);
    await pub.send('', 'news');
    await sub.hears('news');
    expect(newsOf(sub)).toEqual(['news']);
  },

  'what a PUB that connects sends while it is cut off waits for the next connection': async (
    world,
  ) => {
    const sub = world.open('sub');
    await sub.bind();
    const wire = await world.wire(sub);
    const pub = await publisher(sub, wire.endpoint);
    await pub.send('', 'before');
    await sub.hears('before');
    wire.hold();
    wire.reset();
    for (const text of numbers(20)) expect(await pub.send('', text)).toBe('sent');
    wire.release();
    await reached(pub, sub);
    await pub.send('', 'after');
    await sub.hears('after');
    const heard = newsOf(sub);
    // What had left before the reset was noticed is lost, and nothing behind it.
    expect(heard.slice(1, -1)).toEqual(numbers(20).slice(22 - heard.length));
    expect([heard[0], heard.at(-1)]).toEqual(['before', 'after']);
    expect(heard.length).toBeGreaterThan(2);
    expect([...pub.gone, ...sub.gone]).toEqual([]);
  },

  'a SUB that is bound again is found again': async (world) => {
    const sub = world.open('sub');
    const endpoint = await sub.bind(await world.vacantEndpoint());
    const pub = await publisher(sub);
    sub.close(0);
    const successor = world.open('sub');
    await world.untilAsync('the endpoint to be free', () =>
      successor.bind(endpoint).then(
        () => true,
        () => false,
      ),
    );
    await reached(pub, successor);
    await pub.send('', 'again');
    await successor.hears('again');
    expect(pub.gone).toEqual([]);
  },

  'a PUB has no single addressee, and a SUB sends nothing': async (world) => {
    const pub = world.open('pub');
    await pub.bind();
    const sub = await subscribe(pub);
    expect(await pub.send('somebody', 'secret')).toBe('unroutable');
    expect(await sub.send('', 'up')).toBe('unroutable');
    await pub.send('', 'for all');
    await sub.hears('for all');
    expect(newsOf(sub)).toEqual(['for all']);
    expect(pub.events).toEqual([]);
    pub.close(0);
    expect(await pub.send('', 'late')).toBe('closed');
  },
};

/** A SUB that gets what `pub` sends: from its endpoint, or from another that leads there. */
async function subscribe(pub: Peer, endpoint = pub.endpoint): Promise<Peer> {
  const sub = pub.world.open('sub');
  sub.connect(endpoint);
  await reached(pub, sub);
  return sub;
}

/** A PUB whose messages `sub` gets: at its endpoint, or at another that leads there. */
async function publisher(sub: Peer, endpoint = sub.endpoint): Promise<Peer> {
  const pub = sub.world.open('pub');
  pub.connect(endpoint);
  await reached(pub, sub);
  return pub;
}

let probes = 0;

/** Publishes until this one hears it: that it has subscribed is told to nobody. */
async function reached(pub: Peer, sub: Peer): Promise<void> {
  const first = probes + 1;
  await pub.world.untilAsync('a subscriber to be reached', async () => {
    await pub.send('', `?${++probes}`);
    return sub.texts.some((text) => text.startsWith('?') && Number(text.slice(1)) >= first);
  });
}

/** All that it heard but for probes. */
function newsOf(sub: Peer): string[] {
  return sub.texts.filter((text) => !text.startsWith('?'));
}
