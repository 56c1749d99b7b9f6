/** Time runs out at the active server alone, once, and a failover neither shortens nor lengthens it much. */
import { expect, it } from 'vitest';
import { areEqual, PlayedDisk, World } from './server-story.ts';

it('deletes a key when its time is over, as an ordinary update', () => {
  const world = new World();
  const server = world.lone();
  const client = world.client(server);
  client.set('/a', '1', { ttl: 500 });
  world.pass(499);
  expect(server.map).toEqual({ '/a': '1' });
  world.pass(2);
  expect(server.map).toEqual({});
  expect(server.events.at(-1)).toEqual({
    type: 'published',
    sequence: 2,
    kind: 'delete',
    key: '/a',
    isExpiry: true,
  });
  expect(client.updates.at(-1)).toMatchObject({ sequence: 2, kind: 'delete', key: '/a' });
});

it('a set ends the time of the one before, with or without its own', () => {
  const world = new World();
  const server = world.lone();
  const client = world.client(server);
  client.set('/a', '1', { ttl: 500 });
  client.set('/b', '1', { ttl: 500 });
  world.pass(400);
  client.set('/a', '2');
  client.set('/b', '2', { ttl: 500 });
  world.pass(200);
  expect(server.map).toEqual({ '/a': '2', '/b': '2' });
  world.pass(400);
  expect(server.map).toEqual({ '/a': '2' });
});

it('a passive server deletes nothing by itself', () => {
  const world = new World();
  const [a, b] = world.pair();
  world.client(a).set('/a', '1', { ttl: 500 });
  world.pass(10);
  a.isCut = true;
  world.pass(5000);
  expect(a.map).toEqual({});
  expect(b.map).toEqual({ '/a': '1' });
});

it('what was left is left after a failover', () => {
  const world = new World();
  const [a, b] = world.pair();
  world.client(a).set('/a', '1', { ttl: 1000 });
  world.pass(600);
  a.crash();
  world.elect(b, 2);
  world.pass(300);
  expect(b.map).toEqual({ '/a': '1' });
  world.pass(150);
  expect(b.map).toEqual({});
});

it('what came in a snapshot has the time that was left, not all of it', () => {
  const world = new World();
  const a = world.member('a');
  world.elect(a, 1);
  world.client(a).set('/a', '1', { ttl: 1000 });
  world.pass(600);
  const b = world.member('b');
  b.guard!.highestEpoch = 1;
  b.call({ type: 'follow', epoch: 1, endpoint: 'a' });
  world.pass(10);
  a.crash();
  world.elect(b, 2);
  world.pass(300);
  expect(b.map).toEqual({ '/a': '1' });
  world.pass(150);
  expect(b.map).toEqual({});
});

it('what ran out while nobody served is deleted as soon as somebody does', () => {
  const world = new World();
  const [a, b] = world.pair();
  world.client(a).set('/a', '1', { ttl: 500 });
  world.pass(10);
  a.crash();
  world.pass(5000);
  expect(b.map).toEqual({ '/a': '1' });
  world.elect(b, 2);
  world.pass(1);
  expect(b.map).toEqual({});
  expect(b.count('published')).toBe(1);
});

it('an expiry that is not public is dropped with the reign, and made by the next one', () => {
  const world = new World();
  const [a, b] = world.pair();
  world.client(a).set('/a', '1', { ttl: 500 });
  world.pass(10);
  world.lossy.add('a>b');
  world.pass(600);
  expect(a.map).toEqual({ '/a': '1' });
  expect(a.machine.status().pending).toBe(1);
  world.lossy.clear();
  world.elect(b, 2);
  world.pass(3000);
  expect(b.map).toEqual({});
  expect(areEqual(a, b)).toBe(true);
  expect(b.events).toContainEqual(expect.objectContaining({ type: 'published', isExpiry: true }));
});

it('a set that is accepted and not public yet saves its key', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  client.set('/a', '1', { ttl: 500 });
  world.pass(10);
  world.lossy.add('b>a');
  client.set('/a', '2');
  world.pass(700);
  world.lossy.clear();
  world.pass(5000);
  expect(a.map).toEqual({ '/a': '2' });
  expect(areEqual(a, b)).toBe(true);
});

it('many at one instant are deleted in pieces, and all of them', () => {
  const world = new World();
  const server = world.lone();
  const client = world.client(server);
  for (let index = 0; index < 2500; index++) client.set(`/k/${index}`, '1', { ttl: 500 });
  world.pass(510);
  expect(server.map).toEqual({});
});

it('a key without any time to live is stored as such, and deleted after a crash', () => {
  const world = new World();
  const disk = new PlayedDisk();
  const server = world.lone({ isDurable: true }, disk);
  server.stored();
  world.client(server).set('/a', '1', { ttl: 0 });
  server.stored();
  server.crash();
  expect(disk.recovery().faults).toEqual([]);
  const again = world.lone({ isDurable: true, storesAtOnce: true, epoch: 2 }, disk);
  world.pass(1);
  expect(again.map).toEqual({});
});
