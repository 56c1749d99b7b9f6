/** The active broker tells nobody what its follower could not go on with. */
import { describe, expect, test } from 'vitest';
import { contradictions } from './broker-conservation.ts';
import { NOTHING_LEFT } from './express-stories.ts';
import { PairBroker } from './failover-stories.ts';

/** It serves alone, with one worker that has reported and one client. */
function serving(settings = {}): PairBroker {
  const broker = new PairBroker(settings);
  broker.rise(1);
  broker.serveIn('worker', 9);
  broker.report('worker');
  broker.hello('client');
  broker.heardNow();
  broker.stood();
  return broker;
}

/** The client asks under a key, and the worker answers. */
function work(broker: PairBroker, key: string): number {
  const number = broker.ask('client', key, { key });
  broker.done('worker', key.toUpperCase());
  return number;
}

const told = (broker: PairBroker): string[] =>
  broker.heardNow().filter((line) => line.startsWith('client'));

describe('a follower', () => {
  test('is told all that is kept and all workers, then that this was all, then each new thing', () => {
    const broker = serving();
    work(broker, 'a');
    broker.serve('old', 1, { service: 'other' });
    broker.heardNow();
    broker.follow();
    expect(broker.heardNow()).toEqual([
      'follower record 1 worker id of worker',
      'follower record 2 a = A',
      'follower record 3 complete 1',
    ]);
    work(broker, 'b');
    broker.serveIn('new');
    broker.disconnect('new');
    broker.disconnect('old');
    expect(broker.heardNow().filter((line) => line.includes('record'))).toEqual([
      'follower record 4 b = B',
      'follower record 5 worker id of new',
      'follower record 6 gone id of new',
    ]);
  });

  test('is told for how much longer a reply is kept, and why there is none', () => {
    const broker = serving();
    broker.ask('client', 'a', { key: 'a' });
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    broker.done('worker', '', { body: [], failure });
    broker.wait(50);
    broker.follow();
    const records = broker.sent.flatMap(({ command }) =>
      command.type === 'record' ? [command.record] : [],
    );
    expect(records).toContainEqual(
      expect.objectContaining({ kind: 'reply', key: 'a', ttl: 950, body: [], failure }),
    );
  });

  test('that has all makes the active one not alone, and it says so once', () => {
    const broker = serving();
    broker.follow();
    broker.record(1);
    expect(broker.failover.follower).toBe('copying');
    broker.record(2);
    broker.record(2);
    expect(broker.stood()).toEqual(['followerSynchronised 1', 'alone false']);
    expect(broker.failover.follower).toBe('synchronised');
  });

  test('is told nothing of what others do, and cannot have what was not told', () => {
    const broker = serving();
    broker.follow();
    broker.record(3);
    broker.record(99);
    broker.record(2, 'follower', 'another session');
    broker.record(2, 'another', 'follower');
    expect(broker.stood()).toEqual([]);
    broker.record(2);
    expect(broker.stood()).toEqual(['followerSynchronised 1', 'alone false']);
  });

  test('hears a beat in each interval, while there is nothing else', () => {
    const broker = serving();
    broker.synchronise();
    broker.heardNow();
    broker.live({ worker: [], client: [] }, 250);
    expect(broker.heardNow()).toEqual(['follower record 3 beat', 'follower record 4 beat']);
  });

  test('that does not take in what there is gets it when it can, in order', () => {
    const broker = serving();
    broker.full.add('follower');
    broker.follow();
    work(broker, 'a');
    expect(told(broker)).toEqual(['client 1 = A']);
    broker.full.delete('follower');
    broker.machine.handleWritable(broker.now, 'peers', 'follower');
    expect(broker.heardNow()).toEqual([
      'follower record 1 worker id of worker',
      'follower record 2 a = A',
      // It is among all that there is now, too.
      'follower record 3 a = A',
      'follower record 4 complete 1',
    ]);
  });

  test('copies a piece at a time, and meanwhile the broker goes on serving', () => {
    const broker = serving({ idempotencyBytes: 100_000_000 });
    for (let count = 0; count < 5000; count++) work(broker, `${count}`);
    broker.heardNow();
    broker.follow();
    expect(broker.heardNow()).toHaveLength(4096);
    work(broker, 'meanwhile');
    expect(told(broker)).toEqual([expect.stringMatching(/= MEANWHILE$/)]);
    broker.record(4000);
    const rest = broker.heardNow();
    expect(rest).toHaveLength(5001 + 2 - 4096);
    expect(rest.at(-1)).toMatch(/complete 1$/);
    expect(broker.failover.follower).toBe('copying');
    broker.record(5004);
    expect(broker.failover.follower).toBe('synchronised');
  });

  test('that takes in too little is given up, and told so', () => {
    const broker = serving({ idempotencyBytes: 3_000_000 });
    broker.full.add('follower');
    broker.follow();
    const large = 'x'.repeat(900_000);
    for (let count = 0; count < 6; count++) {
      broker.ask('client', 'large', { key: `${count}` });
      broker.done('worker', large);
    }
    expect(broker.stood()).toEqual(['followerLost tooSlow']);
    expect(broker.failover.follower).toBe('none');
  });

  test('that is given up for a reply does not keep that one back', () => {
    const broker = serving({ idempotencyBytes: 3_000_000, queueBytes: 10_000_000 });
    broker.follow();
    broker.full.add('follower');
    for (let count = 0; count < 7; count++) {
      broker.ask('client', 'large', { key: `${count}` });
    }
    const { number: last = 0 } = broker.given('worker');
    for (let number = last - 6; number <= last; number++) {
      broker.done('worker', 'x'.repeat(900_000), { number });
    }
    expect(broker.stood()).toEqual(['followerLost tooSlow']);
    expect(told(broker)).toHaveLength(7);
    expect(broker.failover.withheld).toBe(0);
  });

  test('asks a passive broker in vain', () => {
    const broker = new PairBroker();
    broker.follow();
    expect(broker.heardNow()).toEqual(['follower disconnect']);
  });
});

describe('a reply under a key', () => {
  test('is told once the follower has it, and the worker is free before', () => {
    const broker = serving();
    broker.synchronise();
    broker.heardNow();
    const number = work(broker, 'a');
    broker.ask('client', 'free', { key: 'next' });
    expect(broker.heardNow()).toEqual(['worker < a', 'follower record 3 a = A', 'worker < free']);
    expect(contradictions(broker.machine)).toEqual([]);
    expect(broker.failover.withheld).toBe(1);
    broker.record(3);
    expect(broker.heardNow()).toEqual([`client ${number} = A`]);
    broker.done('worker', 'B');
    broker.record();
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('is not taken for lost by heartbeats while it waits', () => {
    const broker = serving();
    broker.synchronise();
    const number = work(broker, 'a');
    broker.heardNow();
    broker.live({ worker: [], client: [number] }, 200);
    expect(broker.took('dispatchLost')).toEqual([]);
    expect(broker.beatOf('client').held).toEqual([number]);
    expect(told(broker)).toEqual([]);
    broker.disconnect('worker');
    expect(broker.machine.status().requests.failed).toBe(0);
    broker.record();
    expect(told(broker)).toEqual([`client ${number} = A`]);
  });

  test('is told at once before the follower was told all, or without any', () => {
    const broker = serving();
    work(broker, 'a');
    broker.full.add('follower');
    broker.follow();
    work(broker, 'b');
    expect(told(broker)).toEqual(['client 1 = A', 'client 2 = B']);
  });

  test('is not told while nobody said that it serves alone', () => {
    const broker = new PairBroker();
    broker.rise(1, false);
    broker.serveIn('worker', 9);
    broker.report('worker');
    broker.hello('client');
    broker.call({ type: 'servesAlone', epoch: 3 });
    expect(broker.heardNow()).toEqual(['worker welcome', 'worker active 1 ', 'client welcome']);
    broker.ask('client', 'plain');
    broker.ask('client', 'a', { key: 'a' });
    expect(broker.heardNow()).toEqual([]);
    broker.call({ type: 'servesAlone', epoch: 1 });
    expect(broker.heardNow()).toEqual(['worker < plain', 'worker < a']);
    broker.done('worker', 'A');
    expect(told(broker)).toEqual(['client 2 = A']);
  });

  test('without a key, or that is not kept, is told at once', () => {
    const broker = serving();
    broker.synchronise();
    broker.ask('client', 'plain');
    broker.done('worker', 'PLAIN');
    broker.ask('client', 'large', { key: 'large' });
    broker.done('worker', 'x'.repeat(20_000));
    broker.ask('client', 'late', { key: 'late' });
    const failure = { code: 'ERR_REQUEST_EXPIRED', message: 'late' } as const;
    broker.done('worker', '', { body: [], failure });
    expect(told(broker)).toEqual([
      'client 1 = PLAIN',
      `client 2 = ${'x'.repeat(20_000)}`,
      'client 3 = ERR_REQUEST_EXPIRED',
    ]);
  });

  test('is told to all who ask under its key, and to none of them too soon', () => {
    const broker = serving();
    broker.synchronise();
    work(broker, 'a');
    broker.ask('client', 'a', { key: 'a' });
    broker.cancel('client', 1);
    broker.cancel('client', 2);
    broker.ask('client', 'a', { key: 'a' });
    expect(told(broker)).toEqual([]);
    expect(contradictions(broker.machine)).toEqual([]);
    broker.record(3);
    expect(told(broker)).toEqual(['client 3 = A']);
    broker.ask('client', 'a', { key: 'a' });
    expect(told(broker)).toEqual(['client 4 = A']);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('that expires while it waits has expired, and is there for the next', () => {
    const broker = serving();
    broker.synchronise();
    broker.ask('client', 'a', { key: 'a', timeLeft: 50 });
    broker.done('worker', 'A');
    broker.wait(50);
    expect(told(broker)).toEqual(['client 1 = ERR_REQUEST_EXPIRED']);
    broker.record();
    broker.ask('client', 'a', { key: 'a' });
    expect(told(broker)).toEqual(['client 2 = A']);
  });

  test('is refused where too many wait already', () => {
    const broker = serving({ idempotencyBytes: 500 });
    broker.synchronise();
    work(broker, 'a');
    work(broker, 'b');
    broker.ask('client', 'c', { key: 'c' });
    broker.ask('client', 'plain');
    expect(broker.heardNow().slice(-2)).toEqual(['client 3 = ERR_QUEUE_FULL', 'worker < plain']);
  });
});

/** One reply waits for the follower. */
function losing(): PairBroker {
  const broker = serving();
  broker.synchronise();
  work(broker, 'a');
  broker.stood();
  broker.heardNow();
  return broker;
}

describe('a follower that is lost', () => {
  test('by silence: what waits is told when nobody else may serve, and so is all that comes', () => {
    const broker = losing();
    broker.live({ worker: [], client: [1] }, 300);
    expect(broker.stood()).toEqual(['followerLost silent', 'alone true']);
    work(broker, 'b');
    expect(told(broker)).toEqual([]);
    broker.call({ type: 'servesAlone', epoch: 1 });
    expect(told(broker)).toEqual(['client 1 = A', 'client 2 = B']);
    work(broker, 'c');
    expect(told(broker)).toEqual(['client 3 = C']);
  });

  test('by the notice that its link broke, unless it is heard within the grace', () => {
    const broker = losing();
    broker.gone('follower');
    broker.record(2);
    broker.wait(30);
    expect(broker.stood()).toEqual([]);
    broker.gone('follower');
    broker.gone('somebody');
    broker.wait(30);
    expect(broker.stood()).toEqual(['followerLost gone', 'alone true']);
  });

  test('by its goodbye', () => {
    const broker = losing();
    broker.disconnect('follower');
    expect(broker.stood()).toEqual(['followerLost disconnected', 'alone true']);
  });

  test('not because this side was stopped', () => {
    const broker = losing();
    broker.sleep(1000);
    expect(broker.stood()).toEqual([]);
    broker.record(2);
  });

  test('and comes back has all again before anything is told', () => {
    const broker = losing();
    broker.follow('again');
    work(broker, 'b');
    expect(broker.heardNow()).toEqual([
      'again record 1 worker id of worker',
      'again record 2 a = A',
      'again record 3 complete 1',
      'worker < b',
      'again record 4 b = B',
    ]);
    broker.record(9, 'follower');
    broker.record(2, 'again');
    expect(told(broker)).toEqual([]);
    broker.record(3, 'again');
    expect(told(broker)).toEqual(['client 1 = A']);
    broker.record(4, 'again');
    expect(told(broker)).toEqual(['client 2 = B']);
    expect(broker.stood()).toEqual(['followerSynchronised 1']);
  });

  test('and comes back while nobody has said that the broker may go on alone', () => {
    const broker = losing();
    broker.disconnect('follower');
    broker.follow();
    broker.record();
    expect(told(broker)).toEqual(['client 1 = A']);
    expect(broker.stood()).toEqual([
      'followerLost disconnected',
      'alone true',
      'followerSynchronised 1',
      'alone false',
    ]);
    broker.call({ type: 'servesAlone', epoch: 1 });
    work(broker, 'b');
    expect(told(broker)).toEqual([]);
  });

  test('takes what waits with it when the broker steps down', () => {
    const broker = losing();
    broker.fall(2);
    expect(broker.heardNow()).toEqual([
      'follower disconnect',
      'client passive 2 ',
      'worker passive 2 ',
    ]);
    expect(contradictions(broker.machine)).toEqual([]);
    expect(broker.failover.withheld).toBe(0);
  });
});

describe('a new worker', () => {
  test('gets work once the follower knows of it', () => {
    const broker = serving();
    broker.synchronise();
    broker.disconnect('worker');
    broker.serveIn('new');
    broker.report('new');
    broker.ask('client', 'a');
    broker.heardNow();
    broker.record(3);
    expect(broker.heardNow()).toEqual([]);
    broker.record(4);
    expect(broker.heardNow()).toEqual(['new < a']);
    expect(contradictions(broker.machine)).toEqual([]);
  });

  test('gets work at once without a follower, or before that has all', () => {
    const broker = serving();
    broker.full.add('follower');
    broker.follow();
    broker.disconnect('worker');
    broker.ask('client', 'a');
    broker.serveIn('new');
    expect(broker.heardNow()).toContain('new < a');
  });

  test('that has gone again before it was known is nobody', () => {
    const broker = serving();
    broker.synchronise();
    broker.serveIn('new');
    broker.disconnect('new');
    broker.record();
    expect(broker.machine.status().workers).toBe(1);
    expect(contradictions(broker.machine)).toEqual([]);
  });
});
