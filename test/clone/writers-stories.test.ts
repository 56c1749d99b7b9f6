/** What each writer asks for is done in its order, once, and every word of it is answered. */
import { describe, expect, it } from 'vitest';
import { SPAN } from '../../src/clone/server/writers.ts';
import { World, type ServerOptions } from './server-story.ts';

function lone(options: ServerOptions = {}) {
  const world = new World();
  const server = world.lone(options);
  return { world, server, client: world.client(server) };
}

describe('in order, once', () => {
  it('does each number once, however often it comes', () => {
    const { server, client } = lone();
    const number = client.set('/a', '1', { ifMatch: 0 });
    client.set('/a', '1', { number, ifMatch: 0 });
    client.set('/a', '1', { number, ifMatch: 0 });
    expect(client.results.map(({ revision, refusal }) => [revision, refusal])).toEqual([
      [1, undefined],
      [1, undefined],
      [1, undefined],
    ]);
    expect(server.count('writeRepeated')).toBe(2);
    expect(server.machine.publication.history.published).toBe(1);
  });

  it('asks for what is missing, and does nothing before', () => {
    const { server, client } = lone();
    client.set('/a', '1');
    client.set('/b', '1', { number: 3 });
    expect(client.commands.at(-1)).toEqual({ type: 'expected', number: 2 });
    expect(server.map).toEqual({ '/a': '1' });
    expect(server.count('writeMissing')).toBe(1);
    client.set('/a', '2', { number: 2 });
    client.set('/b', '1', { number: 3 });
    expect(server.map).toEqual({ '/a': '2', '/b': '1' });
  });

  it('a writer that was never heard begins with the lowest that it wants', () => {
    const { server, client } = lone();
    client.floor = 5;
    client.set('/a', '1', { number: 6 });
    expect(client.commands.at(-1)).toEqual({ type: 'expected', number: 5 });
    client.set('/a', '1', { number: 5 });
    expect(server.map).toEqual({ '/a': '1' });
  });

  it('what was given up is not waited for, nor done later', () => {
    const { server, client } = lone();
    client.set('/a', '1');
    client.set('/c', '1', { number: 3, floor: 3 });
    expect(server.map).toEqual({ '/a': '1', '/c': '1' });
    client.set('/b', '1', { number: 2, floor: 2 });
    expect(server.map).toEqual({ '/a': '1', '/c': '1' });
    expect(client.result(2)).toBeUndefined();
  });

  it('a refusal is remembered as it was', () => {
    const { client } = lone();
    const number = client.set('/a', '1', { ifMatch: 5 });
    expect(client.result(number)).toMatchObject({ refusal: 'conflict', revision: 0 });
    client.set('/a', '1');
    client.set('/a', '1', { number, ifMatch: 1 });
    expect(client.result(number)).toMatchObject({ refusal: 'conflict', revision: 0 });
  });

  it('the same writer on another link is the same', () => {
    const { world, server, client } = lone();
    const number = client.set('/a', '1');
    const other = world.client(server);
    Object.assign(other, { writer: client.writer });
    other.connect(server);
    other.set('/a', '1', { number });
    expect(other.result(number)).toMatchObject({ revision: 1 });
    expect(server.machine.publication.history.published).toBe(1);
  });

  it('who has not followed cannot write', () => {
    const { world, server } = lone();
    server.hear('peers', 'nobody', {
      type: 'write',
      number: 1,
      floor: 1,
      kind: 'set',
      key: '/a',
      value: [Buffer.from('1')],
    });
    world.settle();
    expect(server.map).toEqual({});
    expect(server.count('ignored')).toBe(1);
  });

  it('keys of both writers end as the last of each said', () => {
    const { world, server, client } = lone();
    const other = world.client(server);
    for (let index = 0; index < 10; index++) {
      client.set('/mine', `${index}`);
      other.set('/theirs', `${index}`);
    }
    expect(server.map).toEqual({ '/mine': '9', '/theirs': '9' });
  });
});

describe('what is refused', () => {
  it.each([
    ['HUGZ', 'invalidKey'],
    ['', 'invalidKey'],
    ['/a/', 'invalidKey'],
    ['/a//b', 'invalidKey'],
    [`/${'a'.repeat(255)}`, 'invalidKey'],
    ['/a\nb', 'invalidKey'],
  ])('the key %j', (key, refusal) => {
    const { server, client } = lone();
    expect(client.result(client.set(key, '1'))).toMatchObject({ refusal, revision: 0 });
    expect(server.map).toEqual({});
  });

  it('a value of no bytes, or of too many, or a delete with one', () => {
    const { server, client } = lone({ valueBytes: 3 });
    expect(client.result(client.set('/a', ''))).toMatchObject({ refusal: 'invalidValue' });
    expect(client.result(client.set('/a', '1234'))).toMatchObject({ refusal: 'invalidValue' });
    const value = [Buffer.from('1')];
    expect(client.result(client.delete('/a', { value }))).toMatchObject({
      refusal: 'invalidValue',
    });
    expect(client.result(client.write({ kind: 'set', value: [...value, ...value] }))).toMatchObject(
      {
        refusal: 'invalidValue',
      },
    );
    expect(client.result(client.set('/a', '123'))).toMatchObject({ revision: 1 });
    expect(server.count('writeRefused')).toBe(4);
  });

  it('a conflict, with the revision that there is', () => {
    const { client } = lone();
    client.set('/a', '1');
    client.set('/a', '2');
    expect(client.result(client.set('/a', '3', { ifMatch: 1 }))).toMatchObject({
      refusal: 'conflict',
      revision: 2,
    });
    expect(client.result(client.set('/a', '3', { ifMatch: 0 }))).toMatchObject({
      refusal: 'conflict',
    });
    expect(client.result(client.delete('/a', { ifMatch: 1 }))).toMatchObject({
      refusal: 'conflict',
    });
    expect(client.result(client.delete('/a', { ifMatch: 2 }))).toMatchObject({ revision: 3 });
    expect(client.result(client.delete('/a', { ifMatch: 0 }))).toMatchObject({ revision: 3 });
  });

  it('more keys, or bytes, than may be; what does not grow is no more', () => {
    const { client } = lone({ keyLimit: 2 });
    client.set('/a', '1');
    client.set('/b', '1');
    expect(client.result(client.set('/c', '1'))).toMatchObject({
      refusal: 'full',
      retryAfter: 1000,
    });
    expect(client.result(client.set('/b', '2'))!.refusal).toBeUndefined();
    client.delete('/a');
    expect(client.result(client.set('/c', '1'))!.refusal).toBeUndefined();
    const small = lone({ stateBytes: 120 });
    small.client.set('/a', '0123456789');
    expect(small.client.result(small.client.set('/a', 'x'.repeat(30)))).toMatchObject({
      refusal: 'full',
    });
    expect(small.client.result(small.client.set('/a', '9876543210'))!.refusal).toBeUndefined();
  });

  it('counts what is accepted and not public as if it was there', () => {
    const { server, client } = lone({ isDurable: true, keyLimit: 2 });
    server.stored();
    client.set('/a', '1');
    client.set('/b', '1');
    expect(client.result(client.set('/c', '1'))).toMatchObject({ refusal: 'full' });
  });

  it('more than may wait', () => {
    const { server, client } = lone({ isDurable: true, pendingLimit: 2 });
    server.stored();
    client.set('/a', '1');
    client.set('/b', '1');
    expect(client.result(client.set('/c', '1'))).toMatchObject({
      refusal: 'busy',
      retryAfter: 100,
    });
    server.stored();
    server.stored();
    expect(client.result(client.set('/c', '1'))).toBeUndefined();
    server.stored();
    expect(server.map).toEqual({ '/a': '1', '/b': '1', '/c': '1' });
  });

  it('nothing while it drains: what is new is for another server, or a later life', () => {
    const { world, server, client } = lone({ isDurable: true });
    server.stored();
    const first = client.set('/a', '1');
    server.call({ type: 'drain' });
    const second = client.set('/b', '1');
    server.stored();
    world.settle();
    expect(client.result(second)).toBeUndefined();
    expect(server.map).toEqual({ '/a': '1' });
    expect(client.result(first)).toMatchObject({ revision: 1 });
    expect(server.count('drained')).toBe(1);
  });
});

describe('deletes and clears', () => {
  it('what is absent is deleted already, and nothing is numbered', () => {
    const { server, client } = lone();
    client.set('/a', '1');
    expect(client.result(client.delete('/b'))).toMatchObject({ revision: 1 });
    expect(server.machine.publication.history.published).toBe(1);
  });

  it('what was deleted and is not public yet is not absent before it is', () => {
    const { server, client } = lone({ isDurable: true });
    server.stored();
    client.set('/a', '1');
    server.stored();
    client.delete('/a');
    const again = client.delete('/a');
    expect(client.result(again)).toBeUndefined();
    server.stored();
    expect(client.result(again)).toMatchObject({ revision: 2 });
  });

  it('a clear is one update, and what is set behind it stays', () => {
    const { server, client } = lone({ isDurable: true });
    server.stored();
    for (const key of ['/a/b', '/a/c/d', '/ab']) client.set(key, '1');
    client.write({ kind: 'clear', key: '/a/' });
    client.set('/a/b', '2', { ifMatch: 0 });
    while (server.batches.length > 0) server.stored();
    expect(server.map).toEqual({ '/ab': '1', '/a/b': '2' });
    expect(server.machine.publication.history.published).toBe(5);
  });

  it('for stock clients each key has a number of its own', () => {
    const { server, client } = lone();
    server.call({ type: 'serveStock' });
    for (const key of ['/a/b', '/a/c', '/d']) client.set(key, '1');
    const number = client.write({ kind: 'clear', key: '/a/' });
    expect(server.map).toEqual({ '/d': '1' });
    expect(client.result(number)).toMatchObject({ revision: 5 });
    expect(client.updates.slice(-2).map(({ kind, key }) => [kind, key])).toEqual([
      ['delete', '/a/b'],
      ['delete', '/a/c'],
    ]);
    expect(client.result(client.write({ kind: 'clear', key: '/a/' }))).toMatchObject({
      revision: 5,
    });
  });
});

describe('what is remembered', () => {
  it('a writer that said goodbye is forgotten', () => {
    const { world, server, client } = lone({ writerLimit: 1 });
    client.set('/a', '1');
    client.say({ type: 'goodbye' });
    world.settle();
    expect(server.count('writerForgotten')).toBe(1);
    const other = world.client(server);
    expect(other.result(other.set('/b', '1'))).toMatchObject({ revision: 2 });
  });

  it('one that may still ask is not forgotten for another one', () => {
    const { world, server, client } = lone({ writerLimit: 1 });
    client.set('/a', '1');
    const other = world.client(server);
    expect(other.result(other.set('/b', '1'))).toMatchObject({ refusal: 'busy' });
    expect(server.machine.status().writers).toBe(1);
  });

  it('one that was silent for its time is', () => {
    const { world, server, client } = lone({ writerTtl: 300_000 });
    client.set('/a', '1');
    world.pass(299_000);
    expect(server.machine.status().writers).toBe(1);
    world.pass(2000);
    expect(server.machine.status().writers).toBe(0);
  });

  it('what is done while a backup is told of the writers is known to it, too', () => {
    const world = new World();
    const a = world.member('a', { historyLimit: 1 });
    world.elect(a, 1);
    const client = world.client(a);
    // Together more than the window: the writers have to wait.
    client.set('/large/1', '.'.repeat(1_900_000));
    client.set('/large/2', '.'.repeat(3_000_000));
    const b = world.member('b');
    b.call({ type: 'follow', epoch: 1, endpoint: 'a' });
    const number = client.set('/a', '1');
    world.pass(20);
    expect(b.holds).toBe(1);
    a.crash();
    world.elect(b, 2);
    client.connect(b);
    client.set('/a', '1', { number });
    expect(client.result(number)).toMatchObject({ revision: 3 });
    expect(b.count('writeRepeated')).toBe(1);
  });

  it('those that left the server before do not keep new ones out after a failover', () => {
    const world = new World();
    const [a, b] = world.pair({ writerLimit: 2 });
    for (let count = 0; count < 5; count++) {
      const client = world.client(a);
      client.set('/a', '1');
      client.say({ type: 'goodbye' });
      world.pass(5);
    }
    a.crash();
    world.elect(b, 2);
    const refusals = Array.from({ length: 3 }, () => {
      const client = world.client(b);
      return client.result(client.set('/a', '2'))!.refusal;
    });
    expect(refusals).toEqual([undefined, undefined, 'busy']);
  });

  it('who wrote nothing leaves nothing behind, in memory or in the storage', () => {
    const { world, server } = lone({ isDurable: true });
    server.stored();
    for (let count = 0; count < 10; count++) {
      const client = world.client(server);
      client.set('no path', '1');
      client.say({ type: 'goodbye' });
    }
    world.client(server).set('/a', '1');
    expect(server.batches).toHaveLength(1);
    expect(server.batches[0]!.batch.deletes).toEqual([]);
  });

  it('what is open of one writer is bounded', () => {
    const { world, server, client } = lone();
    client.set('/a', '1');
    for (let number = 2; number <= SPAN; number++) {
      server.hear('peers', client.name, {
        type: 'write',
        number,
        floor: 1,
        kind: 'delete',
        key: '/none',
        value: [],
      });
      if (number % 1000 === 0) world.settle();
    }
    client.set('/b', '1', { number: SPAN + 1 });
    expect(client.result(SPAN + 1)).toMatchObject({ refusal: 'busy' });
    client.set('/b', '1', { number: SPAN + 2, floor: SPAN + 2 });
    expect(client.result(SPAN + 2)).toMatchObject({ revision: 2 });
  });
});
