import { describe, expect, it } from 'vitest';
import { countLost } from '../../src/testing/effects.ts';
import type { SendOutcome } from '../../src/transport/transport.ts';
import { ENDPOINT, SmallWorld, textOf } from './small-world.ts';

const ID = 'worker#2';

describe('connecting', () => {
  it('carries messages both ways, with the routing id as address', () => {
    const { broker, worker, run } = pair();
    worker.say('READY');
    run(10);
    broker.say('REQUEST', broker.addresses[0]);
    run(10);
    expect(broker.received).toEqual([`${ID}: READY`]);
    expect(worker.received).toEqual(['REQUEST']);
  });

  it('may come before the bind: sends wait in the queue and keep their order', () => {
    const small = new SmallWorld();
    const worker = small.worker();
    for (const text of ['1', '2', '3']) worker.say(text);
    small.run(500);
    const broker = small.broker();
    small.run(500);
    expect(worker.outcomes).toEqual(['sent', 'sent', 'sent']);
    expect(broker.received.map((line) => line.slice(-1))).toEqual(['1', '2', '3']);
  });

  it('refuses sends beyond the high-water mark while nobody is there', () => {
    const small = new SmallWorld({ highWaterMark: 2 });
    const worker = small.worker();
    for (const text of ['1', '2', '3']) worker.say(text);
    expect(worker.outcomes).toEqual(['sent', 'sent', 'full']);
    expect(small.world.effects).toMatchObject({ sent: 2, full: 1 });
    expect(small.network.inTransit()).toBe(2);
  });

  it('binds several endpoints, chooses ports, and reports a clash', () => {
    const small = new SmallWorld();
    const broker = small.broker();
    const answers: string[] = [];
    for (const endpoint of ['tcp://127.0.0.1:*', 'ipc://broker', ENDPOINT]) {
      broker.socket.bind(endpoint, (error, real) => answers.push(error?.message ?? real));
    }
    expect(answers).toEqual([]);
    small.run(0);
    expect(answers).toEqual([
      'tcp://127.0.0.1:49152',
      'ipc://broker',
      `${ENDPOINT} is in use: choose another endpoint`,
    ]);
    const worker = small.open(small.world.start('worker'), 'dealer');
    worker.socket.connect('ipc://broker');
    worker.say('READY');
    small.run(10);
    expect(broker.received).toHaveLength(1);
  });

  it('gives each DEALER an address of its own', () => {
    const small = new SmallWorld();
    const broker = small.broker();
    const worker = small.worker();
    const second = small.connect(worker.process);
    worker.say('1');
    second.say('2');
    small.run(10);
    expect(new Set(broker.addresses).size).toBe(2);
  });
});

describe('sending', () => {
  it('is unroutable to a peer that a ROUTER does not know', () => {
    const { small, broker } = pair();
    broker.say('REQUEST', 'nobody');
    expect(broker.outcomes).toEqual(['unroutable']);
    expect(small.world.effects).toMatchObject({ unroutable: 1, sent: 0 });
  });

  it('is full at a slow reader, whose messages then arrive complete; others are unaffected', () => {
    const { small, broker, worker, run } = pair({ receiveWindow: 3, highWaterMark: 2 });
    const other = small.worker('other');
    run(10);
    worker.process.stopReading(50);
    for (let count = 1; count <= 7; count++) broker.say(String(count), ID);
    broker.say('hello', 'other#3');
    expect(broker.outcomes).toEqual([...Array(5).fill('sent'), 'full', 'full', 'sent']);
    run(20);
    broker.say('8', ID);
    expect(broker.outcomes.at(-1)).toBe('full');
    expect(other.received).toEqual(['hello']);
    run(100);
    broker.say('9', ID);
    run(10);
    expect(worker.received).toEqual(['1', '2', '3', '4', '5', '9']);
    expect(small.world.effects).toMatchObject({ full: 3, unreadDelivery: 3 });
  });

  it('delays what is behind a large message on a narrow link', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    small.network.shape('worker', 'broker', { bandwidth: 10 });
    worker.say('x'.repeat(1000));
    worker.say('y');
    run(100);
    expect(broker.received).toEqual([]);
    run(1.2);
    expect(broker.received).toHaveLength(2);
  });

  it('brings no message before its time, however fast the link has become', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    small.network.shape('worker', 'broker', { latency: 50 });
    worker.say('slow');
    small.network.shape('worker', 'broker', { latency: 1 });
    worker.say('fast');
    run(49);
    expect(broker.received).toEqual([]);
    run(1);
    expect(broker.received).toEqual([`${ID}: slow`, `${ID}: fast`]);
  });

  it('passes a message on as it was sent, and takes it back when the turn is over', () => {
    const small = new SmallWorld();
    const kept: Uint8Array[] = [];
    const process = small.world.start('broker');
    const router = small.network.transport(process).open('router', {
      onMessage: (_, frames) => {
        kept.push(...frames);
        process.atTurnEnd(() => expect(textOf(kept.slice(0, 1))).toBe('hello'));
      },
      onPeerGone: () => undefined,
    });
    router.bind(ENDPOINT, () => undefined);
    const worker = small.worker();
    const short = new TextEncoder().encode('hello');
    const large = new Uint8Array(9000).fill(7);
    worker.socket.send('', [short, large], () => undefined);
    short.fill(0);
    small.run(10);
    expect([...kept[0]!]).toEqual(Array(5).fill(0xdb));
    expect(kept[1]).toBe(large);
  });

  it('passes messages by reference without poison', () => {
    const small = new SmallWorld({ poison: false });
    const kept: Uint8Array[] = [];
    const process = small.world.start('broker');
    const handler = {
      onMessage: (_: string, frames: readonly Uint8Array[]) => void kept.push(...frames),
      onPeerGone: () => undefined,
    };
    small.network
      .transport(process)
      .open('router', handler)
      .bind(ENDPOINT, () => undefined);
    const frame = new TextEncoder().encode('hello');
    small.worker().socket.send('', [frame], () => undefined);
    small.run(10);
    expect(kept[0]).toBe(frame);
    expect(textOf(kept)).toBe('hello');
  });
});

describe('reset', () => {
  it('loses a suffix of what is in flight, tells both sides, and the DEALER comes back', () => {
    const { small, broker, worker, run } = pair({ latency: 5 });
    run(20);
    for (let count = 0; count < 10; count++) {
      worker.say(String(count));
      broker.say(String(count), ID);
    }
    expect(small.network.reset('broker', 'worker')).toBe(1);
    expect(small.network.reset('broker', 'worker')).toBe(0);
    run(7);
    const { lostInFlight, delivered } = small.world.effects;
    expect(lostInFlight).toBeGreaterThan(0);
    expect(delivered).toBe(20 - lostInFlight);
    expect(broker.received.at(-1)).toBe(`${ID}: gone`);
    expect(worker.received.at(-1)).toBe('gone');
    const prefix = worker.received.slice(0, -1);
    expect(prefix).toEqual(prefix.map((_, index) => String(index)));
    broker.say('lost', ID);
    expect(broker.outcomes.at(-1)).toBe('unroutable');
    run(300);
    worker.say('back');
    run(10);
    expect(broker.received.at(-1)).toBe(`${ID}: back`);
    expect(small.world.effects).toMatchObject({ reset: 1, reconnected: 1, noticeDelivered: 2 });
    expect(small.world.effects.linkNoticeDelivered).toBe(2);
  });

  it('loses what a ROUTER sends before it learns, but not what a DEALER does', () => {
    const { small, broker, worker, run } = pair();
    run(20);
    small.network.reset('broker', 'worker');
    broker.say('lost', ID);
    worker.say('queued');
    run(300);
    expect(worker.received).toEqual(['gone']);
    expect(broker.received).toEqual([`${ID}: gone`, `${ID}: gone`, `${ID}: queued`]);
    expect(small.world.effects.lostAtReset).toBe(1);
  });

  it('is told before the ROUTER gives the peer up: what is sent in between is lost, or full', () => {
    const seen = new Set<SendOutcome>();
    for (let seed = 0; seed < 20; seed++) {
      const small = new SmallWorld({ highWaterMark: 2, receiveWindow: 1 }, seed);
      const broker = small.broker();
      const worker = small.worker();
      small.run(20);
      if (seed % 2 === 0) {
        small.network.partition('broker', 'worker');
        for (let count = 0; count < 4; count++) broker.say('lost', ID);
      }
      small.network.reset('broker', 'worker');
      small.run(3);
      expect(broker.received).toEqual([`${ID}: gone`]);
      broker.say('lost', ID);
      seen.add(broker.outcomes.at(-1) ?? 'closed');
      small.run(3);
      broker.say('lost', ID);
      expect(broker.outcomes.at(-1)).toBe('unroutable');
      small.network.healAll();
      small.run(500);
      expect(worker.received).toEqual(['gone']);
      expect(small.network.inTransit()).toBe(0);
      expect(countLost(small.world.effects)).toBe(small.world.effects.sent);
    }
    expect([...seen].toSorted()).toEqual(['full', 'sent', 'unroutable']);
  });

  it.each([{ identities: 'automatic' as const }, { notices: false }])(
    'changes an automatic identity, which is the default without notices: %j',
    (settings) => {
      const { small, broker, worker, run } = pair(settings);
      worker.say('1');
      run(20);
      small.network.reset('broker', 'worker');
      run(300);
      worker.say('2');
      run(20);
      expect(broker.addresses).toHaveLength(2);
      expect(broker.addresses.every((address) => address.length === 5)).toBe(true);
    },
  );

  it('is a handover if the DEALER is back before the ROUTER has learned, which is told of that alone', () => {
    const { small, broker, worker, run } = pair({ reconnectInterval: 1 });
    run(20);
    small.network.reset('broker', 'worker', { halfOpen: true });
    run(50);
    worker.say('back');
    broker.say('still there', ID);
    run(10);
    expect(broker.received).toEqual([`${ID}: gone`, `${ID}: back`]);
    expect(worker.received).toEqual(['gone', 'still there']);
    const effects = { handover: 1, noticeDelivered: 1, linkNoticeDelivered: 2 };
    expect(small.world.effects).toMatchObject(effects);
    expect(small.network.connections.size).toBe(1);
  });

  it('gives no notice where they are off, yet the peer is unroutable', () => {
    const { small, broker, worker, run } = pair({ notices: false, identities: 'stable' });
    run(20);
    small.network.reset('broker', 'worker');
    run(10);
    broker.say('lost', ID);
    expect(broker.outcomes).toEqual(['unroutable']);
    expect([...broker.received, ...worker.received]).toEqual([]);
    expect(small.world.effects).toMatchObject({ noticeDelivered: 0, linkNoticeDelivered: 0 });
  });

  it('tells one that does not read of the new connection only, in place of what it had not read', () => {
    const { small, broker, worker, run } = pair({ reconnectInterval: 1 });
    run(20);
    broker.process.stopReading(100);
    worker.say('unread');
    run(5);
    small.network.reset('broker', 'worker');
    run(20);
    worker.say('back');
    run(100);
    expect(broker.received).toEqual([`${ID}: gone`, `${ID}: back`]);
    expect(small.world.effects).toMatchObject({ handover: 1, lostAtHandover: 1 });
    expect(small.world.effects.linkNoticeDelivered).toBe(2);
  });

  it('tells a paused process only when it resumes, after what it received', () => {
    const { small, broker, worker, run } = pair();
    run(20);
    broker.process.pause(100);
    worker.say('last');
    run(5);
    small.network.reset('broker', 'worker');
    run(50);
    expect(broker.received).toEqual([]);
    run(50);
    expect(broker.received).toEqual([`${ID}: last`, `${ID}: gone`]);
  });
});

describe('handover', () => {
  it('discards the unread data of the old connection, whose peer becomes a zombie', () => {
    const small = new SmallWorld();
    const broker = small.broker();
    const old = small.worker('old', { routingId: 'same' });
    small.run(10);
    broker.process.stopReading(50);
    old.say('unread');
    small.run(5);
    const usurper = small.worker('usurper', { routingId: 'same' });
    usurper.say('mine');
    small.run(60);
    expect(broker.received).toEqual(['same: gone', 'same: mine']);
    old.say('into the void');
    broker.say('for whom?', 'same');
    small.run(10);
    expect(old.received).toEqual([]);
    expect(old.outcomes).toEqual(['sent', 'sent']);
    expect(usurper.received).toEqual(['for whom?']);
    expect(small.world.effects).toMatchObject({ handover: 1, lostAtHandover: 2 });
    expect(small.network.inTransit()).toBe(0);
  });
});

describe('zombie', () => {
  it('learns nothing until the ROUTER closes, then connects again', () => {
    const small = new SmallWorld();
    const broker = small.broker();
    const old = small.worker('old', { routingId: 'same' });
    small.run(10);
    small.worker('usurper', { routingId: 'same' });
    small.run(1000);
    expect(old.received).toEqual([]);
    broker.process.crash();
    small.run(10);
    expect(old.received).toEqual(['gone']);
  });
});

describe('partition', () => {
  it('holds messages both ways; sends succeed, nobody is told, and healing delivers', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    const heal = small.network.partition('worker', 'broker');
    worker.say('up');
    broker.say('down', ID);
    run(4000);
    expect([...broker.received, ...worker.received]).toEqual([]);
    expect([...broker.outcomes, ...worker.outcomes]).toEqual(['sent', 'sent']);
    expect(small.network.inTransit()).toBe(2);
    heal();
    run(10);
    expect(broker.received).toEqual([`${ID}: up`]);
    expect(worker.received).toEqual(['down']);
    expect(small.world.effects.heldByPartition).toBe(2);
  });

  it('can be one-way and for a time', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    small.network.partition('worker', 'broker', { oneWay: true, duration: 50 });
    worker.say('up');
    broker.say('down', ID);
    run(40);
    expect(broker.received).toEqual([]);
    expect(worker.received).toEqual(['down']);
    run(20);
    expect(broker.received).toEqual([`${ID}: up`]);
  });

  it('is full when the window and the queue are', () => {
    const { small, worker, broker, run } = pair({ receiveWindow: 2, highWaterMark: 1 });
    run(10);
    small.network.partition('worker', 'broker');
    for (const text of ['1', '2', '3', '4']) worker.say(text);
    expect(worker.outcomes).toEqual(['sent', 'sent', 'sent', 'full']);
    small.network.healAll();
    run(20);
    expect(broker.received.map((line) => line.slice(-1))).toEqual(['1', '2', '3']);
  });

  it('loses what it held if a reset comes first', () => {
    const { small, worker, broker, run } = pair();
    run(10);
    small.network.partition('worker', 'broker');
    worker.say('1');
    run(10);
    small.network.reset('worker', 'broker');
    run(500);
    worker.say('2');
    small.network.healAll();
    run(500);
    expect(broker.received).toEqual([`${ID}: gone`, `${ID}: gone`, `${ID}: 2`]);
    expect(small.world.effects).toMatchObject({ lostInFlight: 1, reconnected: 1 });
  });

  it('hides a crash until it heals', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    small.network.partition('worker', 'broker');
    worker.process.crash();
    run(1000);
    expect(broker.received).toEqual([]);
    small.network.healAll();
    run(10);
    expect(broker.received).toEqual([`${ID}: gone`]);
  });

  it('keeps new connections from being made', () => {
    const small = new SmallWorld();
    const broker = small.broker();
    small.network.partition('worker', 'broker', { oneWay: true, duration: 500 });
    small.worker().say('READY');
    small.run(499);
    expect(broker.received).toEqual([]);
    small.run(210);
    expect(broker.received).toHaveLength(1);
  });
});

describe('drop', () => {
  it('loses messages in the middle of a live stream, silently', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    worker.say('1');
    run(10);
    expect(small.network.drop('worker', 'broker', 2)).toBe(1);
    for (const text of ['2', '3', '4']) worker.say(text);
    run(10);
    expect(broker.received.map((line) => line.slice(-1))).toEqual(['1', '4']);
    expect(worker.outcomes).toEqual(Array(4).fill('sent'));
    expect(small.world.effects.dropped).toBe(2);
  });
});

describe('closing', () => {
  it('drops with linger 0 what has not left, delivers what has, and tells the peer', () => {
    const { small, broker, worker, run } = pair({ receiveWindow: 1 });
    run(10);
    worker.say('written');
    worker.say('queued');
    worker.socket.close(0);
    worker.say('closed');
    run(20);
    expect(broker.received).toEqual([`${ID}: written`, `${ID}: gone`]);
    expect(worker.outcomes).toEqual(['sent', 'sent', 'closed']);
    expect(small.world.effects.lostAtClose).toBe(1);
    expect(small.network.inTransit()).toBe(0);
  });

  it('delivers within its linger time, even to a broker that comes only then', () => {
    const small = new SmallWorld();
    const worker = small.worker();
    worker.say('farewell');
    worker.socket.close(1000);
    small.run(300);
    const broker = small.broker();
    small.run(300);
    expect(broker.received).toEqual([`worker#1: farewell`, `worker#1: gone`]);
  });

  it('drops what could not leave within it', () => {
    const small = new SmallWorld();
    const worker = small.worker();
    worker.say('farewell');
    worker.socket.close(1000);
    small.run(999);
    expect(small.network.inTransit()).toBe(1);
    small.run(1);
    expect(small.world.effects.lostAtClose).toBe(1);
    const broker = small.broker();
    small.run(1000);
    expect(broker.received).toEqual([]);
  });

  it('of a ROUTER frees the endpoint; its peers are told and find the next one', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    broker.say('farewell', ID);
    broker.socket.close(100);
    const next = small.open(broker.process, 'router');
    next.socket.bind(ENDPOINT, (error) => expect(error).toBeUndefined());
    run(20);
    expect(worker.received).toEqual(['farewell', 'gone']);
    worker.say('hello again');
    run(300);
    expect(next.received).toEqual([`${ID}: hello again`]);
  });

  it('of a ROUTER lingers for each peer', () => {
    const { small, broker, worker, run } = pair({ receiveWindow: 1 });
    run(10);
    for (const text of ['1', '2', '3']) broker.say(text, ID);
    broker.socket.close(100);
    run(50);
    expect(worker.received).toEqual(['1', '2', '3', 'gone']);
    expect(small.network.inTransit()).toBe(0);
    expect(countLost(small.world.effects)).toBe(0);
  });

  it('loses what reaches a closed socket', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    broker.say('too late', ID);
    worker.socket.close(0);
    run(10);
    expect(worker.received).toEqual([]);
    expect(small.world.effects.lostInFlight).toBe(1);
  });

  it('leaves ghosts: last messages after the first ones of the next socket', () => {
    const { small, broker, worker, run } = pair({ ghostDelay: 100 });
    run(10);
    worker.say('ghost');
    worker.socket.close(0);
    const next = small.connect(worker.process);
    next.say('READY');
    run(200);
    expect(broker.received).toEqual(['worker#3: READY', `${ID}: ghost`, `${ID}: gone`]);
    expect(small.world.effects.ghostDelivered).toBe(1);
  });
});

describe('crash', () => {
  it('kills sockets: their queue is lost, the peer is told, the endpoint is free', () => {
    const { small, broker, worker, run } = pair({ receiveWindow: 1, lossAtCrash: 0 });
    run(10);
    for (const text of ['1', '2', '3']) broker.say(text, ID);
    broker.process.crash();
    broker.say('never', ID);
    run(10);
    expect(worker.received).toEqual(['1', 'gone']);
    expect(small.world.effects.lostAtCrash).toBe(2);
    const next = small.broker();
    worker.say('hello');
    run(300);
    expect(next.received).toEqual([`${ID}: hello`]);
    expect(broker.outcomes).toEqual(['sent', 'sent', 'sent']);
  });

  it('may lose some of what was handed over, always a suffix', () => {
    const counts = new Set<number>();
    for (let seed = 0; seed < 30; seed++) {
      const { small, broker, worker, run } = pair({ lossAtCrash: 1 }, seed);
      run(10);
      for (const text of ['1', '2', '3']) worker.say(text);
      worker.process.crash();
      run(10);
      const texts = broker.received.map((line) => line.slice(-1));
      expect(texts.at(-1)).toBe('e');
      expect(['1', '2', '3'].slice(0, texts.length - 1)).toEqual(texts.slice(0, -1));
      expect(small.world.effects.lostInFlight).toBe(4 - texts.length);
      counts.add(texts.length - 1);
    }
    expect(counts).toEqual(new Set([0, 1, 2, 3]));
  });

  it('loses what was received and not read', () => {
    const { small, broker, worker, run } = pair();
    run(10);
    broker.process.pause();
    worker.say('unread');
    run(10);
    broker.process.crash();
    expect(small.world.effects).toMatchObject({ pausedDelivery: 1, lostAtCrash: 1 });
    expect(small.network.inTransit()).toBe(0);
  });

  it('of a process whose socket lingers for some does not keep the others from being told', () => {
    for (let seed = 0; seed < 10; seed++) {
      const { small, broker, worker, run } = pair({ receiveWindow: 1, lossAtCrash: 1 }, seed);
      const other = small.worker('other');
      run(10);
      broker.say('1', ID);
      for (const text of ['1', '2']) broker.say(text, 'other#3');
      broker.socket.close(100);
      broker.process.crash();
      run(10);
      expect([worker.received.at(-1), other.received.at(-1)]).toEqual(['gone', 'gone']);
    }
  });

  it('after k sends lets these k leave', () => {
    const { small, broker, worker, run } = pair({ lossAtCrash: 0 });
    run(10);
    worker.process.crashAfterEffects(2);
    worker.process.run(() => {
      for (const text of ['1', '2', '3', '4']) worker.say(text);
    });
    expect(worker.process.isCrashed).toBe(true);
    run(10);
    expect(broker.received).toEqual([`${ID}: 1`, `${ID}: 2`, `${ID}: gone`]);
    expect(worker.outcomes).toEqual(['sent', 'sent']);
    expect(small.world.effects.sent).toBe(2);
  });
});

describe('exit', () => {
  it('lets closed sockets linger and closes the others', () => {
    const { small, broker, worker, run } = pair({ receiveWindow: 1 });
    const second = small.connect(worker.process);
    run(10);
    worker.process.run(() => {
      for (const text of ['1', '2', '3']) worker.say(text);
      worker.socket.close(100);
      for (const text of ['a', 'b']) second.say(text);
      worker.process.atTurnEnd(() => worker.process.exit());
    });
    broker.say('too late', ID);
    run(50);
    const gone = ['worker#3: a', 'worker#3: gone', `${ID}: gone`];
    expect(broker.received.toSorted()).toEqual(
      [`${ID}: 1`, `${ID}: 2`, `${ID}: 3`, ...gone].toSorted(),
    );
    expect(worker.received).toEqual([]);
    expect(small.world.effects).toMatchObject({ crashed: 0, lostAtClose: 2, lostAtCrash: 0 });
    expect(small.network.inTransit()).toBe(0);
    expect(small.world.start('worker').isRunning).toBe(true);
  });

  it('reads nothing more, not even what was received', () => {
    const { small, worker, broker, run } = pair();
    run(10);
    broker.process.stopReading(100);
    worker.say('unread');
    run(10);
    broker.process.exit();
    run(200);
    expect(broker.received).toEqual([]);
    expect(worker.received).toEqual(['gone']);
    expect(small.world.effects.lostAtClose).toBe(1);
  });
});

describe('pause', () => {
  it('holds back what its sockets had not written', () => {
    const { broker, worker, run } = pair({ receiveWindow: 1 });
    run(10);
    worker.say('1');
    worker.say('2');
    worker.process.pause(100);
    run(90);
    expect(broker.received).toEqual([`${ID}: 1`]);
    run(20);
    expect(broker.received).toEqual([`${ID}: 1`, `${ID}: 2`]);
  });

  it('does not answer new connections', () => {
    const small = new SmallWorld();
    const broker = small.broker();
    broker.process.pause(500);
    small.worker().say('READY');
    small.run(499);
    expect(broker.received).toEqual([]);
    small.run(210);
    expect(broker.received).toEqual(['worker#2: READY']);
  });
});

function pair(settings: ConstructorParameters<typeof SmallWorld>[0] = {}, seed = 1) {
  const small = new SmallWorld(settings, seed);
  const broker = small.broker();
  const worker = small.worker();
  return { small, broker, worker, run: (duration: number) => small.run(duration) };
}
