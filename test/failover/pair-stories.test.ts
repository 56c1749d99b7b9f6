/** What a server of a pair does where clients vote, each told as a story. */
import { describe, expect, test } from 'vitest';
import { EXPIRY, PairStory, PairWorld } from './pair-story.ts';

/** A backup that hears an active primary. */
function passive(epoch = 1): PairStory {
  const backup = new PairStory({ role: 'backup' });
  backup.hearFor(500, { state: 'active', epoch, endpoint: 'tcp://primary:5' });
  expect(backup.state).toBe('passive');
  backup.events.length = 0;
  return backup;
}

/** A primary that serves under epoch 1, with a passive backup. */
function active(): PairStory {
  const primary = new PairStory();
  primary.hearFor(500, { state: 'waiting' });
  expect(primary.state).toBe('active 1');
  primary.hear({ state: 'passive', epoch: 1 });
  primary.events.length = 0;
  return primary;
}

describe('how it begins', () => {
  test('nothing is said before the life is stored, and then it is said at once', () => {
    const primary = new PairStory({}, undefined, true);
    primary.wait(5000);
    expect([primary.sent, primary.state]).toEqual([[], 'waiting']);
    expect(primary.sockets[0]).toBe('open peer tcp://peer:1');
    primary.stored();
    expect(primary.record).toEqual({
      version: 1,
      pair: 'pair',
      role: 'primary',
      life: 1,
      epoch: 0,
      peerServed: 0,
    });
    expect(primary.word).toMatchObject({ life: 1, beat: 1, state: 'waiting', epoch: 0 });
  });

  test('nor is it said when a link breaks', () => {
    const primary = new PairStory({}, undefined, true);
    primary.hear({ state: 'active', epoch: 2 });
    primary.gone('peer');
    primary.call({ type: 'drain' });
    expect([primary.sent, primary.told.at(-1)]).toEqual([[], 'drained']);
  });

  test('of two that are there, the primary serves, and the backup hears of it', () => {
    const world = new PairWorld();
    world.run(10_000);
    expect(world.story).toEqual(['253 primary becameActive 1']);
    expect([world.serving, world.stateOf('backup')]).toEqual([['primary 1'], 'passive']);
  });

  test('a lone one serves as soon as a client asks it, be it the primary or the backup', () => {
    for (const [role, epoch] of [
      ['primary', 1],
      ['backup', 2],
    ] as const) {
      const lone = new PairStory({ role });
      lone.wait(EXPIRY - 1);
      lone.ask();
      expect(lone.state).toBe('waiting');
      lone.wait(1);
      expect(lone.state).toBe(`active ${epoch}`);
      expect(lone.told).toEqual([`takeoverBegun ${epoch}`, `becameActive ${epoch}`]);
    }
  });

  test('a vote counts for one expiry', () => {
    const lone = new PairStory({ role: 'backup' });
    lone.ask();
    lone.wait(10 * EXPIRY);
    expect(lone.state).toBe('waiting');
    lone.ask();
    expect(lone.state).toBe('active 2');
  });

  test('what was queued for it while it was away does not make it take over from a living one', () => {
    const primary = new PairStory();
    for (let count = 0; count < 5; count++) primary.hear({ state: 'passive', epoch: 1 });
    primary.hearFor(2000, { state: 'active', epoch: 2 });
    expect(primary.state).toBe('passive');
    expect(primary.took('becameActive')).toEqual([]);
  });
});

describe('a takeover', () => {
  test('needs both a silent peer and a vote', () => {
    const backup = passive();
    for (let count = 0; count < 20; count++) {
      backup.ask();
      backup.hearFor(250, { state: 'active', epoch: 1 });
    }
    expect(backup.state).toBe('passive');
    backup.events.length = 0;
    backup.wait(EXPIRY + 5000);
    expect([backup.state, backup.told]).toEqual([
      'passive',
      ['peerLost silent', 'activeChanged 1'],
    ]);
    backup.ask();
    expect([backup.state, backup.told]).toEqual([
      'active 2',
      ['takeoverBegun 2', 'becameActive 2'],
    ]);
  });

  test('takes a tenth of a second where a broken link tells of a death', () => {
    const backup = passive();
    backup.gone('pair');
    expect(backup.machine.activeEndpoint).toBe('');
    backup.ask();
    backup.wait(99);
    expect(backup.state).toBe('passive');
    backup.wait(1);
    expect([backup.state, backup.told[0]]).toEqual(['active 2', 'peerLost gone']);
  });

  test('does not come of a broken link that is mended: each says a word at once', () => {
    const backup = passive();
    const before = backup.sent.length;
    backup.gone('peer');
    expect(backup.sent).toHaveLength(before + 1);
    backup.wait(10);
    backup.hear({ state: 'active', epoch: 1, endpoint: 'tcp://primary:5' });
    backup.ask();
    backup.wait(500);
    expect([backup.state, backup.told]).toEqual(['passive', []]);
    expect(backup.machine.activeEndpoint).toBe('tcp://primary:5');
  });

  test('to one who is not there it speaks on a fresh line once an expiry, so that no old words pile up', () => {
    const backup = passive();
    backup.sockets.length = 0;
    backup.hearFor(5000, { state: 'active', epoch: 1 });
    expect(backup.sockets).toEqual([]);
    backup.sent.length = 0;
    const loss = backup.now + EXPIRY - 250;
    while (backup.now < loss + 3 * EXPIRY) backup.wait(250);
    expect(backup.sockets).toEqual(Array.from({ length: 4 }, () => 'open peer tcp://peer:1'));
    // Of all that was said, what the last line may hold at the most.
    expect(backup.sent.length).toBeLessThanOrEqual(4 * 4);
    backup.hear({ state: 'active', epoch: 1 });
    backup.sockets.length = 0;
    backup.wait(EXPIRY - 1);
    expect(backup.sockets).toEqual([]);
  });

  test('a fresh line begins with a word', () => {
    const backup = passive();
    backup.wait(EXPIRY - 260);
    backup.gone('pair');
    const { beat } = backup.word;
    backup.wait(100);
    expect(backup.sockets.at(-1)).toBe('open peer tcp://peer:1');
    expect(backup.word.beat).toBe(beat + 1);
  });

  test('the link of a stranger tells nothing', () => {
    const backup = passive();
    backup.machine.handlePeerGone(backup.now, 'pair', 'a stranger');
    expect(backup.machine.activeEndpoint).toBe('tcp://primary:5');
  });

  test('a peer that takes its leave is gone with that word', () => {
    const backup = passive();
    backup.hear({ state: 'leaving', epoch: 1 });
    backup.ask();
    expect([backup.state, backup.told[0]]).toEqual(['active 2', 'peerLost leaving']);
  });

  test('the epoch is durable before anybody sees it', () => {
    const backup = passive();
    backup.hear({ state: 'leaving', epoch: 1 });
    backup.hold();
    backup.ask();
    expect([backup.state, backup.machine.epochAt(backup.now)]).toEqual(['preparing', 0]);
    backup.wait(2000);
    expect([backup.word.state, backup.word.epoch]).toEqual(['passive', 1]);
    backup.stored();
    expect([backup.state, backup.record?.epoch]).toEqual(['active 2', 2]);
    expect(backup.word).toMatchObject({ state: 'active', epoch: 2 });
  });

  test('is given up when the peer is heard to serve again, and its epoch kept for another time', () => {
    const backup = passive();
    backup.wait(2000);
    backup.hold();
    backup.ask();
    expect(backup.state).toBe('preparing');
    backup.hear({ state: 'active', epoch: 1 });
    expect(backup.state).toBe('passive');
    backup.release();
    expect([backup.state, backup.record?.epoch]).toEqual(['passive', 2]);
    expect(backup.word.epoch).toBe(1);
    backup.hear({ state: 'leaving', epoch: 1 });
    backup.ask();
    expect(backup.state).toBe('active 2');
  });

  test('a store that refuses is asked again after a second; the other one may serve meanwhile', () => {
    const backup = passive();
    backup.hear({ state: 'leaving', epoch: 1 });
    backup.hold();
    backup.ask();
    backup.events.length = 0;
    backup.stored('the disk is full');
    expect(backup.told).toEqual(['storeFailed the disk is full', 'takeoverFailed storeFailed']);
    expect(backup.state).toBe('passive');
    backup.wait(999);
    backup.ask();
    expect([backup.state, backup.stores]).toEqual(['passive', []]);
    backup.wait(1);
    expect(backup.state).toBe('preparing');
    backup.release();
    expect(backup.state).toBe('active 2');
  });
});

describe('a stale active', () => {
  test('steps down at once when its peer shows a higher epoch, and goes on living', () => {
    const primary = active();
    primary.hear({ state: 'active', epoch: 2, endpoint: 'tcp://backup:5' });
    expect([primary.state, primary.machine.epochAt(primary.now)]).toEqual(['passive', 0]);
    expect(primary.told).toEqual(['becamePassive 1 higherEpoch', 'activeChanged 2 tcp://backup:5']);
    expect([primary.word.state, primary.word.epoch]).toEqual(['passive', 2]);
  });

  test('steps down when a client shows one, and stores that it saw it', () => {
    const primary = active();
    primary.machine.seen(primary.now, 2);
    expect(primary.state).toBe('passive');
    expect(primary.machine.highestEpoch).toBe(2);
    primary.turn(() => {});
    expect(primary.record?.epoch).toBe(2);
  });

  test('does not believe an epoch that is too far ahead to be true', () => {
    const primary = active();
    primary.machine.seen(primary.now, 2 ** 30);
    expect([primary.state, primary.told]).toEqual(['active 1', ['epochImplausible 1073741824']]);
  });

  test('after a pause it is fenced before its own timer has run, and does not come back by itself', () => {
    const world = new PairWorld();
    world.run(1000);
    world.pause('primary');
    world.askFor('backup', 5000);
    expect(world.serving).toEqual(['backup 2']);
    world.resume('primary');
    world.askFor('primary', 10_000);
    expect(world.serving).toEqual(['backup 2']);
    expect(world.stepDowns('primary')).toEqual({ stopped: 1 });
    expect(world.story.slice(1)).toEqual([
      expect.stringContaining('backup becameActive 2'),
      '6000 primary becamePassive 1 stopped',
    ]);
  });

  test('is told by the newer one where only one of two directions works', () => {
    const world = new PairWorld();
    world.run(1000);
    world.cut('primary', 'backup');
    world.askFor('backup', 3000);
    expect([world.serving, world.stepDowns('primary')]).toEqual([['backup 2'], { higherEpoch: 1 }]);
  });

  test('of two that serve on both sides of a cut one is left, and nothing changes after that', () => {
    const world = new PairWorld();
    world.run(1000);
    world.cut('primary', 'backup');
    world.cut('backup', 'primary');
    world.askFor('backup', 3000);
    expect(world.serving).toEqual(['primary 1', 'backup 2']);
    world.heal();
    world.askFor('primary', 10_000);
    expect([world.serving, world.story.length]).toEqual([['backup 2'], 3]);
  });
});

describe('a message that does not count', () => {
  test('an old word does not keep a dead peer alive', () => {
    const backup = passive();
    const old = backup.hear({ state: 'active', epoch: 1 });
    backup.ask();
    for (let count = 0; count < 8; count++) {
      backup.wait(250);
      backup.say('pair', old);
    }
    backup.ask();
    expect(backup.state).toBe('active 2');
    expect(backup.took('ignored').length).toBe(8);
  });

  test('nor does one of an earlier life, however often it spoke', () => {
    const backup = new PairStory({ role: 'backup' });
    backup.hear({ life: 2, beat: 1, state: 'active', epoch: 3 });
    backup.hear({ life: 1, beat: 9999, state: 'leaving', epoch: 1 });
    expect(backup.told.at(-1)).toBe('ignored stale');
    expect(backup.machine.status(backup.now).peer).toBe('active');
  });

  test('those of another pair, and of one that claims to be us, change nothing', () => {
    const backup = passive();
    backup.hear({ pair: 'another', state: 'active', epoch: 7 });
    backup.hear({ role: 'backup', state: 'active', epoch: 8 });
    expect(backup.told).toEqual(['ignored otherPair', 'ignored otherRole']);
    expect(backup.machine.highestEpoch).toBe(1);
    for (let count = 0; count < 8; count++) {
      backup.wait(250);
      backup.hear({ pair: 'another', state: 'active', epoch: 1 });
    }
    expect(backup.machine.status(backup.now).peer).toBe('lost');
  });

  test('what has no place in this mode, or comes on the wrong port, is counted', () => {
    const backup = passive();
    backup.claimed({});
    backup.digit(3);
    backup.say('peer', { ...backup.word, role: 'primary', life: 9 });
    backup.machine.handleMalformed(backup.now, 'pair', 'x', 'garbage');
    expect(backup.told).toEqual([
      'ignored unexpected',
      'ignored unexpected',
      'ignored unexpected',
      'malformed garbage',
    ]);
  });
});

describe('epochs', () => {
  test('are new with each reign, and never used again after a restart', () => {
    let primary = active();
    primary.machine.seen(primary.now, 2);
    primary.hear({ state: 'leaving', epoch: 2 });
    primary.ask();
    expect(primary.state).toBe('active 3');
    primary = primary.restart();
    primary.wait(EXPIRY);
    primary.ask();
    expect(primary.state).toBe('active 5');
    expect(primary.word.life).toBe(2);
  });

  test('a death between the write and its answer costs an epoch, and no more', () => {
    let backup = passive();
    backup.hear({ state: 'leaving', epoch: 1 });
    backup.hold();
    backup.ask();
    backup.record = backup.stores[0]!.record;
    backup = backup.restart();
    backup.release();
    backup.wait(EXPIRY);
    backup.ask();
    expect(backup.state).toBe('active 4');
  });

  test('who lost all that it had stored is caught up with by its peer', () => {
    const primary = new PairStory();
    primary.hearFor(500, { state: 'active', epoch: 8 });
    primary.hear({ state: 'leaving', epoch: 8 });
    primary.ask();
    expect(primary.state).toBe('active 9');
  });
});

describe('nobody comes back by itself', () => {
  test('the primary that was restarted stays passive while the backup serves', () => {
    const world = new PairWorld();
    world.run(1000);
    world.kill('primary');
    world.askFor('backup', 3000);
    world.start('primary');
    world.askFor('primary', 20_000);
    expect(world.serving).toEqual(['backup 2']);
    expect(world.story).toHaveLength(2);
  });

  test('who resigns makes room for the other one at once, and leaves it there', () => {
    const world = new PairWorld();
    world.run(1000);
    world.call('primary', { type: 'resign' });
    world.run(5);
    expect(world.serving).toEqual(['backup 2']);
    world.askFor('primary', 20_000);
    expect(world.story.slice(1)).toEqual([
      '1000 primary becamePassive 1 resigned',
      '1002 backup becameActive 2',
    ]);
  });

  test('who resigns and finds that nobody else serves, serves again', () => {
    const world = new PairWorld();
    world.run(1000);
    world.kill('backup');
    world.call('primary', { type: 'resign' });
    world.askFor('primary', 2900);
    expect(world.serving).toEqual([]);
    world.askFor('primary', 300);
    expect(world.serving).toEqual(['primary 3']);
  });
});

const holding = (holds: number): PairStory => {
  const backup = new PairStory({ role: 'backup' });
  backup.call({ type: 'stand', standing: { holds } });
  backup.hearFor(500, { state: 'active', epoch: 3, holds: 3 });
  backup.events.length = 0;
  return backup;
};

describe('what is held', () => {
  test('who has not all of it does not take over, and says so once in a while', () => {
    const backup = holding(1);
    backup.wait(EXPIRY);
    for (let count = 0; count < 10; count++) {
      backup.ask();
      backup.wait(50);
    }
    expect([backup.state, backup.took('takeoverFailed').length]).toEqual(['passive', 1]);
    backup.wait(EXPIRY);
    backup.ask();
    expect(backup.took('takeoverFailed')).toEqual([
      { type: 'takeoverFailed', reason: 'notSynchronised' },
    ]);
  });

  test('who has it does', () => {
    const backup = holding(1);
    backup.call({ type: 'stand', standing: { holds: 3 } });
    backup.wait(EXPIRY);
    backup.ask();
    expect(backup.state).toBe('active 4');
  });

  test('a person may overrule that, once, and not while the other one serves', () => {
    const backup = holding(1);
    backup.call({ type: 'promote' });
    expect([backup.state, backup.told]).toEqual(['passive', ['takeoverFailed held']]);
    backup.wait(EXPIRY);
    backup.call({ type: 'promote' });
    expect(backup.state).toBe('active 4');
    backup.hear({ state: 'active', epoch: 5 });
    backup.hear({ state: 'leaving', epoch: 5 });
    backup.ask();
    expect(backup.state).toBe('passive');
  });

  test('where both are there and nobody serves, the one with the newer state does', () => {
    const backup = holding(3);
    backup.hear({ state: 'waiting', epoch: 3, holds: 0, life: 2, beat: 1 });
    backup.wait(250);
    expect(backup.state).toBe('active 4');
    const other = holding(1);
    other.hear({ state: 'passive', epoch: 3, holds: 2 });
    other.ask();
    other.wait(200);
    expect(other.state).toBe('passive');
  });

  test('of equals it is the primary, though it has not all either', () => {
    const primary = new PairStory();
    primary.call({ type: 'stand', standing: { holds: 0 } });
    primary.hear({ state: 'active', epoch: 2, holds: 2 });
    primary.hearFor(500, { state: 'waiting', epoch: 2, holds: 0, life: 2 });
    expect(primary.state).toBe('active 3');
  });

  test('what a reign that was overruled has done is worth nothing any more', () => {
    const primary = active();
    primary.call({ type: 'stand', standing: { holds: 1 } });
    expect(primary.word.holds).toBe(1);
    primary.hear({ state: 'active', epoch: 2 });
    expect(primary.word.holds).toBe(0);
  });

  test('who has no state cannot lose it', () => {
    const primary = active();
    primary.hear({ state: 'active', epoch: 2 });
    expect(primary.word.holds).toBeUndefined();
    primary.hear({ state: 'leaving', epoch: 2 });
    primary.ask();
    expect(primary.state).toBe('active 3');
  });

  test('with state it begins alone, and is told that it may serve so', () => {
    const backup = holding(3);
    backup.wait(EXPIRY);
    backup.ask();
    expect(backup.told.slice(-2)).toEqual(['becameActive 4', 'servesAlone 4']);
    backup.call({ type: 'stand', standing: { alone: false } });
    backup.call({ type: 'stand', standing: { alone: true } });
    expect(backup.told).toEqual(['servesAlone 4']);
  });
});

describe('where the active one is', () => {
  test('is what it says, reached as we reach it, and nobody when it is lost', () => {
    const backup = new PairStory({ role: 'backup', peer: 'tcp://10.0.0.1:7' });
    backup.hear({ state: 'active', epoch: 1, endpoint: 'tcp://0.0.0.0:5' });
    expect(backup.told).toEqual(['peerFound active 1', 'activeChanged 1 tcp://10.0.0.1:5']);
    expect(backup.machine.activeEndpoint).toBe('tcp://10.0.0.1:5');
    backup.wait(EXPIRY);
    expect(backup.machine.activeEndpoint).toBe('');
    expect(backup.told).toEqual(['peerLost silent', 'activeChanged 1']);
  });

  test('is here, while this one serves', () => {
    const primary = active();
    primary.call({ type: 'stand', standing: { endpoint: 'tcp://me:5' } });
    expect([primary.machine.activeEndpoint, primary.word.endpoint]).toEqual([
      'tcp://me:5',
      'tcp://me:5',
    ]);
  });
});

describe('the end', () => {
  test('is a farewell, after which nothing is heard', () => {
    const primary = active();
    primary.call({ type: 'drain' });
    expect(primary.told).toEqual(['becamePassive 1 resigned', 'drained']);
    expect([primary.word.state, primary.machine.nextTimeout]).toEqual(['leaving', Infinity]);
    primary.hear({ state: 'active', epoch: 2 });
    primary.ask();
    primary.call({ type: 'stop' });
    expect([primary.state, primary.told]).toEqual(['closed', []]);
  });
});

const stock = (role: 'primary' | 'backup'): PairStory =>
  new PairStory({ role, protocol: 'stock', heartbeatInterval: 1000, heartbeatLiveness: 2 });

/** The last digit that it said. */
const digit = (story: PairStory): number => {
  const said = story.sent.at(-1)?.command;
  return said?.type === 'stockState' ? said.digit : 0;
};

describe('with a stock peer', () => {
  test('each says what it is, and the primary begins when it hears a waiting backup', () => {
    const [primary, backup] = [stock('primary'), stock('backup')];
    expect([digit(primary), digit(backup)]).toEqual([1, 2]);
    primary.digit(2);
    backup.digit(1);
    primary.wait(1000);
    backup.wait(1000);
    expect([primary.state, digit(primary)]).toEqual(['active 1', 3]);
    expect([backup.state, digit(backup)]).toEqual(['passive', 2]);
    backup.digit(3);
    expect([backup.state, digit(backup)]).toEqual(['passive', 4]);
    expect(backup.told).toEqual(['peerFound waiting 0', 'activeChanged 0']);
  });

  test('the primary begins whatever state it has, as a stock peer says nothing of its own', () => {
    const [primary, backup] = [stock('primary'), stock('backup')];
    for (const each of [primary, backup]) each.call({ type: 'stand', standing: { holds: 0 } });
    primary.digit(2);
    backup.digit(1);
    primary.wait(1000);
    backup.wait(1000);
    expect([primary.state, backup.state]).toEqual(['active 1', 'passive']);
  });

  test('what is published waits nowhere: its line is never opened anew', () => {
    const backup = stock('backup');
    backup.digit(3);
    backup.wait(20_000);
    expect(backup.sockets).toEqual(['open peer tcp://peer:1']);
  });

  test('a silent peer and a vote make the passive one active, under an epoch of its own', () => {
    const backup = stock('backup');
    backup.digit(3);
    backup.ask();
    backup.wait(1999);
    expect(backup.state).toBe('passive');
    backup.ask();
    backup.wait(1);
    expect([backup.state, backup.record?.epoch, digit(backup)]).toEqual(['active 2', 2, 3]);
  });

  test('of two that serve the primary goes on, and the backup steps down', () => {
    const [primary, backup] = [stock('primary'), stock('backup')];
    for (const each of [primary, backup]) {
      each.wait(2000);
      each.ask();
      each.digit(3);
    }
    expect([primary.state, backup.state]).toEqual(['active 1', 'passive']);
    expect(backup.told).toContain('becamePassive 2 peerActive');
  });

  test('a passive stock peer is given the time to serve by itself, as it does when it hears us', () => {
    const primary = stock('primary');
    for (let count = 0; count < 2; count++) {
      primary.digit(4);
      primary.wait(999);
    }
    expect(primary.state).toBe('passive');
    primary.digit(4);
    primary.wait(2);
    expect(primary.state).toBe('active 1');
  });

  test('two of ours that speak like stock peers fail over as well', () => {
    const world = new PairWorld({ protocol: 'stock' });
    world.run(2000);
    expect(world.serving).toEqual(['primary 1']);
    world.kill('primary');
    world.askFor('backup', 3000);
    expect(world.serving).toEqual(['backup 2']);
    world.start('primary');
    world.run(10_000);
    expect(world.serving).toEqual(['backup 2']);
    world.call('backup', { type: 'resign' });
    world.run(2000);
    expect(world.serving).toEqual(['primary 3']);
  });

  test('it is no digit that names ourselves', () => {
    const backup = stock('backup');
    backup.digit(2);
    expect(backup.told).toEqual(['ignored otherRole']);
  });
});
