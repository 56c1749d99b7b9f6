/** What is stored is there after a crash, and what the storage does not take was never done. */
import { describe, expect, it } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { Recovery, storedKeyOf } from '../../src/clone/server/records.ts';
import { STORE_REST } from '../../src/clone/server/store-desk.ts';
import { areEqual, diskBroken, diskFull, PlayedDisk, World } from './server-story.ts';

const DURABLE = { isDurable: true, storesAtOnce: true };
const BY_HAND = { isDurable: true };

/** A lone server whose batches are answered by hand, with its first one answered. */
function byHand(options = {}, disk = new PlayedDisk()) {
  const world = new World();
  const server = world.lone({ ...BY_HAND, ...options }, disk);
  server.stored();
  return { world, server, client: world.client(server), disk };
}

describe('a lone server', () => {
  it('publishes and acknowledges what is durable, and not before', () => {
    const { server, client } = byHand();
    const number = client.set('/a', '1');
    expect(server.map).toEqual({});
    expect(client.result(number)).toBeUndefined();
    server.stored();
    expect(server.map).toEqual({ '/a': '1' });
    expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: false });
  });

  it('writes what comes meanwhile together, each key once', () => {
    const { server, client, disk } = byHand();
    client.set('/a', '1');
    client.set('/b', '1');
    client.set('/b', '2');
    client.delete('/a');
    expect(server.batches).toHaveLength(1);
    server.stored();
    expect(server.batches).toHaveLength(1);
    server.stored();
    expect(server.batches).toHaveLength(0);
    expect(server.map).toEqual({ '/b': '2' });
    expect([...disk.records.keys()].filter((key) => key.startsWith('k/'))).toEqual([
      storedKeyOf('/b'),
    ]);
  });

  it('checks against what is accepted, not only against what is public', () => {
    const { server, client } = byHand();
    const first = client.set('/a', '1', { ifMatch: 0 });
    const second = client.set('/a', '2', { ifMatch: 0 });
    const third = client.set('/a', '3', { ifMatch: 1 });
    // The refusal waits for what it was decided upon.
    expect(client.results).toEqual([]);
    server.stored();
    expect(client.result(first)).toMatchObject({ revision: 1 });
    expect(client.result(second)).toMatchObject({ refusal: 'conflict', revision: 1 });
    expect(client.result(third)).toBeUndefined();
    server.stored();
    expect(client.result(third)).toMatchObject({ revision: 2 });
  });

  it('is there again after a crash, under a new epoch, and goes on', () => {
    const world = new World();
    const disk = new PlayedDisk();
    const server = world.lone({ ...DURABLE, epoch: 100 }, disk);
    const client = world.client(server);
    client.set('/a', '1');
    client.set('/b', '1');
    client.delete('/a');
    const number = client.number;
    const at = server.machine.status().position;
    server.crash();
    expect(disk.recovery().epoch).toBe(100);
    const again = world.lone({ ...DURABLE, epoch: 101 }, disk);
    expect(again.map).toEqual({ '/b': '1' });
    expect(again.machine.status().position).toEqual({ epoch: 101, sequence: 3 });
    expect(again.machine.publication.lineage.has(at, 3)).toBe(true);
    // What was done before is not done again.
    client.connect(again);
    client.delete('/a', { number });
    expect(client.result(number)).toMatchObject({ revision: 3 });
    expect(again.count('published')).toBe(0);
  });

  it('has after a crash what was durable, also if nobody was told', () => {
    const { world, server, client, disk } = byHand();
    const number = client.set('/a', '1', { ifMatch: 0 });
    disk.write(server.batches[0]!.batch);
    server.crash();
    const again = world.lone({ ...DURABLE, epoch: 2 }, disk);
    client.connect(again);
    client.set('/a', '1', { number, ifMatch: 0 });
    expect(client.result(number)).toMatchObject({ revision: 1 });
    expect(client.result(number)!.refusal).toBeUndefined();
  });

  it('has cleared after a crash what was cleared', () => {
    const world = new World();
    const disk = new PlayedDisk();
    const server = world.lone(DURABLE, disk);
    const client = world.client(server);
    for (const key of ['/a/b', '/a/c', '/d']) client.set(key, '1');
    client.write({ kind: 'clear', key: '/a/' });
    client.set('/a/new', '1');
    server.crash();
    expect(world.lone({ ...DURABLE, epoch: 2 }, disk).map).toEqual({ '/d': '1', '/a/new': '1' });
  });

  it('expires after a crash when it was to, by the wall clock', () => {
    const world = new World();
    const disk = new PlayedDisk();
    const server = world.lone(DURABLE, disk);
    const client = world.client(server);
    client.set('/a', '1', { ttl: 5000 });
    client.set('/b', '1', { ttl: 1000 });
    world.pass(10);
    server.crash();
    world.pass(2000);
    const again = world.lone({ ...DURABLE, epoch: 2 }, disk);
    world.pass(1);
    expect(again.map).toEqual({ '/a': '1' });
    world.pass(2900);
    expect(again.map).toEqual({ '/a': '1' });
    world.pass(200);
    expect(again.map).toEqual({});
    expect(again.events).toContainEqual(
      expect.objectContaining({ type: 'published', key: '/a', isExpiry: true }),
    );
  });

  it('lets nothing last longer than asked for if the wall clock was set back', () => {
    const world = new World();
    const disk = new PlayedDisk();
    const server = world.lone(DURABLE, disk);
    world.client(server).set('/a', '1', { ttl: 5000 });
    server.crash();
    const again = world.lone({ ...DURABLE, epoch: 2, wallClock: 0 }, disk);
    world.pass(4900);
    expect(again.map).toEqual({ '/a': '1' });
    world.pass(200);
    expect(again.map).toEqual({});
  });
});

describe('a full disk', () => {
  it('refuses what it did not take, with what came behind it, and numbers nothing', () => {
    const { server, client } = byHand();
    client.set('/a', '1');
    client.set('/b', '1');
    const conflict = client.set('/a', '2', { ifMatch: 0 });
    server.stored(diskFull());
    expect(client.results.map(({ refusal }) => refusal)).toEqual(
      Array.from({ length: 3 }, () => 'storageFailed'),
    );
    expect(client.result(conflict)).toMatchObject({ refusal: 'storageFailed' });
    expect(server.map).toEqual({});
    expect(server.count('storeFailed')).toBe(1);
    expect(server.machine.publication.history.accepted).toBe(0);
    const later = client.set('/c', '1');
    expect(client.result(later)).toMatchObject({ refusal: 'storageFailed' });
  });

  it('is tried again, and takes writes when there is room', () => {
    const { world, server, client, disk } = byHand();
    client.set('/a', '1');
    server.stored(diskFull());
    expect(server.batches).toHaveLength(0);
    world.pass(STORE_REST);
    server.stored(diskFull());
    world.pass(STORE_REST);
    server.stored();
    const number = client.set('/b', '1');
    server.stored();
    expect(client.result(number)).toMatchObject({ revision: 1 });
    server.crash();
    expect(world.lone({ ...DURABLE, epoch: 2 }, disk).map).toEqual({ '/b': '1' });
  });

  it('takes deletes, which make room', () => {
    const { server, client } = byHand();
    client.set('/a', '1');
    server.stored();
    client.set('/b', '1');
    server.stored(diskFull());
    const number = client.delete('/a');
    expect(server.batches[0]!.batch.urgent).toBe(true);
    server.stored();
    expect(client.result(number)).toMatchObject({ revision: 2 });
    expect(server.map).toEqual({});
  });

  it('expires nothing until there is room, and then all that is due', () => {
    const { world, server, client } = byHand();
    client.set('/a', '1', { ttl: 500 });
    server.stored();
    client.set('/b', '1');
    server.stored(diskFull());
    world.pass(800);
    expect(server.map).toEqual({ '/a': '1' });
    world.pass(STORE_REST);
    server.stored();
    world.pass(2);
    server.stored();
    expect(server.map).toEqual({});
  });

  it('does not refuse what the backup has: that waits', () => {
    const world = new World();
    const a = world.member('a', BY_HAND);
    const b = world.member('b');
    world.elect(a, 1);
    a.stored();
    world.pass(10);
    const client = world.client(a);
    const number = client.set('/a', '1');
    expect(b.map).toEqual({ '/a': '1' });
    a.stored(diskFull());
    expect(client.result(number)).toBeUndefined();
    world.pass(STORE_REST);
    a.stored();
    world.settle();
    expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: true });
    expect(areEqual(a, b)).toBe(true);
  });
});

describe('a broken storage', () => {
  it('leaves open what it may have, and refuses the rest', () => {
    const { server, client } = byHand();
    const open = client.set('/a', '1');
    const behind = client.set('/b', '1');
    server.stored(diskBroken());
    expect(client.result(open)).toBeUndefined();
    expect(client.result(behind)).toMatchObject({ refusal: 'storageFailed' });
    client.set('/a', '1', { number: open });
    expect(client.result(open)).toBeUndefined();
    const later = client.delete('/a');
    expect(client.result(later)).toMatchObject({ refusal: 'storageFailed' });
    expect(server.map).toEqual({});
  });
});

describe('a pair with storages', () => {
  it('both crash and come again: all that was acknowledged is there', () => {
    const world = new World();
    const [a, b] = world.pair(DURABLE);
    const client = world.client(a);
    for (let index = 0; index < 20; index++) client.set(`/k/${index % 7}`, `${index}`);
    world.pass(10);
    expect(client.results.every(({ isReplicated }) => isReplicated)).toBe(true);
    const { map } = a;
    expect(areEqual(a, b)).toBe(true);
    a.crash();
    b.crash();
    for (const [name, disk] of [
      ['a', b.disk],
      ['b', a.disk],
    ] as const) {
      const next = new World();
      const server = next.member(name, DURABLE, disk);
      expect(server.holds).toBe(1);
      next.elect(server, 2);
      expect(server.map).toEqual(map);
    }
  });

  it('a backup acknowledges what is durable there, and not before', () => {
    const world = new World();
    const a = world.member('a');
    const b = world.member('b', BY_HAND);
    world.elect(a, 1);
    world.pass(10);
    while (b.batches.length > 0) b.stored();
    world.pass(10);
    expect(b.holds).toBe(1);
    const client = world.client(a);
    const number = client.set('/a', '1');
    expect(b.map).toEqual({ '/a': '1' });
    expect(client.result(number)).toBeUndefined();
    b.stored();
    world.pass(10);
    expect(client.result(number)).toMatchObject({ isReplicated: true });
  });

  it('a backup whose disk is full lets the active one go on alone, and comes back', () => {
    const world = new World();
    const a = world.member('a');
    const b = world.member('b', BY_HAND);
    world.elect(a, 1);
    world.pass(10);
    while (b.batches.length > 0) b.stored();
    world.pass(10);
    const client = world.client(a);
    const number = client.set('/a', '1');
    b.stored(diskFull());
    world.pass(10);
    expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: false });
    client.set('/b', '1');
    expect(a.isAloneWanted).toBe(true);
    world.pass(STORE_REST);
    b.stored();
    world.pass(10);
    while (b.batches.length > 0) b.stored();
    world.pass(10);
    expect(a.isAloneWanted).toBe(false);
    expect(areEqual(a, b)).toBe(true);
  });

  it('what was public to the one that is gone is acknowledged once it is durable here', () => {
    const world = new World();
    const a = world.member('a');
    const b = world.member('b', BY_HAND);
    world.elect(a, 1);
    world.pass(10);
    while (b.batches.length > 0) b.stored();
    world.pass(10);
    const client = world.client(a);
    const number = client.set('/a', '1');
    expect(b.batches).toHaveLength(1);
    a.crash();
    world.elect(b, 2);
    client.connect(b);
    client.set('/a', '1', { number });
    expect(client.result(number)).toBeUndefined();
    b.stored();
    expect(client.result(number)).toMatchObject({ revision: 1 });
  });

  it('what was staged is taken out of the storage again by who steps down', () => {
    const world = new World();
    const [a, b] = world.pair(DURABLE);
    const client = world.client(a);
    client.set('/a', '1');
    client.set('/gone', '1');
    world.pass(10);
    world.lossy.add('a>b');
    client.set('/a', '2');
    client.set('/new', '1');
    client.delete('/gone');
    expect(a.disk.records.has(storedKeyOf('/new'))).toBe(true);
    world.elect(b, 2);
    world.settle();
    expect(a.disk.records.has(storedKeyOf('/new'))).toBe(false);
    a.crash();
    const again = world.member('a', DURABLE, a.disk);
    expect(again.map).toEqual({ '/a': '1', '/gone': '1' });
    expect(again.holds).toBe(1);
  });

  it('a snapshot is stored in pieces, and in the middle of it there is nothing to go on from', () => {
    const world = new World();
    const a = world.member('a');
    world.elect(a, 1);
    const client = world.client(a);
    for (let index = 0; index < 6000; index++) client.set(`/k/${index}`, `${index}`);
    const b = world.member('b', BY_HAND);
    b.guard!.highestEpoch = 1;
    b.call({ type: 'follow', epoch: 1, endpoint: 'a' });
    world.pass(100);
    expect(Object.keys(b.map)).toHaveLength(6000);
    b.stored();
    expect(b.holds).toBe(0);
    const middle = b.disk.recovery();
    expect(middle.position).toBeUndefined();
    expect(middle.faults).toEqual([]);
    expect(middle.records).toEqual([]);
    expect(middle.unused.length).toBeGreaterThan(1000);
    while (b.batches.length > 0) b.stored();
    world.pass(10);
    expect(b.holds).toBe(1);
    while (b.batches.length > 0) b.stored();
    expect(b.disk.recovery().position).toEqual({ epoch: 1, sequence: 6000 });
    expect(b.disk.recovery().records).toHaveLength(6000);
    expect(b.disk.recovery().holds).toBe(1);
  });

  it('who crashed in the middle of a snapshot begins anew, and leaves nothing behind', () => {
    const world = new World();
    const a = world.member('a');
    world.elect(a, 1);
    const client = world.client(a);
    for (let index = 0; index < 6000; index++) client.set(`/k/${index}`, `${index}`);
    const b = world.member('b', BY_HAND);
    b.guard!.highestEpoch = 1;
    b.call({ type: 'follow', epoch: 1, endpoint: 'a' });
    world.pass(100);
    b.stored();
    b.crash();
    client.write({ kind: 'clear', key: '' });
    client.set('/only', '1');
    const again = world.member('b', DURABLE, b.disk);
    again.guard!.highestEpoch = 1;
    again.call({ type: 'follow', epoch: 1, endpoint: 'a' });
    world.pass(100);
    expect(again.map).toEqual({ '/only': '1' });
    expect(b.disk.recovery().records.map(({ key }) => key)).toEqual(['/only']);
  });
});

/** What a server left that had two keys. */
function leftBehind(): PlayedDisk {
  const world = new World();
  const found = new PlayedDisk();
  const client = world.client(world.lone(DURABLE, found));
  client.set('/a', '1');
  client.set('/b', '1', { ttl: 60_000 });
  return found;
}

describe('what is found', () => {
  it('is whole', () => {
    const recovery = leftBehind().recovery();
    expect(recovery.faults).toEqual([]);
    expect(recovery.position).toEqual({ epoch: 1, sequence: 2 });
    expect(recovery.holds).toBe(1);
  });

  it('is nothing at first', () => {
    const recovery = new Recovery();
    expect(recovery.faults).toEqual([]);
    expect(recovery.position).toBeUndefined();
    expect([recovery.epoch, recovery.holds, recovery.sequence]).toEqual([0, 0, 0]);
  });

  it.each([
    ['a foreign key', 'x/1', [encodeText('{}')], 'no key of a CloneServer'],
    ['a key that is none', `k/${Buffer.from('a//b').toString('base64url')}`, [], 'no key'],
    [
      'a record that is no JSON',
      storedKeyOf('/c'),
      [encodeText('{'), encodeText('1')],
      "'revision'",
    ],
    [
      'a record without a value',
      storedKeyOf('/c'),
      [encodeText('{"revision":1}')],
      'it has no value',
    ],
    [
      'a record newer than all',
      storedKeyOf('/c'),
      [encodeText('{"revision":9}'), encodeText('1')],
      'newer',
    ],
    ['a time without an end', storedKeyOf('/c'), [encodeText('{"revision":1,"ttl":5}')], "'ttl'"],
    ['a writer', 'w/00', [encodeText('{"next":0,"done":[]}')], "'next'"],
    [
      'a writer that did more than it asked',
      'w/00',
      [encodeText('{"next":1,"done":[[3,1]]}')],
      'order',
    ],
    ['no sequence', 'm', [encodeText('{"reigns":[],"holds":0,"isWhole":true}')], "'sequence'"],
  ])('says what is wrong with %s', (_what, key, frames, reason) => {
    const found = leftBehind();
    found.records.set(key, frames);
    const recovery = found.recovery();
    expect(recovery.faults).toContainEqual({ key, reason: expect.stringContaining(reason) });
    expect(recovery.position).toBeUndefined();
    expect(recovery.holds).toBe(0);
  });

  it('says that what it says of all is missing', () => {
    const found = leftBehind();
    found.records.delete('m');
    expect(found.recovery().faults).toEqual([{ key: 'm', reason: 'it is missing' }]);
  });

  it('is used without what cannot be read, if that is accepted, and nobody goes on from it', () => {
    const found = leftBehind();
    found.records.set(storedKeyOf('/a'), [encodeText('?')]);
    const world = new World();
    const server = world.lone({ ...DURABLE, epoch: 2 }, found);
    expect(server.map).toEqual({ '/b': '1' });
    expect(server.count('recordUnreadable')).toBe(1);
    const { lineage, history } = server.machine.publication;
    expect(lineage.has({ epoch: 1, sequence: 2 }, history.published)).toBe(false);
    world.settle();
    server.crash();
    expect(found.recovery().faults).toEqual([]);
    expect(found.recovery().position).toEqual({ epoch: 2, sequence: 2 });
  });

  it.each(['w/00', 'k/none', 'x/1'])('%s is unreadable once, if that is accepted', (stored) => {
    const found = leftBehind();
    found.records.set(stored, [encodeText('?')]);
    const world = new World();
    const server = world.lone({ ...DURABLE, epoch: 2 }, found);
    world.settle();
    expect(server.count('recordUnreadable')).toBe(1);
    server.crash();
    expect(found.recovery().faults).toEqual([]);
  });
});
