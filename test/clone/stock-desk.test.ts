/** What a Clone server does for stock peers. */
import assert from 'node:assert/strict';
import { describe, expect, test } from 'vitest';
import type { KvpubCommand, KvsetCommand } from '../../src/clone/commands.ts';
import type { CloneServerEvent } from '../../src/clone/server-events.ts';
import { StockDesk, type StockWrite } from '../../src/clone/server/stock-desk.ts';

const text = (value: string): Uint8Array => Buffer.from(value);

const LARGE = new Uint8Array(8 * 1024 * 1024);

class Story {
  now = 1000;
  room = Infinity;
  isActive = true;
  hasRoom = true;
  sequence = 0;
  readonly published = new Map<
    string,
    { key: string; value: Uint8Array; revision: number; createdAfter: number }
  >();
  readonly staged: StockWrite[] = [];
  readonly said: string[] = [];
  readonly events: string[] = [];
  readonly desk: StockDesk;

  constructor() {
    this.desk = new StockDesk(
      {
        open: () => undefined,
        close: () => undefined,
        store: () => undefined,
        emit: (event: CloneServerEvent) => {
          this.events.push('reason' in event ? `${event.type} ${event.reason}` : event.type);
        },
        send: (port, to, command) => {
          if (port === 'peers' && this.room <= 0) return false;
          if (port === 'peers') this.room--;
          const key =
            'key' in command ? ` ${command.key}=${Buffer.from(command.value).toString()}` : '';
          this.said.push(`${port}${to} ${command.type}${key} #${command.sequence}`);
          return true;
        },
      },
      { heartbeatInterval: 100 },
      this,
    );
  }

  stage(_now: number, write: StockWrite): boolean {
    if (this.hasRoom) this.staged.push(write);
    return this.hasRoom;
  }

  set(key: string, written: string | Uint8Array): void {
    const value = typeof written === 'string' ? text(written) : written;
    this.sequence++;
    const known = this.published.get(key);
    const entry = known ?? { key, value: text(''), revision: 0, createdAfter: this.sequence };
    if (known !== undefined) this.desk.handleChanging(known);
    this.published.set(key, Object.assign(entry, { value, revision: this.sequence }));
    const update = { key, sequence: this.sequence, value, uuid: '' };
    this.desk.handlePublished({ kind: 'set', ...update });
  }

  delete(key: string): void {
    this.sequence++;
    this.desk.handleChanging(this.published.get(key)!);
    this.published.delete(key);
    const update = { key, sequence: this.sequence, value: text(''), uuid: '' };
    this.desk.handlePublished({ kind: 'delete', ...update });
  }

  ask(from: string, subtree = ''): void {
    this.desk.handleCommand(this.now, from, { type: 'icanhaz', subtree });
  }

  write(command: Partial<KvsetCommand> = {}): void {
    const { key = '/a', uuid = '', value = text('v') } = command;
    this.desk.handleCommand(this.now, '', { type: 'kvset', key, uuid, value, ttl: command.ttl });
  }

  wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.desk.nextTimeout <= until) {
      this.now = Math.max(this.now, this.desk.nextTimeout);
      this.desk.handleTimeout(this.now);
      assert(this.desk.nextTimeout > this.now);
    }
    this.now = until;
  }

  take(): string[] {
    return this.said.splice(0);
  }
}

describe('a snapshot', () => {
  test('is all keys of the subtree, and their number', () => {
    const story = new Story();
    for (const key of ['/a', '/b/1', '/b/2', '/c']) story.set(key, 'x');
    story.ask(' bob', '/b/');
    story.ask(' eve');
    expect(story.take()).toEqual([
      'peers bob kvsync /b/1=x #4',
      'peers bob kvsync /b/2=x #4',
      'peers bob kthxbai #4',
      ...['/a', '/b/1', '/b/2', '/c'].map((key) => `peers eve kvsync ${key}=x #4`),
      'peers eve kthxbai #4',
    ]);
    expect(story.events).toEqual(['stockSnapshot', 'stockSnapshot']);
    expect(story.desk.state.snapshots.size).toBe(0);
  });

  test('of nothing is its end', () => {
    const story = new Story();
    story.ask(' bob', '/b/');
    expect(story.take()).toEqual(['peers bob kthxbai #0']);
  });

  test('waits for room, and is of the moment at which it began', () => {
    const story = new Story();
    for (const key of ['/a', '/b', '/c', '/d']) story.set(key, '1');
    story.room = 1;
    story.ask(' bob');
    expect(story.take()).toEqual(['peers bob kvsync /a=1 #4']);
    story.set('/a', '2');
    story.delete('/b');
    story.set('/c', '2');
    story.set('/e', '2');
    story.room = Infinity;
    story.desk.handleWritable(story.now, ' bob');
    expect(story.take()).toEqual([
      'peers bob kvsync /b=1 #4',
      'peers bob kvsync /d=1 #4',
      'peers bob kvsync /a=1 #4',
      'peers bob kvsync /b=1 #4',
      'peers bob kvsync /c=1 #4',
      'peers bob kthxbai #4',
    ]);
  });

  test('that keeps more than 100,000 keys as they were ends: its client asks again', () => {
    const story = new Story();
    for (let key = 0; key <= 100_000; key++) story.set(`/${key}`, '1');
    story.room = 0;
    story.ask(' bob');
    for (let key = 0; key < 100_000; key++) story.set(`/${key}`, '2');
    expect(story.desk.state.snapshots.size).toBe(1);
    story.delete('/100000');
    expect(story.desk.state.snapshots.size).toBe(0);
  });

  test('that waits keeps the place of the key that did not fit, or of its end', () => {
    const story = new Story();
    story.set('/a', '1');
    story.room = 0;
    story.ask(' bob');
    for (const room of [0, 1, 0, 1]) {
      story.room = room;
      story.desk.handleWritable(story.now, ' bob');
    }
    expect(story.take()).toEqual(['peers bob kvsync /a=1 #1', 'peers bob kthxbai #1']);
    story.room = 1;
    story.desk.handleWritable(story.now, ' bob');
    expect(story.take()).toEqual([]);
  });

  test('ends although keys are made all the while', () => {
    const story = new Story();
    for (let key = 0; key < 5; key++) story.set(`/${key}`, 'x');
    story.room = 0;
    story.ask(' bob');
    for (let turn = 0; turn < 6; turn++) {
      for (let key = 0; key < 3; key++) story.set(`/new/${turn}/${key}`, 'x');
      story.room = 1;
      story.desk.handleWritable(story.now, ' bob');
    }
    expect(story.take().at(-1)).toBe('peers bob kthxbai #5');
  });

  test('of many keys goes on a little later, and lets others have their turn', () => {
    const story = new Story();
    for (let key = 0; key < 1200; key++) story.set(`/${key}`, 'x');
    story.ask(' bob');
    expect(story.take()).toHaveLength(500);
    story.wait(1);
    expect(story.take()).toHaveLength(500);
    story.wait(1);
    expect(story.take().at(-1)).toBe('peers bob kthxbai #1200');
    expect(story.desk.nextTimeout).toBe(Infinity);
  });

  test('asked for again begins anew; a client that is gone gets nothing more', () => {
    const story = new Story();
    for (const key of ['/a', '/b']) story.set(key, '1');
    story.room = 1;
    story.ask(' bob');
    story.room = Infinity;
    story.ask(' bob');
    expect(story.take().slice(1)).toEqual([
      'peers bob kvsync /a=1 #2',
      'peers bob kvsync /b=1 #2',
      'peers bob kthxbai #2',
    ]);
    story.room = 0;
    story.ask(' bob');
    story.desk.handlePeerGone(' bob');
    story.room = Infinity;
    story.desk.handleWritable(story.now, ' bob');
    expect(story.take()).toEqual([]);
  });

  test('comes from an active server only, and at most 1,000 are under way', () => {
    const story = new Story();
    story.isActive = false;
    story.ask(' bob');
    expect([story.take(), story.events]).toEqual([[], []]);
    story.isActive = true;
    story.room = 0;
    for (let client = 0; client <= 1000; client++) story.ask(` ${client}`);
    expect([...story.desk.state.snapshots.keys()].slice(0, 1)).toEqual([' 1']);
    expect(story.desk.state.snapshots.size).toBe(1000);
    story.desk.standBy();
    expect(story.desk.state.snapshots.size).toBe(0);
  });
});

describe('many clients', () => {
  test('have their turns one after the other, a few at a time', () => {
    const story = new Story();
    for (let count = 0; count < 1000; count++) story.set(`/${count}`, '1');
    story.room = 0;
    const clients = Array.from({ length: 100 }, (_, index) => `client${index}`);
    for (const client of clients) story.ask(client);
    story.room = Infinity;
    for (const client of clients) story.desk.handleWritable(story.now, client);
    story.take();
    let ended = 0;
    while (story.desk.nextTimeout < Infinity) {
      story.now = story.desk.nextTimeout;
      story.desk.handleTimeout(story.now);
      const said = story.take();
      expect(said.length).toBeLessThan(5000);
      ended += said.filter((line) => line.includes('kthxbai')).length;
    }
    expect(ended).toBe(100);
  });

  test('of which one takes nothing: its walk does not keep for ever what leaves the map', () => {
    const story = new Story();
    story.set('/a', '1');
    story.room = 0;
    story.ask('gone', '/a');
    for (let count = 0; count < 34; count++) {
      story.set(`/${count}`, LARGE);
      story.delete(`/${count}`);
    }
    story.room = Infinity;
    story.desk.handleWritable(story.now, 'gone');
    expect(story.take()).toEqual([]);
  });

  test('of which one takes something now and then: it gets all', () => {
    const story = new Story();
    story.set('/a', '1');
    story.set('/b', '1');
    story.room = 0;
    story.ask('slow');
    for (let count = 0; count < 60; count++) {
      if (count % 30 === 29) story.room = 1;
      story.desk.handleWritable(story.now, 'slow');
      story.set(`/${count}`, LARGE);
      story.delete(`/${count}`);
    }
    story.room = Infinity;
    story.desk.handleWritable(story.now, 'slow');
    expect(story.take()).toEqual([
      'peersslow kvsync /a=1 #2',
      'peersslow kvsync /b=1 #2',
      'peersslow kthxbai #2',
    ]);
  });
});

describe('updates', () => {
  test('are published once stock peers are served, with a heartbeat each interval', () => {
    const story = new Story();
    story.set('/a', '1');
    story.wait(500);
    expect(story.take()).toEqual([]);
    story.desk.serve(story.now);
    story.set('/a', '2');
    story.delete('/a');
    story.wait(200);
    story.isActive = false;
    story.wait(200);
    expect(story.take()).toEqual([
      'publisher kvpub /a=2 #2',
      'publisher kvpub /a= #3',
      'publisher hugz #3',
      'publisher hugz #3',
    ]);
  });

  test('have the uuid and the time to live of what was written', () => {
    const published: KvpubCommand[] = [];
    const story = new Story();
    const desk = new StockDesk(
      {
        open: () => undefined,
        close: () => undefined,
        store: () => undefined,
        emit: () => undefined,
        send: (_port, _to, command) => {
          if (command.type === 'kvpub') published.push(command);
          return true;
        },
      },
      { heartbeatInterval: 100 },
      story,
    );
    desk.serve(0);
    const value = text('v');
    desk.handlePublished({ kind: 'set', key: '/a', sequence: 7, ttl: 5000, value, uuid: 'u' });
    desk.handlePublished({ kind: 'delete', key: '/a', sequence: 8, value, uuid: 'w' });
    expect(published).toMatchObject([
      { key: '/a', sequence: 7, ttl: 5000, value, uuid: 'u' },
      { key: '/a', sequence: 8, value: { length: 0 }, uuid: 'w' },
    ]);
  });
});

describe('writes', () => {
  test('are sets, and deletes if they have no value', () => {
    const story = new Story();
    story.write({ key: '/a', uuid: 'u', ttl: 5000 });
    story.write({ key: '/b', value: text('') });
    expect(story.staged).toMatchObject([
      { kind: 'set', key: '/a', uuid: 'u', ttl: 5000, value: text('v') },
      { kind: 'delete', key: '/b', uuid: '' },
    ]);
  });

  test('with the same uuid are done once; those without one each time', () => {
    const story = new Story();
    for (const uuid of ['u', 'u', '', '', 'w', 'u']) story.write({ uuid });
    expect(story.staged.map(({ uuid }) => uuid)).toEqual(['u', '', '', 'w']);
    expect(story.events).toEqual(['stockWriteIgnored repeated', 'stockWriteIgnored repeated']);
  });

  test('that were accepted, and never were, may be repeated', () => {
    const story = new Story();
    story.write({ uuid: 'u' });
    story.desk.handleDropped('u');
    story.write({ uuid: 'u' });
    expect(story.staged).toHaveLength(2);
  });

  test('that do not fit may be repeated', () => {
    const story = new Story();
    story.hasRoom = false;
    story.write({ uuid: 'u' });
    story.hasRoom = true;
    story.write({ uuid: 'u' });
    expect(story.events).toEqual(['stockWriteIgnored full']);
    expect(story.staged).toHaveLength(1);
  });

  test('of the last 10,000 uuids are known again', () => {
    const story = new Story();
    for (let count = 0; count <= 10_000; count++) story.write({ uuid: `u${count}` });
    story.write({ uuid: 'u1' });
    expect(story.staged).toHaveLength(10_001);
    story.write({ uuid: 'u0' });
    expect(story.staged).toHaveLength(10_002);
  });

  test('are ignored by a passive server', () => {
    const story = new Story();
    story.isActive = false;
    story.write();
    expect([story.staged, story.events]).toEqual([[], ['stockWriteIgnored passive']]);
  });
});
