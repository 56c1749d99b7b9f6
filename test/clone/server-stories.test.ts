/** A Clone server, told as stories over its bare machine. */
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../src/core/errors.ts';
import { encodeText } from '../../src/core/frames.ts';
import { STORE_REST } from '../../src/clone/server/store-desk.ts';
import { PlayedGuard, ServerStage } from './server-stage.ts';

describe('a server alone', () => {
  test('serves at once, under the epoch it was given', () => {
    const server = new ServerStage();
    expect(server.told).toEqual(['becameActive']);
    expect(server.status).toMatchObject({ state: 'active', epoch: 7, servesAlone: true });
    expect(server.status.position).toEqual({ epoch: 7, sequence: 0 });
  });

  test('publishes a write in the turn in which it comes, and then says so to its writer', () => {
    const server = new ServerStage();
    const reader = server.follow('x');
    const other = server.follow('y', { subtree: '/other/' });
    server.set('x', '/a');
    expect(reader.contents()).toEqual({ '/a': '1 value' });
    expect(other.log).toEqual(['begin snapshot 0', 'end 0', 'beat 0']);
    expect(server.result('x')).toMatchObject({ revision: 1, isReplicated: false });
    expect(server.told.slice(-1)).toEqual(['published']);
    server.write('x', { kind: 'delete', key: '/a' });
    server.write('x', { kind: 'delete', key: '/a' });
    expect(server.results('x')).toEqual([1, 2, 2]);
    // The second delete made nothing: what it was decided upon is confirmed.
    expect(reader.log.at(-1)).toBe('beat 2');
  });

  test('has results that find no room leave as soon as there is some, in order', () => {
    const server = new ServerStage();
    server.follow('x');
    server.full.add('x');
    for (const key of ['/a', '/b', '/c']) server.set('x', key);
    expect(server.results('x')).toEqual([]);
    server.makeRoom('x');
    expect(server.results('x')).toEqual([1, 2, 3]);
    server.full.add('x');
    server.set('x', '/d');
    server.gone('x');
    server.makeRoom('x');
    expect(server.results('x')).toEqual([1, 2, 3]);
  });

  test('lets nobody follow what is no subtree', () => {
    const server = new ServerStage();
    server.follow('x', { subtree: 'no/path' });
    expect(server.told).toContain('followerRefused subtree');
    expect(server.said).toMatchObject([{ to: 'x', command: { type: 'redirect', endpoint: '' } }]);
    expect(server.status.followers).toEqual([]);
  });

  test('refuses what it should not do, and does the next one all the same', () => {
    const server = new ServerStage({ keyLimit: 1 });
    server.follow('x');
    server.set('x', '/a');
    server.set('x', '/a', { ifMatch: 0 });
    server.set('x', '/b');
    server.set('x', 'a');
    server.set('x', '/a', { value: [encodeText('')] });
    server.set('x', '/a', { ifMatch: 1 });
    expect(server.results('x')).toEqual([1, 'conflict', 'full', 'invalidKey', 'invalidValue', 2]);
  });

  test('does a repeated write once, and asks for a missing one', () => {
    const server = new ServerStage();
    server.follow('x');
    server.set('x', '/a', { number: 1 });
    server.set('x', '/a', { number: 1 });
    expect(server.results('x')).toEqual([1, 1]);
    server.set('x', '/a', { number: 3 });
    expect(server.said.at(-1)?.command).toEqual({ type: 'expected', number: 2 });
    expect(server.status.position.sequence).toBe(1);
  });

  test('deletes a key whose time is over, by an update as any other', () => {
    const server = new ServerStage();
    const reader = server.follow('x');
    server.set('x', '/a', { ttl: 50 });
    server.pass(49);
    expect(reader.contents()).toEqual({ '/a': '1 value' });
    server.pass(1);
    expect(reader.log.at(-1)).toBe('delete /a 2 after 1');
    expect(server.events.at(-1)).toMatchObject({ type: 'published', isExpiry: true });
  });

  test('ignores a write of somebody who does not follow', () => {
    const server = new ServerStage();
    server.set('x', '/a');
    expect(server.told.at(-1)).toBe('ignored unexpected');
    expect(server.status.keys).toBe(0);
  });

  test('forgets who says goodbye, and whose link breaks', () => {
    const server = new ServerStage();
    server.follow('x');
    server.follow('y');
    server.say('x', { type: 'goodbye' });
    server.gone('y');
    expect(server.told.slice(-2)).toEqual(['followerLost goodbye', 'followerLost linkBroken']);
    expect(server.status.followers).toEqual([]);
  });

  test('joins none too late: whoever follows between two writes has both', () => {
    const server = new ServerStage();
    server.follow('writer');
    for (let count = 0; count < 20; count++) {
      server.set('writer', `/before/${count}`);
      const reader = server.follow(`reader-${count}`);
      server.set('writer', `/after/${count}`);
      expect(reader.map.size).toBe(2 * (count + 1));
    }
    server.pass(100);
    for (const reader of server.readers.values()) {
      expect(reader.position).toEqual({ epoch: 7, sequence: 40 });
      expect(reader.map.size).toBe(40);
    }
  });

  test('with a history of 8 and a writer that never rests, leaves nobody without an end', () => {
    const server = new ServerStage({ historyLimit: 8 });
    server.follow('writer');
    for (let count = 0; count < 300; count++) server.set('writer', `/key/${count}`);
    const reader = server.follow('x', { window: 4000 });
    let rounds = 0;
    for (; reader.snapshots === 0; rounds++) {
      for (let count = 0; count < 10; count++) server.set('writer', `/key/${count * rounds}`);
      server.progress('x');
      server.progress('writer');
      server.pass(1);
      expect(rounds).toBeLessThan(100);
    }
    expect(server.told).not.toContain('followerLeftBehind');
  });

  test('brings out what it has, says where else to go, and is drained', () => {
    const server = new ServerStage();
    server.follow('x');
    server.set('x', '/a');
    server.call({ type: 'drain' });
    expect(server.told.slice(-3)).toEqual(['followerLost standBy', 'becamePassive', 'drained']);
    expect(server.said.at(-1)?.command).toEqual({ type: 'redirect', epoch: 7, endpoint: '' });
    expect(server.machine.nextTimeout).toBe(Infinity);
    expect(server.status.state).toBe('closed');
    server.say('x', { type: 'goodbye' });
    server.call({ type: 'stop' });
    expect(server.told.filter((type) => type === 'drained')).toHaveLength(1);
  });
});

describe('with a store', () => {
  test('publishes once it is durable, and answers then', () => {
    const server = new ServerStage({ isDurable: true });
    server.stored();
    const reader = server.follow('x');
    server.set('x', '/a');
    expect(reader.contents()).toEqual({});
    expect(server.status.pending).toBe(1);
    server.stored();
    expect(reader.contents()).toEqual({ '/a': '1 value' });
    expect(server.results('x')).toEqual([1]);
  });

  test('drains when all is durable', () => {
    const server = new ServerStage({ isDurable: true });
    server.stored();
    server.follow('x');
    server.set('x', '/a');
    server.call({ type: 'drain' });
    expect(server.status.state).toBe('draining');
    // What comes now is for whoever serves next.
    server.set('x', '/b');
    expect(server.results('x')).toEqual([]);
    server.stored();
    expect(server.results('x')).toEqual([1]);
    expect(server.told.at(-1)).toBe('drained');
  });

  test('refuses what the storage does not take', () => {
    const server = new ServerStage({ isDurable: true });
    server.stored();
    server.follow('x');
    server.set('x', '/a');
    server.stored(new Error('the disk is gone'));
    server.set('x', '/b');
    expect(server.results('x').at(-1)).toBe('storageFailed');
    expect(server.told).toContain('storeFailed');
    expect(server.status.keys).toBe(0);
  });
});

/** One that knows where the other serves. */
function passive(): { readonly server: ServerStage; readonly guard: PlayedGuard } {
  const guard = new PlayedGuard();
  guard.highestEpoch = 3;
  guard.activeEndpoint = 'tcp://there';
  return { server: new ServerStage({ guard }), guard };
}

describe('one of a pair', () => {
  test('sends clients to the other one while it is passive, which is a vote', () => {
    const { server, guard } = passive();
    expect(server.status).toMatchObject({ state: 'passive', epoch: 0 });
    server.follow('x', { epoch: 2 });
    expect(server.said).toEqual([
      { to: 'x', command: { type: 'redirect', epoch: 3, endpoint: 'tcp://there' } },
    ]);
    expect(guard.votes).toBe(1);
    server.set('x', '/a');
    expect(server.said).toHaveLength(2);
    expect(server.told).toEqual(['redirected', 'redirected']);
  });

  test('publishes nothing until it may do so alone', () => {
    const { server, guard } = passive();
    guard.epoch = 4;
    server.call({ type: 'activate', epoch: 4 });
    expect(server.told).toEqual(['becameActive', 'holds', 'alone']);
    const reader = server.follow('x');
    server.set('x', '/a');
    expect(reader.contents()).toEqual({});
    expect(server.results('x')).toEqual([]);
    server.call({ type: 'servesAlone', epoch: 4 });
    expect(reader.contents()).toEqual({ '/a': '1 value' });
    expect(server.result('x')).toMatchObject({ revision: 1, isReplicated: false });
  });

  test('serves no more when somebody shows a higher epoch, and drops what was not public', () => {
    const { server, guard } = passive();
    guard.epoch = 4;
    guard.highestEpoch = 4;
    server.call({ type: 'activate', epoch: 4 });
    server.follow('x');
    server.set('x', '/a');
    guard.activeEndpoint = 'tcp://other';
    server.say('y', { type: 'progress', stream: 1, received: 0, sequence: 0, epoch: 5 });
    expect(server.said.slice(-2)).toEqual([
      { to: 'x', command: { type: 'redirect', epoch: 5, endpoint: 'tcp://other' } },
      { to: 'y', command: { type: 'redirect', epoch: 5, endpoint: 'tcp://other' } },
    ]);
    expect(server.told).toContain('becamePassive');
    expect(server.status).toMatchObject({ state: 'passive', pending: 0, keys: 0 });
    expect(server.results('x')).toEqual([]);
  });

  test('ignores a call to serve under an epoch that is not its own', () => {
    const { server } = passive();
    server.call({ type: 'activate', epoch: 4 });
    expect(server.status.state).toBe('passive');
    expect(server.told).toEqual([]);
  });
});

describe('stock peers', () => {
  test('are served once their sockets are bound', () => {
    const server = new ServerStage();
    server.follow('x');
    server.set('x', '/a');
    expect(server.published).toEqual([]);
    server.call({ type: 'serveStock' });
    server.set('x', '/b', { ttl: 1000 });
    server.write('x', { kind: 'clear', key: '' });
    expect(server.published).toMatchObject([
      { type: 'kvpub', key: '/b', sequence: 2, ttl: 1000 },
      { type: 'kvpub', key: '/a', sequence: 3, value: new Uint8Array() },
      { type: 'kvpub', key: '/b', sequence: 4, value: new Uint8Array() },
    ]);
    server.pass(100);
    expect(server.published.at(-1)).toEqual({ type: 'hugz', sequence: 4 });
  });

  test('may repeat what the storage did not take', () => {
    const server = new ServerStage({ isDurable: true });
    server.call({ type: 'serveStock' });
    server.stored();
    const write = { type: 'kvset', key: '/s', uuid: 'u'.repeat(16) } as const;
    server.say('', { ...write, value: encodeText('1') }, 'collector');
    server.stored(new StorageError('ERR_STORAGE_FULL', 'no room'));
    server.pass(STORE_REST);
    server.stored();
    for (let count = 0; count < 2; count++) {
      server.say('', { ...write, value: encodeText('1') }, 'collector');
      server.stored();
    }
    expect(server.published.filter(({ type }) => type === 'kvpub')).toHaveLength(1);
  });

  test('get a snapshot, and may write', () => {
    const server = new ServerStage();
    const reader = server.follow('x');
    server.set('x', '/a');
    server.call({ type: 'serveStock' });
    const uuid = 'u'.repeat(16);
    const value = encodeText('stock');
    server.say('', { type: 'kvset', key: '/s', uuid, value }, 'collector');
    server.say('', { type: 'kvset', key: '/s', uuid, value }, 'collector');
    expect(server.published).toMatchObject([{ key: '/s', sequence: 2, uuid }]);
    expect(reader.contents()).toEqual({ '/a': '1 value', '/s': '2 stock' });
    server.say('stock', { type: 'icanhaz', subtree: '/s' });
    expect(server.said.slice(-2)).toMatchObject([
      { to: 'stock', command: { type: 'kvsync', key: '/s' } },
      { to: 'stock', command: { type: 'kthxbai', sequence: 2, subtree: '/s' } },
    ]);
  });
});
