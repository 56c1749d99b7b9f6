/** A feed brings the map to all who follow, and waits for none of them. */
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import { FeedWorld } from './feed-world.ts';

describe('one who follows', () => {
  test('gets what is there, then what comes, in the turn in which it comes', () => {
    const world = new FeedWorld();
    world.set('/a');
    world.set('/b');
    const reader = world.follow('x');
    expect(reader.log).toEqual(['begin snapshot 2', 'end 2', 'beat 2']);
    world.set('/a');
    world.delete('/b');
    expect(reader.log.slice(3)).toEqual(['set /a 3 after 2', 'delete /b 4 after 3']);
    expect(reader.contents()).toEqual(world.contents());
    expect(world.status('x')).toMatchObject({ state: 'live', isBackup: false });
  });

  test('misses nothing that is published at the instant at which it joins', () => {
    for (let before = 0; before < 5; before++) {
      const world = new FeedWorld();
      const late = (): void => world.set('/late');
      for (let index = 0; index < before; index++) world.set(`/key/${index}`);
      if (before % 2 === 0) late();
      const reader = world.follow('x');
      if (before % 2 === 1) late();
      expect(reader.contents()).toEqual(world.contents());
      world.pass(100);
      expect(reader.position).toEqual({ epoch: 7, sequence: before + 1 });
    }
  });

  test('is told of its subtree alone, with the predecessors there', () => {
    const world = new FeedWorld();
    world.set('/a/1');
    world.set('/b/1');
    const a = world.follow('a', { subtree: '/a/' });
    const key = world.follow('key', { subtree: '/a/2' });
    world.set('/a/2');
    world.set('/b/2');
    world.set('/a/3');
    world.clear('/a/');
    world.clear('/b/');
    expect(a.log).toEqual([
      'begin snapshot 2',
      'end 1',
      'beat 2',
      'set /a/2 3 after 2',
      'set /a/3 5 after 3',
      'clear /a/ 6 after 5',
    ]);
    expect(key.log.slice(3)).toEqual(['set /a/2 3 after 2', 'clear /a/ 6 after 3']);
    world.pass(100);
    expect(a.position).toEqual({ epoch: 7, sequence: 7 });
    expect(a.contents()).toEqual({});
  });

  test('goes on from its position, as far as the history reaches', () => {
    const world = new FeedWorld({ historyLimit: 4 });
    for (let index = 1; index <= 10; index++) world.set(`/key/${index % 3}`);
    const near = world.follow('near', { position: { epoch: 7, sequence: 6 } });
    expect(near.log[0]).toBe('begin continue 6');
    expect(near.last).toBe(10);
    const far = world.follow('far', { position: { epoch: 7, sequence: 5 } });
    expect(far.log[0]).toBe('begin snapshot 10');
    const ahead = world.follow('ahead', { position: { epoch: 7, sequence: 11 } });
    expect(ahead.log[0]).toBe('begin snapshot 10');
    const stranger = world.follow('stranger', { position: { epoch: 6, sequence: 10 } });
    expect(stranger.log[0]).toBe('begin snapshot 10');
  });

  test('goes on over a change of epochs, unless it had what the next one did not take over', () => {
    const world = new FeedWorld();
    world.set('/a');
    world.set('/b');
    world.lineage.begin(9, 2);
    world.set('/c');
    expect(world.follow('x', { position: { epoch: 7, sequence: 2 } }).log[0]).toBe(
      'begin continue 2',
    );
    expect(world.follow('y', { position: { epoch: 7, sequence: 3 } }).log[0]).toBe(
      'begin snapshot 3',
    );
    expect(world.follow('z', { position: { epoch: 9, sequence: 1 } }).log[0]).toBe(
      'begin continue 1',
    );
  });

  test('asks for a stream again under its number in vain, and under a higher one not', () => {
    const world = new FeedWorld();
    world.set('/a');
    const reader = world.follow('x', { stream: 5 });
    world.follow('x', { stream: 5 });
    expect(reader.log).toHaveLength(3);
    world.feed.follow(world.now, 'x', {
      type: 'follow',
      stream: 4,
      subtree: '',
      window: 1000,
      epoch: 0,
      isBackup: false,
      writer: 'writer-a',
      heartbeatInterval: 100,
      heartbeatLiveness: 3,
    });
    expect(world.events.at(-1)).toEqual({ type: 'ignored', from: 'x', reason: 'stale' });
    world.follow('x', { stream: 6, position: { epoch: 7, sequence: 1 } });
    expect(reader.log.slice(3)).toEqual(['begin continue 1', 'beat 1']);
    // Another process at the same address counts from one.
    world.follow('x', { stream: 1, writer: 'writer-b' });
    expect(reader.log.slice(5)).toEqual(['begin snapshot 1', 'end 1', 'beat 1']);
    expect(world.feed.size).toBe(1);
  });

  test('sees the origin of its own writes alone', () => {
    const world = new FeedWorld();
    const origins: unknown[] = [];
    const reader = world.follow('x');
    const take = reader.take.bind(reader);
    reader.take = (command) => {
      if (command.type === 'update') origins.push(command.origin);
      take(command);
    };
    world.set('/a', { origin: { writer: 'writer-a', number: 1 } });
    world.set('/a', { origin: { writer: 'writer-b', number: 1 } });
    expect(origins).toEqual([{ writer: 'writer-a', number: 1 }, undefined]);
  });
});

/** Parts of what `large` has. */
const PARTS = ['/k/1/', '/k/2/', '/k/3/', '/k/4/', '/k/5/', '/none/', '/k/1/7'];

function large(): FeedWorld {
  const world = new FeedWorld();
  for (let index = 0; index < 20_000; index++) world.set(`/k/${index % 10}/${index}`);
  return world;
}

describe('many at once, each for another part of a large map', () => {
  test('share a scan, and the server rests before', () => {
    const world = large();
    const readers = PARTS.map((subtree) => world.follow(`of ${subtree}`, { subtree }));
    // The first one has its scan at once, and a single key needs none.
    expect(readers.filter(({ log }) => log.length > 0)).toEqual([readers[0], readers[6]]);
    world.follow('other', { subtree: '/k/1/' });
    expect(world.feed.size).toBe(3);
    world.pass(2);
    expect(world.feed.size).toBe(8);
    world.pass(60);
    for (const [index, subtree] of PARTS.entries()) {
      const reader = readers[index]!;
      world.set(subtree.endsWith('/') ? `${subtree}new` : subtree);
      expect(reader.contents()).toEqual(world.contents(subtree));
      expect(reader.log).toContainEqual(expect.stringMatching(/^beat/));
    }
    // Whose channel was made for nobody else is gone with them.
    const channels = world.feed.channels.size;
    for (const subtree of PARTS) world.feed.goodbye(world.now, `of ${subtree}`);
    expect(world.feed.channels.size).toBe(channels - PARTS.length + 1);
  });

  test('are no longer waited for when they are gone, or the server serves no more', () => {
    const world = large();
    for (const subtree of PARTS) world.follow(`of ${subtree}`, { subtree });
    world.feed.handleGone(world.now, 'of /k/2/');
    world.feed.goodbye(world.now, 'of /k/3/');
    world.pass(2);
    expect(world.feed.size).toBe(5);
    world.follow('late', { subtree: '/k/6/' });
    world.feed.end('standBy', { type: 'redirect', epoch: 7, endpoint: '' });
    world.pass(100);
    expect(world.feed.size).toBe(0);
    expect(world.feed.nextDue).toBe(Infinity);
  });
});

describe('a slow one', () => {
  test('is sent no more than its window and one command', () => {
    const world = new FeedWorld();
    const slow = world.follow('slow', { window: 1000 });
    const quick = world.follow('quick');
    for (let index = 0; index < 50; index++) world.set(`/key/${index}`);
    expect(quick.last).toBe(50);
    expect(slow.received).toBeLessThan(1000 + 100);
    expect(slow.received).toBeGreaterThanOrEqual(1000);
    expect(world.status('slow')).toMatchObject({ state: 'catchingUp', inFlight: slow.received });
    for (let rounds = 0; slow.last < 50; rounds++) {
      expect(rounds).toBeLessThan(10);
      world.progress('slow');
    }
    expect(slow.log.at(-1)).toBe('beat 50');
    expect(slow.contents()).toEqual(world.contents());
  });

  test('that the history no longer reaches gets a snapshot in the same stream', () => {
    const world = new FeedWorld({ historyLimit: 8 });
    const slow = world.follow('slow', { window: 400 });
    for (let index = 0; index < 30; index++) world.set(`/key/${index % 5}`);
    world.progress('slow');
    world.pass(5);
    expect(world.events).toContainEqual({ type: 'followerLeftBehind', from: 'slow' });
    for (let rounds = 0; slow.isLoading; rounds++) {
      expect(rounds).toBeLessThan(10);
      world.progress('slow');
    }
    expect(slow.log).toContain('begin snapshot 30');
    expect(slow.contents()).toEqual(world.contents());
  });

  test('whose queue is full goes on when it is writable', () => {
    const world = new FeedWorld();
    const reader = world.follow('x');
    world.full.add('x');
    world.set('/a');
    world.set('/b');
    expect(reader.last).toBe(0);
    world.progress('x');
    expect(reader.last).toBe(0);
    world.writable('x');
    expect(reader.log.slice(-3)).toEqual(['set /a 1 after 0', 'set /b 2 after 1', 'beat 2']);
  });

  test('whose begin did not fit begins with what is there then', () => {
    const world = new FeedWorld({ historyLimit: 2 });
    world.full.add('x');
    const reader = world.follow('x');
    for (let index = 0; index < 20; index++) world.set(`/key/${index}`);
    world.writable('x');
    expect(reader.log).toEqual(['begin snapshot 20', 'end 20', 'beat 20']);
  });

  test('that says it received more than was sent is not believed', () => {
    const world = new FeedWorld();
    world.follow('x', { window: 500 });
    const lie = { type: 'progress', stream: 1, received: 1e9, sequence: 1e9, epoch: 7 } as const;
    world.feed.progress(world.now, 'x', lie);
    expect(world.events.at(-1)).toEqual({ type: 'ignored', from: 'x', reason: 'unexpected' });
    world.feed.progress(world.now, 'x', { ...lie, stream: 2 });
    expect(world.events.at(-1)).toEqual({ type: 'ignored', from: 'x', reason: 'stale' });
    world.feed.progress(world.now, 'x', { ...lie, received: 0 });
    expect(world.status('x')).toMatchObject({ sequence: 0 });
  });
});

describe('a snapshot', () => {
  test.each(Array.from({ length: 60 }, (_, seed) => seed))(
    'under churn of seed %i ends, and equals the map',
    (seed) => {
      const random = seededRandom(seed);
      const pick = (count: number): number => Math.floor(random() * count);
      const world = new FeedWorld({ historyLimit: 20 });
      for (let index = 0; index < 200; index++) world.set(`/${index % 4}/${index}`);
      const subtree = ['', '/1/', '/2/7', ''][seed % 4]!;
      const reader = world.follow('x', { subtree, window: 1500 });
      let turns = 0;
      while (reader.snapshots === 0 || world.status('x')!.state !== 'live') {
        expect(turns++).toBeLessThan(400);
        for (let writes = pick(5); writes > 0; writes--) {
          const key = `/${pick(4)}/${pick(250)}`;
          const chance = random();
          if (chance < 0.5) world.set(key);
          else if (chance < 0.97) world.delete(key);
          else if (chance < 0.99) world.clear(`/${pick(4)}/`);
          else world.clear('');
        }
        if (random() < 0.1) world.full.add('x');
        else if (world.full.has('x')) world.writable('x');
        if (random() < 0.7) world.progress('x');
        world.pass(pick(3));
      }
      world.full.clear();
      world.writable('x');
      world.progress('x');
      world.pass(2);
      expect(reader.contents()).toEqual(world.contents(subtree));
    },
  );

  test('leaves room for updates: those are not late, and their history is not needed', () => {
    const world = new FeedWorld({ historyLimit: 8 });
    for (let index = 0; index < 2000; index++) world.set(`/key/${index}`);
    const reader = world.follow('x', { window: 20_000 });
    let rounds = 0;
    for (; reader.snapshots === 0; rounds++) {
      for (let index = 0; index < 50; index++) world.set(`/key/${index}`);
      world.progress('x');
      world.pass(1);
      expect(rounds).toBeLessThan(200);
    }
    expect(world.events.some(({ type }) => type === 'followerLeftBehind')).toBe(false);
    expect(reader.contents()).toEqual(world.contents());
  });

  test('goes in slices', () => {
    const world = new FeedWorld();
    for (let index = 0; index < 3000; index++) world.set(`/key/${index}`);
    const reader = world.follow('x', { window: 10_000_000 });
    expect(reader.items).toBeGreaterThan(500);
    expect(reader.items).toBeLessThan(2000);
    world.pass(5);
    expect(reader.snapshots).toBe(1);
    expect(reader.contents()).toEqual(world.contents());
  });
});

describe('beats', () => {
  test('come each interval, and who is silent for an expiry is followed no more', () => {
    const world = new FeedWorld();
    const reader = world.follow('x', { heartbeatInterval: 200 });
    world.pass(199);
    expect(reader.log).toHaveLength(3);
    world.pass(1);
    expect(reader.log.at(-1)).toBe('beat 0');
    world.progress('x');
    world.pass(599);
    expect(world.feed.size).toBe(1);
    world.pass(1);
    expect(world.feed.size).toBe(0);
    expect(world.events.at(-1)).toEqual({ type: 'followerLost', from: 'x', reason: 'silent' });
    expect(world.feed.nextDue).toBe(Infinity);
  });

  test('of one who has no room say so, and nothing of what it lacks', () => {
    const world = new FeedWorld();
    const reader = world.follow('x', { window: 300 });
    for (let index = 0; index < 10; index++) world.set(`/key/${index}`);
    world.pass(100);
    expect(reader.log.at(-1)).toBe(`beat ${reader.last} behind`);
  });

  test('can be asked for', () => {
    const world = new FeedWorld();
    const reader = world.follow('x');
    world.feed.confirm('x');
    expect(reader.log.slice(-2)).toEqual(['beat 0', 'beat 0']);
  });

  test('that are asked for wait for room', () => {
    const world = new FeedWorld();
    const reader = world.follow('x', { window: 150 });
    world.feed.confirm('x');
    expect(reader.log).toHaveLength(3);
    world.progress('x');
    expect(reader.log.slice(3)).toEqual(['beat 0']);
  });

  test('do not count the time in which this side was stopped', () => {
    const world = new FeedWorld();
    world.follow('x');
    world.now += 10_000;
    world.feed.forgive(world.now);
    world.feed.handleTimeout(world.now);
    expect(world.feed.size).toBe(1);
  });
});

describe('who leaves', () => {
  test.each([
    ['goodbye', 'goodbye'],
    ['handleGone', 'linkBroken'],
  ] as const)('by %s is forgotten, and its channel too', (method, reason) => {
    const world = new FeedWorld();
    world.follow('x', { subtree: '/a/' });
    expect(world.feed.channels.size).toBe(2);
    world.feed[method](world.now, 'x');
    expect(world.feed.channels.size).toBe(1);
    expect(world.events.at(-1)).toEqual({ type: 'followerLost', from: 'x', reason });
  });

  test('are all sent elsewhere when it serves no more', () => {
    const world = new FeedWorld();
    const one = world.follow('one');
    const other = world.follow('other', { subtree: '/a/' });
    world.feed.end('standBy', { type: 'redirect', epoch: 8, endpoint: 'tcp://there' });
    expect([one.log.at(-1), other.log.at(-1)]).toEqual([
      'redirect tcp://there',
      'redirect tcp://there',
    ]);
    expect(world.feed.size).toBe(0);
  });

  test('or is one too many is told to ask again', () => {
    const world = new FeedWorld({ followerLimit: 1 });
    world.follow('one');
    expect(world.follow('two').log).toEqual(['redirect ']);
    expect(world.events.at(-1)).toEqual({ type: 'followerRefused', from: 'two', reason: 'full' });
  });
});

describe('a backup', () => {
  test('is told of updates when they are accepted, others when they are published', () => {
    const world = new FeedWorld();
    world.set('/a');
    world.accept({ key: '/b' });
    world.writers = [{ writer: 'w', next: 4, done: [[3, 1]] }];
    const backup = world.follow('backup', { isBackup: true });
    const client = world.follow('client');
    expect(backup.log).toEqual([
      'begin snapshot 1',
      'lineage',
      'end 2',
      'set /b 2 after 1',
      'beat 2',
    ]);
    expect(backup.writers).toEqual(world.writers);
    expect(client.log).toEqual(['begin snapshot 1', 'end 1', 'beat 1']);
    world.accept({ key: '/c' });
    expect(backup.last).toBe(3);
    expect(client.last).toBe(1);
    world.progress('backup');
    world.publish();
    expect(client.last).toBe(3);
    expect(backup.log.at(-1)).toBe('set /c 3 after 2');
    expect(world.backup).toEqual(['followed', 'caughtUp', 'progress 3']);
  });

  test('without room goes on with what is accepted, and is then caught up again', () => {
    const world = new FeedWorld();
    const backup = world.follow('backup', { isBackup: true, window: 300 });
    for (let index = 0; index < 20; index++) world.accept({ key: `/key/${index}` });
    expect(backup.last).toBeLessThan(20);
    for (let rounds = 0; backup.last < 20; rounds++) {
      expect(rounds).toBeLessThan(20);
      world.progress('backup');
    }
    world.progress('backup');
    expect(world.backup.filter((word) => word === 'caughtUp')).toHaveLength(2);
    expect(world.backup.at(-1)).toBe('progress 20');
    expect(world.history.published).toBe(0);
  });

  test('that begins anew as a client is a backup no more', () => {
    const world = new FeedWorld();
    world.follow('one', { isBackup: true });
    world.follow('one', { stream: 2 });
    expect(world.backup.at(-1)).toBe('lost displaced');
    expect(world.feed.followers()).toMatchObject([{ address: 'one', isBackup: false }]);
  });

  test('is displaced by a newer one', () => {
    const world = new FeedWorld();
    world.follow('one', { isBackup: true });
    world.follow('two', { isBackup: true, writer: 'writer-b' });
    expect(world.feed.followers().map(({ address }) => address)).toEqual(['two']);
    expect(world.backup).toEqual([
      'followed',
      'caughtUp',
      'lost displaced',
      'followed',
      'caughtUp',
    ]);
  });
});
