/** What a voter says to whom: the rules of the witness, and of each server for its peer. */
import { describe, expect, test } from 'vitest';
import type { ClaimCommand } from '../../src/failover/commands.ts';
import { newVoter, restoredVoter, Voter } from '../../src/failover/voter.ts';

let number = 0;

function claim(given: Partial<ClaimCommand>): ClaimCommand {
  return {
    type: 'claim',
    pair: 'p',
    role: 'primary',
    life: 1,
    number: ++number,
    epoch: 1,
    lease: 1000,
    synchronised: true,
    alone: false,
    forced: false,
    ...given,
  };
}

const primary = (epoch: number, given: Partial<ClaimCommand> = {}): ClaimCommand =>
  claim({ role: 'primary', epoch, ...given });
const backup = (epoch: number, given: Partial<ClaimCommand> = {}): ClaimCommand =>
  claim({ role: 'backup', epoch, ...given });

/** As a voter does: `granted`, or why not. */
function ask(voter: Voter, now: number, asked: ClaimCommand): string {
  if (!voter.hear(asked)) return 'stale';
  const verdict = voter.judge(now, asked);
  if (verdict === undefined) voter.promise(now, asked);
  return verdict === undefined ? 'granted' : `${verdict.reason} ${verdict.timeLeft}`;
}

describe('one promise at a time', () => {
  test('the first one gets it, the other one waits exactly for its end', () => {
    const voter = new Voter(newVoter());
    expect(ask(voter, 0, primary(1))).toBe('granted');
    expect(ask(voter, 400, backup(2))).toBe('held 600');
    expect(ask(voter, 999, backup(2))).toBe('held 1');
    expect(ask(voter, 1000, backup(2))).toBe('granted');
  });

  test('renewals count from now', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1));
    expect(ask(voter, 900, primary(1))).toBe('granted');
    expect(ask(voter, 1500, backup(2))).toBe('held 400');
  });

  test('a shorter lease does not end a longer one that was given before', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1, { lease: 5000 }));
    ask(voter, 100, primary(1, { lease: 50 }));
    expect(ask(voter, 200, backup(2))).toBe('held 4800');
  });

  test('who gives it back makes room at once', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1));
    expect(voter.release({ type: 'release', pair: 'p', role: 'primary', life: 1, epoch: 1 })).toBe(
      true,
    );
    expect(ask(voter, 1, backup(2))).toBe('granted');
  });

  test('what is learned of epochs ends no promise, and gives none', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1));
    voter.learn(2);
    expect(ask(voter, 10, backup(4))).toBe('held 990');
    expect(ask(voter, 20, primary(3))).toBe('granted');
  });

  test('a promise lapses once', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1));
    expect([999, 1000, 1001].map((now) => voter.lapse(now))).toEqual([false, true, false]);
  });
});

describe('epochs', () => {
  test('are granted once, and again only to the one who has them', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(3));
    expect(ask(voter, 1, primary(1))).toBe('outdated 0');
    expect(ask(voter, 2, primary(3))).toBe('granted');
    expect(ask(voter, 3, primary(3, { life: 2 }))).toBe('outdated 0');
    expect(ask(voter, 4, primary(5, { life: 2 }))).toBe('granted');
  });

  test('are not granted when somebody has been seen under a higher one', () => {
    const voter = new Voter(newVoter());
    voter.learn(6);
    expect(ask(voter, 0, backup(6))).toBe('granted');
    voter.learn(7);
    expect(ask(voter, 1, backup(6))).toBe('outdated 0');
    expect(voter.epoch).toBe(7);
  });

  test('that were given back are over, also for a claim that was late', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1));
    voter.release({ type: 'release', pair: 'p', role: 'primary', life: 1, epoch: 1 });
    expect(ask(voter, 1, primary(1))).toBe('outdated 0');
  });

  test('a release counts for its own epoch, role and life only, and once', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(3, { life: 2 }));
    const release = { type: 'release', pair: 'p', role: 'primary', life: 2, epoch: 3 } as const;
    expect(voter.release({ ...release, epoch: 1 })).toBe(false);
    expect(voter.release({ ...release, life: 1 })).toBe(false);
    expect(voter.release({ ...release, role: 'backup' })).toBe(false);
    expect(ask(voter, 1, backup(4))).toBe('held 999');
    expect([voter.release(release), voter.release(release)]).toEqual([true, false]);
  });
});

describe('who comes late', () => {
  test('is not heard: neither the same claim again, nor one of an earlier life', () => {
    const voter = new Voter(newVoter());
    const first = primary(1, { life: 2, number: 7 });
    expect(ask(voter, 0, first)).toBe('granted');
    expect(ask(voter, 1, first)).toBe('stale');
    expect(ask(voter, 2, primary(1, { life: 2, number: 6 }))).toBe('stale');
    expect(ask(voter, 3, primary(1, { life: 1, number: 99 }))).toBe('stale');
    expect(ask(voter, 4, backup(2, { life: 1, number: 1 }))).toBe('held 996');
    expect(ask(voter, 5, primary(3, { life: 3, number: 1 }))).toBe('granted');
  });
});

describe('what must not be lost', () => {
  test('the other one is granted only if it has all of it', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1));
    expect(ask(voter, 2000, backup(2, { synchronised: false }))).toBe('unsynchronised 0');
    expect(ask(voter, 2000, backup(2))).toBe('granted');
  });

  test('nobody has all of what one does that serves alone, until it takes that back', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1, { alone: true }));
    expect(ask(voter, 2000, backup(2))).toBe('unsynchronised 0');
    expect(ask(voter, 2001, primary(1, { alone: false }))).toBe('granted');
    expect(ask(voter, 4000, backup(2))).toBe('granted');
  });

  test('the one who served last may always come back, and a person may overrule', () => {
    const voter = new Voter(newVoter());
    ask(voter, 0, primary(1, { alone: true }));
    expect(ask(voter, 2000, primary(3, { life: 2, synchronised: false }))).toBe('granted');
    expect(ask(voter, 2001, backup(4, { forced: true }))).toBe('held 999');
    expect(ask(voter, 4000, backup(4, { forced: true, synchronised: false }))).toBe('granted');
  });

  test('nothing is lost while nobody has ever served', () => {
    const voter = new Voter(newVoter());
    expect(ask(voter, 0, backup(2, { synchronised: false }))).toBe('granted');
  });
});

describe('a restart', () => {
  const record = { pair: 'p', epoch: 3, role: 'primary', alone: true, lease: 1000 } as const;

  test('forgets who had a lease: the one who may still use it is not disturbed, the other one waits', () => {
    const voter = new Voter(restoredVoter(500, record));
    expect(ask(voter, 600, backup(4, { forced: true }))).toBe('starting 900');
    expect(ask(voter, 700, primary(3, { life: 7 }))).toBe('granted');
    expect(ask(voter, 800, backup(4, { forced: true }))).toBe('held 900');
  });

  test('forgets no epoch, and not that the last one served alone', () => {
    const voter = new Voter(restoredVoter(500, record));
    expect(ask(voter, 1500, backup(2))).toBe('outdated 0');
    expect(ask(voter, 1500, backup(4))).toBe('unsynchronised 0');
    expect(ask(voter, 1500, primary(1, { life: 9 }))).toBe('outdated 0');
  });

  test('takes a farewell of one whom it has forgotten', () => {
    const voter = new Voter(restoredVoter(500, record));
    const release = { type: 'release', pair: 'p', role: 'primary', life: 4, epoch: 3 } as const;
    expect(voter.release(release)).toBe(true);
    expect(ask(voter, 501, backup(4, { forced: true }))).toBe('granted');
  });
});
