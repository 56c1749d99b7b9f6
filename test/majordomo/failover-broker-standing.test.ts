/** A broker that is one of several serves while it is decided that it does, and not a moment longer. */
import { describe, expect, test } from 'vitest';
import { STANDING_PATIENCE } from '../../src/majordomo/epochs.ts';
import { PairBroker } from './failover-stories.ts';
import { ExpressBroker, NOTHING_LEFT } from './express-stories.ts';
import { contradictions } from './broker-conservation.ts';

const welcomes = (broker: PairBroker) =>
  broker.sent.flatMap(({ to, command }) =>
    command.type === 'welcome' ? [{ to, epoch: command.epoch, standby: command.standby }] : [],
  );

describe('passive', () => {
  test('it tells clients where the active one is, and who votes', () => {
    const broker = new PairBroker();
    Object.assign(broker.guard, { highestEpoch: 4, activeEndpoint: 'tcp://other:1' });
    broker.hello('client');
    expect(broker.heardNow()).toEqual(['client passive 4 tcp://other:1']);
    expect(broker.guard.votes).toBe(1);
    expect(broker.machine.status().clients).toBe(0);
    expect(broker.failover).toMatchObject({
      standing: 'passive',
      epoch: 4,
      active: 'tcp://other:1',
    });
  });

  test('whoever asked is told when it serves, once, and for as long as it waits', () => {
    const broker = new PairBroker();
    broker.hello('early');
    broker.wait(STANDING_PATIENCE - 100);
    broker.hello('late');
    broker.wait(100);
    broker.rise(1);
    expect(broker.heardNow()).toEqual(['early passive 0 ', 'late passive 0 ', 'late active 1 ']);
    broker.fall(1);
    broker.rise(3);
    expect(broker.heardNow()).toEqual([]);
  });

  test('it remembers the newest of those who asked', () => {
    const broker = new PairBroker({ clientLimit: 2 });
    for (const client of ['a', 'b', 'c', 'b']) broker.hello(client);
    broker.heardNow();
    broker.rise(1);
    expect(broker.heardNow()).toEqual(['c active 1 ', 'b active 1 ']);
  });

  test('a worker that knows no pairs is sent on, then and when it stands down', () => {
    const broker = new PairBroker();
    broker.serve('old');
    expect(broker.heardNow()).toEqual(['old disconnect']);
    expect(broker.took('workerRefused')).toMatchObject([{ reason: 'notActive' }]);
    broker.rise(1);
    broker.serve('old');
    broker.serveIn('new');
    broker.heardNow();
    broker.fall(2);
    expect(broker.heardNow()).toEqual(['old disconnect', 'new passive 2 ']);
  });

  test('clients of stock MDP vote, are refused, and may ask about the broker', () => {
    const broker = new PairBroker();
    broker.ready('worker');
    broker.request('client', 'a');
    broker.request('client', 'x', 'mmi.unknown');
    expect(broker.heardNow()).toEqual([
      'worker disconnect',
      'client = ERR_NOT_ACTIVE',
      'client = 501',
    ]);
    expect(broker.guard.votes).toBe(1);
    expect(broker.took('workerRefused')).toMatchObject([{ reason: 'notActive' }]);
    expect(broker.took('requestRefused')).toMatchObject([{ reason: 'notActive' }]);
    expect(broker.machine.status().requests.accepted).toBe(0);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
  });

  test('workers stand by: they are welcome, are beaten to, and get no work', () => {
    const broker = new PairBroker();
    broker.guard.highestEpoch = 4;
    broker.serveIn('worker');
    expect(welcomes(broker)).toEqual([{ to: 'worker', epoch: 4, standby: true }]);
    broker.live({ worker: [] }, 500);
    expect(broker.beatOf('worker').beat).toBeGreaterThan(3);
    broker.rise(5);
    broker.report('worker');
    broker.hello('client');
    broker.ask('client', 'a');
    expect(broker.heardNow().slice(-2)).toEqual(['client welcome', 'worker < a']);
    expect(welcomes(broker).at(-1)).toEqual({ to: 'client', epoch: 5, standby: undefined });
  });

  test('what clients said to one that was active is answered, or was on its way', () => {
    const broker = new PairBroker();
    broker.rise(1);
    broker.hello('client');
    broker.fall(2, 'tcp://other:1');
    broker.heardNow();
    broker.beat('client');
    broker.say('client', { type: 'disconnect' });
    broker.say('client', { type: 'announce', bytes: 5 });
    expect(broker.heardNow()).toEqual([]);
    broker.ask('client', 'a');
    broker.cancel('client', 1);
    broker.say('client', { type: 'credit', number: 1, bytes: 5 });
    expect(new Set(broker.heardNow())).toEqual(new Set(['client passive 2 tcp://other:1']));
    expect(broker.guard.votes).toBe(0);
    broker.beat('stranger');
    expect(broker.heardNow()).toEqual(['stranger disconnect']);
  });
});

describe('active', () => {
  test('it serves under its epoch, which it takes only if it is so decided', () => {
    const broker = new PairBroker();
    broker.call({ type: 'activate', epoch: 1 });
    expect(broker.failover.standing).toBe('passive');
    broker.rise(1, false);
    broker.call({ type: 'activate', epoch: 1 });
    expect(broker.stood()).toEqual(['becameActive 1', 'holds 1', 'alone true', 'complete 0: 0 0']);
    expect(broker.failover).toMatchObject({ standing: 'active', epoch: 1, active: '' });
    broker.hello('client');
    expect(welcomes(broker)).toEqual([{ to: 'client', epoch: 1, standby: undefined }]);
  });

  const seen: readonly (readonly [string, (broker: PairBroker) => void])[] = [
    ['SEEN', (broker) => broker.say('anybody', { type: 'seen', epoch: 2 })],
    ['HELLO', (broker) => sayHello(broker, 2)],
    ['READY', (broker) => broker.serveIn('new', 1, { epoch: 2 })],
    ['FOLLOW', (broker) => broker.say('other', { type: 'follow', session: 's', epoch: 2 })],
  ];

  test.each(seen)('it serves no more when %s shows a higher epoch', (_name, show) => {
    const broker = new PairBroker();
    broker.rise(1);
    broker.hello('client');
    show(broker);
    expect(broker.failover).toMatchObject({ standing: 'passive', epoch: 2 });
    expect(broker.heardNow()).toContain('client passive 2 ');
  });

  test('it serves no more from the end of its lease on, whatever comes first', () => {
    const inputs: ((broker: PairBroker) => void)[] = [
      (broker) => broker.ask('client', 'late'),
      (broker) => broker.done('worker', 'late'),
      (broker) => broker.machine.handleWritable(broker.now, 'peers', 'worker'),
      (broker) => broker.machine.handlePeerGone(broker.now, 'peers', 'worker'),
      (broker) => broker.call({ type: 'drain' }),
      (broker) => broker.wait(100),
    ];
    for (const input of inputs) {
      const broker = new PairBroker();
      broker.serveIn('worker');
      broker.rise(1);
      broker.report('worker');
      broker.hello('client');
      broker.ask('client', 'first');
      broker.guard.until = broker.now;
      broker.heardNow();
      input(broker);
      expect(broker.took('becamePassive')).toHaveLength(1);
      expect(broker.heardNow().filter((line) => /[<=]/.test(line))).toEqual([]);
      expect(contradictions(broker.machine)).toEqual([]);
    }
  });

  test('who shows an epoch lives', () => {
    const broker = new PairBroker();
    broker.rise(1);
    broker.hello('client');
    broker.serveIn('worker');
    broker.wait(299);
    for (const peer of ['client', 'worker']) broker.say(peer, { type: 'seen', epoch: 1 });
    broker.wait(299);
    expect(broker.machine.status()).toMatchObject({ clients: 1, workers: 1 });
  });

  test('an older reign that ended is not this one', () => {
    const broker = new PairBroker();
    broker.rise(3);
    broker.call({ type: 'standBy', epoch: 1 });
    expect(broker.failover.standing).toBe('active');
    broker.call({ type: 'standBy', epoch: 3 });
    expect(broker.failover.standing).toBe('passive');
  });

  test('a later epoch begins anew', () => {
    const broker = new PairBroker();
    broker.rise(1);
    broker.hello('client');
    broker.rise(3);
    expect(broker.heardNow()).toEqual(['client welcome', 'client passive 3 ', 'client active 3 ']);
    expect(broker.failover.epoch).toBe(3);
  });
});

/** It serves, and has requests of all kinds. */
function busy(): PairBroker {
  const broker = new PairBroker();
  broker.rise(1);
  broker.serveIn('worker', 2);
  broker.report('worker');
  broker.ready('stock', 'old');
  broker.hello('client');
  broker.ask('client', 'a', { key: 'k' });
  broker.ask('client', 'b');
  broker.ask('client', 'c');
  broker.request('lane', 'd', 'old');
  broker.ask('client', 'all', { broadcast: true });
  broker.heardNow();
  return broker;
}

describe('stepping down', () => {
  test('clients go elsewhere, and every request has ended', () => {
    const broker = busy();
    broker.fall(2, 'tcp://other:1');
    expect(broker.heardNow()).toEqual([
      'lane = ERR_NOT_ACTIVE',
      'client passive 2 tcp://other:1',
      'worker passive 2 tcp://other:1',
      'stock disconnect',
    ]);
    const { requests, queued, inFlight } = broker.machine.status();
    expect(requests).toMatchObject({ accepted: 5, failed: 5 });
    expect(queued + inFlight).toBe(0);
    expect(broker.leftovers).toEqual(NOTHING_LEFT);
    expect(contradictions(broker.machine)).toEqual([]);
    expect(broker.took('clientLost')).toMatchObject([{ reason: 'notActive' }]);
    expect(broker.took('workerLost')).toMatchObject([{ worker: 'stock', reason: 'notActive' }]);
  });

  test('workers stay, and what they still do is no business of this broker any more', () => {
    const broker = busy();
    const { number = 0 } = broker.given('worker');
    broker.fall(2);
    broker.heardNow();
    broker.beat('worker', [number]);
    broker.done('worker', 'late', { number });
    expect(broker.took('replyRefused')).toMatchObject([{ reason: 'stale' }]);
    broker.rise(3);
    broker.beat('worker', [number]);
    expect(broker.heardNow().filter((line) => line.includes('cancel'))).toEqual([]);
  });

  test('what was kept is there when it serves again, unless it has followed another', () => {
    const broker = new PairBroker();
    broker.rise(1);
    broker.serveIn('worker', 2);
    broker.report('worker');
    broker.hello('client');
    broker.ask('client', 'a', { key: 'k' });
    broker.done('worker', 'A');
    broker.fall(1);
    broker.rise(3);
    broker.hello('client');
    broker.heardNow();
    broker.ask('client', 'a', { key: 'k' });
    expect(broker.heardNow()).toEqual(['client 2 = A']);
    broker.fall(4);
    broker.call({ type: 'follow', epoch: 4, endpoint: 'tcp://other:1' });
    expect(broker.machine.status().kept.replies).toBe(0);
  });

  test('what has a key goes on at its worker when the broker closes, too', () => {
    const broker = busy();
    broker.call({ type: 'stop' });
    expect(broker.heardNow().filter((line) => line.includes('cancel'))).toEqual([
      'worker cancel 1',
    ]);
    expect(broker.took('becamePassive')).toHaveLength(1);
  });

  test('it closes while it stands by', () => {
    const broker = new PairBroker();
    broker.call({ type: 'follow', epoch: 4, endpoint: 'tcp://other:1' });
    broker.serveIn('worker');
    broker.call({ type: 'drain' });
    expect(broker.took('drained')).toHaveLength(1);
    expect(broker.sockets).toEqual(['open active tcp://other:1', 'close active']);
    broker.rise(5);
    expect(broker.failover.standing).toBe('passive');
  });
});

test('without failover what is said in a pair is unexpected, and changes nothing', () => {
  const broker = new ExpressBroker();
  broker.hello('client');
  broker.serve('worker', 1, { worker: 'id', epoch: 7 });
  const before = broker.machine.fingerprint(0);
  broker.say('client', { type: 'seen', epoch: 7 });
  broker.say('worker', { type: 'report', epoch: 7, running: ['k'], finished: [] });
  broker.say('worker', { type: 'finished', key: 'k', body: [] });
  broker.say('other', { type: 'follow', session: 's', epoch: 7 });
  broker.say('other', { type: 'recorded', session: 's', number: 1 });
  expect(broker.took('unexpectedCommand')).toHaveLength(5);
  expect(broker.heardNow()).toEqual(['client welcome', 'worker welcome']);
  expect(broker.sent.map(({ command }) => command)).toEqual(
    Array.from({ length: 2 }, () => expect.not.objectContaining({ epoch: expect.anything() })),
  );
  expect(broker.machine.fingerprint(0)).toBe(before);
  expect(broker.machine.status().failover).toBeUndefined();
});

function sayHello(broker: PairBroker, epoch: number): void {
  const settings = { heartbeatInterval: 100, heartbeatLiveness: 3 };
  broker.say('new', { type: 'hello', session: 'new', ...settings, epoch });
}
