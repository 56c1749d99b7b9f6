/** Our client of a stock server: the map, what is lost, and writes. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { ChpStory, synchronised } from './chp-story.ts';

const OPENED = [
  'open updates tcp://one:5557',
  'open writes tcp://one:5558',
  'open server tcp://one:5556',
  "server < icanhaz ''",
];
const CLOSED = ['close updates', 'close writes', 'close server'];

describe('joining', () => {
  test('it subscribes, asks, and is synchronised once updates are known to arrive', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    expect(story.takeDone()).toEqual(OPENED);
    expect(story.state).toBe('connecting');
    story.item('/a', '1');
    expect([story.state, story.view]).toEqual(['loading', '']);
    story.end(5);
    expect([story.state, story.view]).toEqual(['catchingUp', '/a=1']);
    story.beat(5);
    expect(story.state).toBe('synchronised');
    expect(story.take()).toEqual(['connected', 'snapshotLoaded', 'synchronised']);
    expect(story.machine.status().position).toEqual({ epoch: 0, sequence: 5 });
  });

  test('updates of the meantime wait, and those above the number of the snapshot follow', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    story.update(4, '/a', '4');
    story.update(5, '/a', '5');
    story.item('/a', '5', 5);
    story.update(6, '/a', '6');
    expect(story.view).toBe('');
    story.end(5);
    expect([story.state, story.view]).toEqual(['synchronised', '/a=6']);
    story.update(7, '/b', '7');
    story.update(8, '/a', '');
    expect(story.view).toBe('/b=7');
  });

  test('a value that waits is kept: what the transport lends is used again', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    const value = encodeText('kept');
    story.hear('updates', { type: 'kvpub', key: '/a', sequence: 6, uuid: '', value });
    value.fill(0);
    story.end(5);
    expect(story.view).toBe('/a=kept');
  });

  test('only the subtree is shown, and all numbers count', () => {
    const story = new ChpStory({ subtree: '/a/' });
    story.connect('tcp://one:5556');
    expect(story.takeDone().at(-1)).toBe("server < icanhaz '/a/'");
    story.item('/a/1', '1');
    story.item('/b/1', '1');
    story.end(5);
    story.update(6, '/b/2', '2');
    story.update(7, '/a/2', '2');
    expect([story.state, story.view]).toEqual(['synchronised', '/a/1=1 /a/2=2']);
  });

  test.each([
    ['', ''],
    ['/', ''],
    ['/a', ''],
    ['/a/b', '/a/'],
    ['/a/b/', '/a/b/'],
  ])('of %j is asked for %j: 12/CHP knows no single key', (subtree, asked) => {
    const story = new ChpStory({ subtree });
    story.connect('tcp://one:5556');
    expect(story.takeDone().at(-1)).toBe(`server < icanhaz '${asked}'`);
  });

  test('keys that are no paths are left out, and their numbers count', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    story.item('1234', '1');
    story.end(5);
    story.update(6, '99', '1');
    story.update(7, '/a', '7');
    expect([story.state, story.view]).toEqual(['synchronised', '/a=7']);
    expect(story.take().filter((event) => event.startsWith('ignored'))).toHaveLength(2);
  });

  test('of changes is told who wants to know', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    story.item('/a', '1');
    story.call({ type: 'watch', isWatched: true });
    story.end(5);
    story.update(6, '/a', '');
    const told = story.events.flatMap((event) => (event.type === 'changed' ? [event] : []));
    expect(told).toMatchObject([
      { changes: [{ type: 'set', key: '/a' }], position: { sequence: 5 } },
      { changes: [{ type: 'deleted', key: '/a' }], position: { sequence: 6 } },
    ]);
  });
});

describe('what is lost', () => {
  test.each([
    ['an update shows', (story: ChpStory) => story.update(7, '/c', '7')],
    ['a heartbeat shows', (story: ChpStory) => story.beat(7)],
  ])('%s that one is missing: a new snapshot replaces the map at once', (_how, shows) => {
    const story = synchronised();
    shows(story);
    expect(story.take()).toEqual(['gapDetected', 'unsynchronised gap']);
    expect(story.view).toBe('/a=1 /b=2');
    story.wait(100);
    expect(story.takeDone()).toEqual(["server < icanhaz ''"]);
    story.item('/a', '7');
    story.update(8, '/d', '8');
    expect(story.view).toBe('/a=1 /b=2');
    story.end(7);
    expect(story.view).toBe('/a=7 /d=8');
    expect(story.take()).toEqual(['snapshotLoaded', 'gapRepaired', 'synchronised']);
  });

  test('each snapshot that is asked for anew is waited for longer, until all is well', () => {
    const story = synchronised();
    const waited = [1, 2, 3].map((count) => {
      story.update(5 + 10 * count, '/c', 'x');
      const { now } = story;
      story.wait(story.machine.nextTimeout - now);
      const delay = story.now - now;
      story.end(5 + 10 * count);
      return delay;
    });
    expect(waited).toEqual([100, 200, 400]);
    story.beat(35);
    story.beat(37);
    expect(story.machine.nextTimeout - story.now).toBe(100);
  });

  test('a gap among those that wait: one more snapshot', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    story.update(6, '/a', '6');
    story.update(8, '/a', '8');
    story.update(9, '/a', '9');
    story.end(5);
    expect([story.state, story.view]).toEqual(['loading', '/a=6']);
    story.wait(100);
    story.end(9);
    expect([story.state, story.view]).toEqual(['synchronised', '']);
  });

  test('a gap that shows while a snapshot comes: one more snapshot', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    story.item('/a', '1');
    story.beat(10);
    story.end(5);
    expect(story.take()).toEqual(['connected', 'snapshotLoaded', 'gapDetected']);
    story.wait(100);
    story.item('/a', '10');
    story.end(10);
    expect([story.state, story.view]).toEqual(['synchronised', '/a=10']);
  });

  test('a heartbeat without a number is a sign of life only', () => {
    const story = synchronised();
    story.beat(0);
    expect([story.state, story.take()]).toEqual(['synchronised', []]);
  });

  test('a server that says less than before has begun anew: from the start', () => {
    const story = synchronised();
    story.beat(2);
    expect(story.take()).toEqual(['disconnected outdated', 'unsynchronised outdated']);
    expect(story.takeDone()).toEqual(CLOSED);
    story.wait(100);
    expect(story.takeDone()).toEqual(OPENED);
    story.item('/new', '2');
    story.end(2);
    story.update(3, '/new', '3');
    expect([story.state, story.view]).toEqual(['synchronised', '/new=3']);
  });

  test('the same number again is another server too, but not what the snapshot has already', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    story.end(5);
    story.update(4, '/a', '4');
    story.update(5, '/a', '5');
    expect([story.state, story.view]).toEqual(['synchronised', '']);
    story.update(5, '/a', 'other');
    expect(story.state).toBe('disconnected');
  });
});

describe('links', () => {
  test('silence leads to the next server, a notice too', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556', 'tcp://two:7000', 'ipc://nowhere');
    story.takeDone();
    story.wait(3000);
    expect(story.take()).toEqual(['disconnected silent']);
    story.takeDone();
    story.wait(100);
    expect(story.takeDone()).toContain('open writes tcp://two:7002');
    story.end(3);
    story.machine.handlePeerGone(story.now, 'server');
    expect(story.take()).toEqual(['connected', 'snapshotLoaded', 'disconnected linkBroken']);
    story.wait(200);
    expect(story.takeDone()).toContain('open server tcp://one:5556');
  });

  test('heartbeats keep a link, but not one whose snapshot does not come', () => {
    const story = synchronised();
    story.wait(60_000, 5);
    expect(story.state).toBe('synchronised');
    story.beat(6);
    story.wait(3500, 6);
    expect(story.take()).toContain('disconnected silent');
  });

  test('what comes after the end of a link is not taken for the next one', () => {
    const story = synchronised();
    story.machine.handlePeerGone(story.now, 'server');
    story.item('/x', 'x');
    story.update(6, '/x', 'x');
    expect(story.take().filter((event) => event === 'ignored stale')).toHaveLength(2);
    expect(story.view).toBe('/a=1 /b=2');
  });

  test('a snapshot that nobody asked for', () => {
    const story = synchronised();
    story.item('/x', 'x');
    story.end(9);
    expect([story.take(), story.view]).toEqual([
      ['ignored unexpected', 'ignored unexpected'],
      '/a=1 /b=2',
    ]);
  });

  test('who stood still itself takes nobody for silent', () => {
    const story = synchronised();
    story.now += 10_000;
    story.machine.handleTimeout(story.now);
    expect(story.state).toBe('synchronised');
    story.beat(5);
    expect(story.take()).toEqual([]);
  });

  test('a map that is larger than it may be is refused', () => {
    const story = new ChpStory({ keyLimit: 1 });
    story.connect('tcp://one:5556');
    story.item('/a', '1');
    story.item('/b', '1');
    expect(story.take()).toEqual(['connected', 'snapshotRefused full', 'disconnected outdated']);
  });
});

describe('writes', () => {
  test('one is done when its uuid comes back, and the map shows it then', () => {
    const story = synchronised();
    const token = story.write({ key: '/c', text: 'x', ttl: 5000 });
    const { uuid, ttl } = story.sets[0]!;
    expect([uuid.length, ttl]).toEqual([16, 5000]);
    story.update(6, '/b', '6');
    expect(story.take()).toEqual([]);
    story.update(7, '/c', 'x', uuid);
    expect(story.view).toBe('/a=1 /b=6 /c=x');
    expect(story.events).toMatchObject([
      { token, outcome: 'done', revision: 7, isReplicated: false },
    ]);
  });

  test('they wait until it is synchronised, and for their turn', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    for (const key of ['/1', '/2', '/3', '/4']) story.write({ key });
    expect(story.takeSets()).toEqual([]);
    story.end(5);
    story.beat(5);
    expect(story.sets.map(({ key }) => key)).toEqual(['/1', '/2', '/3']);
    story.update(6, '/2', 'v', story.sets[1]!.uuid);
    expect(story.sets.map(({ key }) => key)).toEqual(['/1', '/2', '/3', '/4']);
  });

  test('a key has one write under way at a time', () => {
    const story = synchronised();
    story.write({ text: '1' });
    story.write({ text: '2' });
    const { uuid } = story.sets[0]!;
    expect(story.takeSets()).toEqual(['/a=1']);
    story.update(6, '/a', '1', uuid);
    expect(story.takeSets()).toEqual(['/a=2']);
  });

  test('what has no echo is said again under the same uuid, unless the map shows it', () => {
    const story = synchronised();
    story.write({ key: '/lost', text: 'x' });
    const delivered = story.write({ key: '/none', kind: 'delete' });
    const uuids = story.sets.map(({ uuid }) => uuid);
    story.wait(3000, 5);
    expect(story.sets.slice(2)).toMatchObject([{ key: '/lost', uuid: uuids[0] }]);
    expect(story.take()).toEqual([`${delivered} done`]);
  });

  test('what the map showed before proves nothing: a lease that is not renewed is not said to be', () => {
    const story = synchronised();
    story.write({ key: '/a', text: '1', ttl: 5000 });
    story.wait(3000, 5);
    expect(story.take()).toEqual([]);
    expect(story.takeSets()).toEqual(['/a=1', '/a=1']);
    story.machine.handlePeerGone(story.now, 'server');
    story.wait(100);
    story.item('/a', '1', 6);
    story.end(6);
    story.beat(6);
    expect(story.take()).toContain('0 done');
    expect(story.takeSets()).toEqual([]);
  });

  test('another server is told at once', () => {
    const story = synchronised();
    story.write({ key: '/c', text: 'x' });
    story.write({ key: '/d', text: 'x' });
    story.machine.handlePeerGone(story.now, 'server');
    story.wait(100);
    story.item('/c', 'x');
    story.end(9);
    story.beat(9);
    expect(story.takeSets()).toEqual(['/c=x', '/d=x', '/d=x']);
    expect(story.take()).toContain('0 done');
  });

  test('an update whose echo was lost is found in the next snapshot', () => {
    const story = synchronised();
    story.write({ key: '/c', text: 'x' });
    story.beat(6);
    story.wait(100);
    story.item('/c', 'x');
    story.end(6);
    expect(story.take()).toContain('0 done');
    expect(story.takeSets()).toEqual(['/c=x']);
  });

  test('a clear deletes what is shown there', () => {
    const story = synchronised();
    const token = story.write({ kind: 'clear', key: '/' });
    const [one, other] = story.sets;
    expect(story.takeSets()).toEqual(['/a=', '/b=']);
    story.update(6, '/a', '', one!.uuid);
    expect(story.take()).toEqual([]);
    story.update(7, '/b', '', other!.uuid);
    expect(story.take()).toEqual([`${token} done`]);
    story.write({ kind: 'clear', key: '/none/' });
    expect(story.take()).toEqual(['1 done']);
  });

  test('a clear waits until it is known what is there', () => {
    const story = new ChpStory();
    story.connect('tcp://one:5556');
    const token = story.write({ kind: 'clear', key: '/' });
    story.item('/a', '1');
    story.end(5);
    expect(story.take()).not.toContain(`${token} done`);
    story.beat(5);
    expect(story.takeSets()).toEqual(['/a=']);
  });

  test('a clear keeps its place: what was set before it goes, what is set after it stays', () => {
    const story = synchronised();
    story.write({ key: '/c/1' });
    story.write({ kind: 'clear', key: '/c/' });
    story.write({ key: '/c/2' });
    expect(story.sets.map(({ key }) => key)).toEqual(['/c/1']);
    story.update(6, '/c/1', 'v', story.sets[0]!.uuid);
    expect(story.takeSets()).toEqual(['/c/1=v', '/c/1=', '/c/2=v']);
  });

  test('what cannot be said is refused', () => {
    const story = synchronised();
    story.write({ ifMatch: 3 });
    story.write({ text: '' });
    expect(story.take()).toEqual(['0 refused', '1 refused']);
  });

  test('more than may wait are refused; a clear waits as one', () => {
    const story = new ChpStory({ queueLimit: 1 });
    story.write();
    story.write();
    expect(story.take()).toEqual(['1 queueFull']);
    const other = synchronised({ queueLimit: 1 });
    other.write({ kind: 'clear', key: '' });
    expect([other.take(), other.takeSets()]).toEqual([[], ['/a=', '/b=']]);
  });

  test('one that is larger than all that may wait does so alone', () => {
    const story = synchronised({ queueBytes: 300 });
    story.write({ key: '/c', text: 'x'.repeat(1000) });
    expect(story.sets).toHaveLength(1);
  });

  test('they end by themselves in time, when they are abandoned, or with the client', () => {
    const story = synchronised();
    story.write({ key: '/1', timeout: 500 });
    story.write({ key: '/2' });
    story.call({ type: 'abandon', token: 1 });
    story.wait(500);
    story.write({ key: '/3' });
    story.call({ type: 'stop' });
    const outcomes = story.events.flatMap((event) => (event.type === 'written' ? [event] : []));
    expect(outcomes).toMatchObject([
      { token: 1, outcome: 'abandoned', maybeDone: true },
      { token: 0, outcome: 'timeout', maybeDone: true },
      { token: 2, outcome: 'closed', maybeDone: true },
    ]);
    expect(story.take().slice(-2)).toEqual(['disconnected closed', 'drained']);
    expect(story.takeDone()).toEqual(CLOSED);
    story.write();
    expect([story.take(), story.state]).toEqual([['3 closed'], 'closed']);
  });

  test('one that was never sent was surely not done', () => {
    const story = new ChpStory();
    story.write({ timeout: 100 });
    story.wait(100);
    expect(story.events).toMatchObject([{ outcome: 'timeout', maybeDone: false }]);
  });

  test('a drain waits for them', () => {
    const story = synchronised();
    story.write({ key: '/c' });
    story.call({ type: 'drain' });
    expect(story.take()).toEqual([]);
    story.update(6, '/c', 'v', story.sets[0]!.uuid);
    expect(story.take()).toEqual(['0 done', 'disconnected closed', 'drained']);
  });

  test('without room they wait', () => {
    const story = synchronised();
    story.room = 0;
    story.write({ key: '/c' });
    expect([story.machine.waiting, story.machine.inFlight]).toEqual([1, 0]);
    story.room = 1;
    story.machine.handleWritable(story.now, 'writes');
    expect([story.machine.waiting, story.machine.inFlight]).toEqual([0, 1]);
  });
});
