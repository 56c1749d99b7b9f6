/** Two Clone servers of which one serves and the other copies it, told as stories over their bare machines. */
import { describe, expect, test } from 'vitest';
import { PairStage } from './server-stage.ts';

/** A pair that has come together, and a client of the active one. */
function pair(settings: ConstructorParameters<typeof PairStage>[0] = {}): PairStage {
  const both = new PairStage(settings);
  both.elect(1);
  both.one.call({ type: 'servesAlone', epoch: 1 });
  both.one.follow('x');
  return both;
}

describe('a pair', () => {
  test('in which nothing is public before both have it', () => {
    const both = pair();
    const { one, other } = both;
    one.set('x', '/a', { ttl: 5000 });
    expect(one.results('x')).toEqual([1]);
    both.link();
    both.pass(150);
    expect(one.told).toContain('backupSynchronised');
    expect(one.status).toMatchObject({ backup: 'synchronised', servesAlone: false });
    expect(other.told).toContain('synchronised');
    expect(other.status).toMatchObject({ keys: 1, position: { epoch: 1, sequence: 1 } });
    const reader = one.readers.get('x')!;
    both.cut();
    one.set('x', '/b');
    expect(reader.contents()).toEqual({ '/a': '1 value' });
    expect(one.results('x')).toEqual([1]);
    both.link();
  });

  test('of which the active one goes on alone, once it may, when the other is gone', () => {
    const both = pair();
    const { one } = both;
    both.link();
    both.pass(150);
    one.events.length = 0;
    both.cut();
    one.set('x', '/a');
    one.gone('backup');
    expect(one.told).toEqual(['followerLost linkBroken', 'backupLost linkBroken']);
    one.pass(19);
    expect(one.told).toHaveLength(2);
    one.pass(1);
    expect(one.told.at(-1)).toBe('alone');
    expect(one.results('x')).toEqual([]);
    one.call({ type: 'servesAlone', epoch: 1 });
    expect(one.result('x')).toMatchObject({ revision: 1, isReplicated: false });
  });

  test('that has both says so', () => {
    const both = pair();
    const { one } = both;
    both.link();
    both.pass(150);
    one.set('x', '/a');
    both.settle();
    expect(one.result('x')).toMatchObject({ revision: 1, isReplicated: true });
  });

  test('whose passive one takes over: with the map, the writers and what time is left', () => {
    const both = pair();
    const { one, other } = both;
    both.link();
    both.pass(150);
    one.set('x', '/a', { number: 1, ttl: 300 });
    one.set('x', '/b', { number: 2 });
    one.write('x', { kind: 'delete', key: '/b', number: 3 });
    both.pass(100);
    both.cut();
    const [, guard] = both.guards;
    guard.epoch = 2;
    guard.highestEpoch = 2;
    other.call({ type: 'activate', epoch: 2 });
    other.call({ type: 'servesAlone', epoch: 2 });
    expect(other.status.position).toEqual({ epoch: 2, sequence: 3 });
    const position = { epoch: 1, sequence: 3 };
    other.readers.set('x', one.readers.get('x')!);
    const reader = other.follow('x', { stream: 2, position });
    expect(reader.log.slice(-2)).toEqual(['begin continue 3', 'beat 3']);
    // What it had asked for and was not answered is answered, and not done again.
    other.set('x', '/b', { number: 2 });
    expect(other.results('x')).toEqual([2]);
    other.set('x', '/c', { number: 4 });
    expect(other.results('x')).toEqual([2, 4]);
    other.pass(199);
    expect(other.machine.publication.entries.get('/a')).toBeDefined();
    other.pass(2);
    expect(other.machine.publication.entries.get('/a')).toBeUndefined();
    // The old one serves no more as soon as it hears of it.
    one.say('x', { type: 'progress', stream: 1, received: 0, sequence: 0, epoch: 2 });
    expect(one.status.state).toBe('passive');
  });
});
