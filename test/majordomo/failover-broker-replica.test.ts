/** The passive broker copies what the active one keeps, and knows when it has all of it. */
import { describe, expect, test } from 'vitest';
import { PairBroker, reply, roster } from './failover-stories.ts';

const ACTIVE = 'tcp://active:1';

function following(epoch = 4, settings = {}): PairBroker {
  const broker = new PairBroker(settings);
  Object.assign(broker.guard, { highestEpoch: epoch, activeEndpoint: ACTIVE });
  broker.call({ type: 'follow', epoch, endpoint: ACTIVE });
  return broker;
}

describe('following', () => {
  test('it connects, says so, and acknowledges what it has copied', () => {
    const broker = following();
    broker.tell(1, roster('worker'));
    broker.tell(2, reply('a', 'A'));
    expect(broker.failover.follower).toBe('copying');
    broker.tell(3, { kind: 'complete', epoch: 4 });
    broker.tell(4, { kind: 'beat' });
    expect(broker.sockets).toEqual([`open active ${ACTIVE}`]);
    expect(broker.heardNow()).toEqual([
      'active follow 4',
      'active recorded 1',
      'active recorded 2',
      'active recorded 3',
      'active recorded 4',
    ]);
    expect(broker.stood()).toEqual(['holds 0', 'synchronised 4: 1 1', 'holds 4']);
    expect(broker.failover).toMatchObject({ follower: 'synchronised', standing: 'passive' });
  });

  test('what it has copied is answered when it serves, for as long as it is kept', () => {
    const broker = following();
    // The oldest is told first.
    broker.tell(1, reply('b', 'B', 100));
    broker.tell(2, reply('a', 'A', 1000));
    broker.wait(100);
    expect(broker.machine.status().kept.replies).toBe(1);
    broker.rise(5);
    broker.hello('client');
    broker.heardNow();
    broker.ask('client', 'a', { key: 'a' });
    expect(broker.heardNow()).toEqual(['client 1 = A']);
    expect(broker.sockets).toEqual([`open active ${ACTIVE}`, 'close active']);
  });

  test('a reply that is told again is kept once', () => {
    const broker = following();
    broker.tell(1, reply('a', 'A'));
    const { bytes } = broker.machine.status().kept;
    broker.tell(2, reply('a', 'A'));
    expect(broker.machine.status().kept).toEqual({ replies: 1, bytes });
  });

  test('it copies no more workers than it may have itself', () => {
    const broker = following(4, { workerLimit: 1 });
    broker.tell(1, roster('one'));
    broker.tell(2, roster('two'));
    broker.tell(3, { kind: 'workerGone', worker: 'id of two' });
    broker.tell(4, { kind: 'complete', epoch: 4 });
    expect(broker.stood()).toContain('synchronised 4: 0 1');
  });
});

const ATTEMPT = [`open active ${ACTIVE}`];

function attempts(broker: PairBroker): string[] {
  return broker.sockets.splice(0);
}

describe('it follows anew', () => {
  test('after a hole, and what it has of this epoch it still holds', () => {
    const broker = following(4, { random: () => Math.random() });
    broker.tell(1, reply('a', 'A'));
    broker.tell(2, { kind: 'complete', epoch: 4 });
    broker.stood();
    attempts(broker);
    const { session } = broker;
    broker.tell(4, reply('c', 'C'));
    expect(attempts(broker)).toEqual(ATTEMPT);
    expect(broker.session).not.toBe(session);
    expect(broker.stood()).toEqual([]);
    expect(broker.machine.status().kept.replies).toBe(1);
    broker.tell(5, reply('late', 'LATE'), session);
    expect(broker.machine.status().kept.replies).toBe(1);
    broker.tell(1, { kind: 'complete', epoch: 4 });
    expect(broker.stood()).toEqual(['synchronised 4: 1 0', 'holds 4']);
  });

  test('not after what came twice', () => {
    const broker = following();
    broker.tell(1, reply('a', 'A'));
    attempts(broker);
    broker.tell(1, reply('a', 'other'));
    expect(attempts(broker)).toEqual([]);
    broker.rise(5);
    broker.hello('client');
    broker.ask('client', 'a', { key: 'a' });
    expect(broker.heardNow().at(-1)).toBe('client 1 = A');
  });

  test('after silence for interval × liveness', () => {
    const broker = following();
    broker.wait(200);
    broker.tell(1, { kind: 'beat' });
    attempts(broker);
    broker.wait(299);
    expect(attempts(broker)).toEqual([]);
    broker.wait(1);
    expect(attempts(broker)).toEqual(ATTEMPT);
  });

  test('later, if something large was announced, or if it was stopped itself', () => {
    const broker = following();
    attempts(broker);
    const large = { type: 'announce', dialect: 'express', bytes: 2 * 1024 * 1024 } as const;
    broker.machine.handleCommand(broker.now, 'active', '', large);
    broker.wait(1500);
    expect(attempts(broker)).toEqual([]);
    broker.sleep(2000);
    expect(attempts(broker)).toEqual([]);
    broker.wait(100);
    expect(attempts(broker)).toEqual(ATTEMPT);
  });

  test('when its link broke: soon if it was heard, and else after an interval', () => {
    const broker = following();
    attempts(broker);
    broker.machine.handlePeerGone(broker.now, 'active', '');
    broker.wait(99);
    expect(attempts(broker)).toEqual([]);
    broker.wait(1);
    expect(attempts(broker)).toEqual(ATTEMPT);
    broker.tell(1, { kind: 'beat' });
    broker.machine.handlePeerGone(broker.now, 'active', '');
    broker.wait(30);
    expect(attempts(broker)).toEqual(ATTEMPT);
  });

  test('when it was told that it is not served, after an interval', () => {
    const broker = following();
    attempts(broker);
    const command = { type: 'disconnect', dialect: 'express' } as const;
    broker.machine.handleCommand(broker.now, 'active', '', command);
    broker.wait(100);
    expect(attempts(broker)).toEqual(ATTEMPT);
  });

  test('if the active one is elsewhere; if it is another, what was kept is nothing any more', () => {
    const broker = following();
    broker.tell(1, reply('a', 'A'));
    broker.tell(2, { kind: 'complete', epoch: 4 });
    broker.stood();
    attempts(broker);
    broker.call({ type: 'follow', epoch: 4, endpoint: ACTIVE });
    expect(attempts(broker)).toEqual([]);
    broker.call({ type: 'follow', epoch: 4, endpoint: 'tcp://moved:1' });
    expect(attempts(broker)).toEqual(['open active tcp://moved:1']);
    expect(broker.stood()).toEqual([]);
    broker.call({ type: 'follow', epoch: 6, endpoint: ACTIVE });
    expect(attempts(broker)).toEqual(ATTEMPT);
    expect(broker.stood()).toEqual(['holds 0']);
    expect(broker.machine.status().kept).toEqual({ replies: 0, bytes: 0 });
    expect(broker.failover.follower).toBe('copying');
  });

  test('not while nobody is believed to be active: what is still heard is taken', () => {
    const broker = following();
    broker.call({ type: 'follow', epoch: 4, endpoint: '' });
    broker.tell(1, reply('a', 'A'));
    expect(broker.machine.status().kept.replies).toBe(1);
    broker.wait(300);
    expect(broker.sockets).toEqual([...ATTEMPT, 'close active']);
    broker.machine.handlePeerGone(broker.now, 'active', '');
    broker.wait(5000);
    expect(broker.sockets).toHaveLength(2);
    broker.call({ type: 'follow', epoch: 4, endpoint: ACTIVE });
    expect(broker.sockets).toHaveLength(3);
  });
});

test('an active broker follows nobody, and hears nothing late', () => {
  const broker = following();
  const { session } = broker;
  broker.rise(5);
  broker.call({ type: 'follow', epoch: 5, endpoint: ACTIVE });
  broker.tell(1, reply('a', 'A'), session);
  expect(broker.sockets).toEqual([`open active ${ACTIVE}`, 'close active']);
  expect(broker.machine.status().kept.replies).toBe(0);
});
