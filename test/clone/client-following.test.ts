/** How a Clone client follows its server: every trap told as a story. */
import { describe, expect, test } from 'vitest';
import type { FollowerInput } from '../../src/clone/commands.ts';
import { encodeText } from '../../src/core/frames.ts';
import { ClientStory, PlainServer, synchronised } from './client-story.ts';

/** What the client asked for last is answered by this server. */
function answered(client: ClientStory, server: PlainServer): PlainServer {
  server.stream = client.stream;
  return server;
}

/** A synchronised client that is sent a snapshot with three more keys: `begin` came. */
function loading(): { client: ClientStory; server: PlainServer; items: FollowerInput[] } {
  const { client, server } = synchronised();
  for (const key of ['/c', '/d', '/e']) server.set(key, 'new');
  client.hear(server.begin('snapshot'));
  client.takeEvents();
  return { client, server, items: server.items() };
}

/** What happened as the snapshot was thrown away, and nothing of it is left. */
function refused(client: ClientStory): string[] {
  if (client.view !== '/a=1 /b=2' || client.machine.loading > 0) return [client.view];
  return client.takeEvents();
}

describe('joining', () => {
  test('asks for the stream, and is synchronised once a beat says that all is there', () => {
    const server = new PlainServer();
    server.set('/a', '1');
    server.set('/b', '2');
    const client = new ClientStory();
    expect(client.state).toBe('disconnected');
    client.connect('a', 'b');
    expect(client.sockets).toEqual(['open a']);
    expect(client.asked).toEqual(['a < follow 1']);
    expect(client.state).toBe('connecting');
    const [begin, first, second, end, beat] = server.snapshot();
    client.hear(begin!, first!);
    expect([client.state, client.view]).toEqual(['loading', '']);
    client.hear(second!);
    expect(client.view).toBe('');
    client.hear(end!);
    expect([client.state, client.view]).toEqual(['catchingUp', '/a=1 /b=2']);
    client.hear(beat!);
    expect(client.takeEvents()).toEqual(['connected', 'snapshotLoaded', 'synchronised']);
    expect(client.machine.status()).toMatchObject({
      state: 'synchronised',
      endpoint: 'a',
      epoch: 5,
      position: { epoch: 5, sequence: 2 },
      digest: server.digest,
      size: 2,
    });
  });

  test('loses no update that is made while the snapshot is under way', () => {
    const server = new PlainServer();
    for (const key of ['/a', '/b', '/c', '/d']) server.set(key, '1');
    const client = new ClientStory();
    client.connect('a');
    const begin = server.begin('snapshot');
    const [a, b, c] = server.items();
    client.hear(begin, a!, b!);
    // Of what was sent already, of what was not, of what is new; and two that are deleted.
    client.hear(server.set('/a', '2'), server.delete('/b'), server.delete('/d'));
    client.hear(server.set('/e', '5'), c!);
    client.hear({ ...server.end(3) }, server.beat());
    expect(client.view).toBe('/a=2 /c=1 /e=5');
    expect(client.view).toBe(server.view);
    expect(client.state).toBe('synchronised');
  });

  test('asks again until it is answered, under the same number', () => {
    const client = new ClientStory();
    client.connect('a');
    client.wait(1000);
    expect(client.asked).toEqual(['a < follow 1', 'a < follow 1']);
    client.hear(...new PlainServer().snapshot());
    client.wait(900);
    expect(client.asked).toHaveLength(2);
  });

  test('goes to the next one where nobody answers, and waits longer each time', () => {
    const client = new ClientStory();
    client.connect('a', 'b');
    const at: number[] = [];
    for (let count = 0; count < 6; count++) {
      const { length } = client.sockets;
      const from = client.now;
      while (client.sockets.length === length) client.wait(10);
      at.push(client.now - from);
    }
    expect(client.sockets.slice(1, 5)).toEqual(['close a', 'open b', 'close b', 'open a']);
    expect(at).toEqual([200, 100, 200, 200, 400, 250]);
    expect(client.takeEvents()).toEqual([]);
  });

  test('where there is one server only waits for it all the time that one may be silent', () => {
    const client = new ClientStory();
    client.connect('a');
    client.wait(2999);
    expect(client.sockets).toEqual(['open a']);
    client.wait(1);
    expect(client.sockets).toEqual(['open a', 'close a']);
    client.wait(100);
    expect(client.sockets.at(-1)).toBe('open a');
  });

  test('that lost the begin of its stream asks under a new number', () => {
    const server = new PlainServer();
    server.set('/a', '1');
    const client = new ClientStory();
    client.connect('a');
    client.hear(...server.snapshot().slice(1));
    expect(client.asked).toEqual(['a < follow 1', 'a < follow 2']);
    expect(client.view).toBe('');
    client.hear(...answered(client, server).snapshot());
    expect(client.state).toBe('synchronised');
  });
});

describe('updates', () => {
  test('are visible one by one', () => {
    const { client, server } = synchronised();
    client.hear(server.set('/a', '3'));
    expect(client.view).toBe('/a=3 /b=2');
    client.hear(server.delete('/b'), server.set('/c/d', '4'), server.set('/c/e', '5'));
    expect(client.view).toBe('/a=3 /c/d=4 /c/e=5');
    client.hear(server.clear('/c/'));
    expect(client.view).toBe('/a=3');
    client.hear(server.clear(''), server.beat());
    expect(client.view).toBe('');
    expect(client.takeEvents()).toEqual([]);
    expect(client.machine.status().position).toEqual({ epoch: 5, sequence: 8 });
  });

  test('with one missing are not applied: what is missing is asked for at once', () => {
    const { client, server } = synchronised();
    server.set('/a', 'lost');
    client.hear(server.set('/b', '4'));
    expect(client.view).toBe('/a=1 /b=2');
    expect(client.asked).toEqual(['a < follow 2 @5:2']);
    expect(client.told('gapDetected')).toEqual([{ type: 'gapDetected', expected: 2, got: 3 }]);
    // Of the stream that was given up, whatever it is.
    client.hear(server.set('/c', '5'));
    expect(client.view).toBe('/a=1 /b=2');
    client.now += 7;
    client.hear(...answered(client, server).continuation(2));
    expect(client.view).toBe('/a=lost /b=4 /c=5');
    expect(client.told('gapRepaired')).toEqual([
      { type: 'gapRepaired', milliseconds: 7, by: 'history' },
    ]);
    expect(client.takeEvents()).toEqual([
      'gapDetected',
      'unsynchronised gap',
      'ignored stale',
      'gapRepaired',
      'synchronised',
    ]);
  });

  test('of which the last is missing are found by the beat, which changes nothing', () => {
    const { client, server } = synchronised();
    server.set('/a', 'lost');
    client.hear(server.beat());
    expect(client.view).toBe('/a=1 /b=2');
    expect(client.machine.status().position).toEqual({ epoch: 5, sequence: 2 });
    expect(client.asked).toEqual(['a < follow 2 @5:2']);
    client.hear(...answered(client, server).continuation(2));
    expect(client.view).toBe(server.view);
  });

  test('that run backwards are a gap too', () => {
    const { client, server } = synchronised();
    const update = server.set('/a', '3');
    client.hear(update, { ...update, value: [new Uint8Array([1])] });
    expect(client.view).toBe('/a=3 /b=2');
    expect(client.told('gapDetected')).toHaveLength(1);
  });

  test('that the history has no more come as a snapshot, in one step', () => {
    const { client, server } = synchronised();
    client.watch();
    server.set('/c', '3');
    server.delete('/a');
    client.hear(server.set('/d', '5'));
    const [begin, ...rest] = answered(client, server).snapshot();
    client.hear(begin!);
    for (const command of rest.slice(0, -2)) client.hear(command);
    expect(client.view).toBe('/a=1 /b=2');
    client.takeEvents();
    client.hear(rest.at(-2)!);
    expect(client.view).toBe('/b=2 /c=3 /d=5');
    const [changed] = client.told('changed');
    expect(changed!.changes.map(({ type, key }) => `${type} ${key}`)).toEqual([
      'deleted /a',
      'set /c',
      'set /d',
    ]);
    expect(client.takeEvents()).toEqual(['changed', 'snapshotLoaded', 'gapRepaired']);
  });

  test('fail again and again: it asks ever more slowly', () => {
    const { client, server } = synchronised();
    const asks: number[] = [];
    for (let count = 0; count < 8; count++) {
      server.set('/a', 'lost');
      const { length } = client.asked;
      const from = client.now;
      client.hear(server.set('/b', 'x'));
      while (client.asked.length === length) client.wait(1);
      asks.push(client.now - from);
      // It is answered, and the first update is lost again.
      const [begin] = answered(client, server).continuation(2);
      client.hear(begin!);
    }
    expect(asks).toEqual([0, 100, 200, 400, 800, 1000, 1000, 1000]);
  });

  test('are told to those who watch, with what was there before', () => {
    const { client, server } = synchronised();
    client.hear(server.set('/a', '3'));
    expect(client.told('changed')).toEqual([]);
    client.watch();
    client.hear({ ...server.set('/a', '4'), ttl: 100, timeLeft: 60 }, server.delete('/nothing'));
    client.hear(server.clear(''));
    client.watch(false);
    client.hear(server.set('/a', '5'));
    expect(client.told('changed')).toEqual([
      {
        type: 'changed',
        position: { epoch: 5, sequence: 4 },
        changes: [
          {
            type: 'set',
            key: '/a',
            value: encodeText('4'),
            revision: 4,
            timeLeft: 60,
            former: encodeText('3'),
          },
        ],
      },
      {
        type: 'changed',
        position: { epoch: 5, sequence: 6 },
        changes: [
          { type: 'deleted', key: '/a', revision: 6, former: encodeText('4') },
          { type: 'deleted', key: '/b', revision: 6, former: encodeText('2') },
        ],
      },
    ]);
  });
});

describe('a subtree', () => {
  test('has its own order: numbers of others pass it by', () => {
    const { client, server } = synchronised({ subtree: '/x/' });
    server.set('/y/1', 'of no interest');
    client.hear(server.set('/x/1', 'a'));
    server.set('/y/2', 'of no interest');
    client.hear(server.beat());
    expect([client.state, client.view]).toEqual(['synchronised', '/x/1=a']);
    expect(client.machine.status().position.sequence).toBe(5);
    client.hear(server.set('/x/2', 'b'));
    expect(client.takeEvents()).toEqual([]);
  });

  test('finds its own gaps, by an update and by a beat', () => {
    const { client, server } = synchronised({ subtree: '/x/' });
    server.set('/x/1', 'lost');
    server.set('/y/1', 'of no interest');
    client.hear(server.set('/x/2', 'a'));
    expect(client.told('gapDetected')).toEqual([{ type: 'gapDetected', expected: 2, got: 3 }]);
    client.hear(...answered(client, server).continuation(2));
    expect(client.view).toBe('/x/1=lost /x/2=a');
    server.set('/x/3', 'lost');
    server.set('/y/2', 'of no interest');
    client.hear(server.beat());
    expect(client.told('gapDetected')[1]).toEqual({ type: 'gapDetected', expected: 5, got: 6 });
  });

  test('is cleared by what clears more, and keeps what is beside it', () => {
    const { client, server } = synchronised({ subtree: '/x/' });
    client.hear(server.set('/x/1', 'a'), server.clear('/x/y/'), server.set('/x/y/2', 'b'));
    client.hear(server.clear('/x/y/'));
    expect(client.view).toBe('/x/1=a');
    client.hear(server.clear('/'), server.beat());
    expect([client.view, client.state]).toEqual(['', 'synchronised']);
  });

  test('takes nothing from outside of it', () => {
    const { client, server } = synchronised({ subtree: '/x/' });
    const update = server.set('/x/1', 'a');
    client.hear({ ...update, key: '/y/1' });
    expect(client.view).toBe('');
    // So its digest is wrong now, and it gets a snapshot.
    client.hear(server.beat());
    expect(client.takeEvents()).toEqual(['digestWrong', 'unsynchronised digestWrong']);
  });
});

describe('a beat', () => {
  test('with another digest shows that the map is wrong: it gets a snapshot', () => {
    const { client, server } = synchronised();
    client.hear({ ...server.beat(), digest: { high: 1, low: 2 } });
    expect(client.asked).toEqual(['a < follow 2']);
    expect(client.takeEvents()).toEqual(['digestWrong', 'unsynchronised digestWrong']);
    expect(client.view).toBe('/a=1 /b=2');
    client.hear(...answered(client, server).snapshot());
    expect(client.state).toBe('synchronised');
  });

  test('of one who has more to send proves nothing', () => {
    const { client, server } = synchronised();
    server.set('/a', '3');
    client.hear({ ...server.beat(false), digest: { high: 1, low: 2 } });
    expect(client.takeEvents()).toEqual([]);
  });

  test('of one who has more to send, and sends nothing: the stream is begun anew', () => {
    const { client, server } = synchronised();
    server.set('/a', '3');
    for (let count = 0; count < 4; count++) {
      client.hear(server.beat(false));
      client.wait(900);
    }
    expect(client.asked).toEqual(['a < follow 2 @5:2']);
  });

  test('that is older than what came is not believed', () => {
    const { client, server } = synchronised();
    const beat = server.beat();
    client.hear(server.set('/a', '3'), beat);
    expect(client.takeEvents()).toEqual(['ignored unexpected']);
    expect(client.state).toBe('synchronised');
  });

  test('of another epoch than its stream ends the stream', () => {
    const { client, server } = synchronised();
    client.hear({ ...server.beat(), epoch: 4 });
    expect(client.takeEvents()).toEqual(['ignored outdated', 'unsynchronised gap']);
  });
});

describe('a snapshot', () => {
  test('that is cut short is refused', () => {
    const { client, server, items } = loading();
    client.hear(...items.slice(0, -1), server.end());
    expect(client.asked).toEqual(['a < follow 2 @5:2']);
    expect(refused(client)).toEqual(['snapshotRefused count']);
  });

  test('in which an item is missing is refused at once', () => {
    const { client, items } = loading();
    client.hear(items[0]!, items[2]!);
    expect(refused(client)).toEqual(['snapshotRefused gap']);
  });

  test('with a lying count is refused', () => {
    const { client, server, items } = loading();
    client.hear(...items, server.end(items.length + 1));
    expect(refused(client)).toEqual(['snapshotRefused count']);
  });

  test('with another digest is refused', () => {
    const { client, server, items } = loading();
    client.hear(...items, { ...server.end(), digest: { high: 3, low: 4 } });
    expect(refused(client)).toEqual(['snapshotRefused digest']);
  });

  test('in which an update is missing is refused', () => {
    const { client, server, items } = loading();
    server.set('/a', 'lost');
    client.hear(...items, server.set('/a', '4'));
    expect(refused(client)).toEqual(['gapDetected', 'snapshotRefused gap']);
  });

  test('whose last update is missing is refused', () => {
    const { client, server, items } = loading();
    server.delete('/a');
    client.hear(...items, server.end(items.length));
    expect(refused(client)).toEqual(['snapshotRefused gap']);
  });

  test('is not mixed with another one', () => {
    const { client, server, items } = loading();
    client.hear(...items.slice(0, 2));
    // The history has left it behind: the same stream begins another one.
    server.delete('/d');
    client.hear(server.begin('snapshot'));
    expect(client.takeEvents()).toEqual(['snapshotRefused superseded']);
    client.hear(...server.items(), server.end(), server.beat());
    expect(client.view).toBe('/a=1 /b=2 /c=new /e=new');
    expect(client.state).toBe('synchronised');
  });

  test('of an earlier stream is not mixed with the present one', () => {
    const { client, server, items } = loading();
    client.hear(items[0]!, items[2]!);
    client.takeEvents();
    client.hear(answered(client, server).begin('snapshot'), items[1]!, items[2]!);
    expect(client.takeEvents()).toEqual(['ignored stale', 'ignored stale']);
    client.hear(...server.items(), server.end(), server.beat());
    expect(client.view).toBe(server.view);
  });

  test('that breaks off with the link leaves what is visible', () => {
    const { client, items } = loading();
    client.hear(items[0]!);
    client.gone();
    expect(client.machine.loading).toBe(0);
    expect(client.view).toBe('/a=1 /b=2');
    client.wait(100);
    expect(client.asked.at(-1)).toBe('a < follow 2 @5:2');
  });

  test('that never ends is bounded: the server is left, and asked again later', () => {
    const { client, server } = synchronised({ keyLimit: 4 });
    client.hear(server.begin('snapshot'));
    for (let index = 0; index < 5; index++) {
      const value = [new Uint8Array([1])];
      client.hear({ type: 'item', stream: 1, index, key: `/${index}`, revision: 1, value });
    }
    expect(client.machine.loading).toBe(0);
    expect(client.sockets).toEqual(['flush a']);
    expect(client.told('snapshotRefused')).toEqual([{ type: 'snapshotRefused', reason: 'full' }]);
    client.wait(100);
    expect(client.sockets.at(-1)).toBe('open a');
  });

  test('with too many bytes is refused, as are updates', () => {
    const { client, server } = synchronised({ stateBytes: 500 });
    client.hear(server.set('/a', 'x'.repeat(100)));
    expect(client.view).toBe(server.view);
    const before = client.view;
    client.hear(server.set('/a', 'y'.repeat(400)));
    expect(client.view).toBe(before);
    expect(client.told('snapshotRefused')).toEqual([{ type: 'snapshotRefused', reason: 'full' }]);
  });
});

describe('failover', () => {
  test('goes on where the other server has all that this replica has', () => {
    const { client, server } = synchronised({}, ['a', 'b']);
    client.goOn();
    expect(client.sockets).toEqual(['close a', 'open a', 'close a', 'open b']);
    expect(client.asked).toEqual(['a < follow 2 @5:2', 'b < follow 3 @5:2']);
    expect(client.takeEvents()).toEqual(['unsynchronised linkBroken', 'disconnected linkBroken']);
    const other = answered(client, server.successor(6));
    other.set('/c', '3');
    client.hear(...other.continuation(2));
    expect(client.view).toBe('/a=1 /b=2 /c=3');
    expect(client.told('failedOver')).toEqual([
      { type: 'failedOver', epoch: 6, endpoint: 'b', isContinued: true },
    ]);
    expect(client.takeEvents()).toEqual(['connected', 'failedOver', 'synchronised']);
    expect(client.machine.status().position).toEqual({ epoch: 6, sequence: 3 });
  });

  test('forgets keys that the other server does not have', () => {
    const { client, server } = synchronised({}, ['a', 'b']);
    client.hear(server.set('/lonely', 'only here'));
    client.goOn();
    const other = new PlainServer(6);
    other.set('/a', '1');
    client.hear(...answered(client, other).snapshot());
    expect(client.view).toBe('/a=1');
    expect(client.told('failedOver')[0]).toMatchObject({ isContinued: false });
  });

  test('takes nothing from an old epoch, and tells the old server of the new one', () => {
    const { client, server } = synchronised({}, ['a', 'b']);
    client.goOn();
    const other = answered(client, server.successor(6));
    client.hear(...other.continuation(2));
    client.takeEvents();
    client.goOn();
    expect(client.follows.at(-1)).toMatchObject({ to: 'a', command: { epoch: 6 } });
    server.set('/a', 'old');
    client.hear(...answered(client, server).continuation(2));
    expect(client.view).toBe('/a=1 /b=2');
    expect(client.progress.at(-1)).toMatchObject({ epoch: 6 });
    expect(client.told('disconnected')).toMatchObject([
      { endpoint: 'b', reason: 'linkBroken' },
      { endpoint: 'a', reason: 'outdated' },
    ]);
    expect(client.sockets.at(-1)).toBe('flush a');
    client.wait(200);
    expect(client.sockets.at(-1)).toBe('open b');
  });

  test('goes where it is sent to, if it is in its list', () => {
    const { client } = synchronised({}, ['a', 'b', 'c']);
    client.hear({ type: 'redirect', epoch: 6, endpoint: 'c' });
    expect(client.sockets).toEqual(['close a', 'open c']);
    expect(client.takeEvents()).toEqual(['unsynchronised redirected', 'disconnected redirected']);
    client.hear({ type: 'redirect', epoch: 6, endpoint: 'under another name' });
    expect(client.sockets.at(-1)).toBe('open a');
  });

  test('does not hurry where two servers send it to each other', () => {
    const client = new ClientStory();
    client.connect('a', 'b');
    for (let count = 0; count < 20; count++) {
      const endpoint = client.sockets.at(-1) === 'open a' ? 'b' : 'a';
      client.hear({ type: 'redirect', epoch: 6, endpoint });
      if (client.sockets.at(-1)!.startsWith('close')) client.wait(1000);
    }
    expect(client.now - 1000).toBeGreaterThan(10_000);
  });

  test('stays where nobody is known to serve, and asks again; then it asks another', () => {
    const { client } = synchronised({}, ['a', 'b']);
    const nobody = { type: 'redirect', epoch: 5, endpoint: '' } as const;
    client.hear(nobody, nobody, nobody, nobody, nobody);
    expect(client.state).toBe('connecting');
    client.takeEvents();
    for (const delay of [100, 200, 250]) {
      client.wait(delay - 1);
      expect(client.asked).toEqual([]);
      client.wait(1);
      expect(client.asked).toHaveLength(1);
      expect(client.takeEvents()).toEqual([]);
      client.hear(nobody);
    }
    // The server may be cut off from those that know.
    client.wait(100);
    expect(client.sockets).toEqual(['close a', 'open b']);
  });

  test('stays with the only server there is', () => {
    const { client } = synchronised();
    for (let count = 0; count < 10; count++) {
      client.hear({ type: 'redirect', epoch: 5, endpoint: '' });
      client.takeEvents();
      client.wait(1000);
      expect(client.asked).toEqual([`a < follow ${count + 2} @5:2`]);
    }
    expect(client.sockets).toEqual([]);
  });
});

describe('silence', () => {
  test('for an expiry ends the link', () => {
    const { client } = synchronised();
    client.wait(2999);
    expect(client.takeEvents()).toEqual([]);
    client.wait(1);
    expect(client.takeEvents()).toEqual(['unsynchronised silent', 'disconnected silent']);
    client.wait(100);
    expect(client.asked).toEqual(['a < follow 2 @5:2']);
  });

  test('is none where a beat comes, and its own beats go', () => {
    const { client, server } = synchronised();
    client.wait(10_000, server);
    expect(client.state).toBe('synchronised');
    expect(client.progress).toHaveLength(10);
    expect(client.progress.at(-1)).toMatchObject({ stream: 1, sequence: 2, epoch: 5 });
  });

  test('of one that has something large to send is borne longer each time, until that has come', () => {
    const { client, server } = synchronised();
    const waited: number[] = [];
    for (let count = 0; count < 8; count++) {
      const from = client.now;
      while (!client.sockets.at(-1)?.startsWith('close')) client.wait(1000);
      waited.push((client.now - from) / 1000);
      while (!client.sockets.at(-1)?.startsWith('open')) client.wait(1000);
      client.hear(answered(client, server).begin('continue', 2));
    }
    expect(waited).toEqual([3, 6, 12, 24, 24, 24, 24, 24]);
    client.hear(server.set('/large', 'x'.repeat(50)), server.beat());
    expect(client.state).toBe('synchronised');
    client.gone();
    client.wait(1000);
    client.hear(...answered(client, server).continuation(3));
    client.sockets.length = 0;
    client.wait(3000);
    expect(client.sockets).toEqual(['close a']);
  });

  test('is not held against the server by one who was stopped himself', () => {
    const { client, server } = synchronised();
    client.now += 60_000;
    client.machine.handleTimeout(client.now);
    expect(client.takeEvents()).toEqual([]);
    client.hear(server.beat());
    client.wait(2000);
    expect(client.state).toBe('synchronised');
  });
});

describe('the window', () => {
  test('is given back before it is used up, and not for each update', () => {
    const { client, server } = synchronised();
    for (let count = 0; count < 100; count++) {
      client.now += 1;
      client.hear(server.set('/a', 'x'.repeat(36)));
    }
    // 102 bytes each, and a quarter of 4096.
    expect(client.progress.length).toBeGreaterThanOrEqual(8);
    expect(client.progress.length).toBeLessThanOrEqual(10);
  });
});

describe('the end', () => {
  test('says goodbye, closes and is drained once', () => {
    const { client } = synchronised();
    client.call({ type: 'drain' });
    client.call({ type: 'stop' });
    client.call({ type: 'drain' });
    expect(client.said.map(({ command }) => command.type)).toEqual(['goodbye']);
    expect(client.sockets).toEqual(['flush a']);
    expect(client.takeEvents()).toEqual(['disconnected closed', 'drained']);
    expect([client.state, client.view]).toEqual(['closed', '/a=1 /b=2']);
    expect(client.machine.nextTimeout).toBe(Infinity);
  });
});
