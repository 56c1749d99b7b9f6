/** What a pair does that has a witness, and what the witness does, each told as a story. */
import { describe, expect, test } from 'vitest';
import { EPOCH_STEP_LIMIT } from '../../src/core/election.ts';
import type { ClaimCommand, VoterInput, VoterOutput } from '../../src/failover/commands.ts';
import type {
  WitnessCall,
  WitnessEvent,
  WitnessPort,
  WitnessRecord,
} from '../../src/failover/failover-events.ts';
import { WitnessMachine } from '../../src/failover/witness-machine.ts';
import { Actor } from '../actor.ts';
import { EXPIRY, PairStory, PairWorld, storySettings } from './pair-story.ts';

const WITNESS = { witness: 'tcp://witness:1' };
const LEASE = 1000;
/** What of it may be used at a drift of 0.01. */
const USE = 980;

/** A server at a witness that has waited for what its last life may have promised. */
function waited(role: 'primary' | 'backup' = 'primary'): PairStory {
  const server = new PairStory({ ...WITNESS, role });
  server.wait(LEASE);
  server.events.length = 0;
  return server;
}

/** One that serves by the grace of the witness, alone. */
function serving(): PairStory {
  const primary = waited();
  primary.grant();
  expect(primary.state).toBe('active 1');
  primary.events.length = 0;
  return primary;
}

/** A backup that hears an active primary, which has claimed from it as well. */
function promised(): PairStory {
  const backup = new PairStory({ ...WITNESS, role: 'backup' });
  backup.hearFor(1500, { state: 'active', epoch: 1 });
  backup.claimed({ epoch: 1 });
  expect(backup.sent.at(-1)?.command.type).toBe('grant');
  backup.events.length = 0;
  return backup;
}

describe('a candidate', () => {
  test('waits for what its last life may have promised, stores its epoch, and only then claims', () => {
    const primary = new PairStory(WITNESS);
    primary.wait(LEASE - 1);
    primary.hold();
    primary.wait(1);
    expect([primary.state, primary.stores[0]?.record.epoch]).toEqual(['preparing', 1]);
    expect(primary.sent.filter(({ command }) => command.type === 'claim')).toEqual([]);
    primary.release();
    expect(primary.state).toBe('claiming');
    expect(primary.sent.slice(-2).map(({ to, command }) => `${to} ${command.type}`)).toEqual([
      'peer claim',
      'witness claim',
    ]);
  });

  test('serves with one grant of two', () => {
    for (const port of ['peer', 'witness'] as const) {
      const primary = waited();
      primary.grant(port);
      expect(primary.state).toBe('active 1');
    }
  });

  test('needs no vote of a client, and no client can make it serve', () => {
    const primary = waited();
    primary.ask();
    primary.wait(200);
    expect([primary.state, primary.machine.epochAt(primary.now)]).toEqual(['claiming', 0]);
  });

  test('a grant of another life, or of a claim that is not its own, or too late, is none', () => {
    const primary = waited();
    const { pair, role, epoch, number } = primary.claim;
    const grant = { type: 'grant', pair, role, epoch, number, life: 1 } as const;
    primary.say('witness', { ...grant, life: 2 });
    primary.say('witness', { ...grant, role: 'backup' });
    primary.say('witness', { ...grant, number: number + 1 });
    primary.say('witness', { ...grant, epoch: 3 });
    primary.say('witness', { ...grant, pair: 'another' });
    expect(primary.took('ignored').map(({ reason }) => reason)).toEqual([
      'stale',
      'stale',
      'stale',
      'stale',
      'otherPair',
    ]);
    primary.wait(USE + 1);
    primary.say('witness', grant);
    expect(primary.state).toBe('claiming');
  });

  test('that is held off claims again exactly when that may help', () => {
    const primary = waited();
    const { pair, role, life, number } = primary.claim;
    const refusal = { type: 'refusal', pair, role, life, number, epoch: 2 } as const;
    primary.say('witness', { ...refusal, epoch: 0, reason: 'held', timeLeft: 130 });
    primary.wait(129);
    expect(primary.claim.number).toBe(number);
    primary.wait(1);
    expect(primary.claim.number).toBe(number + 1);
  });

  test('takes a higher epoch where its own is not high enough', () => {
    const primary = waited();
    const { pair, role, life, number } = primary.claim;
    const refusal = { type: 'refusal', pair, role, life, number, timeLeft: 0 } as const;
    primary.say('witness', { ...refusal, reason: 'outdated', epoch: 4 });
    expect([primary.state, primary.claim.epoch, primary.record?.epoch]).toEqual(['claiming', 5, 5]);
  });

  test('whom nobody answers leaves the other one a turn: what it does not hear may be a yes', () => {
    const primary = waited();
    primary.wait(LEASE);
    expect(primary.state).toBe('passive');
    const { number } = primary.claim;
    primary.wait(2 * LEASE - 1);
    expect(primary.claim.number).toBe(number);
    primary.wait(1);
    expect([primary.state, primary.claim.number]).toEqual(['claiming', number + 1]);
  });
});

const opened = (server: PairStory): number =>
  server.sockets.filter((line) => line === 'open witness tcp://witness:1').length;

describe('the line to the witness', () => {
  test('is opened anew while nobody answers, so that no old claims pile up', () => {
    const primary = waited();
    expect(opened(primary)).toBe(1);
    primary.wait(LEASE - 1);
    expect(opened(primary)).toBe(1);
    primary.wait(1);
    expect(opened(primary)).toBe(2);
    // Nothing is said while it rests, so nothing waits.
    primary.wait(2 * LEASE - 1);
    expect(opened(primary)).toBe(2);
  });

  test('and not while it does, or while nothing is asked', () => {
    const primary = serving();
    for (let count = 0; count < 40; count++) {
      primary.wait(240);
      primary.grant();
    }
    expect([primary.state, opened(primary)]).toEqual(['active 1', 1]);
    const backup = promised();
    backup.hearFor(10_000, { state: 'active', epoch: 1 });
    expect(opened(backup)).toBe(1);
  });

  test('that breaks is a hint: the next answer takes it back', () => {
    const primary = serving();
    primary.gone('witness');
    primary.grant();
    primary.wait(200);
    expect(primary.took('witnessLost')).toEqual([]);
    primary.gone('witness');
    primary.wait(100);
    expect(primary.took('witnessLost')).toHaveLength(1);
    expect([primary.machine.status(primary.now).witness, opened(primary)]).toEqual(['lost', 2]);
    primary.wait(100);
    primary.grant();
    expect(primary.took('witnessFound')).toHaveLength(1);
  });
});

describe('a lease', () => {
  test('is used from the sending of the claim, and not from its grant', () => {
    const primary = waited();
    const { number } = primary.claim;
    const sentAt = primary.now;
    primary.wait(200);
    primary.grant('witness', number);
    expect(primary.machine.epochAt(sentAt + USE)).toBe(1);
    expect(primary.machine.epochAt(sentAt + USE + 1)).toBe(0);
    expect(primary.machine.status(primary.now).leaseLeft).toBeCloseTo(USE - 200, 0);
  });

  test('is renewed in time, by either voter', () => {
    const primary = serving();
    for (let count = 0; count < 20; count++) {
      primary.wait(250);
      primary.grant(count % 2 === 0 ? 'peer' : 'witness');
    }
    expect([primary.state, primary.claim.epoch]).toEqual(['active 1', 1]);
  });

  test('that nobody renews ends the reign; the next one has a new epoch', () => {
    const primary = serving();
    primary.wait(USE + 1);
    expect(primary.told).toContain('becamePassive 1 leaseEnded');
    expect(primary.sent.findLast(({ to }) => to === 'witness')?.command).toMatchObject({
      epoch: 3,
    });
  });

  test('fences one that was stopped at the very instant of its end', () => {
    const primary = serving();
    primary.now += 5000;
    expect([primary.state, primary.machine.epochAt(primary.now)]).toEqual(['active 1', 0]);
  });

  test('is given back at the end, so that nobody has to wait for it', () => {
    for (const call of ['resign', 'drain'] as const) {
      const primary = serving();
      primary.call({ type: call });
      const released = primary.sent.filter(({ command }) => command.type === 'release');
      expect(released.map(({ to }) => to)).toEqual(['peer', 'witness']);
    }
  });
});

describe('a server as a voter', () => {
  test('that has promised does not claim until that is over, though its peer is lost', () => {
    const backup = promised();
    backup.gone('pair');
    backup.wait(LEASE - 1);
    expect([backup.state, backup.machine.status(backup.now).peer]).toEqual(['passive', 'lost']);
    expect(backup.took('takeoverFailed')).toEqual([]);
    backup.wait(1);
    expect([backup.state, backup.claim.epoch]).toEqual(['claiming', 2]);
  });

  test('stores the epoch before it grants it, and nothing after its promise is over', () => {
    const backup = new PairStory({ ...WITNESS, role: 'backup' });
    backup.hearFor(500, { state: 'passive' });
    backup.hold();
    backup.claimed({ epoch: 1 });
    expect(backup.sent.at(-1)?.command.type).toBe('state');
    backup.stored();
    expect(backup.record?.epoch).toBe(1);
    const grants = (): number =>
      backup.sent.filter(({ command }) => command.type === 'grant').length;
    expect(grants()).toBe(1);
    backup.claimed({ epoch: 3 });
    backup.wait(LEASE);
    backup.stored();
    expect([backup.record?.epoch, grants()]).toEqual([3, 1]);
  });

  test('says no while it serves itself', () => {
    const primary = serving();
    primary.claimed({ epoch: 2 });
    expect(primary.sent.at(-1)?.command).toMatchObject({ type: 'refusal', reason: 'held' });
    expect(primary.state).toBe('active 1');
  });

  test('steps back for the one who goes first, and takes no grant for what it claimed before', () => {
    const backup = waited('backup');
    const { number } = backup.claim;
    backup.claimed({ epoch: 3 });
    expect(backup.state).toBe('passive');
    expect(backup.sent.some(({ command }) => command.type === 'grant')).toBe(true);
    backup.grant('witness', number);
    expect([backup.state, backup.machine.epochAt(backup.now)]).toEqual(['passive', 0]);
  });

  test('that claimed in vain asks for a higher epoch than its own: the witness may know that', () => {
    const backup = waited('backup');
    backup.hear({ state: 'waiting', epoch: 0 });
    expect(backup.claim.epoch).toBe(2);
    backup.claimed({ epoch: 1 });
    expect(backup.sent.findLast(({ to }) => to === 'the peer')?.command).toMatchObject({
      reason: 'outdated',
      epoch: 2,
    });
    backup.claimed({ epoch: 3 });
    expect(backup.sent.findLast(({ to }) => to === 'the peer')?.command.type).toBe('grant');
  });

  test('teaches an active one nothing: what it claims it has not had', () => {
    const primary = serving();
    const { pair, role, life, number } = primary.claim;
    const refusal = { type: 'refusal', pair, role, life, number, timeLeft: 0 } as const;
    primary.say('peer', { ...refusal, reason: 'outdated', epoch: 2 });
    expect(primary.state).toBe('active 1');
    primary.say('witness', { ...refusal, reason: 'outdated', epoch: 2 });
    expect(primary.told).toContain('becamePassive 1 higherEpoch');
  });

  test('does not vote for one who has less than itself and does not know it, unless told to', () => {
    const backup = new PairStory({ ...WITNESS, role: 'backup' });
    backup.call({ type: 'stand', standing: { holds: 3 } });
    backup.hear({ state: 'passive', epoch: 3, holds: 0 });
    backup.claimed({ epoch: 5 });
    expect(backup.sent.at(-1)?.command).toMatchObject({ reason: 'unsynchronised' });
    backup.claimed({ epoch: 5, forced: true });
    expect(backup.sent.some(({ command }) => command.type === 'grant')).toBe(true);
  });

  test('votes for one who has no less, though somebody served alone before', () => {
    const backup = serving();
    backup.call({ type: 'stand', standing: { holds: 1, alone: true } });
    backup.call({ type: 'resign' });
    backup.call({ type: 'stand', standing: { holds: 0 } });
    backup.hear({ state: 'passive', epoch: 1, holds: 1 });
    backup.claimed({ epoch: 2, synchronised: true });
    expect(backup.sent.some(({ command }) => command.type === 'grant')).toBe(true);
  });

  test('does not step back where it goes first itself', () => {
    const primary = waited();
    primary.claimed({ epoch: 2 });
    expect(primary.sent.at(-1)?.command).toMatchObject({ type: 'refusal', reason: 'held' });
    expect(primary.state).toBe('claiming');
  });

  test('grants nothing before its life is stored, and no lease longer than its own', () => {
    const backup = new PairStory({ ...WITNESS, role: 'backup' }, undefined, true);
    backup.claimed({ epoch: 1 });
    expect(backup.sent).toEqual([]);
    backup.release();
    backup.claimed({ epoch: 1, lease: LEASE + 1 });
    expect(backup.took('ignored')).toEqual([{ type: 'ignored', reason: 'unexpected' }]);
    expect(backup.sent.some(({ command }) => command.type === 'grant')).toBe(false);
  });

  test('hears a claim once, and those of another pair never', () => {
    const backup = promised();
    backup.claimed({ epoch: 1, number: 50 });
    const { length } = backup.sent;
    backup.claimed({ epoch: 1, number: 50 });
    backup.claimed({ epoch: 1, number: 49 });
    backup.claimed({ epoch: 3, number: 60, pair: 'another' });
    expect(backup.sent).toHaveLength(length);
    expect(backup.told).toEqual(['ignored stale', 'ignored stale', 'ignored otherPair']);
  });
});

describe('a pair with its witness', () => {
  test('has one active, and after its death another within a lease', () => {
    const world = new PairWorld(WITNESS);
    world.run(5000);
    expect(world.serving).toEqual(['primary 1']);
    world.kill('primary');
    world.run(LEASE + 100);
    expect(world.serving).toEqual(['backup 2']);
    world.start('primary');
    world.run(20_000);
    expect([world.serving, world.story.length]).toEqual([['backup 2'], 2]);
  });

  test('serves on without the witness: the promise of the peer is enough', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.killWitness();
    world.run(20_000);
    expect([world.serving, world.story.length]).toEqual([['primary 1'], 1]);
    expect(world.told('primary')).toContain('witnessLost');
  });

  test('elects one without the witness, as long as both are there', () => {
    const world = new PairWorld(WITNESS);
    world.killWitness();
    world.run(3000);
    expect(world.serving).toEqual(['primary 1']);
    world.call('primary', { type: 'resign' });
    world.run(100);
    expect(world.serving).toEqual(['backup 2']);
  });

  test('has nobody serve where one of three is left', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.killWitness();
    world.kill('backup');
    world.run(2000);
    expect(world.serving).toEqual([]);
    world.startWitness();
    world.run(2000);
    expect(world.serving[0]).toMatch(/^primary /);
  });

  test('is not disturbed by a witness that is restarted while the peer is dead', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.kill('backup');
    world.killWitness();
    world.startWitness();
    world.run(10_000);
    expect([world.serving, world.story.length]).toEqual([['primary 1'], 1]);
  });

  test('never has two, also where the active one was stopped for five seconds', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.pause('primary');
    world.run(5000);
    expect(world.serving).toEqual(['backup 2']);
    world.resume('primary');
    world.run(10_000);
    expect([world.serving, world.stepDowns('primary')]).toEqual([['backup 2'], { leaseEnded: 1 }]);
  });

  test('does not change because the two do not hear each other', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.cut('primary', 'backup');
    world.cut('backup', 'primary');
    world.run(20_000);
    expect([world.serving, world.story.length]).toEqual([['primary 1'], 1]);
    world.heal();
    world.run(20_000);
    expect([world.serving, world.story.length]).toEqual([['primary 1'], 1]);
  });

  test('changes where the active one is cut off from both others', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.cut('primary', 'backup');
    world.cut('primary', 'witness');
    world.run(5000);
    expect(world.serving).toEqual(['backup 2']);
    world.heal();
    world.run(20_000);
    expect([world.serving, world.story.length]).toEqual([['backup 2'], 3]);
  });

  test('gives the other one its turn where a candidate is deaf to all yes', () => {
    const world = new PairWorld(WITNESS);
    world.cut('witness', 'primary');
    world.cut('backup', 'primary');
    world.cut('primary', 'backup');
    world.run(10_000);
    expect(world.serving).toEqual(['backup 2']);
  });

  test.each([
    [0.99, 1.01, 1.01],
    [1.01, 0.99, 0.99],
    [0.99, 1.01, 0.99],
  ])('never has two under clocks of the rates %d, %d and %d', (primary, backup, witness) => {
    const world = new PairWorld(WITNESS);
    Object.assign(world.rates, { primary, backup, witness });
    for (let round = 0; round < 10; round++) {
      world.run(3000);
      const [role] = world.serving[0]!.split(' ') as ['primary' | 'backup'];
      for (const to of ['witness', role === 'primary' ? 'backup' : 'primary'] as const) {
        world.cut(to, role);
      }
      world.run(1500);
      world.heal();
    }
    expect(world.story.length).toBeGreaterThan(10);
  });

  test('comes back when both were down, under a new epoch', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.kill('primary');
    world.kill('backup');
    world.run(1000);
    world.start('backup');
    world.start('primary');
    world.run(5000);
    expect(world.serving).toEqual(['primary 3']);
  });

  test('does not depose the active one for what a candidate has claimed in vain', () => {
    const world = new PairWorld(WITNESS);
    world.run(2000);
    world.cut('primary', 'backup');
    world.run(5000);
    expect(world.stateOf('backup')).toBe('claiming');
    world.heal();
    world.run(5000);
    expect([world.serving, world.story.length]).toEqual([['primary 1'], 1]);
  });
});

const stateful = (): PairWorld => {
  const world = new PairWorld(WITNESS);
  for (const role of ['primary', 'backup'] as const) {
    world.call(role, { type: 'stand', standing: { holds: 0 } });
  }
  world.run(2000);
  expect(world.told('primary').slice(1, 3)).toEqual(['becameActive 1', 'servesAlone 1']);
  return world;
};

describe('what is held', () => {
  test('an unsynchronised backup is not elected, until a person says so', () => {
    const world = stateful();
    world.kill('primary');
    world.run(10_000);
    expect([world.serving, world.stateOf('backup')]).toEqual([[], 'passive']);
    expect(world.told('backup')).toContain('takeoverFailed notSynchronised');
    world.call('backup', { type: 'promote' });
    world.run(100);
    expect(world.serving).toEqual(['backup 2']);
  });

  test('a synchronised one is, once the active one has said that it is not alone', () => {
    const world = stateful();
    world.call('backup', { type: 'stand', standing: { holds: 1 } });
    world.call('primary', { type: 'stand', standing: { alone: false } });
    world.run(100);
    world.kill('primary');
    world.run(LEASE + 100);
    expect(world.serving).toEqual(['backup 2']);
  });

  test('also if the lines had no room for that word at once', () => {
    const world = stateful();
    world.fill('primary');
    world.call('backup', { type: 'stand', standing: { holds: 1 } });
    world.call('primary', { type: 'stand', standing: { alone: false } });
    world.run(2);
    world.makeRoom('primary');
    // Neither a heartbeat nor a claim would be due.
    world.run(2);
    world.kill('primary');
    world.run(LEASE + 100);
    expect(world.serving).toEqual(['backup 2']);
  });

  test('and also if it is closed before they have room', () => {
    const world = stateful();
    world.fill('primary');
    world.call('backup', { type: 'stand', standing: { holds: 1 } });
    world.call('primary', { type: 'stand', standing: { alone: false } });
    world.call('primary', { type: 'drain' });
    world.run(2);
    expect(world.told('primary')).not.toContain('drained');
    world.makeRoom('primary');
    expect(world.told('primary')).toContain('drained');
    world.run(100);
    expect(world.serving).toEqual(['backup 2']);
  });

  test('but no longer than a heartbeat', () => {
    const world = stateful();
    world.fill('primary');
    world.call('primary', { type: 'stand', standing: { alone: false } });
    world.call('primary', { type: 'drain' });
    world.run(storySettings.heartbeatInterval + 1);
    expect(world.told('primary')).toContain('drained');
  });

  test('one that was started again has lost its copy, whatever the active one last said', () => {
    const world = stateful();
    world.call('backup', { type: 'stand', standing: { holds: 1 } });
    world.call('primary', { type: 'stand', standing: { alone: false } });
    world.run(100);
    // Both at one instant: the active one cannot say any more that it is alone.
    world.kill('backup');
    world.kill('primary');
    world.start('backup');
    world.call('backup', { type: 'stand', standing: { holds: 0 } });
    world.run(10_000);
    expect([world.serving, world.stateOf('backup')]).toEqual([[], 'waiting']);
    expect(world.told('backup')).toContain('takeoverFailed notSynchronised');
    // The one who served last may: nobody has more than it has.
    world.start('primary');
    world.call('primary', { type: 'stand', standing: { holds: 0 } });
    world.run(10_000);
    expect(world.serving).toHaveLength(1);
  });

  test('what it prepared in vain does not make one forget that the other one served', () => {
    const backup = new PairStory({ ...WITNESS, role: 'backup' });
    backup.call({ type: 'stand', standing: { holds: 1 } });
    backup.hearFor(1500, { state: 'active', epoch: 1 });
    backup.wait(EXPIRY);
    expect(backup.record).toMatchObject({ epoch: 2, peerServed: 1 });
    const later = backup.restart();
    later.call({ type: 'stand', standing: { holds: 0 } });
    later.wait(5000);
    expect(later.state).toBe('waiting');
    expect(new Set(later.told)).toEqual(new Set(['takeoverFailed notSynchronised']));
  });

  test('a copy that a former life made may be behind, until the peer was heard', () => {
    const backup = new PairStory({ ...WITNESS, role: 'backup' });
    backup.call({ type: 'stand', standing: { holds: 1 } });
    backup.hearFor(1500, { state: 'active', epoch: 1 });
    const later = backup.restart();
    later.call({ type: 'stand', standing: { holds: 1 } });
    later.wait(5000);
    expect(later.state).toBe('waiting');
    expect(new Set(later.told)).toEqual(new Set(['takeoverFailed notSynchronised']));
    later.hearFor(500, { state: 'active', epoch: 1 });
    later.wait(EXPIRY);
    expect(later.state).toBe('claiming');
  });

  test('nor does it lack what it did itself', () => {
    const world = stateful();
    world.call('backup', { type: 'stand', standing: { holds: 1 } });
    world.call('primary', { type: 'stand', standing: { alone: false } });
    world.run(100);
    world.kill('primary');
    world.run(LEASE + 100);
    expect(world.serving).toEqual(['backup 2']);
    world.kill('backup');
    world.start('backup');
    world.call('backup', { type: 'stand', standing: { holds: 0 } });
    world.run(5000);
    expect(world.serving).toEqual(['backup 4']);
  });

  test('a word from before its own life does not tell it that both are there', () => {
    const primary = new PairStory({ ...WITNESS, role: 'primary' }, undefined);
    primary.call({ type: 'stand', standing: { holds: 0 } });
    primary.hear({ state: 'active', epoch: 2, holds: 2 });
    const later = primary.restart();
    later.call({ type: 'stand', standing: { holds: 0 } });
    later.hearFor(3000, {
      state: 'waiting',
      epoch: 2,
      holds: 0,
      heard: primary.machine.state.life,
    });
    expect([later.state, new Set(later.told.slice(1))]).toEqual([
      'passive',
      new Set(['takeoverFailed notSynchronised']),
    ]);
    later.hear({ state: 'waiting', epoch: 2, holds: 0 });
    expect(later.state).toBe('claiming');
  });

  test('where clients vote, one whose peer said that it is alone does not take over either', () => {
    const backup = new PairStory({ role: 'backup' });
    backup.call({ type: 'stand', standing: { holds: 1 } });
    backup.hearFor(1500, { state: 'active', epoch: 1, alone: true });
    backup.wait(EXPIRY);
    backup.ask();
    expect(backup.told).toContain('takeoverFailed notSynchronised');
    backup.hear({ state: 'active', epoch: 1 });
    backup.wait(EXPIRY);
    backup.ask();
    expect(backup.state).toBe('active 2');
  });

  test('one that was started again knows nothing, but its voters know that it may not', () => {
    const world = stateful();
    world.kill('backup');
    world.kill('primary');
    world.start('backup');
    world.run(10_000);
    expect([world.serving, world.stateOf('backup')]).toEqual([[], 'claiming']);
    expect(world.told('backup')).toContain('takeoverFailed unsynchronised');
    world.start('primary');
    world.run(10_000);
    expect(world.serving).toHaveLength(1);
  });

  test('is not given up for an epoch under which nobody served', () => {
    const deposed = (['passive', 'active'] as const).map((word) => {
      const primary = serving();
      primary.call({ type: 'stand', standing: { holds: 1 } });
      primary.hear({ state: word, epoch: 2, holds: word === 'active' ? 2 : 0 });
      expect(primary.told).toContain('becamePassive 1 higherEpoch');
      return primary.machine.state.standing.holds;
    });
    expect(deposed).toEqual([1, 0]);
  });

  test('a living peer that has more is waited for', () => {
    const backup = new PairStory({ ...WITNESS, role: 'backup' });
    backup.call({ type: 'stand', standing: { holds: 0 } });
    backup.hearFor(5000, { state: 'passive', epoch: 1, holds: 1 });
    expect([backup.state, backup.took('takeoverFailed')[0]?.reason]).toEqual([
      'passive',
      'notSynchronised',
    ]);
    // It takes what it had along.
    backup.hear({ state: 'leaving', epoch: 1, holds: 1 });
    backup.wait(5000);
    expect(backup.state).toBe('passive');
    backup.call({ type: 'promote' });
    expect(backup.state).toBe('claiming');
  });

  test('the one who goes first is not stopped by its own promise to one who served alone', () => {
    const primary = new PairStory(WITNESS);
    primary.call({ type: 'stand', standing: { holds: 0 } });
    primary.claimed({ epoch: 2, alone: true });
    primary.hearFor(LEASE + 500, { state: 'passive', epoch: 2, holds: 0 });
    expect([primary.state, primary.claim.synchronised]).toEqual(['claiming', true]);
  });

  test('who was elected by its peer is taken by the witness as well, and keeps its lease', () => {
    const primary = waited();
    const { pair, role, life, number } = primary.claim;
    const refusal = { type: 'refusal', pair, role, life, number, timeLeft: 0 } as const;
    primary.say('witness', { ...refusal, reason: 'unsynchronised', epoch: 0 });
    primary.grant('peer', number);
    expect(primary.state).toBe('active 1');
    primary.wait(250);
    expect(primary.claim).toMatchObject({ number: number + 1, forced: true });
  });

  test('the active one that asks to serve alone is told when a voter knows it', () => {
    const world = stateful();
    world.call('primary', { type: 'stand', standing: { alone: false } });
    world.run(300);
    world.told('primary');
    world.call('primary', { type: 'stand', standing: { alone: true } });
    expect(world.told('primary')).toEqual([]);
    world.run(2);
    expect(world.told('primary')).toEqual(['servesAlone 1']);
  });

  test('a yes to what it said before it asked does not count', () => {
    const primary = serving();
    const { number } = primary.claim;
    primary.call({ type: 'stand', standing: { alone: true } });
    expect([primary.claim.number, primary.claim.alone]).toEqual([number + 1, true]);
    primary.grant('witness', number);
    expect(primary.took('servesAlone')).toEqual([]);
    primary.grant('witness');
    expect(primary.took('servesAlone')).toEqual([{ type: 'servesAlone', epoch: 1 }]);
  });
});

// The witness by itself

class WitnessStory extends Actor<WitnessPort, VoterInput, VoterOutput, WitnessCall, WitnessEvent> {
  declare readonly machine: WitnessMachine;
  readonly stores: { readonly token: number; readonly records: readonly WitnessRecord[] }[];
  records: readonly WitnessRecord[];
  #number = 0;

  constructor(records: readonly WitnessRecord[] = [], pairLimit = 10) {
    const stores: { token: number; records: readonly WitnessRecord[] }[] = [];
    const store = (token: number, batch: unknown): void => {
      stores.push({ token, ...(batch as { records: WitnessRecord[] }) });
    };
    super((outbox) => new WitnessMachine({ ...outbox, store }, { pairLimit }, records));
    this.stores = stores;
    this.records = records;
    this.machine.handleTimeout(0);
  }

  claim(given: Partial<ClaimCommand>): void {
    this.machine.handleCommand(this.now, 'claims', given.role ?? 'primary', {
      type: 'claim',
      pair: 'p',
      role: 'primary',
      life: 1,
      number: ++this.#number,
      epoch: 1,
      lease: LEASE,
      synchronised: true,
      alone: false,
      forced: false,
      ...given,
    });
  }

  stored(error?: string): void {
    const { token, records } = this.stores.shift()!;
    if (error === undefined) this.records = records;
    this.machine.handleStored(this.now, token, error === undefined ? undefined : new Error(error));
  }

  /** All answers since it was last asked: `primary grant 1`, `backup held 600`. */
  get answers(): string[] {
    return this.sent.splice(0).map(({ to, command }) => {
      return command.type === 'grant'
        ? `${to} grant ${command.epoch}`
        : `${to} ${command.reason} ${command.timeLeft}`;
    });
  }
}

describe('a witness', () => {
  test('stores a lease under a new epoch before it grants it, and no renewal', () => {
    const witness = new WitnessStory();
    witness.claim({});
    expect([witness.answers, witness.stores.length]).toEqual([[], 1]);
    witness.stored();
    expect(witness.answers).toEqual(['primary grant 1']);
    expect(witness.records).toEqual([
      { pair: 'p', epoch: 1, role: 'primary', alone: false, lease: LEASE },
    ]);
    witness.wait(250);
    witness.claim({});
    expect([witness.answers, witness.stores]).toEqual([['primary grant 1'], []]);
    witness.claim({ alone: true });
    expect([witness.answers, witness.stores.length]).toEqual([[], 1]);
    witness.stored();
    expect(witness.answers).toEqual(['primary grant 1']);
  });

  test('answers the last claim when several waited for one write, and holds off the other role', () => {
    const witness = new WitnessStory();
    witness.claim({});
    witness.claim({ number: 10 });
    witness.claim({ role: 'backup', epoch: 2 });
    expect(witness.answers).toEqual(['backup held 1000']);
    witness.stored();
    expect(witness.sent.map(({ command }) => command)).toMatchObject([{ number: 10 }]);
  });

  test('a claim that changes something while another is written waits for its own write', () => {
    const witness = new WitnessStory();
    witness.claim({});
    witness.claim({ alone: true });
    witness.stored();
    expect([witness.answers, witness.records[0]?.alone]).toEqual([[], false]);
    witness.stored();
    expect([witness.answers, witness.records[0]?.alone]).toEqual([['primary grant 1'], true]);
  });

  test('grants nothing that took longer to store than it would hold', () => {
    const witness = new WitnessStory();
    witness.claim({});
    witness.wait(LEASE);
    witness.stored();
    expect(witness.answers).toEqual([]);
  });

  test('tells of a store that refuses, tries again, and grants nothing meanwhile', () => {
    const witness = new WitnessStory();
    witness.claim({});
    witness.stored('the disk is full');
    expect(witness.took('storeFailed')).toEqual([
      { type: 'storeFailed', message: 'the disk is full' },
    ]);
    witness.claim({});
    expect([witness.answers, witness.stores]).toEqual([[], []]);
    witness.wait(999);
    witness.claim({});
    witness.wait(1);
    witness.stored();
    expect(witness.answers).toEqual(['primary grant 1']);
  });

  test('that was restarted makes the other one wait for the longest lease that it gave', () => {
    const first = new WitnessStory();
    first.claim({ lease: 5000 });
    first.stored();
    const next = new WitnessStory(first.records);
    next.claim({ role: 'backup', epoch: 2 });
    next.wait(4999);
    next.claim({ role: 'backup', epoch: 2 });
    next.wait(1);
    next.claim({ role: 'backup', epoch: 2 });
    next.stored();
    expect(next.answers).toEqual(['backup starting 5000', 'backup starting 1', 'backup grant 2']);
    expect(next.took('leaseEnded')).toEqual([{ type: 'leaseEnded', pair: 'p', role: 'primary' }]);
  });

  test('knows each pair by its name, so many of them, and no stranger for his talk', () => {
    const witness = new WitnessStory([], 2);
    witness.claim({ pair: 'a', epoch: 0 });
    expect([witness.answers, witness.machine.pairs]).toEqual([['primary outdated 0'], 0]);
    witness.claim({ pair: 'a' });
    witness.claim({ pair: 'b', role: 'backup', epoch: 2 });
    witness.claim({ pair: 'c' });
    expect(witness.took('pairRefused')).toHaveLength(1);
    witness.stored();
    witness.stored();
    expect(witness.answers).toEqual(['primary grant 1', 'backup grant 2']);
    expect(witness.records.map(({ pair }) => pair)).toEqual(['a', 'b']);
  });

  test('takes a release, tells of it, and ends at once when asked to', () => {
    const witness = new WitnessStory();
    witness.claim({});
    witness.stored();
    const release = { type: 'release', pair: 'p', role: 'primary', life: 1, epoch: 1 } as const;
    witness.machine.handleCommand(witness.now, 'claims', 'primary', release);
    witness.machine.handleCommand(witness.now, 'claims', 'primary', release);
    witness.machine.handleMalformed(witness.now, 'claims', 'x', 'garbage');
    witness.call({ type: 'drain' });
    witness.call({ type: 'stop' });
    expect(witness.events.map(({ type }) => type)).toEqual([
      'granted',
      'released',
      'ignored',
      'malformed',
      'drained',
    ]);
    expect(witness.machine.nextTimeout).toBe(Infinity);
  });

  test('that is new to an old pair believes it, however high its epoch is', () => {
    const witness = new WitnessStory();
    witness.claim({ epoch: 2 ** 40 + 1 });
    witness.stored();
    expect(witness.events.map(({ type }) => type)).toEqual(['granted']);
  });
});

describe('what outsiders lie of epochs', () => {
  test('costs a reign each time, and leaves a pair that its witness still serves', () => {
    const world = new PairWorld(WITNESS);
    world.run(3000);
    world.kill('backup');
    for (let known = 1; known < 3 * EPOCH_STEP_LIMIT; known += EPOCH_STEP_LIMIT + 2) {
      expect(world.serving).toEqual([`primary ${known}`]);
      world.call('primary', { type: 'seen', epoch: known + EPOCH_STEP_LIMIT });
      world.run(3000);
    }
    world.start('backup');
    world.run(3000);
    expect(world.serving).toHaveLength(1);
    world.kill('primary');
    world.run(5000);
    expect(world.serving).toHaveLength(1);
    expect(world.stateOf('backup')).toBe('active');
  });
});

test('what a pair waits for is never longer than its expiry and two leases', () => {
  expect([EXPIRY, LEASE]).toEqual([1000, 1000]);
});
