/** The parts that a Titanic's machine is made of, each by itself. */
import { describe, expect, test } from 'vitest';
import type { StorageBatch } from '../../src/core/batch.ts';
import { Line, Linked } from '../../src/titanic/line.ts';
import { Requests, StoredRequest } from '../../src/titanic/requests.ts';
import { Retention } from '../../src/titanic/retention.ts';
import { ServiceLines } from '../../src/titanic/service-lines.ts';
import { Waiters } from '../../src/titanic/waiters.ts';
import { STORE_REST, Writes, type SweepWrite } from '../../src/titanic/writes.ts';
import { idOf, short, storySettings } from './titanic-story.ts';

class Thing extends Linked {
  readonly name: string;

  constructor(name: string) {
    super();
    this.name = name;
  }
}

const names = (line: Line<Thing>) => [...line].map(({ name }) => name).join('');

/** Writes whose batches are taken down. */
function recorded(): { writes: Writes; batches: StorageBatch[] } {
  const batches: StorageBatch[] = [];
  const writes = new Writes({
    open: () => {},
    close: () => {},
    send: () => true,
    store: (_token, batch) => void batches.push(batch as StorageBatch),
    emit: () => {},
  });
  return { writes, batches };
}

/** Requests that ended one after the other, of ten bytes each. */
function ended(retention: Retention, count: number): StoredRequest[] {
  return Array.from({ length: count }, (_, index) => {
    const request = new StoredRequest(idOf(index + 1));
    Object.assign(request, { state: 'done', bytes: 10, stored: 4 });
    request.finished = storySettings.wallClock + index;
    retention.keep(request);
    return request;
  });
}

describe('a line', () => {
  const things = ['a', 'b', 'c', 'd'].map((name) => new Thing(name));
  const [a, b, c, d] = things as [Thing, Thing, Thing, Thing];

  test('is left from anywhere', () => {
    const line = new Line<Thing>();
    for (const thing of things) line.push(thing);
    expect([names(line), line.first, line.size]).toEqual(['abcd', a, 4]);
    for (const [thing, left] of [
      [b, 'acd'],
      [a, 'cd'],
      [d, 'c'],
      [c, ''],
    ] as const) {
      expect(line.delete(thing)).toBe(true);
      expect([names(line), line.size, thing.isInLine]).toEqual([left, left.length, false]);
    }
    expect([line.first, line.delete(a)]).toEqual([undefined, false]);
    line.push(b);
    expect(names(line)).toBe('b');
    b.leaveLine();
    expect(names(line)).toBe('');
  });

  test('is left by what joins another, and joined again at its end', () => {
    const [one, two] = [new Line<Thing>(), new Line<Thing>()];
    for (const thing of [a, b, c]) one.push(thing);
    two.push(b);
    one.push(a);
    expect([names(one), names(two), one.has(b), two.has(b)]).toEqual(['ca', 'b', false, true]);
    expect(one.delete(b)).toBe(false);
  });
});

describe('requests', () => {
  test('are counted by state, for all and for each service', () => {
    const requests = new Requests(storySettings);
    const services = new ServiceLines(storySettings);
    const request = requests.create(idOf(1));
    services.join(request, 'echo');
    expect(requests.counts).toMatchObject({ waiting: 0, done: 0 });
    for (const state of ['waiting', 'waiting', 'running', 'done'] as const) {
      requests.show(request, state);
    }
    expect(requests.counts).toMatchObject({ waiting: 0, running: 0, done: 1 });
    expect(request.service?.counts).toMatchObject({ waiting: 0, running: 0, done: 1 });
    requests.show(request, 'closed');
    expect([requests.counts.closed, request.service?.counts.done]).toEqual([1, 0]);
    requests.forget(request);
    expect([requests.counts.closed, requests.get(request.id)]).toEqual([0, undefined]);
  });
});

describe('a service', () => {
  test('is forgotten with its last request, and its rest with it', () => {
    const services = new ServiceLines(storySettings);
    const [one, two] = [new StoredRequest(idOf(1)), new StoredRequest(idOf(2))];
    services.join(one, 'echo');
    services.join(two, 'echo');
    const service = one.service!;
    expect(two.service).toBe(service);
    services.absent(0, service, one);
    services.leave(one);
    expect([services.services.size, services.nextDue]).toEqual([1, 50]);
    services.leave(two);
    services.leave(two);
    expect([services.services.size, services.nextDue]).toEqual([0, Infinity]);
  });

  test('has room for so many; after a rest for one, until it is found', () => {
    const services = new ServiceLines(storySettings);
    const [one, two] = [new StoredRequest(idOf(1)), new StoredRequest(idOf(2))];
    services.join(one, 'echo');
    const service = one.service!;
    for (const request of [one, two]) services.enter(service, request);
    expect(services.hasRoom(service)).toBe(false);
    services.exit(service, two);
    expect(services.hasRoom(service)).toBe(true);
    expect(services.absent(0, service, one)).toBe(true);
    expect(services.absent(0, service, two)).toBe(false);
    expect(services.hasRoom(service)).toBe(false);
    expect([services.takeRested(49), services.takeRested(50)]).toEqual([undefined, service]);
    expect(services.hasRoom(service)).toBe(true);
    services.enter(service, two);
    services.exit(service, one);
    expect([service.running, services.hasRoom(service)]).toEqual([1, false]);
    expect([services.found(service), services.found(service)]).toEqual([true, false]);
    expect(services.hasRoom(service)).toBe(true);
  });
});

describe('waiters', () => {
  const [one, two] = [new StoredRequest(idOf(1)), new StoredRequest(idOf(2))];

  test('are bounded, and each leaves once', () => {
    const waiters = new Waiters(3);
    expect([waiters.add(1, one, 10), waiters.add(2, one, 20)]).toEqual([true, true]);
    expect([waiters.add(3, two, 5), waiters.add(4, two, 5)]).toEqual([true, false]);
    expect(waiters.nextDue).toBe(5);
    expect([waiters.takeDue(4), waiters.takeDue(5)]).toEqual([undefined, 3]);
    expect(waiters.take(two)).toEqual([]);
    expect([waiters.withdraw(1), waiters.withdraw(1)]).toEqual([true, false]);
    expect([waiters.take(one), waiters.take(one)]).toEqual([[2], []]);
    expect([waiters.size, waiters.nextDue]).toEqual([0, Infinity]);
  });

  test('leave all at once', () => {
    const waiters = new Waiters(3);
    waiters.add(1, one, Infinity);
    waiters.add(2, two, 10);
    expect([waiters.takeAll(), waiters.size, waiters.nextDue]).toEqual([[1, 2], 0, Infinity]);
  });
});

describe('writes', () => {
  test('pause after a refusal, and are tried again with nothing in hand', () => {
    const { writes, batches } = recorded();
    expect([writes.refused(0), writes.refused(0), writes.takesAll]).toEqual([true, false, false]);
    writes.probe(STORE_REST - 1);
    expect([writes.nextDue, batches]).toEqual([STORE_REST, []]);
    writes.probe(STORE_REST);
    expect([writes.nextDue, batches]).toEqual([Infinity, [{ puts: [], deletes: [] }]]);
    writes.refused(2 * STORE_REST);
    expect(writes.nextDue).toBe(3 * STORE_REST);
    expect([writes.taken(), writes.taken(), writes.takesAll]).toEqual([true, false, true]);
    expect(writes.nextDue).toBe(Infinity);
  });

  test('go by what the storage says of itself', () => {
    const { writes } = recorded();
    expect(writes.told(0, 'full')).toBe(false);
    expect([writes.takesAll, writes.takesUrgent, writes.nextDue]).toEqual([false, true, 1000]);
    // What was taken before it was full says nothing of what comes.
    expect([writes.taken(), writes.nextDue]).toEqual([false, 1000]);
    writes.told(0, 'failed');
    writes.refused(0);
    expect([writes.takesUrgent, writes.nextDue, writes.taken()]).toEqual([false, Infinity, false]);
    expect([writes.told(0, 'open'), writes.takesAll]).toEqual([true, true]);
  });

  test('are answered once, and known to their request meanwhile', () => {
    const { writes } = recorded();
    const request = new StoredRequest(idOf(1));
    const write = { kind: 'close', request, asks: [] } as const;
    writes.store({ ...write, asks: [] }, { puts: [], deletes: [] });
    expect([request.write?.kind, writes.size]).toEqual(['close', 1]);
    expect([writes.take(7), writes.take(1)?.kind, writes.take(1)]).toEqual([
      undefined,
      'close',
      undefined,
    ]);
    expect([request.write, writes.size]).toEqual([undefined, 0]);
  });
});

describe('retention', () => {
  test('goes by age, count and bytes, the oldest first', () => {
    const { writes, batches } = recorded();
    const settings = { ...storySettings, retentionAge: 100, retentionCount: 5, retentionBytes: 45 };
    const retention = new Retention(settings, writes);
    ended(retention, 6);
    expect(retention.nextDue).toBe(-Infinity);
    retention.sweep(100);
    const write = writes.take(1) as SweepWrite;
    const victims = write.victims.map(({ request, reason }) => `${short(request.id)} ${reason}`);
    expect(victims).toEqual(['1 age', '2 bytes']);
    expect(batches[0]?.deletes.map(short)).toEqual(['reply:1', 'reply:2']);
    // One at a time.
    expect(retention.nextDue).toBe(Infinity);
    retention.swept(100, write, true);
    expect([retention.ended, retention.bytes, retention.nextDue]).toEqual([4, 40, 102]);
  });

  test('rests after a refusal, and passes by what is being written', () => {
    const { writes } = recorded();
    const retention = new Retention({ ...storySettings, retentionAge: 100 }, writes);
    const [first] = ended(retention, 2);
    retention.sweep(100);
    retention.swept(100, writes.take(1) as SweepWrite, false);
    expect([retention.nextDue, retention.ended]).toEqual([100 + STORE_REST, 2]);
    first!.closers = [1];
    expect(retention.nextDue).toBe(Infinity);
    retention.release(first!);
    expect([retention.nextDue, retention.bytes]).toEqual([100 + STORE_REST, 10]);
  });
});
