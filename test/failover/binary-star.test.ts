/** Pairs in which clients vote, over real sockets; and what a BinaryStar does before it has begun. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  BinaryStar,
  ClosedError,
  StorageError,
  type ElectionEvent,
  type EpochStore,
} from '../../src/failover/index.ts';
import { signal } from '../../src/transport/closing.ts';
import { systemEnvironment } from '../../src/transport/environment.ts';
import { zeromqTransport } from '../../src/transport/zeromq.ts';
import {
  becomes,
  bindStar,
  clientEndpointOf,
  endpointOf,
  eventsOf,
  fileIn,
  makeStar,
  otherOf,
  says,
  until,
} from './stars.ts';

const REFUSED = { verdict: 'refuse', epoch: 0 };

describe('one that is alone', () => {
  it.each(['primary', 'backup'] as const)(
    'serves as %s once a client asks, and not before its peer would have been heard',
    async (role) => {
      const star = await bindStar(role);
      const bound = performance.now();
      expect(star.guard()).toEqual(REFUSED);
      const events = eventsOf(star);
      const epoch = await says(star, 'serve');
      expect(performance.now() - bound).toBeGreaterThan(100);
      expect(epoch).toBe(role === 'primary' ? 1 : 2);
      const types = events.map(({ type }) => type);
      expect(types.indexOf('takeoverBegun')).toBeLessThan(types.indexOf('becameActive'));
      expect(star.status()).toMatchObject({ state: 'active', epoch, leaseLeft: Infinity });
      expect(star.epochAt(performance.now())).toBe(epoch);
    },
  );

  it('does not serve while nobody asks, but is ready to', async () => {
    const star = await bindStar('primary');
    await star.ready();
    expect(star.status().state).not.toBe('active');
    await says(star, 'serve');
  });

  it('never uses an epoch twice, however often it is started', async () => {
    const epochs: number[] = [];
    const lives: number[] = [];
    for (let start = 0; start < 3; start++) {
      const star = await bindStar('backup');
      epochs.push(await says(star, 'serve'));
      lives.push(star.status().life);
      await star.close();
    }
    expect(epochs).toEqual([2, 4, 6]);
    const [first = 0] = lives;
    expect(lives).toEqual([first, first + 1, first + 2]);
  });
});

describe('a pair', () => {
  it('has one that serves, without anybody asking, and one that says where', async () => {
    const [primary, backup] = await Promise.all([bindStar('primary'), bindStar('backup')]);
    await becomes(primary, 'active');
    await Promise.all([primary.ready(), backup.ready()]);
    expect(primary.guard()).toEqual({ verdict: 'serve', epoch: 1 });
    const endpoint = clientEndpointOf('primary');
    await until(() => expect(backup.guard()).toEqual({ verdict: 'redirect', epoch: 1, endpoint }));
    expect(backup.epochAt(performance.now())).toBe(0);
    expect(backup.status()).toMatchObject({ state: 'passive', peer: 'active', highestEpoch: 1 });
  });

  it('loses the active one, and the other takes over when a client asks; nobody gives way again', async () => {
    const primary = await bindStar('primary');
    const backup = await bindStar('backup');
    await becomes(primary, 'active');
    await until(() => expect(backup.status().peer).toBe('active'));
    await primary.close();
    expect(primary.guard()).toMatchObject({ verdict: 'refuse' });
    await until(() => expect(backup.status().peer).not.toBe('active'));
    expect(backup.status().state).not.toBe('active');
    const second = await says(backup, 'serve');
    expect(second).toBe(2);
    const again = await bindStar('primary');
    const endpoint = clientEndpointOf('backup');
    await until(() =>
      expect(again.guard()).toEqual({ verdict: 'redirect', epoch: second, endpoint }),
    );
    expect(backup.guard()).toEqual({ verdict: 'serve', epoch: second });
    await backup.close();
    expect(await says(again, 'serve')).toBe(3);
  });

  it('over tcp, redirects to where it reaches the other one itself, if that is bound everywhere', async () => {
    const holder = makeStar('backup');
    const port = (await holder.bind('tcp://127.0.0.1:*')).split(':').at(-1);
    await holder.close();
    const primary = makeStar('primary', { peer: `tcp://127.0.0.1:${port}` });
    primary.stand({ endpoint: 'tcp://0.0.0.0:5555' });
    const endpoint = await primary.bind('tcp://127.0.0.1:*');
    expect(endpoint).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    expect(primary.endpoint).toBe(endpoint);
    const backup = makeStar('backup', { peer: endpoint });
    await until(() => backup.bind(`tcp://127.0.0.1:${port}`));
    await becomes(primary, 'active');
    await until(() =>
      expect(backup.guard()).toMatchObject({
        verdict: 'redirect',
        endpoint: 'tcp://127.0.0.1:5555',
      }),
    );
  });

  it('redirects to what the active one advertises, whatever the server behind it says', async () => {
    const primary = makeStar('primary', { advertise: 'tcp://broker.example:5555' });
    primary.stand({ endpoint: 'tcp://127.0.0.1:1' });
    await primary.bind(endpointOf('primary'));
    const backup = await bindStar('backup');
    await until(() =>
      expect(backup.guard()).toMatchObject({ endpoint: 'tcp://broker.example:5555' }),
    );
    primary.stand({ endpoint: 'tcp://127.0.0.1:2' });
    primary.stand({ holds: 1 });
    expect(backup.activeEndpoint).toBe('tcp://broker.example:5555');
  });

  it('serves a client no more that has seen a higher epoch, nor anybody after it', async () => {
    const star = await bindStar('primary');
    const epoch = await says(star, 'serve');
    const events = eventsOf(star);
    expect(star.guard({ epoch })).toEqual({ verdict: 'serve', epoch });
    expect(star.guard({ epoch: epoch + 1 })).toEqual({ verdict: 'refuse', epoch: epoch + 1 });
    expect(star.guard()).toMatchObject({ verdict: 'refuse' });
    expect(events).toContainEqual({
      type: 'becamePassive',
      epoch,
      reason: 'higherEpoch',
    });
    expect(await says(star, 'serve')).toBe(epoch + 2);
  });

  it('does not believe in an epoch that is too far ahead, nor serves the one who shows it', async () => {
    const star = await bindStar('primary');
    const epoch = await says(star, 'serve');
    const events = eventsOf(star);
    expect(star.guard({ epoch: 2 ** 40 })).toEqual({ verdict: 'refuse', epoch });
    expect(events).toContainEqual({ type: 'epochImplausible', epoch: 2 ** 40 });
    expect(star.guard()).toEqual({ verdict: 'serve', epoch });
  });

  it('changes when a person says so', async () => {
    const [primary, backup] = [await bindStar('primary'), await bindStar('backup')];
    await becomes(primary, 'active');
    await until(() => expect(backup.status().peer).toBe('active'));
    const events = eventsOf(primary);
    primary.resign();
    expect(primary.guard()).toMatchObject({ verdict: 'refuse' });
    expect(events).toContainEqual({ type: 'becamePassive', epoch: 1, reason: 'resigned' });
    await until(() => {
      const states = [primary, backup].map((star) => star.status().state);
      expect(states.filter((state) => state === 'active')).toHaveLength(1);
    });
  });

  it('is not told at length what was said before it came', async () => {
    const options = { heartbeatInterval: 5, heartbeatLiveness: 100 };
    const primary = await bindStar('primary', options);
    await says(primary, 'serve');
    const left = performance.now() + 500;
    while (performance.now() < left) await new Promise((next) => setImmediate(next));
    let heard = 0;
    // In another name each word of the other one is an event.
    const stranger = makeStar('backup', { name: 'stranger', store: fileIn('stranger') });
    stranger.on('ignored', () => void heard++);
    await stranger.bind(endpointOf('backup'));
    await until(() => expect(heard).toBeGreaterThan(0));
    await new Promise((next) => setImmediate(next));
    expect(heard).toBeLessThan(30);
  });

  it('of other names are not its peers', async () => {
    const primary = await bindStar('primary', { name: 'one' });
    const events = eventsOf(primary);
    await bindStar('backup', { name: 'other' });
    await until(() => expect(events).toContainEqual({ type: 'ignored', reason: 'otherPair' }));
    expect(primary.status().peer).toBe('unheard');
  });
});

describe('whoever listens', () => {
  it('is told of reigns alone, and never from inside a call', async () => {
    const star = await bindStar('primary');
    const told: ElectionEvent[] = [];
    const end = star.subscribe((event) => void told.push(event));
    const epoch = await says(star, 'serve');
    await until(() => expect(told).toContainEqual({ type: 'becameActive', epoch }));
    const before = told.length;
    star.resign();
    expect(star.epochAt(performance.now())).toBe(0);
    expect(told).toHaveLength(before);
    await until(() => expect(told.at(-1)).toMatchObject({ type: 'becamePassive' }));
    end();
    await says(star, 'serve');
    expect(told.at(-1)).toMatchObject({ type: 'becamePassive' });
    expect(new Set(told.map(({ type }) => type))).not.toContain('peerLost');
  });
});

describe('before it has begun', () => {
  it('serves nobody, and keeps what it is told', async () => {
    const star = makeStar('primary', { store: gatedStore().store });
    star.stand({ holds: 0 });
    star.stand({ endpoint: 'tcp://192.0.2.9:1' });
    expect(star.guard({ epoch: 8 })).toEqual(REFUSED);
    expect(star.guard({ epoch: 4 })).toEqual(REFUSED);
    expect(star.status()).toMatchObject({ state: 'waiting', life: 0, peer: 'unheard' });
    expect(star.endpoint).toBeUndefined();
    star.promote();
    expect(await star.bind(endpointOf('primary'))).toBe(endpointOf('primary'));
    // It has no state, and heard of a reign: only a person can have it serve.
    expect(await says(star, 'serve')).toBe(9);
  });

  it('waits for its record, however long that takes', async () => {
    const { store, release } = gatedStore(true);
    const star = makeStar('primary', { store });
    const bound = star.bind(endpointOf('primary'));
    const isReady = star.ready();
    for (let asked = 0; asked < 3; asked++) expect(star.guard()).toEqual(REFUSED);
    release();
    await bound;
    await isReady;
    await says(star, 'serve');
  });

  it('a bind that fails leaves it as it was, and the next one begins', async () => {
    const holder = await bindStar('primary', { store: fileIn('holder') });
    const star = makeStar('primary');
    star.stand({ endpoint: 'tcp://192.0.2.7:7' });
    await expect(star.bind(endpointOf('primary'))).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    });
    await expect(star.ready()).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE' });
    expect(star.guard()).toEqual(REFUSED);
    await holder.close();
    await star.bind(endpointOf('primary'));
    const backup = await bindStar('backup');
    await becomes(star, 'active');
    await until(() => expect(backup.activeEndpoint).toBe('tcp://192.0.2.7:7'));
  });

  it('binds to more than one endpoint', async () => {
    const star = await bindStar('primary');
    const second = await star.bind('tcp://127.0.0.1:*');
    expect(star.endpoints).toEqual([endpointOf('primary'), second]);
    const backup = makeStar('backup', { peer: second });
    await backup.bind(endpointOf('backup'));
    await becomes(star, 'active');
    await until(() => expect(backup.status().peer).toBe('active'));
  });
});

describe('its store', () => {
  it('that cannot be read has it refuse to begin, and say what to do', async () => {
    const file = fileIn('primary.epochs');
    writeFileSync(file, 'garbage');
    const star = makeStar('primary');
    const bound = star.bind(endpointOf('primary'));
    await expect(star.ready()).rejects.toBeInstanceOf(StorageError);
    await expect(bound).rejects.toMatchObject({
      code: 'ERR_STORAGE_CORRUPT',
      message: expect.stringContaining('move the file away'),
    });
    expect(star.guard()).toEqual(REFUSED);
  });

  it('of the user may throw anything', async () => {
    const store = { ...gatedStore().store, read: () => Promise.reject(new Error('no such table')) };
    const star = makeStar('primary', { store });
    await expect(star.bind(endpointOf('primary'))).rejects.toMatchObject({
      code: 'ERR_STORAGE_UNAVAILABLE',
      message: expect.stringContaining('no such table'),
    });
  });

  it('is not taken for that of another one', async () => {
    const first = await bindStar('primary');
    await says(first, 'serve');
    await first.close();
    const store = fileIn('primary.epochs');
    const unavailable = { code: 'ERR_STORAGE_UNAVAILABLE' };
    const backup = makeStar('backup', { store });
    await expect(backup.bind(endpointOf('backup'))).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('it is of the primary'),
    });
    await backup.close();
    const other = makeStar('primary', { store, name: 'other' });
    await expect(other.bind(endpointOf('primary'))).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining("it is of the pair 'pair'"),
    });
  });

  it('serves one at a time', async () => {
    await bindStar('primary');
    const second = makeStar('primary');
    await expect(second.bind('tcp://127.0.0.1:*')).rejects.toMatchObject({
      code: 'ERR_STORAGE_IN_USE',
    });
  });

  it('has the epoch before anybody is served under it', async () => {
    const star = await bindStar('primary');
    const epochs: number[] = [];
    star.on('becameActive', ({ epoch }) => {
      const { record } = JSON.parse(readFileSync(fileIn('primary.epochs'), 'utf8'));
      epochs.push(epoch, record.epoch);
    });
    const epoch = await says(star, 'serve');
    expect(epochs).toEqual([epoch, epoch]);
  });

  it('that does not take a record keeps it from serving, until it does', async () => {
    const { store, records } = gatedStore();
    let failures = 2;
    const failing: EpochStore = {
      ...store,
      write: (record) => (failures-- > 0 ? Promise.reject(new Error('full')) : store.write(record)),
    };
    const star = makeStar('primary', { store: failing });
    const events = eventsOf(star);
    await star.bind(endpointOf('primary'));
    await until(() => {
      expect(star.guard()).toEqual(REFUSED);
      expect(events).toContainEqual({ type: 'storeFailed', message: 'full' });
    });
    expect(records).toEqual([]);
    await says(star, 'serve');
    expect(records).toContainEqual(expect.objectContaining({ life: star.status().life, epoch: 0 }));
  });
});

describe('a record that is lost', () => {
  it('does not make a server stale to those who remember its former lives', async () => {
    const backup = await bindStar('backup');
    const first = await bindStar('primary');
    await becomes(first, 'active');
    await until(() => expect(backup.status().peer).toBe('active'));
    await first.close();
    rmSync(fileIn('primary.epochs'));
    // Lives are counted by the second where none was counted before.
    const second = Math.floor(Date.now() / 1000);
    await until(() => expect(Math.floor(Date.now() / 1000)).toBeGreaterThan(second));
    await bindStar('primary');
    await until(() => expect(backup.status().peer).not.toBe('lost'));
  });
});

describe('closing', () => {
  it('says goodbye: the other one need not wait', async () => {
    const slow = { heartbeatInterval: 1000, noticeGrace: 10_000 };
    const [primary, backup] = [await bindStar('primary', slow), await bindStar('backup', slow)];
    await becomes(primary, 'active');
    await until(() => expect(backup.status().peer).toBe('active'));
    const events = eventsOf(backup);
    const closed = performance.now();
    await primary.close();
    await says(backup, 'serve');
    expect(performance.now() - closed).toBeLessThan(5000);
    expect(events).toContainEqual({ type: 'peerLost', reason: 'leaving' });
  });

  it('before it is bound, while it begins, and twice', async () => {
    await makeStar('primary').close();
    const { store, release, isClosed } = gatedStore(true);
    const star = makeStar('backup', { store });
    const bound = star.bind(endpointOf('backup'));
    const isReady = star.ready();
    const closing = [star.close(), star.close()];
    release();
    const outcomes = await Promise.allSettled([bound, isReady]);
    const refused = { status: 'rejected', reason: expect.any(ClosedError) };
    expect(outcomes).toEqual([refused, refused]);
    await Promise.all(closing);
    expect(isClosed()).toBe(true);
    await expect(star.bind(endpointOf('backup'))).rejects.toBeInstanceOf(ClosedError);
  });

  it('ends at the end of a block', async () => {
    let kept: BinaryStar;
    {
      await using star = await bindStar('primary');
      await says(star, 'serve');
      kept = star;
    }
    expect(kept.guard()).toMatchObject({ verdict: 'refuse' });
    expect(kept.status().state).toBe('closed');
    await expect(kept.ready()).rejects.toBeInstanceOf(ClosedError);
  });

  it('ends who waits for it to be ready', async () => {
    const star = await bindStar('primary', { heartbeatInterval: 60_000 });
    const waiting = star.ready();
    await Promise.all([expect(waiting).rejects.toBeInstanceOf(ClosedError), star.close()]);
  });
});

it('is not ready, with a hint, while neither its peer nor its witness answers', async () => {
  const witness = endpointOf('witness');
  const star = await bindStar('primary', { witness });
  await expect(star.ready({ timeout: 50 })).rejects.toMatchObject({
    code: 'ERR_NOT_READY',
    message: expect.stringContaining(`${endpointOf('backup')}, ${witness}`),
  });
});

it('listens to a machine on another clock as well', async () => {
  // One whose clock stands still was stopped, as far as it knows.
  const environment = systemEnvironment();
  let offset = 0;
  const clock = { ...environment.clock, now: () => environment.clock.now() + offset };
  const star = new BinaryStar(
    { role: 'primary', peer: endpointOf(otherOf('primary')), store: fileIn('clock') },
    { ...environment, clock, transport: zeromqTransport() },
  );
  await star.bind(endpointOf('primary'));
  const epoch = await says(star, 'serve');
  const asked = clock.now();
  offset += 60_000;
  // Asked with an instant of before: who was stopped since does not know it.
  expect(epoch).toBe(1);
  expect(star.epochAt(asked)).toBe(0);
  await star.close();
});

/** A store in memory that answers when it may. */
function gatedStore(isGated = false): {
  store: EpochStore;
  records: unknown[];
  release: () => void;
  isClosed: () => boolean;
} {
  const gate = signal();
  if (!isGated) gate.fire();
  const records: unknown[] = [];
  let isClosed = false;
  const store: EpochStore = {
    read: async () => {
      await gate.promise;
      return records.at(-1);
    },
    write: async (record) => void records.push(record),
    close: async () => {
      isClosed = true;
    },
  };
  return { store, records, release: gate.fire, isClosed: () => isClosed };
}
